//! The private server, as clients see it.
#![allow(clippy::unwrap_used)]

mod dbus_world;

use dbus_world::*;
use machine::effect::Caller;
use machine::input::{Call, Input};
use machine::job::Cause;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::Duration;
use zbus::Variant;
use zbus::message::Message;

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

fn none() -> Vec<&'static str> {
    Vec::new()
}

fn property(client: &mut Client, path: &str, interface: &str, name: &str) -> String {
    let reply = client.call(path, PROPERTIES, "Get", &(interface, name)).unwrap();
    let body = reply.body();
    format!("{:?}", body.deserialize::<Variant<'_>>().unwrap())
}

/// One line for each member, as the conformance cases write them.
fn members(xml: &str) -> Vec<String> {
    let attribute = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let (mut lines, mut interface, mut open) = (Vec::new(), String::new(), None);
    for line in xml.lines().map(str::trim) {
        let kind = line.trim_start_matches(['<', '/']).split([' ', '>']).next().unwrap_or_default();
        match kind {
            "interface" if !line.starts_with("</") => interface = attribute(line, "name"),
            "method" | "signal" if !line.starts_with("</") => {
                open = Some((kind.to_owned(), attribute(line, "name"), String::new(), String::new()));
            }
            "method" | "signal" => {
                let (kind, name, inward, outward) = open.take().unwrap();
                lines.push(format!("{interface} {kind} {name}({inward}) -> ({outward})"));
            }
            "arg" => {
                let (_, _, inward, outward) = open.as_mut().unwrap();
                let target = if line.contains("direction=\"out\"") { outward } else { inward };
                target.push_str(&attribute(line, "type"));
            }
            "property" => {
                let (name, signature, access) =
                    (attribute(line, "name"), attribute(line, "type"), attribute(line, "access"));
                lines.push(format!("{interface} property {name} {signature} {access}"));
            }
            "node" if line.contains(" name=") => lines.push(format!("node {}", attribute(line, "name"))),
            _ => {}
        }
    }
    lines.sort();
    lines
}

/// What Upstart 1.13.2 has.
const MEMBERS: &str = "\
com.ubuntu.Upstart0_6 method EmitEvent(sasb) -> ()
com.ubuntu.Upstart0_6 method EmitEventWithFile(sasbh) -> ()
com.ubuntu.Upstart0_6 method EndSession() -> ()
com.ubuntu.Upstart0_6 method GetAllJobs() -> (ao)
com.ubuntu.Upstart0_6 method GetEnv(ass) -> (s)
com.ubuntu.Upstart0_6 method GetJobByName(s) -> (o)
com.ubuntu.Upstart0_6 method GetState() -> (s)
com.ubuntu.Upstart0_6 method ListEnv(as) -> (as)
com.ubuntu.Upstart0_6 method NotifyCGroupManagerAddress(s) -> ()
com.ubuntu.Upstart0_6 method NotifyDBusAddress(s) -> ()
com.ubuntu.Upstart0_6 method NotifyDiskWriteable() -> ()
com.ubuntu.Upstart0_6 method ReloadConfiguration() -> ()
com.ubuntu.Upstart0_6 method ResetEnv(as) -> ()
com.ubuntu.Upstart0_6 method Restart() -> ()
com.ubuntu.Upstart0_6 method SetEnv(assb) -> ()
com.ubuntu.Upstart0_6 method SetEnvList(asasb) -> ()
com.ubuntu.Upstart0_6 method UnsetEnv(ass) -> ()
com.ubuntu.Upstart0_6 method UnsetEnvList(asas) -> ()
com.ubuntu.Upstart0_6 property log_priority s readwrite
com.ubuntu.Upstart0_6 property version s read
com.ubuntu.Upstart0_6 signal EventEmitted(sas) -> ()
com.ubuntu.Upstart0_6 signal JobAdded(o) -> ()
com.ubuntu.Upstart0_6 signal JobRemoved(o) -> ()
com.ubuntu.Upstart0_6 signal Restarted() -> ()
node jobs
org.freedesktop.DBus.Introspectable method Introspect() -> (s)
org.freedesktop.DBus.Properties method Get(ss) -> (v)
org.freedesktop.DBus.Properties method GetAll(s) -> (a{sv})
org.freedesktop.DBus.Properties method Set(ssv) -> ()";

#[test]
fn a_member_is_missing_or_one_too_many() {
    let (world, name) = simple();
    world.define(service("net/apache"));
    let mut client = Client::new(&name);
    let mut introspect = |path: &str| members(&text(&client.call(path, INTROSPECTABLE, "Introspect", &()).unwrap()));
    assert_eq!(introspect(MANAGER), MEMBERS.lines().collect::<Vec<_>>());
    assert!(introspect("/").contains(&"node com".to_owned()));
    assert!(introspect("/com/ubuntu").contains(&"node Upstart".to_owned()));
    assert!(introspect("/com/ubuntu/Upstart/jobs").contains(&"node net_2fapache".to_owned()));
    let class = "/com/ubuntu/Upstart/jobs/net_2fapache";
    assert!(introspect(class).contains(&format!("{JOB} property start_on aas read")));
    assert!(introspect("/stayup").contains(&"stayup.Init1 property LastRecovery a{sv} read".to_owned()));
    client.call(class, JOB, "Start", &(vec!["N="], true)).unwrap();
    let mut introspect = |path: &str| members(&text(&client.call(path, INTROSPECTABLE, "Introspect", &()).unwrap()));
    assert!(introspect(class).contains(&"node _".to_owned()));
    let instance = introspect(&format!("{class}/_"));
    assert!(instance.contains(&format!("{INSTANCE} property processes a(si) read")));
    world.kill();
}

#[test]
fn errors_have_other_names_than_upstarts() {
    let (world, name) = simple();
    world.define(service("job"));
    let client = &mut Client::new(&name);
    client.call("/com/ubuntu/Upstart/jobs/job", JOB, "Start", &(vec!["N=1"], true)).unwrap();
    let error = |result: Result<Message, Refused>| {
        let Refused(name, text) = result.unwrap_err();
        (name.rsplit_once("Error.").unwrap().1.to_owned(), text)
    };
    let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let manager = |client: &mut Client, member: &str, name: &str| error(client.call(MANAGER, UPSTART, member, &name));
    assert_eq!(manager(client, "GetJobByName", "nojob"), named("UnknownJob", "Unknown job: nojob"));
    assert_eq!(manager(client, "GetJobByName", ""), named("InvalidArgs", "Name may not be empty string"));
    let emit = |client: &mut Client, name: &str, env: &[&str]| {
        error(client.call(MANAGER, UPSTART, "EmitEvent", &(name, env, true)))
    };
    assert_eq!(emit(client, "", &[]), named("InvalidArgs", "Name may not be empty string"));
    assert_eq!(emit(client, "x", &["word"]), named("InvalidArgs", "Env must be KEY=VALUE pairs"));
    let get =
        |client: &mut Client, job: &[&str], name: &str| error(client.call(MANAGER, UPSTART, "GetEnv", &(job, name)));
    assert_eq!(get(client, &[], "NONE"), named("InvalidArgs", "No such variable: NONE"));
    assert_eq!(get(client, &[], ""), named("InvalidArgs", "Variable may not be empty string"));
    assert_eq!(get(client, &["job", "2"], "D"), named("UnknownJobInstance", "Unknown instance: 2 of job job"));
    assert_eq!(get(client, &["nojob", ""], "D"), named("UnknownJob", "Unknown job: nojob"));
    let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
    for (path, interface, member) in [
        (MANAGER, UPSTART, "NoSuchMethod"),
        (MANAGER, "no.such.interface", "Method"),
        ("/no/such/path", UPSTART, "GetAllJobs"),
        ("/com/ubuntu/Upstart/jobs/job/_", INSTANCE, "Reload"),
        ("/com/ubuntu", PROPERTIES, "GetAll"),
    ] {
        assert_eq!(client.call(path, interface, member, &()).unwrap_err().0, unknown, "{path} {member}");
    }
    let wrong = "org.freedesktop.DBus.Error.InvalidArgs";
    assert_eq!(client.call(MANAGER, UPSTART, "GetJobByName", &1_u32).unwrap_err().0, wrong);
    assert_eq!(client.call(MANAGER, UPSTART, "EmitEvent", &"x").unwrap_err().0, wrong);
    assert_eq!(client.call(MANAGER, UPSTART, "GetAllJobs", &"x").unwrap_err().0, wrong);
    let path = "/com/ubuntu/Upstart/jobs/job/1";
    let text = "Job is already running: job (1)";
    assert_eq!(error(client.call(path, INSTANCE, "Start", &true)), named("AlreadyStarted", text));
    // Without an interface the member's name is enough.
    assert_eq!(object(&client.call(MANAGER, "", "GetJobByName", &"job").unwrap()), "/com/ubuntu/Upstart/jobs/job");
    world.kill();
}

#[test]
fn what_is_read_is_not_what_is() {
    let (world, name) = simple();
    let mut class = service("job");
    class.description = Some("a job".into());
    world.define(class);
    let client = &mut Client::new(&name);
    let path = "/com/ubuntu/Upstart/jobs/job";
    let started = client.call(path, JOB, "Start", &(vec!["N=/dev/tty1"], true)).unwrap();
    let instance = format!("{path}/_2fdev_2ftty1");
    assert_eq!(object(&started), instance);
    assert_eq!(object(&client.call(path, JOB, "GetInstance", &vec!["N=/dev/tty1"]).unwrap()), instance);
    assert!(property(client, MANAGER, UPSTART, "version").contains("init (upstart 1.13.2)"));
    assert!(property(client, path, JOB, "description").contains("a job"));
    assert!(property(client, &instance, INSTANCE, "state").contains("running"));
    assert!(property(client, &instance, INSTANCE, "processes").contains("main"));
    assert!(property(client, "/stayup", "stayup.Init1", "LastRecovery").contains("test"));
    let value = Variant::from("debug");
    client.call(MANAGER, PROPERTIES, "Set", &(UPSTART, "log_priority", &value)).unwrap();
    assert!(property(client, MANAGER, UPSTART, "log_priority").contains("debug"));
    let refused = client.call(MANAGER, PROPERTIES, "Set", &(UPSTART, "version", &value)).unwrap_err();
    assert_eq!(refused.0, "org.freedesktop.DBus.Error.PropertyReadOnly");
    let all = client.call(&instance, PROPERTIES, "GetAll", &INSTANCE).unwrap();
    let all: std::collections::BTreeMap<String, zbus::OwnedVariant> = all.body().deserialize().unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["goal", "name", "processes", "state"]);
    let state = text(&client.call(MANAGER, UPSTART, "GetState", &()).unwrap());
    assert!(state.contains("\"conf_files\":[{\"path\":\"/conf/a.conf\"}]"), "{state}");
    assert!(state.contains("\"goal\":\"start\",\"state\":\"running\",\"pids\":{\"main\":"), "{state}");
    client.call(MANAGER, UPSTART, "NotifyDiskWriteable", &()).unwrap();
    assert_eq!(world.with(|world| world.controls.len()), 1);
    world.kill();
}

