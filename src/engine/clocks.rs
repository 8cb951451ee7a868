//! The sources' clocks: what time it is for the rules that listen to each.
//!
//! A clock never goes back. In the journal it moves with the monotonic time
//! within a boot, so that no step of the wall clock makes or hides silence;
//! over a boot, and elsewhere, by the highest transport time so far. Between
//! lines the shell moves it on. `wall` turns an instant of the clock into the
//! wall time to show.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::plan::RulePlan;
use crate::model::{Boot, SourceId, Time};

/// A transport's stamps of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Wall time.
    pub at: Time,
    /// The journal's monotonic time.
    pub boot: Option<Boot>,
}

/// The clock of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// What time it is; `None` before the source's time starts.
    now: Option<Time>,
    /// What its own lines alone have brought it to.
    by_lines: Time,
    /// The last line's stamp.
    last: Option<Stamp>,
    /// Wall time less clock, in nanoseconds.
    offset: i64,
}

impl Clock {
    /// What time it is.
    pub fn now(&self) -> Option<Time> {
        self.now
    }

    /// Where a line with this stamp brings the clock.
    pub fn at_line(&self, stamp: &Stamp) -> Time {
        let by_lines = match (&self.last, &stamp.boot) {
            (None, _) => stamp.at,
            (Some(last), Some(boot)) => match last.boot {
                Some(before) if before.id == boot.id => {
                    self.by_lines.shifted(boot.monotonic.saturating_sub(before.monotonic).max(0))
                }
                _ => self.by_lines.plus(stamp.at.since(last.at)),
            },
            (Some(_), None) => self.by_lines.max(stamp.at),
        };
        self.now.map_or(by_lines, |now| now.max(by_lines))
    }

    /// Where wall time `to` brings the clock without a line.
    pub fn at_wall(&self, to: Time) -> Option<Time> {
        self.now.map(|now| now.max(to.shifted(-self.offset)))
    }

    /// The wall time of an instant of the clock.
    pub fn wall(&self, clock: Time) -> Time {
        clock.shifted(self.offset)
    }

    /// Moves the clock on; it never goes back.
    pub fn move_to(&mut self, clock: Time) {
        self.now = Some(self.now.map_or(clock, |now| now.max(clock)));
    }

    /// Takes a line's stamp, after the clock was moved to [`Clock::at_line`].
    /// Says by how much that moves the wall against the clock.
    pub fn take(&mut self, stamp: Stamp) -> Duration {
        let before = self.offset;
        self.take_in(stamp);
        Duration::from_nanos(before.abs_diff(self.offset))
    }

    fn take_in(&mut self, stamp: Stamp) {
        let now = self.at_line(&stamp);
        let same_boot = match (&self.last, &stamp.boot) {
            (Some(Stamp { boot: Some(before), .. }), Some(boot)) => before.id == boot.id,
            _ => false,
        };
        // A stamp that lies before the last one of its boot is an entry that
        // came late; the clock and its offset stay where they are.
        let is_late = same_boot
            && stamp
                .boot
                .zip(self.last.and_then(|l| l.boot))
                .is_some_and(|(b, before)| b.monotonic < before.monotonic);
        self.move_to(now);
        if is_late {
            return;
        }
        if stamp.boot.is_some() {
            self.by_lines = if same_boot || self.last.is_some() { self.own(&stamp) } else { stamp.at };
            self.offset = stamp.at.0.saturating_sub(self.by_lines.0);
        } else {
            self.by_lines = self.by_lines.max(stamp.at);
        }
        self.last = Some(stamp);
    }

    fn own(&self, stamp: &Stamp) -> Time {
        let alone = Clock { now: None, ..self.clone() };
        alone.at_line(stamp)
    }
}

/// All clocks, and the rules' view of them.
#[derive(Debug, Default)]
pub struct Clocks {
    /// By source.
    pub sources: Vec<Clock>,
    /// The process's own time, for what no source can tell.
    pub process: Time,
}

impl Clocks {
    /// The clock a rule runs on: of several sources the latest. `None` before
    /// any of them has started.
    pub fn of_rule(&self, rule: &RulePlan) -> Option<Time> {
        if rule.is_on_process_clock() {
            return Some(self.process);
        }
        self.leader(rule).and_then(|s| self.sources[s].now())
    }

    /// The wall time of an instant of a rule's clock.
    pub fn wall(&self, rule: &RulePlan, clock: Time) -> Time {
        if rule.is_on_process_clock() {
            return clock;
        }
        self.leader(rule).map_or(clock, |s| self.sources[s].wall(clock))
    }

    fn leader(&self, rule: &RulePlan) -> Option<SourceId> {
        rule.sources
            .iter()
            .copied()
            .filter(|s| self.sources[*s].now().is_some())
            .max_by_key(|s| self.sources[*s].now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(wall: i64, mono: i64) -> Stamp {
        Stamp { at: Time::from_secs(wall), boot: Some(Boot { id: 1, monotonic: mono * 1_000_000_000 }) }
    }

    fn secs(clock: &Clock) -> i64 {
        clock.now().unwrap().as_secs()
    }

    #[test]
    fn steps_of_the_wall_clock_do_not_move_a_journal() {
        let mut clock = Clock::default();
        for stamp in [journal(1_000, 10), journal(1_005, 15), journal(4_606, 16), journal(1_008, 18)] {
            clock.take(stamp);
        }
        assert_eq!(secs(&clock), 1_008);
        assert_eq!(clock.wall(clock.now().unwrap()), Time::from_secs(1_008));
    }

    #[test]
    fn a_new_boot_takes_as_long_as_the_wall_clock_says() {
        let mut clock = Clock::default();
        clock.take(journal(1_000, 10));
        clock
            .take(Stamp { at: Time::from_secs(1_120), boot: Some(Boot { id: 2, monotonic: 1_000_000_000 }) });
        assert_eq!(secs(&clock), 1_120);
    }

    #[test]
    fn elsewhere_a_backward_step_stands_still() {
        let mut clock = Clock::default();
        for wall in [1_000, 1_010, 500, 1_011] {
            clock.take(Stamp { at: Time::from_secs(wall), boot: None });
        }
        assert_eq!(secs(&clock), 1_011);
    }

    #[test]
    fn a_clock_that_was_moved_on_is_not_moved_back_by_a_line() {
        let mut clock = Clock::default();
        clock.take(journal(1_000, 10));
        clock.move_to(clock.at_wall(Time::from_secs(1_060)).unwrap());
        clock.take(journal(1_030, 40));
        assert_eq!(secs(&clock), 1_060);
        clock.take(journal(1_100, 110));
        assert_eq!(secs(&clock), 1_100);
    }
}
