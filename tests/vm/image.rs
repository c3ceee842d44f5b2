//! The disk: the root file system, an init installed into it as people install one, and what the scenario needs there.

use crate::error::VmError;
use crate::options::{Init, Options};
use crate::rootfs;
use crate::tools::{self, Scratch, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{programs, source_root};

/// The version of the packages that the scenario upgrades to.
pub(crate) const NEWER: &str = "0.1.0+newer";

/// Where the newer packages are, inside.
pub(crate) const NEWER_PACKAGES: &str = "/var/tmp/newer";

/// A disk and the kernel for it.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) disk: PathBuf,
    pub(crate) kernel: PathBuf,
}

/// Files of the scenario, with their modes.
const FILES: [(&str, &str, u32); 13] = [
    ("usr/lib/stayup-vm/killer", include_str!("files/killer"), 0o755),
    ("usr/lib/stayup-vm/census", include_str!("files/census"), 0o755),
    ("usr/lib/stayup-vm/daemon", include_str!("files/daemon"), 0o755),
    ("etc/init/vm-shell.conf", include_str!("files/vm-shell.conf"), 0o644),
    ("etc/init/vm-login.conf", include_str!("files/vm-login.conf"), 0o644),
    ("etc/init/vm-fork.conf", include_str!("files/vm-fork.conf"), 0o644),
    ("etc/init/vm-daemon.conf", include_str!("files/vm-daemon.conf"), 0o644),
    ("etc/init/vm-stop.conf", include_str!("files/vm-stop.conf"), 0o644),
    ("etc/init/vm-notify.conf", include_str!("files/vm-notify.conf"), 0o644),
    ("etc/init/vm-plain.conf", include_str!("files/vm-plain.conf"), 0o644),
    ("etc/init/vm-nginx.conf", include_str!("files/vm-nginx.conf"), 0o644),
    ("home/alice/.config/upstart/mine.conf", include_str!("files/mine.conf"), 0o644),
    ("home/alice/.config/upstart/restarted.conf", include_str!("files/restarted.conf"), 0o644),
];

/// Makes a disk with this init.
pub(crate) fn build(scratch: &Scratch, init: Init, options: &Options) -> Result<Image, VmError> {
    tools::need("mke2fs", "e2fsprogs")?;
    let base = rootfs::cached()?;
    let root = scratch.path().join("root");
    let _ = fs::remove_dir_all(&root);
    tools::run("cp", &["-a", "--reflink=auto", text(&base), text(&root)])?;
    match init {
        Init::Stayup => install_stayup(scratch, &root, options)?,
        Init::Sysvinit => install_archived(&root, &["sysvinit-core"])?,
        Init::Systemd => install_archived(&root, &["systemd-sysv"])?,
    }
    let kernel = scratch.path().join("vmlinuz");
    fs::copy(rootfs::kernel(&root)?, &kernel).map_err(VmError::at("copy the kernel to", &kernel))?;
    let disk = scratch.path().join(format!("{}.img", init.name()));
    let _ = fs::remove_file(&disk);
    let new = fs::File::create(&disk).map_err(VmError::at("make", &disk))?;
    new.set_len(1_500_000_000).map_err(VmError::at("make", &disk))?;
    tools::run("mke2fs", &["-q", "-t", "ext4", "-d", text(&root), text(&disk)])?;
    fs::remove_dir_all(&root).map_err(VmError::at("remove", &root))?;
    Ok(Image { disk, kernel })
}

/// Packages of Debian's archive, which are not in the root file system because they exclude each other.
fn install_archived(root: &Path, packages: &[&str]) -> Result<(), VmError> {
    let place = root.join("var/tmp/archived");
    fs::create_dir_all(&place).map_err(VmError::at("make", &place))?;
    tools::run_command(Command::new("apt-get").args(["-q", "download"]).args(packages).current_dir(&place))?;
    inside(root, "dpkg --force-unsafe-io -i /var/tmp/archived/*.deb")?;
    if packages.contains(&"sysvinit-core") {
        // What Debian's own file leaves to the administrator.
        let inittab = root.join("etc/inittab");
        let text = fs::read_to_string(&inittab).map_err(VmError::at("read", &inittab))?;
        let line = "S0:2345:respawn:/sbin/agetty --keep-baud 115200 ttyS0 vt220\n";
        fs::write(&inittab, text + line).map_err(VmError::at("write", &inittab))?;
    }
    Ok(())
}

