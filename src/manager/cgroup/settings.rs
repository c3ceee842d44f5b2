//! What the settings of `cgroup` mean on cgroup v2, where most have another name and some another scale
//! (Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the kernel). Pure.

use std::collections::BTreeMap;

/// Microseconds; what a quota is a part of where nothing else is said.
const PERIOD_DEFAULT_US: u64 = 100_000;

/// The controller of cgroup v2 that does what this one of version 1 did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller<'a> {
    /// This one; to be enabled.
    Named(&'a str),
    /// None is needed: every group has it.
    BuiltIn,
    /// There is none.
    Missing,
}

/// See [`Controller`].
#[must_use]
pub(super) fn controller(name: &str) -> Controller<'_> {
    match name {
        "blkio" => Controller::Named("io"),
        "freezer" | "cpuacct" => Controller::BuiltIn,
        "devices" | "net_cls" | "net_prio" | "perf_event" => Controller::Missing,
        name if name.is_empty() || name.contains(['=', '/', ' ']) => Controller::Missing,
        name => Controller::Named(name),
    }
}

/// What is to be written where, and what there is no way to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// (file of the group, what to write), in this order.
    pub writes: Vec<(String, String)>,
    /// `controller key value: why not`.
    pub refused: Vec<String>,
}

/// Translates all settings of a job: (controller, key, value).
#[must_use]
pub(super) fn translate(settings: &[(String, String, String)]) -> Settings {
    let mut out = Settings::default();
    // Those of which two make one.
    let mut joint: BTreeMap<&str, &str> = BTreeMap::new();
    for (controller, key, value) in settings {
        let short = key.strip_prefix(controller.as_str()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(key);
        match (controller.as_str(), short) {
            ("cpu", "cfs_quota_us" | "cfs_period_us") | ("memory", "limit_in_bytes" | "memsw.limit_in_bytes") => {
                joint.insert(short, value);
            }
            _ => match one(controller, short, value) {
                Ok(write) => out.writes.push(write),
                Err(why) => out.refused.push(format!("{controller} {key} {value}: {why}")),
            },
        }
    }
    match joint_writes(&joint) {
        Ok(writes) => out.writes.extend(writes),
        Err(refused) => out.refused.push(refused),
    }
    out
}

/// A setting that stands for itself: the file and what to write.
fn one(controller: &str, key: &str, value: &str) -> Result<(String, String), &'static str> {
    const NO_NUMBER: &str = "not a number";
    let write = |file: &str, text: String| Ok((file.to_owned(), text));
    match (controller, key) {
        ("memory", "soft_limit_in_bytes") => write("memory.high", limit(value)),
        ("cpu", "shares") => {
            let shares: u64 = value.parse().map_err(|_| NO_NUMBER)?;
            let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
            write("cpu.weight", weight.to_string())
        }
        ("blkio", "weight") => {
            let weight: u64 = value.parse().map_err(|_| NO_NUMBER)?;
            write("io.weight", format!("default {}", (weight.clamp(10, 1000) * 100 / 500).max(1)))
        }
        ("blkio", throttle) if throttle.starts_with("throttle.") => {
            let kind = match throttle {
                "throttle.read_bps_device" => "rbps",
                "throttle.write_bps_device" => "wbps",
                "throttle.read_iops_device" => "riops",
                "throttle.write_iops_device" => "wiops",
                _ => return Err("there is no such thing on cgroup v2"),
            };
            let (device, rate) = value.split_once(' ').ok_or("not a device and a rate")?;
            write("io.max", format!("{device} {kind}={}", if rate.trim() == "0" { "max" } else { rate.trim() }))
        }
        ("freezer", "state") => match value {
            "THAWED" => write("cgroup.freeze", "0".into()),
            _ => Err("a process that is frozen from the start never starts"),
        },
        ("cgroup", _) => Err("not a controller"),
        (_, key) if key.is_empty() || key.contains('/') => Err("not the name of a setting"),
        // What is the same, and what was meant for cgroup v2 to begin with.
        ("blkio", key) => write(&format!("io.{key}"), value.into()),
        (controller, key) => write(&format!("{controller}.{key}"), value.into()),
    }
}

