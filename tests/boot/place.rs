//! A directory of the real machine that is mounted into a test's, in pieces.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::{PROGRAMS, Setup, source_root};

/// Goes with the test.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stayup-boot-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn directory(&self, name: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }

    pub(crate) fn program(&self, name: &str, content: &str) {
        self.file(name, &format!("#!/bin/sh\n{content}"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, name: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        symlink(target, self.path(name)).unwrap();
    }

    /// What the machine has left in `/run/test`.
    pub(crate) fn notes(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path("out").join(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the scripts of the stock jobs are, inside, with the programs that lie beside them.
pub(crate) const SCRIPTS: &str = "/run/scripts";

/// Commands that the stock jobs use and that must not touch the real machine; they write down that they were called.
const STAND_INS: [&str; 17] = [
    "dbus-uuidgen",
    "fsck",
    "hostname",
    "ifdown",
    "ifup",
    "ip",
    "killall5",
    "modprobe",
    "mount",
    "sulogin",
    "swapoff",
    "swapon",
    "sync",
    "sysctl",
    "systemd-tmpfiles",
    "udevadm",
    "umount",
];

/// The same of services, which stay.
const SERVICES: [&str; 3] = ["agetty", "rsyslogd", "systemd-udevd"];

/// A machine with the stock jobs, their scripts, and stand-ins for whatever they would do to a real one.
pub(crate) fn debian(place: &Place) -> Setup {
    let write_down = "echo \"${0##*/} $*\" >> /run/test/calls\n";
    for name in STAND_INS {
        place.program(&format!("bin/{name}"), write_down);
    }
    for name in SERVICES {
        place.program(&format!("bin/{name}"), &format!("{write_down}exec sleep infinity\n"));
    }
    // For those who ask it for the number of their pid namespace: that of a machine.
    place.program("bin/readlink", "echo 'pid:[4026531836]'\n");
    place.program("bin/dbus-daemon", &format!("{write_down}sleep infinity &\n"));
    for name in ["initctl", "start", "stop"] {
        place.link(format!("{PROGRAMS}/initctl"), &format!("bin/{name}"));
    }
    // Debian finds it through /etc, which is another one here.
    place.link(fs::canonicalize("/usr/bin/awk").expect("awk"), "bin/awk");
    for entry in fs::read_dir(source_root().join("conf/scripts")).unwrap() {
        let path = entry.unwrap().path();
        fs::create_dir_all(place.path("scripts")).unwrap();
        fs::copy(&path, place.path("scripts").join(path.file_name().unwrap())).unwrap();
    }
    for (name, program) in [
        ("init", "init"),
        ("telinit", "telinit"),
        ("shutdown", "shutdown"),
        ("runlevel", "runlevel"),
        ("reboot", "reboot"),
        ("halt", "reboot"),
        ("poweroff", "reboot"),
    ] {
        place.link(format!("{PROGRAMS}/{program}"), &format!("scripts/{name}"));
    }
    place.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/run/home:/bin/sh\n");
    place.file("etc/hostname", "box\n");
    place.file("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    place.file("etc/fstab", "/dev/root / ext4 defaults 0 1\n");
    place.link("/run/init", "etc/init");
    // With this init takes it for mounted, and leaves it as it is.
    place.directory("sys/kernel");
    // Whatever a stock job might reach by a path of its own is something else here.
    let setup = Setup::new()
        .bind(&place.directory("out"), "/run/test")
        .directory(SCRIPTS)
        .bind(&place.directory("scripts"), SCRIPTS)
        .bind(&place.directory("bin"), "/usr/local/sbin")
        .bind(&place.directory("etc"), "/etc")
        .bind(&place.directory("sys"), "/sys")
        .bind(&place.directory("tmp"), "/tmp")
        .file("/var/log/wtmp", "");
    stock_jobs().into_iter().fold(setup, |setup, (name, text)| setup.job(&name, &text))
}

fn stock_jobs() -> Vec<(String, String)> {
    let entries = fs::read_dir(source_root().join("conf")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "conf"));
    let jobs = files.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text
            .replace("/usr/lib/stayup/", "/run/scripts/")
            .replace("/lib/systemd/systemd-udevd", "/usr/local/sbin/systemd-udevd")
            .replace("/var/lib/stayup/random-seed", "/run/test/random-seed")
            // A shell script cannot say so.
            .replace("expect notify\n", "");
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), text)
    });
    jobs.collect()
}
