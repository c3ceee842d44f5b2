//! Links `init` statically with a plain `cargo build`, so that no upgrade of a shared library can stop PID 1.
//!
//! `-C target-feature=+crt-static` would do it too, but as a flag it holds for every crate of the build, and the
//! manager must stay dynamic (user database look-ups load plug-ins). So the C libraries that Rust's standard library
//! asks for by name (`-lc`, `-lgcc_s`, …) are shadowed by linker scripts that name the archives instead.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
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
    shadow_mold(&out)?;
    println!("cargo::rustc-link-arg-bins=-L{}", out.display());
    println!("cargo::rustc-link-arg-bins=-static");
    // Without relocations of its own there is nothing to go wrong before main().
    println!("cargo::rustc-link-arg-bins=-no-pie");
    Ok(())
}

/// `-fuse-ld=mold`, where it is set for everything, must not hold for this program: mold (1.10 of Debian 12) leaves
/// `__rela_iplt_start` of a static program at zero, so that memcpy(3) is never resolved, copies nothing, and the program
/// falls over before its main(). The C compiler looks for `ld.mold` in our directory first, and finds its own linker there.
fn shadow_mold(out: &Path) -> Result<(), String> {
    let linker = ask_compiler("-print-prog-name=ld")?;
    let linker = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(&linker))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("there is no {linker}"))?;
    let shadow = out.join("ld.mold");
    let _ = fs::remove_file(&shadow);
    symlink(&linker, &shadow).map_err(|error| format!("cannot make {}: {error}", shadow.display()))?;
    println!("cargo::rustc-link-arg-bins=-B{}", out.display());
    Ok(())
}

/// Where the C compiler keeps this archive.
fn locate(name: &str) -> Result<String, String> {
    let path = ask_compiler(&format!("-print-file-name={name}"))?;
    // A compiler that has no such file answers with the bare name.
    if Path::new(&path).is_absolute() && Path::new(&path).exists() {
        Ok(path)
    } else {
        Err(format!("the C compiler has no {name} (install the C library's development files)"))
    }
}

/// What the C compiler answers to an option.
fn ask_compiler(option: &str) -> Result<String, String> {
    let compiler = env::var("CC").ok().filter(|cc| !cc.trim().is_empty()).unwrap_or_else(|| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let program = words.next().unwrap_or("cc");
    let output = Command::new(program)
        .args(words)
        .arg(option)
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
