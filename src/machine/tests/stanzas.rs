//! What each stanza says, and what it refuses.
#![allow(clippy::unwrap_used)]

use machine::class::{Cgroup, Class, Command, ConsoleKind, ExitCause, Expect, Limit, Resource, RespawnLimit};
use machine::parse::{apply_override, parse_class};

fn read(text: &str) -> Class {
    parse_class("job", text.as_bytes()).unwrap_or_else(|error| panic!("{}", error.render("job.conf", text.as_bytes())))
}

fn assert_refused(message: &str, texts: &[&str]) {
    for text in texts {
        let error = parse_class("job", text.as_bytes()).expect_err(text);
        assert_eq!((error.line, &*error.kind.to_string()), (1, message), "{text}");
    }
}

#[test]
fn texts_about_the_job() {
    let class = read("description a\nauthor b\nversion c\nusage d\ninstance $DEV");
    assert_eq!([class.description, class.author, class.version, class.usage].map(Option::unwrap), ["a", "b", "c", "d"]);
    assert_eq!(class.instance, "$DEV");
    assert_refused(
        "Expected token",
        &["description", "author", "version", "usage", "instance", "instance \"\"", "exec", "exec # a"],
    );
    assert_refused("Unexpected token", &["description a b", "author a b", "version a b", "usage a b", "instance a b"]);
}

#[test]
fn stanzas_without_words() {
    let class = read("task\ndebug\nrespawn\n");
    assert!(class.task && class.debug && class.respawn);
    assert_refused("Unexpected token", &["task x", "debug x", "manual x"]);
}

#[test]
fn processes() {
    let class = read(
        "pre-start exec a b\npost-start script\n  c\nend script\npre-stop exec d\npost-stop script\nend script\nscript\n e\nend script\n",
    );
    let exec = |text: &str| Some(Command::Exec(text.into()));
    let script = |text: &str| Some(Command::Script(text.into()));
    assert_eq!((class.pre_start, class.post_start), (exec("a b"), script("c\n")));
    assert_eq!((class.pre_stop, class.post_stop, class.main), (exec("d"), script(""), script("e\n")));
    assert_refused("Expected token", &["pre-start", "pre-stop exec", "post-stop # x"]);
    assert_refused("Unknown stanza", &["post-start sh"]);
}

#[test]
fn the_later_of_two_counts() {
    let class = read("start on a\nstart on b\nkill signal INT\nkill signal USR1\nexec x\nscript\ny\nend script\n");
    assert_eq!(class.start_on.unwrap().expression(), "b");
    assert_eq!(class.kill_signal, 10);
    assert_eq!(class.main, Some(Command::Script("y\n".into())));
    assert_eq!(read("script\ny\nend script\nexec x").main, Some(Command::Exec("x".into())));
}

#[test]
fn lists_add_up() {
    let class = read(
        "env A=1\nenv B=\"x y\"\nenv A=3\nemits one two\nemits three\nexport A\nexport B A\nimport C\nimport D E\ntmpfiles /f /g\n",
    );
    assert_eq!(class.env, ["A=1", "B=x y", "A=3"]);
    assert_eq!(class.emits, ["one", "two", "three"]);
    assert_eq!(class.export, ["A", "B", "A"]);
    assert_eq!(class.import, ["C", "D", "E"]);
    assert_eq!(class.tmpfiles, ["/f", "/g"]);
    assert_refused("Expected token", &["env", "export", "emits", "import", "tmpfiles"]);
}

#[test]
fn environment_is_not_judged() {
    assert_refused("Unexpected token", &["env A B"]);
    for (text, expected) in
        [("env =x", "=x"), ("env 'A B=1'", "A B=1"), ("env A=", "A="), ("env A", "A"), ("env A=\"\"", "A=")]
    {
        assert_eq!(read(text).env, [expected]);
    }
    assert_eq!(read("export A=1").export, ["A=1"]);
}

#[test]
fn manual_takes_back_what_starts_the_job() {
    assert_eq!(read("start on a\nmanual\n").start_on, None);
    assert!(read("manual\nstart on a\n").start_on.is_some());
}

#[test]
fn signals() {
    for (word, number) in [("TERM", 15), ("SIGTERM", 15), ("15", 15), ("SIGPWR", 30), ("0", 0), ("64", 64)] {
        assert_eq!(read(&format!("kill signal {word}")).kill_signal, number);
        assert_eq!(read(&format!("reload signal {word}")).reload_signal, number);
    }
    assert_refused(
        "Illegal signal status, expected integer",
        &["kill signal wibble", "kill signal -1", "kill signal 65", "reload signal 1x", "reload signal 99999999999"],
    );
    assert_refused("Expected token", &["kill", "kill signal", "kill timeout", "reload", "reload signal"]);
    assert_refused("Unexpected token", &["kill signal TERM HUP", "reload signal 1 2", "kill timeout 5 s"]);
}

