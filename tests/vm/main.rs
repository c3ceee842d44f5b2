//! `cargo vm`: a Debian 12 that boots on Stayup under a real kernel, in QEMU, and a scenario that is hard on it.
//!
//! Namespaces forgive what a kernel does not. Everything here is as on a real machine: packages are installed into a root file
//! system made by debootstrap, the kernel starts /sbin/init, and what is seen is seen over serial lines.

mod console;
mod error;
mod image;
mod machine;
mod options;
mod rootfs;
mod scenario;
mod shell;
mod times;
mod tools;

use error::VmError;
use options::{Act, Parsed};
use std::process::ExitCode;

/// Exit status where this machine has not what it takes: nothing was tried.
const EXIT_SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Parsed::Run(options) => options,
        Parsed::Help => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong(what) => {
            eprintln!("vm: {what}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    };
    let outcome = match options.act {
        Act::Scenario => scenario::play(&options),
        Act::Interactive => scenario::interactive(&options),
        Act::Times => times::measure(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ VmError::Missing { .. }) => {
            println!("skipped: {error}");
            ExitCode::from(EXIT_SKIPPED)
        }
        Err(error) => {
            eprintln!("vm: {error}");
            ExitCode::FAILURE
        }
    }
}
