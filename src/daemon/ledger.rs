//! What the monitor asks of its memory.
//!
//! The state file implements it by itself; the simulation has a second one
//! that loses on purpose what was not committed. What each method promises
//! stands at [`Store`]'s own.

use std::time::Duration;

use crate::model::{Incident, OutboxView, Time};
use crate::store::{Claimed, Commit, Committed, Error, Loaded, Store};

/// The durable memory: state, history and outbox.
pub trait Ledger: Sized {
    /// Commits reach a disk.
    fn is_durable(&self) -> bool;
    /// What a restart begins with.
    fn load(&self, kinds: &[&'static str]) -> Result<Loaded, Error>;
    /// All or nothing, and kept when it returns.
    fn commit(&mut self, commit: Commit<'_>) -> Result<Committed, Error>;
    /// Claims what is to be sent now.
    fn due(&mut self, now: Time, lease: Duration) -> Result<Vec<Claimed>, Error>;
    /// When [`Ledger::due`] is next worth asking.
    fn next_due(&self, now: Time) -> Result<Option<Time>, Error>;
    /// It was accepted.
    fn record_delivered(&mut self, id: &str, at: Time) -> Result<bool, Error>;
    /// An attempt failed; the next may be made at `next_attempt_at`.
    fn record_failed(&mut self, id: &str, at: Time, next_attempt_at: Time, why: &str) -> Result<bool, Error>;
    /// The receiver asked to be left alone until then.
    fn hold_receiver(&mut self, receiver: &str, at: Time, until: Time) -> Result<(), Error>;
    /// It will not be tried again.
    fn record_given_up(&mut self, id: &str, at: Time, why: &str) -> Result<bool, Error>;
    /// What waits and how the telling went, by receiver.
    fn outbox_views(&self) -> Result<Vec<OutboxView>, Error>;
    /// Ended incidents, newest first.
    fn past(&self, limit: usize, before: Option<u64>) -> Result<Vec<Incident>, Error>;
    /// Forgets what is older than `history_for`.
    fn prune(&mut self, history_for: Duration, now: Time) -> Result<usize, Error>;
    /// Its twin in memory, with everything that is in this one.
    fn to_memory(&self) -> Result<Self, Error>;
    /// Its twin in memory, empty.
    fn to_empty_memory(&self) -> Result<Self, Error>;
    /// Replaces everything in this one by what is in `other`.
    fn take_over(&mut self, other: &Self) -> Result<(), Error>;
    /// A fresh and empty one where this one's file was removed or set aside.
    fn remake(&mut self) -> Result<(), Error> {
        Ok(())
    }
    /// The file is damaged: nothing is written to it any more.
    fn condemn(&mut self, _why: &str) {}
    /// What it takes on the disk, or in memory.
    fn bytes(&self) -> u64 {
        0
    }
}

impl Ledger for Store {
    fn is_durable(&self) -> bool {
        self.is_durable()
    }

    fn load(&self, kinds: &[&'static str]) -> Result<Loaded, Error> {
        self.load(kinds)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<Committed, Error> {
        self.commit(commit)
    }

    fn due(&mut self, now: Time, lease: Duration) -> Result<Vec<Claimed>, Error> {
        self.due(now, lease)
    }

    fn next_due(&self, now: Time) -> Result<Option<Time>, Error> {
        self.next_due(now)
    }

    fn record_delivered(&mut self, id: &str, at: Time) -> Result<bool, Error> {
        self.record_delivered(id, at)
    }

    fn record_failed(&mut self, id: &str, at: Time, next_attempt_at: Time, why: &str) -> Result<bool, Error> {
        self.record_failed(id, at, next_attempt_at, why)
    }

    fn hold_receiver(&mut self, receiver: &str, at: Time, until: Time) -> Result<(), Error> {
        self.hold_receiver(receiver, at, until)
    }

    fn record_given_up(&mut self, id: &str, at: Time, why: &str) -> Result<bool, Error> {
        self.record_given_up(id, at, why)
    }

    fn outbox_views(&self) -> Result<Vec<OutboxView>, Error> {
        self.outbox_views()
    }

    fn past(&self, limit: usize, before: Option<u64>) -> Result<Vec<Incident>, Error> {
        self.past(limit, before)
    }

    fn prune(&mut self, history_for: Duration, now: Time) -> Result<usize, Error> {
        self.prune(history_for, now)
    }

    fn to_memory(&self) -> Result<Store, Error> {
        self.to_memory()
    }

    fn to_empty_memory(&self) -> Result<Store, Error> {
        Store::memory_as(self.identity().clone())
    }

    fn take_over(&mut self, other: &Store) -> Result<(), Error> {
        self.take_over(other)
    }

    fn remake(&mut self) -> Result<(), Error> {
        self.remake()
    }

    fn condemn(&mut self, why: &str) {
        self.condemn(why);
    }

    fn bytes(&self) -> u64 {
        self.state_bytes().unwrap_or(0)
    }
}
