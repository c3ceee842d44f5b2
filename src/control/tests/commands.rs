//! start, stop, restart, reload, status, list, emit and the rest: texts and exit statuses as recorded from Upstart.

use crate::fake_init::Job;
use crate::support::{Stage, job, many};

fn stage() -> Stage {
    Stage::new(|world| {
        world.jobs.insert("job".to_owned(), job());
        world.jobs.insert("many".to_owned(), many());
        let fails = Job { fails: true, ..job() };
        world.jobs.insert("bad".to_owned(), fails);
        let task = Job { task: true, ..job() };
        world.jobs.insert("dir/task".to_owned(), task);
    })
}

#[test]
fn a_job_is_started_and_stopped() {
    let stage = stage();
    assert_eq!(stage.initctl("start job"), "job start/running, process 4711\n");
    assert_eq!(stage.initctl("start job"), "! initctl: Job is already running: job\n[exit 1]\n");
    assert_eq!(stage.initctl("status job"), "job start/running, process 4711\n");
    assert_eq!(stage.initctl("restart job"), "job start/running, process 4712\n");
    assert_eq!(stage.initctl("stop job"), "job stop/waiting\n");
    assert_eq!(stage.initctl("stop job"), "! initctl: Unknown instance:\n[exit 1]\n");
    assert_eq!(stage.initctl("status job"), "job stop/waiting\n");
    assert_eq!(stage.initctl("start dir/task"), "dir/task stop/waiting\n");
    assert_eq!(
        stage.calls(),
        ["Start(job \"\" true)", "Restart(job \"\" true)", "Stop(job \"\" true)", "Start(dir/task \"\" true)"]
    );
}

#[test]
fn failures_are_told_in_the_words_of_init() {
    let stage = stage();
    assert_eq!(stage.initctl("start bad"), "! initctl: Job failed to start\n[exit 1]\n");
    assert_eq!(stage.initctl("start nojob"), "! initctl: Unknown job: nojob\n[exit 1]\n");
    assert_eq!(stage.initctl("emit fails"), "! initctl: Event failed\n[exit 1]\n");
    assert_eq!(stage.initctl("emit --no-wait fails"), "");
}

#[test]
fn instances_are_told_apart() {
    let stage = stage();
    assert_eq!(stage.initctl("start many N=1"), "many (1) start/running, process 4711\n");
    for command in ["start", "stop", "status", "restart", "reload"] {
        assert_eq!(stage.initctl(&format!("{command} many X=1")), "! initctl: Unknown parameter: N\n[exit 1]\n");
    }
    for command in ["stop", "status", "restart", "reload"] {
        assert_eq!(
            stage.initctl(&format!("{command} many N=nobody")),
            "! initctl: Unknown instance: nobody\n[exit 1]\n"
        );
    }
    assert_eq!(
        stage.initctl("list"),
        "bad stop/waiting\ndir/task stop/waiting\njob stop/waiting\n\
         many (1) start/running, process 4711\n"
    );
    assert_eq!(stage.initctl("stop many N=1"), "many stop/waiting\n");
}

#[test]
fn further_processes_have_lines_of_their_own() {
    let stage = stage();
    let mut running = job();
    running.set("", "stop/pre-stop", &[("main", 10), ("pre-stop", 11)]);
    stage.init.world().jobs.insert("job".to_owned(), running);
    assert_eq!(stage.initctl("status job"), "job stop/pre-stop, process 10\n\tpre-stop process 11\n");
}

#[test]
fn the_short_names_are_commands() {
    let stage = stage();
    let run = |name, arguments| stage.run(name, arguments, &[]);
    assert_eq!(run("start", "job"), "job start/running, process 4711\n");
    assert_eq!(run("status", "job"), "job start/running, process 4711\n");
    assert_eq!(run("reload", "job"), "");
    assert_eq!(run("stop", "job"), "job stop/waiting\n");
    assert_eq!(run("stop", "job"), "! stop: Unknown instance:\n[exit 1]\n");
    for name in ["start", "status"] {
        assert_eq!(
            run(name, ""),
            format!("! {name}: missing job name\n! Try `{name} --help' for more information.\n[exit 1]\n")
        );
    }
}

