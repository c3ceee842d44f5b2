//! The machine: QEMU, with a disk and serial lines, and nothing else.

use crate::console::Console;
use crate::error::VmError;
use crate::image::Image;
use crate::tools::{self, Scratch, text};
use std::fs;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Serial lines, ttyS0 and so on: the kernel's console, a shell for the tests, and two for users.
const LINES: usize = 3;

/// Name of QEMU's monitor.
const MONITOR: &str = "monitor";

/// What the kernel is told in any case. The clock of an emulated machine is as good as any.
const KERNEL_WORDS: &str = "root=/dev/nvme0n1 ro console=ttyS0 panic=-1 tsc=reliable mitigations=off audit=0";

/// A machine that runs; it is switched off with its value.
#[derive(Debug)]
pub(crate) struct Machine {
    qemu: Child,
    /// The kernel's console, ttyS0.
    pub(crate) console: Console,
    /// ttyS1, ttyS2.
    lines: Vec<Console>,
    /// QEMU's own, for keys.
    monitor: UnixStream,
}

/// What differs between machines.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) disk: &'a Path,
    /// More words for the kernel.
    pub(crate) words: &'a str,
    /// Where sockets are and what the lines said goes.
    pub(crate) directory: &'a Path,
    /// Whose lines they are: what they said is in files named by it.
    pub(crate) name: &'a str,
}

impl<'a> Setup<'a> {
    /// A machine with this disk.
    pub(crate) fn of(image: &'a Image, name: &'a str, words: &'a str, scratch: &'a Scratch) -> Self {
        Self { kernel: &image.kernel, disk: &image.disk, words, directory: scratch.path(), name }
    }
}

/// Says what is missing for a machine.
pub(crate) fn need() -> Result<(), VmError> {
    tools::need("qemu-system-x86_64", "qemu-system-x86")
}

/// QEMU for this setup, without serial lines.
fn qemu(setup: &Setup) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    if has_kvm() {
        command.args(["-machine", "q35,accel=kvm,hpet=off", "-cpu", "host"]);
    } else {
        // Without what would only have the kernel load and test modules.
        let cpu = "Nehalem,+rdrand,+rdtscp,+invtsc";
        command.args(["-machine", "q35,hpet=off", "-accel", "tcg,thread=multi", "-cpu", cpu]);
    }
    command.args(["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-nic", "none", "-kernel"]);
    command.arg(setup.kernel);
    let disk = format!("file={},format=raw,if=none,id=disk,cache=unsafe", text(setup.disk));
    command.args(["-drive", disk.as_str(), "-device", "nvme,serial=stayup,drive=disk"]);
    command.args(["-append", format!("{KERNEL_WORDS} {}", setup.words).as_str()]);
    command
}

/// Whether the processor itself can run another kernel: a /dev/kvm alone may be an emulation that is slower than QEMU's.
fn has_kvm() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_capable = flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    is_capable && fs::File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Runs a machine on this terminal until it is switched off.
pub(crate) fn on_this_terminal(setup: &Setup) -> Result<(), VmError> {
    let mut command = qemu(setup);
    command.args(["-serial", "mon:stdio"]);
    let status = command.status().map_err(|source| VmError::File { what: "run QEMU".into(), source })?;
    if status.success() { Ok(()) } else { Err(VmError::Wrong(format!("QEMU: {status}"))) }
}

impl Machine {
    /// Switches it on.
    pub(crate) fn start(setup: &Setup) -> Result<Self, VmError> {
        let mut command = qemu(setup);
        let mut listeners = Vec::new();
        for number in 0..LINES {
            listeners.push(listen(&mut command, setup, &format!("ttyS{number}"))?);
            command.args(["-serial", format!("chardev:ttyS{number}").as_str()]);
        }
        let monitor = listen(&mut command, setup, MONITOR)?;
        command.args(["-mon", format!("chardev={MONITOR}").as_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut qemu = command.spawn().map_err(|source| VmError::File { what: "run QEMU".into(), source })?;
        match connect(&mut qemu, &listeners, &monitor, setup) {
            Ok((mut lines, monitor)) => {
                let console = lines.remove(0);
                Ok(Self { qemu, console, lines, monitor })
            }
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                Err(error)
            }
        }
    }

    /// The lines besides the console; each can be had once.
    pub(crate) fn take_line(&mut self) -> Console {
        self.lines.remove(0)
    }

    /// Presses keys at once, as QEMU's `sendkey` names them.
    pub(crate) fn press(&mut self, keys: &str) -> Result<(), VmError> {
        let line = format!("sendkey {keys}\n");
        self.monitor
            .write_all(line.as_bytes())
            .map_err(|source| VmError::File { what: format!("press {keys}"), source })
    }

    /// Waits until it has switched itself off.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> Result<(), VmError> {
        let limit = Instant::now() + patience;
        while Instant::now() < limit {
            if matches!(self.qemu.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(VmError::Never { what: "the machine is off".into(), seen: String::new() })
    }

    /// Fails if the kernel has panicked.
    pub(crate) fn check(&self) -> Result<(), VmError> {
        if self.console.has_said("Kernel panic") {
            let text = self.console.all();
            let at = text.find("Kernel panic").unwrap_or(0);
            return Err(VmError::Wrong(format!("the kernel has panicked: {}", &text[at..])));
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A socket that QEMU will connect to, and the option that has it do so.
fn listen(command: &mut Command, setup: &Setup, id: &str) -> Result<UnixListener, VmError> {
    let path = setup.directory.join(id);
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(VmError::at("listen on", &path))?;
    listener.set_nonblocking(true).map_err(VmError::at("listen on", &path))?;
    command.args(["-chardev", format!("socket,id={id},path={},server=off", text(&path)).as_str()]);
    Ok(listener)
}

/// The lines of a QEMU that is just starting, and its monitor.
fn connect(
    qemu: &mut Child,
    listeners: &[UnixListener],
    monitor: &UnixListener,
    setup: &Setup,
) -> Result<(Vec<Console>, UnixStream), VmError> {
    let mut lines = Vec::new();
    for (number, listener) in listeners.iter().enumerate() {
        let record = setup.directory.join(format!("{}-ttyS{number}.log", setup.name));
        lines.push(Console::new(accept(qemu, listener)?, &record)?);
    }
    Ok((lines, accept(qemu, monitor)?))
}

fn accept(qemu: &mut Child, listener: &UnixListener) -> Result<UnixStream, VmError> {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok((line, _)) = listener.accept() {
            let is_set = line.set_nonblocking(false);
            return is_set.map(|()| line).map_err(|source| VmError::File { what: "use a line of QEMU".into(), source });
        }
        if matches!(qemu.try_wait(), Ok(Some(_))) || Instant::now() >= limit {
            let said = qemu.stderr.take().and_then(|errors| std::io::read_to_string(errors).ok());
            return Err(VmError::Program { line: "QEMU".into(), output: said.unwrap_or_default() });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
