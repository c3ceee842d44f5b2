//! The rig itself must work, or no other test means anything.

use testkit::Setup;

#[test]
fn init_is_process_1_and_answers() {
    let Some(world) = Setup::new().start_or_skip() else { return };
    world.await_init();
    let pids: Vec<_> = world.processes().iter().map(|process| (process.inside, process.name.clone())).collect();
    assert_eq!(pids[0], (1, "init".to_owned()), "{pids:?}");
    assert_eq!(world.initctl(&["version"]).out, "init (upstart 1.13.2)");
}
