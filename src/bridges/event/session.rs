//! The side of the session init: tells it, one by one, what the queue holds.
//!
//! Knows how events are named in a session. An item is done when the session init has confirmed it; until then it is
//! tried again, over as many connections as it takes.

use control::bus::{Bus, CallError, Target};
use control::remote::Remote;

use super::Bridge;
use super::queue::{Item, Queue};
use crate::backoff::Backoff;

/// Emits for ever.
pub async fn emit(bridge: &Bridge, queue: &Queue) {
    let target = Target::Private(bridge.session.clone());
    let mut backoff = Backoff::new();
    let mut waiting = None;
    loop {
        match Bus::connect(&target).await {
            Ok(bus) => {
                backoff = Backoff::new();
                let mut remote = Remote::new(bus);
                let end = serve(bridge, queue, &mut remote, &mut waiting).await;
                bridge.tell(format_args!("session init: {end}"));
            }
            Err(error) => bridge.tell(format_args!("{error}")),
        }
        backoff.pause().await;
    }
}

/// Emits over one connection until it ends; what was not confirmed stays in `waiting`.
async fn serve(bridge: &Bridge, queue: &Queue, remote: &mut Remote, waiting: &mut Option<Item>) -> CallError {
    loop {
        let item = match waiting.take() {
            Some(item) => item,
            None => match next(queue, remote).await {
                Ok(item) => item,
                Err(error) => return error,
            },
        };
        let dropped = queue.take_dropped();
        if dropped > 0 {
            eprintln!("upstart-event-bridge: {dropped} events lost while the session was away");
        }
        let (name, env) = in_session(&item);
        match remote.emit(&name, env, false).await {
            Ok(()) => bridge.tell(format_args!("{name} {}", env.join(" "))),
            Err(CallError::Disconnected) => {
                *waiting = Some(item);
                return CallError::Disconnected;
            }
            // An event the session refuses is refused for good.
            Err(error) => eprintln!("upstart-event-bridge: {name}: {error}"),
        }
        remote.bus.forget_signals();
        if let Item::Restarted { generation: Some(generation) } = item {
            bridge.ledger.write(generation);
        }
    }
}

/// The next item. Meanwhile the signals of the session are read and dropped, lest they pile up, and so that the end
/// of the connection is noticed.
async fn next(queue: &Queue, remote: &mut Remote) -> Result<Item, CallError> {
    loop {
        tokio::select! {
            item = queue.next() => return Ok(item),
            signal = remote.bus.signal() => drop(signal?),
        }
    }
}

/// The name and the variables of an item as an event of the session.
fn in_session(item: &Item) -> (String, &[String]) {
    match item {
        Item::Event { name, env } => (format!(":sys:{name}"), env),
        Item::Restarted { .. } => (":sys:restarted".to_owned(), &[]),
    }
}
