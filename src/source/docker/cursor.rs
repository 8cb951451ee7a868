//! Where reading goes on: for each container the stamp to ask from and how
//! much of the answer was taken already. Pure.
//!
//! The Engine's API knows no position but `since`, which is inclusive, so the
//! cursor is an *anchor* (the highest stamp when it was chosen) and the number
//! of lines taken from it on. On resume the same lines come again and are
//! passed over by count. Failure story:
//!
//! - Stdout and stderr are stamped before they are written, so the file may be
//!   out of order by microseconds. Lines are counted apart by output and by
//!   whether their stamp is below the anchor: an old dockerd filters every line
//!   by `since` and withholds those, a newer one returns all after the first,
//!   and either way the counts fit. The anchor stays 100 ms behind, so that a
//!   line written late is still asked for.
//! - The anchor does not move while a line is half-joined: its pieces are asked
//!   for again. A half-joined line is in no cursor.
//! - The anchor is gone (rotated, vacuumed, truncated): if what comes first was
//!   taken before, nothing is lost and stamps tell what is new; if it is newer
//!   than all that was taken, lines may be lost, and that is a gap.
//! - The wall clock steps back: an old dockerd withholds what is stamped below
//!   the anchor until the clock has passed it. Nothing can be done from here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Cursor, Time};

/// The anchor stays behind the newest line by this much.
const LAG_NANOS: i64 = 100_000_000;

/// A point to ask from, and what was taken from there on, by output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    /// Nanoseconds; `since` of the request.
    at: i64,
    /// A line with this stamp was taken, so it must come again.
    is_line: bool,
    /// Lines taken with this stamp or a higher one.
    taken: [u64; 2],
    /// Lines taken after it with a lower stamp.
    late: [u64; 2],
}

impl Anchor {
    fn line(at: i64) -> Anchor {
        Anchor { at, is_line: true, ..Anchor::default() }
    }

    fn count(&mut self, lane: usize, at: i64) {
        let counts = if at >= self.at { &mut self.taken } else { &mut self.late };
        counts[lane] = counts[lane].saturating_add(1);
    }
}

/// How far one container was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    anchor: Anchor,
    /// Highest stamp taken; the lowest value when nothing was.
    high: i64,
    #[serde(skip)]
    next: Option<Anchor>,
    #[serde(skip)]
    open: [bool; 2],
}

impl Mark {
    /// Nothing taken yet; everything from `at` on is wanted.
    pub fn from(at: Time) -> Mark {
        Mark { anchor: Anchor { at: at.0.max(0), ..Anchor::default() }, high: i64::MIN, ..Mark::default() }
    }

    /// What to ask from (inclusive).
    pub fn since(&self) -> Time {
        Time(self.anchor.at)
    }

    /// Highest stamp taken.
    pub fn high(&self) -> Time {
        Time(self.high)
    }

    /// A line was taken before, so an empty log means that lines are gone.
    pub fn expects_a_line(&self) -> bool {
        self.anchor.is_line
    }

    /// A line of that output has begun and is not whole.
    pub fn opened(&mut self, lane: usize) {
        self.open[lane] = true;
    }

    /// It is whole, and was counted before.
    pub fn passed(&mut self, lane: usize) {
        self.open[lane] = false;
    }

    /// Half-joined lines are dropped, to be read again.
    pub fn forget_open(&mut self) {
        self.open = [false; 2];
    }

    /// A whole line was taken.
    pub fn take(&mut self, lane: usize, at: Time) {
        let at = at.0;
        self.open[lane] = false;
        if at > self.high {
            self.high = at;
            if !self.open[1 - lane] {
                self.roll(at);
            }
        }
        self.anchor.count(lane, at);
        if let Some(next) = &mut self.next {
            next.count(lane, at);
        }
    }

    /// The anchor is gone; the next line taken is the new one.
    pub fn rebase(&mut self) {
        let at = self.high.saturating_add(1).max(0);
        self.anchor = Anchor { at, ..Anchor::default() };
        self.next = None;
    }

    fn roll(&mut self, at: i64) {
        if !self.anchor.is_line {
            self.anchor = Anchor::line(at);
            self.next = None;
            return;
        }
        let newest = self.next.as_ref().unwrap_or(&self.anchor).at;
        if at.saturating_sub(newest) >= LAG_NANOS
            && let Some(older) = self.next.replace(Anchor::line(at))
        {
            self.anchor = older;
        }
    }
}

/// Passes over what was taken before, while the answer to a `since` comes in.
#[derive(Debug)]
pub struct Resume {
    anchor: Anchor,
    high: i64,
    has_begun: bool,
    is_by_stamp: bool,
}

/// What the first piece of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The anchor is there, or none was expected.
    Expected,
    /// The anchor is gone, yet all that is missing was taken.
    Rebased,
    /// Lines may be lost.
    Gap,
}

impl Resume {
    /// For an answer to `mark.since()`.
    pub fn new(mark: &Mark) -> Resume {
        Resume { anchor: mark.anchor.clone(), high: mark.high, has_begun: false, is_by_stamp: false }
    }

    /// Looks at a piece before it is joined; tells more than `Expected` at most once.
    pub fn sight(&mut self, at: Time) -> Sight {
        if std::mem::replace(&mut self.has_begun, true) || !self.anchor.is_line || at.0 == self.anchor.at {
            return Sight::Expected;
        }
        self.anchor.taken = [0; 2];
        self.anchor.late = [0; 2];
        if at.0 > self.high {
            return Sight::Gap;
        }
        self.is_by_stamp = true;
        Sight::Rebased
    }

