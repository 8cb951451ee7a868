//! Counts in a window that is open on the left: an event at `t` leaves it at
//! `t + window`.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// Moments kept; beyond it the two oldest are told as one, at the later time.
/// No count is lost, its leaving may come late.
const MOMENTS_MAX: usize = 4_096;

/// Good and bad events of one key, oldest first: `(time, bad, good)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    moments: VecDeque<(Time, u64, u64)>,
}

impl Window {
    /// Adds an event at `now`.
    pub fn push(&mut self, now: Time, is_bad: bool, window: Duration) {
        self.trim(now, window);
        let (bad, good) = (u64::from(is_bad), u64::from(!is_bad));
        match self.moments.back_mut() {
            Some(last) if last.0 == now => {
                last.1 += bad;
                last.2 += good;
            }
            _ => self.moments.push_back((now, bad, good)),
        }
        if self.moments.len() > MOMENTS_MAX
            && let Some(oldest) = self.moments.pop_front()
            && let Some(next) = self.moments.front_mut()
        {
            next.1 += oldest.1;
            next.2 += oldest.2;
        }
    }

    /// Bad and good ones in the window that ends at `now`.
    pub fn counts(&self, now: Time, window: Duration) -> (u64, u64) {
        let inside = self.moments.iter().filter(|m| m.0.plus(window) > now);
        inside.fold((0, 0), |(bad, good), m| (bad + m.1, good + m.2))
    }

    /// When the next event leaves the window.
    pub fn next_leaving(&self, now: Time, window: Duration) -> Option<Time> {
        self.moments.iter().map(|m| m.0.plus(window)).find(|at| *at > now)
    }

    /// Drops what has left the window.
    pub fn trim(&mut self, now: Time, window: Duration) {
        while self.moments.front().is_some_and(|m| m.0.plus(window) <= now) {
            self.moments.pop_front();
        }
    }

    /// Holds nothing.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leaves_exactly_a_window_later() {
        let mut w = Window::default();
        let span = Duration::from_secs(10);
        w.push(Time::from_secs(0), true, span);
        assert_eq!(w.counts(Time(9_999_999_999), span), (1, 0));
        assert_eq!(w.next_leaving(Time::from_secs(5), span), Some(Time::from_secs(10)));
        assert_eq!(w.counts(Time::from_secs(10), span), (0, 0));
    }

    #[test]
    fn the_memory_is_bounded_and_no_count_is_lost() {
        let mut w = Window::default();
        for i in 0..10_000 {
            w.push(Time(i), i % 2 == 0, Duration::from_secs(10));
        }
        assert!(w.moments.len() <= MOMENTS_MAX);
        assert_eq!(w.counts(Time(10_000), Duration::from_secs(10)), (5_000, 5_000));
    }
}
