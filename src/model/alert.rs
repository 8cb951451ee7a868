//! Alerts, their changes of state, and incidents.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// How bad. Ordered: `Warning < Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// Look at it today.
    Warning,
    /// Get up.
    Critical,
}

impl Severity {
    /// As it stands in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Annotation name to text. Every text has passed redaction.
pub type Annotations = BTreeMap<String, String>;

/// What an alert changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransitionState {
    /// The condition holds, but not yet for long enough.
    Pending,
    /// It fires (or fires with a higher severity).
    Firing,
    /// It is over.
    Resolved,
}

/// A change of an alert's state, as the timeline shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Wall time.
    pub at: Time,
    /// The rule's name.
    pub alert: String,
    /// The new state.
    pub state: TransitionState,
    /// Severity now; on `Resolved` the highest reached.
    pub severity: Severity,
    /// Without `alertname` and `severity`.
    pub labels: BTreeMap<String, String>,
    /// Length of the streak, count or share in the window, age in seconds.
    pub value: f64,
    /// The alert that inhibits it, on `Firing` only.
    pub inhibited_by: Option<String>,
    /// One line for a person.
    pub summary: String,
    /// The incident's number within this state's life, from 1.
    pub incident: u64,
    /// Why it changed: `condition`, `escalated`, `cleared`, `no data`, …
    pub reason: String,
}

/// One firing of an alert from start to end, numbered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// From 1, in order of their beginning.
    pub number: u64,
    /// The rule's name.
    pub alert: String,
    /// Highest severity reached.
    pub severity: Severity,
    /// Without `alertname` and `severity`.
    pub labels: BTreeMap<String, String>,
    /// Wall time of the first `firing`.
    pub started_at: Time,
    /// Wall time of `resolved`; `None` while it burns.
    pub ended_at: Option<Time>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Value at the last change.
    pub value: f64,
    /// The alert that inhibits it now.
    pub inhibited_by: Option<String>,
    /// Texts as of the last change.
    pub annotations: Annotations,
}