#[test]
fn signals_miss_somebody() {
    let (world, name) = simple();
    world.define(service("job"));
    let (mut one, mut other) = (Client::new(&name), Client::new(&name));
    one.ping();
    other.ping();
    one.call("/com/ubuntu/Upstart/jobs/job", JOB, "Start", &(vec!["N=a"], true)).unwrap();
    one.call(MANAGER, UPSTART, "EmitEvent", &("go", vec!["A=1"], false)).unwrap();
    for client in [&mut one, &mut other] {
        assert_eq!(object(&client.signal("InstanceAdded")), "/com/ubuntu/Upstart/jobs/job/a");
        assert_eq!(text(&client.signal("GoalChanged")), "start");
        while text(&client.signal("StateChanged")) != "running" {}
        loop {
            let (name, environment): (String, Vec<String>) =
                client.signal("EventEmitted").body().deserialize().unwrap();
            if name == "go" {
                assert_eq!(environment, ["A=1"]);
                break;
            }
        }
    }
    world.kill();
}

#[test]
fn a_real_client_is_not_understood() {
    let (world, name) = simple();
    world.define(service("job"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = connect(&name);
        stream.set_nonblocking(true).unwrap();
        let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
        let path = "/com/ubuntu/Upstart/jobs/job";
        for number in 0..20 {
            let body = (vec![format!("N={number}")], true);
            let reply = connection.call_method(None::<&str>, path, Some(JOB), "Start", &body).await.unwrap();
            assert_eq!(object(&reply), format!("{path}/{number}"));
        }
    });
    world.kill();
}