#[test]
fn kill_timeout() {
    assert_eq!(read("kill timeout 300 # long").kill_timeout_s, 300);
    assert_eq!(read("kill timeout 0").kill_timeout_s, 0);
    let wrong = ["kill timeout x", "kill timeout -1", "kill timeout 5s", "kill timeout 4294967296"];
    assert_refused("Illegal interval, expected number of seconds", &wrong);
}

#[test]
fn respawn_limits() {
    let class = read("respawn limit 2 60");
    assert_eq!(class.respawn_limit, Some(RespawnLimit { count: 2, interval_s: 60 }));
    assert!(!class.respawn, "the limit does not imply respawn");
    assert_eq!(read("respawn limit unlimited  # always").respawn_limit, None);
    assert_eq!(read("respawn limit 0 5").respawn_limit, None);
    assert_eq!(read("").respawn_limit, Some(RespawnLimit { count: 10, interval_s: 5 }));
    assert_refused("Expected token", &["respawn limit", "respawn limit 5"]);
    assert_refused("Illegal limit, expected 'unlimited' or integer", &["respawn limit x 5", "respawn limit -1 5"]);
    assert_refused(
        "Illegal interval, expected number of seconds",
        &["respawn limit 5 unlimited", "respawn limit 5 -1"],
    );
    assert_refused("Unexpected token", &["respawn limit 5 5 5", "respawn limit unlimited 5"]);
}

#[test]
fn normal_exits() {
    let class = read("normal exit 0 TERM 113\nnormal exit SIGINT 0");
    let (status, signal) = (ExitCause::Status, ExitCause::Signal);
    assert_eq!(class.normal_exit, [status(0), signal(15), status(113), signal(2)]);
    assert_refused("Expected token", &["normal", "normal exit"]);
    assert_refused(
        "Illegal exit status, expected integer",
        &["normal exit x", "normal exit -1", "normal exit 0 1 SIGNONE"],
    );
}

#[test]
fn expectations_and_consoles() {
    for (word, expect) in [
        ("none", Expect::None),
        ("stop", Expect::Stop),
        ("fork", Expect::Fork),
        ("daemon", Expect::Daemon),
        ("notify", Expect::Notify),
    ] {
        assert_eq!(read(&format!("expect fork\nexpect {word}")).expect, expect);
    }
    for (word, console) in [
        ("none", ConsoleKind::None),
        ("log", ConsoleKind::Log),
        ("output", ConsoleKind::Output),
        ("owner", ConsoleKind::Owner),
    ] {
        assert_eq!(read(&format!("console {word}")).console, Some(console));
    }
    assert_refused("Expected token", &["expect", "console"]);
    assert_refused("Unexpected token", &["expect fork daemon", "console log output"]);
}

#[test]
fn limits() {
    let class =
        read("limit nofile 1 2\nlimit core unlimited unlimited\nlimit nofile 3 unlimited\nlimit nice -10 -10\n");
    let limit = |resource, soft, hard| Limit { resource, soft, hard };
    assert_eq!(
        class.attributes.limits,
        [
            limit(Resource::Core, u64::MAX, u64::MAX),
            limit(Resource::Nofile, 3, u64::MAX),
            limit(Resource::Nice, u64::MAX - 9, u64::MAX - 9),
        ]
    );
    for name in [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "sigpending",
        "stack",
    ] {
        assert_eq!(read(&format!("limit {name} 1 2")).attributes.limits.len(), 1);
    }
    assert_refused("Expected token", &["limit", "limit nofile", "limit nofile 10000"]);
    assert_refused("Illegal limit, expected 'unlimited' or integer", &["limit core x 1", "limit core 1 1k"]);
    assert_refused("Unexpected token", &["limit core 1 2 3"]);
}

