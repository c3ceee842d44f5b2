//! The event bridge: nothing is lost and no restart is told twice, whoever goes away.

use std::thread::JoinHandle;

use bridges::event::Bridge;
use bridges::event::ledger::Ledger;
use control::bus::Target;
use tokio::sync::oneshot;

use crate::fake_init::{FakeInit, Place, ROOT, World, wait_for_text};

const RESTARTED: &str = ":sys:restarted";

struct Stage {
    place: Place,
    system: FakeInit,
    session: FakeInit,
    bridge: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Stage {
    fn new(generation: Option<u64>) -> Self {
        let place = Place::new();
        let mut stage = Self {
            system: FakeInit::new(place.path("system")),
            session: FakeInit::new(place.path("session")),
            place,
            bridge: None,
        };
        stage.system.world().generation = generation;
        stage.start_bridge();
        stage
    }

    /// Starts the bridge, and waits until it has looked at the generation.
    fn start_bridge(&mut self) {
        self.system.world().calls.clear();
        let (system, session) = (self.system.address(), self.session.address());
        let ledger = self.place.path("ledger");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let bridge = Bridge {
                system: vec![Target::Private("unix:path=/nonexistent/bus".to_owned()), Target::Private(system)],
                session,
                ledger: Ledger::at(ledger),
                verbose: false,
            };
            control::block_on(async {
                tokio::select! {
                    () = bridge.run() => {}
                    _ = stopped => {}
                }
            });
        });
        self.bridge = Some((stop, thread));
        self.wait_for_look();
    }

    fn stop_bridge(&mut self) {
        if let Some((stop, thread)) = self.bridge.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
        self.system.wait("the bridge is gone", |world| world.connections == 0);
        self.session.wait("the bridge is gone", |world| world.connections == 0);
    }

    fn wait_for_look(&self) {
        let looked = |world: &World| world.calls.iter().any(|call| call.starts_with("RestartGen"));
        self.system.wait("a look at the generation", looked);
        self.system.world().calls.clear();
    }

    /// Crashes the system init; looks at the generation until then do not count.
    fn stop_system(&mut self) {
        self.system.stop();
        self.system.world().calls.clear();
    }

    fn emit(&self, name: &str, env: &[&str]) {
        self.system.signal(ROOT, "EventEmitted", &(name, env));
    }

    fn restarted(&self) {
        self.system.signal(ROOT, "Restarted", &());
    }

    /// The names of all events that the session has got, once `last` is among them.
    fn session_events(&self, last: &str) -> Vec<String> {
        let has = |world: &World| world.events.iter().any(|(name, _)| name == last);
        self.session.wait(last, has);
        self.session.world().events.drain(..).map(|(name, _)| name).collect()
    }

    /// All events up to now: a mark is sent after them.
    fn session_events_so_far(&self) -> Vec<String> {
        self.emit("mark", &[]);
        let mut events = self.session_events(":sys:mark");
        assert_eq!(events.pop().as_deref(), Some(":sys:mark"));
        events
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.bridge.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

#[test]
fn events_keep_their_order_and_variables() {
    let stage = Stage::new(Some(1));
    stage.emit("net-up", &["IFACE=eth0", "A="]);
    stage.emit("runlevel", &["RUNLEVEL=2"]);
    stage.session_events_so_far();
    assert_eq!(
        stage.session.world().calls,
        [
            "EmitEvent(:sys:net-up [\"IFACE=eth0\", \"A=\"] false)",
            "EmitEvent(:sys:runlevel [\"RUNLEVEL=2\"] false)",
            "EmitEvent(:sys:mark [] false)"
        ]
    );
}

#[test]
fn a_restart_is_told_once_however_often_it_is_signalled() {
    let stage = Stage::new(Some(7));
    assert_eq!(stage.session_events_so_far(), [""; 0]);
    stage.system.world().generation = Some(8);
    stage.restarted();
    stage.restarted();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
    stage.system.world().generation = Some(9);
    stage.restarted();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
}

#[test]
fn a_restart_while_the_bridge_was_disconnected_is_not_missed() {
    let mut stage = Stage::new(Some(1));
    for generation in [2, 3] {
        stage.stop_system();
        stage.system.world().generation = Some(generation);
        stage.system.start();
        stage.wait_for_look();
        // The signal that comes late tells nothing new.
        stage.restarted();
        assert_eq!(stage.session_events_so_far(), [RESTARTED]);
    }
}

#[test]
fn a_connection_that_is_lost_without_a_restart_tells_nothing() {
    let mut stage = Stage::new(Some(1));
    stage.stop_system();
    stage.system.start();
    stage.wait_for_look();
    assert_eq!(stage.session_events_so_far(), [""; 0]);
}

#[test]
fn a_restart_while_the_bridge_itself_was_away_is_not_missed() {
    let mut stage = Stage::new(Some(1));
    stage.stop_bridge();
    stage.start_bridge();
    assert_eq!(stage.session_events_so_far(), [""; 0]);
    stage.stop_bridge();
    stage.system.world().generation = Some(2);
    stage.start_bridge();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
    wait_for_text(&stage.place.path("ledger"), "2\n");
    stage.stop_bridge();
    stage.start_bridge();
    assert_eq!(stage.session_events_so_far(), [""; 0]);
}

#[test]
fn what_happens_while_the_session_is_away_is_told_later() {
    let mut stage = Stage::new(Some(1));
    stage.session.wait("the bridge", |world| world.connections == 1);
    stage.session.stop();
    stage.emit("one", &[]);
    stage.system.world().generation = Some(2);
    stage.restarted();
    stage.emit("two", &[]);
    stage.wait_for_look();
    stage.session.start();
    assert_eq!(stage.session_events(":sys:two"), [":sys:one", RESTARTED, ":sys:two"]);
}

#[test]
fn a_session_that_crashes_in_the_middle_is_told_again() {
    let mut stage = Stage::new(Some(1));
    stage.session.world().hangs_up_on = Some("EmitEvent");
    stage.system.world().generation = Some(2);
    stage.restarted();
    stage.session.wait("the call that kills", |world| world.connections == 0);
    stage.session.stop();
    stage.session.world().hangs_up_on = None;
    stage.session.start();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
}

#[test]
fn a_bridge_that_dies_before_it_has_told_tells_after() {
    let mut stage = Stage::new(Some(1));
    stage.session.stop();
    stage.system.world().generation = Some(2);
    stage.restarted();
    stage.wait_for_look();
    stage.stop_bridge();
    stage.session.start();
    stage.start_bridge();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
}

#[test]
fn an_init_without_generations_is_taken_at_its_word() {
    let stage = Stage::new(None);
    stage.restarted();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
    stage.restarted();
    assert_eq!(stage.session_events_so_far(), [RESTARTED]);
}

#[test]
fn a_session_that_talks_much_does_not_stop_the_bridge() {
    let stage = Stage::new(Some(1));
    stage.session.wait("the bridge", |world| world.connections == 1);
    let long = "x".repeat(4096);
    for _ in 0..2000 {
        stage.session.signal(ROOT, "EventEmitted", &("noise", [long.as_str()]));
    }
    assert_eq!(stage.session_events_so_far(), [""; 0]);
}
