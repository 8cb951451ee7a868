//! `[[time_interval]]`: named stretches of time, in Alertmanager's fields.
//!
//! A span stands in the table itself, several in its `time_intervals`. Times
//! of day do not pass midnight, as Alertmanager's do not: the end of a night
//! is a second entry.

use jiff::tz::TimeZone;

use super::ground::Ground;
use super::names::unique_names;
use super::plan::{IntervalPlan, SpanPlan};
use super::problem::{Spot, printable};
use super::reader::Table;
use super::source::timezone;

const DAYS: &[&str] = &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const FIELDS: &[&str] = &["times", "weekdays", "days_of_month", "months", "years", "location"];
const DAY_MINUTES: u16 = 1_440;

/// Reads all.
pub(super) fn read(ground: &Ground<'_>) -> Vec<IntervalPlan> {
    let tables = ground.tables("time_interval");
    let names = unique_names(ground.report, "time interval", &tables, |_| true, "a text");
    tables.iter().zip(names).map(|(table, name)| one(table, name)).collect()
}

fn one(table: &Table<'_>, name: String) -> IntervalPlan {
    let is_inline = FIELDS.iter().any(|field| table.has(field));
    let mut spans: Vec<SpanPlan> = table
        .children("time_intervals")
        .iter()
        .map(|child| {
            let span = span(child);
            child.finish();
            span
        })
        .collect();
    let own = span(table);
    if is_inline {
        if table.has("time_intervals") {
            let at = table.key_at("time_intervals");
            let expected = "expected the times here or in time_intervals, not both";
            table.report.error(&at, "time_intervals beside times of its own", expected);
        }
        spans.push(own);
    } else if spans.is_empty() {
        table.missing("times", "expected times, weekdays, days_of_month, months or years");
    }
    table.finish();
    IntervalPlan { name, spans }
}

fn span(table: &Table<'_>) -> SpanPlan {
    let location = table.text("location").and_then(|text| timezone(table.report, &text));
    SpanPlan {
        times: table.children("times").iter().filter_map(time).collect(),
        weekdays: ranges(table, "weekdays", "a day such as \"monday\" or \"monday:friday\"", |text| {
            named(text, DAYS, 0)
        }),
        days_of_month: days_of_month(table),
        months: ranges(table, "months", "a month such as \"may\", \"5\" or \"june:august\"", |text| {
            let number = text.parse().ok().filter(|n| (1..=12).contains(n));
            number.or_else(|| named(text, MONTHS, 1))
        }),
        years: ranges(table, "years", "a year such as \"2026\" or \"2026:2027\"", |text| {
            text.parse().ok().filter(|year| (1970..=9999).contains(year))
        }),
        location: location.unwrap_or(TimeZone::UTC),
    }
}