#[test]
fn inside_a_job_the_job_itself_is_meant_and_not_waited_for() {
    let stage = stage();
    let running = many().running("1", 30);
    stage.init.world().jobs.insert("many".to_owned(), running);
    let inside = [("UPSTART_JOB", "many"), ("UPSTART_INSTANCE", "1")];
    let state = "many (1) start/running, process 30\n";
    assert_eq!(stage.run("status", "", &inside), state);
    assert_eq!(stage.run("initctl", "status", &inside), state);
    assert_eq!(stage.run("stop", "", &inside), state);
    assert_eq!(stage.run("status", "many N=other", &inside), "! status: Unknown instance: other\n[exit 1]\n");
    assert_eq!(stage.calls(), ["Instance.Stop(many \"1\" false)"]);
}

#[test]
fn reload_needs_a_process() {
    let stage = stage();
    assert_eq!(stage.initctl("reload job"), "! initctl: Unknown instance:\n[exit 1]\n");
    let mut state = job();
    state.set("", "start/running", &[]);
    stage.init.world().jobs.insert("job".to_owned(), state);
    assert_eq!(stage.initctl("reload job"), "! initctl: Job is not running: job\n[exit 1]\n");
}

#[test]
fn quiet_leaves_errors_only() {
    let stage = stage();
    assert_eq!(stage.initctl("--quiet start job"), "");
    assert_eq!(stage.initctl("start -q job"), "! initctl: Job is already running: job\n[exit 1]\n");
    assert_eq!(stage.initctl("stop --quiet job"), "");
}

#[test]
fn no_wait_and_events_reach_init_as_they_were_given() {
    let stage = stage();
    stage.initctl("start -n job");
    stage.initctl("emit go A=1 B=");
    stage.initctl("emit -n go");
    assert_eq!(
        stage.calls(),
        ["Start(job \"\" false)", "EmitEvent(go [\"A=1\", \"B=\"] true)", "EmitEvent(go [] false)"]
    );
}

#[test]
fn properties_and_notifications() {
    let stage = stage();
    assert_eq!(stage.initctl("version extra"), "init (upstart 1.13.2)\n");
    assert_eq!(stage.initctl("log-priority"), "message\n");
    assert_eq!(stage.initctl("log-priority info extra"), "");
    assert_eq!(stage.initctl("log-priority"), "info\n");
    assert_eq!(stage.initctl("reload-configuration"), "");
    assert_eq!(stage.initctl("notify-disk-writeable"), "");
    assert_eq!(stage.initctl("notify-dbus-address unix:path=/x"), "");
    assert_eq!(
        stage.calls(),
        ["Set(log_priority)", "ReloadConfiguration()", "NotifyDiskWriteable()", "NotifyDBusAddress(\"unix:path=/x\")"]
    );
}

#[test]
fn command_lines_that_make_no_sense() {
    let stage = stage();
    let hint = "! Try `initctl --help' for more information.\n[exit 1]\n";
    for (arguments, text) in [
        ("", "missing command"),
        ("frobnicate", "invalid command: frobnicate"),
        ("start --frobnicate job", "invalid option: --frobnicate"),
        ("list -w", "invalid option: -w"),
        ("emit", "missing event name"),
    ] {
        assert_eq!(stage.initctl(arguments), format!("! initctl: {text}\n{hint}"));
    }
    assert!(stage.initctl("--help").contains("\n  check-config "));
    assert!(stage.initctl("emit --help").starts_with("Usage: initctl emit [OPTION]... EVENT"));
    assert!(stage.run("start", "--help", &[]).starts_with("Usage: start [OPTION]... JOB"));
    assert!(stage.initctl("--version").starts_with("initctl (upstart 1.13.2)\n"));
}

#[test]
fn a_thousand_instances_are_listed_in_three_rounds() {
    let stage = stage();
    let mut crowd = many();
    for number in 0..1000 {
        crowd = crowd.running(&format!("{number:04}"), number);
    }
    stage.init.world().jobs.insert("many".to_owned(), crowd);
    let text = stage.initctl("list");
    assert_eq!(text.lines().count(), 1003);
    assert!(text.ends_with("many (0999) start/running, process 999\n"));
}
