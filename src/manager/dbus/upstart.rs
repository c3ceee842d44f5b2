//! `com.ubuntu.Upstart0_6`: the manager's interface, at `/com/ubuntu/Upstart`.

use machine::effect::{CallError, Priority};
use machine::input::Call;
use machine::query;
use zbus::{ObjectPath, OwnedFd, Variant};

use super::interface::{
    Handled, Interface, Outcome, Property, Refusal, Request, call, guarded, open, readable, signal, value,
};
use super::objects::own_classes;
use super::{Control, path, state_json};

/// What clients take the version number from (its third word).
pub(super) const VERSION: &str = "init (upstart 1.13.2)";

pub(super) static INTERFACE: Interface = Interface {
    name: "com.ubuntu.Upstart0_6",
    methods: &[
        guarded("ReloadConfiguration", &[], &[]),
        open("GetJobByName", &[("name", "s")], &[("job", "o")]),
        open("GetAllJobs", &[], &[("jobs", "ao")]),
        // It shows the environment of every job, secrets included; so do the methods of the tables below.
        guarded("GetState", &[], &[("state", "s")]),
        guarded("Restart", &[], &[]),
        guarded("EmitEvent", &[("name", "s"), ("env", "as"), ("wait", "b")], &[]),
        guarded("EmitEventWithFile", &[("name", "s"), ("env", "as"), ("wait", "b"), ("file", "h")], &[]),
        guarded("GetEnv", &[("job_details", "as"), ("name", "s")], &[("value", "s")]),
        guarded("SetEnv", &[("job_details", "as"), ("var", "s"), ("replace", "b")], &[]),
        guarded("SetEnvList", &[("job_details", "as"), ("vars", "as"), ("replace", "b")], &[]),
        guarded("UnsetEnv", &[("job_details", "as"), ("name", "s")], &[]),
        guarded("UnsetEnvList", &[("job_details", "as"), ("names", "as")], &[]),
        guarded("ListEnv", &[("job_details", "as")], &[("env", "as")]),
        guarded("ResetEnv", &[("job_details", "as")], &[]),
        guarded("NotifyDiskWriteable", &[], &[]),
        guarded("NotifyDBusAddress", &[("address", "s")], &[]),
        guarded("NotifyCGroupManagerAddress", &[("address", "s")], &[]),
        guarded("EndSession", &[], &[]),
    ],
    signals: &[
        signal("JobAdded", &[("job", "o")]),
        signal("JobRemoved", &[("job", "o")]),
        signal("EventEmitted", &[("name", "s"), ("env", "as")]),
        signal("Restarted", &[]),
    ],
    properties: &[readable("version", "s"), Property { name: "log_priority", signature: "s", is_writable: true }],
};

