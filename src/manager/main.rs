//! The program `init-manager`: everything of an init that may crash.
//!
//! It is started by the keeper (`init`), which hands it its end of their link, and is of no use without it.

use std::process::ExitCode;

fn main() -> ExitCode {
    manager::run(std::env::args_os().skip(1).collect())
}
