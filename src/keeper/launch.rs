//! A process about to be started: everything [`crate::child`] needs between clone and exec, worked out before, so that
//! there is nothing left to allocate there. Checks the request, and reports what is wrong with it as a stage.

use keeper::container::is_container;
use keeper::protocol::{Console, Environment, Identity, SpawnRequest, Stage};
use nix::errno::Errno;
use std::ffi::{CString, OsString, c_char};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

/// What failed and why.
pub(crate) type Failure = (Stage, Errno);

/// A null-terminated array of strings, as execve(2) wants it.
#[derive(Debug)]
pub(crate) struct Strings<T = Vec<CString>> {
    /// Owns what the pointers point to.
    _owned: T,
    pub(crate) pointers: Vec<*const c_char>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }
}

impl Strings<Vec<u8>> {
    /// Of a block of strings that each end with a NUL.
    fn of_block(block: Vec<u8>) -> Self {
        let strings = block.split_inclusive(|&byte| byte == 0).map(|string| string.as_ptr().cast());
        let pointers = strings.chain([std::ptr::null()]).collect();
        Self { _owned: block, pointers }
    }
}

/// Where descriptors 0, 1 and 2 come from; numbers are the keeper's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standard {
    Null,
    Output(RawFd),
    /// Where there is no console, and it is to be the keeper's own else, that, and nothing otherwise.
    Device {
        is_owner: bool,
        is_own_else: bool,
    },
    Given([RawFd; 3]),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The program, or where in the PATH it may be, in order.
    pub(crate) paths: Vec<CString>,
    pub(crate) arguments: Strings,
    /// The same for a script without `#!`: `/bin/sh`, a gap for its path, its arguments.
    pub(crate) shell_arguments: Strings,
    pub(crate) environment: Strings<Vec<u8>>,
    pub(crate) standard: Standard,
    /// The keeper's number of /dev/null, if it has one.
    pub(crate) null: Option<RawFd>,
    /// (the keeper's number, number in the process).
    pub(crate) descriptors: Vec<(RawFd, RawFd)>,
    /// Room for the child, as long as `descriptors`.
    pub(crate) moved: Vec<RawFd>,
    /// All numbers in the process are below this one.
    pub(crate) above_all: RawFd,
    pub(crate) nice: Option<i32>,
    pub(crate) oom_score: Option<Vec<u8>>,
    /// The keeper's own limit of open files before it raised it (soft, hard).
    pub(crate) open_files: (u64, u64),
    pub(crate) limits: Vec<(u32, u64, u64)>,
    pub(crate) umask: Option<u32>,
    pub(crate) chroot: Option<CString>,
    pub(crate) working_directory: Option<CString>,
    pub(crate) identity: Identity,
    pub(crate) cgroup: Option<RawFd>,
    /// Stop before exec.
    pub(crate) stop_first: bool,
    /// What to write to AppArmor.
    pub(crate) apparmor: Option<Vec<u8>>,
    /// Signals that are ignored by the keeper itself; see [`crate::child::ignored_signals`].
    pub(crate) ignored: u64,
    /// The keeper's number of the pipe in which the child reports; set when it is made.
    pub(crate) status: RawFd,
    /// A manager, or what else is rare enough to be made the slow way.
    is_rare: bool,
}

impl Launch {
    /// Of a request that came with these descriptors.
    pub(crate) fn of_request(
        request: SpawnRequest,
        given: &[OwnedFd],
        open_files: (u64, u64),
    ) -> Result<Self, Failure> {
        let number = |index: u16| match given.get(usize::from(index)) {
            Some(descriptor) => Ok(descriptor.as_raw_fd()),
            None => Err((Stage::Request, Errno::EBADF)),
        };
        let standard = match request.console {
            Console::Null => Standard::Null,
            Console::Log(index) => Standard::Output(number(index)?),
            // Whoever runs a container reads what its process 1 prints.
            Console::Output => Standard::Device { is_owner: false, is_own_else: is_container() },
            Console::Owner => Standard::Device { is_owner: true, is_own_else: is_container() },
            Console::Given(first) => {
                Standard::Given([number(first)?, number(first.saturating_add(1))?, number(first.saturating_add(2))?])
            }
        };
        let mut descriptors = Vec::with_capacity(request.descriptors.len());
        for (index, target) in request.descriptors {
            if target < 0 || target == RawFd::MAX {
                return Err((Stage::Request, Errno::EBADF));
            }
            descriptors.push((number(index)?, target));
        }
        let mut launch = Self::new(request.argv, request.environment, standard, descriptors, open_files)?;
        launch.nice = request.nice;
        launch.oom_score = request.oom_score_adj.map(|score| score.to_string().into_bytes());
        launch.limits = request.limits;
        launch.umask = Some(request.umask);
        launch.chroot = request.chroot.map(c_string).transpose()?;
        launch.working_directory = request.working_directory.map(c_string).transpose()?;
        launch.identity = request.identity.unwrap_or_default();
        launch.stop_first = request.stop_first;
        launch.cgroup = request.cgroup.map(number).transpose()?;
        let profile = request.apparmor_profile.filter(|_| has_apparmor());
        launch.apparmor = profile.map(|profile| format!("exec {profile}").into_bytes());
        Ok(launch)
    }

    /// Whether the child must not share the keeper's memory on its way. The kernel gives an OOM score to all that share
    /// memory (`__set_oom_adj`), and takes from the memory, not only from the process, the right to be traced and dumped
    /// when an identity changes (`commit_creds`); a process that is to be stopped before its exec would share for ever.
    pub(crate) fn needs_copy(&self) -> bool {
        self.is_rare || self.stop_first || self.oom_score.is_some() || self.identity != Identity::default()
    }

