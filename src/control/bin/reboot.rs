//! The program `reboot`; `halt` and `poweroff` are links to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("reboot");
    ExitCode::from(control::reboot::main(&program, arguments))
}
