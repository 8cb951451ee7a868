//! Where a reader begins: at the plan's start or a saved position; and whether
//! something is missing behind a position.
//!
//! Failure story. A position whose entry is gone is a gap only if entries behind
//! it are gone, too: sequence numbers have no holes but for removed entries, so
//! the first entry behind it must carry the next number. In a sequence that is
//! gone as a whole, it is a gap if everything that is left is younger. journald
//! copies what it wrote below `/run` to `/var` under new numbers: an equal entry
//! is the same entry. After a boot whose clock is behind the last one's,
//! libsystemd would show nothing until the clock has caught up: the present
//! boot is then read from its beginning.

use std::time::{SystemTime, UNIX_EPOCH};

use systemd::id128::Id128;

use crate::config::plan::Start;
use crate::model::{Boot, Gap, Reading, Time};

use super::position::{OpenLine, Position, Saved};
use super::reader::{Broken, Reader, position_of};

impl Reader {
    /// Goes to where a first start begins.
    pub(super) fn start(&mut self, start: Start) -> Result<(), Broken> {
        let found = match start {
            Start::Beginning => false,
            Start::End => {
                self.scout.seek_tail()?;
                self.scout.previous()? != 0
            }
            Start::Ago(span) => {
                let since = now().minus(span).0 / 1_000;
                self.scout.seek_realtime_usec(u64::try_from(since).unwrap_or(0))?;
                self.scout.previous()? != 0
            }
        };
        // `main` itself is never sent to the tail: with nothing there, libsystemd
        // would not find what comes later.
        let at = if found { position_of(&self.scout)? } else { None };
        self.go_to(at)
    }

    fn go_to(&mut self, at: Option<Position>) -> Result<(), Broken> {
        match &at {
            Some(at) => self.main.seek_cursor(at.text.as_str())?,
            None => self.main.seek_head()?,
        }
        self.landing = at.clone();
        self.at = at;
        Ok(())
    }

    /// Goes to a saved position and reads again what was open there.
    pub(super) fn resume(&mut self, saved: &Saved, out: &mut Vec<Reading>) -> Result<(), Broken> {
        let at = saved.at.as_deref().map(Position::parse);
        let Some(at) = at else {
            return self.go_to(None);
        };
        let Some(at) = at else {
            out.push(gap(
                now(),
                None,
                None,
                "the saved position cannot be read; the source begins at its end",
            ));
            return self.start(Start::End);
        };
        self.intake.assembler.knows_units(&saved.units);
        self.read = saved.read.as_deref().and_then(Position::parse);
        for open in &saved.open {
            self.read_again(open, &at, out)?;
        }
        self.go_to(Some(at))?;
        self.is_unchecked = true;
        self.is_resumed = true;
        Ok(())
    }

    /// Reads the pieces of one open line up to `end`, for that stream alone.
    fn read_again(&mut self, open: &OpenLine, end: &Position, out: &mut Vec<Reading>) -> Result<(), Broken> {
        let boot = u128::from_str_radix(&open.boot, 16).unwrap_or(0);
        let first = open.first.as_deref().and_then(Position::parse);
        let mut is_there = false;
        if let Some(first) = &first {
            if let Some(pid) = open.pid {
                self.scout.match_add("_PID", pid.to_string())?;
            }
            self.scout.match_add("_BOOT_ID", open.boot.as_str())?;
            if !open.stream.is_empty() {
                self.scout.match_add("_STREAM_ID", open.stream.as_str())?;
            }
            self.scout.seek_cursor(first.text.as_str())?;
            while self.scout.next()? != 0 {
                let Some(here) = position_of(&self.scout)? else {
                    break;
                };
                if here.is_after(end) || !(is_there || here.is_same_entry(first)) {
                    break;
                }
                is_there = true;
                // Nothing can be told here: the line was not whole at `end`.
                self.intake.take(&mut self.scout, &mut |_| {})?;
            }
            self.scout.match_flush()?;
        }
        if !is_there {
            if first.is_some() {
                let at = Time::from_micros(end.realtime as i64);
                out.push(gap(
                    at,
                    boot_of(end),
                    Some(1),
                    "the beginning of a long line is gone from the journal",
                ));
            }
            let stamp = (Time::from_micros(end.realtime as i64), Boot { id: boot, monotonic: 0 });
            self.intake.assembler.pass_over(open.pid, &open.stream, stamp, open.clone());
        }
        Ok(())
    }

    /// A boot whose clock is behind the position's sorts before it and would
    /// never be shown; true if there is one, and `main` stands at its begin.
    pub(super) fn turn_to_hidden_boot(&mut self) -> Result<bool, Broken> {
        let Some(at) = self.at.clone() else {
            return Ok(false);
        };
        let boot = Id128::from_boot()?;
        if at.boot == u128::from_be_bytes(*boot.as_bytes()) {
            return Ok(false);
        }
        self.scout.match_add("_BOOT_ID", format!("{:032x}", u128::from_be_bytes(*boot.as_bytes())))?;
        self.scout.seek_head()?;
        let first = if self.scout.next()? == 0 { None } else { position_of(&self.scout)? };
        self.scout.match_flush()?;
        match first {
            Some(first) if first.seqnum_id != at.seqnum_id && !first.is_after(&at) => {
                self.go_to(Some(first))?;
                self.landing = None;
                self.read = Some(at);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Tells a gap if entries behind the position are gone. Says nothing yet if
    /// nothing stands behind it: then the next entry will show.
    pub(super) fn look_for_hole(&mut self, out: &mut Vec<Reading>) -> Result<(), Broken> {
        let (true, Some(at)) = (self.is_unchecked, self.at.clone()) else {
            return Ok(());
        };
        self.scout.process()?;
        self.scout.seek_cursor(at.text.as_str())?;
        if self.scout.next()? == 0 {
            return Ok(());
        }
        let Some(next) = position_of(&self.scout)? else {
            return Ok(());
        };
        self.is_unchecked = false;
        if next.is_same_entry(&at) || self.read.is_some() {
            return Ok(());
        }
        let is_hole = if next.seqnum_id == at.seqnum_id {
            next.seqnum > at.seqnum.saturating_add(1)
        } else if self.damage.has_cut(at.seqnum_id) {
            // How far that file went, its header tells.
            false
        } else {
            self.scout.seek_head()?;
            let oldest = if self.scout.next()? == 0 { None } else { position_of(&self.scout)? };
            oldest.is_some_and(|oldest| oldest.is_after(&at))
        };
        if is_hole {
            let told_at = Time::from_micros(next.realtime as i64);
            out.push(gap(
                told_at,
                boot_of(&next),
                None,
                "entries were removed from the journal before they were read",
            ));
        }
        Ok(())
    }
}

/// The monotonic stamp of a position.
pub(super) fn boot_of(position: &Position) -> Option<Boot> {
    let monotonic = i64::try_from(position.monotonic.saturating_mul(1_000)).unwrap_or(i64::MAX);
    (position.boot != 0).then_some(Boot { id: position.boot, monotonic })
}

fn gap(at: Time, boot: Option<Boot>, lines: Option<u64>, why: &str) -> Reading {
    Reading::Gap(Gap { at, boot, lines, why: why.to_owned() })
}

/// The wall clock, as the journal's own stamps show it.
#[allow(clippy::disallowed_methods, reason = "a span before now is counted from now")]
pub(super) fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
