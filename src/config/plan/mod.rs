//! What the program believes: the configuration after every name is resolved,
//! every pattern compiled and every default filled in.
//!
//! The engine and the doors read a [`Plan`]; nobody but [`super::compile`] makes
//! one. Indices (`SourceId`, event and rule positions) are in the order of the
//! configuration, which is also the order that breaks ties.

mod daemon;
mod event;
mod limits;
mod matcher;
mod metric;
mod receiver;
mod route;
mod rule;
mod schedule;
mod source;

pub use daemon::*;
pub use event::*;
pub use limits::*;
pub use matcher::*;
pub use metric::*;
pub use receiver::*;
pub use route::*;
pub use rule::*;
pub use schedule::Schedule;
pub use source::*;

use crate::model::SourceId;

/// The compiled configuration.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where lines come from.
    pub sources: Vec<SourcePlan>,
    /// How lines become events.
    pub events: Vec<EventPlan>,
    /// Lines worth telling of beside an incident: a restart, another address.
    pub changes: Vec<ChangePlan>,
    /// What is counted.
    pub metrics: Vec<MetricPlan>,
    /// What is alerted on; the built-in `LogGap` and `SourceDown` come last.
    pub rules: Vec<RulePlan>,
    /// Which alert keeps which quiet.
    pub inhibitions: Vec<InhibitPlan>,
    /// Who is told.
    pub receivers: Vec<ReceiverPlan>,
    /// Who is told of what: a tree, its root first.
    pub routes: Vec<RoutePlan>,
    /// Named time intervals.
    pub intervals: Vec<IntervalPlan>,
    /// Alerts that are expected at certain times.
    pub maintenance: Vec<MaintenancePlan>,
    /// What never leaves the process.
    pub redactor: super::redact::Redactor,
    /// Grouping and reminders.
    pub notify: NotifyPlan,
    /// How much may be kept.
    pub limits: LimitsPlan,
    /// The daemon's own places.
    pub daemon: DaemonPlan,
}

impl Plan {
    /// Position of the source of that name.
    pub fn source(&self, name: &str) -> Option<SourceId> {
        self.sources.iter().position(|s| s.name == name)
    }
}
