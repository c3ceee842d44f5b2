//! The program `runlevel`: prints the previous and the present runlevel, `N` for none (runlevel(8)).

use std::path::PathBuf;
use std::process::ExitCode;

use control::utmp::Utmp;

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("runlevel");
    let mut place = Utmp::default();
    for argument in arguments {
        match argument.to_str() {
            Some("--help") => {
                println!("Usage: {program} [UTMP]\nPrint the previous and the present runlevel.");
                return ExitCode::SUCCESS;
            }
            Some("--version") => {
                print!("{}", control::initctl::version(&program));
                return ExitCode::SUCCESS;
            }
            Some("-q" | "--quiet" | "-v" | "--verbose") => {}
            _ => place.utmp = PathBuf::from(argument),
        }
    }
    match place.runlevel() {
        Ok(Some(runlevel)) => {
            println!("{} {}", runlevel.previous, runlevel.level);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            println!("unknown");
            ExitCode::FAILURE
        }
        Err(error) => {
            let error = control::address::strerror(&error);
            eprintln!("{program}: {}: {error}", place.utmp.display());
            ExitCode::FAILURE
        }
    }
}
