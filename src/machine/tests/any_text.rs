//! No text makes the parser panic, hang or lie about the place of an error.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/oracles/job_file.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets import the same file")]
mod oracle;

use machine::condition::{Condition, Match, Node, Pattern};
use machine::parse::parse_condition;
use proptest::prelude::*;

/// Pieces of job files: random bytes alone would never get past the first word.
const PIECES: &[&str] = &[
    "start on ",
    "stop on ",
    "a ",
    "B=1 ",
    "C!=\"x y\" ",
    "and ",
    "or ",
    "(",
    ")",
    "\n",
    "# note",
    "\\\n",
    "\\",
    "\"",
    "'",
    "script\n",
    "end script\n",
    "exec ",
    "pre-start ",
    "limit ",
    "nofile ",
    "9 ",
    "unlimited",
    "emits ",
    "env ",
    "\r\n",
    "\t",
    "respawn ",
    "kill signal ",
    "TERM",
    "oom score ",
    "never",
    "normal exit ",
    "\u{e9}",
    "cgroup memory ",
    "manual",
    "\0",
    "  ",
];

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = Node> {
    // Any character but a line break, which quotes cannot keep.
    let text = || "[^\n]{1,6}";
    let value = prop::option::of("[^\n=!]{0,3}").prop_flat_map(move |key| (Just(key), text(), any::<bool>()));
    let argument = value.prop_map(|(key, value, negated)| match key {
        Some(key) => Match { key: Some(key), value, negated },
        None => Match { key: None, value: value.replace('=', "-"), negated: false },
    });
    (text(), prop::collection::vec(argument, 0..3)).prop_map(|(event, mut matches)| {
        matches.sort_by_key(|argument| argument.key.is_some());
        Node::Event(Pattern { event, matches })
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = pattern().prop_map(|node| vec![node]);
    let nodes = leaf.prop_recursive(5, 24, 2, |inner| {
        (inner.clone(), inner, any::<bool>())
            .prop_map(|(left, right, and)| [left, right, vec![if and { Node::And } else { Node::Or }]].concat())
    });
    nodes.prop_map(|nodes| Condition { nodes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        oracle::job_file(&bytes);
    }

    #[test]
    fn pieces_of_job_files_in_any_order_are_read_or_refused(bytes in pieces()) {
        oracle::job_file(&bytes);
    }

    #[test]
    fn a_printed_condition_reads_the_same(condition in condition()) {
        oracle::check_condition(&condition);
    }
}

#[test]
fn depth_does_not_exhaust_the_stack() {
    let deep = format!("{}a{}", "(".repeat(200_000), ")".repeat(200_000));
    assert_eq!(parse_condition(&deep).unwrap().expression(), "a");
    let chain = format!("{}a{}", "(a or ".repeat(50_000), ")".repeat(50_000));
    assert_eq!(parse_condition(&chain).unwrap().expression(), chain);
    assert!(parse_condition(&"(".repeat(200_000)).is_err());
}

#[test]
fn a_long_line_takes_linear_time() {
    let words = "emits ".to_owned() + &"x".repeat(200_000) + "\n";
    let quotes = format!("usage \"{}\"\n", "a\n".repeat(60_000));
    let continued = format!("exec a {}\n", "\\\n".repeat(60_000));
    let comments = "# nothing\n".repeat(20_000);
    oracle::check_job_file([words, quotes, continued, comments].concat().as_bytes());
}
