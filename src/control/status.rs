//! How the state of a job is told in a line of text.
//!
//! Knows the format that scripts parse; no connection.

use std::fmt::Write as _;

use crate::remote::InstanceState;

/// The line of an instance, with further lines for further processes, or, without one, that of a job at rest.
pub fn describe(job: &str, instance: Option<&InstanceState>) -> String {
    let Some(instance) = instance else {
        return format!("{job} stop/waiting\n");
    };
    let mut text = job.to_owned();
    if !instance.name.is_empty() {
        let _ = write!(text, " ({})", instance.name);
    }
    let _ = write!(text, " {}/{}", instance.goal, instance.state);
    for (index, (name, pid)) in instance.processes.iter().enumerate() {
        let _ = match (index, name.as_str()) {
            (0, "main") => write!(text, ", process {pid}"),
            (0, _) => write!(text, ", ({name}) process {pid}"),
            _ => write!(text, "\n\t{name} process {pid}"),
        };
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, state: &str, processes: &[(&str, i32)]) -> InstanceState {
        let (goal, state) = state.split_once('/').unwrap();
        InstanceState {
            name: name.to_owned(),
            goal: goal.to_owned(),
            state: state.to_owned(),
            processes: processes.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect(),
        }
    }

    #[test]
    fn every_recorded_form_of_a_status_line() {
        let main = ("main", 20);
        let cases = [
            (instance("", "start/running", &[main]), "job start/running, process 20\n"),
            (instance("1", "start/running", &[main]), "job (1) start/running, process 20\n"),
            (instance("", "start/running", &[]), "job start/running\n"),
            (instance("", "stop/starting", &[]), "job stop/starting\n"),
            (
                instance("", "start/pre-stop", &[main, ("pre-stop", 21)]),
                "job start/pre-stop, process 20\n\tpre-stop process 21\n",
            ),
            (instance("", "stop/pre-stop", &[("pre-stop", 21)]), "job stop/pre-stop, (pre-stop) process 21\n"),
        ];
        for (state, expected) in cases {
            assert_eq!(describe("job", Some(&state)), expected);
        }
        assert_eq!(describe("dir/job", None), "dir/job stop/waiting\n");
    }
}
