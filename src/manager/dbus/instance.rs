//! `com.ubuntu.Upstart0_6.Instance`: an instance, at `/com/ubuntu/Upstart/jobs/<name>/<instance>`.

use machine::input::Call;
use machine::job::{Instance, ProcessKind};
use zbus::Variant;

use super::interface::{Handled, Interface, Refusal, Request, call, guarded, readable, signal, value};

pub(super) static INTERFACE: Interface = Interface {
    name: "com.ubuntu.Upstart0_6.Instance",
    methods: &[
        guarded("Start", &[("wait", "b")], &[]),
        guarded("Stop", &[("wait", "b")], &[]),
        guarded("Restart", &[("wait", "b")], &[]),
        guarded("Reload", &[], &[]),
    ],
    signals: &[
        signal("GoalChanged", &[("goal", "s")]),
        signal("StateChanged", &[("state", "s")]),
        signal("Failed", &[("status", "i")]),
    ],
    properties: &[readable("name", "s"), readable("goal", "s"), readable("state", "s"), readable("processes", "a(si)")],
};

/// Carries out a method of an instance, as [`super::upstart::handle`].
pub(super) fn handle(request: &Request<'_>, instance: &Instance, method: &str) -> Handled {
    let (class, instance) = (instance.class.as_ref().into(), instance.name.as_ref().into());
    match method {
        "Start" => call(Call::StartInstance { class, instance, wait: wait(request)? }),
        "Stop" => call(Call::StopInstance { class, instance, wait: wait(request)? }),
        "Restart" => call(Call::RestartInstance { class, instance, wait: wait(request)? }),
        "Reload" => call(Call::ReloadInstance { class, instance }),
        _ => Err(Refusal::unknown_method(format!("There is no method {method}"))),
    }
}

fn wait(request: &Request<'_>) -> Result<bool, Refusal> {
    let (wait,) = request.arguments()?;
    Ok(wait)
}

/// The value of a property.
pub(super) fn get<'a>(instance: &'a Instance, property: &str) -> Option<Variant<'a>> {
    match property {
        "name" => value(&*instance.name),
        "goal" => value(instance.goal.name()),
        "state" => value(instance.state.name()),
        "processes" => value(processes(instance)),
        _ => None,
    }
}

/// The processes that run, in the order in which status lines show them.
pub(super) fn processes(instance: &Instance) -> Vec<(&'static str, i32)> {
    let of_kind = |kind: ProcessKind| instance.process(kind).filter(|process| process.pid > 0);
    ProcessKind::ALL.iter().filter_map(|kind| of_kind(*kind).map(|process| (kind.name(), process.pid))).collect()
}
