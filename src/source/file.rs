//! The file source: follows files through rotation, from a thread of its own.
//!
//! Responsible for reading every line of the configured paths once, in order,
//! and for saying so where that is not possible. It must not interpret lines
//! beyond their time, and it stores nothing: its cursor travels with the lines.
//!
//! A file is known by its inode and a fingerprint of its head
//! ([`crate::decode::follow`]), not by its path; the path is where new files
//! are looked for. The failure story:
//!
//! - *Renamed.* The old file stays open and is read to its end before the new
//!   one is begun. It is left [`LATE_FOR`] after its last growth, for writers
//!   that are slow to open the new one; what they write late comes late, but
//!   it comes. Files rotated twice between two looks are found beside the path
//!   by their names (`name.1`, `name-20260101`), in a list that is believed once
//!   it is the same twice: files move while a folder is read.
//! - *A link that was switched.* As renamed: the cursor names what it led to.
//! - *Copied and truncated.* The inode stays and the size or the head does not.
//!   If the copy is found beside the path (same head), it is read on from where
//!   the reader stood. If not, what was known to be unread is a gap. What was
//!   written between the copy and the truncation is gone unseen: no reader can
//!   know of it. Twice between two looks leaves a second copy, which is read.
//! - *Down meanwhile.* The cursor names inode and head, so a renamed file is
//!   found again in its folder, finished, and then those rotated after it and
//!   the new one are read. Gone or packed is a gap.
//! - *Not there.* Silence, not an error; read from its beginning when it comes.
//! - *Not readable.* The source is lost, with the reason, until it is; a rotated
//!   file with unread lines too. One that was there before us is none of ours.
//! - *A line that never ends.* Cut at the limit; the rest is passed over. The
//!   cursor stands at the beginning of a line that is not whole.

#![expect(
    clippy::disallowed_methods,
    reason = "a source reads the clock for lines without a time, and waits"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::config::plan::{FilePlan, SourceKind, SourcePlan};
use crate::decode::follow::FileId;
use crate::model::{Batch, Cursor, Reading, SourceId, SourceState, Time};

mod choose;
mod cursor;
mod reader;
mod scan;
mod text;
mod watch;

use cursor::{DoneFile, Position};
use reader::{Pumped, Reader, Sink};

/// A file that left its path is let go so long after it last grew.
const LATE_FOR: Duration = Duration::from_secs(5);
/// One that nothing links to any more, and that no file follows.
const UNLINKED_FOR: Duration = Duration::from_secs(60);
/// Everything is looked at so often, whatever was announced.
const RESCAN_EVERY: Duration = Duration::from_secs(1);
/// The longest wait; a stop is noticed after it.
const WAIT: Duration = Duration::from_millis(200);
/// The wait while a renamed file may still be written: it is not announced.
const WAIT_LATE: Duration = Duration::from_millis(50);
/// How often a full queue is tried again.
const QUEUE_RETRY: Duration = Duration::from_millis(2);
/// More unread bytes than that are a backlog.
const BEHIND_BYTES: u64 = 256 * 1024;
/// Renamed files kept open.
const RETIRED_MAX: usize = 64;
/// Files remembered as read, beside one path.
const DONE_MAX: usize = 64;

/// Follows the files of a source until `stop` is set or the receiver is gone.
///
/// The first batch holds the position even if it holds no line, so that a
/// restart goes on where the first start began.
///
/// # Errors
///
/// The plan is not one of a file source, or no thread can be started.
pub fn spawn(
    source: SourceId,
    plan: &SourcePlan,
    cursor: Option<Cursor>,
    tx: Sender<Batch>,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    let SourceKind::File(files) = &plan.kind else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("source {} follows no files", plan.name),
        ));
    };
    let mut follower = Follower {
        source,
        plan: plan.clone(),
        files: files.clone(),
        tx,
        stop,
        readers: Vec::new(),
        done: BTreeMap::new(),
        known: Vec::new(),
        troubles: BTreeMap::new(),
        blocked: BTreeMap::new(),
        unsettled: BTreeSet::new(),
        locked: BTreeSet::new(),
        next_order: 0,
        state: None,
        sink: Sink::default(),
        sent: None,
    };
    std::thread::Builder::new().name(format!("file {}", plan.name)).spawn(move || follower.run(cursor))
}

