//! The object tree: what is at a path, which methods it has, and who may call them. Everything is derived from the state;
//! no object is ever registered.

use machine::job::Instance;
use machine::root;
use machine::state::ClassRecord;
use zbus::Variant;

use super::interface::{Handled, Interface, May, Method, Outcome, Refusal, Request};
use super::path::{self, Place};
use super::{announce, init1, instance, job, standard, upstart};

/// What is at a path.
pub(super) enum Object<'a> {
    /// Nothing but children.
    Node(Vec<String>),
    Manager {
        has_jobs: bool,
    },
    Class(&'a ClassRecord),
    Instance(&'a Instance),
    Init,
}

impl<'a> Object<'a> {
    /// Finds an object.
    pub(super) fn find(request: &Request<'a>, path: &str) -> Option<Self> {
        let state = request.state;
        Some(match path::place(path)? {
            Place::Above(children) => Self::Node(children.iter().map(|&child| child.to_owned()).collect()),
            Place::Manager => Self::Manager { has_jobs: own_classes(request).next().is_some() },
            Place::Jobs => Self::Node(own_classes(request).map(|name| path::escape(root::bare(name))).collect()),
            Place::Class(name) => Self::Class(state.class(&request.named(&name))?),
            Place::Instance(class, name) => Self::Instance(state.find(&request.named(&class), &name)?),
            Place::Init => Self::Init,
        })
    }

    /// The interface that is the object's own.
    pub(super) fn interface(&self) -> Option<&'static Interface> {
        match self {
            Self::Node(_) => None,
            Self::Manager { .. } => Some(&upstart::INTERFACE),
            Self::Class(_) => Some(&job::INTERFACE),
            Self::Instance(_) => Some(&instance::INTERFACE),
            Self::Init => Some(&init1::INTERFACE),
        }
    }

    /// Names of the nodes below.
    pub(super) fn children(&self) -> Vec<String> {
        match self {
            Self::Node(children) => children.clone(),
            Self::Manager { has_jobs: true } => vec!["jobs".to_owned()],
            Self::Class(record) => record.instances.keys().map(|name| path::escape(name)).collect(),
            Self::Manager { .. } | Self::Instance(_) | Self::Init => Vec::new(),
        }
    }

    /// The value of a property of the object's own interface.
    pub(super) fn get(&self, request: &Request<'a>, property: &str) -> Option<Variant<'a>> {
        match self {
            Self::Node(_) => None,
            Self::Manager { .. } => upstart::get(request, property),
            Self::Class(record) => job::get(record, property),
            Self::Instance(instance) => instance::get(instance, property),
            Self::Init => init1::get(request, property),
        }
    }

    /// The method a call means. Without an interface, the first one of that name is meant, the object's own before others.
    fn method(&self, interface: Option<&str>, member: &str) -> Option<(&'static Interface, &'static Method)> {
        let standard = match self {
            Self::Node(_) => &standard::STANDARD[1..],
            _ => &standard::STANDARD[..],
        };
        let all = self.interface().into_iter().chain(standard.iter().copied());
        all.filter(|candidate| interface.is_none_or(|name| name == candidate.name))
            .find_map(|candidate| Some((candidate, candidate.method(member)?)))
    }

    fn handle(&self, request: &Request<'a>, interface: &'static Interface, method: &str) -> Handled {
        if self.interface().is_none_or(|own| own.name != interface.name) {
            return standard::handle(request, self, interface, method);
        }
        match self {
            Self::Manager { .. } => upstart::handle(request, method),
            Self::Class(record) => job::handle(request, record, method),
            Self::Instance(instance) => instance::handle(request, instance, method),
            Self::Init => init1::handle(request, method),
            Self::Node(_) => Err(Refusal::unknown_method(format!("There is no method {method}"))),
        }
    }
}

/// The names of the classes that are listed for a caller: those of its root.
pub(super) fn own_classes<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a str> {
    let root = request.root;
    request.state.classes().map(|(name, _)| name).filter(move |name| root::of(name) == root)
}

/// Decides what becomes of a method call. `is_privileged` is none as long as it is not known who it comes from.
pub(super) fn dispatch(request: &Request<'_>, is_privileged: Option<bool>) -> Outcome {
    match try_dispatch(request, is_privileged) {
        Ok(outcome) => outcome,
        Err(refusal) => Outcome::Reply(announce::refused(request.caller, &refusal)),
    }
}

fn try_dispatch(request: &Request<'_>, is_privileged: Option<bool>) -> Handled {
    let header = request.message.header();
    let (path, member) = match (header.path(), header.member()) {
        (Some(path), Some(member)) => (path.as_str(), member.as_str()),
        _ => return Err(Refusal::unknown_method("A call needs a path and a member".to_owned())),
    };
    let interface = header.interface().map(zbus::names::InterfaceName::as_str);
    let unknown = || {
        let interface = interface.unwrap_or("any interface");
        Refusal::unknown_method(format!("There is no method {member} of {interface} at {path}"))
    };
    // A ping is for the connection, wherever it is sent.
    if interface == Some(standard::PEER.name) && standard::PEER.method(member).is_some() {
        return standard::handle_peer(request, member);
    }
    let object = Object::find(request, path).ok_or_else(unknown)?;
    let (interface, method) = object.method(interface, member).ok_or_else(unknown)?;
    match (method.may, is_privileged) {
        (May::Anyone, _) | (May::Privileged, Some(true)) => {}
        (May::Privileged, Some(false)) => {
            return Err(Refusal::denied("You do not have permission to request this operation"));
        }
        (May::Privileged, None) => return Ok(Outcome::WhoIsIt),
    }
    let signature = header.signature().to_string_no_parens();
    if !method.takes(&signature) {
        return Err(Refusal::arguments(&format!("{member} does not take arguments of signature \"{signature}\"")));
    }
    object.handle(request, interface, method.name)
}
