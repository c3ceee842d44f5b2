//! Effects in words.

use machine::effect::{Announcement, Answer, Caller, Effect, Priority};
use machine::job::Instance;
use machine::signals;
use machine::state::State;

use super::World;
use super::keeper::title_of_label;

/// Adds the line for an effect, if it is worth one.
pub(crate) fn effect(world: &mut World, effect: &Effect) {
    let line = match effect {
        Effect::Spawn(ticket) => format!("spawn {}", process(&world.state, *ticket)),
        Effect::Signal { ticket, signal, whole_group, .. } => {
            let alone = if *whole_group { "" } else { " (alone)" };
            format!("signal {} {}{alone}", process(&world.state, *ticket), signals::name(*signal).unwrap_or("?"))
        }
        Effect::Settle(ticket) => format!("settle {}", process(&world.state, *ticket)),
        Effect::Acknowledge(_) => return,
        Effect::Release(name) => format!("release {name}"),
        Effect::Announce(_, announcement) => match telling(announcement) {
            Some(line) => line,
            None => return,
        },
        Effect::Reexecute => "re-execute".into(),
        Effect::Exit(status) => format!("exit {status}"),
        Effect::Rescan => "rescan".into(),
        Effect::LogPriority(priority) => format!("log priority {}", priority.name()),
    };
    world.lines.push(line);
}

/// `job main`, `job:instance main`.
fn process(state: &State, ticket: u64) -> String {
    let Some((_, instance, process)) = state.process(ticket) else { return format!("ticket {ticket}") };
    title_of_label(&machine::spawn::label(process.kind, &instance.class, &instance.name))
}

/// An announcement; none for what is only noise in a story. Goals and states have a word for themselves so that a story
/// can ask to see them.
pub(crate) fn telling(announcement: &Announcement) -> Option<String> {
    Some(match announcement {
        Announcement::Reply(caller, answer) => format!("answer {}: {}", caller_name(caller), answer_text(answer)),
        Announcement::EventEmitted(name, environment) => words("event", name, environment),
        Announcement::JobAdded(class) => format!("added {class}"),
        Announcement::JobRemoved(class) => format!("removed {class}"),
        Announcement::InstanceAdded(class, name) => format!("added instance {}", title(class, name)),
        Announcement::InstanceRemoved(class, name) => format!("removed instance {}", title(class, name)),
        Announcement::GoalChanged(class, name, goal) => format!("goal {} {}", title(class, name), goal.name()),
        Announcement::StateChanged(class, name, state) => format!("state {} {}", title(class, name), state.name()),
        Announcement::Failed(class, name, status) => format!("failed {} {status}", title(class, name)),
        Announcement::Restarted(_) => "restarted".into(),
        Announcement::Log(priority, text) if *priority >= Priority::Warn => format!("log {text}"),
        Announcement::Log(..) => return None,
    })
}

/// Callers of these tests say what they called.
pub(crate) fn caller_name(caller: &Caller) -> &str {
    caller.sender.as_deref().unwrap_or("?")
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Done => "ok".into(),
        Answer::Instance(class, name) => title(class, name),
        Answer::Error(error) => format!("error, {error}"),
    }
}

/// `job` or `job:instance`.
pub(crate) fn title(class: &str, name: &str) -> String {
    if name.is_empty() { class.into() } else { format!("{class}:{name}") }
}

fn words(first: &str, second: &str, rest: &[String]) -> String {
    let mut line = format!("{first} {second}");
    for word in rest {
        line.push(' ');
        line.push_str(word);
    }
    line
}

/// `job start/running, main 1, post-start 2`.
pub(crate) fn status(instance: &Instance) -> String {
    let mut line = title(&instance.class, &instance.name);
    line.push_str(&format!(" {}/{}", instance.goal.name(), instance.state.name()));
    for process in &instance.processes {
        line.push_str(&format!(", {} {}", process.kind.name(), process.pid));
    }
    line
}
