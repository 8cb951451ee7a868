//! Going on in memory while the disk takes no commit.
//!
//! Failure story. The whole state goes to memory and commits go there; what is
//! published says that it is not durable. Where the disk cannot even be read,
//! memory begins empty, so that what fires is told all the same, and what the
//! disk lacks is kept for it. Every few seconds the disk is tried, and once it
//! takes writes everything is put back in one transaction. A file that was
//! removed or set aside is made anew where nothing stands in its place, as
//! long as memory holds all there is; one that is damaged is never written to
//! again. A crash in between goes on from the disk's last commit: the lines
//! since are read again, and what was told meanwhile is told again with the
//! same ids.

use std::time::Duration;

use super::ledger::Ledger;
use super::pending::Pending;
use super::with_causes;
use crate::clock::Now;
use crate::model::Time;
use crate::store::Error;

/// The disk is tried again so often while it takes no commit.
const DISK_AGAIN: Duration = Duration::from_secs(5);

/// Where the state is kept.
pub struct Stores<L> {
    /// In use.
    pub store: L,
    /// The one on the disk while `store` is one in memory.
    pub disk: Option<L>,
}

/// The store in use, and the way back to the disk.
pub struct Fallback<L> {
    store: L,
    /// The store on the disk while `store` is one in memory.
    disk: Option<L>,
    disk_again_at: Time,
    /// What `disk` lacks, while `store` does not hold all that is on it.
    unsaved: Option<Pending>,
    trouble: Option<String>,
}

impl<L: Ledger> Fallback<L> {
    /// At the start and after a reload.
    pub fn new(Stores { store, disk }: Stores<L>) -> Fallback<L> {
        let trouble = disk.as_ref().map(|_| "it was not before the reload".to_owned());
        Fallback { store, disk, disk_again_at: Time::MIN, unsaved: None, trouble }
    }

    /// The store in use.
    pub fn store(&self) -> &L {
        &self.store
    }

    /// Why commits do not reach the disk that is there for them.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Commits reach the disk.
    pub fn is_durable(&self) -> bool {
        self.store.is_durable() && self.trouble.is_none()
    }

    /// Commits to the disk, or to memory if the disk does not take it.
    pub fn commit(&mut self, pending: Pending, now: Now) {
        if let Err(error) = self.write(now, |store| pending.commit_to(store, now.wall)) {
            log::error!("the state takes no commit: {}", with_causes(&error));
        }
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.add(pending);
        }
    }

    /// Makes a change in the store, after a failure once more in memory.
    pub fn write<T>(
        &mut self,
        now: Now,
        mut change: impl FnMut(&mut L) -> Result<T, Error>,
    ) -> Result<T, Error> {
        change(&mut self.store).or_else(|error| {
            self.go_on_in_memory(&error, now);
            change(&mut self.store)
        })
    }

    /// Forgets what is older than `history_for`.
    pub fn prune(&mut self, history_for: Duration, now: Now) -> Result<usize, Error> {
        self.store.prune(history_for, now.wall)
    }

    /// The file was found to be damaged, and `error` says so.
    pub fn condemn(&mut self, error: &Error, now: Now) {
        if let Error::Damaged { why, .. } = error {
            self.store.condemn(why);
            self.go_on_in_memory(error, now);
        }
    }

    /// What [`Fallback::into_stores`] would give can be gone on from.
    pub fn check(&self, kinds: &[&'static str]) -> Result<(), Error> {
        let next = self.unsaved.as_ref().and(self.disk.as_ref()).unwrap_or(&self.store);
        next.load(kinds).map(drop)
    }

    /// The disk takes nothing: the whole state goes to memory.
    fn go_on_in_memory(&mut self, error: &Error, now: Now) {
        if !self.store.is_durable() {
            return;
        }
        log::error!(
            "the state cannot be written; monitoring goes on in memory and is not durable: {}",
            with_causes(error)
        );
        self.trouble = Some(with_causes(error));
        let memory = self.store.to_memory().or_else(|error| {
            log::error!("nor can it be read: {}", with_causes(&error));
            self.unsaved = Some(Pending::default());
            self.store.to_empty_memory()
        });
        match memory {
            Ok(memory) => {
                self.disk = Some(std::mem::replace(&mut self.store, memory));
                self.disk_again_at = now.monotonic.plus(DISK_AGAIN);
            }
            Err(error) => log::error!("no state in memory can be had: {}", with_causes(&error)),
        }
    }

    /// Puts everything back on the disk once it takes writes again; true if it
    /// did.
    pub fn try_disk(&mut self, now: Now) -> bool {
        if now.monotonic < self.disk_again_at {
            return false;
        }
        let Some(mut disk) = self.disk.take() else { return false };
        self.disk_again_at = now.monotonic.plus(DISK_AGAIN);
        let tried = match &self.unsaved {
            None => disk.take_over(&self.store).or_else(|error| match error {
                Error::Gone { .. } => disk.remake().and_then(|()| disk.take_over(&self.store)),
                other => Err(other),
            }),
            Some(unsaved) => unsaved.commit_to(&mut disk, now.wall),
        };
        if let Err(error) = tried {
            self.trouble = Some(with_causes(&error));
            self.disk = Some(disk);
            return false;
        }
        log::info!("the state is on the disk again");
        self.store = disk;
        self.unsaved = None;
        self.trouble = None;
        true
    }

    /// The stores, with everything on the disk that it takes.
    pub fn into_stores(mut self, now: Now) -> Stores<L> {
        self.disk_again_at = Time::MIN;
        self.try_disk(now);
        match (self.disk, self.unsaved) {
            // What memory holds is not all there is: the disk's last commit
            // is where to go on from, the lines since are read again.
            (Some(disk), Some(_)) => Stores { store: disk, disk: None },
            (disk, _) => Stores { store: self.store, disk },
        }
    }
}
