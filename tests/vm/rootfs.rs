//! A Debian 12 without an init, as debootstrap makes it; made once and kept.

use crate::error::VmError;
use crate::tools::{self, text};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything the three inits need, so that they boot the same files; and daemons that people run.
const PACKAGES: &str = "linux-image-cloud-amd64,udev,kmod,procps,psmisc,iproute2,ifupdown,login,passwd,e2fsprogs,mount,\
util-linux,sysvinit-utils,sysv-rc,initscripts,init-system-helpers,systemd,insserv,startpar,dbus,cron,openssh-server,\
openssh-client,nginx-light,libpam-modules,libpam-runtime,busybox-syslogd,less";

/// Whose archive, unless `STAYUP_VM_MIRROR` names a nearer one.
const MIRROR: &str = "http://deb.debian.org/debian";

/// How long debootstrap may take, for timeout(1): a mirror that does not answer is none.
const PATIENCE: &str = "20m";

/// What is done once, inside. The passwords are the names, and root has none.
const RECIPE: &str = "
set -e
passwd -d root
for name in alice bob; do useradd -m -s /bin/bash $name; echo $name:$name | chpasswd; done
echo vm > /etc/hostname
echo '127.0.0.1 localhost vm' > /etc/hosts
echo '/dev/nvme0n1 / ext4 errors=remount-ro 0 1' > /etc/fstab
printf 'auto lo\\niface lo inet loopback\\n' > /etc/network/interfaces
rm -f /boot/initrd* /etc/init.d/hwclock.sh
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
";

/// The directory, made if it is not there yet.
pub(crate) fn cached() -> Result<PathBuf, VmError> {
    tools::need("debootstrap", "debootstrap")?;
    if !nix::unistd::geteuid().is_root() {
        return Err(VmError::Missing {
            what: "debootstrap needs root".into(),
            remedy: "run `cargo vm' as root".into(),
        });
    }
    let mut hasher = DefaultHasher::new();
    (PACKAGES, RECIPE).hash(&mut hasher);
    let directory = tools::cache()?.join(format!("debian-12-{:08x}", hasher.finish() as u32));
    if !directory.exists() {
        println!("making {}: debootstrap, a few minutes", directory.display());
        make(&directory)?;
    }
    Ok(directory)
}

fn make(directory: &Path) -> Result<(), VmError> {
    let unfinished = directory.with_extension("new");
    // With what an interrupted one may have left mounted in it, removing would go too far.
    let _ = tools::run("umount", &[text(&unfinished.join("proc"))]);
    let _ = std::fs::remove_dir_all(&unfinished);
    let mirror = std::env::var("STAYUP_VM_MIRROR").unwrap_or_else(|_| MIRROR.into());
    let include = format!("--include={PACKAGES}");
    let mut debootstrap = Command::new("timeout");
    debootstrap.args([PATIENCE, "debootstrap", "--variant=minbase", include.as_str(), "bookworm"]);
    debootstrap.args([text(&unfinished), mirror.as_str()]);
    // No initramfs: the kernel has all it needs, and making one takes longer than all the rest.
    debootstrap.env("INITRD", "No").env("DEBIAN_FRONTEND", "noninteractive");
    let made = tools::run_command(&mut debootstrap)
        .map_err(|error| cannot_debootstrap(&mirror, &error))
        .and_then(|_| tools::run("chroot", &[text(&unfinished), "sh", "-c", RECIPE]));
    let _ = tools::run("umount", &[text(&unfinished.join("proc"))]);
    made?;
    std::fs::rename(&unfinished, directory).map_err(VmError::at("rename to", directory))
}

/// Most often there is no network. Nothing of Stayup has been tried by then.
fn cannot_debootstrap(mirror: &str, error: &VmError) -> VmError {
    let said = error.to_string();
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    VmError::Missing {
        what: format!("debootstrap cannot make a Debian from {mirror} (it said last: {last})"),
        remedy: "name a mirror that can be reached in STAYUP_VM_MIRROR".into(),
    }
}

/// The kernel of a root file system.
pub(crate) fn kernel(root: &Path) -> Result<PathBuf, VmError> {
    let boot = root.join("boot");
    let entries = std::fs::read_dir(&boot).map_err(VmError::at("read", &boot))?;
    let mut kernels = entries.flatten().map(|entry| entry.path());
    let is_kernel =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    kernels.find(is_kernel).ok_or_else(|| VmError::Wrong(format!("{}: no kernel", boot.display())))
}
