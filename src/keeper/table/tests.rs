//! What a table keeps, and what it makes of damage.

use super::*;
use crate::protocol::{Condition, Reason};

fn new_ticket(ticket: Ticket) -> NewTicket<'static> {
    NewTicket { ticket, label: "größe", forks: 2, stops: 1, markers: [7; MARKERS] }
}

/// What the next image makes of it.
fn adopted(table: &Table) -> (Table, Vec<Damage>) {
    Table::adopt(table.descriptor().try_clone_to_owned().expect("clone")).expect("a table")
}

#[test]
fn everything_is_there_after_adoption() {
    let mut table = Table::create().expect("table");
    table.head().set_reason(Reason::KeeperCrashed(11));
    for ticket in 1..=5 {
        let index = table.add_ticket(&new_ticket(ticket), 90).expect("room");
        table.set_cloned(index, 100 + ticket as i32);
        if ticket > 1 {
            table.set_running(index, 1_000);
        }
        match ticket {
            3 => table.set_forked(index, 203, 2_000, 1),
            4 => table.set_exited(index, ExitStatus::Code(9)),
            5 => table.set_failed(index, Stage::Chroot, 2),
            _ => {}
        }
    }
    assert_eq!(table.hold("journal", 50), Ok(None));
    assert_eq!(table.hold("journal", 51), Ok(Some(50)));
    let (again, damages) = adopted(&table);
    assert_eq!(damages, []);
    assert_eq!(again.head().reason(), Reason::KeeperCrashed(11));
    let entries = |table: &Table| table.tickets().map(|(_, slot)| (slot.state(), slot.entry())).collect::<Vec<_>>();
    assert_eq!(entries(&again), entries(&table));
    let conditions: Vec<_> = again.tickets().filter_map(|(_, slot)| slot.entry()).map(|one| one.condition).collect();
    assert_eq!(conditions[0], Condition::Starting);
    assert_eq!(conditions[2], Condition::Running { forks_left: 1, has_stopped: false });
    assert_eq!(again.processes().map(|(_, slot)| slot.pid()).collect::<Vec<_>>(), [101, 102, 203]);
    assert_eq!(again.held().collect::<Vec<_>>(), [("journal", 51)]);
    assert_eq!(again.view().surviving_descriptors().filter(|&number| number < 100).filter(|&n| n == 90).count(), 1);
}

#[test]
fn a_damaged_slot_is_dropped_and_the_others_stay() {
    for damage in 0..SLOT_BYTES / 4 {
        let mut table = Table::create().expect("table");
        for ticket in 1..=3 {
            let index = table.add_ticket(&new_ticket(ticket), -1).expect("room");
            table.set_cloned(index, 100 + ticket as i32);
            table.set_running(index, 1_000);
        }
        let words = table.words(1);
        words[damage].store(0xdead_beef, Ordering::Relaxed);
        let (mut again, _) = adopted(&table);
        for ticket in [1, 3] {
            assert!(again.by_ticket(ticket).is_some_and(|(_, slot)| slot.pid() == 100 + ticket as i32));
        }
        again.add_ticket(&new_ticket(9), -1).expect("goes on");
    }
}

#[test]
fn what_was_never_published_is_not_there() {
    let mut table = Table::create().expect("table");
    let index = table.add_ticket(&new_ticket(1), -1).expect("room");
    table.slots()[index].kind.store(FREE, Ordering::Relaxed);
    let (mut again, damages) = adopted(&table);
    assert_eq!((again.tickets().count(), damages), (0, vec![]));
    // The clone was there, and the keeper's own store of its pid was not.
    let index = again.add_ticket(&new_ticket(2), -1).expect("room");
    again.slots()[index].cloned_pid().store(55, Ordering::Relaxed);
    assert_eq!(adopted(&again).0.by_process(55).map(|(_, slot)| slot.ticket()), Some(2));
}

#[test]
fn foreign_files_are_refused() {
    let file = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut file = std::fs::File::from(
            nix::sys::memfd::memfd_create(c"foreign", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).expect("memfd"),
        );
        file.write_all(bytes).expect("write");
        OwnedFd::from(file)
    };
    for bytes in [&[][..], &[1; 100], &[0; 9_000], &[0xff; 9_000]] {
        assert_eq!(Table::adopt(file(bytes)).err(), Some(NotATable::Foreign));
    }
}

#[test]
fn it_grows_and_uses_its_room_again() {
    let mut table = Table::create().expect("table");
    for round in 0..3 {
        for ticket in 0..1_000 {
            table.add_ticket(&new_ticket(ticket), -1).expect("room");
        }
        assert_eq!(table.add_ticket(&new_ticket(5), -1), Err(Errno::EEXIST));
        (0..1_000).for_each(|ticket| table.remove_ticket(ticket));
        assert!(table.slots().len() < 1_000 + GROWTH, "round {round}");
    }
    assert_eq!(table.hold(&"n".repeat(NAME_MAX_BYTES + 1), 9), Err(Errno::ENAMETOOLONG));
}
