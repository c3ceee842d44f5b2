//! Finding daemons that fork away, without tracing them.
//!
//! When a process ends, the kernel gives its children to the keeper in the same instant (`exit_notify` holds the task
//! list while it does both), and nobody but the keeper reaps them. So as long as the keeper looks before it reaps, no
//! descendant of a followed process is ever missed: it is among the keeper's own children, alive or as a zombie. What is
//! left is to tell whose it is, by the first of these that says something:
//!
//! 1. it is older than the followed process (by start time, within one clock tick by pid): not its descendant;
//! 2. it is in a session or process group that one of the ticket's processes made: the ticket's;
//!    in one that another ticket's process made: the other's;
//! 3. its environment has all of the ticket's last strings (see [`Slot::markers`](keeper::table::Slot::markers)): the
//!    ticket's; all of another's: the other's;
//! 4. it has the name of the ticket's process, as a fork has: the ticket's if no other ticket waits that could say the same. Daemons
//!    that write a title over their environment are known by this;
//! 5. nothing known (a zombie has no environment): the ticket's if no other ticket waits that could want it.
//!
//! One with another name and an environment that nobody knows is a stranger. One that is just ending has no environment any more, and
//! its children are not here yet: who it is shows when it has ended, which SIGCHLD tells, and until then nothing is decided.
//!
//! Of several, the oldest is followed, as the first fork; but the last fork goes to a live one before a zombie. A chain
//! whose middle is gone (its parent waited for it) shows in a session that nobody known leads: two forks at once.
//! The choice is pure: it knows numbers only, and never asks the system.

use crate::proc::{self, Name, Stat};
use keeper::table::{Slot, State};

/// A child of the keeper that no ticket names.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(crate) stat: Stat,
    /// Hashes of the strings of its environment; empty if unknown.
    pub(crate) environment: Vec<u32>,
}

/// What is known of a ticket whose process is not reaped.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) pid: i32,
    pub(crate) forks_left: u8,
    /// The processes it has been so far.
    leads: Vec<i32>,
    start_time_ticks: u64,
    markers: Vec<u32>,
    /// What its process is called; only where a fork is waited for.
    name: Option<Name>,
}

/// Which orphan a ticket goes on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) pid: i32,
    pub(crate) start_time_ticks: u64,
    pub(crate) forks_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    No,
    Maybe,
    Likely,
    Yes,
}

/// No machine makes so many processes in one clock tick (10 ms); pids further apart than this have begun again.
const PIDS_A_TICK: i32 = 10_000;

impl Known {
    /// Of a slot with a running process.
    pub(crate) fn of(slot: &Slot) -> Option<Self> {
        // What one leaves that is no child of this keeper does not come to it.
        let forks_left = if slot.is_adopted() { 0 } else { slot.forks_left() };
        (slot.state() == Some(State::Running)).then(|| Self { forks_left, ..Self::of_adopted(slot) })
    }

    /// Of a slot whose process came from another keeper, in whatever state.
    pub(crate) fn of_adopted(slot: &Slot) -> Self {
        Self {
            pid: slot.pid(),
            forks_left: slot.forks_left(),
            leads: slot.led().to_vec(),
            start_time_ticks: slot.start_time_ticks(),
            markers: slot.markers().into_iter().filter(|&marker| marker != 0).collect(),
            name: (slot.forks_left() > 0).then(|| proc::stat(slot.pid())).flatten().map(|stat| stat.name),
        }
    }

    fn is_younger_than(&self, orphan: &Orphan) -> bool {
        let stat = orphan.stat;
        let is_before = stat.pid < self.pid && self.pid - stat.pid < PIDS_A_TICK;
        stat.start_time_ticks < self.start_time_ticks || (stat.start_time_ticks == self.start_time_ticks && is_before)
    }

    fn leads_session_of(&self, orphan: &Orphan) -> bool {
        let leads = |number| number != 0 && self.leads.contains(&number);
        leads(orphan.stat.session) || leads(orphan.stat.group)
    }

    fn marks(&self, orphan: &Orphan) -> bool {
        !self.markers.is_empty() && self.markers.iter().all(|marker| orphan.environment.contains(marker))
    }

