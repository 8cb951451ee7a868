//! The thread of a journal source: read, send, wait.
//!
//! journald announces writes up to half a second late, so for two seconds after
//! a line the thread also looks by itself every 15 ms; later it waits, and
//! wakes four times a second only to see whether it is to end. What was not
//! taken by the channel was not read: after any failure the journal is opened
//! anew at the position sent last, so nothing is lost or told twice.

#![allow(clippy::disallowed_methods, reason = "this thread waits, and paces itself")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;

use crate::model::{Batch, Cursor, Reading, SourceId, SourceState, Time};
use crate::source::Sender;

use super::bus;
use super::handle;
use super::position::Saved;
use super::reader::{Broken, Options, Reader};
use super::resume::now;

/// So long after a line the thread looks by itself…
const WARM_FOR: Duration = Duration::from_secs(2);
/// …so often.
const LOOK_EVERY: Duration = Duration::from_millis(15);
/// Longest wait; also bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// The end of the journal is saved, and the directories are looked at, so often.
const TAIL_EVERY: Duration = Duration::from_secs(5);
/// Files that are named one by one are looked at so often.
const FILES_EVERY: Duration = Duration::from_secs(1);
/// A full batch whose last entry is older is a backlog.
const BEHIND_AFTER: Duration = Duration::from_secs(2);
/// First and longest pause between attempts to open.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Why following ended.
enum Ended {
    /// Told to, or nobody listens.
    Stopped,
    /// The journal must be opened anew; `why` if that is a failure.
    Reopen(Option<String>),
}

/// One journal source on its thread.
pub(super) struct Follower {
    /// Whose batches.
    pub source: SourceId,
    /// What is read.
    pub options: Options,
    /// The position sent last.
    pub saved: Option<Saved>,
    /// To the engine.
    pub tx: Sender,
    /// Set from outside to end the thread.
    pub stop: Arc<AtomicBool>,
    /// The state told last.
    pub state: Option<SourceState>,
}

impl Follower {
    /// Reads until told to stop.
    pub fn run(mut self) {
        bus::guard();
        let mut pause = PAUSE.0;
        let mut has_failed = false;
        loop {
            let began = Instant::now();
            match self.follow() {
                Ended::Stopped => return,
                Ended::Reopen(None) => continue,
                Ended::Reopen(Some(why)) => {
                    if began.elapsed() > PAUSE.1 {
                        (pause, has_failed) = (PAUSE.0, false);
                    }
                    // A reader that worked is tried once more before anything is
                    // said: a vacuumed file may fail under it.
                    let was_open = matches!(self.state, Some(SourceState::Live | SourceState::Behind));
                    if has_failed || !was_open {
                        let lost = SourceState::Lost { why };
                        if self.state.as_ref() != Some(&lost) && !self.tell_lost(lost) {
                            return;
                        }
                        if !self.rest(pause) {
                            return;
                        }
                        pause = (pause * 2).min(PAUSE.1);
                    }
                    has_failed = true;
                }
            }
        }
    }

    fn follow(&mut self) -> Ended {
        match self.read_on() {
            Ok(ended) => ended,
            Err(Broken(why)) => Ended::Reopen(Some(why)),
        }
    }

    fn read_on(&mut self) -> Result<Ended, Broken> {
        let mut readings = Vec::new();
        let census = handle::census(&self.options.journal);
        let mut reader = Reader::open(&self.options, self.saved.as_ref(), &mut readings)?;
        let mut is_first = true;
        let mut is_replaced = false;
        let mut is_stirred = true;
        let mut is_warm_until = Instant::now();
        let (mut sent_at, mut census_at, mut tail_at) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Ended::Stopped);
            }
            let is_end = reader.fill(&mut readings)?;
            if !readings.is_empty() {
                is_warm_until = Instant::now() + WARM_FOR;
            }
            self.add_states(&mut readings, is_end, is_first, reader.last_at());
            // A bare position is worth a commit only now and then.
            if is_first || !readings.is_empty() || sent_at.elapsed() >= TAIL_EVERY {
                let saved = reader.saved();
                if (!readings.is_empty() || self.saved.as_ref() != Some(&saved))
                    && !self.send(&mut readings, saved)
                {
                    return Ok(Ended::Stopped);
                }
                sent_at = Instant::now();
            }
            is_first = false;
            if !is_end {
                continue;
            }
            if is_replaced {
                return Ok(Ended::Reopen(None));
            }
            if census_at.elapsed() >= self.census_every() {
                census_at = Instant::now();
                handle::may_read(&self.options.journal).map_err(Broken)?;
                reader.look_for_damage(&mut readings);
                // What was still written to the old files is read first.
                is_replaced = handle::census(&self.options.journal) != census;
                if is_replaced {
                    continue;
                }
            }
            if is_stirred && tail_at.elapsed() >= TAIL_EVERY {
                (tail_at, is_stirred) = (Instant::now(), false);
                reader.look_at_tail()?;
                continue;
            }
            is_stirred |= reader.wait(if Instant::now() < is_warm_until { LOOK_EVERY } else { WAIT_MAX })?;
            if self.tx.is_closed() {
                return Ok(Ended::Stopped);
            }
        }
    }

    /// Files that are named one by one are not watched for their successors.
    fn census_every(&self) -> Duration {
        if self.options.journal.files.is_empty() { TAIL_EVERY } else { FILES_EVERY }
    }

    /// Puts a change of state where it belongs: `Behind` before the lines of a
    /// backlog, `Live` after the last line.
    fn add_states(
        &mut self,
        readings: &mut Vec<Reading>,
        is_end: bool,
        is_first: bool,
        last_at: Option<Time>,
    ) {
        let is_live = self.state == Some(SourceState::Live);
        let is_old = last_at.is_some_and(|at| now().since(at) > BEHIND_AFTER);
        let begins_behind = is_first && !is_live && !readings.is_empty();
        if (begins_behind || (!is_end && (is_old || !is_live))) && self.state != Some(SourceState::Behind) {
            readings.insert(0, Reading::State(SourceState::Behind));
            self.state = Some(SourceState::Behind);
        }
        if is_end && self.state != Some(SourceState::Live) {
            readings.push(Reading::State(SourceState::Live));
            self.state = Some(SourceState::Live);
        }
    }

    fn tell_lost(&mut self, lost: SourceState) -> bool {
        self.state = Some(lost.clone());
        self.put(Batch { source: self.source, readings: vec![Reading::State(lost)], cursor: None })
    }

    fn send(&mut self, readings: &mut Vec<Reading>, saved: Saved) -> bool {
        let cursor = Some(Cursor(saved.to_text()));
        let sent = self.put(Batch { source: self.source, readings: std::mem::take(readings), cursor });
        self.saved = Some(saved);
        sent
    }

    /// Waits for room in the channel, but not past a stop.
    fn put(&self, mut batch: Batch) -> bool {
        loop {
            match self.tx.try_send(batch) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(back)) => batch = back,
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.stop.load(Ordering::Relaxed) || self.tx.is_closed() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }
}
