//! `[[rule]]`: what is alerted on.
//!
//! The built-in rules are made in `builtin.rs` and appended after these.
//! `[override.NAME]` replaces keys of a rule that another file defines.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builtin;
use super::detector::{self, KINDS, Kind, SEVERITIES};
use super::ground::Ground;
use super::label;
use super::names::{is_name, unique_names};
use super::plan::{Detector, EventPlan, RulePlan};
use super::problem::{At, Spot};
use super::reader::{Table, find};
use crate::model::Severity;

/// Keys a rule keeps unless it says more.
const KEYS_MAX: u64 = 1_000;
/// Labels that alerts have anyway.
const OWN_LABELS: &[&str] = &["alertname", "severity", "source"];
/// Names in texts that every rule fills in.
const TEXT_NAMES: &[&str] = &["value", "count", "source"];

/// Reads all rules.
pub(super) fn read(ground: &Ground<'_>, events: &[EventPlan]) -> Vec<RulePlan> {
    let tables = overridden(ground);
    let valid = "letters, digits and _";
    let names = unique_names(ground.report, "rule", &tables, is_name, valid);
    for name in tables.iter().filter_map(|table| table.text("name")) {
        if builtin::NAMES.contains(&name.value) {
            let message = format!("the rule \"{}\" is built in", name.value);
            let expected =
                format!("expected another name; [builtin.{}] changes the built-in one", name.value);
            ground.report.error(&name.at, message, expected);
        }
    }
    let named = tables.iter().zip(names);
    named.map(|(table, name)| one(table, name, events)).collect()
}

/// The tables of the rules, changed by what `[override.NAME]` says.
fn overridden<'a>(ground: &Ground<'a>) -> Vec<Table<'a>> {
    let mut tables = ground.tables("rule");
    let name_of = |table: &Table<'a>| table.get("name").and_then(|v| v.text_quietly());
    let names: Vec<String> = tables.iter().map(|t| name_of(t).unwrap_or_default()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let overrides = ground.tops.iter().filter_map(|top| top.child("override"));
    for (name, value) in overrides.flat_map(|table| table.pairs()) {
        let Some(over) = value.table() else { continue };
        if let Some(index) = find(ground.report, "rule", &name, &names) {
            let table = tables.remove(index);
            tables.insert(index, table.overridden_by(&over));
        }
    }
    tables
}

fn one(table: &Table<'_>, name: String, events: &[EventPlan]) -> RulePlan {
    let names: Vec<&str> = events.iter().map(|e| e.name.as_str()).collect();
    if !table.has("type") {
        table.missing(
            "type",
            "expected one of streak, rate, ratio, staleness, threshold, change, flapping, schedule, drift",
        );
    }
    let kind = table.choice("type", "rule type", KINDS).map(|k| k.value);
    let event = table
        .need_text("event", "expected the event it looks at")
        .and_then(|n| find(table.report, "event", &n, &names));
    let (Some(kind), Some(event)) = (kind, event) else {
        return broken(table, name);
    };
    let plan = &events[event];
    let detector = detector::read(table, kind, event, events);
    let severity = severity(table, &detector);
    let by = by(table, plan);
    if !by.is_empty() && matches!(kind, Kind::Drift) {
        let message = "a line that matches no pattern has no fields to be kept apart by";
        table.report.error(&table.key_at("by"), message, "expected no by");
    }
    let labels = static_labels(table, &by);
    let distinct = distinct(table, plan);
    let zero = Duration::ZERO;
    let hold = table.duration("for").map_or(zero, |d| d.value);
    let keep_firing_for = table.duration("keep_firing_for").map_or(zero, |d| d.value);
    let keys_max = table.count("keys_max", 1).map_or(KEYS_MAX, |n| n.value) as usize;
    let mut filled: Vec<&str> = by.iter().map(|(label, _)| label.as_str()).collect();
    filled.extend(labels.keys().map(String::as_str));
    filled.extend(TEXT_NAMES);
    filled.extend(match kind {
        Kind::Rate | Kind::Ratio | Kind::Flapping | Kind::Drift => Some("window"),
        Kind::Staleness | Kind::Schedule => Some("age"),
        Kind::Threshold => Some("limit"),
        Kind::Streak | Kind::Change => None,
    });
    let summary = table.need_text("summary", "expected one line that says what is wrong");
    let description = table.text("description");
    for text in summary.iter().chain(&description) {
        check_template(table, text, &filled);
    }
    let owned = |text: Option<Spot<&str>>| text.map(|t| t.value.to_owned());
    let rule = RulePlan {
        name,
        detector,
        sources: plan.sources.clone(),
        by,
        distinct,
        severity,
        labels,
        hold,
        keep_firing_for,
        summary: owned(summary).unwrap_or_default(),
        description: owned(description).unwrap_or_default(),
        causes: table.texts("causes").iter().map(|t| t.value.to_owned()).collect(),
        runbook: owned(table.text("runbook")),
        keys_max,
    };
    table.finish();
    rule
}

