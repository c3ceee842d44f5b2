//! `com.ubuntu.Upstart0_6.Job`: a class, at `/com/ubuntu/Upstart/jobs/<name>`.

use machine::condition::{Condition, Node};
use machine::effect::CallError;
use machine::input::Call;
use machine::query;
use machine::state::ClassRecord;
use zbus::{ObjectPath, Variant};

use super::interface::{Handled, Interface, Refusal, Request, call, guarded, open, readable, signal, value};
use super::path;
use super::upstart::object;

pub(super) static INTERFACE: Interface = Interface {
    name: "com.ubuntu.Upstart0_6.Job",
    methods: &[
        open("GetInstance", &[("env", "as")], &[("instance", "o")]),
        open("GetInstanceByName", &[("name", "s")], &[("instance", "o")]),
        open("GetAllInstances", &[], &[("instances", "ao")]),
        guarded("Start", &[("env", "as"), ("wait", "b")], &[("instance", "o")]),
        guarded("Stop", &[("env", "as"), ("wait", "b")], &[]),
        guarded("Restart", &[("env", "as"), ("wait", "b")], &[("instance", "o")]),
    ],
    signals: &[signal("InstanceAdded", &[("instance", "o")]), signal("InstanceRemoved", &[("instance", "o")])],
    properties: &[
        readable("name", "s"),
        readable("description", "s"),
        readable("author", "s"),
        readable("version", "s"),
        readable("start_on", "aas"),
        readable("stop_on", "aas"),
        readable("emits", "as"),
        readable("usage", "s"),
    ],
};

/// Carries out a method of a class, as [`super::upstart::handle`].
pub(super) fn handle(request: &Request<'_>, record: &ClassRecord, method: &str) -> Handled {
    let class = record.definition.name.clone();
    let path_of = |name: &str| path::instance(request.shown(&record.definition.name), name);
    match method {
        "GetInstance" => {
            let (environment,): (Vec<String>,) = request.arguments()?;
            let instance = query::instance_by_environment(request.state, &class, &environment)?;
            object(request, path_of(&instance.name))
        }
        "GetInstanceByName" => {
            let (name,): (String,) = request.arguments()?;
            if !record.instances.contains_key(&name) {
                return Err(CallError::UnknownInstance(name).into());
            }
            object(request, path_of(&name))
        }
        "GetAllInstances" => {
            let paths = record.instances.keys().map(|name| path_of(name));
            request.reply(&paths.filter_map(|path| ObjectPath::try_from(path).ok()).collect::<Vec<_>>())
        }
        "Start" => {
            let (environment, wait) = request.arguments()?;
            call(Call::Start { class, environment, wait })
        }
        "Stop" => {
            let (environment, wait) = request.arguments()?;
            call(Call::Stop { class, environment, wait })
        }
        "Restart" => {
            let (environment, wait) = request.arguments()?;
            call(Call::Restart { class, environment, wait })
        }
        _ => Err(Refusal::unknown_method(format!("There is no method {method}"))),
    }
}

/// The value of a property.
pub(super) fn get<'a>(record: &'a ClassRecord, property: &str) -> Option<Variant<'a>> {
    let class = &record.definition;
    let text = |text: &'a Option<String>| value(text.as_deref().unwrap_or_default());
    match property {
        "name" => value(machine::root::bare(&class.name)),
        "description" => text(&class.description),
        "author" => text(&class.author),
        "version" => text(&class.version),
        "usage" => text(&class.usage),
        "start_on" => value(polish(class.start_on.as_ref())),
        "stop_on" => value(polish(class.stop_on.as_ref())),
        "emits" => value(&class.emits),
        _ => None,
    }
}

/// A condition in reverse Polish order: an event with its arguments is one array, and so is an operator.
pub(super) fn polish(condition: Option<&Condition>) -> Vec<Vec<String>> {
    let nodes = condition.map_or(&[][..], |condition| &condition.nodes);
    let words = |node: &Node| match node {
        Node::Event(pattern) => {
            let arguments = pattern.matches.iter().map(machine::condition::Match::text);
            std::iter::once(pattern.event.clone()).chain(arguments).collect()
        }
        Node::And => vec!["/AND".to_owned()],
        Node::Or => vec!["/OR".to_owned()],
    };
    nodes.iter().map(words).collect()
}
