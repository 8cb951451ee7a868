//! Reads a journal from a position on.
//!
//! Two handles look at the same journal. `main` has the source's matches and
//! gives the entries. `scout` has none: it tells where the journal ends (the
//! position is saved past what did not match, or a quiet unit would raise a gap
//! at each vacuum) and what stands next to a position.

use std::time::Duration;

use systemd::Journal;

use crate::config::plan::{JournalPlan, Start};
use crate::model::{Gap, Reading, Time};

use super::bus;
use super::damage::Damage;
use super::entry::Intake;
use super::handle;
use super::position::{OpenLine, Position, Saved};
use super::resume::{boot_of, now};

/// Entries of one batch.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of text of one batch.
const BYTES_MAX: usize = 1 << 20;

/// Why a reader cannot go on; it is opened anew at the saved position.
pub(super) struct Broken(pub String);

impl From<systemd::Error> for Broken {
    fn from(error: systemd::Error) -> Broken {
        Broken(format!("cannot read the journal: {error}"))
    }
}

/// What a source needs of its plan.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// What is read.
    pub journal: JournalPlan,
    /// Where a first start begins.
    pub start: Start,
    /// Bound of a line.
    pub line_bytes_max: usize,
}

/// An open journal at a position.
pub(super) struct Reader {
    pub(super) main: Journal,
    pub(super) scout: Journal,
    pub(super) intake: Intake,
    /// Everything up to here is read.
    pub(super) at: Option<Position>,
    /// The entry that a seek lands on and that is read already.
    pub(super) landing: Option<Position>,
    /// A boot is read whose clock is behind: see [`Saved::read`].
    pub(super) read: Option<Position>,
    /// Files came or went: look for a hole behind `at` before going on.
    pub(super) is_unchecked: bool,
    /// At the first end, look for a boot that sorts before `at`.
    pub(super) is_resumed: bool,
    /// Files that were found damaged, and what was told of them.
    pub(super) damage: Damage,
    looked_at: Option<Position>,
    /// The journal's end when it was last looked at; everything up to it is
    /// read once `main` is at its end.
    tail: Option<Position>,
    /// Transport time of the last entry read.
    last_at: Option<Time>,
}

impl Reader {
    /// Opens the journal at `saved`, or where the plan starts. Readings that
    /// the start itself gives (a gap) go to `out`.
    pub fn open(options: &Options, saved: Option<&Saved>, out: &mut Vec<Reading>) -> Result<Reader, Broken> {
        let mut main = handle::open(&options.journal, options.line_bytes_max).map_err(Broken)?;
        handle::select(&mut main, &options.journal).map_err(Broken)?;
        let scout = handle::open(&options.journal, options.line_bytes_max).map_err(Broken)?;
        let mut reader = Reader {
            main,
            scout,
            intake: Intake::new(&options.journal, options.line_bytes_max),
            at: None,
            landing: None,
            read: None,
            is_unchecked: false,
            is_resumed: false,
            damage: Damage::new(&options.journal),
            looked_at: None,
            tail: None,
            last_at: None,
        };
        match saved {
            None => {
                reader.start(options.start)?;
                // What was damaged before our time is not ours to tell.
                reader.damage.look(None);
            }
            Some(saved) => {
                reader.damage.knows(&saved.damaged);
                reader.resume(saved, out)?;
                reader.look_for_damage(out);
            }
        }
        Ok(reader)
    }

    /// Where to resume, as it is to be saved now.
    pub fn saved(&self) -> Saved {
        Saved {
            at: self.at.as_ref().map(|at| at.text.clone()),
            open: self.open_lines(),
            damaged: self.damage.known(),
            units: self.intake.assembler.units().collect(),
            read: self.read.as_ref().map(|read| read.text.clone()),
        }
    }

    /// What must be read again, or passed over, after a restart.
    fn open_lines(&self) -> Vec<OpenLine> {
        let open = self.intake.assembler.joiner().open_lines();
        let line = |(line, is_told): (&OpenLine, bool)| {
            let first = if is_told { None } else { line.first.clone() };
            OpenLine { first, ..line.clone() }
        };
        open.map(line).collect()
    }

    /// Transport time of the last entry read.
    pub fn last_at(&self) -> Option<Time> {
        self.last_at
    }

