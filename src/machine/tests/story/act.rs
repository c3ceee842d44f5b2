//! What the lines of a story do.

use std::sync::Arc;

use machine::class::{Class, ConsoleKind};
use machine::effect::{Caller, Priority};
use machine::input::{Call, InitSignal, Input, Settings};
use machine::job::{Cause, ProcessKind};
use machine::signals;
use machine::spawn::{Program, describe, label};

use crate::world::{Crash, World, print};

/// A world on its stage, and what the audience wants to see.
pub(super) struct Stage {
    crash: Option<Crash>,
    world: Option<World>,
    calls: Vec<(String, Input)>,
    shows_states: bool,
    shows_objects: bool,
    hides_events: bool,
}

type Done = Result<(), String>;

impl Stage {
    pub(super) fn new(crash: Option<Crash>) -> Self {
        Self { crash, world: None, calls: Vec::new(), shows_states: false, shows_objects: false, hides_events: false }
    }

    pub(super) fn into_world(mut self) -> World {
        self.world();
        self.world.expect("a world")
    }

    /// What was seen since the last time.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        let (states, objects, events) = (self.shows_states, self.shows_objects, !self.hides_events);
        let mut lines = self.world.as_mut().map(|world| core::mem::take(&mut world.lines)).unwrap_or_default();
        lines.retain(|line| match line.split(' ').next() {
            Some("goal" | "state") => states,
            Some("event") => events,
            Some("added" | "removed" | "failed") => objects,
            _ => true,
        });
        lines
    }

    fn world(&mut self) -> &mut World {
        let crash = self.crash;
        self.world.get_or_insert_with(|| World::new(settings(&[]), crash))
    }

    pub(super) fn define(&mut self, class: &Class) {
        self.world().feed(Input::Define(Box::new(class.clone())));
    }

    pub(super) fn act(&mut self, text: &str) -> Done {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verb, rest) = words.split_first().ok_or("an empty line")?;
        match *verb {
            "settings" => {
                if self.world.is_some() {
                    return Err("settings come first".into());
                }
                self.world = Some(World::new(settings(rest), self.crash));
                Ok(())
            }
            "hide" => {
                self.hides_events |= rest.contains(&"events");
                Ok(())
            }
            "show" => {
                self.shows_states |= rest.contains(&"states");
                self.shows_objects |= rest.contains(&"objects");
                Ok(())
            }
            "start" | "stop" | "restart" | "reload" | "instance" | "emit" | "set-env" | "unset-env" | "reset-env"
            | "restart-init" | "end-session" | "exit-init" | "log-priority" => self.call(text, verb, rest),
            "again" | "disconnect" => self.call_of_old(verb, &rest.join(" ")),
            "env" | "program" | "status" | "list" => self.ask(verb, rest),
            "startup" | "remove" | "signal" | "tick" | "crash" | "come" | "lose" => self.happen(verb, rest),
            _ => self.keep(verb, rest),
        }
    }

    /// A client calls.
    fn call(&mut self, text: &str, verb: &str, rest: &[&str]) -> Done {
        let connection = self.calls.len() as u64 + 1;
        let caller = Caller { connection, serial: 7, sender: Some(text.into()) };
        let input = Input::Call(caller, call(verb, rest)?);
        self.calls.push((text.into(), input.clone()));
        self.world().feed(input);
        Ok(())
    }

    /// A client that has called is heard again, or goes away.
    fn call_of_old(&mut self, verb: &str, text: &str) -> Done {
        let found = self.calls.iter().rfind(|(known, _)| known == text);
        let (_, input) = found.ok_or("nobody has called that")?.clone();
        match (verb, &input) {
            ("disconnect", Input::Call(caller, _)) => self.world().feed(Input::Disconnected(caller.connection)),
            _ => self.world().feed(input),
        }
        Ok(())
    }

    /// A question; its answer is a line.
    fn ask(&mut self, verb: &str, rest: &[&str]) -> Done {
        let world = self.world();
        if verb == "list" || verb == "status" {
            let wanted = |title: &str| verb == "list" || rest.contains(&title);
            let found = world.state.instances().filter(|i| wanted(&print::title(&i.class, &i.name)));
            let mut lines: Vec<String> = found.map(print::status).collect();
            lines.sort();
            if lines.is_empty() {
                lines.push("no instance".into());
            }
            world.lines.extend(lines);
            return Ok(());
        }
        let (kind, class, name) = process(rest)?;
        let found = world.state.find(class, name).and_then(|instance| instance.process(kind));
        let ticket = found.ok_or("no such process")?.ticket;
        let spawn = describe(&world.state, ticket).ok_or("nothing to be told of it")?;
        if verb == "program" {
            world.lines.push(match spawn.program {
                Program::Words(words) => words.join("|"),
                Program::Shell(line) => format!("sh: {line}"),
                Program::Script(text) => format!("script: {text:?}"),
            });
            return Ok(());
        }
        let wanted = |entry: &&Arc<str>| rest[2..].iter().any(|name| entry.split('=').next() == Some(*name));
        let values: Vec<String> = spawn.environment.iter().filter(wanted).map(|entry| entry.as_ref().into()).collect();
        let files: Vec<String> = spawn.files.iter().map(|file| format!("file {file}")).collect();
        let all = [values, files].concat();
        world.lines.push(if all.is_empty() { "none of them".into() } else { all.join(" ") });
        Ok(())
    }

    /// Something befalls the manager.
    fn happen(&mut self, verb: &str, rest: &[&str]) -> Done {
        let world = self.world();
        match (verb, rest) {
            ("startup", []) => world.feed(Input::Startup(Some("startup".into()))),
            ("startup", ["none"]) => world.feed(Input::Startup(None)),
            ("remove", [class]) => world.feed(Input::Remove((*class).into())),
            ("signal", [name]) => world.feed(Input::Signal(match *name {
                "INT" => InitSignal::ControlAltDelete,
                "WINCH" => InitSignal::KeyboardRequest,
                "PWR" => InitSignal::PowerStatusChanged,
                "HUP" => InitSignal::Reload,
                "TERM" => InitSignal::Terminate,
                "END" => InitSignal::End,
                _ => return Err("init takes INT, WINCH, PWR, HUP, TERM, END".into()),
            })),
            ("tick", [ms]) => world.pass(ms.parse().map_err(|_| "tick MILLISECONDS")?),
            ("crash", []) => world.crash(),
            ("come", ["back"]) => world.resume(),
            ("lose", ["journal"]) => world.lose_journal(),
            _ => return Err("what?".into()),
        }
        Ok(())
    }

    /// Something befalls the keeper or one of its processes.
    fn keep(&mut self, verb: &str, rest: &[&str]) -> Done {
        let world = self.world();
        if (verb, rest) == ("keeper", &["slow"]) {
            world.keeper.is_slow = true;
            return Ok(());
        }
        let (kind, class, name) = process(rest)?;
        if verb == "stranger" {
            let ticket = rest.get(2).and_then(|ticket| ticket.parse().ok()).ok_or("stranger JOB KIND TICKET")?;
            world.keeper.add_stranger(ticket, label(kind, class, name));
            return Ok(());
        }
        let input = match verb {
            "refuse" => {
                world.keeper.refuse(label(kind, class, name), &rest[2..].join(" "));
                return Ok(());
            }
            "spawned" => world.keeper.release(kind, class, name),
            _ => {
                let ticket = world.keeper.running(kind, class, name).ok_or("no such process runs")?;
                match verb {
                    "exit" => world.keeper.exit(ticket, cause(rest.get(2).copied())?),
                    "fork" => world.keeper.fork(ticket),
                    "stop-itself" => world.keeper.stop_itself(ticket),
                    "ready" => Some(Input::Ready(ticket)),
                    "forget" => {
                        world.keeper.table.remove(&ticket);
                        return Ok(());
                    }
                    _ => return Err("no such verb".into()),
                }
            }
        };
        world.feed(input.ok_or("it cannot")?);
        Ok(())
    }
}