fn install_stayup(scratch: &Scratch, root: &Path, options: &Options) -> Result<(), VmError> {
    let own = scratch.path().join("packages");
    let packages = match &options.packages {
        Some(directory) => directory.clone(),
        None => {
            build_packages(&own)?;
            own
        }
    };
    copy_packages(&packages, &root.join("var/tmp/packages"))?;
    let newer = root.join(NEWER_PACKAGES.trim_start_matches('/'));
    fs::create_dir_all(&newer).map_err(VmError::at("make", &newer))?;
    for package in packages_in(&packages)? {
        renumber(&package, &scratch.path().join("package"), &newer)?;
    }
    // Into an image nobody watches the boot of, init must not be told of it.
    inside(root, "dpkg --force-unsafe-io -i /var/tmp/packages/*.deb")?;
    for (path, content, mode) in FILES {
        let path = root.join(path);
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).map_err(VmError::at("make", parent))?;
        fs::write(&path, content).map_err(VmError::at("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(VmError::at("open", &path))?;
    }
    inside(root, "cp -a /home/alice/.config /home/bob/ && chown -R alice: /home/alice && chown -R bob: /home/bob")?;
    // The scenario's own job runs it, as a daemon that init follows.
    inside(root, "update-rc.d -f nginx remove")?;
    Ok(())
}

fn build_packages(output: &Path) -> Result<(), VmError> {
    let mut command = Command::new(source_root().join("packaging/build"));
    command.arg("--bindir").arg(programs()).arg("--output").arg(output).args(["--compression", "gzip"]);
    tools::run_command(&mut command).map(drop)
}

/// Makes a newer version of a package, which is as good for an upgrade as one that was built anew, and there much sooner.
fn renumber(package: &Path, scratch: &Path, to: &Path) -> Result<(), VmError> {
    let _ = fs::remove_dir_all(scratch);
    tools::run("dpkg-deb", &["-R", text(package), text(scratch)])?;
    let control = scratch.join("DEBIAN/control");
    let content = fs::read_to_string(&control).map_err(VmError::at("read", &control))?;
    let version = content.lines().find_map(|line| line.strip_prefix("Version: ")).unwrap_or_default();
    // Also where the packages depend on each other.
    let content = content.replace(&format!("(= {version})"), &format!("(= {NEWER})"));
    let content = content.replace(&format!("Version: {version}"), &format!("Version: {NEWER}"));
    fs::write(&control, content).map_err(VmError::at("write", &control))?;
    tools::run("dpkg-deb", &["--root-owner-group", "-Znone", "-b", text(scratch), text(to)])?;
    fs::remove_dir_all(scratch).map_err(VmError::at("remove", scratch))
}

fn copy_packages(from: &Path, to: &Path) -> Result<(), VmError> {
    fs::create_dir_all(to).map_err(VmError::at("make", to))?;
    for path in packages_in(from)? {
        fs::copy(&path, to.join(path.file_name().unwrap_or_default())).map_err(VmError::at("copy", &path))?;
    }
    Ok(())
}

/// Stayup's packages in a directory.
fn packages_in(directory: &Path) -> Result<Vec<PathBuf>, VmError> {
    let entries = fs::read_dir(directory).map_err(VmError::at("read", directory))?;
    let is_package = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("stayup") && name.ends_with(".deb")
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(is_package).collect())
}

/// A command in the root file system, before it is a machine.
fn inside(root: &Path, command: &str) -> Result<(), VmError> {
    let mut chroot = Command::new("chroot");
    chroot.arg(root).args(["sh", "-c", command]).env("DEBIAN_FRONTEND", "noninteractive");
    // Of the host none is of use there.
    chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    tools::run_command(&mut chroot).map(drop)
}
