//! `stayup.Init1`: what Stayup has to say beyond Upstart's interfaces, at `/stayup`.

use machine::input::Call;
use std::collections::BTreeMap;
use zbus::Variant;

use super::interface::{Handled, Interface, Outcome, Refusal, Request, guarded, readable, signal, value};
use super::{Detail, View};

pub(super) static INTERFACE: Interface = Interface {
    name: "stayup.Init1",
    methods: &[guarded("Exit", &[("status", "y")], &[])],
    signals: &[signal("Recovered", &[("generation", "t"), ("recovery", "a{sv}")])],
    properties: &[readable("Version", "s"), readable("RestartGeneration", "t"), readable("LastRecovery", "a{sv}")],
};

/// Carries out a method, see [`super::upstart::handle`].
pub(super) fn handle(request: &Request<'_>, method: &str) -> Handled {
    match method {
        "Exit" if request.config.may_exit => {
            let call = Box::new(Call::Exit(request.arguments()?));
            Ok(Outcome::Call { call, file: None })
        }
        "Exit" => Err(Refusal::denied("Not permissible to exit for PID 1, except in a container: ask for a reboot")),
        _ => Err(Refusal::unknown_method(format!("There is no method {method}"))),
    }
}

/// The value of a property.
pub(super) fn get<'a>(request: &Request<'a>, property: &str) -> Option<Variant<'a>> {
    match property {
        "Version" => value(request.config.version.as_str()),
        "RestartGeneration" => value(request.state.generation()),
        "LastRecovery" => value(recovery(request.view)),
        _ => None,
    }
}

/// What is known of the last recovery, as D-Bus writes it.
pub(super) fn recovery(view: &View) -> BTreeMap<&str, Variant<'_>> {
    let variant = |detail: &'_ Detail| match detail {
        Detail::Text(text) => Variant::from(text.clone()),
        Detail::Number(number) => Variant::from(*number),
        Detail::Flag(flag) => Variant::from(*flag),
    };
    view.recovery.iter().map(|(key, detail)| (key.as_str(), variant(detail))).collect()
}
