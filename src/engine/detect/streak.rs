//! So many bad events in a row. Outcomes that say nothing are passed over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::event::Event;
use crate::model::Time;

use super::Counted;

/// A streak of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streak {
    /// Bad ones since the last good one.
    pub length: u64,
    /// When an event was last counted, on the rule's clock.
    pub counted_at: Option<Time>,
}

impl Streak {
    /// Counts the event if the streak looks at its outcome.
    pub fn take(&mut self, event: &Event, bad: &[usize], good: &[usize], now: Time) -> Counted {
        let is_in = |list: &[usize]| event.outcome.is_some_and(|o| list.contains(&o));
        if is_in(bad) {
            self.length += 1;
            self.counted_at = Some(now);
            Counted::Bad
        } else if is_in(good) {
            self.length = 0;
            self.counted_at = Some(now);
            Counted::Good
        } else {
            Counted::No
        }
    }

    /// When the streak ends for want of counted events.
    pub fn forgotten_at(&self, forget_after: Option<Duration>) -> Option<Time> {
        Some(self.counted_at?.plus(forget_after?))
    }

    /// Ends the streak if it is time; true if it had any length.
    pub fn forget(&mut self, forget_after: Option<Duration>, now: Time) -> bool {
        if self.forgotten_at(forget_after).is_none_or(|at| at > now) {
            return false;
        }
        let had_any = self.length > 0;
        *self = Streak::default();
        had_any
    }
}
