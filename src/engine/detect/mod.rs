//! Detectors: what a rule knows of one key, and whether its condition holds.
//!
//! A detector answers for an instant of its rule's clock; it never looks at
//! the wall clock. It names the next instant at which its answer may change by
//! the mere passing of time.

pub mod staleness;
pub mod streak;
pub mod window;

use serde::{Deserialize, Serialize};

use crate::config::plan::{Detector, RulePlan};
use crate::model::{Severity, Time};

use super::event::Event;

pub use staleness::Staleness;
pub use streak::Streak;
pub use window::Window;

/// What a rule remembers of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Memory {
    /// Of a streak rule.
    Streak(Streak),
    /// Of a rate or ratio rule.
    Window(Window),
    /// Of a staleness rule.
    Staleness(Staleness),
    /// Of a built-in rule: its condition is said from outside.
    Told {
        /// The condition holds.
        is_on: bool,
        /// Value to show.
        value: f64,
        /// From when on it has effect.
        from: Time,
    },
}

/// A condition that holds: with which severity, and the observed value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// Severity of the level reached.
    pub severity: Severity,
    /// Length, count, share or age in seconds.
    pub value: f64,
}

/// What a counted event was to the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Evidence for the condition.
    Bad,
    /// Evidence against it.
    Good,
    /// Not looked at.
    No,
}

impl Memory {
    /// Before anything was seen; `now` is when the rule's time starts.
    pub fn new(rule: &RulePlan, now: Time) -> Memory {
        match &rule.detector {
            Detector::Streak { .. } => Memory::Streak(Streak::default()),
            Detector::Rate { .. } | Detector::Ratio { .. } => Memory::Window(Window::default()),
            Detector::Staleness { .. } => Memory::Staleness(Staleness::new(now)),
            Detector::Gap | Detector::SourceDown { .. } => {
                Memory::Told { is_on: false, value: 0.0, from: now }
            }
        }
    }

    /// Takes an event of the rule's own definition (or its grace event).
    pub fn take(&mut self, rule: &RulePlan, event: &Event, now: Time) -> Counted {
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { bad, good, .. }) => s.take(event, bad, good, now),
            (Memory::Window(w), Detector::Rate { outcomes, window, .. }) => {
                if !event.is_among(outcomes) {
                    return Counted::No;
                }
                w.push(now, true, *window);
                Counted::Bad
            }
            (Memory::Window(w), Detector::Ratio { bad, good, window, .. }) => {
                let is_bad = event.is_among(bad);
                if !is_bad && !event.is_among(good) {
                    return Counted::No;
                }
                w.push(now, is_bad, *window);
                if is_bad { Counted::Bad } else { Counted::Good }
            }
            (Memory::Staleness(s), Detector::Staleness { event: of, good, grace_event, .. }) => {
                if event.definition == *of && event.is_among(good) {
                    s.good(now);
                    return Counted::Good;
                }
                if Some(event.definition) == *grace_event {
                    s.grace(now);
                }
                Counted::No
            }
            _ => Counted::No,
        }
    }

    /// The condition at `now`. `is_firing` is the severity it fires with.
    pub fn breach(&self, rule: &RulePlan, now: Time, is_firing: Option<Severity>) -> Option<Breach> {
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { count, .. }) => {
                (s.length >= *count).then_some(Breach { severity: rule.severity, value: s.length as f64 })
            }
            (Memory::Window(w), Detector::Rate { count, window, .. }) => {
                let (bad, _) = w.counts(now, *window);
                (bad >= *count).then_some(Breach { severity: rule.severity, value: bad as f64 })
            }
            (Memory::Window(w), Detector::Ratio { count, share, window, .. }) => {
                let (bad, good) = w.counts(now, *window);
                let value = bad as f64 / ((bad + good).max(1)) as f64;
                // The share may be a decimal fraction that binary cannot hold.
                (bad >= *count && value >= *share - 1e-9).then_some(Breach { severity: rule.severity, value })
            }
            (Memory::Staleness(s), Detector::Staleness { levels, .. }) => s.breach(levels, now, is_firing),
            (Memory::Told { is_on, value, from }, _) => {
                (*is_on && now >= *from).then_some(Breach { severity: rule.severity, value: *value })
            }
            _ => None,
        }
    }

    /// The next instant after `now` at which time alone may change the answer.
    pub fn next_change(&self, rule: &RulePlan, now: Time) -> Option<Time> {
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { forget_after, .. }) => s.forgotten_at(*forget_after),
            (Memory::Window(w), Detector::Rate { window, .. } | Detector::Ratio { window, .. }) => {
                w.next_leaving(now, *window)
            }
            (Memory::Staleness(s), Detector::Staleness { levels, .. }) => s.next_level(levels, now),
            (Memory::Told { is_on: true, from, .. }, _) if *from > now => Some(*from),
            _ => None,
        }
    }

    /// Lets go of what time has made meaningless; true if a streak ended for
    /// want of data.
    pub fn forget(&mut self, rule: &RulePlan, now: Time) -> bool {
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { forget_after, .. }) => s.forget(*forget_after, now),
            (Memory::Window(w), Detector::Rate { window, .. } | Detector::Ratio { window, .. }) => {
                w.trim(now, *window);
                false
            }
            _ => false,
        }
    }

    /// Nothing is remembered that a new memory would not hold.
    pub fn is_empty(&self) -> bool {
        match self {
            Memory::Streak(s) => s.length == 0 && s.counted_at.is_none(),
            Memory::Window(w) => w.is_empty(),
            Memory::Staleness(_) => false,
            Memory::Told { is_on, .. } => !is_on,
        }
    }

    /// What a gauge of the rule shows.
    pub fn gauge(&self) -> Option<f64> {
        match self {
            Memory::Streak(s) => Some(s.length as f64),
            _ => None,
        }
    }

    /// How many bad events the memory holds now.
    pub fn bad_count(&self, rule: &RulePlan, now: Time) -> Option<u64> {
        match (self, &rule.detector) {
            (Memory::Streak(s), _) => Some(s.length),
            (Memory::Window(w), Detector::Rate { window, .. } | Detector::Ratio { window, .. }) => {
                Some(w.counts(now, *window).0)
            }
            _ => None,
        }
    }
}