    /// Whether this ticket could have made the orphan; `all` are the tickets that could, too.
    fn claim(&self, orphan: &Orphan, all: &[Self]) -> Claim {
        if self.is_younger_than(orphan) {
            return Claim::No;
        }
        let mut others = all.iter().filter(|other| other.pid != self.pid);
        if self.leads_session_of(orphan) {
            Claim::Yes
        } else if others.clone().any(|other| other.leads_session_of(orphan)) {
            Claim::No
        } else if self.marks(orphan) {
            Claim::Yes
        } else if others.any(|other| other.marks(orphan)) {
            Claim::No
        } else if self.name == Some(orphan.stat.name) {
            Claim::Likely
        } else if orphan.environment.is_empty() || self.markers.is_empty() {
            Claim::Maybe
        } else {
            Claim::No
        }
    }
}

/// Whether an orphan shows by its session, its process group or its environment that it is this ticket's.
pub(crate) fn is_surely_of(ticket: &Known, all: &[Known], orphan: &Orphan) -> bool {
    ticket.claim(orphan, all) == Claim::Yes
}

/// Whether an orphan that is just ending may be what this ticket is to go on as, or have it for a child.
pub(crate) fn is_too_early(ticket: &Known, all: &[Known], orphans: &[Orphan]) -> bool {
    orphans.iter().filter(|orphan| orphan.stat.is_ending).any(|orphan| {
        let claim = ticket.claim(orphan, all);
        claim != Claim::No && claim != Claim::Yes
    })
}

/// Whether some ticket may yet want to follow this orphan.
pub(crate) fn is_wanted(orphan: &Orphan, all: &[Known]) -> bool {
    all.iter().any(|known| known.forks_left > 0 && known.claim(orphan, all) != Claim::No)
}

