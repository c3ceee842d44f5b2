//! `stayup.Init1`: what Stayup has to say beyond Upstart's interfaces, at `/stayup`.

use std::collections::BTreeMap;
use zbus::Variant;

use super::interface::{Interface, Request, readable, signal, value};
use super::{Detail, View};

pub(super) static INTERFACE: Interface = Interface {
    name: "stayup.Init1",
    methods: &[],
    signals: &[signal("Recovered", &[("generation", "t"), ("recovery", "a{sv}")])],
    properties: &[readable("Version", "s"), readable("RestartGeneration", "t"), readable("LastRecovery", "a{sv}")],
};

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
