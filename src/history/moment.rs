//! Moments: how people write them, and how they are written for people.

use std::fmt;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use record::Stamp;

/// A moment in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After this frame.
    Sequence(u64),
    /// At this time, in microseconds since 1970.
    Wall(u64),
    /// So many microseconds after the boot of the machine.
    Boot(u64),
    /// At the end.
    End,
}

/// A moment that nobody can make sense of.
#[derive(Debug)]
pub struct BadMoment(String);

impl fmt::Display for BadMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no moment: give the number of a frame, a time such as \"16:33:15\", \"2026-11-22 16:33\" or \
             \"10 minutes ago\", \"+12.5s\" after the boot, \"@SECONDS\" since 1970, or \"end\"",
            self.0
        )
    }
}

impl std::error::Error for BadMoment {}

impl Moment {
    /// Reads a moment as people write it; times without a zone are local.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadMoment> {
        let text = text.trim();
        if matches!(text, "end" | "now") {
            return Ok(Self::End);
        }
        // Before the number, which may have a sign for Rust.
        if let Some(after) = text.strip_prefix('+') {
            return span_us(after).map(Self::Boot).ok_or_else(|| BadMoment(text.into()));
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Sequence(number));
        }
        wall(text).map(Self::Wall).ok_or_else(|| BadMoment(text.into()))
    }

    /// The same where only a time makes sense, in microseconds since 1970.
    ///
    /// # Errors
    /// When it is no time.
    pub fn parse_wall(text: &str) -> Result<u64, BadMoment> {
        wall(text.trim()).ok_or_else(|| BadMoment(text.into()))
    }

    /// Whether a frame with this number and stamp comes after the moment; none if the frame does not say when it was
    /// and the moment is a time.
    #[must_use]
    pub fn is_before(self, sequence: u64, stamp: Option<Stamp>) -> Option<bool> {
        match self {
            Self::End => Some(false),
            Self::Sequence(last) => Some(sequence > last),
            Self::Wall(us) => stamp.map(|stamp| stamp.wall_us > us),
            Self::Boot(us) => stamp.map(|stamp| stamp.boot_us > us),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "people say when by the clock on the wall")]
fn wall(text: &str) -> Option<u64> {
    let now = Zoned::now();
    let moment = if text == "now" {
        now.timestamp()
    } else if let Some(seconds) = text.strip_prefix('@') {
        return decimal_us(seconds);
    } else if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else if let Ok(zoned) = text.parse::<jiff::civil::DateTime>() {
        zoned.to_zoned(now.time_zone().clone()).ok()?.timestamp()
    } else if let Ok(time) = text.parse::<jiff::civil::Time>() {
        now.date().to_datetime(time).to_zoned(now.time_zone().clone()).ok()?.timestamp()
    } else if text == "today" || text == "yesterday" {
        let days = i64::from(text == "yesterday");
        let date = now.date().checked_sub(Span::new().days(days)).ok()?;
        date.to_zoned(now.time_zone().clone()).ok()?.timestamp()
    } else {
        let span: Span = text.parse().ok()?;
        now.checked_add(span).ok()?.timestamp()
    };
    u64::try_from(moment.as_microsecond()).ok()
}

/// Microseconds of a length of time, such as `90s` or `2 days`, or a plain number of seconds.
#[must_use]
pub fn span_us(text: &str) -> Option<u64> {
    if let Some(us) = decimal_us(text) {
        return Some(us);
    }
    let span: Span = text.parse().ok()?;
    let seconds = span.total((jiff::Unit::Microsecond, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    (seconds >= 0.0).then_some(seconds as u64)
}

fn decimal_us(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && (0.0..1e12).contains(&seconds)).then_some((seconds * 1e6) as u64)
}

/// Writes times in the zone of the reader, which is looked up once.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
}

impl Default for Clock {
    fn default() -> Self {
        Self { zone: TimeZone::system() }
    }
}

impl Clock {
    /// One for pictures and tests that must not depend on where they are made.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// `2026-11-22 16:33:15.123456`, or as `format` (strftime(3)) says.
    #[must_use]
    pub fn write(&self, wall_us: u64, format: &str) -> String {
        let us = i64::try_from(wall_us).unwrap_or(i64::MAX);
        let Ok(timestamp) = Timestamp::from_microsecond(us) else { return "?".into() };
        strtime::format(format, &timestamp.to_zoned(self.zone.clone())).unwrap_or_else(|_| "?".into())
    }

    /// Date, time and microseconds.
    #[must_use]
    pub fn full(&self, wall_us: u64) -> String {
        self.write(wall_us, "%Y-%m-%d %H:%M:%S%.6f")
    }

    /// Date and time, to the second.
    #[must_use]
    pub fn short(&self, wall_us: u64) -> String {
        self.write(wall_us, "%Y-%m-%d %H:%M:%S")
    }
}

/// A length of time for people: `1.2 ms`, `3.4 s`, `2 h 5 min`.
#[must_use]
pub fn length(us: u64) -> String {
    let seconds = us as f64 / 1e6;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{seconds:.1} s"),
        _ => {
            let minutes = us / 60_000_000;
            match minutes {
                0..120 => format!("{minutes} min {} s", us / 1_000_000 % 60),
                120..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
                _ => format!("{} d {} h", minutes / 1440, minutes / 60 % 24),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "as above")]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(Moment::parse("1234").unwrap(), Moment::Sequence(1234));
        assert_eq!(Moment::parse(" end").unwrap(), Moment::End);
        assert_eq!(Moment::parse("+1.5").unwrap(), Moment::Boot(1_500_000));
        assert_eq!(Moment::parse("+2").unwrap(), Moment::Boot(2_000_000));
        assert_eq!(Moment::parse("+2 minutes").unwrap(), Moment::Boot(120_000_000));
        assert_eq!(Moment::parse("@17.25").unwrap(), Moment::Wall(17_250_000));
        assert_eq!(Moment::parse("1970-01-01T00:01:00Z").unwrap(), Moment::Wall(60_000_000));
        assert!(matches!(Moment::parse("2026-11-22 16:33:15").unwrap(), Moment::Wall(_)));
        assert!(matches!(Moment::parse("16:33").unwrap(), Moment::Wall(_)));
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap();
        let Moment::Wall(then) = Moment::parse("4 hours ago").unwrap() else { panic!() };
        assert!((now - then).abs_diff(4 * 3_600_000_000) < 60_000_000);
        for nonsense in ["", "-", "then", "+", "@x", "12:99", "+later", "@-3"] {
            assert!(Moment::parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(Clock::utc().full(1_000_000_123_456), "1970-01-12 13:46:40.123456");
        assert_eq!(Clock::utc().short(u64::MAX), "?");
        let lengths = [0, 999, 1_500, 2_500_000, 125_000_000, 7_500_000_000, 200_000_000_000];
        let written = lengths.map(length);
        assert_eq!(written, ["0 µs", "999 µs", "1.5 ms", "2.5 s", "2 min 5 s", "2 h 5 min", "2 d 7 h"]);
    }
}
