//! Turns from good to bad and back, counted in a window.
//!
//! Two events further apart than the window are no turn: what was before is
//! forgotten by then, which also lets go of keys that no longer speak.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Time;

use super::{Counted, Window};

/// The turns of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flapping {
    /// Which side was last, and when on the rule's clock.
    pub last: Option<(bool, Time)>,
    /// The turns.
    pub turns: Window,
}

impl Flapping {
    /// Takes an event of one side.
    pub fn take(&mut self, (is_bad, now): (bool, Time), window: Duration, has_room: bool) -> Counted {
        self.forget(now, window);
        let is_turn = self.last.is_some_and(|(was_bad, _)| was_bad != is_bad);
        self.last = Some((is_bad, now));
        if !is_turn {
            return Counted::Good;
        }
        self.turns.push((now, true), window, has_room);
        Counted::Bad
    }

    /// Lets go of what has left the window.
    pub fn forget(&mut self, now: Time, window: Duration) {
        self.turns.trim(now, window);
        if self.last.is_some_and(|(_, at)| at.plus(window) <= now) {
            self.last = None;
        }
    }

    /// The next instant at which something leaves the window.
    pub fn next_leaving(&self, now: Time, window: Duration) -> Option<Time> {
        let last = self.last.map(|(_, at)| at.plus(window)).filter(|at| *at > now);
        [self.turns.next_leaving(now, window), last].into_iter().flatten().min()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.turns.clear();
        self.last = None;
    }

    /// Remembers nothing.
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn only_turns_count_and_they_leave_the_window() {
        let mut memory = Flapping::default();
        for (second, is_bad) in [(0, false), (1, true), (2, true), (3, false), (4, true)] {
            memory.take((is_bad, Time::from_secs(second)), WINDOW, true);
        }
        assert_eq!(memory.turns.counts(Time::from_secs(4), WINDOW).0, 3);
        assert_eq!(memory.turns.counts(Time::from_secs(61), WINDOW).0, 2);
    }

    #[test]
    fn what_was_before_the_window_is_forgotten() {
        let mut memory = Flapping::default();
        memory.take((false, Time::from_secs(0)), WINDOW, true);
        assert_eq!(memory.take((true, Time::from_secs(60)), WINDOW, true), Counted::Good);
        memory.forget(Time::from_secs(120), WINDOW);
        assert!(memory.is_empty());
    }
}
