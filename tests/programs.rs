//! The programs under test, built once for the profile that the caller itself was built with.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the workspace's Cargo.toml.
#[must_use]
pub fn source_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder with all programs, fresh.
///
/// Builds them with cargo when the caller was started by cargo; a caller started by hand uses those that lie beside it.
///
/// # Panics
/// When they cannot be built; the message has all that cargo said.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = own_profile_folder();
        if std::env::var_os("CARGO").is_some() || !folder.join("init-manager").exists() {
            build(&folder);
        }
        folder
    })
}

/// `target/debug` or its like: where cargo puts programs, and in `deps` below it tests.
fn own_profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("/proc is mounted");
    let folder = own.parent().expect("a program is in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.to_owned()
}

fn build(folder: &Path) {
    let target = folder.parent().expect("a profile has a target folder above it");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // One at a time: cargo itself would wait, but say so on the terminal.
    let lock = File::create(target.join("stayup-programs.lock")).expect("the target folder is writable");
    lock.lock().expect("the target folder's file system has locks");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(&cargo)
        .args(["build", "--workspace", "--bins", "--exclude", "stayup-tests", "--profile", profile])
        .arg("--manifest-path")
        .arg(source_root().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", cargo.display()));
    assert!(
        output.status.success(),
        "the programs under test cannot be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