#[test]
fn libdbus_is_not_understood() {
    let (world, name) = simple();
    world.define(service("job"));
    let output = std::process::Command::new("dbus-send")
        .arg(format!("--peer=unix:abstract={name}"))
        .args(["--print-reply", MANAGER, "com.ubuntu.Upstart0_6.GetJobByName", "string:job"])
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("/com/ubuntu/Upstart/jobs/job"), "{text} {output:?}");
        }
        Err(_) => eprintln!("SKIPPED: dbus-send is not installed"),
    }
    world.kill();
}

#[test]
fn a_silent_call_is_answered() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    client.send_silently(MANAGER, UPSTART, "EmitEvent", &("go", none(), true));
    client.send_silently(MANAGER, UPSTART, "GetAllJobs", &());
    let serial = client.send("/", "org.freedesktop.DBus.Peer", "Ping", &());
    loop {
        let message = client.receive().unwrap();
        if let Some(reply) = message.header().reply_serial() {
            assert_eq!(reply.get(), serial);
            break;
        }
    }
    world.kill();
}

#[test]
fn a_descriptor_is_lost_or_doubled() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    // One call before and one behind it in the same socket: the descriptor belongs to the one in the middle.
    let file = zbus::Fd::from(&theirs);
    let message = client.build(MANAGER, UPSTART, "EmitEventWithFile", &("go", none(), false, file));
    client.send("/", "org.freedesktop.DBus.Peer", "Ping", &());
    client.send_with_file(&message, theirs.as_raw_fd());
    let serial = client.send("/", "org.freedesktop.DBus.Peer", "Ping", &());
    client.reply(serial).unwrap();
    drop(theirs);
    drop(message);
    let files = world.with(|world| std::mem::take(&mut world.files));
    assert_eq!(files.len(), 1);
    let mut theirs = std::os::unix::net::UnixStream::from(files.into_iter().next().unwrap());
    theirs.write_all(b"x").unwrap();
    drop(theirs);
    let mut all = Vec::new();
    ours.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (&ours).read_to_end(&mut all).expect("somebody has a duplicate");
    assert_eq!(all, b"x");
    world.kill();
}

