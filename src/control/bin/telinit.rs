//! The program `telinit`; `init` is the same when it is not the first process.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("telinit");
    ExitCode::from(control::telinit::main(&program, arguments))
}
