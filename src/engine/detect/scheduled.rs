//! Nothing good since a scheduled time: a backup that did not run.
//!
//! What counts is whether anything good came at or after the last time the
//! schedule named, not how many did: a run that comes late also serves for
//! those it overtook. Schedules hang on the wall, so the age is kept as wall
//! time and laid against the rule's clock whenever it is asked; a step of the
//! wall clock moves the deadline when the next line tells of it. A time ahead
//! of a clock that was set back is not believed any more: it would hide every
//! miss until then, and a machine may begin in any year.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::plan::Schedule;
use crate::model::{Severity, Time};

use super::{Breach, Now};

/// What one key waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Wall time of the last good event, or of the start of the rule's time.
    pub since: Time,
}

impl Scheduled {
    /// Something good came. One that comes late may be older than the last.
    pub fn good(&mut self, at: Time) {
        self.since = self.since.max(at);
    }

    /// The wall clock shows `wall` now.
    pub fn heed_wall(&mut self, wall: Time) {
        self.since = self.since.min(wall);
    }

    /// Overdue by how much, counted from the time it was expected.
    pub fn breach(
        &self,
        schedule: &Schedule,
        grace: Duration,
        now: Now,
        severity: Severity,
    ) -> Option<Breach> {
        let expected = schedule.next_after(self.since)?;
        let value = now.wall.since(expected).as_secs_f64();
        (now.wall >= expected.plus(grace)).then_some(Breach { severity, value })
    }

    /// When it will be overdue, on the rule's clock.
    pub fn overdue_at(&self, schedule: &Schedule, grace: Duration, now: Now) -> Option<Time> {
        let overdue = schedule.next_after(self.since)?.plus(grace);
        (overdue > now.wall).then(|| now.clock.plus(overdue.since(now.wall)))
    }
}
