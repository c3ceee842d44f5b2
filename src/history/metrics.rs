//! `initctl metrics`: figures of an init in OpenMetrics text (openmetrics.io), for collectors of text files.
//!
//! The names are an interface: they and their units are in initctl(8), and they stay.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machine::job::{Goal, JobState};
use machine::state::State;
use record::TurnTimes;

use crate::archive::Boot;
use crate::bundle::Meta;
use crate::past::Past;

/// What the figures are taken from.
#[derive(Debug)]
pub struct Found<'a> {
    /// The journal.
    pub past: &'a Past,
    /// The state at its end.
    pub state: &'a State,
    /// The crashes that are kept, oldest first.
    pub crashes: &'a [(u64, Meta)],
    /// What the archive counts of this run, where one runs.
    pub boot: Option<&'a Boot>,
    /// How long turns take, if the manager has told it.
    pub times: Option<TurnTimes>,
}

/// Writes the figures at the end of a journal.
#[must_use]
pub fn text(found: &Found<'_>) -> String {
    let Found { past, state, crashes, boot, times } = found;
    let mut page = Page::default();
    page.family("stayup_job_classes", "gauge", "Jobs that have a file.");
    page.value("stayup_job_classes", "", state.classes().count() as u64);
    let mut states: BTreeMap<(Goal, JobState), u64> = BTreeMap::new();
    for instance in state.instances() {
        *states.entry((instance.goal, instance.state)).or_default() += 1;
    }
    page.family("stayup_instances", "gauge", "Instances of jobs by goal and state.");
    for ((goal, at), count) in states {
        let labels = format!("{{goal=\"{}\",state=\"{}\"}}", goal.name(), at.name());
        page.value("stayup_instances", &labels, count);
    }
    let processes = state.instances().flat_map(|instance| &instance.processes).filter(|process| process.pid > 0);
    page.family("stayup_processes", "gauge", "Processes of jobs.");
    page.value("stayup_processes", "", processes.count() as u64);
    page.family("stayup_events_pending", "gauge", "Events that have not settled.");
    page.value("stayup_events_pending", "", state.events().count() as u64);
    page.family("stayup_restarts", "counter", "How often the init has come back, after re-execs and crashes.");
    page.value("stayup_restarts_total", "", state.generation());
    page.family("stayup_journal_frames", "counter", "Number of the last frame of the journal.");
    page.value("stayup_journal_frames_total", "", past.look.report.last_sequence);
    page.family("stayup_journal_bytes", "gauge", "Bytes of frames that the journal holds.");
    page.value("stayup_journal_bytes", "", past.look.report.frame_bytes);
    page.crashes(crashes);
    if let Some(times) = times {
        page.turns(times);
    }
    if let Some(boot) = boot {
        page.family("stayup_job_failures", "counter", "Failures of jobs and processes that were respawned, this boot.");
        page.value("stayup_job_failures_total", "", boot.failures);
        page.family("stayup_respawns", "counter", "Respawns, this boot.");
        page.value("stayup_respawns_total", "", boot.respawns);
        page.family("stayup_archive_bytes", "gauge", "Bytes of frames that the archive holds of this boot.");
        page.value("stayup_archive_bytes", "", boot.bytes);
    }
    page.out.push_str("# EOF\n");
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    // A String takes everything.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {help}");
    }

    fn value(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }

    /// How long the turns of this manager took.
    fn turns(&mut self, times: &TurnTimes) {
        let seconds = |us: u64| us as f64 / 1e6;
        self.family("stayup_turn_seconds", "histogram", "How long turns took, since this manager began.");
        for (bound, count) in record::BOUNDS_US.iter().zip(times.at_most) {
            self.value("stayup_turn_seconds_bucket", &format!("{{le=\"{}\"}}", seconds(*bound)), count);
        }
        self.value("stayup_turn_seconds_bucket", "{le=\"+Inf\"}", times.count);
        let _ = writeln!(self.out, "stayup_turn_seconds_sum {}", seconds(times.sum_us));
        self.value("stayup_turn_seconds_count", "", times.count);
        self.family(
            "stayup_longest_turn_seconds",
            "gauge",
            "How long the longest turn took, since this manager began.",
        );
        let _ = writeln!(self.out, "stayup_longest_turn_seconds {}", seconds(times.longest_us));
    }

    /// How often the init came back from crashes, by rung; the crashes that are kept, and how long the last recovery took.
    fn crashes(&mut self, crashes: &[(u64, Meta)]) {
        let known = || crashes.iter().filter_map(|(_, meta)| meta.crash.as_ref());
        let totals = known().next_back().map_or([0; 5], |last| last.rungs);
        let help = "How often the init has come back from a crash, by how far down the ladder recovery went.";
        self.family("stayup_recoveries", "counter", help);
        for (rung, count) in (1..).zip(totals) {
            self.value("stayup_recoveries_total", &format!("{{rung=\"{rung}\"}}"), count);
        }
        let mut rungs: BTreeMap<u32, u64> = (1..=5).map(|rung| (rung, 0)).collect();
        for crash in known() {
            *rungs.entry(crash.rung).or_default() += 1;
        }
        self.family("stayup_kept_crashes", "gauge", "Crashes that are kept, by how far down the ladder recovery went.");
        for (rung, count) in rungs {
            self.value("stayup_kept_crashes", &format!("{{rung=\"{rung}\"}}"), count);
        }
        if let Some(last) = known().next_back() {
            self.family("stayup_last_recovery_seconds", "gauge", "How long the last recovery from a crash took.");
            let _ = writeln!(self.out, "stayup_last_recovery_seconds {}", last.took_us as f64 / 1e6);
        }
    }
}
