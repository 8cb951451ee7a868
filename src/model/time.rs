//! Instants as nanoseconds since the Unix epoch; the one file that knows the
//! date library.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant, in nanoseconds since 1970-01-01T00:00:00Z, or a reading of a
/// source's clock in the same unit. Arithmetic saturates: no input can panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub i64);

impl Time {
    /// The earliest instant that can be written.
    pub const MIN: Time = Time(i64::MIN);

    /// From microseconds since the epoch, the journal's unit.
    pub fn from_micros(us: i64) -> Time {
        Time(us.saturating_mul(1_000))
    }

    /// From whole seconds since the epoch.
    pub fn from_secs(secs: i64) -> Time {
        Time(secs.saturating_mul(1_000_000_000))
    }

    /// Seconds since the epoch, with a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// This instant and `span` later.
    pub fn plus(self, span: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This instant less `span`.
    pub fn minus(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This instant moved by a signed number of nanoseconds.
    pub fn shifted(self, nanos: i64) -> Time {
        Time(self.0.saturating_add(nanos))
    }

    /// Reads RFC 3339 with `Z` or an offset (with or without a colon).
    pub fn parse_rfc3339(text: &str) -> Option<Time> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(stamp.as_nanosecond()).ok().map(Time)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-03-14T09:12:41.318Z`.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => format!("{stamp:.3}"),
            Err(_) => "0001-01-01T00:00:00Z".to_owned(),
        }
    }

    /// Date and time of day in UTC for people: `2026-03-14 09:12:41 UTC`.
    pub fn to_date_clock(self) -> String {
        let date = self.to_rfc3339();
        format!("{} {} UTC", date.get(..10).unwrap_or_default(), self.to_clock())
    }

    /// Day and time of day in a place.
    pub fn local(self, zone: &jiff::tz::TimeZone) -> Local {
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or_default();
        let there = zone.to_datetime(stamp);
        let date = there.date();
        Local {
            year: date.year(),
            month: date.month().unsigned_abs(),
            day: date.day().unsigned_abs(),
            days_in_month: date.days_in_month().unsigned_abs(),
            weekday: date.weekday().to_sunday_zero_offset().unsigned_abs(),
            minute_of_day: u16::from(there.hour().unsigned_abs()) * 60
                + u16::from(there.minute().unsigned_abs()),
        }
    }

    /// Time of day in UTC for people: `09:12:41`.
    pub fn to_clock(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => stamp.strftime("%H:%M:%S").to_string(),
            Err(_) => "--:--:--".to_owned(),
        }
    }
}

/// What calendar and clock show in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Year.
    pub year: i16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// Of this month: 28 to 31.
    pub days_in_month: u8,
    /// From Sunday: 0 to 6.
    pub weekday: u8,
    /// 0 to 1,439.
    pub minute_of_day: u16,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A length of time as people write it: `8m`, `1h 5m`, `2.5s`.
pub fn human(span: Duration) -> String {
    let secs = span.as_secs();
    if secs < 10 && span.subsec_millis() != 0 {
        return format!("{:.1}s", span.as_secs_f64());
    }
    let parts = [(secs / 86_400, "d"), (secs / 3_600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).take(2).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_goes_there_and_back() {
        let at = Time::parse_rfc3339("2026-03-14T09:12:41.318Z").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-03-14T09:12:41.318Z");
        assert_eq!(Time::parse_rfc3339("2026-03-14T10:12:41.318+01:00"), Some(at));
    }

    #[test]
    fn spans_read_as_people_say_them() {
        assert_eq!(human(Duration::from_secs(480)), "8m");
        assert_eq!(human(Duration::from_secs(3_661)), "1h 1m");
        assert_eq!(human(Duration::from_millis(2_500)), "2.5s");
        assert_eq!(human(Duration::ZERO), "0s");
    }
}
