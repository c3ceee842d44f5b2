//! The root shell of a boot that was asked for one (`emergency` or `-b` on the kernel's command line), or that has no jobs at all.
//!
//! It is an ordinary job, on an event that comes instead of `startup`; when the shell is left, `startup` comes. It is built in,
//! because it is needed most where job files are not to be had; a file of its name takes its place.

use machine::class::Class;
use machine::parse::{ParseError, parse_class};

/// Name of the job, and of the event that it starts on.
pub const JOB: &str = "emergency-boot";

/// The file that it would have. Leaving the shell without having made any job file brings the next shell, not at once, because
/// there may be no console.
const FILE: &str = r#"
description "A shell for root before anything else is started"
start on emergency-boot
task
console owner
env HOME=/root
script
  echo
  echo "Nothing has been started yet. Leave this shell (Control-D) to go on with the boot."
  if command -v sulogin >/dev/null; then exec sulogin; fi
  cd "$HOME" || cd /
  exec sh -i
end script
post-stop script
  for file in /etc/init/*.conf; do
    if [ -e "$file" ]; then exec initctl emit --no-wait startup; fi
  done
  echo "There are no jobs in /etc/init."
  sleep 2
  exec initctl emit --no-wait emergency-boot
end script
"#;

/// The job.
///
/// # Errors
/// None, as a test knows.
pub fn class() -> Result<Class, ParseError> {
    parse_class(JOB, FILE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_job_can_be_read() {
        let class = class().unwrap();
        assert_eq!(class.name, JOB);
        assert!(class.task);
    }
}
