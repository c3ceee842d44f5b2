//! `upstart-file-bridge`: files that come, change and go as `file` events.
//!
//! Watches what the conditions of all jobs name (`file FILE=… EVENT=…`), and follows jobs that come and go. A file that
//! is there when the bridge starts counts as created.

pub mod interest;
pub mod notices;
pub mod watch;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use control::bus::{Bus, CallError, Signal, Target};
use control::names::MANAGER;
use control::remote::Remote;

use crate::backoff::Backoff;
use interest::Interest;
use notices::{Notice, Notices};
use watch::{Variables, Watches};

/// Events beyond this number push out the oldest, while the init is away.
const CAPACITY: usize = 1024;

/// The bridge for one init.
pub struct Bridge {
    target: Target,
    verbose: bool,
    notices: Notices,
    watches: Watches,
    /// What the init has not confirmed yet.
    pending: VecDeque<Variables>,
}

/// Why a connection is of no use any more.
enum End {
    Call(CallError),
    Notices(io::Error),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl Bridge {
    /// For the init at this target; `home` is what `~/` stands for. To be called within the runtime.
    ///
    /// # Errors
    /// As from inotify_init1(2).
    pub fn new(target: Target, home: Option<PathBuf>, verbose: bool) -> io::Result<Self> {
        Ok(Self { target, verbose, notices: Notices::new()?, watches: Watches::new(home), pending: VecDeque::new() })
    }

    /// Works until the kernel gives no more notices.
    ///
    /// # Errors
    /// As from reading the inotify descriptor.
    pub async fn run(&mut self) -> io::Result<()> {
        let mut backoff = Backoff::new();
        loop {
            match Bus::connect(&self.target).await {
                Ok(bus) => {
                    backoff = Backoff::new();
                    match self.serve(&mut Remote::new(bus)).await {
                        End::Call(error) => self.tell(format_args!("{error}")),
                        End::Notices(error) => return Err(error),
                    }
                }
                Err(error) => self.tell(format_args!("{error}")),
            }
            backoff.pause().await;
        }
    }

    async fn serve(&mut self, remote: &mut Remote) -> End {
        if let Err(error) = self.read_classes(remote).await {
            return error.into();
        }
        loop {
            if let Err(end) = self.step(remote).await {
                return end;
            }
        }
    }

    async fn step(&mut self, remote: &mut Remote) -> Result<(), End> {
        self.flush(remote).await?;
        tokio::select! {
            signal = remote.bus.signal() => Ok(self.handle(remote, &signal?).await?),
            notices = self.notices.next() => {
                self.take_in(notices.map_err(End::Notices)?);
                Ok(())
            }
        }
    }

    async fn read_classes(&mut self, remote: &mut Remote) -> Result<(), CallError> {
        remote.bus.subscribe().await?;
        let paths = remote.all_jobs().await?;
        let classes = remote.class_events(&paths).await?;
        self.watches.retain_classes(&paths);
        for (path, class) in paths.into_iter().zip(classes) {
            let interests = class.map(|class| Interest::of_class(&class));
            self.watches.set_class(path, interests.unwrap_or_default());
        }
        self.look();
        Ok(())
    }

    async fn handle(&mut self, remote: &mut Remote, signal: &Signal) -> Result<(), CallError> {
        if signal.is(MANAGER, "JobRemoved") {
            self.watches.remove_class(&signal.object_argument()?);
            self.look();
        } else if signal.is(MANAGER, "JobAdded") {
            let paths = [signal.object_argument()?];
            let class = remote.class_events(&paths).await?.pop().flatten();
            let interests = class.map(|class| Interest::of_class(&class));
            let [path] = paths;
            self.watches.set_class(path, interests.unwrap_or_default());
            self.look();
        }
        match signal.new_owner() {
            Some(_) => Err(CallError::Disconnected),
            None => Ok(()),
        }
    }

    fn take_in(&mut self, notices: Vec<Notice>) {
        let mut look_again = false;
        for notice in notices {
            match notice {
                Notice::Entry(directory, name, kind) => {
                    let events = self.watches.notice(&directory, &name, kind);
                    self.queue(events);
                }
                Notice::LookAgain => look_again = true,
            }
        }
        if look_again {
            self.look();
        }
    }

    /// Watches first and looks then; a directory that came in between is watched in the next round.
    fn look(&mut self) {
        loop {
            let directories = self.watches.directories();
            self.notices.watch(&directories);
            if self.watches.directories() == directories {
                break;
            }
        }
        let events = self.watches.look();
        self.queue(events);
    }

    fn queue(&mut self, events: Vec<Variables>) {
        for event in events {
            if self.pending.len() >= CAPACITY {
                self.pending.pop_front();
                eprintln!("upstart-file-bridge: an event was lost while init was away");
            }
            self.pending.push_back(event);
        }
    }

    async fn flush(&mut self, remote: &mut Remote) -> Result<(), CallError> {
        while let Some(event) = self.pending.front() {
            match remote.emit("file", event, false).await {
                Ok(()) => self.tell(format_args!("file {}", event.join(" "))),
                Err(CallError::Disconnected) => return Err(CallError::Disconnected),
                Err(error) => eprintln!("upstart-file-bridge: {}: {error}", event.join(" ")),
            }
            self.pending.pop_front();
        }
        Ok(())
    }

    fn tell(&self, text: std::fmt::Arguments<'_>) {
        if self.verbose {
            eprintln!("upstart-file-bridge: {text}");
        }
    }
}
