//! Being on a bus, with a real dbus-daemon.
#![allow(clippy::unwrap_used)]

mod dbus_world;

use dbus_world::*;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const PATH: &str = "/com/ubuntu/Upstart/jobs/job";
const BUS: (&str, &str) = ("/org/freedesktop/DBus", "org.freedesktop.DBus");

/// A bus whose policy lets anybody do anything, so that init itself must see who calls.
struct Daemon {
    child: Child,
    directory: PathBuf,
}

impl Daemon {
    /// None, and a line that says so, if there is no dbus-daemon.
    fn start(directory: PathBuf) -> Option<Self> {
        Self::start_with(
            directory,
            "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/>\
             <allow send_type=\"signal\"/><allow receive_type=\"signal\"/><allow eavesdrop=\"true\"/></policy>",
        )
    }

    fn start_with(directory: PathBuf, policy: &str) -> Option<Self> {
        std::fs::create_dir_all(&directory).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&directory, mode).unwrap();
        let config = directory.join("bus.conf");
        let text = format!(
            "<busconfig><type>system</type><listen>unix:path={}/socket</listen><auth>EXTERNAL</auth>{policy}</busconfig>",
            directory.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = std::process::Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: dbus-daemon is not installed");
            return None;
        };
        // The address is printed when clients can connect.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        Some(Self { child, directory })
    }

    fn address(directory: &std::path::Path) -> String {
        format!("unix:path={}/socket", directory.display())
    }

    fn client(&self) -> Client {
        let stream = UnixStream::connect(self.directory.join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Client::greet(stream);
        client.destination = Some(BUS.1.into());
        client.call(BUS.0, BUS.1, "Hello", &()).unwrap();
        client
    }

    /// A client that speaks to init.
    fn client_of_init(&self) -> Client {
        let mut client = self.client();
        for _ in 0..2000 {
            let has_name = client.call(BUS.0, BUS.1, "NameHasOwner", &"com.ubuntu.Upstart").unwrap();
            if has_name.body().deserialize::<bool>().unwrap() {
                client.destination = Some("com.ubuntu.Upstart".into());
                return client;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("init does not take its name");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A place that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("stayup-bus-{}-{name}", std::process::id())))
    }

    fn setup(&self, is_session: bool) -> Setup {
        Setup { is_session, bus_address: Some(Daemon::address(&self.0)) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn world(setup: Setup) -> (Running, UnixListener) {
    let (listener, _) = listener();
    let world = start(setup, &listener, Remains::default());
    world.define(service("job"));
    (world, listener)
}

#[test]
fn calls_and_signals_get_lost_on_the_bus() {
    let place = Place::new("calls");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let (world, _listener) = world(place.setup(false));
    let mut client = daemon.client_of_init();
    client.destination = Some(BUS.1.into());
    client.call(BUS.0, BUS.1, "AddMatch", &"type='signal',interface='com.ubuntu.Upstart0_6'").unwrap();
    client.destination = Some("com.ubuntu.Upstart".into());
    assert_eq!(object(&client.call(MANAGER, UPSTART, "GetJobByName", &"job").unwrap()), PATH);
    assert_eq!(object(&client.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap()), format!("{PATH}/1"));
    client.call(MANAGER, UPSTART, "EmitEvent", &("go", vec!["A=1"], true)).unwrap();
    while client.signal("EventEmitted").body().deserialize::<(String, Vec<String>)>().unwrap().0 != "go" {}
    // Two callers at once: answers go to whom they belong.
    let mut other = daemon.client_of_init();
    let one = client.send(PATH, JOB, "Start", &(vec!["N=2"], true));
    let two = other.send(PATH, JOB, "Start", &(vec!["N=3"], true));
    assert_eq!(object(&other.reply(two).unwrap()), format!("{PATH}/3"));
    assert_eq!(object(&client.reply(one).unwrap()), format!("{PATH}/2"));
    world.kill();
}

#[test]
fn strangers_change_something_over_a_careless_bus() {
    if !is_root() {
        return;
    }
    let place = Place::new("strangers");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let (world, _listener) = world(place.setup(false));
    // The daemon admits only users that exist.
    as_user(65534, || {
        let mut client = daemon.client_of_init();
        assert_eq!(object(&client.call(MANAGER, UPSTART, "GetJobByName", &"job").unwrap()), PATH);
        for _ in 0..2 {
            let refused = client.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap_err();
            assert_eq!(refused.0, "com.ubuntu.Upstart0_6.Error.PermissionDenied");
        }
    });
    daemon.client_of_init().call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    world.kill();
}

#[test]
fn the_bus_goes_and_comes_back() {
    let place = Place::new("comes");
    let (world, _listener) = world(place.setup(false));
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    world.with(|world| world.dbus.reconnect_bus());
    daemon.client_of_init().call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    drop(daemon);
    world.wait_until("it is gone", |world| !world.dbus.is_on_bus() && world.held.is_empty());
    let daemon = Daemon::start(place.0.clone()).unwrap();
    // By itself, this time.
    daemon.client_of_init().call(PATH, JOB, "Start", &(vec!["N=2"], true)).unwrap();
    world.wait_until("it is held", |world| world.held.len() == 1);
    world.kill();
}

#[test]
fn the_name_is_lost_with_the_manager() {
    let place = Place::new("resume");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let (world, listener) = world(place.setup(false));
    let mut client = daemon.client_of_init();
    let owner =
        |daemon: &Daemon| text(&daemon.client().call(BUS.0, BUS.1, "GetNameOwner", &"com.ubuntu.Upstart").unwrap());
    let before = owner(&daemon);
    client.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    world.wait_until("it is held", |world| world.held.len() == 1);
    world.die(Death::AfterJournal);
    let serial = client.send(PATH, JOB, "Start", &(vec!["N=2"], true));
    let remains = world.corpse();
    let behind = client.send(PATH, JOB, "Start", &(vec!["N=3"], true));
    let world = start(place.setup(false), &listener, remains);
    assert_eq!(object(&client.reply(serial).unwrap()), format!("{PATH}/2"));
    assert_eq!(object(&client.reply(behind).unwrap()), format!("{PATH}/3"));
    assert_eq!(owner(&daemon), before);
    world.kill();
}

#[test]
fn a_session_is_told_of_its_bus_later() {
    let place = Place::new("session");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let (world, _listener) = world(Setup::default());
    let address = Daemon::address(&place.0);
    world.with(move |world| world.dbus.set_bus_address(address)).unwrap();
    daemon.client_of_init().call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    assert!(world.with(|world| world.dbus.set_bus_address("tcp:host=x".into())).is_err());
    world.kill();
}

#[test]
fn somebody_else_has_the_name() {
    let place = Place::new("taken");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let mut thief = daemon.client();
    thief.call(BUS.0, BUS.1, "RequestName", &("com.ubuntu.Upstart", 4_u32)).unwrap();
    let (world, _listener) = world(place.setup(false));
    world.wait_until("it is logged", |world| !world.log.is_empty());
    assert!(!world.with(|world| world.dbus.is_on_bus()));
    drop(thief);
    let mut client = daemon.client_of_init();
    client.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    world.kill();
}

#[test]
fn a_monstrous_message_ends_the_bus() {
    let place = Place::new("monster");
    let Some(daemon) = Daemon::start(place.0.clone()) else { return };
    let (world, _listener) = world(place.setup(false));
    let (mut client, mut other) = (daemon.client_of_init(), daemon.client_of_init());
    let before = world.with(|world| world.dbus.connections());
    client.send(MANAGER, UPSTART, "EmitEvent", &("go", vec![format!("A={}", "x".repeat(3 << 20))], true));
    client.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    other.call(PATH, JOB, "Start", &(vec!["N=2"], true)).unwrap();
    assert_eq!(world.with(|world| world.dbus.connections()), before);
    world.kill();
}

#[test]
fn what_happens_before_the_bus_has_answered_is_not_told() {
    let place = Place::new("naming");
    std::fs::create_dir_all(&place.0).unwrap();
    let bus = UnixListener::bind(place.0.join("socket")).unwrap();
    let (listener, _) = listener();
    let world = start(place.setup(false), &listener, Remains::default());
    let mut daemon = Client::accept(&bus);
    let hello = daemon.receive().unwrap();
    assert_eq!(hello.header().member().unwrap(), "Hello");
    daemon.answer(&hello, &":1.7");
    let naming = daemon.receive().unwrap();
    assert_eq!(naming.header().member().unwrap(), "RequestName");
    // From here on others may know that there is an init.
    world.define(service("job"));
    let signal = daemon.receive().unwrap();
    assert_eq!(signal.header().member().unwrap(), "JobAdded");
    daemon.answer(&naming, &1_u32);
    world.wait_until("it is on the bus", |world| world.dbus.is_on_bus());
    world.kill();
}

#[test]
fn the_policy_file_lets_too_much_or_too_little_through() {
    if !is_root() {
        return;
    }
    let place = Place::new("policy");
    // As distributions have it: nothing may be called unless a policy file says so.
    let policy = format!(
        "<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/>\
         <allow send_type=\"signal\"/><allow send_requested_reply=\"true\" send_type=\"method_return\"/>\
         <allow send_requested_reply=\"true\" send_type=\"error\"/><allow receive_type=\"method_call\"/>\
         <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow receive_type=\"signal\"/>\
         <allow send_destination=\"org.freedesktop.DBus\"/></policy><include>{}/dbus/com.ubuntu.Upstart.conf</include>",
        env!("CARGO_MANIFEST_DIR")
    );
    let Some(daemon) = Daemon::start_with(place.0.clone(), &policy) else { return };
    let (world, _listener) = world(place.setup(false));
    let all = "org.freedesktop.DBus.Introspectable";
    as_user(65534, || {
        let mut client = daemon.client_of_init();
        client.call(MANAGER, UPSTART, "GetAllJobs", &()).unwrap();
        client.call(PATH, JOB, "GetInstance", &vec!["N=1"]).unwrap_err();
        client.call(PATH, PROPERTIES, "GetAll", &JOB).unwrap();
        client.call(PATH, all, "Introspect", &()).unwrap();
        client.call("/stayup", PROPERTIES, "Get", &("stayup.Init1", "RestartGeneration")).unwrap();
        let denied = "org.freedesktop.DBus.Error.AccessDenied";
        let environment = vec!["N=1"];
        assert_eq!(client.call(PATH, JOB, "Start", &(&environment, true)).unwrap_err().0, denied);
        assert_eq!(client.call(PATH, "", "Start", &(&environment, true)).unwrap_err().0, denied);
        assert_eq!(client.call(MANAGER, UPSTART, "GetState", &()).unwrap_err().0, denied);
    });
    let mut root = daemon.client_of_init();
    root.call(PATH, JOB, "Start", &(vec!["N=1"], true)).unwrap();
    root.call(MANAGER, UPSTART, "GetState", &()).unwrap();
    world.kill();
}