    /// Of a manager: the keeper's own standard descriptors and environment, and `descriptors`.
    pub(crate) fn of_manager(
        path: &Path,
        arguments: &[OsString],
        descriptors: Vec<(RawFd, RawFd)>,
        open_files: (u64, u64),
    ) -> Result<Self, Failure> {
        let argv = std::iter::once(path.as_os_str().to_owned()).chain(arguments.iter().cloned());
        let mut environment = Environment::default();
        for (mut entry, value) in std::env::vars_os() {
            entry.push("=");
            entry.push(value);
            environment.push(entry.as_bytes()).map_err(|errno| (Stage::Request, errno))?;
        }
        let argv = argv.map(OsString::into_vec).collect();
        let standard = Standard::Given([0, 1, 2]);
        let mut launch = Self::new(argv, environment, standard, descriptors, open_files)?;
        launch.is_rare = true;
        Ok(launch)
    }

    /// Of a shell on the console.
    pub(crate) fn of_shell(
        program: &str,
        environment: Environment,
        open_files: (u64, u64),
        ignored: u64,
    ) -> Result<Self, Failure> {
        let console = Standard::Device { is_owner: true, is_own_else: false };
        let mut launch = Self::new(vec![program.into()], environment, console, Vec::new(), open_files)?;
        launch.ignored = ignored;
        launch.is_rare = true;
        Ok(launch)
    }

    fn new(
        argv: Vec<Vec<u8>>,
        environment: Environment,
        standard: Standard,
        descriptors: Vec<(RawFd, RawFd)>,
        open_files: (u64, u64),
    ) -> Result<Self, Failure> {
        let program = argv.first().ok_or((Stage::Request, Errno::EINVAL))?;
        let paths = candidates(program, &environment)?;
        let arguments = argv.into_iter().map(c_string).collect::<Result<Vec<_>, _>>()?;
        // The gap at index 1 is filled in by the child.
        let mut shell = vec![c"/bin/sh".to_owned(), CString::default()];
        shell.extend(arguments.iter().skip(1).cloned());
        let environment = environment.into_block().ok_or((Stage::Request, Errno::EINVAL))?;
        let above_all = descriptors.iter().map(|&(_, target)| target).fold(2, RawFd::max) + 1;
        Ok(Self {
            paths,
            arguments: Strings::new(arguments),
            shell_arguments: Strings::new(shell),
            environment: Strings::of_block(environment),
            standard,
            null: None,
            moved: vec![-1; descriptors.len()],
            descriptors,
            above_all,
            nice: None,
            oom_score: None,
            open_files,
            limits: Vec::new(),
            umask: None,
            chroot: None,
            working_directory: None,
            identity: Identity::default(),
            cgroup: None,
            stop_first: false,
            apparmor: None,
            ignored: 0,
            status: -1,
            is_rare: false,
        })
    }
}

fn c_string(bytes: Vec<u8>) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| (Stage::Request, Errno::EINVAL))
}

/// Where a program may be, as execvp(3) looks for it in the `PATH` of its own environment.
fn candidates(program: &[u8], environment: &Environment) -> Result<Vec<CString>, Failure> {
    if program.is_empty() {
        return Ok(Vec::new());
    }
    if program.contains(&b'/') {
        return Ok(vec![c_string(program.to_vec())?]);
    }
    let path = environment.iter().find_map(|string| string.strip_prefix(b"PATH=")).unwrap_or(b"/bin:/usr/bin");
    let join = |directory: &[u8]| match directory {
        [] => c_string(program.to_vec()),
        _ => c_string([directory, b"/", program].concat()),
    };
    path.split(|&byte| byte == b':').map(join).collect()
}

/// Whether the kernel has AppArmor, and it is switched on.
fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(request: SpawnRequest) -> Result<Launch, Failure> {
        Launch::of_request(request, &[], (0, 0))
    }

    #[test]
    fn requests_that_cannot_be_are_refused_before_a_process_is_made() {
        let empty = SpawnRequest::default();
        assert_eq!(launch(empty.clone()).err(), Some((Stage::Request, Errno::EINVAL)));
        let sound = SpawnRequest { argv: vec![b"true".to_vec()], ..empty };
        assert!(launch(sound.clone()).is_ok());
        let nul = SpawnRequest { argv: vec![b"a\0b".to_vec()], ..sound.clone() };
        assert_eq!(launch(nul).err(), Some((Stage::Request, Errno::EINVAL)));
        for console in [Console::Log(0), Console::Given(u16::MAX)] {
            let missing = SpawnRequest { console, ..sound.clone() };
            assert_eq!(launch(missing).err(), Some((Stage::Request, Errno::EBADF)));
        }
        let negative = SpawnRequest { descriptors: vec![(0, -1)], ..sound };
        assert_eq!(launch(negative).err(), Some((Stage::Request, Errno::EBADF)));
    }

    #[test]
    fn programs_are_looked_for_where_their_own_path_says() {
        let mut path = Environment::default();
        assert_eq!(
            [b"A=1".as_slice(), b"PATH=/a::/b", b"B=\0"].map(|entry| path.push(entry).is_ok()),
            [true, true, false]
        );
        assert_eq!(candidates(b"x", &path), Ok(vec![c"/a/x".to_owned(), c"x".to_owned(), c"/b/x".to_owned()]));
        assert_eq!(candidates(b"./x", &path), Ok(vec![c"./x".to_owned()]));
        assert_eq!(candidates(b"x", &Environment::default()), Ok(vec![c"/bin/x".to_owned(), c"/usr/bin/x".to_owned()]));
    }
}
