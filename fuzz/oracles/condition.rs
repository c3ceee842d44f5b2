//! `start on` against an evaluator that is too simple to be wrong: a tree, and for each event in it whether it is held.

use machine::change::Change;
use machine::class::Class;
use machine::condition::{Condition, Match, Node, Pattern};
use machine::effect::Caller;
use machine::input::{Call, Input, RollCall};
use machine::state::State;
use machine::turn;

use crate::draw::Draw;
use crate::glob;
use crate::job_file::check_condition;

const NAMES: [&str; 3] = ["one", "two", "three"];
const KEYS: [&str; 3] = ["X", "Y", "Z"];

/// An expression. Events are numbered from left to right, as the machine numbers its nodes among the patterns.
enum Tree {
    Event(usize),
    Both(Box<Tree>, Box<Tree>),
    Either(Box<Tree>, Box<Tree>),
}

/// A condition, then events one after the other: what is held and when the job starts, and by which events.
pub fn condition(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut condition = Condition::default();
    let tree = grow(&mut draw, 0, &mut condition);
    check_condition(&condition);
    let patterns: Vec<Pattern> = condition.patterns().map(|(_, pattern)| pattern.clone()).collect();
    let mut class = Class::new("job");
    class.env = vec!["V=a".into(), "W=*".into()];
    class.start_on = Some(condition);
    class.task = true;
    let variables = class.env.clone();
    let mut state = State::default();
    turn(&mut state, 1, Input::RollCall(RollCall::default()));
    turn(&mut state, 1, Input::Startup(None));
    turn(&mut state, 1, Input::Define(Box::new(class)));
    let mut held: Vec<Option<&str>> = vec![None; patterns.len()];
    for serial in 1..40 {
        if draw.is_empty() {
            break;
        }
        let name = draw.one_of(&NAMES);
        let mut keys = KEYS.to_vec();
        keys.rotate_left(draw.below(3));
        let count = draw.below(4);
        let environment: Vec<String> =
            keys.iter().take(count).map(|key| format!("{key}={}", value(&mut draw, false))).collect();
        let caller = Caller { connection: 1, serial, sender: None };
        let call = Call::Emit { name: name.into(), environment: environment.clone(), wait: false, file: None };
        let outcome = turn(&mut state, 2, Input::Call(caller, call));
        for (held, pattern) in held.iter_mut().zip(&patterns) {
            if held.is_none() && pattern.event == name && accepts(pattern, &environment, &variables) {
                *held = Some(name);
            }
        }
        let expected = true_by(&tree, &held);
        let started = outcome.changes.iter().find_map(|change| match change {
            Change::StartGiven { given, .. } => {
                given.iter().find_map(|entry| entry.strip_prefix("UPSTART_EVENTS=").map(str::to_owned))
            }
            _ => None,
        });
        // Each event is named once, although several places of a condition may hold it.
        let is_one_event = expected.as_ref().is_some_and(|names| names.len() == 1);
        assert_eq!(started.is_some(), expected.is_some(), "{patterns:?} {held:?}");
        if let (Some(started), Some(names)) = (&started, &expected) {
            assert!(!is_one_event || *started == names[0]);
            assert!(started.split(' ').all(|name| names.contains(&name)), "{started} {names:?}");
            assert!(names.iter().all(|name| started.split(' ').any(|other| other == *name)), "{started} {names:?}");
            held.fill(None);
        }
        let record = state.class("job").expect("a class that was defined");
        let condition = record.definition.start_on.as_ref().expect("as defined");
        let theirs: Vec<bool> = condition.patterns().map(|(node, _)| record.start_on.held[node].is_some()).collect();
        let ours: Vec<bool> = held.iter().map(Option::is_some).collect();
        assert_eq!(theirs, ours, "{patterns:?}");
    }
}

/// The names of the events by which it is true.
fn true_by<'a>(tree: &Tree, held: &[Option<&'a str>]) -> Option<Vec<&'a str>> {
    match tree {
        Tree::Event(at) => held[*at].map(|name| vec![name]),
        Tree::Both(left, right) => Some([true_by(left, held)?, true_by(right, held)?].concat()),
        Tree::Either(left, right) => match (true_by(left, held), true_by(right, held)) {
            (Some(left), Some(right)) => Some([left, right].concat()),
            (left, right) => left.or(right),
        },
    }
}

fn accepts(pattern: &Pattern, environment: &[String], variables: &[String]) -> bool {
    pattern.matches.iter().enumerate().all(|(position, wanted)| {
        let has_key = |entry: &&String| {
            wanted.key.as_ref().is_none_or(|key| entry.split_once('=').is_some_and(|(found, _)| found == key))
        };
        let entry = if wanted.key.is_some() { environment.iter().find(has_key) } else { environment.get(position) };
        let Some((_, value)) = entry.and_then(|entry| entry.split_once('=')) else { return false };
        let mut text = wanted.value.clone();
        for variable in variables {
            let (name, value) = variable.split_once('=').unwrap_or_default();
            text = text.replace(&format!("${{{name}}}"), value);
        }
        // What is left is unknown.
        !text.contains('$') && glob::of_the_c_library(&text, value).is_some_and(|hit| hit != wanted.negated)
    })
}

fn grow(draw: &mut Draw<'_>, depth: usize, condition: &mut Condition) -> Tree {
    let kind = draw.below(4);
    if kind < 2 || depth > 4 {
        let number = condition.patterns().count();
        let event = draw.one_of(&NAMES).into();
        let mut matches = draw.list(3, |draw| {
            let key: Option<String> = draw.flag().then(|| draw.one_of(&KEYS).into());
            let negated = key.is_some() && draw.flag();
            Match { key, value: value(draw, true), negated }
        });
        matches.sort_by_key(|argument| argument.key.is_some());
        condition.nodes.push(Node::Event(Pattern { event, matches }));
        return Tree::Event(number);
    }
    let left = Box::new(grow(draw, depth + 1, condition));
    let right = Box::new(grow(draw, depth + 1, condition));
    condition.nodes.push(if kind == 2 { Node::And } else { Node::Or });
    if kind == 2 { Tree::Both(left, right) } else { Tree::Either(left, right) }
}

/// A value, or a pattern for one: letters, and what means something to fnmatch(3).
fn value(draw: &mut Draw<'_>, is_pattern: bool) -> String {
    const PLAIN: [&str; 4] = ["a", "b", "-", "]"];
    const PIECES: [&str; 16] = [
        "a",
        "b",
        "*",
        "?",
        "[ab]",
        "[!a]",
        "[^b]",
        "[a-c]",
        "[]a]",
        "[!]a]",
        "\\*",
        "[[:alpha:]]",
        "${V}",
        "${W}",
        "${U}",
        "-",
    ];
    let count = draw.below(4);
    (0..count).map(|_| if is_pattern { draw.one_of(&PIECES) } else { draw.one_of(&PLAIN) }).collect()
}