#[test]
fn oom_scores_of_both_scales() {
    for (text, score) in [
        ("oom score never", -1000),
        ("oom score -1000", -1000),
        ("oom score -100", -100),
        ("oom score 1000", 1000),
        ("oom never", -1000),
        ("oom -17", -1000),
        ("oom 15", 1000),
        ("oom 10", 588),
        ("oom -16", -941),
        ("oom 0", 0),
    ] {
        assert_eq!(read(text).attributes.oom_score_adj, Some(score), "{text}");
    }
    let message = "Illegal oom adjustment, expected -16 to 15 or 'never'";
    assert_refused(message, &["oom wibble 3", "oom 16", "oom -18"]);
    let message = "Illegal oom score adjustment, expected -999 to 1000 or 'never'";
    assert_refused(message, &["oom score 1001", "oom score -1001", "oom score wibble"]);
    assert_refused("Expected token", &["oom", "oom score"]);
}

#[test]
fn other_attributes() {
    let class = read("umask 0177\nnice -20\nchroot /srv\nchdir ${HOME}\nsetuid \"nobody\"\nsetgid nogroup\n");
    let attributes = class.attributes;
    assert_eq!((attributes.umask, attributes.nice), (0o177, Some(-20)));
    assert_eq!((attributes.chroot.as_deref(), attributes.chdir.as_deref()), (Some("/srv"), Some("${HOME}")));
    assert_eq!((attributes.setuid.as_deref(), attributes.setgid.as_deref()), (Some("nobody"), Some("nogroup")));
    assert_refused("Expected token", &["umask", "nice", "chroot", "chdir", "setuid", "setgid"]);
    assert_refused(
        "Unexpected token",
        &["umask 1 1", "nice 1 1", "chroot / /", "chdir / /", "setuid a b", "setgid a b"],
    );
    assert_refused("Illegal nice value, expected -20 to 19", &["nice 20", "nice -21", "nice x"]);
    assert_refused("Illegal file creation mask, expected octal integer", &["umask 8", "umask 1000", "umask x"]);
}

#[test]
fn cgroups() {
    let class = read(
        "cgroup cpu\ncgroup cpuset \"my group\"\ncgroup memory limit_in_bytes 52428800\ncgroup memory $UPSTART_CGROUP swappiness 0\n",
    );
    let cgroup = |controller: &str, name: Option<&str>, setting: Option<(&str, &str)>| Cgroup {
        controller: controller.into(),
        name: name.map(Into::into),
        setting: setting.map(|(key, value)| (key.into(), value.into())),
    };
    assert_eq!(
        class.attributes.cgroups,
        [
            cgroup("cpu", None, None),
            cgroup("cpuset", Some("my group"), None),
            cgroup("memory", None, Some(("limit_in_bytes", "52428800"))),
            cgroup("memory", Some("$UPSTART_CGROUP"), Some(("swappiness", "0"))),
        ]
    );
    assert_refused("Expected token", &["cgroup"]);
    assert_refused("Unexpected token", &["cgroup a b c d e"]);
}

#[test]
fn apparmor() {
    let class = read("apparmor load /etc/apparmor.d/cupsd\napparmor switch /usr/sbin/cupsd\n");
    assert_eq!(class.attributes.apparmor_load.as_deref(), Some("/etc/apparmor.d/cupsd"));
    assert_eq!(class.attributes.apparmor_switch.as_deref(), Some("/usr/sbin/cupsd"));
    assert_refused("Expected token", &["apparmor", "apparmor load", "apparmor switch"]);
    assert_refused("Unexpected token", &["apparmor load a b"]);
}

#[test]
fn an_override_changes_its_stanzas_only() {
    let class = read("start on a\nstop on b\nenv A=1\nexec x\nrespawn\nlimit core 1 1\n");
    let changed = apply_override(&class, b"start on c\nenv A=2\nscript\ny\nend script\nlimit core 2 2\n").unwrap();
    assert_eq!(changed.start_on.as_ref().unwrap().expression(), "c");
    assert_eq!(changed.stop_on, class.stop_on);
    assert_eq!(changed.env, ["A=1", "A=2"]);
    assert_eq!(changed.main, Some(Command::Script("y\n".into())));
    assert_eq!(changed.attributes.limits, [Limit { resource: Resource::Core, soft: 2, hard: 2 }]);
    assert!(changed.respawn);
    assert_eq!(changed.name, "job");
}

#[test]
fn manual_in_an_override_leaves_the_job_to_people() {
    let class = read("start on a\nstop on b\nexec x\n");
    let manual = apply_override(&class, b"manual\n").unwrap();
    assert_eq!(manual, Class { start_on: None, ..class.clone() });
    assert_eq!(apply_override(&class, b"").unwrap(), class);
}

#[test]
fn a_broken_override_is_refused_as_a_whole() {
    let class = read("start on a\n");
    let error = apply_override(&class, b"manual\nwibble\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2: Unknown stanza");
    assert_eq!(class, read("start on a\n"));
}
