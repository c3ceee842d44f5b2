//! Conditions as text: for `initctl show-config`, and for the D-Bus properties `start_on` and `stop_on`.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::condition::{Condition, Node, Pattern};

impl Condition {
    /// The expression with every operator in parentheses: `((first A=1 and second) or third)`; a single event without.
    /// Values are printed bare even where the job file needs quotes, as Upstart does. Empty if the condition is not
    /// well-formed.
    #[must_use]
    pub fn expression(&self) -> String {
        let mut text = String::new();
        let Some(left_operands) = self.left_operands() else { return text };
        let mut pieces = vec![Piece::Node(self.nodes.len() - 1)];
        while let Some(piece) = pieces.pop() {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Node(index) => match &self.nodes[index] {
                    Node::Event(pattern) => push_pattern(&mut text, pattern),
                    operator => {
                        let word = if *operator == Node::And { " and " } else { " or " };
                        text.push('(');
                        pieces.push(Piece::Text(")"));
                        pieces.push(Piece::Node(index - 1));
                        pieces.push(Piece::Text(word));
                        pieces.push(Piece::Node(left_operands[index]));
                    }
                },
            }
        }
        text
    }

    /// The nodes as D-Bus clients get them: an event with its arguments is one list, an operator is `/AND` or `/OR` alone.
    #[must_use]
    pub fn words(&self) -> Vec<Vec<String>> {
        let words = self.nodes.iter().map(|node| match node {
            Node::And => vec!["/AND".into()],
            Node::Or => vec!["/OR".into()],
            Node::Event(pattern) => {
                let arguments = pattern.matches.iter().map(|argument| argument.text());
                core::iter::once(pattern.event.clone()).chain(arguments).collect()
            }
        });
        words.collect()
    }

    /// For each operator the index of its left operand (the right one is just before it); none if an operand is missing,
    /// or the condition is more than one expression. Done by index rather than by recursion: depth is the file's choice.
    fn left_operands(&self) -> Option<Vec<usize>> {
        let mut left = Vec::with_capacity(self.nodes.len());
        // Where the expression that ends at a node begins.
        let mut begin: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            if matches!(node, Node::Event(_)) {
                left.push(index);
                begin.push(index);
            } else {
                let operand = begin.last()?.checked_sub(1)?;
                left.push(operand);
                begin.push(begin[operand]);
            }
        }
        (begin.last() == Some(&0)).then_some(left)
    }
}

enum Piece {
    Node(usize),
    Text(&'static str),
}

fn push_pattern(text: &mut String, pattern: &Pattern) {
    text.push_str(&pattern.event);
    for argument in &pattern.matches {
        text.push(' ');
        text.push_str(&argument.text());
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_condition;
    use super::*;

    fn printed(text: &str) -> String {
        parse_condition(text).unwrap().expression()
    }

    #[test]
    fn operators_bind_alike_and_to_the_left() {
        assert_eq!(printed("a"), "a");
        assert_eq!(printed("a or b and c or d"), "(((a or b) and c) or d)");
        assert_eq!(printed("a or (b and (c or d))"), "(a or (b and (c or d)))");
        assert_eq!(
            printed("(\n first A=1 # why\n and (second\n or third B=\"2 3\")\nor fourth\n)"),
            "((first A=1 and (second or third B=2 3)) or fourth)"
        );
    }

    #[test]
    fn the_bus_gets_reverse_polish() {
        let words = parse_condition("a X=1 Y!=2 or (b c and d)").unwrap().words();
        let expected: &[&[&str]] = &[&["a", "X=1", "Y!=2"], &["b", "c"], &["d"], &["/AND"], &["/OR"]];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_malformed_condition_prints_as_nothing() {
        let event = || Node::Event(Pattern { event: "a".into(), matches: Vec::new() });
        for nodes in [vec![], vec![Node::And], vec![event(), Node::Or], vec![event(), event()], vec![Node::Or, event()]]
        {
            assert_eq!(Condition { nodes }.expression(), "");
        }
    }
}
