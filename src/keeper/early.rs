//! The first moments of process 1: what it needs itself before anything else, where nobody has made it yet.
//!
//! /proc, because without it the keeper cannot execute itself anew after a fault; /dev, because without it there is no console
//! and children have no /dev/null; and a console that takes lines as people type them. All other file systems are the manager's.

use crate::report::say;
use keeper::container::is_container;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{fstat, major, minor};
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What, where, its flags and options, and what must be there in any case.
const MOUNTS: [(&str, &str, MsFlags, &str, &str); 2] = [
    ("proc", "/proc", MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC), "", "/proc/self/stat"),
    ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755", "/dev/null"),
];

/// Whether something is mounted there: a root file system may have a few devices of its own, as debootstrap makes them.
fn is_mounted(target: &str) -> bool {
    let device = |path: &str| std::fs::metadata(path).map(|found| found.dev()).ok();
    device(target) != device("/")
}

/// Major and minor number of /dev/console (console(4)).
const CONSOLE: (u64, u64) = (5, 1);

/// What could not be done, to be said when there is a console to say it on.
pub(crate) type Problems = Vec<String>;

/// Mounts what is missing. A kernel may have mounted /dev, an initramfs both; a container may forbid it, and have them.
pub(crate) fn mount_missing() -> Problems {
    let mut problems = Problems::new();
    for (kind, target, flags, options, sign) in MOUNTS {
        // The devices of the machine are none of a container's, not even where it could have them.
        let is_foreign = kind == "devtmpfs" && is_container();
        if is_foreign || is_mounted(target) && Path::new(sign).exists() {
            continue;
        }
        if let Err(errno) = mount(Some(kind), target, Some(kind), flags, Some(options))
            && !Path::new(sign).exists()
        {
            problems.push(format!("{target}: cannot mount {kind}: {}", errno.desc()));
        }
    }
    problems
}

/// Has the console, if the kernel has given us one, take lines as people type them, whatever the boot loader has left it as. Its
/// speed stays. Any other terminal is somebody else's.
pub(crate) fn set_up_console() {
    let input = std::io::stdin();
    let is_console = fstat(&input).is_ok_and(|found| (major(found.st_rdev), minor(found.st_rdev)) == CONSOLE);
    let Some(mut settings) = is_console.then(|| tcgetattr(&input).ok()).flatten() else { return };
    make_sane(&mut settings);
    if let Err(errno) = tcsetattr(&input, SetArg::TCSANOW, &settings) {
        say!("/dev/console: cannot be set up: {}", errno.desc());
    }
}

/// The settings of a terminal that somebody sits at (stty(1), "sane").
fn make_sane(settings: &mut Termios) {
    let line = ControlFlags::CBAUD | ControlFlags::CSIZE | ControlFlags::CSTOPB | ControlFlags::PARENB;
    settings.control_flags &= line | ControlFlags::PARODD;
    settings.control_flags |= ControlFlags::HUPCL | ControlFlags::CLOCAL | ControlFlags::CREAD;
    settings.input_flags = InputFlags::IGNPAR | InputFlags::ICRNL | InputFlags::IXON | InputFlags::IXANY;
    settings.output_flags = OutputFlags::OPOST | OutputFlags::ONLCR;
    settings.local_flags = LocalFlags::ISIG
        | LocalFlags::ICANON
        | LocalFlags::ECHO
        | LocalFlags::ECHOE
        | LocalFlags::ECHOK
        | LocalFlags::ECHOCTL
        | LocalFlags::ECHOKE
        | LocalFlags::IEXTEN;
    let control = |letter: u8| letter & 0x1f;
    for (index, character) in [
        (SpecialCharacterIndices::VINTR, control(b'C')),
        (SpecialCharacterIndices::VQUIT, control(b'\\')),
        (SpecialCharacterIndices::VERASE, 0x7f),
        (SpecialCharacterIndices::VKILL, control(b'U')),
        (SpecialCharacterIndices::VEOF, control(b'D')),
        (SpecialCharacterIndices::VSTART, control(b'Q')),
        (SpecialCharacterIndices::VSTOP, control(b'S')),
        (SpecialCharacterIndices::VSUSP, control(b'Z')),
    ] {
        settings.control_chars[index as usize] = character;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;

    #[test]
    fn a_terminal_that_was_left_raw_takes_lines_again() {
        let terminal = openpty(None, None).unwrap();
        let mut settings = tcgetattr(&terminal.slave).unwrap();
        nix::sys::termios::cfmakeraw(&mut settings);
        settings.control_chars[SpecialCharacterIndices::VINTR as usize] = 0;
        tcsetattr(&terminal.slave, SetArg::TCSANOW, &settings).unwrap();
        make_sane(&mut settings);
        tcsetattr(&terminal.slave, SetArg::TCSANOW, &settings).unwrap();
        let now = tcgetattr(&terminal.slave).unwrap();
        assert!(now.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        assert!(now.output_flags.contains(OutputFlags::ONLCR));
        assert_eq!(now.control_chars[SpecialCharacterIndices::VINTR as usize], 3);
    }
}
