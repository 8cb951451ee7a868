//! When something is expected: a cron pattern in a time zone.
//!
//! The pattern is `croner`'s: Vixie cron and what later ones added (names,
//! `L`, `#`, `W`, `@daily`), with its reading of summer time: a time that the
//! change skips comes at the end of the gap, a fixed time that comes twice
//! counts once. Pure: the instant to look from is an argument. Here, beside
//! `model::Time`, the date library is named, for the calendar `croner` asks.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::model::Time;

/// A pattern of times.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The pattern.
    pub cron: Cron,
    /// Where its clock hangs.
    pub zone: TimeZone,
}

impl Schedule {
    /// The first time after `at`; `None` if none will come.
    pub fn next_after(&self, at: Time) -> Option<Time> {
        let stamp = Timestamp::from_nanosecond(i128::from(at.0)).ok()?;
        let there = Local { stamp, zone: &self.zone };
        let next = self.cron.find_next_occurrence(&there, false).ok()?;
        i64::try_from(next.stamp.as_nanosecond()).ok().map(Time)
    }
}

/// An instant as a zone's calendar shows it.
#[derive(Clone)]
struct Local<'z> {
    stamp: Timestamp,
    zone: &'z TimeZone,
}

impl CronDateTime for Local<'_> {
    fn to_civil(&self) -> CivilDateTime {
        let there = self.zone.to_datetime(self.stamp);
        let (date, time) = (there.date(), there.time());
        let unsigned = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::new(
            croner::CivilDate::from_parts_unchecked(
                i32::from(date.year()),
                unsigned(date.month()),
                unsigned(date.day()),
            ),
            croner::CivilTime::from_parts_unchecked(
                unsigned(time.hour()),
                unsigned(time.minute()),
                unsigned(time.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let from_sunday = self.zone.to_datetime(self.stamp).weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(from_sunday.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let here = |stamp| Local { stamp, zone: self.zone };
        let there = datetime(civil).ok_or(CronError::InvalidDate)?;
        let ambiguous = self.zone.to_ambiguous_timestamp(there);
        let invalid = |_| CronError::InvalidTime;
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(here(ambiguous.unambiguous().map_err(invalid)?))
            }
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                here(ambiguous.earlier().map_err(invalid)?),
                here(ambiguous.later().map_err(invalid)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let stamp = self.stamp.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
        Some(Local { stamp, zone: self.zone })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.stamp.cmp(&other.stamp)
    }
}

fn datetime(civil: CivilDateTime) -> Option<DateTime> {
    let small = |part: u32| i8::try_from(part).ok();
    let year = i16::try_from(civil.year()).ok()?;
    let (month, day) = (small(civil.month())?, small(civil.day())?);
    let (hour, minute, second) = (small(civil.hour())?, small(civil.minute())?, small(civil.second())?);
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(pattern: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule { cron: pattern.parse().unwrap(), zone: TimeZone::get(zone).unwrap() };
        schedule.next_after(Time::parse_rfc3339(after).unwrap()).unwrap().to_rfc3339()
    }

    #[test]
    fn a_nightly_job_is_expected_at_the_hour_of_its_place() {
        assert_eq!(next("0 3 * * *", "UTC", "2026-03-14T03:00:00Z"), "2026-03-15T03:00:00.000Z");
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-14T03:00:00Z"), "2026-03-15T02:00:00.000Z");
        assert_eq!(next("@daily", "UTC", "2026-03-14T00:00:00.000000001Z"), "2026-03-15T00:00:00.000Z");
        assert_eq!(next("30 6 * * MON-FRI", "UTC", "2026-03-13T07:00:00Z"), "2026-03-16T06:30:00.000Z");
    }

    #[test]
    fn the_hour_that_summer_time_skips_comes_at_its_end_and_one_that_comes_twice_counts_once() {
        let berlin = "Europe/Berlin";
        assert_eq!(next("30 2 * * *", berlin, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00.000Z");
        assert_eq!(next("30 2 * * *", berlin, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00.000Z");
    }

    #[test]
    fn what_is_next_lies_ahead_and_is_near_wherever_clocks_change() {
        // The days on which these places set their clocks, one with half an hour.
        let days = ["2026-03-08", "2026-03-29", "2026-04-04", "2026-10-03", "2026-10-25", "2026-11-01"];
        for pattern in ["30 2 * * *", "*/30 * * * *", "15 1-3 * * *", "0 0 * * *"] {
            for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"] {
                let schedule =
                    Schedule { cron: pattern.parse().unwrap(), zone: TimeZone::get(zone).unwrap() };
                for day in days {
                    let from = Time::parse_rfc3339(&format!("{day}T00:00:00.5Z")).unwrap();
                    for step in 0..96 {
                        let at = from.shifted(step * 900_000_000_000);
                        let next = schedule.next_after(at).unwrap();
                        let far = std::time::Duration::from_secs(26 * 3_600);
                        assert!(at < next && next.since(at) <= far, "{pattern} {zone} {at}: {next}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_day_that_never_comes_is_none() {
        let schedule = Schedule { cron: "0 0 30 2 *".parse().unwrap(), zone: TimeZone::UTC };
        assert_eq!(schedule.next_after(Time::from_secs(0)), None);
    }
}
