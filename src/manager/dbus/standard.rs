//! The interfaces that every object has: `org.freedesktop.DBus.Peer`, `.Introspectable` and `.Properties`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use zbus::Variant;

use super::interface::{Argument, Handled, Interface, Refusal, Request, guarded, open};
use super::objects::Object;

pub(super) static PEER: Interface = Interface {
    name: "org.freedesktop.DBus.Peer",
    methods: &[open("Ping", &[], &[]), open("GetMachineId", &[], &[("machine_uuid", "s")])],
    signals: &[],
    properties: &[],
};

pub(super) static INTROSPECTABLE: Interface = Interface {
    name: "org.freedesktop.DBus.Introspectable",
    methods: &[open("Introspect", &[], &[("data", "s")])],
    signals: &[],
    properties: &[],
};

pub(super) static PROPERTIES: Interface = Interface {
    name: "org.freedesktop.DBus.Properties",
    methods: &[
        open("Get", &[("interface_name", "s"), ("property_name", "s")], &[("value", "v")]),
        guarded("Set", &[("interface_name", "s"), ("property_name", "s"), ("value", "v")], &[]),
        open("GetAll", &[("interface_name", "s")], &[("properties", "a{sv}")]),
    ],
    signals: &[],
    properties: &[],
};

/// Carries out a method of `Peer`.
pub(super) fn handle_peer(request: &Request<'_>, method: &str) -> Handled {
    if method == "Ping" {
        return request.reply(&());
    }
    let read = |path| std::fs::read_to_string(path).ok();
    match read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id")) {
        Some(id) => request.reply(&id.trim()),
        None => Err(Refusal {
            name: "org.freedesktop.DBus.Error.FileNotFound",
            text: "This machine has no /etc/machine-id".to_owned(),
        }),
    }
}

/// Carries out `Introspect`.
pub(super) fn handle_introspectable(request: &Request<'_>, object: &Object<'_>) -> Handled {
    request.reply(&describe(object))
}

/// Carries out a method of `Properties`.
pub(super) fn handle_properties(request: &Request<'_>, object: &Object<'_>, method: &str) -> Handled {
    match method {
        "Get" => {
            let (interface, property): (String, String) = request.arguments()?;
            match own_interface(object, &interface)?.and_then(|_| object.get(request, &property)) {
                Some(value) => request.reply(&value),
                None => Err(unknown_property(&property)),
            }
        }
        "GetAll" => {
            let (interface,): (String,) = request.arguments()?;
            let properties = own_interface(object, &interface)?.map_or(&[][..], |interface| interface.properties);
            let value = |name| object.get(request, name).map(|value| (name, value));
            let values: BTreeMap<&str, Variant<'_>> =
                properties.iter().filter_map(|property| value(property.name)).collect();
            request.reply(&values)
        }
        _ => set(request, object),
    }
}

fn set(request: &Request<'_>, object: &Object<'_>) -> Handled {
    let body = request.message.body();
    let (interface, property, value): (String, String, Variant<'_>) =
        body.deserialize().map_err(|_| Refusal::arguments("Malformed arguments"))?;
    match own_interface(object, &interface)?.and_then(|interface| interface.property(&property)) {
        None => Err(unknown_property(&property)),
        Some(property) if property.is_writable => super::upstart::set(property.name, &value),
        Some(_) => Err(Refusal {
            name: "org.freedesktop.DBus.Error.PropertyReadOnly",
            text: format!("Property {property} can only be read"),
        }),
    }
}

/// The object's own interface if it is the one meant; none if the name is that of an interface without properties.
fn own_interface(object: &Object<'_>, name: &str) -> Result<Option<&'static Interface>, Refusal> {
    match object.interface() {
        Some(interface) if name.is_empty() || interface.name == name => Ok(Some(interface)),
        _ if STANDARD.iter().any(|interface| interface.name == name) => Ok(None),
        _ => Err(Refusal {
            name: "org.freedesktop.DBus.Error.UnknownInterface",
            text: format!("There is no interface {name} at this object"),
        }),
    }
}

fn unknown_property(name: &str) -> Refusal {
    Refusal {
        name: "org.freedesktop.DBus.Error.UnknownProperty",
        text: format!("There is no property {name} at this object"),
    }
}

/// The interfaces of this file.
pub(super) static STANDARD: [&Interface; 3] = [&PROPERTIES, &INTROSPECTABLE, &PEER];

/// The introspection data of an object. `Peer` belongs to the connection and is not listed, as by libdbus.
fn describe(object: &Object<'_>) -> String {
    let mut xml = String::from(concat!(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n",
        "\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n"
    ));
    if let Some(interface) = object.interface() {
        describe_interface(&mut xml, interface);
        describe_interface(&mut xml, &PROPERTIES);
    }
    describe_interface(&mut xml, &INTROSPECTABLE);
    for child in object.children() {
        let _ = writeln!(xml, "  <node name=\"{child}\"/>");
    }
    xml.push_str("</node>\n");
    xml
}

fn describe_interface(xml: &mut String, interface: &Interface) {
    let _ = writeln!(xml, "  <interface name=\"{}\">", interface.name);
    for method in interface.methods {
        let _ = writeln!(xml, "    <method name=\"{}\">", method.name);
        describe_arguments(xml, method.inputs, " direction=\"in\"");
        describe_arguments(xml, method.outputs, " direction=\"out\"");
        xml.push_str("    </method>\n");
    }
    for signal in interface.signals {
        let _ = writeln!(xml, "    <signal name=\"{}\">", signal.name);
        describe_arguments(xml, signal.arguments, "");
        xml.push_str("    </signal>\n");
    }
    for property in interface.properties {
        let access = if property.is_writable { "readwrite" } else { "read" };
        let (name, signature) = (property.name, property.signature);
        let _ = writeln!(xml, "    <property name=\"{name}\" type=\"{signature}\" access=\"{access}\"/>");
    }
    xml.push_str("  </interface>\n");
}

fn describe_arguments(xml: &mut String, arguments: &[Argument], direction: &str) {
    for (name, signature) in arguments {
        let _ = writeln!(xml, "      <arg name=\"{name}\" type=\"{signature}\"{direction}/>");
    }
}

/// Carries out a method of one of the interfaces of this file.
pub(super) fn handle(request: &Request<'_>, object: &Object<'_>, interface: &Interface, method: &str) -> Handled {
    match interface.name {
        name if name == PEER.name => handle_peer(request, method),
        name if name == PROPERTIES.name => handle_properties(request, object, method),
        _ => handle_introspectable(request, object),
    }
}
