//! What a rule looks for: its detector with its thresholds.

use std::time::Duration;

use croner::Cron;
use jiff::tz::TimeZone;

use super::by_value;
use super::event::outcomes_of;
use super::plan::{Detector, EventPlan, Schedule, StaleLevel};
use super::reader::{Table, find};
use super::source::timezone;
use crate::model::{Severity, Time};

/// As written in `severity`.
pub(super) const SEVERITIES: &[(&str, Severity)] =
    &[("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Streak,
    Rate,
    Ratio,
    Staleness,
    Threshold,
    Change,
    Flapping,
    Schedule,
    Drift,
}

/// As written in `type`.
pub(super) const KINDS: &[(&str, Kind)] = &[
    ("streak", Kind::Streak),
    ("rate", Kind::Rate),
    ("ratio", Kind::Ratio),
    ("staleness", Kind::Staleness),
    ("threshold", Kind::Threshold),
    ("change", Kind::Change),
    ("flapping", Kind::Flapping),
    ("schedule", Kind::Schedule),
    ("drift", Kind::Drift),
];

/// Reads the detector of a rule on the event at `event`.
pub(super) fn read(table: &Table<'_>, kind: Kind, event: usize, events: &[EventPlan]) -> Detector {
    let plan = &events[event];
    match kind {
        Kind::Streak => streak(table, event, plan),
        Kind::Rate => rate(table, event, plan),
        Kind::Ratio => ratio(table, event, plan),
        Kind::Staleness => {
            let names: Vec<&str> = events.iter().map(|e| e.name.as_str()).collect();
            staleness(table, event, plan, &names)
        }
        Kind::Threshold => by_value::threshold(table, event, plan),
        Kind::Change => by_value::change(table, event, plan),
        Kind::Flapping => flapping(table, event, plan),
        Kind::Schedule => scheduled(table, event, plan),
        Kind::Drift => drift(table, event, plan),
    }
}

fn streak(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let (bad, good) = bad_and_good(table, plan);
    let forget_after = table.positive_duration("forget_after").map(|d| d.value);
    Detector::Streak { event, bad, good, count: need_count(table), forget_after }
}

fn rate(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    Detector::Rate {
        event,
        outcomes: outcomes_of(table, "outcomes", plan),
        without: without(table, plan),
        count: need_count(table),
        window: need_window(table),
    }
}

/// Outcomes one of which speaks against the condition.
fn without(table: &Table<'_>, plan: &EventPlan) -> Vec<usize> {
    let without = outcomes_of(table, "without", plan);
    let counted = outcomes_of(table, "outcomes", plan);
    if !without.is_empty() && (counted.is_empty() || counted.iter().any(|o| without.contains(o))) {
        table.report.error(
            &table.key_at("without"),
            "this rule can never fire: what it counts also speaks against it",
            "expected outcomes = […] that are not in without",
        );
    }
    without
}

fn ratio(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let (bad, good) = bad_and_good(table, plan);
    if !table.has("share") {
        table.missing("share", "expected a number between 0 and 1");
    }
    let share = table.number("share").map_or(1.0, |n| {
        if !(n.value > 0.0 && n.value <= 1.0) {
            table.report.error(
                &n.at,
                format!("the share {} is out of range", n.value),
                "expected a number above 0 and up to 1, such as 0.2 for 20 %",
            );
        }
        n.value
    });
    Detector::Ratio { event, bad, good, count: need_count(table), share, window: need_window(table) }
}

fn flapping(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let (bad, good) = bad_and_good(table, plan);
    if !table.has("good") && !plan.outcomes.is_empty() {
        table.missing("good", "expected the outcomes of the other side");
    }
    Detector::Flapping { event, bad, good, count: need_count(table), window: need_window(table) }
}

fn scheduled(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let good = outcomes_of(table, "good", plan);
    let grace = need_duration(table, "grace", "expected how late it may be, such as \"30m\"");
    let zone = table.text("timezone").and_then(|text| timezone(table.report, &text));
    let expected = "expected five fields such as \"0 3 * * *\" (minute hour day month weekday)";
    let Some(text) = table.need_text("cron", expected) else { return Detector::Gap };
    let cron = match text.value.parse::<Cron>() {
        Ok(cron) => cron,
        Err(error) => {
            let why = error.to_string();
            table.report.error(&text.at, format!("no cron pattern: {}", why.trim_end_matches('.')), expected);
            return Detector::Gap;
        }
    };
    let schedule = Box::new(Schedule { cron, zone: zone.unwrap_or(TimeZone::UTC) });
    if schedule.next_after(Time::default()).is_none() {
        table.report.error(&text.at, "this rule can never fire: no day is like that", expected);
    }
    Detector::Schedule { event, good, schedule, grace }
}

fn drift(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    if plan.marker.is_none() {
        table.report.error(
            &table.key_at("event"),
            format!("this rule can never fire: the event \"{}\" has no marker", plan.name),
            "expected marker = … in its definition: what its lines carry however they are worded",
        );
    }
    Detector::Drift { event, count: need_count(table), window: need_window(table) }
}

fn staleness(table: &Table<'_>, event: usize, plan: &EventPlan, events: &[&str]) -> Detector {
    let good = outcomes_of(table, "good", plan);
    let grace_event = table.text("grace_event").and_then(|name| find(table.report, "event", &name, events));
    let mut levels: Vec<StaleLevel> = Vec::new();
    if table.has("levels") {
        for child in table.children("levels") {
            levels.extend(level(&child, levels.last(), table.has("grace_event")));
        }
        if levels.is_empty() && table.get("levels").is_some_and(|v| v.items().is_empty()) {
            table.report.error(
                &table.key_at("levels"),
                "no levels",
                "expected { severity = …, after = … } at least once",
            );
        }
    } else {
        let after = need_duration(table, "after", "expected the age from which it fires, or levels = […]");
        let severity =
            table.choice("severity", "severity", SEVERITIES).map_or(Severity::Warning, |s| s.value);
        let grace = table.duration("grace").map_or(Duration::ZERO, |d| d.value);
        levels.push(StaleLevel { severity, after, grace });
    }
    if grace_event.is_some() && levels.iter().all(|l| l.grace.is_zero()) {
        table.report.warning(
            &table.key_at("grace_event"),
            "no level has a grace, so this event delays none",
            "expected grace = … at a level",
        );
    }
    Detector::Staleness { event, good, levels, grace_event }
}

fn level(table: &Table<'_>, before: Option<&StaleLevel>, has_grace_event: bool) -> Option<StaleLevel> {
    for (key, expected) in
        [("severity", "expected one of info, warning, critical"), ("after", "expected an age such as \"8m\"")]
    {
        if !table.has(key) {
            table.missing(key, expected);
        }
    }
    let severity = table.choice("severity", "severity", SEVERITIES);
    let after = table.positive_duration("after");
    let grace = table.duration("grace").map_or(Duration::ZERO, |d| d.value);
    if !grace.is_zero() && !has_grace_event {
        table.report.error(
            &table.key_at("grace"),
            "a grace without an event it begins at",
            "expected grace_event = … in the rule",
        );
    }
    table.finish();
    let (severity, after) = (severity?, after?);
    if let Some(before) = before {
        if after.value <= before.after {
            table.report.error(
                &after.at,
                "the ages of the levels do not ascend",
                "expected an age above the level before",
            );
        }
        if severity.value <= before.severity {
            table.report.error(
                &severity.at,
                "the severities of the levels do not ascend",
                "expected a severity above the level before",
            );
        }
    }
    Some(StaleLevel { severity: severity.value, after: after.value, grace })
}

fn need_count(table: &Table<'_>) -> u64 {
    if !table.has("count") {
        table.missing("count", "expected how many, at least 1");
    }
    table.count("count", 1).map_or(1, |n| n.value)
}

fn need_window(table: &Table<'_>) -> Duration {
    need_duration(table, "window", "expected a length of time such as \"5m\"")
}

fn need_duration(table: &Table<'_>, key: &'static str, expected: &str) -> Duration {
    if !table.has(key) {
        table.missing(key, expected);
    }
    table.positive_duration(key).map_or(Duration::from_secs(60), |d| d.value)
}

fn bad_and_good(table: &Table<'_>, plan: &EventPlan) -> (Vec<usize>, Vec<usize>) {
    if plan.outcomes.is_empty() {
        let expected = "expected an event with outcomes, or type = \"rate\"";
        table.report.error(
            &table.key_at("event"),
            format!("the event \"{}\" has no outcomes", plan.name),
            expected,
        );
    } else if !table.has("bad") {
        table.missing("bad", "expected the outcomes that count against it");
    }
    let (bad, good) = (outcomes_of(table, "bad", plan), outcomes_of(table, "good", plan));
    for both in bad.iter().filter(|outcome| good.contains(outcome)) {
        let message = format!("the outcome \"{}\" is both bad and good", plan.outcomes[*both].name);
        table.report.error(&table.key_at("good"), message, "expected it in one of the lists");
    }
    if table.has("bad") && bad.is_empty() && table.get("bad").is_some_and(|v| v.items().is_empty()) {
        table.report.error(
            &table.key_at("bad"),
            "this rule can never fire: no outcome is bad",
            "expected at least one outcome",
        );
    }
    (bad, good)
}