/// The thread's state.
struct Follower {
    source: SourceId,
    plan: SourcePlan,
    files: FilePlan,
    tx: Sender<Batch>,
    stop: Arc<AtomicBool>,
    readers: Vec<Reader>,
    /// By path: rotated files that are not to be read.
    done: BTreeMap<PathBuf, Vec<DoneFile>>,
    /// Patterns that were scanned before; files of others obey `start`.
    known: Vec<String>,
    /// Why something cannot be read; the empty path is the scan itself.
    troubles: BTreeMap<PathBuf, String>,
    /// Files that could not be opened at the first start, and their size then:
    /// their `start`.
    blocked: BTreeMap<PathBuf, (FileId, u64)>,
    /// Paths beside which files moved while they were looked for.
    unsettled: BTreeSet<PathBuf>,
    /// Paths beside which a rotated file may not be read; looked at with the
    /// others.
    locked: BTreeSet<PathBuf>,
    next_order: u64,
    state: Option<SourceState>,
    sink: Sink,
    sent: Option<Cursor>,
}

/// Nobody listens any more.
struct Closed;

impl Follower {
    fn run(&mut self, cursor: Option<Cursor>) {
        let mut watcher = watch::Watcher::new();
        let first = scan::scan(&self.files.paths);
        watcher.cover(&scan::folders(&self.files.paths, &first.found));
        if let Some(cursor) = cursor {
            match Position::read(&cursor) {
                Some(position) => self.resume(position),
                None => self.sink.gap(now(), "the stored position cannot be read; beginning anew".to_owned()),
            }
        }
        let mut scanned_at: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if !self.unsettled.is_empty() || scanned_at.is_none_or(|at| at.elapsed() >= RESCAN_EVERY) {
                scanned_at = Some(Instant::now());
                let found = self.rescan();
                if watcher.cover(&scan::folders(&self.files.paths, &found)) {
                    self.rescan();
                }
            }
            let Ok(is_at_end) = self.pass() else { return };
            let is_late = self.readers.iter().any(|r| r.retired_at.is_some());
            let wait = match (is_at_end, is_late) {
                (false, _) => Duration::ZERO,
                (true, true) => WAIT_LATE,
                (true, false) => WAIT,
            };
            let wake = watcher.wait(wait);
            if self.note(&wake) {
                scanned_at = None;
            }
        }
    }

    /// Marks what was announced; true if the paths must be looked at again.
    fn note(&mut self, wake: &watch::Wake) -> bool {
        for reader in &mut self.readers {
            let is_written = |path: &PathBuf| *path == reader.path || *path == reader.real;
            reader.is_dirty |= reader.retired_at.is_some() || wake.written.iter().any(is_written);
        }
        wake.is_blind
            || wake.changed.iter().any(|path| {
                self.files
                    .paths
                    .iter()
                    .any(|pattern| scan::fits(pattern, path) || Path::new(pattern).starts_with(path))
                    || self.readers.iter().any(|r| r.path == *path || r.real == *path)
            })
    }

    /// Reads every file that may have more, in order; true if all were read to
    /// their end.
    fn pass(&mut self) -> Result<bool, Closed> {
        let now = now();
        self.say_if_behind();
        self.readers.sort_by_key(|r| r.order);
        let mut is_at_end = true;
        let mut waiting: Vec<Arc<str>> = Vec::new();
        let mut at = 0;
        while at < self.readers.len() {
            let reader = &mut self.readers[at];
            if waiting.contains(&reader.writer) {
                is_at_end = false;
            } else if reader.is_dirty {
                match reader.pump(now, &mut self.sink) {
                    Ok(Pumped::AtEnd) => reader.is_dirty = false,
                    Ok(Pumped::More) => {
                        waiting.push(reader.writer.clone());
                        is_at_end = false;
                        self.flush()?;
                    }
                    Ok(Pumped::Restarted) => {
                        self.restart(at, now);
                        is_at_end = false;
                        break;
                    }
                    Err(error) => {
                        let why = format!("{}: {}", reader.path.display(), scan::why(&error));
                        self.troubles.insert(reader.path.clone(), why);
                    }
                }
            }
            at += 1;
        }
        self.let_go(now);
        let state = match self.troubles.values().next() {
            Some(why) => Some(SourceState::Lost { why: why.clone() }),
            None if is_at_end => Some(SourceState::Live),
            None if matches!(self.state, Some(SourceState::Lost { .. })) => Some(SourceState::Behind),
            None => None,
        };
        self.say(state);
        self.flush()?;
        Ok(is_at_end)
    }

    /// The file was replaced from within.
    fn restart(&mut self, at: usize, now: Time) {
        let position = self.readers[at].position();
        let path = PathBuf::from(&*self.readers[at].writer);
        let copy = self.copy_of(&path, &position);
        let order = self.order();
        let reader = &mut self.readers[at];
        let had_rest = reader.has_rest();
        let first = std::mem::replace(&mut reader.order, order);
        if let Err(error) = reader.restart() {
            let why = format!("{}: {}", reader.path.display(), scan::why(&error));
            self.troubles.insert(reader.path.clone(), why);
        }
        match copy {
            Some(mut copy) => {
                copy.resume(&position);
                copy.order = first;
                copy.retired_at = Some(Instant::now());
                self.readers.push(copy);
            }
            None if had_rest => {
                self.sink.gap(now, format!("{} was truncated before it was read to its end", path.display()));
            }
            None => {}
        }
        // It may have happened twice between two looks.
        self.pass_over_copies(&path, &position);
        let id = Some(self.readers[at].id);
        self.begin_rotated(&path, id);
    }

    /// Lets go of renamed files that nobody writes any more.
    fn let_go(&mut self, now: Time) {
        let retired = self.readers.iter().filter(|r| r.retired_at.is_some()).count();
        let mut surplus = retired.saturating_sub(RETIRED_MAX);
        let mut at = 0;
        while at < self.readers.len() {
            let reader = &self.readers[at];
            let idle_for =
                reader.retired_at.map(|since| since.max(reader.grown_at).elapsed()).unwrap_or_default();
            let is_followed =
                self.readers.iter().any(|r| r.writer == reader.writer && r.order > reader.order);
            let is_over = reader.is_at_end
                && reader.retired_at.is_some()
                && (surplus > 0
                    || (is_followed && idle_for >= LATE_FOR)
                    || (idle_for >= UNLINKED_FOR && reader.is_unlinked()));
            if !is_over {
                at += 1;
                continue;
            }
            surplus = surplus.saturating_sub(1);
            let mut reader = self.readers.remove(at);
            reader.finish(now, &mut self.sink);
            self.remember(&PathBuf::from(&*reader.writer), reader.done());
        }
    }

    fn say_if_behind(&mut self) {
        let unread: u64 = self.readers.iter().map(Reader::backlog).sum();
        if unread > BEHIND_BYTES && self.troubles.is_empty() {
            self.say(Some(SourceState::Behind));
        }
    }

    fn say(&mut self, state: Option<SourceState>) {
        if let Some(state) = state
            && self.state.as_ref() != Some(&state)
        {
            self.sink.readings.push(Reading::State(state.clone()));
            self.state = Some(state);
        }
    }

    /// Sends what was read, with the position after it.
    fn flush(&mut self) -> Result<(), Closed> {
        let cursor = self.position().write();
        let readings = self.sink.take();
        if readings.is_empty() && self.sent.as_ref() == Some(&cursor) {
            return Ok(());
        }
        self.sent = Some(cursor.clone());
        let mut batch = Batch { source: self.source, readings, cursor: Some(cursor) };
        loop {
            batch = match self.tx.try_send(batch) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Closed),
                Err(TrySendError::Full(batch)) => batch,
            };
            if self.stop.load(Ordering::Relaxed) {
                return Err(Closed);
            }
            std::thread::sleep(QUEUE_RETRY);
        }
    }

    fn position(&self) -> Position {
        let mut readers: Vec<&Reader> = self.readers.iter().collect();
        readers.sort_by_key(|r| r.order);
        Position::new(&self.known, readers.into_iter().map(Reader::position).collect(), &self.done)
    }
}

/// The wall clock.
fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
