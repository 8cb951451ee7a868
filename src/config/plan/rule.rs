//! What is alerted on, as meant: detectors, thresholds, inhibitions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FieldId, Labelled, Matchers, Schedule};
use crate::model::{Severity, SourceId};

/// A rule: a detector with its thresholds, labels and texts.
#[derive(Clone, Debug)]
pub struct RulePlan {
    /// Unique; `alertname`.
    pub name: String,
    /// What it looks for.
    pub detector: Detector,
    /// Its sources: those of its event. Built-in rules look at every source.
    pub sources: Vec<SourceId>,
    /// Fields it is kept apart by: `(label, field)`.
    pub by: Vec<(String, FieldId)>,
    /// Fields whose values are listed as evidence (the codes seen).
    pub distinct: Vec<FieldId>,
    /// Severity; of staleness, the levels' own.
    pub severity: Severity,
    /// Labels added to every alert.
    pub labels: BTreeMap<String, String>,
    /// How long its condition must hold before it fires.
    pub hold: Duration,
    /// How long its condition must be clear before it ends.
    pub keep_firing_for: Duration,
    /// One line; `{{label}}`, `{{value}}`, `{{count}}` are filled in.
    pub summary: String,
    /// A few sentences, filled in alike.
    pub description: String,
    /// Likely causes, a list; never one asserted.
    pub causes: Vec<String>,
    /// Where to read on.
    pub runbook: Option<String>,
    /// Keys kept at the same time; beyond it new ones are refused and said.
    pub keys_max: usize,
}

impl RulePlan {
    /// It is told by the daemon, not by lines, so it runs on the daemon's time.
    pub fn is_on_process_clock(&self) -> bool {
        matches!(self.detector, Detector::SourceDown { .. })
    }

    /// Built in: kept for each source, its condition said from outside.
    pub fn is_built_in(&self) -> bool {
        matches!(self.detector, Detector::SourceDown { .. } | Detector::Gap)
    }

    /// The definition whose events it counts.
    pub fn event(&self) -> Option<usize> {
        match &self.detector {
            Detector::Streak { event, .. }
            | Detector::Rate { event, .. }
            | Detector::Ratio { event, .. }
            | Detector::Staleness { event, .. }
            | Detector::Threshold { event, .. }
            | Detector::Change { event, .. }
            | Detector::Flapping { event, .. }
            | Detector::Schedule { event, .. } => Some(*event),
            Detector::Drift { .. } | Detector::Gap | Detector::SourceDown { .. } => None,
        }
    }

    /// The definition whose near misses it counts.
    pub fn near_misses_of(&self) -> Option<usize> {
        match &self.detector {
            Detector::Drift { event, .. } => Some(*event),
            _ => None,
        }
    }

    /// Time alone makes it fire: it is asked from the start of its source's
    /// time, and not judged while that source cannot be believed.
    pub fn is_about_silence(&self) -> bool {
        matches!(self.detector, Detector::Staleness { .. } | Detector::Schedule { .. })
    }

    /// The definition whose events delay it.
    pub fn grace_event(&self) -> Option<usize> {
        match &self.detector {
            Detector::Staleness { grace_event, .. } => *grace_event,
            _ => None,
        }
    }

    /// Whether any of its alerts may fit; labels that come from events may have
    /// any value.
    pub fn may_fit(&self, matchers: &Matchers) -> bool {
        matchers.0.iter().all(|matcher| match matcher.name.as_str() {
            "alertname" => matcher.fits(&self.name),
            "severity" => self.severities().iter().any(|severity| matcher.fits(severity.as_str())),
            "source" => true,
            name if self.by.iter().any(|(by, _)| by == name) => true,
            name => matcher.fits(self.labels.get(name).map_or("", String::as_str)),
        })
    }

    /// Severities it can fire with, ascending.
    pub fn severities(&self) -> Vec<Severity> {
        match &self.detector {
            Detector::Staleness { levels, .. } => levels.iter().map(|l| l.severity).collect(),
            _ => vec![self.severity],
        }
    }
}

