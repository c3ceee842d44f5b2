//! The program `initctl`; `start`, `stop`, `restart`, `reload` and `status` are links to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("initctl");
    ExitCode::from(control::initctl::main(&program, arguments))
}
