//! The systemd journal as a source, through libsystemd.
//!
//! [`spawn`] follows it on a thread of its own, for good; [`read`] goes through
//! it once, for a replay. What is selected, joined, resumed and told as lost is
//! the same in both. Knows nothing of what a line means. It never starts
//! `journalctl`: no child can die, hang or write into the journal it reads.
//!
//! The surprising decisions: there are two handles on one journal, one with the
//! source's matches and one without (see `reader.rs`); and a signal handler,
//! since a file that shrinks under libsystemd would end the process (`bus.rs`).
//!
//! Known limits: entries that `systemd-journal-remote` adds *behind* the place
//! already read (an earlier machine's backlog, arriving late) are not seen, as
//! libsystemd only goes forward. A process of this program with another id is
//! not known as our own. A line whose first piece stands before the place of a
//! first start is taken for a whole one.

mod bus;
mod damage;
mod entry;
mod follow;
mod handle;
mod position;
mod reader;
mod resume;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use crate::config::plan::{JournalPlan, SourceKind, SourcePlan};
use crate::model::{Cursor, Reading, SourceId, Time};

use super::Sender;
use entry::Intake;
use follow::Follower;
use position::Saved;
use reader::Options;

/// A journal that cannot be read once through.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Follows the journal of `plan` on a thread, from `cursor` (or where the plan
/// starts) until `stop` is set or the receiver is gone; either ends it within a
/// second. What cannot be read is told as `Lost` and tried again for ever.
///
/// Errors: the thread cannot be started, or the plan is not a journal's.
pub fn spawn(
    source: SourceId,
    plan: &SourcePlan,
    cursor: Option<Cursor>,
    tx: Sender,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    let SourceKind::Journal(journal) = &plan.kind else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a journal source"));
    };
    let options =
        Options { journal: journal.clone(), start: plan.start, line_bytes_max: plan.line_bytes_max };
    let saved = cursor.map(|cursor| {
        // An unknown text becomes a position that cannot be read, which is told.
        Saved::parse(&cursor.0).unwrap_or_else(|| Saved { at: Some(cursor.0), ..Saved::default() })
    });
    let follower = Follower { source, options, saved, tx, stop, state: None };
    std::thread::Builder::new()
        .name(format!("journal {}", plan.name.replace('\0', "")))
        .spawn(move || follower.run())
}

/// Reads `journal` once from `since` (or its beginning) to its end, with the
/// limits of `plan`. `each` may break off. Lines that are still open at the end
/// come last, as cut ones.
///
/// Errors: the journal cannot be opened or read; says why, with the remedy.
pub fn read(
    plan: &SourcePlan,
    journal: &JournalPlan,
    since: Option<Time>,
    each: &mut dyn FnMut(Reading) -> ControlFlow<()>,
) -> Result<(), Error> {
    bus::guard();
    let mut handle = handle::open(journal, plan.line_bytes_max).map_err(Error)?;
    handle::select(&mut handle, journal).map_err(Error)?;
    let mut intake = Intake::new(journal, plan.line_bytes_max);
    let fail = |error: systemd::Error| Error(format!("cannot read the journal: {error}"));
    match since {
        None => handle.seek_head(),
        Some(since) => handle.seek_realtime_usec(u64::try_from(since.0 / 1_000).unwrap_or(0)),
    }
    .map_err(fail)?;
    let mut flow = ControlFlow::Continue(());
    let whole = || if bus::was_cut() { Err(Error(handle::CUT.to_owned())) } else { Ok(()) };
    while flow.is_continue() && handle.next().map_err(fail)? != 0 {
        let mut pass = |reading: Reading| {
            if flow.is_continue() && since.is_none_or(|since| time_of(&reading) >= since) {
                flow = each(reading);
            }
        };
        intake.take(&mut handle, &mut pass).map_err(fail)?;
        whole()?;
    }
    whole()?;
    for line in intake.assembler.finish() {
        if flow.is_continue() {
            flow = each(Reading::Line(line));
        }
    }
    Ok(())
}

fn time_of(reading: &Reading) -> Time {
    match reading {
        Reading::Line(line) => line.at,
        Reading::Gap(gap) => gap.at,
        Reading::State(_) => Time(i64::MAX),
    }
}
