//! show-config and check-config over D-Bus.

use crate::fake_init::Job;
use crate::support::Stage;

fn condition(text: &str) -> Vec<Vec<String>> {
    text.split(" | ").map(|entry| entry.split(' ').map(str::to_owned).collect()).collect()
}

fn stage() -> Stage {
    Stage::new(|world| {
        let bad = Job {
            start_on: condition("A"),
            stop_on: condition("B"),
            usage: "bad KEY=VALUE".to_owned(),
            ..Job::default()
        };
        let half = Job { start_on: condition("startup | A | /OR"), emits: vec!["net-*".to_owned()], ..Job::default() };
        world.jobs.insert("bad".to_owned(), bad);
        world.jobs.insert("half".to_owned(), half);
    })
}

#[test]
fn check_config_finds_what_can_never_happen() {
    let stage = stage();
    assert_eq!(stage.initctl("check-config bad --ignore-events=A"), "bad\n  stop on: unknown event B\n[exit 1]\n");
    assert_eq!(stage.initctl("check-config -i A,B bad"), "");
    assert_eq!(stage.initctl("check-config half"), "");
    assert_eq!(stage.initctl("check-config --warn half"), "half\n  start on: unknown event A\n[exit 1]\n");
    assert_eq!(
        stage.initctl("check-config -w bad"),
        "bad\n  start on: unknown event A\n  stop on: unknown event B\n[exit 1]\n"
    );
    assert_eq!(
        stage.initctl("check-config"),
        "bad\n  start on: unknown event A\n  stop on: unknown event B\n[exit 1]\n"
    );
}

#[test]
fn show_config_shows_one_or_all() {
    let stage = stage();
    assert_eq!(
        stage.initctl("show-config"),
        "bad\n  start on A\n  stop on B\nhalf\n  start on (startup or A)\n  emits net-*\n"
    );
    assert_eq!(stage.initctl("show-config -e bad"), "bad\n  start on A (job:, env:)\n  stop on B (job:, env:)\n");
    assert_eq!(stage.initctl("show-config nojob"), "! initctl: Unknown job: nojob\n[exit 1]\n");
    assert_eq!(stage.initctl("usage bad"), "Usage: bad KEY=VALUE\n");
}
