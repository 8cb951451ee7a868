//! The timeline: transitions as text for people or as JSON lines for programs.
//!
//! Says only what a [`Transition`] holds; which transitions are shown, and
//! where they go, is for the caller. The JSON line is part of the product's
//! face: its keys and their order stay. Texts may hold what a log made up, so
//! nothing is printed that a terminal would obey.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::model::{Transition, TransitionState};

/// Largest whole number that every reader of JSON keeps exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// One JSON object without a line end: `at` (RFC 3339, milliseconds, UTC),
/// `alert`, `state`, `severity`, `labels`, `value` (an integer when whole,
/// `null` when it is no number), `inhibited_by`, `summary`, in this order.
pub fn json_line(t: &Transition) -> String {
    let line = Line {
        at: t.at.to_rfc3339(),
        alert: &t.alert,
        state: state(t.state),
        severity: t.severity.as_str(),
        labels: Labels(&t.labels),
        value: number(t.value),
        inhibited_by: t.inhibited_by.as_deref(),
        summary: &t.summary,
    };
    // Text and numbers only: there is nothing in it that could fail.
    serde_json::to_string(&line).unwrap_or_default()
}

/// One aligned line for people, without colour and line end:
///
/// `2026-03-14T09:12:41.318Z  firing    critical  ExchangeAuthFailing{source="crypto-proxy"}  3  3 in a row`
pub fn text_line(t: &Transition) -> String {
    let labels: Vec<String> =
        ordered(&t.labels).map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    let alert = match labels.is_empty() {
        true => t.alert.clone(),
        false => format!("{}{{{}}}", t.alert, labels.join(",")),
    };
    let mut line = format!(
        "{}  {:<8}  {:<8}  {alert:<56}  {:>6}",
        t.at.to_rfc3339(),
        state(t.state),
        t.severity.as_str(),
        number(t.value).to_string(),
    );
    if !t.summary.is_empty() {
        line.push_str("  ");
        line.push_str(&t.summary);
    }
    if let Some(by) = &t.inhibited_by {
        line.push_str("  (inhibited by ");
        line.push_str(by);
        line.push(')');
    }
    harmless(&line)
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    alert: &'a str,
    state: &'static str,
    severity: &'static str,
    labels: Labels<'a>,
    value: serde_json::Value,
    inhibited_by: Option<&'a str>,
    summary: &'a str,
}

struct Labels<'a>(&'a BTreeMap<String, String>);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(ordered(self.0))
    }
}

/// The source first, then by name: where, then what.
fn ordered(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = || labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let first = pairs().filter(|(name, _)| *name == "source");
    first.chain(pairs().filter(|(name, _)| *name != "source"))
}

fn state(state: TransitionState) -> &'static str {
    match state {
        TransitionState::Pending => "pending",
        TransitionState::Firing => "firing",
        TransitionState::Resolved => "resolved",
    }
}

fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return serde_json::Value::from(value as i64);
    }
    serde_json::Value::from(value)
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Control characters, and those that turn the direction of writing, escaped.
fn harmless(text: &str) -> String {
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match obeyed(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Severity, Time};

    fn transition() -> Transition {
        let labels = [("source", "crypto-proxy"), ("method", "private/user-balance")];
        Transition {
            at: Time::parse_rfc3339("2026-03-14T09:12:41.318Z").unwrap(),
            alert: "ExchangeAuthFailing".into(),
            state: TransitionState::Firing,
            severity: Severity::Critical,
            labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            value: 3.0,
            inhibited_by: None,
            summary: "3 in a row".into(),
            incident: 1,
            reason: "condition".into(),
        }
    }

    #[test]
    fn the_json_line_is_the_promised_one() {
        assert_eq!(
            json_line(&transition()),
            concat!(
                r#"{"at":"2026-03-14T09:12:41.318Z","alert":"ExchangeAuthFailing","state":"firing","#,
                r#""severity":"critical","labels":{"source":"crypto-proxy","#,
                r#""method":"private/user-balance"},"value":3,"inhibited_by":null,"#,
                r#""summary":"3 in a row"}"#
            )
        );
    }

    #[test]
    fn values_are_whole_where_they_are_whole() {
        let shown = [
            (480.0, "480"),
            (0.25, "0.25"),
            (-0.0, "0"),
            (-2.0, "-2"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ];
        for (value, expected) in shown {
            let line = json_line(&Transition { value, ..transition() });
            assert!(line.contains(&format!(r#""value":{expected},"#)), "{line}");
        }
    }

    #[test]
    fn an_inhibited_alert_names_its_inhibitor_in_both_forms() {
        let t = Transition { inhibited_by: Some("BackendCrashLooping".into()), ..transition() };
        assert!(json_line(&t).contains(r#""inhibited_by":"BackendCrashLooping""#));
        assert!(text_line(&t).ends_with("(inhibited by BackendCrashLooping)"));
    }

    #[test]
    fn the_columns_of_text_lines_stand_under_one_another() {
        let firing = text_line(&transition());
        let resolved = text_line(&Transition {
            state: TransitionState::Resolved,
            severity: Severity::Warning,
            labels: BTreeMap::new(),
            value: 1234.5,
            ..transition()
        });
        assert!(firing.starts_with(
            "2026-03-14T09:12:41.318Z  firing    critical  \
             ExchangeAuthFailing{source=\"crypto-proxy\",method="
        ));
        assert_eq!(firing.find("ExchangeAuthFailing"), resolved.find("ExchangeAuthFailing"));
        assert!(resolved.ends_with("  1234.5  3 in a row"), "{resolved}");
    }

    #[test]
    fn a_text_line_is_one_line_and_holds_nothing_a_terminal_obeys() {
        let mut t = transition();
        t.labels.insert("method".into(), "a\"b\n\u{1b}[31m\u{202e}".into());
        t.summary = "bell\u{7} and\r\nline".into();
        let line = text_line(&t);
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(line.contains(r#"a\"b\n\u{1b}[31m"#), "{line}");
        let back: serde_json::Value = serde_json::from_str(&json_line(&t)).unwrap();
        assert_eq!(back["labels"]["method"], "a\"b\n\u{1b}[31m\u{202e}");
    }
}