/// Stands for a rule whose type or event is unknown, so that its name is not.
fn broken(table: &Table<'_>, name: String) -> RulePlan {
    let by = table.texts("by").iter().map(|t| (t.value.to_owned(), 0)).collect();
    RulePlan {
        name,
        detector: Detector::Gap,
        sources: Vec::new(),
        by,
        distinct: Vec::new(),
        severity: Severity::Warning,
        labels: BTreeMap::new(),
        hold: Duration::ZERO,
        keep_firing_for: Duration::ZERO,
        summary: String::new(),
        description: String::new(),
        causes: Vec::new(),
        runbook: None,
        keys_max: 1,
    }
}

/// The fields whose values are listed as evidence.
fn distinct(table: &Table<'_>, plan: &EventPlan) -> Vec<usize> {
    let fields: Vec<&str> = plan.fields.iter().map(|f| f.name.as_str()).collect();
    let named = table.texts("distinct");
    named.iter().filter_map(|name| find(table.report, "field", name, &fields)).collect()
}

fn severity(table: &Table<'_>, detector: &Detector) -> Severity {
    if let Detector::Staleness { levels, .. } = detector
        && table.has("levels")
    {
        return levels.last().map_or(Severity::Warning, |l| l.severity);
    }
    if !table.has("severity") {
        table.missing("severity", "expected one of info, warning, critical");
    }
    table.choice("severity", "severity", SEVERITIES).map_or(Severity::Warning, |s| s.value)
}

fn by(table: &Table<'_>, event: &EventPlan) -> Vec<(String, usize)> {
    let names: Vec<&str> = event.fields.iter().map(|f| f.name.as_str()).collect();
    let pairs = label::pairs(table, "by", is_free_label).into_iter();
    pairs
        .filter_map(|(label, field)| {
            Some((label.value.to_owned(), find(table.report, "field", &field, &names)?))
        })
        .collect()
}

fn static_labels(table: &Table<'_>, by: &[(String, usize)]) -> BTreeMap<String, String> {
    let Some(child) = table.child("labels") else {
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (name, value) in child.pairs() {
        if !is_free_label(table, &name) {
            continue;
        }
        if by.iter().any(|(label, _)| label == name.value) {
            table.report.error(
                &name.at,
                format!("the label \"{}\" is also in \"by\"", name.value),
                "expected another name",
            );
        }
        if let Some(text) = value.text() {
            out.insert(name.value.to_owned(), text.value.to_owned());
        }
    }
    out
}

/// A label name that is right and not one that every alert has.
fn is_free_label(table: &Table<'_>, label: &Spot<&str>) -> bool {
    if !label::is_label(table, label) {
        return false;
    }
    if OWN_LABELS.contains(&label.value) {
        let message = format!("every alert has a label \"{}\" of its own", label.value);
        let expected = "expected another name: { name = \"field\" }";
        table.report.error(&label.at, message, expected);
        return false;
    }
    true
}

/// Reports names in `{{…}}` that nothing fills in.
fn check_template(table: &Table<'_>, text: &Spot<&str>, names: &[&str]) {
    let mut from = 0;
    while let Some(start) = text.value[from..].find("{{").map(|at| from + at) {
        let place = |part| -> At { table.report.within(&text.at, text.value, part) };
        let Some(end) = text.value[start..].find("}}") else {
            let at = place(start..start + 2);
            table.report.error(&at, "\"{{\" without \"}}\"", "expected {{name}}");
            return;
        };
        let name = text.value[start + 2..start + end].trim();
        if !names.contains(&name) {
            let at = place(start..start + end + 2);
            table.report.unknown_of(&at, "name", name, ("in the text", names));
        }
        from = start + end + 2;
    }
}
