//! No good event for too long, in levels.
//!
//! The age counts from the last good event, or from the start of the rule's
//! time. A grace event delays the levels that have a grace; it never ends one
//! that fires. A gap restarts the age: a good event may have been lost in it.

use serde::{Deserialize, Serialize};

use crate::config::plan::StaleLevel;
use crate::model::{Severity, Time};

use super::Breach;

/// The age of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Staleness {
    /// From where the age counts, on the rule's clock.
    pub since: Time,
    /// When the last grace event came.
    pub grace_at: Option<Time>,
}

impl Staleness {
    /// Nothing seen yet; the rule's time starts at `now`.
    pub fn new(now: Time) -> Staleness {
        Staleness { since: now, grace_at: None }
    }

    /// A good event.
    pub fn good(&mut self, now: Time) {
        self.since = now;
    }

    /// A grace event.
    pub fn grace(&mut self, now: Time) {
        self.grace_at = Some(now);
    }

    /// The highest level that holds.
    pub fn breach(&self, levels: &[StaleLevel], now: Time, is_firing: Option<Severity>) -> Option<Breach> {
        let holds = |level: &&StaleLevel| {
            now >= self.since.plus(level.after)
                && (is_firing.is_some_and(|s| s >= level.severity) || now >= self.at(level))
        };
        let level = levels.iter().rev().find(holds)?;
        Some(Breach { severity: level.severity, value: now.since(self.since).as_secs_f64() })
    }

    /// When the next level will be reached.
    pub fn next_level(&self, levels: &[StaleLevel], now: Time) -> Option<Time> {
        levels.iter().map(|level| self.at(level)).filter(|at| *at > now).min()
    }

    fn at(&self, level: &StaleLevel) -> Time {
        let by_age = self.since.plus(level.after);
        match self.grace_at {
            Some(grace) if !level.grace.is_zero() => by_age.max(grace.plus(level.grace)),
            _ => by_age,
        }
    }
}