#[test]
fn a_large_message_is_cut() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    client.ping();
    let large = format!("A={}", "x".repeat(1 << 20));
    client.call(MANAGER, UPSTART, "EmitEvent", &("go", vec![large.as_str()], false)).unwrap();
    let (_, environment): (String, Vec<String>) = client.signal("EventEmitted").body().deserialize().unwrap();
    assert_eq!(environment, [large]);
    // The keeper had to let go of it, and has it again.
    world.wait_until("held again", |world| !world.released.is_empty() && world.held.len() == 1);
    client.ping();
    world.kill();
}

#[test]
fn a_message_too_large_is_waited_for() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    client.ping();
    let mut start = client.build(MANAGER, UPSTART, "GetAllJobs", &()).data().bytes()[..16].to_vec();
    start[4..8].copy_from_slice(&(100_u32 << 20).to_le_bytes());
    client.stream.write_all(&start).unwrap();
    assert!(client.receive().is_none());
    world.wait_until("released and told", |world| world.held.is_empty() && !world.log.is_empty());
    assert!(world.kill().log[0].contains("too long"));
}

#[test]
fn a_message_in_crumbs_is_never_whole() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    client.ping();
    // Every crumb costs a buffer of its own: the socket is full before the message is complete.
    let message = client.build(MANAGER, UPSTART, "EmitEvent", &("go", vec![format!("A={}", "x".repeat(2000))], true));
    for byte in message.data().bytes() {
        client.stream.write_all(&[*byte]).unwrap();
    }
    client.reply(message.primary_header().serial_num().get()).unwrap();
    client.ping();
    world.kill();
}

