//! `upstart-event-bridge`: the events of the system init as events of a session.
//!
//! Every event NAME of the system is emitted as `:sys:NAME`, and every restart of the system init as
//! `:sys:restarted`. Two loops, one for each init, with a queue between them, so that either side can be away
//! while the other goes on:
//!
//! - [`system`] listens, and notices restarts by the *restart generation* of the system init, also those that
//!   happened while it was not connected;
//! - [`session`] emits, one by one, until the session init has confirmed;
//! - [`ledger`] keeps the last generation that was announced, so that a bridge that is itself restarted neither
//!   misses nor repeats one.

pub mod ledger;
pub mod queue;
pub mod session;
pub mod system;

use control::bus::Target;
use control::names::BUS_NAME;

use ledger::Ledger;
use queue::Queue;

/// What to bridge.
#[derive(Debug)]
pub struct Bridge {
    /// Ways to the system init, best first.
    pub system: Vec<Target>,
    /// D-Bus address of the session init.
    pub session: String,
    /// What the session has been told before.
    pub ledger: Ledger,
    /// Whether to tell of every event.
    pub verbose: bool,
}

impl Bridge {
    /// From the system of this machine to the session at this address.
    pub fn new(session: String, verbose: bool) -> Self {
        Self {
            system: vec![Target::system_bus(BUS_NAME), Target::system()],
            ledger: Ledger::of_session(&session),
            session,
            verbose,
        }
    }

    /// Works for ever.
    pub async fn run(&self) {
        let queue = Queue::new();
        tokio::join!(system::listen(self, &queue), session::emit(self, &queue));
    }

    pub(crate) fn tell(&self, text: std::fmt::Arguments<'_>) {
        if self.verbose {
            eprintln!("upstart-event-bridge: {text}");
        }
    }
}
