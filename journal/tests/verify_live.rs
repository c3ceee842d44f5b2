//! A journal may be looked at while it is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use journal::{FileStorage, Log, MemoryStorage, OpenError, Rule, verify, verify_within};

use crate::common::{live, long_life, options, payload};
use crate::sigkill::TemporaryDirectory;

#[test]
fn a_look_at_a_live_journal_finds_no_damage_and_changes_nothing() {
    let directory = TemporaryDirectory::new("verify");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut log, _) = Log::open(FileStorage::at(directory.path()).unwrap(), options()).unwrap();
            for number in 0..20_000 {
                log.append(&payload(number, number % 700)).unwrap();
                if log.wants_checkpoint() {
                    log.checkpoint(&[7; 3000]).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        let storage = FileStorage::at(directory.path()).unwrap();
        let mut looks = 0;
        while !done.load(Ordering::Acquire) || looks == 0 {
            let report = verify(&storage).unwrap();
            let is_fine = |rule| matches!(rule, Rule::LeftoverTemporary | Rule::RedundantFile | Rule::EmptyDirectory);
            let worst = report.findings.iter().find(|finding| !is_fine(finding.rule()));
            assert_eq!(worst, None);
            looks += 1;
        }
    });
}

#[test]
fn verify_finds_what_open_finds() {
    let disk = MemoryStorage::new();
    live(&disk, options(), &long_life());
    for (name, content) in disk.files() {
        for byte in (0..content.len()).step_by(211) {
            let damaged = disk.snapshot();
            let mut content = content.clone();
            content[byte] ^= 4;
            damaged.put(&name, content);
            let before = damaged.files();
            let looked = verify_within(&damaged, Duration::ZERO).unwrap();
            assert_eq!(damaged.files(), before);
            let (_log, found) = Log::open(damaged, options()).unwrap();
            assert_eq!(looked, found.report);
        }
    }
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let directory = TemporaryDirectory::new("lock");
    let open = || Log::open(FileStorage::at(directory.path()).unwrap(), options());
    let first = open().unwrap();
    assert!(matches!(open(), Err(OpenError::Locked)));
    drop(first);
    open().unwrap();
}
