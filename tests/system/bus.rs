//! The same with a real dbus-daemon as system bus.

use crate::story::{survives, telinit};
use std::io::Write as _;
use std::path::Path;
use testkit::{Machine, Scope, source_root, until};

const DBUS_DAEMON: &str = "/usr/bin/dbus-daemon";

fn bus_configuration() -> String {
    let policy = source_root().join("src/manager/dbus/com.ubuntu.Upstart.conf");
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig>\n<type>system</type>\n<listen>unix:path=/run/dbus/system_bus_socket</listen>\n\
         <auth>EXTERNAL</auth>\n<policy context=\"default\">\n<allow user=\"*\"/>\n<deny own=\"*\"/>\n\
         <deny send_type=\"method_call\"/>\n<allow send_type=\"signal\"/>\n\
         <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n\
         <allow send_requested_reply=\"true\" send_type=\"error\"/>\n<allow receive_type=\"method_call\"/>\n\
         <allow receive_type=\"method_return\"/>\n<allow receive_type=\"error\"/>\n<allow receive_type=\"signal\"/>\n\
         <allow send_destination=\"org.freedesktop.DBus\"/>\n</policy>\n<include>{}</include>\n</busconfig>\n",
        policy.canonicalize().expect("the policy file is shipped").display()
    )
}

#[test]
fn the_story_over_a_system_bus() {
    if !Path::new(DBUS_DAEMON).exists() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no {DBUS_DAEMON}; install the package dbus-daemon");
        return;
    }
    let setup = Machine::setup().directory("/run/dbus").file("/run/dbus/test.conf", &bus_configuration()).job(
        "dbus",
        "start on startup\nexec dbus-daemon --config-file=/run/dbus/test.conf --nofork --nopidfile\n\
         post-start exec sh -c 'while [ ! -e /run/dbus/system_bus_socket ]; do sleep 0.01; done'\n",
    );
    let Some(machine) = Machine::start_or_skip(setup) else { return };
    until("init is on the bus", || machine.world.initctl(&["--system", "version"]).status == 0);
    assert!(machine.world.initctl(&["--system", "status", "quiet"]).out.starts_with("quiet start/running"));
    // Whoever is not root may look.
    let look = machine.user_command("initctl").args(["--system", "status", "quiet"]).output().unwrap();
    assert!(look.status.success(), "{look:?}");
    for _ in 0..2 {
        survives(&machine, "telinit u with a system bus", telinit);
    }
    survives(&machine, "a death with a system bus", |machine| {
        machine.world.signal(machine.manager(Scope::System).outside, nix::sys::signal::Signal::SIGKILL);
    });
    assert_eq!(machine.world.initctl(&["--system", "version"]).out, "init (upstart 1.13.2)");
}
