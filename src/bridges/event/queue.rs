//! What has been heard from the system init and not yet been told to the session.
//!
//! Knows items and their order. Its length is bounded, because a session can be away for long; what is dropped then
//! are old events, never a restart.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// Something to emit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// An event of the system.
    Event {
        /// Its name, without prefix.
        name: String,
        /// Its variables.
        env: Vec<String>,
    },
    /// The system init was restarted.
    Restarted {
        /// Its restart generation, where it has one.
        generation: Option<u64>,
    },
}

/// A queue within one thread.
#[derive(Debug, Default)]
pub struct Queue {
    items: RefCell<VecDeque<Item>>,
    dropped: Cell<u64>,
    changed: Notify,
}

impl Queue {
    /// Events beyond this number push out the oldest.
    pub const CAPACITY: usize = 1024;

    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item. A restart that is still waiting is replaced by a later one: one event tells of both.
    pub fn push(&self, item: Item) {
        let mut items = self.items.borrow_mut();
        if let Item::Restarted { .. } = item {
            items.retain(|waiting| !matches!(waiting, Item::Restarted { .. }));
        } else if items.len() >= Self::CAPACITY {
            let oldest = items.iter().position(|waiting| matches!(waiting, Item::Event { .. }));
            if let Some(index) = oldest {
                items.remove(index);
                self.dropped.set(self.dropped.get() + 1);
            }
        }
        items.push_back(item);
        self.changed.notify_one();
    }

    /// Takes the oldest item, waiting for one.
    pub async fn next(&self) -> Item {
        loop {
            if let Some(item) = self.items.borrow_mut().pop_front() {
                return item;
            }
            self.changed.notified().await;
        }
    }

    /// How many events were dropped since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Item {
        Item::Event { name: number.to_string(), env: Vec::new() }
    }

    fn restart(generation: u64) -> Item {
        Item::Restarted { generation: Some(generation) }
    }

    #[test]
    fn a_full_queue_forgets_events_but_no_restart() {
        let queue = Queue::new();
        queue.push(restart(1));
        for number in 0..Queue::CAPACITY + 10 {
            queue.push(event(number));
        }
        assert_eq!(queue.take_dropped(), 11);
        control::block_on(async {
            assert_eq!(queue.next().await, restart(1));
            assert_eq!(queue.next().await, event(11));
        });
    }

    #[test]
    fn restarts_that_wait_together_are_told_once() {
        let queue = Queue::new();
        queue.push(restart(1));
        queue.push(event(1));
        queue.push(restart(2));
        control::block_on(async {
            assert_eq!(queue.next().await, event(1));
            assert_eq!(queue.next().await, restart(2));
        });
        assert!(queue.items.borrow().is_empty());
    }
}
