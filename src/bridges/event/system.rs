//! The side of the system init: what it says, and whether it was restarted.
//!
//! Knows how to reach the system init, its signals and its restart generation. Must never know whether the session
//! is there.
//!
//! Connected or not, each restart is noticed once. The `Restarted` signal and the connection that is made anew both
//! lead to the same question, whether the generation has moved; only an init without a generation is taken at its
//! word.

use control::bus::{Bus, CallError, Signal};
use control::names::{MANAGER, STAYUP, STAYUP_PATH};
use control::remote::Remote;

use super::Bridge;
use super::ledger::Ledger;
use super::queue::{Item, Queue};
use crate::backoff::Backoff;

/// Listens for ever.
pub async fn listen(bridge: &Bridge, queue: &Queue) {
    let ledger = &bridge.ledger;
    let mut watch = Watch { ledger, queue, known: ledger.read() };
    let mut backoff = Backoff::new();
    loop {
        if let Some(mut remote) = connect(bridge).await {
            backoff = Backoff::new();
            let end = watch.follow(&mut remote).await;
            bridge.tell(format_args!("system init: {end}"));
        }
        backoff.pause().await;
    }
}

/// The first way to the system init that works.
async fn connect(bridge: &Bridge) -> Option<Remote> {
    for target in &bridge.system {
        let error = match Bus::connect(target).await {
            Ok(mut bus) => match prepare(&mut bus).await {
                Ok(true) => return Some(Remote::new(bus)),
                Ok(false) => "init has no name on the bus".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        bridge.tell(format_args!("{error}"));
    }
    None
}

/// Subscribes first and asks then, so that no change falls between.
async fn prepare(bus: &mut Bus) -> Result<bool, CallError> {
    bus.subscribe().await?;
    bus.has_owner().await
}

struct Watch<'a> {
    ledger: &'a Ledger,
    queue: &'a Queue,
    /// The generation that has been announced, or is about to be: it is in the queue.
    known: Option<u64>,
}

impl Watch<'_> {
    /// Follows one connection to its end, and says why it ended.
    async fn follow(&mut self, remote: &mut Remote) -> CallError {
        if let Err(error) = self.reconcile(remote, false).await {
            return error;
        }
        loop {
            let handled = match remote.bus.signal().await {
                Ok(signal) => self.handle(remote, &signal).await,
                Err(error) => Err(error),
            };
            if let Err(error) = handled {
                return error;
            }
        }
    }

    async fn handle(&mut self, remote: &mut Remote, signal: &Signal) -> Result<(), CallError> {
        if signal.is(MANAGER, "Restarted") {
            return self.reconcile(remote, true).await;
        }
        if signal.is(MANAGER, "EventEmitted") {
            // Arguments of other types are no event; they are not ours to judge.
            if let Ok((name, env)) = signal.arguments() {
                self.queue.push(Item::Event { name, env });
            }
        }
        match signal.new_owner() {
            Some(true) => self.reconcile(remote, false).await,
            Some(false) => Err(CallError::Disconnected),
            None => Ok(()),
        }
    }

    /// Queues a restart if there was one that has not been queued before.
    async fn reconcile(&mut self, remote: &mut Remote, announced: bool) -> Result<(), CallError> {
        let generation = match generation(remote).await {
            Ok(generation) => generation,
            Err(CallError::Refused(_) | CallError::Malformed(_)) => {
                if announced {
                    self.queue.push(Item::Restarted { generation: None });
                }
                return Ok(());
            }
            Err(CallError::Disconnected) => return Err(CallError::Disconnected),
        };
        match self.known.replace(generation) {
            Some(known) if known != generation => self.queue.push(Item::Restarted { generation: Some(generation) }),
            Some(_) => {}
            // The first generation this session has seen is where it begins.
            None => self.ledger.write(generation),
        }
        Ok(())
    }
}

/// How often the system init has been restarted.
async fn generation(remote: &mut Remote) -> Result<u64, CallError> {
    let value = remote.property(STAYUP_PATH, STAYUP, "RestartGeneration").await?;
    u64::try_from(value).map_err(CallError::Malformed)
}
