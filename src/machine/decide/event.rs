//! Events: queued, shown to the conditions, finished.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Turn;
use crate::change::Change;
use crate::effect::{Announcement, Answer, CallError, Caller, Priority};
use crate::environ::{self, Table};
use crate::job::Goal;
use crate::root;
use crate::state::Pending;

/// What the events that fulfilled a condition bring along.
struct Gathered {
    events: Vec<u64>,
    environment: Vec<String>,
    names: Vec<String>,
    files: Vec<String>,
}

impl Turn<'_> {
    /// Something has happened that nobody waits for.
    pub(super) fn queue_event(&mut self, name: &str, environment: Vec<String>) {
        self.queue_event_for(name, environment, None, None, None);
    }

    /// Something has happened; an instance or a caller may wait for what follows from it.
    pub(super) fn queue_event_for(
        &mut self,
        name: &str,
        environment: Vec<String>,
        releases: Option<u64>,
        caller: Option<Caller>,
        file: Option<String>,
    ) {
        let event = self.next_id();
        self.commit(Change::EventQueued { event, name: name.into(), environment, releases, caller, file });
        if let Some(instance) = releases {
            self.commit(Change::Blocked { instance, event });
        }
    }

    /// Shows an event to all conditions that name it: class by class, in each first to its instances' `stop on`, then to
    /// its `start on`, so that an event in both restarts the job.
    pub(super) fn handle(&mut self, event: u64) {
        let Some(name) = self.state.events.get(&event).map(|event| event.name.clone()) else { return };
        self.log(Priority::Info, || format!("Handling {name} event"));
        let mut stops: Vec<(String, u64)> = Vec::new();
        for number in self.state.index.stop.get(root::bare(&name)).into_iter().flatten() {
            stops.extend(self.state.instances.get(number).map(|instance| (instance.class.as_ref().into(), *number)));
        }
        stops.retain(|(class, _)| root::reaches(&name, class));
        stops.sort();
        let mut starts: BTreeSet<String> = self.state.index.start.get(root::bare(&name)).cloned().unwrap_or_default();
        starts.retain(|class| root::reaches(&name, class));
        let classes: BTreeSet<&String> = stops.iter().map(|(class, _)| class).chain(&starts).collect();
        for class in classes {
            for (_, instance) in stops.iter().filter(|(of, _)| of == class) {
                self.match_stop(*instance, event);
            }
            if starts.contains(class) {
                self.match_start(class, event);
            }
        }
        self.commit(Change::EventHandled { event });
    }

    fn match_stop(&mut self, number: u64, event: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let Some(condition) = &record.definition.stop_on else { return };
        let Some(happened) = self.state.events.get(&event) else { return };
        let hits: Vec<usize> = condition
            .patterns()
            .filter(|(node, pattern)| {
                pattern.event == root::bare(&happened.name)
                    && instance.stop_on.held.get(*node) == Some(&None)
                    && pattern.accepts(&happened.environment, &instance.environment)
            })
            .map(|(node, _)| node)
            .collect();
        if hits.is_empty() {
            return;
        }
        for node in hits {
            self.commit(Change::StopMatched { instance: number, node: u32::try_from(node).unwrap_or(u32::MAX), event });
        }
        self.try_stop(number);
    }

    /// Stops an instance if its `stop on` has come true.
    fn try_stop(&mut self, number: u64) {
        let Some(instance) = self.state.instances.get(&number) else { return };
        let Some(record) = self.state.classes.get(&*instance.class) else { return };
        let Some(condition) = &record.definition.stop_on else { return };
        let Some(events) = condition.fulfilled_by(&instance.stop_on) else { return };
        let gathered = self.gather(events);
        if instance.goal != Goal::Stop {
            let mut environment = gathered.environment;
            environ::put(&mut environment, "UPSTART_STOP_EVENTS", &gathered.names.join(" "));
            self.commit(Change::StopGiven { instance: number, environment });
            self.finish(number, false);
            self.attach(number, gathered.events);
            self.commit(Change::StopReset { instance: number });
            self.change_goal(number, Goal::Stop);
        } else {
            self.commit(Change::StopReset { instance: number });
        }
    }

    fn match_start(&mut self, class: &str, event: u64) {
        let Some(record) = self.state.classes.get(class) else { return };
        let Some(condition) = &record.definition.start_on else { return };
        let Some(happened) = self.state.events.get(&event) else { return };
        if record.pending == Some(Pending::Removal) {
            return;
        }
        let mut variables = Table::new();
        environ::extend(&mut variables, &record.definition.env, &self.state.settings.origin);
        let hits: Vec<usize> = condition
            .patterns()
            .filter(|(node, pattern)| {
                pattern.event == root::bare(&happened.name)
                    && record.start_on.held.get(*node) == Some(&None)
                    && pattern.accepts(&happened.environment, &variables)
            })
            .map(|(node, _)| node)
            .collect();
        if hits.is_empty() {
            return;
        }
        for node in hits {
            let node = u32::try_from(node).unwrap_or(u32::MAX);
            self.commit(Change::StartMatched { class: class.into(), node, event });
        }
        self.try_start(class);
    }

    /// Starts an instance of a class if its `start on` has come true.
    fn try_start(&mut self, class: &str) {
        let Some(record) = self.state.classes.get(class) else { return };
        let Some(condition) = &record.definition.start_on else { return };
        let Some(events) = condition.fulfilled_by(&record.start_on) else { return };
        let mut gathered = self.gather(events);
        environ::put(&mut gathered.environment, "UPSTART_EVENTS", &gathered.names.join(" "));
        match self.instance_name(class, &gathered.environment) {
            Ok(name) => {
                let number = self.instance_to_start(class, &name);
                if self.state.instances.get(&number).is_some_and(|instance| instance.goal == Goal::Stop) {
                    let (given, files) = (gathered.environment, gathered.files);
                    self.commit(Change::StartGiven { instance: number, given, files });
                    self.finish(number, false);
                    self.attach(number, gathered.events);
                    self.commit(Change::StartReset { class: class.into() });
                    self.change_goal(number, Goal::Start);
                    return;
                }
            }
            Err(error) => self.log(Priority::Warn, || format!("Failed to obtain {class} instance: {error}")),
        }
        self.commit(Change::StartReset { class: class.into() });
    }

    /// Has events wait for an instance; not for one that waits for them itself, or neither would ever end.
    fn attach(&mut self, instance: u64, events: Vec<u64>) {
        for event in events {
            if !self.waits_for(instance, event) {
                self.commit(Change::EventAttached { instance, event });
            }
        }
    }

    /// Whether an instance waits for an event: for its own, or for one that waits for an instance that waits for it.
    fn waits_for(&self, instance: u64, event: u64) -> bool {
        let mut seen = BTreeSet::new();
        let mut left = alloc::vec![instance];
        while let Some(number) = left.pop() {
            let Some(waited) = self.state.instances.get(&number).and_then(|found| found.blocked_by) else { continue };
            if waited == event {
                return true;
            }
            if seen.insert(waited) {
                let holders = self.state.instances.iter().filter(|(_, other)| other.blocks.contains(&waited));
                left.extend(holders.map(|(number, _)| *number));
            }
        }
        false
    }

    fn gather(&self, events: Vec<u64>) -> Gathered {
        let mut gathered = Gathered { events, environment: Vec::new(), names: Vec::new(), files: Vec::new() };
        for event in gathered.events.iter().filter_map(|event| self.state.events.get(event)) {
            environ::extend(&mut gathered.environment, &event.environment, &[]);
            gathered.names.push(root::bare(&event.name).into());
            gathered.files.extend(event.file.clone());
        }
        gathered
    }

    /// Ends an event that nothing holds or waits in, and lets go who waits for it.
    pub(super) fn finish_event(&mut self, event: u64) {
        let Some(found) = self.state.events.get(&event) else { return };
        if found.blockers > 0 {
            return;
        }
        let (name, environment) = (found.name.clone(), found.environment.clone());
        let answer = if found.failed { Answer::Error(CallError::EventFailed) } else { Answer::Done };
        let caller = found.caller.clone();
        self.commit(Change::EventFinished { event });
        self.announce(Announcement::EventEmitted(name, environment));
        if let Some(caller) = caller {
            self.announce(Announcement::Reply(caller, answer));
        }
    }
}