fn time(table: &Table<'_>) -> Option<(u16, u16)> {
    let read = |key| {
        let text = table.need_text(key, "expected a time of day such as \"09:00\"")?;
        let minutes = minutes(text.value);
        if minutes.is_none() {
            let message = format!("\"{}\" is no time of day", printable(text.value));
            table.report.error(&text.at, message, "expected \"00:00\" to \"24:00\"");
        }
        Some(Spot { value: minutes?, at: text.at })
    };
    let (start, end) = (read("start_time"), read("end_time"));
    table.finish();
    let (start, end) = (start?, end?);
    if start.value >= end.value {
        let expected = "expected an end after the start; a night is two entries: \
                        22:00 to 24:00 and 00:00 to 06:00";
        table.report.error(&end.at, "the end does not come after the start", expected);
        return None;
    }
    Some((start.value, end.value))
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

fn named(text: &str, names: &[&str], first: u8) -> Option<u8> {
    let position = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    u8::try_from(position).ok().map(|n| n + first)
}

/// Single values and `from:to`, both ends taken in.
fn ranges<T: Copy + PartialOrd>(
    table: &Table<'_>,
    key: &'static str,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Vec<(T, T)> {
    let mut out = Vec::new();
    for text in table.texts(key) {
        let (from, to) = text.value.split_once(':').unwrap_or((text.value, text.value));
        match (read(from.trim()), read(to.trim())) {
            (Some(from), Some(to)) if from <= to => out.push((from, to)),
            (Some(_), Some(_)) => {
                let message = format!("\"{}\" ends before it begins", printable(text.value));
                table.report.error(&text.at, message, "expected the earlier one first");
            }
            _ => {
                let message = format!("\"{}\" cannot be understood", printable(text.value));
                table.report.error(&text.at, message, format!("expected {expected}"));
            }
        }
    }
    out
}

/// `1:5`, `-3:-1`, `10:-1`: days from the beginning or the end of a month.
fn days_of_month(table: &Table<'_>) -> Vec<(i8, i8)> {
    // Days from the end come after those from the beginning.
    let expected = "a day such as \"1\", \"1:5\", or \"-3:-1\" from the month's end";
    let found = ranges(table, "days_of_month", expected, |text| {
        let day: i8 = text.parse().ok().filter(|day| *day != 0 && (-31..=31).contains(day))?;
        Some((day < 0, day))
    });
    found.into_iter().map(|((_, from), (_, to))| (from, to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    fn interval(span: SpanPlan) -> IntervalPlan {
        IntervalPlan { name: "x".to_owned(), spans: vec![span] }
    }

    fn always() -> SpanPlan {
        SpanPlan {
            times: Vec::new(),
            weekdays: Vec::new(),
            days_of_month: Vec::new(),
            months: Vec::new(),
            years: Vec::new(),
            location: TimeZone::UTC,
        }
    }

    fn is_in(span: &SpanPlan, at: &str) -> bool {
        interval(span.clone()).contains(Time::parse_rfc3339(at).unwrap())
    }

    #[test]
    fn times_follow_the_clock_on_the_wall_over_daylight_saving() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let office = SpanPlan { times: vec![(540, 1020)], location: berlin, ..always() };
        // UTC+1 in winter, UTC+2 in summer.
        assert!(is_in(&office, "2026-01-15T08:00:00Z") && !is_in(&office, "2026-01-15T07:59:59Z"));
        assert!(is_in(&office, "2026-07-15T07:00:00Z") && !is_in(&office, "2026-07-15T15:00:00Z"));
        // 02:30 does not exist on one day in March, and is there twice in October.
        let night = SpanPlan { times: vec![(120, 180)], ..office };
        assert!(!is_in(&night, "2026-03-29T00:59:59Z") && !is_in(&night, "2026-03-29T01:00:00Z"));
        assert!(is_in(&night, "2026-10-25T00:30:00Z") && is_in(&night, "2026-10-25T01:30:00Z"));
        assert!(!is_in(&night, "2026-10-25T02:00:00Z"));
    }

    #[test]
    fn days_are_counted_from_either_end_of_the_month() {
        let last_three = SpanPlan { days_of_month: vec![(-3, -1)], ..always() };
        assert!(is_in(&last_three, "2028-02-27T12:00:00Z") && !is_in(&last_three, "2028-02-26T12:00:00Z"));
        let from_tenth = SpanPlan { days_of_month: vec![(10, -2)], ..always() };
        assert!(is_in(&from_tenth, "2026-04-29T00:00:00Z") && !is_in(&from_tenth, "2026-04-30T00:00:00Z"));
        let thirty_first = SpanPlan { days_of_month: vec![(31, 31)], ..always() };
        assert!(!is_in(&thirty_first, "2026-04-30T00:00:00Z"));
    }

    #[test]
    fn weekdays_months_and_years_must_all_hold() {
        let span =
            SpanPlan { weekdays: vec![(1, 5)], months: vec![(6, 8)], years: vec![(2026, 2027)], ..always() };
        assert!(is_in(&span, "2026-06-01T00:00:00Z"), "a Monday");
        for at in ["2026-06-07T12:00:00Z", "2026-09-01T12:00:00Z", "2028-06-01T12:00:00Z"] {
            assert!(!is_in(&span, at), "{at}");
        }
    }

    #[test]
    fn a_time_of_day_has_two_digits_each_and_ends_at_midnight() {
        assert_eq!(["09:05", "24:00", "00:00"].map(minutes), [Some(545), Some(1440), Some(0)],);
        for text in ["9:05", "24:01", "12:60", "12", "12:5", "+1:00", "aa:bb"] {
            assert_eq!(minutes(text), None, "{text}");
        }
    }
}
