//! Counts in a window that is open on the left: an event at `t` leaves it at
//! `t + window`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// Moments kept; beyond it the two oldest are told as one, at the later time.
/// No count is lost, its leaving may come late.
const MOMENTS_MAX: usize = 4_096;
/// Moments every window may hold, however many others there are.
const MOMENTS_LEAST: usize = 64;
/// Moments that are saved as one row: an event rewrites the last piece of a
/// window, not the whole of it.
const PIECE: u64 = 64;

/// A part of a window as it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Number of its first moment.
    from: u64,
    moments: Vec<(Time, u64, u64)>,
}

/// Good and bad events of one key, oldest first: `(time, bad, good)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    #[serde(skip)]
    moments: VecDeque<(Time, u64, u64)>,
    /// Number of the oldest moment: they are numbered as they come.
    first: u64,
    /// Pieces changed since they were last taken to be saved.
    #[serde(skip)]
    changed: BTreeSet<u64>,
}

impl Window {
    /// Adds an event at `now`. Without room, a window that holds more than its
    /// least takes no further moment.
    pub fn push(&mut self, (now, is_bad): (Time, bool), window: Duration, has_room: bool) {
        self.trim(now, window);
        let (bad, good) = (u64::from(is_bad), u64::from(!is_bad));
        match self.moments.back_mut() {
            Some(last) if last.0 == now => {
                last.1 += bad;
                last.2 += good;
            }
            _ => self.moments.push_back((now, bad, good)),
        }
        self.changed.insert((self.first + self.moments.len() as u64 - 1) / PIECE);
        let most = if has_room { MOMENTS_MAX } else { MOMENTS_LEAST };
        if self.moments.len() > most
            && let Some(oldest) = self.pop()
            && let Some(next) = self.moments.front_mut()
        {
            next.1 += oldest.1;
            next.2 += oldest.2;
            self.changed.insert(self.first / PIECE);
        }
    }

    /// Moments held.
    pub fn len(&self) -> usize {
        self.moments.len()
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
            self.pop();
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    /// Holds nothing.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// The pieces to be saved anew since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.changed)
    }

    /// What is to be saved of a piece; `None`: its row goes.
    pub fn piece(&self, number: u64) -> Option<Piece> {
        let from = (number * PIECE).saturating_sub(self.first) as usize;
        let to = ((number + 1) * PIECE).saturating_sub(self.first) as usize;
        let moments: Vec<_> = self.moments.iter().take(to).skip(from).copied().collect();
        (!moments.is_empty()).then_some(Piece { from: self.first.max(number * PIECE), moments })
    }

    /// Takes back a saved piece; pieces come in their order. The first may
    /// hold what was dropped since it was saved.
    pub fn restore(&mut self, piece: &Piece) {
        let dropped = self.first.saturating_sub(piece.from) as usize;
        self.moments.extend(piece.moments.iter().skip(dropped));
    }

    fn pop(&mut self) -> Option<(Time, u64, u64)> {
        let oldest = self.moments.pop_front()?;
        self.first += 1;
        if self.first.is_multiple_of(PIECE) || self.moments.is_empty() {
            self.changed.insert((self.first - 1) / PIECE);
        }
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leaves_exactly_a_window_later() {
        let mut w = Window::default();
        let span = Duration::from_secs(10);
        w.push((Time::from_secs(0), true), span, true);
        assert_eq!(w.counts(Time(9_999_999_999), span), (1, 0));
        assert_eq!(w.next_leaving(Time::from_secs(5), span), Some(Time::from_secs(10)));
        assert_eq!(w.counts(Time::from_secs(10), span), (0, 0));
    }

    #[test]
    fn the_memory_is_bounded_and_no_count_is_lost() {
        let mut w = Window::default();
        for i in 0..10_000 {
            w.push((Time(i), i % 2 == 0), Duration::from_secs(10), i < 9_000);
        }
        assert!(w.moments.len() <= MOMENTS_MAX);
        assert_eq!(w.counts(Time(10_000), Duration::from_secs(10)), (5_000, 5_000));
        let mut small = Window::default();
        for i in 0..10_000 {
            small.push((Time(i), true), Duration::from_secs(10), false);
        }
        assert_eq!((small.len(), small.first), (MOMENTS_LEAST, 10_000 - MOMENTS_LEAST as u64));
        assert_eq!(small.counts(Time(10_000), Duration::from_secs(10)), (10_000, 0));
    }

    #[test]
    fn its_saved_pieces_make_the_same_window_whatever_was_dropped_since() {
        let span = Duration::from_nanos(5_000);
        let mut w = Window::default();
        let mut rows = std::collections::BTreeMap::new();
        let mut most = 0;
        for i in 0..20_000 {
            // A pause now and then empties it.
            let now = Time(i + (i / 6_000) * 10_000);
            w.push((now, i % 3 == 0), span, true);
            if i % 7 == 0 {
                let changed = w.take_changed();
                most = most.max(changed.len());
                for piece in changed {
                    match w.piece(piece) {
                        Some(saved) => rows.insert(piece, saved),
                        None => rows.remove(&piece),
                    };
                }
                let mut again = Window { first: w.first, ..Window::default() };
                rows.values().for_each(|piece| again.restore(piece));
                assert_eq!(again, w, "after {i}");
            }
        }
        assert!(rows.len() > 30 && most < 100, "{} rows, {most} at once", rows.len());
    }
}
