//! What a person asks of the running daemon, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::Severity;
use super::time::Time;

/// One request by hand. Texts are as they came in; the engine bounds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Keep the notices of matching alerts back for a time.
    Silence {
        /// In Alertmanager's syntax.
        matchers: String,
        /// From when on; now if not said.
        starts_at: Option<Time>,
        /// Until when.
        until: Until,
        /// Who asks.
        created_by: String,
        /// Why.
        comment: String,
    },
    /// End a silence, by its number.
    Expire(u64),
    /// Somebody sees to an incident: no reminders of it.
    Acknowledge {
        /// Its number.
        incident: u64,
        /// Who.
        by: String,
        /// What is being done.
        comment: String,
    },
    /// End an incident.
    Close {
        /// Its number.
        incident: u64,
        /// Why; may be empty.
        reason: String,
    },
}

/// When a silence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Then.
    At(Time),
    /// So long after its start.
    After(Duration),
}

/// Why an order is not carried out. The text is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such silence or incident, or no longer.
    #[error("{0}")]
    Unknown(String),
    /// The order itself is wrong.
    #[error("{0}")]
    Wrong(String),
    /// There are too many already.
    #[error("{0}")]
    Full(String),
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// From 1, in the order in which they were asked for.
    pub number: u64,
    /// As Alertmanager writes them: `{severity="critical"}`.
    pub matchers: String,
    /// The first instant it holds at.
    pub starts_at: Time,
    /// The first instant after it.
    pub ends_at: Time,
    /// Who asked for it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

impl Silence {
    /// `pending`, `active` or `expired`.
    pub fn state(&self, now: Time) -> &'static str {
        if now >= self.ends_at {
            "expired"
        } else if now < self.starts_at {
            "pending"
        } else {
            "active"
        }
    }
}

/// Somebody sees to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When.
    pub at: Time,
    /// Who.
    pub by: String,
    /// What is being done; may be empty.
    pub comment: String,
    /// How bad it was then; worse is reminded of again.
    pub severity: Severity,
}
