//! Going on in memory while the disk takes no commit.
//!
//! Failure story. The whole state goes to memory and commits go there; what is
//! published says that it is not durable. Where the disk cannot even be read,
//! memory begins empty, so that what fires is told all the same, and what the
//! disk lacks is kept for it. The disk is tried, ever more rarely while it
//! refuses, for each try writes all of the state; once it takes writes
//! everything is put back in one transaction. What memory refuses as well
//! waits here and goes into the next commit: its lines are not read again. A file that was
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

/// The disk is tried again after so long when it takes no commit.
const DISK_AGAIN: Duration = Duration::from_secs(5);
/// And at the latest, for each try that fails doubles the wait.
const DISK_AGAIN_MAX: Duration = Duration::from_secs(60);
/// What neither disk nor memory took is tried again so often.
const REFUSED_AGAIN: Duration = Duration::from_secs(1);

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
    disk_wait: Duration,
    /// Committed nowhere; before all that comes later.
    refused: Option<Pending>,
    refused_again_at: Time,
    /// What `disk` lacks, while `store` does not hold all that is on it.
    unsaved: Option<Pending>,
    trouble: Option<String>,
}

impl<L: Ledger> Fallback<L> {
    /// At the start and after a reload.
    pub fn new(Stores { store, disk }: Stores<L>) -> Fallback<L> {
        let trouble = disk.as_ref().map(|_| "it was not before the reload".to_owned());
        Fallback {
            store,
            disk,
            disk_again_at: Time::MIN,
            disk_wait: DISK_AGAIN,
            refused: None,
            refused_again_at: Time::MIN,
            unsaved: None,
            trouble,
        }
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

    /// Commits to the disk, or to memory if the disk does not take it. What
    /// neither takes is kept for the next commit.
    pub fn commit(&mut self, later: Pending, now: Now) {
        let was_refused = self.refused.is_some();
        let pending = match self.refused.take() {
            Some(mut refused) => {
                refused.add(later);
                refused
            }
            None => later,
        };
        if was_refused && now.monotonic < self.refused_again_at {
            self.refused = Some(pending);
            return;
        }
        match self.write(now, |store| pending.commit_to(store, now.wall)) {
            Ok(()) => {
                if was_refused {
                    log::info!("the state takes commits again; nothing of it was lost");
                }
                if let Some(unsaved) = &mut self.unsaved {
                    unsaved.add(pending);
                }
                if self.disk.is_none() {
                    self.trouble = None;
                }
            }
            Err(error) => {
                if !was_refused {
                    log::error!("the state takes no commit, it is kept for later: {}", with_causes(&error));
                }
                self.trouble.get_or_insert_with(|| with_causes(&error));
                self.refused = Some(pending);
                self.refused_again_at = now.monotonic.plus(REFUSED_AGAIN);
            }
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
        // While memory cannot be had either, every commit comes by here.
        let level = if self.trouble.is_none() { log::Level::Error } else { log::Level::Debug };
        log::log!(
            level,
            "the state cannot be written; monitoring goes on in memory and is not durable: {}",
            with_causes(error)
        );
        self.trouble = Some(with_causes(error));
        let mut unsaved = None;
        let memory = self.store.to_memory().or_else(|error| {
            log::log!(level, "nor can it be read: {}", with_causes(&error));
            unsaved = Some(Pending::default());
            self.store.to_empty_memory()
        });
        match memory {
            Ok(memory) => {
                self.unsaved = unsaved;
                self.disk_wait = DISK_AGAIN;
                self.disk = Some(std::mem::replace(&mut self.store, memory));
                self.disk_again_at = now.monotonic.plus(DISK_AGAIN);
            }
            Err(error) => log::log!(level, "no state in memory can be had: {}", with_causes(&error)),
        }
    }

    /// Commits what was refused and puts everything back on the disk, once
    /// that is possible again; true if commits reach the disk now and did not
    /// before.
    pub fn try_disk(&mut self, now: Now) -> bool {
        let was_durable = self.is_durable();
        self.put_back(now);
        if self.refused.is_some() {
            self.commit(Pending::default(), now);
        }
        !was_durable && self.is_durable()
    }

    fn put_back(&mut self, now: Now) {
        if now.monotonic < self.disk_again_at {
            return;
        }
        let Some(mut disk) = self.disk.take() else { return };
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
            self.disk_wait = (self.disk_wait * 2).min(DISK_AGAIN_MAX);
            self.disk_again_at = now.monotonic.plus(self.disk_wait);
            return;
        }
        log::info!("the state is on the disk again");
        self.store = disk;
        self.unsaved = None;
        self.trouble = None;
        self.refused_again_at = Time::MIN;
    }

    /// The stores, with everything on the disk that it takes.
    pub fn into_stores(mut self, now: Now) -> Stores<L> {
        self.disk_again_at = Time::MIN;
        self.refused_again_at = Time::MIN;
        self.try_disk(now);
        match (self.disk, self.unsaved) {
            // What memory holds is not all there is: the disk's last commit
            // is where to go on from, the lines since are read again.
            (Some(disk), Some(_)) => Stores { store: disk, disk: None },
            (disk, _) => Stores { store: self.store, disk },
        }
    }
}