/// What a rule looks for. Outcomes are positions in the event's table.
#[derive(Clone, Debug)]
pub enum Detector {
    /// `count` bad ones in a row; outcomes in neither list are passed over.
    Streak {
        /// Position of the event.
        event: usize,
        /// They lengthen it.
        bad: Vec<usize>,
        /// They break it.
        good: Vec<usize>,
        /// How many.
        count: u64,
        /// Without a counted event for so long the streak ends: `no data`.
        forget_after: Option<Duration>,
    },
    /// `count` in a window, open on the left.
    Rate {
        /// Position of the event.
        event: usize,
        /// Which count; empty means all.
        outcomes: Vec<usize>,
        /// One of these in the window speaks against it; empty means none does.
        without: Vec<usize>,
        /// How many.
        count: u64,
        /// The window.
        window: Duration,
    },
    /// `count` bad ones in a window that are at least `share` of good and bad.
    Ratio {
        /// Position of the event.
        event: usize,
        /// The numerator.
        bad: Vec<usize>,
        /// With `bad`, the denominator.
        good: Vec<usize>,
        /// Least number of bad ones.
        count: u64,
        /// Least share, 0 to 1.
        share: f64,
        /// The window.
        window: Duration,
    },
    /// No good event for too long.
    Staleness {
        /// Position of the event.
        event: usize,
        /// Outcomes that reset the age; empty means all.
        good: Vec<usize>,
        /// Ages and severities, both ascending.
        levels: Vec<StaleLevel>,
        /// Position of an event that delays levels that have a grace.
        grace_event: Option<usize>,
    },
    /// A field's last value is beyond a limit.
    Threshold {
        /// Position of the event.
        event: usize,
        /// Which are looked at; empty means all.
        outcomes: Vec<usize>,
        /// A number.
        field: FieldId,
        /// The limit.
        limit: Limit,
        /// Without an event for so long nothing is known any more: `no data`.
        forget_after: Option<Duration>,
    },
    /// A field has another value than before. True for the moment of the
    /// event; values are compared as keyed digests.
    Change {
        /// Position of the event.
        event: usize,
        /// Which are looked at; empty means all.
        outcomes: Vec<usize>,
        /// Any.
        field: FieldId,
    },
    /// `count` turns from good to bad or back in a window.
    Flapping {
        /// Position of the event.
        event: usize,
        /// One side.
        bad: Vec<usize>,
        /// The other.
        good: Vec<usize>,
        /// How many turns.
        count: u64,
        /// The window.
        window: Duration,
    },
    /// No good event since a scheduled time, `grace` after it.
    Schedule {
        /// Position of the event.
        event: usize,
        /// Outcomes that count; empty means all.
        good: Vec<usize>,
        /// When one is expected.
        schedule: Box<Schedule>,
        /// How late it may be.
        grace: Duration,
    },
    /// `count` lines in a window that nearly matched a definition: they carry
    /// its marker and match none of its patterns.
    Drift {
        /// Position of the definition.
        event: usize,
        /// How many.
        count: u64,
        /// The window.
        window: Duration,
    },
    /// Built in: lines were lost.
    Gap,
    /// Built in: a source cannot be read for `after`.
    SourceDown {
        /// For how long.
        after: Duration,
    },
}

/// A limit with hysteresis: beyond `fires` the condition begins, and it ends
/// at `clears`, which is not beyond `fires`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Which side is beyond.
    pub side: Side,
    /// The value that is still allowed.
    pub fires: f64,
    /// The value that is good again.
    pub clears: f64,
}

/// Which side of a limit is beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Higher values.
    Above,
    /// Lower values.
    Below,
}

/// One level of a staleness rule.
#[derive(Clone, Copy, Debug)]
pub struct StaleLevel {
    /// Its severity.
    pub severity: Severity,
    /// Age from which it holds.
    pub after: Duration,
    /// Not before so long after the last grace event.
    pub grace: Duration,
}

/// One rule's alerts keep those of others quiet. What was written with matchers
/// alone is one of these for each rule whose alerts may fit.
#[derive(Clone, Debug)]
pub struct InhibitPlan {
    /// Position of the inhibiting rule.
    pub source: usize,
    /// Positions of the rules it keeps quiet.
    pub targets: Vec<usize>,
    /// Which of its alerts inhibit; all if empty.
    pub source_matchers: Matchers,
    /// Which of theirs are kept quiet; all if empty.
    pub target_matchers: Matchers,
    /// Labels that must be equal.
    pub equal: Vec<String>,
    /// It inhibits only while the last event it counted is younger.
    pub fresh_for: Duration,
    /// A target that began inhibited stays silent to its end.
    pub to_the_end: bool,
}

impl InhibitPlan {
    /// Whether these two alerts fit its matchers. As in Alertmanager, of two
    /// that both fit both sides neither inhibits the other.
    pub fn fits(&self, source: Labelled<'_>, target: Labelled<'_>) -> bool {
        let is_by_matchers = !self.source_matchers.0.is_empty() || !self.target_matchers.0.is_empty();
        let is_mutual =
            is_by_matchers && self.source_matchers.fit(target) && self.target_matchers.fit(source);
        self.source_matchers.fit(source) && self.target_matchers.fit(target) && !is_mutual
    }
}
