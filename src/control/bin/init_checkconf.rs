//! The program `init-checkconf`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("init-checkconf");
    ExitCode::from(control::checkconf::main(&program, arguments))
}
