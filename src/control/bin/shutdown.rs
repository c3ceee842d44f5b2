//! The program `shutdown`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("shutdown");
    ExitCode::from(control::shutdown::main(&program, arguments))
}
