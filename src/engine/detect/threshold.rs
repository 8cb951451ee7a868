//! The last value of a field beyond a limit, with hysteresis.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::plan::{Limit, Side};
use crate::model::Time;

use super::Counted;

/// The value of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The last value; `None` while nothing is known.
    pub value: Option<f64>,
    /// It is beyond the limit, or was and is not good again.
    pub is_beyond: bool,
    /// When it came, on the rule's clock.
    pub seen_at: Option<Time>,
}

impl Threshold {
    /// Takes a value.
    pub fn take(&mut self, value: f64, limit: &Limit, now: Time) -> Counted {
        let allowed = if self.is_beyond { limit.clears } else { limit.fires };
        self.is_beyond = match limit.side {
            Side::Above => value > allowed,
            Side::Below => value < allowed,
        };
        (self.value, self.seen_at) = (Some(value), Some(now));
        if self.is_beyond { Counted::Bad } else { Counted::Good }
    }

    /// When nothing is known any more.
    pub fn forgotten_at(&self, forget_after: Option<Duration>) -> Option<Time> {
        Some(self.seen_at?.plus(forget_after?))
    }

    /// Forgets the value if it is time; true if it was beyond the limit.
    pub fn forget(&mut self, forget_after: Option<Duration>, now: Time) -> bool {
        if self.forgotten_at(forget_after).is_none_or(|at| at > now) {
            return false;
        }
        std::mem::take(self).is_beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_between_the_limits_changes_nothing() {
        let limit = Limit { side: Side::Above, fires: 100.0, clears: 80.0 };
        let mut memory = Threshold::default();
        let mut beyond = |value| {
            memory.take(value, &limit, Time(0));
            memory.is_beyond
        };
        let seen: Vec<bool> = [90.0, 100.0, 100.5, 90.0, 80.5, 80.0, 90.0].map(&mut beyond).to_vec();
        assert_eq!(seen, [false, false, true, true, true, false, false]);
    }

    #[test]
    fn below_is_the_mirror_of_above() {
        let limit = Limit { side: Side::Below, fires: 10.0, clears: 20.0 };
        let mut memory = Threshold::default();
        let mut beyond = |value| {
            memory.take(value, &limit, Time(0));
            memory.is_beyond
        };
        let seen: Vec<bool> = [15.0, 10.0, 9.9, 15.0, 20.0].map(&mut beyond).to_vec();
        assert_eq!(seen, [false, false, true, true, false]);
    }
}