fn joint_writes(joint: &BTreeMap<&str, &str>) -> Result<Vec<(String, String)>, String> {
    let mut writes = Vec::new();
    if joint.contains_key("cfs_quota_us") || joint.contains_key("cfs_period_us") {
        let quota = joint.get("cfs_quota_us").copied().unwrap_or("-1");
        let period = joint.get("cfs_period_us").map_or_else(|| PERIOD_DEFAULT_US.to_string(), |us| (*us).to_owned());
        writes.push(("cpu.max".to_owned(), format!("{} {period}", limit(quota))));
    }
    let memory = joint.get("limit_in_bytes").copied();
    writes.extend(memory.map(|memory| ("memory.max".to_owned(), limit(memory))));
    if let Some(both) = joint.get("memsw.limit_in_bytes") {
        // Version 1 limits memory and swap together, version 2 swap alone.
        let swap = match (bytes(both), memory.and_then(bytes)) {
            _ if limit(both) == "max" => "max".to_owned(),
            (Some(both), Some(memory)) => both.saturating_sub(memory).to_string(),
            _ => return Err(format!("memory memsw.limit_in_bytes {both}: means nothing without limit_in_bytes")),
        };
        writes.push(("memory.swap.max".to_owned(), swap));
    }
    Ok(writes)
}

/// No limit is a negative number in version 1, and `max` in version 2.
fn limit(value: &str) -> String {
    if value.starts_with('-') { "max".into() } else { value.into() }
}

/// A number of bytes as the kernel reads it, with K, M, G or T behind it.
fn bytes(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match value[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(settings: &[(&str, &str, &str)]) -> Vec<(String, String)> {
        let settings: Vec<_> = settings.iter().map(|(c, k, v)| ((*c).into(), (*k).into(), (*v).into())).collect();
        let translated = translate(&settings);
        assert_eq!(translated.refused, [""; 0]);
        translated.writes
    }

    #[test]
    fn old_names_get_their_new_ones() {
        let cases = [
            (("memory", "limit_in_bytes", "52428800"), ("memory.max", "52428800")),
            (("memory", "memory.limit_in_bytes", "-1"), ("memory.max", "max")),
            (("memory", "soft_limit_in_bytes", "1G"), ("memory.high", "1G")),
            (("cpu", "cpu.shares", "1024"), ("cpu.weight", "39")),
            (("cpu", "shares", "2"), ("cpu.weight", "1")),
            (("cpu", "shares", "262144"), ("cpu.weight", "10000")),
            (("cpu", "cfs_quota_us", "50000"), ("cpu.max", "50000 100000")),
            (("cpuset", "cpus", "0-1"), ("cpuset.cpus", "0-1")),
            (("cpuset", "cpuset.mems", "0"), ("cpuset.mems", "0")),
            (("pids", "max", "100"), ("pids.max", "100")),
            (("blkio", "weight", "500"), ("io.weight", "default 100")),
            (("blkio", "throttle.read_bps_device", "8:0 1048576"), ("io.max", "8:0 rbps=1048576")),
            (("freezer", "state", "THAWED"), ("cgroup.freeze", "0")),
            (("io", "weight", "50"), ("io.weight", "50")),
            (("memory", "oom.group", "1"), ("memory.oom.group", "1")),
        ];
        for (old, (file, text)) in cases {
            assert_eq!(writes(&[old]), [(file.to_owned(), text.to_owned())], "{old:?}");
        }
    }

    #[test]
    fn two_settings_that_make_one_are_joined_in_any_order() {
        let cpu = [("cpu", "cfs_period_us", "20000"), ("cpu", "cfs_quota_us", "-1")];
        assert_eq!(writes(&cpu), [("cpu.max".to_owned(), "max 20000".to_owned())]);
        let memory = [("memory", "memsw.limit_in_bytes", "96M"), ("memory", "limit_in_bytes", "64M")];
        let expected = [("memory.max", "64M"), ("memory.swap.max", "33554432")];
        assert_eq!(writes(&memory), expected.map(|(file, text)| (file.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_a_reason() {
        let refused = [
            ("freezer", "state", "FROZEN"),
            ("memory", "memsw.limit_in_bytes", "96M"),
            ("cpu", "shares", "many"),
            ("memory", "../../x", "1"),
            ("blkio", "throttle.x", "1"),
        ];
        for (controller, key, value) in refused {
            let translated = translate(&[(controller.into(), key.into(), value.into())]);
            assert_eq!((translated.writes.len(), translated.refused.len()), (0, 1), "{controller} {key}");
        }
    }

    #[test]
    fn controllers_of_old_are_known() {
        assert_eq!(controller("blkio"), Controller::Named("io"));
        assert_eq!(controller("freezer"), Controller::BuiltIn);
        assert_eq!(controller("name=systemd"), Controller::Missing);
        assert_eq!(controller("../x"), Controller::Missing);
    }
}