/// Which of the orphans a ticket goes on as, whose process has ended with forks left; none if it has left none.
pub(crate) fn choose(ticket: &Known, all: &[Known], orphans: &[Orphan]) -> Option<Choice> {
    let has_rivals = |orphan: &Orphan, claim: Claim| {
        let mut rivals = all.iter().filter(|other| other.pid != ticket.pid && other.forks_left > 0);
        rivals.any(|other| other.claim(orphan, all) >= claim)
    };
    let claimed = |wanted: Claim| -> Vec<&Orphan> {
        let claimed = orphans.iter().filter(|orphan| ticket.claim(orphan, all) == wanted);
        claimed.filter(|orphan| wanted == Claim::Yes || !has_rivals(orphan, wanted)).collect()
    };
    let claims = [Claim::Yes, Claim::Likely, Claim::Maybe];
    let mut candidates = claims.into_iter().map(claimed).find(|claimed| !claimed.is_empty())?;
    let is_own = |orphan: &&Orphan| [orphan.stat.session, orphan.stat.group].contains(&ticket.pid);
    if candidates.iter().any(is_own) {
        // Helpers of an earlier process of this ticket are not what this one has forked.
        candidates.retain(is_own);
    }
    // Within one clock tick the order of pids tells, which begin again at the bottom when they have run out.
    candidates.sort_by_key(|orphan| {
        let stat = orphan.stat;
        (stat.start_time_ticks, stat.pid < ticket.pid, stat.pid)
    });
    let live = candidates.iter().find(|orphan| ticket.forks_left == 1 && !orphan.stat.is_zombie);
    let stat = live.or(candidates.first())?.stat;
    let is_middle_gone = stat.session != stat.pid && !ticket.leads.contains(&stat.session);
    let forks = if is_middle_gone { 2 } else { 1 };
    let forks_left = ticket.forks_left.saturating_sub(forks);
    Some(Choice { pid: stat.pid, start_time_ticks: stat.start_time_ticks, forks_left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref as one;

    fn known(pid: i32, forks_left: u8, markers: &[u32]) -> Known {
        Known { pid, forks_left, leads: vec![pid], start_time_ticks: 50, markers: markers.to_vec(), name: None }
    }

    fn orphan(pid: i32, session: i32, is_zombie: bool, environment: &[u32]) -> Orphan {
        let name = Name::default();
        let stat = Stat {
            pid,
            name,
            parent: 1,
            group: session,
            session,
            start_time_ticks: 60,
            is_zombie,
            is_stopped: false,
            is_ending: false,
        };
        Orphan { stat, environment: environment.to_vec() }
    }

    fn chosen(ticket: &Known, all: &[Known], orphans: &[Orphan]) -> Option<(i32, u8)> {
        choose(ticket, all, orphans).map(|choice| (choice.pid, choice.forks_left))
    }

    #[test]
    fn the_child_of_a_shell_is_followed() {
        let ticket = known(100, 1, &[]);
        let orphans = [orphan(101, 100, false, &[]), orphan(105, 100, false, &[])];
        assert_eq!(chosen(&ticket, one(&ticket), &orphans), Some((101, 0)));
        assert_eq!(chosen(&ticket, one(&ticket), &[]), None);
    }

    #[test]
    fn a_dead_middle_does_not_hide_the_daemon() {
        let ticket = known(100, 2, &[7]);
        let all = [ticket.clone(), known(90, 1, &[8])];
        // The middle is a zombie of which nothing is known; the daemon itself is known by its environment.
        let orphans = [orphan(101, 101, true, &[]), orphan(102, 101, false, &[1, 7])];
        assert_eq!(chosen(&ticket, &all, &orphans), Some((102, 0)));
        // With nobody else waiting the chain is taken link by link.
        assert_eq!(chosen(&ticket, one(&ticket), &[orphan(101, 101, true, &[])]), Some((101, 1)));
    }

    #[test]
    fn the_last_fork_goes_to_the_living() {
        let ticket = known(100, 1, &[]);
        let orphans = [orphan(101, 100, true, &[]), orphan(102, 100, false, &[])];
        assert_eq!(chosen(&ticket, one(&ticket), &orphans), Some((102, 0)));
        assert_eq!(chosen(&ticket, one(&ticket), &orphans[..1]), Some((101, 0)));
    }

    #[test]
    fn nothing_is_decided_while_one_that_may_be_the_middle_is_ending() {
        let ticket = known(100, 2, &[7]);
        let all = [ticket.clone(), known(90, 1, &[8])];
        let ending = |session, environment: &[u32]| {
            let mut orphan = orphan(101, session, false, environment);
            orphan.stat.is_ending = true;
            orphan
        };
        // Two tickets could have made it, and its child is not here: it would be taken for the end.
        assert_eq!(chosen(&ticket, &all, one(&ending(101, &[]))), None);
        assert!(is_too_early(&ticket, &all, one(&ending(101, &[]))));
        // A helper of the first process is no better.
        assert!(is_too_early(&ticket, &all, &[ending(101, &[]), orphan(102, 100, false, &[7])]));
        // Whose it is can be seen.
        assert!(!is_too_early(&ticket, &all, one(&ending(101, &[7]))));
        assert!(!is_too_early(&ticket, &all, one(&ending(100, &[]))));
        assert!(!is_too_early(&ticket, &all, one(&ending(90, &[]))));
        assert!(!is_too_early(&ticket, &all, one(&orphan(101, 101, true, &[]))));
    }

    #[test]
    fn a_stranger_is_never_taken() {
        let ticket = known(100, 1, &[7]);
        let all = [ticket.clone(), known(90, 0, &[8]), known(80, 1, &[9])];
        let others_session = orphan(101, 90, false, &[]);
        let others_environment = orphan(102, 102, false, &[8]);
        let mut older = orphan(99, 100, false, &[7]);
        older.stat.start_time_ticks = 49;
        // Two tickets wait that both could have made it.
        let nobodys = orphan(103, 103, true, &[]);
        assert_eq!(chosen(&ticket, &all, &[others_session, others_environment, older, nobodys.clone()]), None);
        assert!(is_wanted(&nobodys, &all));
        assert!(!is_wanted(&nobodys, &[known(90, 0, &[8])]));
    }

    #[test]
    fn a_daemon_that_wrote_a_title_over_its_environment_is_known_by_its_name() {
        let named = |mut known: Known, name: u8| {
            known.name = Some([name; 16]);
            known
        };
        let ticket = named(known(100, 1, &[7]), 1);
        let rival = named(known(90, 1, &[9]), 2);
        let mut daemon = orphan(101, 101, false, &[66, 67]);
        daemon.stat.name = [1; 16];
        let mut nobodys = orphan(102, 102, false, &[5]);
        nobodys.stat.name = [3; 16];
        let all = [ticket.clone(), rival];
        assert_eq!(chosen(&ticket, &all, &[nobodys.clone(), daemon.clone()]), Some((101, 0)));
        // One that only happens to come at that time is not taken, even if nobody else waits.
        assert_eq!(chosen(&ticket, one(&ticket), one(&nobodys)), None);
        // Two of the same program at once cannot be told apart.
        let twin = named(known(80, 1, &[9]), 1);
        assert_eq!(chosen(&ticket, &[ticket.clone(), twin], one(&daemon)), None);
    }

    #[test]
    fn pids_that_begin_again_do_not_change_the_order() {
        let ticket = known(32_000, 1, &[]);
        let orphans = [orphan(300, 32_000, false, &[]), orphan(32_001, 32_000, false, &[])];
        assert_eq!(chosen(&ticket, one(&ticket), &orphans), Some((32_001, 0)));
    }
}
