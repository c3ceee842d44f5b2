//! What an interface is: the tables that introspection, the resolution of members, the check of arguments and the
//! permissions are all made from. Knows no interface in particular.

use machine::effect::{CallError, Caller};
use machine::input::Call;
use machine::root;
use machine::state::State;
use serde::Serialize;
use std::os::fd::OwnedFd;
use zbus::Variant;
use zbus::message::Message;
use zbus::wire::DynamicType;

use super::plain::Bytes;
use super::{Control, DbusConfig, View, wire};

/// Name and signature of an argument.
pub(super) type Argument = (&'static str, &'static str);

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Anyone,
    /// root, and the user of this init.
    Privileged,
}

/// A method of an interface.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) inputs: &'static [Argument],
    pub(super) outputs: &'static [Argument],
    pub(super) may: May,
}

/// A signal of an interface.
#[derive(Debug)]
pub(super) struct Signal {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Argument],
}

/// A property of an interface.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) signature: &'static str,
    pub(super) is_writable: bool,
}

/// An interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) name: &'static str,
    pub(super) methods: &'static [Method],
    pub(super) signals: &'static [Signal],
    pub(super) properties: &'static [Property],
}

/// A method that anyone may call.
pub(super) const fn open(name: &'static str, inputs: &'static [Argument], outputs: &'static [Argument]) -> Method {
    Method { name, inputs, outputs, may: May::Anyone }
}

/// A method for root and the user of this init.
pub(super) const fn guarded(name: &'static str, inputs: &'static [Argument], outputs: &'static [Argument]) -> Method {
    Method { name, inputs, outputs, may: May::Privileged }
}

/// A property that is only read.
pub(super) const fn readable(name: &'static str, signature: &'static str) -> Property {
    Property { name, signature, is_writable: false }
}

/// A signal.
pub(super) const fn signal(name: &'static str, arguments: &'static [Argument]) -> Signal {
    Signal { name, arguments }
}

impl Interface {
    pub(super) fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    pub(super) fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|property| property.name == name)
    }
}

impl Method {
    /// Whether arguments of this signature are those of the method.
    pub(super) fn takes(&self, signature: &str) -> bool {
        let mut rest = signature;
        self.inputs.iter().all(|(_, expected)| match rest.strip_prefix(expected) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        }) && rest.is_empty()
    }
}

/// A call under consideration, and all that may be looked at to answer it.
pub(super) struct Request<'a> {
    pub(super) state: &'a State,
    pub(super) view: &'a View,
    pub(super) config: &'a DbusConfig,
    pub(super) caller: &'a Caller,
    pub(super) message: &'a Message,
    /// The root that the caller lives in; none is init's own.
    pub(super) root: Option<&'a str>,
}

impl Request<'_> {
    /// What the caller calls by this name: inside of a root all that is not there has no name.
    pub(super) fn named(&self, name: &str) -> String {
        root::within(self.root, name)
    }

    /// What the caller knows a class or an event by.
    pub(super) fn shown<'n>(&self, name: &'n str) -> &'n str {
        if self.root.is_some() { root::bare(name) } else { name }
    }
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is answered.
    Reply(Option<Bytes>),
    /// The machine decides. The file is that of EmitEventWithFile.
    Call { call: Box<Call>, file: Option<OwnedFd> },
    /// The manager's main loop does it.
    Control(Control),
    /// It may only be carried out for a privileged user, and who it comes from is not known yet.
    WhoIsIt,
}

/// An error to answer with.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// What a handler makes of a call.
pub(super) type Handled = Result<Outcome, Refusal>;

impl Request<'_> {
    /// The arguments. Their signature has been checked; what is left are malformed bodies.
    pub(super) fn arguments<T>(&self) -> Result<T, Refusal>
    where
        T: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        self.message.body().deserialize().map_err(|_| Refusal::arguments("Malformed arguments"))
    }

    /// An answer with values.
    #[allow(clippy::unnecessary_wraps, reason = "it ends handlers")]
    pub(super) fn reply<B: Serialize + DynamicType>(&self, body: &B) -> Handled {
        let message = wire::reply(self.caller, body)
            .or_else(|| wire::error(self.caller, wire::FAILED, "The value contains a NUL byte"));
        Ok(Outcome::Reply(message))
    }
}

/// A call for the machine.
#[allow(clippy::unnecessary_wraps, reason = "it ends handlers")]
pub(super) fn call(call: Call) -> Handled {
    Ok(Outcome::Call { call: Box::new(call), file: None })
}

/// A property's value, from anything that has one.
pub(super) fn value<'a>(value: impl Into<Variant<'a>>) -> Option<Variant<'a>> {
    Some(value.into())
}

impl Refusal {
    pub(super) fn arguments(text: &str) -> Self {
        Self { name: "org.freedesktop.DBus.Error.InvalidArgs", text: text.to_owned() }
    }

    pub(super) fn unknown_method(text: String) -> Self {
        Self { name: "org.freedesktop.DBus.Error.UnknownMethod", text }
    }

    pub(super) fn denied(text: &str) -> Self {
        Self { name: "com.ubuntu.Upstart0_6.Error.PermissionDenied", text: text.to_owned() }
    }
}

impl From<&CallError> for Refusal {
    fn from(error: &CallError) -> Self {
        Self { name: name_of(error), text: error.to_string() }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::from(&error)
    }
}

/// The D-Bus name of an error of the machine.
fn name_of(error: &CallError) -> &'static str {
    match error {
        CallError::UnknownJob(_) => "com.ubuntu.Upstart0_6.Error.UnknownJob",
        CallError::UnknownInstance(_) => "com.ubuntu.Upstart0_6.Error.UnknownInstance",
        CallError::UnknownJobInstance(_) => "com.ubuntu.Upstart0_6.Error.UnknownJobInstance",
        CallError::AlreadyStarted(_) => "com.ubuntu.Upstart0_6.Error.AlreadyStarted",
        CallError::AlreadyStopped(_) => "com.ubuntu.Upstart0_6.Error.AlreadyStopped",
        CallError::NotRunning(_) => "com.ubuntu.Upstart0_6.Error.NotRunning",
        CallError::StartFailed | CallError::StopFailed | CallError::RestartFailed => {
            "com.ubuntu.Upstart0_6.Error.JobFailed"
        }
        CallError::EventFailed => "com.ubuntu.Upstart0_6.Error.EventFailed",
        CallError::EnvironmentOfSystem => "com.ubuntu.Upstart0_6.Error.PermissionDenied",
        CallError::MalformedEnvironment
        | CallError::EmptyName
        | CallError::EmptyVariable
        | CallError::NoSuchVariable(_)
        | CallError::Expansion(_) => "org.freedesktop.DBus.Error.InvalidArgs",
    }
}
