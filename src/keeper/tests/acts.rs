//! Small programs that the tests have started: daemons of all kinds, and one that tells what it was given.

#![allow(unsafe_code)] // fork

use nix::unistd::{ForkResult, Pid, fork, setsid};
use std::io::Write as _;

/// `act NAME ARGUMENT…`
pub(crate) fn play(words: &[String]) -> ! {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["daemon", forks, how, file] => daemon(forks.parse().expect("a number"), how, file),
        ["tell"] => tell(),
        ["stop"] => {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).expect("stops");
            std::process::exit(5)
        }
        ["first-process", ref command @ ..] => first_process(command),
        ["old-kernel", ref command @ ..] => old_kernel(command),
        _ => panic!("no such act: {words:?}"),
    }
}

/// Forks so often. `how` has, each a letter: s(etsid in the first child), w(ait for each child in its parent, except
/// where it is the last), q(uit at once with 7 instead of staying), h(elper forked after the last fork, staying too).
fn daemon(forks: u32, how: &str, file: &str) -> ! {
    let has = |letter| how.contains(letter);
    for fork_number in 1..=forks {
        // SAFETY: one thread.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => {
                if has('w') && fork_number < forks {
                    let _ = nix::sys::wait::waitpid(child, None);
                }
                std::process::exit(0);
            }
            ForkResult::Child if fork_number == 1 && has('s') => drop(setsid()),
            ForkResult::Child => {}
        }
    }
    if has('h') {
        // SAFETY: one thread.
        if let ForkResult::Child = unsafe { fork() }.expect("fork") {
            stay();
        }
    }
    let mut output = std::fs::File::create(format!("{file}.new")).expect("file");
    writeln!(output, "{}", Pid::this()).expect("write");
    std::fs::rename(format!("{file}.new"), file).expect("rename");
    if has('q') {
        std::process::exit(7);
    }
    stay()
}

/// Executes a program to which the kernel is one before Linux 6.13: it knows no `PIDFD_GET_INFO`.
fn old_kernel(command: &[&str]) -> ! {
    use nix::libc;
    use std::os::unix::process::CommandExt as _;
    /// linux/pidfd.h, with the size of its first version.
    const PIDFD_GET_INFO: u32 = 0xC040_FF0B;
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let skip_unless = |k: u32, count: u8| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, 0, count);
    let give = |result: u32| step(libc::BPF_RET | libc::BPF_K, result, 0, 0);
    // struct seccomp_data (seccomp(2)): the system call's number, and at 16 the first argument, 64 bits each.
    let filter = [
        load(0),
        skip_unless(libc::SYS_ioctl as u32, 3),
        load(24),
        skip_unless(PIDFD_GET_INFO, 1),
        give(libc::SECCOMP_RET_ERRNO | libc::ENOTTY as u32),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter, which lives longer than the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0, "seccomp");
    }
    panic!("{:?}", std::process::Command::new(command[0]).args(&command[1..]).exec())
}

fn stay() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// What this process was given, for a test of what is inherited.
fn tell() -> ! {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    for line in status.lines().filter(|line| line.starts_with("Sig") || line.starts_with("Umask")) {
        println!("{line}");
    }
    for entry in std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if !target.starts_with("/proc") {
            println!("fd {} {}", entry.file_name().display(), target.display());
        }
    }
    let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("limit");
    println!("open files {soft} {hard}");
    let own = Pid::this();
    let leads = nix::unistd::getsid(None) == Ok(own) && nix::unistd::getpgrp() == own;
    println!("leads {leads}");
    for (key, value) in std::env::vars() {
        println!("env {key}={value}");
    }
    std::process::exit(0)
}

/// Runs a command as process 1 of a new pid namespace, with a /proc of its own. Exit status 77: not possible here.
fn first_process(command: &[&str]) -> ! {
    use nix::sched::{CloneFlags, unshare};
    use std::os::unix::process::CommandExt as _;
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    if unshare(flags).is_err() {
        std::process::exit(77);
    }
    std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid map");
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid map");
    // SAFETY: one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None).expect("wait");
            std::process::exit(match status {
                nix::sys::wait::WaitStatus::Exited(_, code) => code,
                nix::sys::wait::WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
                _ => 1,
            })
        }
        ForkResult::Child => {
            // SAFETY: the strings are constants.
            let mounted = unsafe {
                let flags = nix::libc::MS_REC | nix::libc::MS_PRIVATE;
                nix::libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null());
                nix::libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, std::ptr::null())
            };
            if mounted != 0 {
                std::process::exit(77);
            }
            let error = std::process::Command::new(command[0]).args(&command[1..]).exec();
            panic!("{error}")
        }
    }
}