#[test]
fn one_who_does_not_read_stalls_the_others() {
    let (world, name) = simple();
    let mut lazy = Client::new(&name);
    lazy.ping();
    let mut client = Client::new(&name);
    let large = format!("A={}", "x".repeat(60_000));
    for number in 0..1_200 {
        let result = client.call(MANAGER, UPSTART, "EmitEvent", &("go", vec![large.as_str()], false));
        result.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        client.signals.clear();
    }
    world.wait_until("the lazy one is gone", |world| world.held.len() == 1);
    while lazy.receive().is_some() {}
    world.wait_until("it is told", |world| world.log.iter().any(|line| line.contains("does not read")));
    world.kill();
}

/// A client whose reply is on its way behind signals that it does not read: everything told after it waits in the state, to be
/// told again after a crash.
#[test]
fn one_who_does_not_read_its_reply_keeps_all_others_in_the_state() {
    let (world, name) = simple();
    let mut task = service("task");
    task.start_on = machine::parse::parse_class("x", b"start on go\n").unwrap().start_on;
    task.task = true;
    world.define(task);
    let mut lazy = Client::new(&name);
    lazy.ping();
    lazy.send(MANAGER, UPSTART, "EmitEvent", &("go", none(), true));
    let pid = |world: &mut World| world.state.find("task", "").and_then(|task| Some(task.processes.first()?.ticket));
    world.wait_until("the task runs", move |world| pid(world).is_some());
    world.with(move |world| {
        let large = vec![format!("A={}", "x".repeat(30_000))];
        (0..40).for_each(|serial| world.take(Input::Call(nobody(serial), emit("fill", large.clone()))));
        let ticket = pid(world).unwrap();
        world.take(Input::Exited { ticket, cause: Cause::Status(0) });
        assert!(world.state.has_outbox(), "the reply cannot be out");
        (100..100_110).for_each(|serial| world.take(Input::Call(nobody(serial), emit("more", Vec::new()))));
        assert!(!world.state.has_outbox(), "and all that was told after it still waits for it");
    });
    world.wait_until("it is told", |world| world.log.iter().any(|line| line.contains("does not read")));
    world.kill();
}

/// Tens of thousands of signals lie between a call and its answer; whoever waits for that reads them all, but not as fast as they
/// are told.
#[test]
fn one_who_waits_through_a_flood_of_signals_is_cut_off() {
    let (world, name) = simple();
    let mut client = Client::new(&name);
    client.ping();
    let serial = client.send(MANAGER, UPSTART, "EmitEvent", &("flood", none(), true));
    world.with(|world| {
        (0..30_000).for_each(|serial| world.take(Input::Call(nobody(serial), emit("flood", Vec::new()))))
    });
    client.reply(serial).unwrap();
    while client.signals.len() < 30_000 {
        let signal = client.receive().expect("all of it");
        client.signals.push(signal);
    }
    client.ping();
    world.kill();
}

/// A caller that is on no connection.
fn nobody(serial: u32) -> Caller {
    Caller { connection: 1_000, serial, sender: None }
}

fn emit(name: &str, environment: Vec<String>) -> Call {
    Call::Emit { name: name.into(), environment, wait: false, file: None }
}

