//! Job environment tables, and sessions.

use crate::support::Stage;

#[test]
fn tables_are_those_of_the_job_unless_global() {
    let stage = Stage::new(|world| {
        world.env.insert("A".to_owned(), "1".to_owned());
        world.env.insert("B".to_owned(), "two=2".to_owned());
    });
    assert_eq!(stage.initctl("list-env extra"), "A=1\nB=two=2\n");
    assert_eq!(stage.initctl("get-env B"), "two=2\n");
    let hint = "! Try `initctl --help' for more information.\n[exit 1]\n";
    assert_eq!(stage.initctl("get-env"), format!("! initctl: missing variable name\n{hint}"));
    assert_eq!(stage.initctl("get-env MISSING"), "! initctl: No such variable: MISSING\n[exit 1]\n");
    let inside = [("UPSTART_JOB", "job"), ("UPSTART_INSTANCE", "1")];
    stage.run("initctl", "set-env --retain A=2", &inside);
    stage.run("initctl", "set-env -g A=2 B=3", &inside);
    stage.run("initctl", "unset-env A", &inside);
    stage.initctl("unset-env A B");
    stage.initctl("reset-env");
    assert_eq!(
        stage.calls(),
        [
            "ListEnv([])",
            "SetEnv(([\"job\", \"1\"], \"A=2\", false))",
            "SetEnvList(([], [\"A=2\", \"B=3\"], true))",
            "UnsetEnv(([\"job\", \"1\"], \"A\"))",
            "UnsetEnvList(([], [\"A\", \"B\"]))",
            "ResetEnv([])"
        ]
    );
}

#[test]
fn stale_session_files_are_passed_over() {
    let stage = Stage::new(|_| {});
    let sessions = stage.place.path("run/upstart/sessions");
    assert_eq!(stage.initctl("list-sessions"), "");
    std::fs::create_dir_all(&sessions).unwrap();
    let own = std::process::id();
    let write = |name: String, text: &str| std::fs::write(sessions.join(name), text).unwrap();
    write(format!("{own}.session"), "UPSTART_SESSION=unix:abstract=/a\n");
    // Beyond the largest pid the kernel gives out.
    write("4194305.session".to_owned(), "UPSTART_SESSION=unix:abstract=/b\n");
    write("x.session".to_owned(), "UPSTART_SESSION=unix:abstract=/c\n");
    let text = stage.initctl("list-sessions");
    assert!(text.starts_with(&format!("{own} unix:abstract=/a\n! initctl: ignoring stale")));
    assert_eq!(text.lines().count(), 2);
}
