//! Users and groups: names to numbers, away from the turn.
//!
//! The user database may be a file, LDAP, or a server that does not answer; so look-ups have a thread of their own, and a
//! job with `setuid` waits for it alone.

use std::ffi::CString;
use std::io;
use std::thread;

use keeper::protocol::Identity;
use nix::unistd::{Gid, Group, User, getgrouplist};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A question: who is meant?
#[derive(Debug)]
struct Question {
    ticket: u64,
    setuid: Option<String>,
    setgid: Option<String>,
}

/// Why there is no answer, in the words of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such user.
    NoUser(String),
    /// There is no such group.
    NoGroup(String),
    /// The database cannot be asked.
    Database(nix::Error),
}

impl std::fmt::Display for LookupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoUser(name) => write!(f, "unable to find setuid user {name}"),
            Self::NoGroup(name) => write!(f, "unable to find setgid group {name}"),
            Self::Database(errno) => write!(f, "unable to ask the user database: {}", errno.desc()),
        }
    }
}

/// The thread that asks.
#[derive(Debug)]
pub struct Users {
    questions: std::sync::mpsc::Sender<Question>,
    answers: UnboundedReceiver<(u64, Result<Identity, LookupError>)>,
}

impl Users {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start() -> io::Result<Self> {
        let (questions, asked) = std::sync::mpsc::channel::<Question>();
        let (answer, answers): (UnboundedSender<_>, _) = unbounded_channel();
        thread::Builder::new().name("users".into()).stack_size(256 * 1024).spawn(move || {
            for question in asked {
                let found = look_up(question.setuid.as_deref(), question.setgid.as_deref());
                if answer.send((question.ticket, found)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks for the user and group of a ticket.
    pub fn ask(&self, ticket: u64, setuid: Option<String>, setgid: Option<String>) {
        // The thread ends only with us.
        let _ = self.questions.send(Question { ticket, setuid, setgid });
    }

    /// The next answer. Cancel-safe.
    pub async fn next(&mut self) -> (u64, Result<Identity, LookupError>) {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// As Upstart does it: the supplementary groups of the user, to which the group that the process would have without
/// `setgid` counts, too; the primary group is the user's own unless `setgid` names another.
fn look_up(setuid: Option<&str>, setgid: Option<&str>) -> Result<Identity, LookupError> {
    let group = match setgid {
        Some(name) => {
            let found = Group::from_name(name).map_err(LookupError::Database)?;
            Some(found.ok_or_else(|| LookupError::NoGroup(name.into()))?.gid)
        }
        None => None,
    };
    let Some(name) = setuid else {
        return Ok(Identity { gid: group.map(Gid::as_raw), groups: None, uid: None });
    };
    let user = User::from_name(name).map_err(LookupError::Database)?;
    let user = user.ok_or_else(|| LookupError::NoUser(name.into()))?;
    let base = group.unwrap_or_else(nix::unistd::getgid);
    let c_name = CString::new(name).map_err(|_| LookupError::NoUser(name.into()))?;
    let groups = getgrouplist(&c_name, base).map_err(LookupError::Database)?;
    Ok(Identity {
        gid: Some(group.unwrap_or(user.gid).as_raw()),
        groups: Some(groups.into_iter().map(Gid::as_raw).collect()),
        uid: Some(user.uid.as_raw()),
    })
}
