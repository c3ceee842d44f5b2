//! The program `runlevel`: prints the previous and the present runlevel, `N` for none (runlevel(8)).

use std::path::PathBuf;
use std::process::ExitCode;

use control::options::{CommandLine, OptionSpec, describe};
use control::utmp::Utmp;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec { short: Some('q'), long: "quiet", value: None, help: "accepted, as Upstart's programs do" },
    OptionSpec { short: Some('v'), long: "verbose", value: None, help: "accepted, as Upstart's programs do" },
    OptionSpec { short: None, long: "help", value: None, help: "print this text and exit" },
    OptionSpec { short: None, long: "version", value: None, help: "print the version and exit" },
];

fn main() -> ExitCode {
    let (program, arguments) = control::program_name("runlevel");
    let line = match CommandLine::parse(arguments, OPTIONS) {
        Ok(line) => line,
        Err(error) => {
            eprintln!("{program}: {error}\nTry `{program} --help' for more information.");
            return ExitCode::FAILURE;
        }
    };
    if line.has("help") {
        println!("Usage: {program} [OPTION]... [UTMP]\nPrint the previous and the present runlevel.");
        print!("{}", describe(OPTIONS));
        return ExitCode::SUCCESS;
    }
    if line.has("version") {
        print!("{}", control::initctl::version(&program));
        return ExitCode::SUCCESS;
    }
    let mut place = Utmp::default();
    if let Some(path) = line.words.first() {
        place.utmp = PathBuf::from(path);
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
