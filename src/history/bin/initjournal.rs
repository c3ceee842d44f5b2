//! The program `initjournal`.

use std::process::ExitCode;

fn main() -> ExitCode {
    history::tool::main(std::env::args_os())
}
