//! Where reading goes on: for each container the stamp to ask from and how
//! much of the answer was taken already. Pure.
//!
//! The Engine's API knows no position but `since`, which is inclusive, so the
//! cursor is an *anchor* (the highest stamp when it was chosen) and the number
//! of lines taken from it on. On resume the same lines come again and are
//! passed over by count. Failure story:
//!
//! - Stdout and stderr are stamped before they are written, so the file may be
//!   out of order, and a clock that is set steps back a little: a line may be
//!   stamped below the anchor and come after it. An old dockerd filters every
//!   line by `since` and would withhold it for ever, a newer one only what comes
//!   first. So what is asked for begins a second before the anchor, and what
//!   comes before the anchor itself is passed over. Lines are counted apart by
//!   output and by whether their stamp is below the anchor, which stays 100 ms
//!   behind.
//! - The anchor does not move while a line is half-joined: its pieces are asked
//!   for again. A half-joined line is in no cursor.
//! - What comes first is not the anchor: nothing is taken of that answer. The
//!   place is sought from the log's end ([`super::search`]) by the anchor or,
//!   if that was rotated away, by the last line taken; if both are gone, lines
//!   may be lost, and that is a gap.
//! - The wall clock steps back: a line stamped a second below the highest is the
//!   first of a new age and becomes the anchor. Lines of the old age with higher
//!   stamps then come before it, and it is sought as above. Only where an old
//!   dockerd has more to give than a search from the end looks through, and the
//!   clock stepped back and passed the place again meanwhile, does it withhold
//!   what was written in between, and nothing shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Cursor, Time};

/// The anchor stays behind the newest line by this much.
const LAG_NANOS: i64 = 100_000_000;
/// A stamp so far below the highest is a step of the clock, not two outputs
/// that crossed.
const STEP_NANOS: i64 = 1_000_000_000;

/// A point to go on from, and what was taken from there on, by output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    /// Nanoseconds.
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
    /// Highest stamp taken since the clock last stepped back; the lowest value
    /// when nothing was taken.
    high: i64,
    /// Stamp of the line taken last.
    last: Option<i64>,
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

    /// As [`Mark::from`] the next instant, of a log whose last line has this stamp.
    pub fn after(last: Time) -> Mark {
        Mark { high: last.0, last: Some(last.0), ..Mark::from(last.shifted(1)) }
    }

    /// What to ask from (inclusive): lines that follow the anchor may be stamped
    /// below it, but by less than a step of the clock.
    pub fn since(&self) -> Time {
        let early = if self.anchor.is_line { STEP_NANOS } else { 0 };
        Time(self.anchor.at.saturating_sub(early).max(0))
    }

    /// The line taken last has this stamp, or none was and this is before the
    /// first that is wanted: a log that ends here has nothing more.
    pub fn is_past(&self, newest: Time) -> bool {
        self.last.map_or(newest.0 < self.anchor.at, |last| last == newest.0)
    }

    /// A line was taken before, so an empty log means that lines are gone.
    pub fn expects_a_line(&self) -> bool {
        self.anchor.is_line
    }

    /// An answer from this mark cannot show a log that ends in this line: some
    /// engines filter every line by `since`.
    pub fn hides(&self, newest: Time) -> bool {
        self.last.is_some() && newest.0 < self.anchor.at && !self.is_past(newest)
    }

    /// The stamp to seek: of the anchor, if it is a line.
    pub fn anchor_line(&self) -> Option<Time> {
        self.anchor.is_line.then_some(Time(self.anchor.at))
    }

    /// The stamp of the line taken last.
    pub fn last(&self) -> Option<Time> {
        self.last.map(Time)
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
        } else if at < self.high.saturating_sub(STEP_NANOS) && !self.open[1 - lane] {
            self.high = at;
            self.anchor = Anchor::line(at);
            self.next = None;
        }
        self.last = Some(at);
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

/// Where an answer stands to what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Only what is stamped below the anchor should come before it.
    Begins,
    /// The anchor comes in it somewhere.
    Seeks,
    /// Everything up to the last line taken comes before the new.
    SeeksLast { is_there: bool },
    /// What is left to count off, then new lines.
    Within,
}

/// Passes over what was taken before, while an answer comes in.
#[derive(Debug)]
pub struct Resume {
    anchor: Anchor,
    last: Option<i64>,
    place: Place,
    /// Pieces that may still come before what is sought.
    left: u32,
}

/// What a piece of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// To be joined.
    Expected,
    /// From before what is sought.
    Before,
    /// The answer does not begin where it should; nothing of it may be taken.
    Elsewhere,
}