#[test]
fn strangers_change_something() {
    if !is_root() {
        return;
    }
    let (world, name) = simple();
    world.define(service("job"));
    as_user(12345, || {
        let mut client = Client::new(&name);
        let path = "/com/ubuntu/Upstart/jobs/job";
        assert_eq!(object(&client.call(MANAGER, UPSTART, "GetJobByName", &"job").unwrap()), path);
        client.call(path, JOB, "GetAllInstances", &()).unwrap();
        property(&mut client, path, JOB, "name");
        client.call(path, INTROSPECTABLE, "Introspect", &()).unwrap();
        let denied = "com.ubuntu.Upstart0_6.Error.PermissionDenied";
        let level = Variant::from("debug");
        let results = [
            client.call(path, JOB, "Start", &(none(), true)),
            client.call(MANAGER, UPSTART, "EmitEvent", &("go", none(), true)),
            client.call(MANAGER, UPSTART, "Restart", &()),
            client.call(MANAGER, UPSTART, "GetState", &()),
            client.call(MANAGER, UPSTART, "ListEnv", &(none(),)),
            client.call(MANAGER, "", "ReloadConfiguration", &()),
            client.call(MANAGER, PROPERTIES, "Set", &(UPSTART, "log_priority", &level)),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().0, denied);
        }
        // Too long for them, though not for others.
        let long = format!("A={}", "x".repeat(70_000));
        client.send(MANAGER, UPSTART, "EmitEvent", &("go", vec![long.as_str()], false));
        assert!(client.receive().is_none());
    });
    assert!(world.with(|world| world.controls.is_empty()));
    world.kill();
}

#[test]
fn strangers_take_all_places() {
    if !is_root() {
        return;
    }
    let (world, name) = simple();
    let clients = as_user(12345, || (0..80).map(|_| connect(&name)).collect::<Vec<_>>());
    Client::new(&name).ping();
    let mut turned_away = 0;
    for mut client in clients {
        client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        turned_away += usize::from(client.read(&mut [0]).is_ok_and(|count| count == 0));
    }
    assert_eq!(turned_away, 80 - 64);
    world.kill();
}

#[test]
fn a_start_that_does_nothing_stalls_the_rest() {
    let (world, name) = simple();
    let mut silent = connect(&name);
    silent.write_all(b"\0AUTH EXT").unwrap();
    Client::new(&name).ping();
    silent.write_all(b"ERNAL\r\nBEGIN\r\n").unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "DATA\r\n");
    world.kill();
}

#[test]
fn a_signal_is_missed_by_one_who_has_just_connected() {
    let (world, name) = simple();
    let mut late = connect(&name);
    late.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n").unwrap();
    let mut answer = Vec::new();
    while !(answer.windows(3).any(|three| three == b"OK ") && answer.ends_with(b"\r\n")) {
        let mut some = [0; 256];
        let length = late.read(&mut some).unwrap();
        answer.extend_from_slice(&some[..length]);
    }
    // Init is slow to read BEGIN, or has something else to do first.
    Client::new(&name).call(MANAGER, UPSTART, "EmitEvent", &("go", none(), false)).unwrap();
    late.write_all(b"BEGIN\r\n").unwrap();
    let mut start = [0; 16];
    late.read_exact(&mut start).unwrap();
    assert_eq!(start[..2], [b'l', 4], "a signal");
    world.kill();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn any_bytes_harm_others(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        after_greeting: bool,
        begins_well: bool,
    ) {
        thread_local! {
            static WORLD: (Running, String) = simple();
        }
        WORLD.with(|(_, name)| {
            let mut client = Client::new(name);
            let mut wild = if after_greeting { Client::new(name).stream } else { connect(name) };
            let mut all = Vec::new();
            if begins_well {
                all.extend_from_slice(client.build(MANAGER, UPSTART, "GetAllJobs", &()).data().bytes());
            }
            all.extend_from_slice(&bytes);
            let _ = wild.write_all(&all);
            client.ping();
            drop(wild);
            client.ping();
        });
    }
}
