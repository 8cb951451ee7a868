//! The published picture of the state: what `/metrics`, the status page and
//! the API show. Made after each commit, never before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::alert::Incident;
use super::metric::Family;
use super::order::Silence;
use super::time::Time;

/// Everything the window shows, at one instant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was made (wall time).
    pub made_at: Time,
    /// When the daemon started (wall time).
    pub started_at: Time,
    /// All families but those of the process itself.
    pub families: Vec<Family>,
    /// In the order of the configuration.
    pub sources: Vec<SourceView>,
    /// Open incidents, oldest first.
    pub open: Vec<IncidentView>,
    /// The last that ended, newest first; at most some dozens.
    pub past: Vec<IncidentView>,
    /// Silences, oldest first; those that are over for some days.
    pub silences: Vec<Silence>,
    /// One for each receiver.
    pub outbox: Vec<OutboxView>,
    /// True when every source is live and the state is open.
    pub is_ready: bool,
    /// Commits reach the disk.
    pub is_durable: bool,
    /// What keeps the monitor itself from being believed, one line each.
    pub complaints: Vec<String>,
}

impl Snapshot {
    /// Every source has said how it stands, so silence is not blindness.
    pub fn is_watching(&self) -> bool {
        self.made_at != Time::default() && self.sources.iter().all(|source| source.state != "starting")
    }
}

/// A source as shown.
#[derive(Clone, Debug, Serialize)]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// `live`, `behind`, `lost` or `starting`.
    pub state: String,
    /// Why it is lost, how far it has caught up, or that its selector has
    /// matched nothing.
    pub note: Option<String>,
    /// Lines taken in since the state began.
    pub lines: u64,
    /// Transport time of the last line.
    pub last_line_at: Option<Time>,
    /// Seconds behind its end; 0 at the end.
    pub lag_seconds: f64,
    /// Share of the backlog that is read, from 0 to 1.
    pub caught_up: f64,
}

/// An incident as shown.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentView {
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
    /// Names of receivers that were told.
    pub told: Vec<String>,
    /// What keeps its notices back now: silences and maintenance.
    pub silenced_by: Vec<String>,
}

/// A receiver's deliveries as shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OutboxView {
    /// Its name.
    pub receiver: String,
    /// Waiting to be delivered.
    pub pending: u64,
    /// When the oldest of them was decided.
    #[serde(skip)]
    pub oldest_at: Option<Time>,
    /// Attempts by outcome: `delivered`, `failed`, `given_up`.
    pub outcomes: BTreeMap<String, u64>,
    /// The last failure, redacted.
    pub last_error: Option<String>,
}