impl Resume {
    /// For an answer to `mark.since()`.
    pub fn new(mark: &Mark) -> Resume {
        let place = if mark.anchor.is_line { Place::Begins } else { Place::Within };
        Resume { anchor: mark.anchor.clone(), last: mark.last, place, left: u32::MAX }
    }

    /// For an answer that holds the anchor among so many pieces.
    pub fn seek(mark: &Mark, within: u32) -> Resume {
        Resume { place: Place::Seeks, left: within, ..Resume::new(mark) }
    }

    /// For an answer that holds the last line taken among so many pieces, but
    /// no anchor.
    pub fn seek_last(mark: &Mark, within: u32) -> Resume {
        let place = Place::SeeksLast { is_there: false };
        Resume { anchor: Anchor::default(), last: mark.last, place, left: within }
    }

    /// For an answer of new lines alone.
    pub fn anew() -> Resume {
        Resume { anchor: Anchor::default(), last: None, place: Place::Within, left: u32::MAX }
    }

    /// What is sought has not come yet.
    pub fn is_seeking(&self) -> bool {
        matches!(self.place, Place::Seeks | Place::SeeksLast { is_there: false })
    }

    /// Looks at a piece before it is joined.
    pub fn sight(&mut self, at: Time) -> Sight {
        let (is_anchor, is_last) = (at.0 == self.anchor.at, self.last == Some(at.0));
        if self.is_seeking() {
            self.left = match self.left.checked_sub(1) {
                Some(left) => left,
                None => return Sight::Elsewhere,
            };
        }
        match self.place {
            Place::Within => return Sight::Expected,
            Place::Begins if at.0 > self.anchor.at => return Sight::Elsewhere,
            Place::Begins | Place::Seeks if !is_anchor => return Sight::Before,
            Place::SeeksLast { is_there } if is_last || !is_there => {
                self.place = Place::SeeksLast { is_there: is_last };
                return Sight::Before;
            }
            _ => self.place = Place::Within,
        }
        Sight::Expected
    }