/// `settings [session] [apparmor] [tmpfiles] [KEY=VALUE …]`: the variables are init's own.
fn settings(words: &[&str]) -> Settings {
    let is_session = words.contains(&"session");
    let origin: Vec<String> = words.iter().filter(|word| word.contains('=')).map(|word| (*word).into()).collect();
    let mut base = vec!["PATH=/bin".into(), "TERM=linux".into()];
    if is_session {
        base.extend(origin.iter().map(|entry| entry.as_str().into()));
    }
    Settings {
        is_session,
        origin,
        base,
        session_address: is_session.then(|| "unix:abstract=/session".into()),
        has_apparmor: words.contains(&"apparmor"),
        has_tmpfiles: words.contains(&"tmpfiles"),
        default_console: ConsoleKind::Log,
    }
}

fn call(verb: &str, rest: &[&str]) -> Result<Call, String> {
    let wait = !rest.contains(&"no-wait");
    let has_name = !matches!(verb, "set-env" | "unset-env" | "reset-env");
    let target = rest.iter().find_map(|word| word.strip_prefix("of=")).map(split_title);
    let job = target.map(|(class, name)| (class.to_owned(), name.to_owned()));
    let file = rest.iter().find_map(|word| word.strip_prefix("file=")).map(ToOwned::to_owned);
    let is_plain = |word: &&&str| **word != "no-wait" && !word.starts_with("of=") && !word.starts_with("file=");
    let words = rest.iter().skip(usize::from(has_name)).filter(is_plain);
    let environment: Vec<String> = words.filter(|word| **word != "keep").map(|word| (*word).into()).collect();
    let name: String = rest.first().map_or("", |word| if *word == "''" { "" } else { word }).into();
    let (class, instance) = split_title(rest.get(1).unwrap_or(&""));
    let (class, instance) = (class.to_owned(), instance.to_owned());
    Ok(match (verb, rest) {
        ("start", _) => Call::Start { class: name, environment, wait },
        ("stop", _) => Call::Stop { class: name, environment, wait },
        ("restart", _) => Call::Restart { class: name, environment, wait },
        ("instance", ["start", ..]) => Call::StartInstance { class, instance, wait },
        ("instance", ["stop", ..]) => Call::StopInstance { class, instance, wait },
        ("instance", ["restart", ..]) => Call::RestartInstance { class, instance, wait },
        ("reload", [title]) => {
            let (class, instance) = split_title(title);
            Call::ReloadInstance { class: class.into(), instance: instance.into() }
        }
        ("emit", _) => Call::Emit { name, environment, wait, file },
        ("set-env", _) => Call::SetEnvironment { job, entries: environment, replace: !rest.contains(&"keep") },
        ("unset-env", _) => Call::UnsetEnvironment { job, names: environment },
        ("reset-env", _) => Call::ResetEnvironment { job },
        ("restart-init", []) => Call::RestartInit,
        ("end-session", []) => Call::EndSession,
        ("exit-init", [status]) => Call::Exit(status.parse().map_err(|_| "exit-init STATUS")?),
        ("log-priority", [priority]) => {
            Call::SetLogPriority(Priority::of_name(priority).ok_or("no such log priority")?)
        }
        _ => return Err("no such call".into()),
    })
}

/// `job` or `job:instance`.
fn split_title(title: &str) -> (&str, &str) {
    title.split_once(':').unwrap_or((title, ""))
}

/// `JOB[:INSTANCE] KIND`.
fn process<'a>(words: &[&'a str]) -> Result<(ProcessKind, &'a str, &'a str), String> {
    let [title, kind, ..] = words else { return Err("of which process? JOB[:INSTANCE] KIND".into()) };
    let (class, name) = split_title(title);
    Ok((ProcessKind::of_name(kind).ok_or("no such kind of process")?, class, name))
}

/// An exit status or the name of a signal; nothing for status 0.
fn cause(word: Option<&str>) -> Result<Cause, String> {
    let Some(word) = word else { return Ok(Cause::Status(0)) };
    match (word.parse(), signals::number(word)) {
        (Ok(status), _) => Ok(Cause::Status(status)),
        (_, Some(signal)) => Ok(Cause::Signal(signal)),
        _ => Err("neither a status nor a signal".into()),
    }
}