/// Carries out a method whose arguments have the right signature, for somebody who may call it.
pub(super) fn handle(request: &Request<'_>, method: &str) -> Handled {
    match method {
        "ReloadConfiguration" => control(Control::ReloadConfiguration),
        "GetJobByName" => job_by_name(request),
        "GetAllJobs" => {
            let names = own_classes(request).map(|name| request.shown(name));
            request.reply(&names.filter_map(|name| ObjectPath::try_from(path::class(name)).ok()).collect::<Vec<_>>())
        }
        "GetState" => request.reply(&state_json::write(request.state, &request.view.sources)),
        "Restart" => call(Call::RestartInit),
        "EmitEvent" => {
            let (name, environment, wait): (String, _, _) = request.arguments()?;
            call(Call::Emit { name: event(request, &name), environment, wait, file: None })
        }
        "EmitEventWithFile" => {
            let (name, environment, wait, file): (String, _, _, OwnedFd) = request.arguments()?;
            let call = Box::new(Call::Emit { name: event(request, &name), environment, wait, file: None });
            Ok(Outcome::Call { call, file: Some(file.into()) })
        }
        "NotifyDiskWriteable" => control(Control::NotifyDiskWriteable),
        "NotifyDBusAddress" if !request.config.is_session => {
            Err(Refusal::denied("Not permissible to notify D-Bus address for PID 1"))
        }
        "NotifyDBusAddress" => control(Control::NotifyDBusAddress(address(request)?)),
        "NotifyCGroupManagerAddress" => control(Control::NotifyCGroupManagerAddress(address(request)?)),
        "EndSession" => call(Call::EndSession),
        _ => environment_method(request, method),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it ends handlers")]
fn control(control: Control) -> Handled {
    Ok(Outcome::Control(control))
}

fn job_by_name(request: &Request<'_>) -> Handled {
    let (name,): (String,) = request.arguments()?;
    if name.is_empty() {
        return Err(CallError::EmptyName.into());
    }
    if request.state.class(&request.named(&name)).is_none() {
        return Err(CallError::UnknownJob(name).into());
    }
    object(request, path::class(&name))
}

/// The event that a caller calls so. None has no name, wherever it is emitted.
fn event(request: &Request<'_>, name: &str) -> String {
    if name.is_empty() { String::new() } else { request.named(name) }
}

/// An answer that is one object path.
pub(super) fn object(request: &Request<'_>, path: String) -> Handled {
    request.reply(&ObjectPath::try_from(path).map_err(|_| Refusal::arguments("The name has no object path"))?)
}

fn address(request: &Request<'_>) -> Result<String, Refusal> {
    let (address,): (String,) = request.arguments()?;
    if address.is_empty() {
        return Err(Refusal::arguments("D-Bus address may not be empty string"));
    }
    Ok(address)
}

/// The methods of the job environment tables.
fn environment_method(request: &Request<'_>, method: &str) -> Handled {
    match method {
        "GetEnv" => {
            let (details, name): (Vec<String>, String) = request.arguments()?;
            let job = job(request, details)?;
            request.reply(&query::variable(request.state, borrowed(&job), &name)?)
        }
        "ListEnv" => {
            let (details,): (Vec<String>,) = request.arguments()?;
            let job = job(request, details)?;
            request.reply(&query::table(request.state, borrowed(&job))?)
        }
        "SetEnv" => {
            let (details, variable, replace): (_, String, _) = request.arguments()?;
            call(Call::SetEnvironment { job: job(request, details)?, entries: vec![variable], replace })
        }
        "SetEnvList" => {
            let (details, entries, replace) = request.arguments()?;
            call(Call::SetEnvironment { job: job(request, details)?, entries, replace })
        }
        "UnsetEnv" => {
            let (details, name): (_, String) = request.arguments()?;
            call(Call::UnsetEnvironment { job: job(request, details)?, names: vec![name] })
        }
        "UnsetEnvList" => {
            let (details, names) = request.arguments()?;
            call(Call::UnsetEnvironment { job: job(request, details)?, names })
        }
        "ResetEnv" => {
            let (details,): (Vec<String>,) = request.arguments()?;
            call(Call::ResetEnvironment { job: job(request, details)? })
        }
        _ => Err(Refusal::unknown_method(format!("There is no method {method}"))),
    }
}

/// The `job` argument: nothing for the global table, or the name of a job and of its instance.
fn job(request: &Request<'_>, details: Vec<String>) -> Result<Option<(String, String)>, Refusal> {
    let mut details = details.into_iter();
    match (details.next(), details.next(), details.next()) {
        (None, ..) => Ok(None),
        (Some(class), instance, None) => Ok(Some((request.named(&class), instance.unwrap_or_default()))),
        _ => Err(Refusal::arguments("Job must be nothing, or a name and an instance")),
    }
}

fn borrowed(job: &Option<(String, String)>) -> Option<(&str, &str)> {
    job.as_ref().map(|(class, instance)| (class.as_str(), instance.as_str()))
}

/// The value of a property.
pub(super) fn get<'a>(request: &Request<'a>, property: &str) -> Option<Variant<'a>> {
    match property {
        "version" => value(VERSION),
        "log_priority" => value(request.state.log_priority().name()),
        _ => None,
    }
}

/// Sets the one property that can be set.
pub(super) fn set(property: &str, new: &Variant<'_>) -> Handled {
    let priority = match new {
        Variant::Str(text) if property == "log_priority" => Priority::of_name(text.as_str()),
        _ => return Err(Refusal::arguments("The property is a string")),
    };
    let Some(priority) = priority else {
        return Err(Refusal::arguments("The log priority given was not recognised"));
    };
    call(Call::SetLogPriority(priority))
}
