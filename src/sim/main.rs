//! The program `stayup-crashlab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::command::run(std::env::args_os().skip(1).collect())
}
