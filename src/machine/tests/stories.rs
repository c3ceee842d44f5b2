//! The stories of `tests/stories`: lived as they are written, and with crashes at every step.
//!
//! `STAYUP_BLESS=1` writes what does happen into the files, for review; `STAYUP_STORY=name` picks one.

mod story;
mod world;

use std::{env, fs};

use story::Story;
use world::summary::Summary;
use world::{Crash, Stage, World, encode, replay};

#[test]
fn stories_go_as_they_are_written() {
    let is_blessing = env::var_os("STAYUP_BLESS").is_some();
    let mut differences = String::new();
    for story in story::all() {
        let telling = story.live(None);
        if is_blessing {
            fs::write(&story.path, telling.text).expect("writes the story");
        } else {
            differences.push_str(&telling.differences);
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// The story with a crash must end as the one without.
fn compare(story: &Story, plain: &Summary, crash: Crash) {
    let world = story.live(Some(crash)).world;
    assert_eq!(encode(&replay(&world.journal)), encode(&world.state), "{}: {crash:?}", story.name());
    let crashed = Summary::of(&world);
    if crashed != *plain {
        let told = format!("{:#?}", plain);
        let other = format!("{:#?}", crashed);
        let missing: Vec<&str> = told.lines().filter(|line| !other.contains(line)).collect();
        let surplus: Vec<&str> = other.lines().filter(|line| !told.contains(line)).collect();
        panic!(
            "{} ends otherwise with {crash:?}\nmissing:\n{}\nsurplus:\n{}\nor told more or less often, see\n{}",
            story.name(),
            missing.join("\n"),
            surplus.join("\n"),
            if missing.is_empty() && surplus.is_empty() { format!("{told}\n{other}") } else { String::new() }
        );
    }
}

/// Lives every story again with these crashes.
fn crash_stories(crashes: impl Fn(&World) -> Vec<Crash>) {
    for story in story::all().iter().filter(|story| !story.is_endless()) {
        let plain = story.live(None).world;
        let summary = Summary::of(&plain);
        for crash in crashes(&plain) {
            compare(story, &summary, crash);
        }
    }
}

/// A crash of each turn at each stage that makes a difference: half of one effect is none of it.
fn each_turn(world: &World, times: usize, stages: &[Stage]) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for (turn, effects) in &world.notable {
        let makes_a_difference = |stage: &&Stage| match stage {
            Stage::Decided | Stage::Journaled => true,
            Stage::HalfPerformed => *effects > 1,
            Stage::Performed => *effects > 0,
        };
        let stages = stages.iter().filter(makes_a_difference);
        crashes.extend(stages.map(|stage| Crash { turn: Some(*turn), stage: *stage, times }));
    }
    crashes
}

#[test]
fn a_crash_at_any_turn_changes_nothing() {
    crash_stories(|world| each_turn(world, 1, &Stage::ALL));
}

#[test]
fn a_crash_during_recovery_changes_nothing() {
    crash_stories(|world| each_turn(world, 3, &[Stage::Journaled]));
}

#[test]
fn crashes_at_every_turn_change_nothing() {
    let stages = [Stage::Journaled, Stage::HalfPerformed, Stage::Performed];
    crash_stories(|_| stages.map(|stage| Crash { turn: None, stage, times: 1 }).to_vec());
}