    /// This whole line was taken before.
    pub fn was_taken(&mut self, lane: usize, at: Time) -> bool {
        if self.is_by_stamp {
            self.is_by_stamp = at.0 <= self.high;
            return self.is_by_stamp;
        }
        let left = if at.0 >= self.anchor.at { &mut self.anchor.taken } else { &mut self.anchor.late };
        let was_taken = left[lane] > 0;
        left[lane] -= u64::from(was_taken);
        was_taken
    }
}

/// The cursor of the source: every container that exists, by its full id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Version of this form: 1.
    v: u8,
    /// By container id.
    pub containers: BTreeMap<String, Mark>,
}

impl Saved {
    /// Reads a cursor; `None` if it is not one of ours.
    pub fn read(cursor: &Cursor) -> Option<Saved> {
        serde_json::from_str(&cursor.0).ok().filter(|saved: &Saved| saved.v == 1)
    }

    /// Writes the cursor for these containers.
    pub fn write<'a>(marks: impl Iterator<Item = (&'a String, &'a Mark)>) -> Cursor {
        let saved = Saved { v: 1, containers: marks.map(|(id, mark)| (id.clone(), mark.clone())).collect() };
        Cursor(serde_json::to_string(&saved).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log as dockerd keeps it: `(lane, stamp)` in the order of the file.
    type Log = [(usize, i64)];

    fn ask(log: &Log, since: i64, filters_each: bool) -> Vec<(usize, i64)> {
        if filters_each {
            log.iter().copied().filter(|(_, at)| *at >= since).collect()
        } else {
            log.iter().copied().skip_while(|(_, at)| *at < since).collect()
        }
    }

    /// Reads the log in sittings that end after so many lines each.
    fn read_in_sittings(log: &Log, sittings: &[usize], filters_each: bool) -> Vec<(usize, i64)> {
        let mut mark = Mark::from(Time(0));
        let mut got = Vec::new();
        for &lines in sittings.iter().chain([&usize::MAX]) {
            let mut saved: Mark = serde_json::from_str(&serde_json::to_string(&mark).unwrap()).unwrap();
            let mut resume = Resume::new(&saved);
            let mut left = lines;
            for (lane, at) in ask(log, saved.since().0, filters_each) {
                assert_eq!(resume.sight(Time(at)), Sight::Expected);
                if resume.was_taken(lane, Time(at)) {
                    continue;
                }
                if left == 0 {
                    break;
                }
                left -= 1;
                saved.take(lane, Time(at));
                got.push((lane, at));
            }
            mark = saved;
        }
        got
    }

    proptest! {
        #[test]
        fn every_line_is_taken_once_wherever_reading_stops(
            steps in proptest::collection::vec((0usize..2, 0i64..60_000_000, 0i64..5), 1..120),
            sittings in proptest::collection::vec(0usize..30, 0..8),
            filters_each: bool,
        ) {
            let mut log = Vec::new();
            let mut clock = 1_000_000_000;
            for (lane, step, late) in steps {
                clock += step / 1_000_000 * 1_000_000;
                let is_first = log.is_empty();
                log.push((lane, if is_first { clock } else { clock - late.min(clock - 1_000_000_000) }));
            }
            prop_assert_eq!(read_in_sittings(&log, &sittings, filters_each), log);
        }
    }

    #[test]
    fn a_step_back_of_the_clock_loses_nothing_where_dockerd_filters_the_beginning_only() {
        let log =
            [(0, 5_000_000_000), (0, 5_200_000_000), (0, 1_000), (1, 2_000), (0, 3_000), (0, 6_000_000_000)];
        assert_eq!(read_in_sittings(&log, &[1, 2, 1, 1], false), log);
    }

    #[test]
    fn a_lost_anchor_is_a_gap_only_if_what_comes_first_is_new() {
        let mut mark = Mark::from(Time(0));
        for at in [10, 20, 30] {
            mark.take(0, Time(at));
        }
        assert_eq!(Resume::new(&mark).sight(Time(10)), Sight::Expected);
        let mut resume = Resume::new(&mark);
        assert_eq!(resume.sight(Time(40)), Sight::Gap);
        assert!(!resume.was_taken(0, Time(40)));
        let mut resume = Resume::new(&mark);
        assert_eq!(resume.sight(Time(20)), Sight::Rebased);
        let taken = [20, 30, 40, 35].map(|at| resume.was_taken(0, Time(at)));
        assert_eq!(taken, [true, true, false, false]);
    }

    #[test]
    fn the_anchor_waits_for_a_half_joined_line() {
        let mut mark = Mark::from(Time(0));
        mark.take(0, Time(1_000_000_000));
        mark.opened(0);
        for second in 2..9 {
            mark.take(1, Time(second * 1_000_000_000));
        }
        assert_eq!(mark.since(), Time(1_000_000_000));
        mark.take(0, Time(2_000_000_000));
        for second in 9..12 {
            mark.take(1, Time(second * 1_000_000_000));
        }
        assert_eq!(mark.since(), Time(10_000_000_000));
    }

    #[test]
    fn what_is_not_our_cursor_is_refused() {
        assert_eq!(Saved::read(&Cursor("{}".into())), None);
        assert_eq!(Saved::read(&Cursor("s=abc;i=1".into())), None);
        let id = "f00".to_owned();
        let mark = Mark::from(Time(7));
        let cursor = Saved::write([(&id, &mark)].into_iter());
        assert_eq!(Saved::read(&cursor).unwrap().containers[&id], mark);
    }
}
