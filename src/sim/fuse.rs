//! The fuse: where in its work the manager dies.
//!
//! Every step that anybody outside could see, or that leaves something behind, burns a piece of it: before and after each
//! operation on the journal's files, each message to the keeper, each reply. When it is burnt down the manager is gone:
//! nothing that its code does after that comes out any more.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// A place in the manager's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Between two turns.
    #[default]
    Idle,
    /// Reading names or files of the journal.
    Read,
    /// Before a file is made.
    Create,
    /// After that.
    Created,
    /// In a write, of which any number of bytes arrive.
    Write,
    /// After it.
    Written,
    /// Before a file gets its name.
    Rename,
    /// After that.
    Renamed,
    /// Before a file is removed.
    Remove,
    /// After that.
    Removed,
    /// Before a message to the keeper.
    Send,
    /// After that.
    Sent,
    /// Before a reply, a signal or a log line is out.
    Tell,
    /// After that.
    Told,
    /// Before a call is taken from its connection.
    Take,
    /// After that.
    Taken,
}

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is done.
    Go,
    /// This is where the manager dies.
    Blown,
    /// It is dead already.
    Gone,
}

/// See the module. Clones are the same fuse.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    left: Cell<Option<u64>>,
    is_blown: Cell<bool>,
    steps: Cell<u64>,
    at: Cell<Point>,
}

impl Fuse {
    /// A new manager: it dies after so many steps, or not at all.
    pub fn arm(&self, steps: Option<u64>) {
        self.0.left.set(steps);
        self.0.is_blown.set(false);
    }

    /// One step.
    pub fn step(&self, at: Point) -> Step {
        if self.0.is_blown.get() {
            return Step::Gone;
        }
        self.0.steps.set(self.0.steps.get() + 1);
        self.0.at.set(at);
        match self.0.left.get() {
            Some(0) => {
                self.0.is_blown.set(true);
                Step::Blown
            }
            Some(left) => {
                self.0.left.set(Some(left - 1));
                Step::Go
            }
            None => Step::Go,
        }
    }

    /// One step, for those who need not know more than whether it is done.
    ///
    /// # Errors
    /// When the manager is dead.
    pub fn burn(&self, at: Point) -> io::Result<()> {
        match self.step(at) {
            Step::Go => Ok(()),
            Step::Blown | Step::Gone => Err(dead()),
        }
    }

    /// Whether the manager is dead.
    #[must_use]
    pub fn is_blown(&self) -> bool {
        self.0.is_blown.get()
    }

    /// Whether it may die within so many steps.
    #[must_use]
    pub fn is_near(&self, steps: u64) -> bool {
        self.0.left.get().is_some_and(|left| left < steps)
    }

    /// How many steps there were, over all managers.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.get()
    }

    /// Where the last step was.
    #[must_use]
    pub fn at(&self) -> Point {
        self.0.at.get()
    }
}

/// What the manager's own code sees of its death.
pub(crate) fn dead() -> io::Error {
    io::Error::other("this manager is dead")
}
