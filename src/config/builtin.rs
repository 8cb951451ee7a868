//! The rules that tocsin brings itself: `LogGap` and `SourceDown`.
//!
//! They tell when the monitor cannot be believed, so they are always there;
//! `[builtin.LogGap]` and `[builtin.SourceDown]` may only change how loud they
//! are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::detector::SEVERITIES;
use super::ground::Ground;
use super::plan::{Detector, RulePlan};
use super::reader::{Table, find};
use crate::model::Severity;

/// Names that no configured rule may have.
pub(super) const NAMES: &[&str] = &["LogGap", "SourceDown"];

/// Both rules, over `sources` sources.
pub(super) fn rules(ground: &Ground<'_>, sources: usize) -> Vec<RulePlan> {
    let mut gap = log_gap(sources);
    let mut down = source_down(sources);
    for (name, value) in ground.tops.iter().filter_map(|top| top.child("builtin")).flat_map(|t| t.pairs()) {
        let Some(table) = value.table() else { continue };
        match find(ground.report, "built-in rule", &name, NAMES) {
            Some(0) => adapt(&table, &mut gap),
            Some(_) => {
                adapt(&table, &mut down);
                if let Some(after) = table.duration("after") {
                    down.detector = Detector::SourceDown { after: after.value };
                }
            }
            None => continue,
        }
        table.finish();
    }
    vec![gap, down]
}

fn adapt(table: &Table<'_>, rule: &mut RulePlan) {
    if let Some(severity) = table.choice("severity", "severity", SEVERITIES) {
        rule.severity = severity.value;
    }
    if let Some(span) = table.duration("keep_firing_for") {
        rule.keep_firing_for = span.value;
    }
    if let Some(text) = table.text("runbook") {
        rule.runbook = Some(text.value.to_owned());
    }
}

fn log_gap(sources: usize) -> RulePlan {
    let causes = [
        "more was logged than journald's rate limit lets through",
        "logs were rotated or vacuumed faster than they were read",
        "a container was removed, or its log cleared, before it was read to its end",
    ];
    RulePlan {
        detector: Detector::Gap,
        keep_firing_for: Duration::from_secs(600),
        ..rule(
            "LogGap",
            Severity::Warning,
            sources,
            "Log lines of {{source}} are missing",
            "Lines existed and cannot be read any more. What they said is neither counted nor alerted on, so a failure may have been missed.",
            &causes,
        )
    }
}

fn source_down(sources: usize) -> RulePlan {
    let causes = [
        "this process lacks the permission to read it (groups systemd-journal, docker)",
        "the service behind it does not run (systemd-journald, dockerd)",
        "the file system is full or not mounted",
    ];
    rule(
        "SourceDown",
        Severity::Critical,
        sources,
        "{{source}} cannot be read",
        "Nothing that {{source}} logs is seen while this lasts: its alerts neither begin nor end, and silence means nothing.",
        &causes,
    )
}

fn rule(
    name: &str,
    severity: Severity,
    sources: usize,
    summary: &str,
    description: &str,
    causes: &[&str],
) -> RulePlan {
    RulePlan {
        name: name.to_owned(),
        detector: Detector::SourceDown { after: Duration::from_secs(60) },
        sources: (0..sources).collect(),
        by: Vec::new(),
        distinct: Vec::new(),
        severity,
        labels: BTreeMap::new(),
        hold: Duration::ZERO,
        keep_firing_for: Duration::ZERO,
        summary: summary.to_owned(),
        description: description.to_owned(),
        causes: causes.iter().map(|c| (*c).to_owned()).collect(),
        runbook: None,
        keys_max: sources.max(1),
    }
}
