//! What GetState answers: the state in JSON, for people and scripts. Nothing here is ever read back by init.

use machine::job::Instance;
use machine::state::{ClassRecord, State};
use std::fmt::Write as _;

use super::{Source, instance, job, path};

/// Writes the state.
pub(super) fn write(state: &State, sources: &[Source]) -> String {
    let mut json = Writer::default();
    json.object(|json| {
        json.key("conf_sources").array(sources, |json, source| {
            json.object(|json| {
                json.key("path").text(&source.path);
                json.key("conf_files")
                    .array(&source.files, |json, file| json.object(|json| json.key("path").text(file)));
            });
        });
        json.key("job_classes").array(state.classes(), |json, (_, record)| write_class(json, state, record));
        json.key("events").array(state.events(), |json, (_, event)| {
            json.object(|json| {
                json.key("name").text(&event.name);
                json.key("env").texts(&event.environment);
                json.key("failed").raw(event.failed);
                json.key("blockers").raw(event.blockers);
            });
        });
        json.key("job_environment").texts(state.environment());
        json.key("log_priority").text(state.log_priority().name());
        json.key("restart_generation").raw(state.generation());
        json.key("sessions").array([], |_, (): ()| ());
    });
    json.out
}

fn write_class(json: &mut Writer, state: &State, record: &ClassRecord) {
    let class = &record.definition;
    json.object(|json| {
        json.key("name").text(&class.name);
        json.key("path").text(&path::class(&class.name));
        json.key("instance").text(&class.instance);
        let texts = [
            ("description", &class.description),
            ("author", &class.author),
            ("version", &class.version),
            ("usage", &class.usage),
        ];
        for (key, text) in texts {
            json.key(key).text(text.as_deref().unwrap_or_default());
        }
        for (key, condition) in [("start_on", &class.start_on), ("stop_on", &class.stop_on)] {
            json.key(key).array(job::polish(condition.as_ref()), |json, words| json.texts(&words));
        }
        json.key("emits").texts(&class.emits);
        json.key("env").texts(&class.env);
        json.key("export").texts(&class.export);
        json.key("task").raw(class.task);
        json.key("respawn").raw(class.respawn);
        let instances = record.instances.values().filter_map(|number| state.instance(*number));
        json.key("jobs").array(instances, write_instance);
    });
}

fn write_instance(json: &mut Writer, instance: &Instance) {
    json.object(|json| {
        json.key("name").text(&instance.name);
        json.key("path").text(&path::instance(&instance.class, &instance.name));
        json.key("goal").text(instance.goal.name());
        json.key("state").text(instance.state.name());
        json.key("pids").object(|json| {
            for (name, pid) in instance::processes(instance) {
                json.key(name).raw(pid);
            }
        });
        json.key("env").texts(&instance.environment);
        json.key("stop_env").texts(&instance.stop_environment);
        json.key("failed").raw(instance.failure.is_some());
    });
}

/// JSON text (RFC 8259), without blanks.
#[derive(Default)]
struct Writer {
    out: String,
    /// Something stands before the place, and is to be parted from what follows.
    needs_comma: bool,
}

impl Writer {
    fn begin_value(&mut self) {
        if self.needs_comma {
            self.out.push(',');
        }
        self.needs_comma = true;
    }

    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.begin_value();
        self.out.push('{');
        self.needs_comma = false;
        members(self);
        self.out.push('}');
        self.needs_comma = true;
    }

    fn array<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.begin_value();
        self.out.push('[');
        self.needs_comma = false;
        for one in items {
            item(self, one);
        }
        self.out.push(']');
        self.needs_comma = true;
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.text(key);
        self.out.push(':');
        self.needs_comma = false;
        self
    }

    fn texts(&mut self, texts: &[impl AsRef<str>]) {
        self.array(texts, |json, text| json.text(text.as_ref()));
    }

    fn raw(&mut self, value: impl std::fmt::Display) {
        self.begin_value();
        let _ = write!(self.out, "{value}");
    }

    fn text(&mut self, text: &str) {
        self.begin_value();
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                control if control < ' ' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(control));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_written_as_json_reads_it() {
        let mut json = Writer::default();
        json.array(["a\"b\\c", "\u{1}\n\té"], |json, text| json.text(text));
        assert_eq!(json.out, "[\"a\\\"b\\\\c\",\"\\u0001\\n\\té\"]");
    }

    #[test]
    fn an_empty_state_has_all_its_members() {
        let sources = [Source { path: "/etc/init".into(), files: vec!["/etc/init/a.conf".into()] }];
        let text = write(&State::default(), &sources);
        assert!(text.starts_with(
            "{\"conf_sources\":[{\"path\":\"/etc/init\",\"conf_files\":[{\"path\":\"/etc/init/a.conf\"}]}],\
             \"job_classes\":[],\"events\":[]"
        ));
        assert!(text.ends_with("\"sessions\":[]}"), "{text}");
    }
}
