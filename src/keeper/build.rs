//! Links `init` statically with a plain `cargo build`, so that no upgrade of a shared library can stop PID 1.
//!
//! `-C target-feature=+crt-static` would do it too, but as a flag it holds for every crate of the build, and the
//! manager must stay dynamic (user database look-ups load plug-ins). So the C libraries that Rust's standard library
//! asks for by name (`-lc`, `-lgcc_s`, …) are shadowed by linker scripts that name the archives instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every `-l` that rustc passes for a GNU/Linux target.
const SHADOWED: [&str; 7] = ["gcc_s", "c", "util", "rt", "pthread", "m", "dl"];

/// What they are replaced by; a group, because the three need each other.
const ARCHIVES: [&str; 3] = ["libc.a", "libgcc_eh.a", "libgcc.a"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let target_is = |key: &str, value: &str| env::var(key).is_ok_and(|found| found == value);
    if !target_is("CARGO_CFG_TARGET_OS", "linux") || !target_is("CARGO_CFG_TARGET_ENV", "gnu") {
        // musl links statically by itself.
        return;
    }
    if env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|features| features.split(',').any(|one| one == "crt-static")) {
        return;
    }
    if let Err(missing) = link_statically() {
        println!("cargo::warning=init is linked dynamically: {missing}");
    }
}

fn link_statically() -> Result<(), String> {
    let archives = ARCHIVES.iter().map(|name| locate(name)).collect::<Result<Vec<_>, _>>()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let script = format!("GROUP ( {} )\n", archives.join(" "));
    for library in SHADOWED {
        // Both names: the linker takes one or the other by its current -Bstatic/-Bdynamic mode.
        for name in [format!("lib{library}.so"), format!("lib{library}.a")] {
            fs::write(out.join(&name), &script).map_err(|error| format!("cannot write {name}: {error}"))?;
        }
    }
    println!("cargo::rustc-link-arg-bins=-L{}", out.display());
    println!("cargo::rustc-link-arg-bins=-static");
    // Without relocations of its own there is nothing to go wrong before main().
    println!("cargo::rustc-link-arg-bins=-no-pie");
    Ok(())
}

/// Where the C compiler keeps this archive.
fn locate(name: &str) -> Result<String, String> {
    let compiler = env::var("CC").ok().filter(|cc| !cc.trim().is_empty()).unwrap_or_else(|| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let program = words.next().unwrap_or("cc");
    let output = Command::new(program)
        .args(words)
        .arg(format!("-print-file-name={name}"))
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // A compiler that has no such file answers with the bare name.
    if Path::new(&path).is_absolute() && Path::new(&path).exists() {
        Ok(path)
    } else {
        Err(format!("{program} has no {name} (install the C library's development files)"))
    }
}
