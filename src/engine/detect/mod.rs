//! Detectors: what a rule knows of one key, and whether its condition holds.
//!
//! A detector answers for an instant of its rule's clock; it never looks at
//! the wall clock. It names the next instant at which its answer may change by
//! the mere passing of time.

pub mod changed;
pub mod flapping;
pub mod scheduled;
pub mod staleness;
pub mod streak;
pub mod threshold;
pub mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::plan::{Detector, RulePlan};
use crate::model::{Severity, Time};

use super::change::digest;
use super::event::Event;

pub use changed::Changed;
pub use flapping::Flapping;
pub use scheduled::Scheduled;
pub use staleness::Staleness;
pub use streak::Streak;
pub use threshold::Threshold;
pub use window::{Piece, Window};

/// The instant a detector is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the rule's clock.
    pub clock: Time,
    /// On the wall, for what hangs there.
    pub wall: Time,
}

/// What a rule remembers of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Memory {
    /// Of a streak rule.
    Streak(Streak),
    /// Of a rate, ratio or drift rule.
    Window(Window),
    /// Of a staleness rule.
    Staleness(Staleness),
    /// Of a threshold rule.
    Threshold(Threshold),
    /// Of a change rule.
    Changed(Changed),
    /// Of a flapping rule.
    Flapping(Flapping),
    /// Of a schedule rule.
    Scheduled(Scheduled),
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
    pub fn new(rule: &RulePlan, now: Now) -> Memory {
        match &rule.detector {
            Detector::Streak { .. } => Memory::Streak(Streak::default()),
            Detector::Rate { .. } | Detector::Ratio { .. } | Detector::Drift { .. } => {
                Memory::Window(Window::default())
            }
            Detector::Staleness { .. } => Memory::Staleness(Staleness::new(now.clock)),
            Detector::Threshold { .. } => Memory::Threshold(Threshold::default()),
            Detector::Change { .. } => Memory::Changed(Changed::default()),
            Detector::Flapping { .. } => Memory::Flapping(Flapping::default()),
            Detector::Schedule { .. } => Memory::Scheduled(Scheduled { since: now.wall }),
            Detector::Gap | Detector::SourceDown { .. } => {
                Memory::Told { is_on: false, value: 0.0, from: now.clock }
            }
        }
    }

    /// Takes an event of the rule's own definition (or its grace event, or a
    /// near miss). Without room a window grows no further. `key` keys the
    /// digests of values that are only compared.
    pub fn take(
        &mut self,
        rule: &RulePlan,
        event: &Event,
        (now, has_room): (Now, bool),
        key: &[u8; 32],
    ) -> Counted {
        let clock = now.clock;
        let room = |window: &Duration| (*window, has_room);
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { bad, good, .. }) => s.take(event, bad, good, clock),
            (Memory::Window(w), Detector::Rate { outcomes, without, window, .. }) => {
                let is_against = !without.is_empty() && event.is_among(without);
                count(w, (event.is_among(outcomes) && !is_against, is_against), clock, room(window))
            }
            (Memory::Window(w), Detector::Ratio { bad, good, window, .. }) => {
                count(w, (event.is_among(bad), event.is_among(good)), clock, room(window))
            }
            (Memory::Window(w), Detector::Drift { window, .. }) => {
                count(w, (true, false), clock, room(window))
            }
            (Memory::Staleness(s), Detector::Staleness { event: of, good, grace_event, .. }) => {
                if event.definition == *of && event.is_among(good) {
                    s.good(clock);
                    return Counted::Good;
                }
                if Some(event.definition) == *grace_event {
                    s.grace(clock);
                }
                Counted::No
            }
            (Memory::Threshold(t), Detector::Threshold { outcomes, field, limit, .. }) => {
                let value = event.number(*field).filter(|_| event.is_among(outcomes));
                value.map_or(Counted::No, |value| t.take(value, limit, clock))
            }
            (Memory::Changed(c), Detector::Change { outcomes, field, .. }) => {
                let value = event.text(*field).filter(|_| event.is_among(outcomes));
                value.map_or(Counted::No, |value| c.take(digest(key, &value), clock))
            }
            (Memory::Flapping(f), Detector::Flapping { bad, good, window, .. }) => {
                let is_bad = event.is_among(bad);
                if !is_bad && !event.is_among(good) {
                    return Counted::No;
                }
                f.take((is_bad, clock), *window, has_room)
            }
            (Memory::Scheduled(s), Detector::Schedule { good, .. }) if event.is_among(good) => {
                s.good(event.at);
                Counted::Good
            }
            _ => Counted::No,
        }
    }

    /// The condition at `now`. `is_firing` is the severity it fires with.
    pub fn breach(&self, rule: &RulePlan, now: Now, is_firing: Option<Severity>) -> Option<Breach> {
        let clock = now.clock;
        let if_so = |is_so: bool, value: f64| is_so.then_some(Breach { severity: rule.severity, value });
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { count, .. }) => if_so(s.length >= *count, s.length as f64),
            (
                Memory::Window(w),
                Detector::Rate { count, window, .. } | Detector::Drift { count, window, .. },
            ) => {
                let (counted, against) = w.counts(clock, *window);
                if_so(counted >= *count && against == 0, counted as f64)
            }
            (Memory::Window(w), Detector::Ratio { count, share, window, .. }) => {
                let (bad, good) = w.counts(clock, *window);
                let value = bad as f64 / ((bad + good).max(1)) as f64;
                // The share may be a decimal fraction that binary cannot hold.
                if_so(bad >= *count && value >= *share - 1e-9, value)
            }
            (Memory::Staleness(s), Detector::Staleness { levels, .. }) => s.breach(levels, clock, is_firing),
            (Memory::Threshold(t), _) => if_so(t.is_beyond, t.value.unwrap_or_default()),
            (Memory::Changed(c), _) => if_so(c.is_now(clock), 1.0),
            (Memory::Flapping(f), Detector::Flapping { count, window, .. }) => {
                let turns = f.turns.counts(clock, *window).0;
                if_so(turns >= *count, turns as f64)
            }
            (Memory::Scheduled(s), Detector::Schedule { schedule, grace, .. }) => {
                s.breach(schedule, *grace, now, rule.severity)
            }
            (Memory::Told { is_on, value, from }, _) => if_so(*is_on && clock >= *from, *value),
            _ => None,
        }
    }

    /// The next instant of the rule's clock after `now` at which time alone
    /// may change the answer.
    pub fn next_change(&self, rule: &RulePlan, now: Now) -> Option<Time> {
        let clock = now.clock;
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { forget_after, .. }) => s.forgotten_at(*forget_after),
            (Memory::Window(w), _) => w.next_leaving(clock, window_of(rule)?),
            (Memory::Staleness(s), Detector::Staleness { levels, .. }) => s.next_level(levels, clock),
            (Memory::Threshold(t), Detector::Threshold { forget_after, .. }) => t.forgotten_at(*forget_after),
            (Memory::Changed(c), _) => c.over_at(clock),
            (Memory::Flapping(f), Detector::Flapping { window, .. }) => f.next_leaving(clock, *window),
            (Memory::Scheduled(s), Detector::Schedule { schedule, grace, .. }) => {
                s.overdue_at(schedule, *grace, now)
            }
            (Memory::Told { is_on: true, from, .. }, _) if *from > clock => Some(*from),
            _ => None,
        }
    }

    /// Lets go of what time has made meaningless; true if a condition ended
    /// for want of data.
    pub fn forget(&mut self, rule: &RulePlan, now: Time) -> bool {
        match (self, &rule.detector) {
            (Memory::Streak(s), Detector::Streak { forget_after, .. }) => s.forget(*forget_after, now),
            (Memory::Threshold(t), Detector::Threshold { forget_after, .. }) => t.forget(*forget_after, now),
            (Memory::Window(w), _) => {
                w.trim(now, window_of(rule).unwrap_or_default());
                false
            }
            (Memory::Flapping(f), Detector::Flapping { window, .. }) => {
                f.forget(now, *window);
                false
            }
            _ => false,
        }
    }

    /// A gap: what is counted from may have been lost in it. True if it is
    /// counted from now on anew.
    pub fn restart(&mut self, now: Now) -> bool {
        match self {
            Memory::Staleness(s) => s.good(now.clock),
            Memory::Scheduled(s) => s.since = s.since.max(now.wall),
            _ => return false,
        }
        true
    }

    /// The wall clock was set, perhaps back.
    pub fn heed_wall(&mut self, now: Now) {
        if let Memory::Scheduled(s) = self {
            s.heed_wall(now.wall);
        }
    }

    /// The window, of rules that have one.
    pub fn window(&self) -> Option<&Window> {
        match self {
            Memory::Window(window) => Some(window),
            Memory::Flapping(flapping) => Some(&flapping.turns),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Memory::Window(window) => Some(window),
            Memory::Flapping(flapping) => Some(&mut flapping.turns),
            _ => None,
        }
    }

    /// Nothing is remembered that a new memory would not hold.
    pub fn is_empty(&self) -> bool {
        match self {
            Memory::Streak(s) => s.length == 0 && s.counted_at.is_none(),
            Memory::Window(w) => w.is_empty(),
            Memory::Threshold(t) => t.value.is_none(),
            Memory::Changed(c) => c.digest.is_none(),
            Memory::Flapping(f) => f.is_empty(),
            Memory::Staleness(_) | Memory::Scheduled(_) => false,
            Memory::Told { is_on, .. } => !is_on,
        }
    }

    /// What led to the condition is counted from scratch after a good event,
    /// for none of what was before holds any more.
    pub fn starts_afresh(&self) -> bool {
        match self {
            Memory::Streak(_) | Memory::Staleness(_) | Memory::Scheduled(_) | Memory::Threshold(_) => true,
            Memory::Window(_) | Memory::Changed(_) | Memory::Flapping(_) | Memory::Told { .. } => false,
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
        match self {
            Memory::Streak(s) => Some(s.length),
            Memory::Window(w) => Some(w.counts(now, window_of(rule)?).0),
            Memory::Flapping(f) => Some(f.turns.counts(now, window_of(rule)?).0),
            _ => None,
        }
    }

    /// It is one of the rule's detector: a saved one may be of another that
    /// had its name.
    pub fn fits(&self, detector: &Detector) -> bool {
        matches!(
            (detector, self),
            (Detector::Streak { .. }, Memory::Streak(_))
                | (
                    Detector::Rate { .. } | Detector::Ratio { .. } | Detector::Drift { .. },
                    Memory::Window(_)
                )
                | (Detector::Staleness { .. }, Memory::Staleness(_))
                | (Detector::Threshold { .. }, Memory::Threshold(_))
                | (Detector::Change { .. }, Memory::Changed(_))
                | (Detector::Flapping { .. }, Memory::Flapping(_))
                | (Detector::Schedule { .. }, Memory::Scheduled(_))
                | (Detector::Gap | Detector::SourceDown { .. }, Memory::Told { .. })
        )
    }
}

/// The window of a rule that has one.
pub fn window_of(rule: &RulePlan) -> Option<Duration> {
    match &rule.detector {
        Detector::Rate { window, .. }
        | Detector::Ratio { window, .. }
        | Detector::Flapping { window, .. }
        | Detector::Drift { window, .. } => Some(*window),
        _ => None,
    }
}

fn count(
    w: &mut Window,
    (is_bad, is_good): (bool, bool),
    now: Time,
    (window, has_room): (Duration, bool),
) -> Counted {
    if !is_bad && !is_good {
        return Counted::No;
    }
    w.push((now, is_bad), window, has_room);
    if is_bad { Counted::Bad } else { Counted::Good }
}