    /// Reads a bounded number of entries into `out`; true at the end.
    pub fn fill(&mut self, out: &mut Vec<Reading>) -> Result<bool, Broken> {
        let mut bytes = 0;
        let mut has_moved = false;
        for _ in 0..ENTRIES_MAX {
            if bytes >= BYTES_MAX {
                break;
            }
            if self.main.next()? == 0 {
                // An end that was read of a page that is not there is none.
                whole()?;
                self.mark(has_moved)?;
                return self.ended(out);
            }
            if self.is_read_already()? {
                continue;
            }
            self.look_for_hole(out)?;
            has_moved = true;
            self.last_at = self.main.timestamp_usec().ok().map(|us| Time::from_micros(us as i64));
            self.intake.take(&mut self.main, &mut |reading| {
                if let Reading::Line(line) = &reading {
                    bytes += line.text.len();
                }
                out.push(reading);
            })?;
            whole()?;
            if self.read.is_some() {
                // The next entry may be one that is passed over.
                self.mark(has_moved)?;
                has_moved = false;
            }
        }
        self.mark(has_moved)?;
        Ok(false)
    }

    /// Tells a gap for each file that was cut off and held entries behind the
    /// position of the last look: libsystemd may have left the file since.
    pub fn look_for_damage(&mut self, out: &mut Vec<Reading>) {
        let position = self.looked_at.take().or_else(|| self.at.clone());
        for why in self.damage.look(position.as_ref()) {
            // At the position's own time: what is still to come may be old.
            let (at, boot) = match &position {
                Some(at) => (Time::from_micros(at.realtime as i64), boot_of(at)),
                None => (now(), None),
            };
            out.push(Reading::Gap(Gap { at, boot, lines: None, why }));
            // The hole that it leaves is told with it.
            self.is_unchecked = false;
        }
        self.looked_at.clone_from(&self.at);
    }

    /// Waits for news up to `limit`; true if there may be some.
    pub fn wait(&mut self, limit: Duration) -> Result<bool, Broken> {
        use systemd::journal::JournalWaitResult::{Append, Invalidate, Nop};
        match self.main.wait(Some(limit))? {
            Nop => Ok(false),
            Append => Ok(true),
            Invalidate => {
                self.is_unchecked = true;
                Ok(true)
            }
        }
    }

    /// Notes where the journal ends, for the next time `main` finds its end.
    pub fn look_at_tail(&mut self) -> Result<(), Broken> {
        self.scout.process()?;
        self.scout.seek_tail()?;
        self.tail = if self.scout.previous()? == 0 { None } else { position_of(&self.scout)? };
        // What the scout saw, `main` must be able to see before its end counts.
        if let systemd::journal::JournalWaitResult::Invalidate = self.main.process()? {
            self.is_unchecked = true;
        }
        Ok(())
    }

    /// After a seek, `main` lands on the entry that was read last; beside a
    /// clock that went back, entries of an earlier boot come by once more.
    fn is_read_already(&mut self) -> Result<bool, Broken> {
        if self.landing.is_none() && self.read.is_none() {
            return Ok(false);
        }
        let here = position_of(&self.main)?;
        if let Some(landing) = self.landing.take()
            && here.as_ref().is_some_and(|here| here.is_same_entry(&landing))
        {
            return Ok(true);
        }
        let is_read = |read: &Position, here: &Position| {
            here.boot == read.boot || (here.seqnum_id == read.seqnum_id && here.seqnum <= read.seqnum)
        };
        Ok(matches!((&self.read, &here), (Some(read), Some(here)) if is_read(read, here)))
    }

    /// Takes the place of the entry read last as the position.
    fn mark(&mut self, has_moved: bool) -> Result<(), Broken> {
        if has_moved && let Some(here) = position_of(&self.main)? {
            if self.read.as_ref().is_some_and(|read| here.realtime > read.realtime) {
                self.read = None;
            }
            self.at = Some(here);
        }
        Ok(())
    }

    /// `main` has nothing more: the position moves on to the journal's end as
    /// it was noted before.
    fn ended(&mut self, out: &mut Vec<Reading>) -> Result<bool, Broken> {
        if self.is_resumed {
            self.is_resumed = false;
            if self.turn_to_hidden_boot()? {
                return Ok(false);
            }
        }
        if let Some(tail) = self.tail.take()
            && self.read.is_none()
            && self.at.as_ref().is_none_or(|at| tail.is_after(at))
        {
            self.look_for_hole(out)?;
            self.at = Some(tail);
        }
        Ok(true)
    }
}

/// Nothing that was read since the last question was cut off.
fn whole() -> Result<(), Broken> {
    if bus::was_cut() { Err(Broken(handle::CUT.to_owned())) } else { Ok(()) }
}

/// The place of the entry on which a handle stands.
pub(super) fn position_of(journal: &Journal) -> Result<Option<Position>, Broken> {
    Ok(Position::parse(&journal.cursor()?))
}
