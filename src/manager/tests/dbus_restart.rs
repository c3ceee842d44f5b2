//! Connections and calls across the death of the manager.
#![allow(clippy::unwrap_used)]

mod dbus_world;

use dbus_world::*;

const PATH: &str = "/com/ubuntu/Upstart/jobs/job";

/// The manager dies at a place in the middle of a call; the next one must carry it out once and answer it once.
fn dies_and_comes_back(death: Death) {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    world.define(service("job"));
    let mut client = Client::new(&name);
    client.call(PATH, JOB, "Start", &(vec!["N=before"], true)).unwrap();
    world.die(death);
    let serial = client.send(PATH, JOB, "Start", &(vec!["N=amid"], true));
    // Two more wait behind it.
    let read = client.send(MANAGER, UPSTART, "GetJobByName", &"job");
    let second = client.send(PATH, JOB, "Start", &(vec!["N=behind"], true));
    let remains = world.corpse();
    assert_eq!(remains.held.len(), 1);
    let world = start(Setup::default(), &listener, remains);
    // Carried out twice, it would be an error: already started.
    assert_eq!(object(&client.reply(serial).unwrap()), format!("{PATH}/amid"));
    assert_eq!(object(&client.reply(read).unwrap()), PATH);
    assert_eq!(object(&client.reply(second).unwrap()), format!("{PATH}/behind"));
    client.ping();
    let mut other = Client::new(&name);
    let refused = other.call(PATH, JOB, "Start", &(vec!["N=amid"], true)).unwrap_err();
    assert_eq!(refused.0, "com.ubuntu.Upstart0_6.Error.AlreadyStarted");
    world.kill();
}

#[test]
fn killed_before_the_journal() {
    dies_and_comes_back(Death::BeforeJournal);
}

#[test]
fn killed_after_the_journal() {
    dies_and_comes_back(Death::AfterJournal);
}

#[test]
fn killed_after_the_answer() {
    dies_and_comes_back(Death::BeforeDone);
}

/// The job files are read on another thread, and the answer comes later; nothing of the call is in the journal.
#[test]
fn killed_while_a_control_is_carried_out() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    let mut client = Client::new(&name);
    client.ping();
    world.die(Death::BeforeAnswer);
    let serial = client.send(MANAGER, UPSTART, "ReloadConfiguration", &());
    let behind = client.send(MANAGER, UPSTART, "GetAllJobs", &());
    world.wait_until("it is carried out", |world| world.controls.len() == 1);
    Client::new(&name).ping();
    let world = start(Setup::default(), &listener, world.kill());
    client.reply(serial).unwrap();
    client.reply(behind).unwrap();
    assert_eq!(world.with(|world| world.controls.len()), 1);
    world.kill();
}

#[test]
fn the_next_manager_gives_a_number_twice() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    let (mut one, mut other) = (Client::new(&name), Client::new(&name));
    one.ping();
    other.ping();
    let mut remains = world.kill();
    for _ in 0..3 {
        let world = start(Setup::default(), &listener, remains);
        one.ping();
        let mut third = Client::new(&name);
        third.ping();
        world.wait_until("all are held", |world| world.held.len() == 3);
        drop(third);
        world.wait_until("one is released", |world| world.held.len() == 2);
        remains = world.kill();
        assert_eq!(one.signals.iter().filter(|signal| signal.header().member().unwrap() == "Restarted").count(), 1);
        one.signals.clear();
    }
    // A client that left while nobody was there.
    drop(other);
    let world = start(Setup::default(), &listener, remains);
    world.wait_until("released", |world| world.held.len() == 1);
    one.ping();
    world.kill();
}

#[test]
fn a_large_message_is_torn_by_a_kill() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    let mut client = Client::new(&name);
    client.ping();
    let large = client.build(MANAGER, UPSTART, "EmitEvent", &("go", vec![format!("A={}", "x".repeat(1 << 20))], true));
    let half = large.data().len() / 2;
    std::io::Write::write_all(&mut client.stream, &large.data().bytes()[..half]).unwrap();
    world.wait_until("let go", |world| world.held.is_empty());
    let world = start(Setup::default(), &listener, world.kill());
    // Half of it was with the one who died: the connection has ended, rather than go on in the middle.
    assert!(client.receive().is_none());
    Client::new(&name).ping();
    world.kill();
}

#[test]
fn answers_wait_for_a_reader_over_a_flush() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    world.define(service("job"));
    let mut client = Client::new(&name);
    let serial = client.send(PATH, JOB, "Start", &(vec!["N=x"], true));
    client.reply(serial).unwrap();
    assert!(!world.with(|world| world.state.has_outbox()));
    world.kill();
}

#[test]
fn a_large_answer_is_torn_by_a_kill() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    // Far more than a socket holds.
    for number in 0..2000 {
        world.define(service(&format!("job-{number}-{}", "x".repeat(200))));
    }
    let (mut reader, mut other) = (Client::new(&name), Client::new(&name));
    other.ping();
    reader.ping();
    let serial = reader.send(MANAGER, UPSTART, "GetState", &());
    world.wait_until("let go of the reader alone", |world| world.held.len() == 1);
    other.ping();
    assert!(text(&reader.reply(serial).unwrap()).ends_with("\"sessions\":[]}"));
    world.wait_until("held again", |world| world.held.len() == 2);
    let serial = reader.send(MANAGER, UPSTART, "GetState", &());
    world.wait_until("let go again", |world| world.held.len() == 1);
    let world = start(Setup::default(), &listener, world.kill());
    // Half of the answer died with the manager, and so does the connection.
    other.ping();
    while let Some(message) = reader.receive() {
        assert!(message.header().reply_serial().is_none_or(|reply| reply.get() != serial));
    }
    world.kill();
}

#[test]
fn a_flush_leaves_something_behind() {
    let (listener, name) = listener();
    let world = start(Setup::default(), &listener, Remains::default());
    let mut client = Client::new(&name);
    client.ping();
    world.with(|world| {
        for number in 0..100 {
            let name = format!("event-{number}");
            world.dbus.announce(0, &machine::effect::Announcement::EventEmitted(name, Vec::new()));
        }
    });
    let world = start(Setup::default(), &listener, world.flush_and_die());
    for number in 0..100 {
        let (name, _): (String, Vec<String>) = client.signal("EventEmitted").body().deserialize().unwrap();
        assert_eq!(name, format!("event-{number}"));
    }
    world.kill();
}
