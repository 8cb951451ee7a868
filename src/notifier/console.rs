//! A line for standard error.
//!
//! It tells when, how bad, the headline and what a person searches for: labels,
//! failures, codes and the number of the incident. No more: whoever wants the
//! evidence configures another receiver.

use crate::model::{OutgoingBody, Time, time};

use super::words::Wording;

/// Told by the headline, or by the line's own time.
const SAID_ALREADY: &[&str] = &["started", "ended", "lasted", "reason"];

/// One line without a line end.
pub(super) fn body(wording: &Wording, decided_at: Time) -> OutgoingBody {
    let severity = wording.severity.to_string();
    let mut line = format!("{} {severity:<8} {}", decided_at.to_rfc3339(), wording.headline);
    if let Some(member) = wording.members.first() {
        let told = member.facts.iter().filter(|(name, _)| !SAID_ALREADY.contains(&name.as_str()));
        let facts: Vec<String> = told.map(|(name, value)| format!("{name}={}", short(value))).collect();
        line.push_str(&format!(" [{}]", facts.join(", ")));
    }
    for note in &wording.notes {
        line.push_str(&format!(" {note}"));
    }
    super::post("text/plain; charset=utf-8", Vec::new(), line)
}

/// A span between two instants by its length.
fn short(value: &str) -> String {
    let span = value.split_once(" to ").and_then(|(from, to)| {
        let (from, to) = (Time::parse_rfc3339(from)?, Time::parse_rfc3339(to)?);
        Some(time::human(to.since(from)))
    });
    span.unwrap_or_else(|| value.to_owned())
}
