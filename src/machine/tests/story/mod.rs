//! Stories: text files of job files, inputs and what must come of each; the folder's README tells how to write one.

#![allow(dead_code, reason = "each test program uses its part")]

mod act;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use machine::class::Class;
use machine::parse::parse_class;

use crate::world::{Crash, World};

/// A story, as it is written.
pub(crate) struct Story {
    /// Where it stands.
    pub path: PathBuf,
    steps: Vec<Step>,
}

/// A piece of a story.
enum Step {
    /// A comment or an empty line.
    Remark(String),
    /// A job file, with its text.
    Job { class: Box<Class>, text: String, expected: Vec<String>, line: usize },
    /// An input or a question, with the lines that must follow.
    Act { text: String, expected: Vec<String>, line: usize },
}

/// What became of a story.
pub(crate) struct Telling {
    /// The story with the lines that did follow.
    pub text: String,
    /// Where these differ from the expected ones.
    pub differences: String,
    /// The world at the end.
    pub world: World,
}

/// All stories, or the one that `STAYUP_STORY` names.
pub(crate) fn all() -> Vec<Story> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/stories"));
    let wanted = env::var("STAYUP_STORY").unwrap_or_default();
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of the stories")
        .map(|entry| entry.expect("a story").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "story"))
        .filter(|path| path.file_stem().is_some_and(|name| wanted.is_empty() || *name == *wanted))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no story in {}", folder.display());
    paths.into_iter().map(|path| Story::read(&path)).collect()
}

impl Story {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut steps: Vec<Step> = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                steps.push(Step::Remark(line.into()));
            } else if let Some(output) = line.strip_prefix("    ") {
                match steps.last_mut() {
                    Some(Step::Job { expected, .. } | Step::Act { expected, .. }) => expected.push(output.into()),
                    _ => panic!("{}:{}: output without an input", path.display(), at + 1),
                }
            } else if let Some(name) = line.strip_prefix("job ") {
                let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "end").collect();
                let text: String =
                    body.iter().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
                let class = parse_class(name, text.as_bytes());
                let class = class.unwrap_or_else(|error| panic!("{}:{}: {error:?}", path.display(), at + 1));
                steps.push(Step::Job { class: Box::new(class), text, expected: Vec::new(), line: at + 1 });
            } else {
                steps.push(Step::Act { text: line.into(), expected: Vec::new(), line: at + 1 });
            }
        }
        Self { path: path.into(), steps }
    }

    /// The name, for messages.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether jobs go round in circles for ever, so that the end depends on how long they were watched.
    pub(crate) fn is_endless(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Remark(text) if text == "# (endless)"))
    }

    /// Lives the story.
    pub(crate) fn live(&self, crash: Option<Crash>) -> Telling {
        let mut stage = act::Stage::new(crash);
        let (mut text, mut differences) = (String::new(), String::new());
        for step in &self.steps {
            let (expected, line) = match step {
                Step::Remark(remark) => {
                    text.push_str(remark);
                    text.push('\n');
                    continue;
                }
                Step::Job { class, text: job, expected, line } => {
                    let _ = writeln!(text, "job {}", class.name);
                    for line in job.lines() {
                        let _ = writeln!(text, "{}{line}", if line.is_empty() { "" } else { "  " });
                    }
                    text.push_str("end\n");
                    stage.define(class);
                    (expected, line)
                }
                Step::Act { text: act, expected, line } => {
                    let _ = writeln!(text, "{act}");
                    stage.act(act).unwrap_or_else(|why| panic!("{}:{line}: {act}: {why}", self.path.display()));
                    (expected, line)
                }
            };
            let lines = stage.take_lines();
            for line in &lines {
                let _ = writeln!(text, "    {line}");
            }
            if lines != *expected {
                let _ = writeln!(differences, "{}:{line}:", self.path.display());
                expected.iter().filter(|line| !lines.contains(line)).for_each(|line| {
                    let _ = writeln!(differences, "  -   {line}");
                });
                lines.iter().for_each(|line| {
                    let mark = if expected.contains(line) { ' ' } else { '+' };
                    let _ = writeln!(differences, "  {mark}   {line}");
                });
            }
        }
        Telling { text, differences, world: stage.into_world() }
    }
}