    /// This whole line was taken before.
    pub fn was_taken(&mut self, lane: usize, at: Time) -> bool {
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

    /// How an engine answers and a follower asks.
    #[derive(Clone, Copy, Debug)]
    struct Manner {
        /// `since` withholds every line with a lower stamp, not only the first.
        filters_each: bool,
        /// There is so little to read that the place is sought from the end.
        is_short: bool,
    }

    /// The answer that a follower takes of a log that nobody adds to.
    fn answer(log: &Log, mark: &Mark, manner: Manner) -> (Vec<(usize, i64)>, Resume) {
        let newest = log.last().map_or(i64::MIN, |(_, at)| *at);
        let plain = ask(log, mark.since().0, manner.filters_each);
        let (is_first, is_past) = (mark.last().is_none(), mark.is_past(Time(newest)));
        let is_whole = plain.iter().find(|(_, at)| *at >= newest).is_some_and(|(_, at)| *at == newest);
        let mut resume = Resume::new(mark);
        let begins = plain.iter().all(|(_, at)| resume.sight(Time(*at)) != Sight::Elsewhere);
        let is_sought = !is_past && manner.is_short || mark.hides(Time(newest));
        if is_first || !is_sought && begins && (is_past || is_whole) {
            return (plain, Resume::new(mark));
        }
        let within = log.len() as u32;
        let resume =
            if mark.expects_a_line() { Resume::seek(mark, within) } else { Resume::seek_last(mark, within) };
        (log.to_vec(), resume)
    }

    /// Reads the log as it is after so many lines, in sittings.
    fn read_in_sittings(log: &Log, sittings: &[usize], manner: Manner) -> Vec<(usize, i64)> {
        let mut mark = Mark::from(Time(0));
        let mut got: Vec<(usize, i64)> = Vec::new();
        for &lines in sittings.iter().chain([&usize::MAX]) {
            let mut saved: Mark = serde_json::from_str(&serde_json::to_string(&mark).unwrap()).unwrap();
            let written = &log[..got.len().saturating_add(lines).min(log.len())];
            let (pieces, mut resume) = answer(written, &saved, manner);
            for (lane, at) in pieces {
                match resume.sight(Time(at)) {
                    Sight::Before => continue,
                    Sight::Elsewhere => panic!("it was looked at before"),
                    Sight::Expected if resume.was_taken(lane, Time(at)) => continue,
                    Sight::Expected => {}
                }
                saved.take(lane, Time(at));
                got.push((lane, at));
            }
            mark = saved;
        }
        got
    }

    proptest! {
        /// Late by microseconds, as outputs cross, or by up to a second, as a
        /// clock that is set.
        #[test]
        fn every_line_is_taken_once_wherever_reading_stops(
            steps in proptest::collection::vec(
                (0usize..2, 0i64..60_000_000, prop_oneof![0i64..5, 0i64..STEP_NANOS]),
                1..120,
            ),
            sittings in proptest::collection::vec(0usize..30, 0..8),
            filters_each: bool,
            is_short: bool,
        ) {
            let mut log = Vec::new();
            let mut clock = 1_000_000_000;
            for (lane, step, late) in steps {
                clock += step / 1_000_000 * 1_000_000;
                let is_first = log.is_empty();
                log.push((lane, if is_first { clock } else { clock - late.min(clock - 1_000_000_000) }));
            }
            let manner = Manner { filters_each, is_short };
            prop_assert_eq!(read_in_sittings(&log, &sittings, manner), log);
        }
    }

    /// Nothing is behind the first line yet, so its stamp is the anchor's.
    #[test]
    fn a_line_that_crossed_the_first_one_is_not_withheld_after_a_crash() {
        let log = [(0, 1_001_000_000), (0, 1_000_999_999)];
        let longer = [&log[..], &[(1, 1_002_000_000)]].concat();
        for (filters_each, is_short) in [(true, true), (true, false), (false, true), (false, false)] {
            let manner = Manner { filters_each, is_short };
            assert_eq!(read_in_sittings(&log, &[1], manner), log, "{manner:?}");
            assert_eq!(read_in_sittings(&longer, &[1], manner), longer, "{manner:?}");
        }
    }

    proptest! {
        /// Stamps are whole milliseconds and each is there once, as nanoseconds are.
        #[test]
        fn a_clock_that_steps_back_between_two_sittings_loses_and_repeats_nothing(
            ages in proptest::collection::vec((1usize..30, 2i64..9_000, 0i64..400), 1..6),
            lanes in proptest::collection::vec(0usize..2, 200),
            filters_each: bool,
            is_short: bool,
        ) {
            let (mut log, mut sittings, mut clock) = (Vec::new(), Vec::new(), 50_000_000_i64);
            for (age, (lines, back, pace)) in ages.into_iter().enumerate() {
                clock -= back * 1_000;
                for line in 0..lines {
                    clock += pace + 1;
                    log.push((lanes[log.len()], clock * 1_000_000 + (age * 1_000 + line) as i64));
                }
                sittings.push(lines);
            }
            // Of a long one that filters each, see the failure story.
            let manner = Manner { filters_each, is_short: is_short || filters_each };
            prop_assert_eq!(read_in_sittings(&log, &sittings, manner), log);
        }
    }

    #[test]
    fn a_lost_anchor_is_noticed_and_the_last_line_tells_what_is_new() {
        let mut mark = Mark::from(Time(0));
        for at in [10, 20, 30] {
            mark.take(0, Time(at));
        }
        assert_eq!(Resume::new(&mark).sight(Time(10)), Sight::Expected);
        assert_eq!(Resume::new(&mark).sight(Time(20)), Sight::Elsewhere);
        let mut resume = Resume::seek_last(&mark, 2);
        let sights = [20, 30, 30, 40, 35].map(|at| resume.sight(Time(at)));
        assert_eq!(sights[..3], [Sight::Before; 3]);
        assert_eq!(sights[3..], [Sight::Expected; 2]);
        assert!(!resume.was_taken(0, Time(40)) && !resume.is_seeking());
        let mut moved_on = Resume::seek_last(&mark, 2);
        let sights = [40, 41, 42].map(|at| moved_on.sight(Time(at)));
        assert_eq!(sights, [Sight::Before, Sight::Before, Sight::Elsewhere]);
        assert!(mark.is_past(Time(30)) && !mark.is_past(Time(20)) && !mark.is_past(Time(40)));
        assert!(mark.hides(Time(5)) && !mark.hides(Time(40)) && !mark.hides(Time(30)));
    }

    #[test]
    fn the_anchor_waits_for_a_half_joined_line() {
        let mut mark = Mark::from(Time(0));
        mark.take(0, Time(1_000_000_000));
        mark.opened(0);
        for second in 2..9 {
            mark.take(1, Time(second * 1_000_000_000));
        }
        assert_eq!(mark.anchor_line(), Some(Time(1_000_000_000)));
        mark.take(0, Time(2_000_000_000));
        for second in 9..12 {
            mark.take(1, Time(second * 1_000_000_000));
        }
        assert_eq!(mark.anchor_line(), Some(Time(10_000_000_000)));
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
