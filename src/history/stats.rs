//! `initjournal stats`: what a journal is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machine::change::Change;
use serde_json::Value;

use crate::moment::{Clock, length};
use crate::names::Names;
use crate::past::{Past, PastError};

/// Jobs and kinds of changes that are shown.
const SHOWN: usize = 20;

/// Numbers of a journal, as text.
///
/// # Errors
/// When a frame cannot be read.
pub fn text(past: &Past, clock: &Clock) -> Result<String, PastError> {
    let mut names = Names::of(&past.base);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut jobs: BTreeMap<String, u64> = BTreeMap::new();
    let (mut turns, mut changes, mut largest) = (0_u64, 0_u64, 0);
    let mut span = None;
    for turn in past.turns() {
        let (_, turn) = turn?;
        names.learn(&turn);
        turns += 1;
        changes += turn.changes.len() as u64;
        largest = largest.max(turn.changes.len());
        if let Some(stamp) = turn.stamp {
            span = Some((span.map_or(stamp, |(first, _)| first), stamp));
        }
        for change in &turn.changes {
            *kinds.entry(kind(change)).or_default() += 1;
            if let Some((class, _)) = names.job(change) {
                *jobs.entry(class.to_owned()).or_default() += 1;
            }
        }
    }
    let report = &past.look.report;
    let mut text = String::new();
    // A String takes everything.
    let mut put = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<22}{value}");
    };
    put("first state", format!("after frame {}", past.base_sequence));
    let many = if report.segments == 1 { "" } else { "s" };
    put("frames", format!("{turns}, {} bytes in {} segment{many}", report.frame_bytes, report.segments));
    put("changes", format!("{changes}, at most {largest} in one frame"));
    if let Some((first, last)) = span {
        let took = last.boot_us.saturating_sub(first.boot_us);
        put("from", clock.full(first.wall_us));
        put("to", format!("{} ({})", clock.full(last.wall_us), length(took)));
        if took > 0 {
            put("changes a second", format!("{:.1}", changes as f64 * 1e6 / took as f64));
        }
    }
    if let Some(identity) = report.identity {
        put("written by", identity.to_string());
    }
    for (title, counts) in [("changes by kind", kinds), ("changes by job", jobs)] {
        let mut sorted: Vec<_> = counts.into_iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let _ = writeln!(text, "\n{title}:");
        for (name, count) in sorted.iter().take(SHOWN) {
            let _ = writeln!(text, "{count:>10}  {name}");
        }
        let rest: u64 = sorted.iter().skip(SHOWN).map(|(_, count)| count).sum();
        if rest > 0 {
            let _ = writeln!(text, "{rest:>10}  (others)");
        }
    }
    Ok(text)
}

/// The name of a change's variant, as the JSON has it.
fn kind(change: &Change) -> String {
    match serde_json::to_value(change) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
