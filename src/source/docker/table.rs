//! The containers of one source and the merge of their lines by time.
//!
//! Each follower fills a bounded channel of its own; here the earliest line at
//! hand goes first, so that two containers of a service, or an old one and its
//! successor, are read in the order in which they wrote even when hours of them
//! are read at once. While a container is read up, nobody overtakes it, but for
//! a bounded time only: one that hangs must not silence the others. Marks move
//! here when a line is handed on, never when it was merely read.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;

use crate::model::{Cursor, Reading, SourceState};

use super::cursor::{Mark, Saved};
use super::follow::{Ending, Item};

/// A container of the source.
pub struct Tracked {
    /// How far its lines were handed on.
    pub mark: Mark,
    /// dockerd still lists it.
    pub is_listed: bool,
    /// It runs, or did when last listed.
    pub is_running: bool,
    /// It started since its follower did, or was never looked at.
    pub needs_look: bool,
    /// Not to be followed before.
    pub retry_at: Option<Instant>,
    /// Why its follower broke off, until one has read to the end again.
    pub broken: Option<String>,
    /// How often in a row.
    pub breaks: u32,
    /// Why its log cannot be read.
    pub unreadable: Option<String>,
    follower: Option<JoinHandle<()>>,
    inbox: Option<Receiver<Vec<Item>>>,
    queue: VecDeque<Item>,
    is_at_end: bool,
    /// Since when its empty queue is waited for.
    waiting_since: Option<Instant>,
}

impl Tracked {
    /// A container that is not followed yet.
    pub fn new(mark: Mark) -> Tracked {
        Tracked {
            mark,
            is_listed: true,
            is_running: true,
            needs_look: true,
            retry_at: None,
            broken: None,
            breaks: 0,
            unreadable: None,
            follower: None,
            inbox: None,
            queue: VecDeque::new(),
            is_at_end: false,
            waiting_since: None,
        }
    }

    /// Gives it a follower that started at its mark.
    pub fn attach(&mut self, follower: JoinHandle<()>, inbox: Receiver<Vec<Item>>) {
        self.follower = Some(follower);
        self.inbox = Some(inbox);
        self.queue.clear();
        self.is_at_end = false;
        self.needs_look = false;
        self.waiting_since = None;
    }

    /// A follower reads it.
    pub fn is_followed(&self) -> bool {
        self.inbox.is_some()
    }

    fn refill(&mut self) {
        while self.queue.is_empty() {
            let Some(inbox) = &mut self.inbox else { return };
            match inbox.try_recv() {
                Ok(items) => {
                    self.queue.extend(items);
                    self.waiting_since = None;
                }
                Err(TryRecvError::Empty) => {
                    self.waiting_since.get_or_insert_with(Instant::now);
                    return;
                }
                Err(TryRecvError::Disconnected) => {
                    let why = "the follower of a container ended without a word".to_owned();
                    self.queue.push_back(Item::End(Ending::Broken(why)));
                }
            }
        }
    }

    fn detach(&mut self) {
        self.inbox = None;
        self.queue.clear();
        self.mark.forget_open();
        if let Some(follower) = self.follower.take() {
            follower.abort();
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.detach();
    }
}

/// All containers of the source, by full id.
#[derive(Default)]
pub struct Table {
    /// Bounded by the watcher.
    pub containers: BTreeMap<String, Tracked>,
    /// Followers that ended since the watcher looked.
    pub endings: Vec<(String, Ending)>,
}

impl Table {
    /// The next reading, in time order; `None` when it has yet to come. A
    /// container that is behind is waited for, but not longer than `patience`.
    pub fn next(&mut self, patience: Duration) -> Option<Reading> {
        let mut earliest: Option<(i64, &String)> = None;
        let mut is_blocked = false;
        for (id, tracked) in &mut self.containers {
            match settle(id, tracked, &mut self.endings) {
                Head::Gap(reading) => return Some(reading),
                Head::Line(at) => {
                    if earliest.is_none_or(|(best, _)| at < best) {
                        earliest = Some((at, id));
                    }
                }
                Head::Nothing => {
                    let is_waited_for = tracked.is_followed() && !tracked.is_at_end;
                    let waits_for = tracked.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
                    is_blocked |= is_waited_for && waits_for < patience;
                }
            }
        }
        let id = earliest.filter(|_| !is_blocked)?.1.clone();
        let tracked = self.containers.get_mut(&id)?;
        let item = tracked.queue.pop_front()?;
        item.apply(&mut tracked.mark);
        match item {
            Item::Line(line) => Some(Reading::Line(line)),
            _ => None,
        }
    }

    /// What the source is, as far as its containers go. One whose log breaks off
    /// again and again is enough to lose it; a driver that keeps nothing does so
    /// where no other container that runs can be read.
    pub fn state(&self) -> SourceState {
        let (mut broken, mut unreadable) = (None, None);
        let (mut is_behind, mut is_readable) = (false, false);
        let does_any_run = self.containers.values().any(|tracked| tracked.is_running);
        for tracked in self.containers.values() {
            let is_present = tracked.is_running || !does_any_run;
            if let Some(why) = &tracked.unreadable {
                unreadable = unreadable.or(is_present.then_some(why));
                continue;
            }
            // A connection that breaks once is asked for again before it is told.
            broken = broken.or(tracked.broken.as_ref().filter(|_| tracked.breaks > 1));
            is_behind |= tracked.broken.is_some() || (tracked.is_followed() && !tracked.is_at_end);
            is_readable |= is_present;
        }
        match broken.or(unreadable.filter(|_| !is_readable)) {
            Some(why) => SourceState::Lost { why: why.clone() },
            None if is_behind => SourceState::Behind,
            None => SourceState::Live,
        }
    }

    /// Where to resume after what was handed on; `others` are the marks of those
    /// that are not read now.
    pub fn cursor(&self, others: &BTreeMap<String, Mark>) -> Cursor {
        Saved::write(self.containers.iter().map(|(id, tracked)| (id, &tracked.mark)).chain(others))
    }

    /// Some container is still read.
    pub fn is_followed(&self) -> bool {
        self.containers.values().any(Tracked::is_followed)
    }

    /// Stops all followers; the marks stay.
    pub fn detach_all(&mut self) {
        self.containers.values_mut().for_each(Tracked::detach);
    }
}

/// What stands first in a container's queue.
enum Head {
    Gap(Reading),
    Line(i64),
    Nothing,
}

/// Carries out what is no reading, up to the first that is one.
fn settle(id: &str, tracked: &mut Tracked, endings: &mut Vec<(String, Ending)>) -> Head {
    loop {
        tracked.refill();
        if let Some(Item::Line(line)) = tracked.queue.front() {
            return Head::Line(line.at.0);
        }
        let Some(item) = tracked.queue.pop_front() else {
            return Head::Nothing;
        };
        item.apply(&mut tracked.mark);
        match item {
            Item::Gap(gap) => return Head::Gap(Reading::Gap(gap)),
            Item::AtEnd => {
                tracked.is_at_end = true;
                tracked.broken = None;
                tracked.breaks = 0;
            }
            Item::End(ending) => {
                tracked.detach();
                endings.push((id.to_owned(), ending));
            }
            _ => {}
        }
    }
}
