//! The texts of an incident: labels, summary and annotations, all redacted.

use std::collections::BTreeMap;

use crate::config::plan::{Detector, Plan, RulePlan};
use crate::model::{Annotations, time::human};

use super::alert::{KeyState, Moment, OpenIncident, RuleKey};
use super::detect::window_of;
use super::event::{Event, head};

/// Longest value shown in a text or label, in bytes.
const SHOWN_BYTES_MAX: usize = 128;

/// Longest line of evidence, in bytes, and lines kept of one event: its last.
const EVIDENCE_BYTES_MAX: usize = 240;
/// See [`EVIDENCE_BYTES_MAX`].
const EVIDENCE_LINES_MAX: usize = 3;
/// Changes told with an incident.
const CHANGES_MAX: usize = 12;

/// A value from a log as it may be shown: redacted, one line, short.
pub fn shown(plan: &Plan, value: &str) -> String {
    head(&plan.redactor.redact(value), SHOWN_BYTES_MAX).to_owned()
}

/// The labels of an alert, without `alertname` and `severity`.
pub fn labels(plan: &Plan, rule: &RulePlan, key: &RuleKey) -> BTreeMap<String, String> {
    let mut labels = rule.labels.clone();
    if rule.is_built_in() {
        labels.insert("source".to_owned(), key.first().cloned().unwrap_or_default());
        return labels;
    }
    let names: Vec<&str> = rule.sources.iter().map(|s| plan.sources[*s].name.as_str()).collect();
    labels.insert("source".to_owned(), names.join(","));
    for ((name, _), value) in rule.by.iter().zip(key) {
        labels.insert(name.clone(), shown(plan, value));
    }
    labels
}

/// The rule's summary with its places filled in.
pub fn summary(moment: Moment<'_>, rule: usize, key: &RuleKey, value: f64, count: u64) -> String {
    fill(moment, rule, key, (value, count), &moment.plan.rules[rule].summary)
}

fn fill(
    moment: Moment<'_>,
    rule: usize,
    key: &RuleKey,
    (value, count): (f64, u64),
    template: &str,
) -> String {
    let rule = &moment.plan.rules[rule];
    let mut text = template.to_owned();
    for (name, label) in labels(moment.plan, rule, key) {
        text = text.replace(&format!("{{{{{name}}}}}"), &label);
    }
    let age = std::time::Duration::from_secs_f64(value.clamp(0.0, 1e12));
    let window = window_of(rule).map(human).unwrap_or_default();
    let limit = match &rule.detector {
        Detector::Threshold { limit, .. } => limit.fires.to_string(),
        _ => String::new(),
    };
    text.replace("{{value}}", &number(rule, value))
        .replace("{{count}}", &count.to_string())
        .replace("{{age}}", &human(std::time::Duration::from_secs(age.as_secs())))
        .replace("{{window}}", &window)
        .replace("{{limit}}", &limit)
}

fn number(rule: &RulePlan, value: f64) -> String {
    match rule.detector {
        Detector::Ratio { .. } => format!("{:.0} %", value * 100.0),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

/// All texts of an incident as of now.
pub fn annotations(moment: Moment<'_>, rule: usize, state: &KeyState, open: &OpenIncident) -> Annotations {
    let (plan, key) = (&moment.plan.rules[rule], &open.key);
    let mut texts = Annotations::new();
    let mut put = |name: &str, text: String| {
        if !text.is_empty() {
            texts.insert(name.to_owned(), text);
        }
    };
    let in_window = state.memory.bad_count(plan, moment.clock);
    let numbers = (open.incident.value, in_window.filter(|n| *n > 0).unwrap_or(open.count));
    put("summary", fill(moment, rule, key, numbers, &plan.summary));
    put("description", fill(moment, rule, key, numbers, &plan.description));
    put("causes", plan.causes.join("\n"));
    put("runbook_url", plan.runbook.clone().unwrap_or_default());
    put("changes", changes(open, moment.changes));
    put("symptoms", open.symptoms.join("\n"));
    let tally = &state.tally;
    if open.count > 0 {
        put("count", open.count.to_string());
    }
    if let (Some(first), Some(last)) = (tally.first_at, tally.last_at) {
        put("span", format!("{first} to {last}"));
    }
    let codes: Vec<String> = tally.distinct.iter().map(|(value, n)| format!("{value} ({n})")).collect();
    put("codes", codes.join(", "));
    put("evidence", tally.excerpts.join("\n"));
    if let Some(ended_at) = open.incident.ended_at {
        put("lasted", human(ended_at.since(open.incident.started_at)));
        put("reason", open.incident.end_reason.clone().unwrap_or_default());
    }
    texts
}

/// The lines that made an event, redacted, in as few lines as is readable:
/// what they all begin with is said once, short ones share a line.
pub fn evidence(plan: &Plan, event: &Event) -> Vec<String> {
    let mut excerpts: Vec<String> = event.excerpts.iter().map(|e| plan.redactor.redact(e)).collect();
    excerpts.dedup();
    let shared = shared_prefix(&excerpts);
    let mut lines: Vec<String> = Vec::new();
    for (i, excerpt) in excerpts.iter().enumerate() {
        let own = excerpt.get(shared..).filter(|_| i > 0 && excerpt.starts_with(&excerpts[0][..shared]));
        let own = own.unwrap_or(excerpt).trim();
        match lines.last_mut() {
            Some(line) if line.len() + own.len() + 3 <= EVIDENCE_BYTES_MAX => {
                line.push_str(" | ");
                line.push_str(own);
            }
            _ => lines.push(format!("{} {own}", event.at.to_clock())),
        }
    }
    lines.split_off(lines.len().saturating_sub(EVIDENCE_LINES_MAX))
}

/// How many bytes the first line shares with the next, whole words only.
fn shared_prefix(lines: &[String]) -> usize {
    let [first, second, ..] = lines else { return 0 };
    let same = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    first.as_bytes()[..same].iter().rposition(|b| *b == b' ').map_or(0, |at| at + 1)
}

/// What changed before the incident stays in it; what changed since is added.
fn changes(open: &OpenIncident, now: &[String]) -> String {
    let before = open.incident.annotations.get("changes").map_or("", String::as_str);
    let mut lines: Vec<&str> = before.lines().collect();
    for line in now {
        if lines.len() < CHANGES_MAX && !lines.contains(&line.as_str()) {
            lines.push(line);
        }
    }
    lines.join("\n")
}
