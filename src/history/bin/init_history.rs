//! The program `init-history`.

use std::process::ExitCode;

fn main() -> ExitCode {
    history::archive::main(std::env::args_os())
}
