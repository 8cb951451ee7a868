//! The memory: one SQLite file, one transaction for each batch.
//!
//! Keeps what the engine decided (its saved rows, cursors, incidents, their
//! history) and what is still to be told (the outbox). Knows nothing of what
//! the rows mean, and keeps only text that its callers have redacted: what
//! never gets here cannot remain in the file or its log.
//!
//! Failure story. [`Store::commit`] is all or nothing and on the disk when it
//! returns (WAL, `synchronous=FULL`): a cursor never stands without the
//! counters it fed, nor a firing alert without the notification that tells of
//! it. A crash before it leaves the state before it; the lines are read
//! again. A write that fails leaves the state as it was and may be tried
//! again with newer values, for rows are absolute. One case SQLite cannot
//! tell: a log whose end was overwritten by a failing disk opens as the last
//! commit before it; lines since then are read and told again, with the same
//! ids.
//!
//! One `Store` is the one writer; whoever wants to read beside it
//! ([`inspect`], [`backup`]) uses a connection of its own and never blocks it.

mod claims;
mod deliveries;
mod error;
mod fallback;
mod history;
mod horizon;
mod inspect;
mod open;
mod outbox;
mod saved;
mod schema;
mod trial;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction as Sql, TransactionBehavior};

pub use error::Error;
pub use inspect::{Inspection, backup, inspect};
pub use outbox::{Claimed, IN_FLIGHT_MAX, LATE_AFTER, PENDING_BYTES_MAX, PENDING_MAX};
pub use saved::Loaded;
pub use schema::Identity;
pub use trial::{Mark, Remains, Trial};
pub use upkeep::{Checkpointer, LogSize};

use crate::model::{Cursor, Incident, Outgoing, SavedRow, Time, Transition};

/// Everything that one batch changes. Rows are absolute, so a later commit
/// may stand in for one that failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// Rows of the engine's memory; the last of equal kind and key holds.
    pub saved: &'a [SavedRow],
    /// Source name and where to resume.
    pub cursors: &'a [(String, Cursor)],
    /// By number: a known one is replaced.
    pub incidents: &'a [Incident],
    /// Appended to the history.
    pub transitions: &'a [Transition],
    /// To be delivered, and from when on. One whose id is known already is
    /// passed over.
    pub outgoings: &'a [(Outgoing, Time)],
    /// Wall time of the commit.
    pub at: Time,
}

/// What a commit could not take as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Ids of outgoings that were given up at once, because their receiver
    /// had [`PENDING_MAX`] waiting. Counted as `given_up`.
    pub refused: Vec<String>,
}

/// The open state.
pub struct Store {
    // Declared first: the connection closes before the lock is let go.
    connection: Connection,
    files: Option<open::Files>,
    path: PathBuf,
    identity: Identity,
    is_new: bool,
    /// What is wrong with the file; it takes no write any more.
    damage: Option<String>,
    /// The same, for those who work beside.
    is_condemned: Arc<AtomicBool>,
}

impl Store {
    /// Opens the state in `dir` for writing, making `state.db` (mode 0600) if
    /// the folder has none. Holds the folder's lock until dropped. Leases of
    /// a process that died are void.
    pub fn open(dir: &Path) -> Result<Store, Error> {
        let opened = open::open(dir)?;
        let identity =
            Identity::load(&opened.connection).map_err(|error| Error::from_sqlite(&opened.path, error))?;
        let Some(identity) = identity else {
            let why = "it has lost its identity".to_owned();
            return Err(Error::Damaged { path: opened.path, why });
        };
        let mut store = Store {
            connection: opened.connection,
            files: Some(opened.files),
            path: opened.path,
            identity,
            is_new: opened.is_new,
            damage: None,
            is_condemned: Arc::default(),
        };
        store.release_leases()?;
        Ok(store)
    }

    /// A store of the same interface that dies with the process, with a
    /// random identity: monitoring goes on where no file can be had.
    pub fn memory() -> Result<Store, Error> {
        let path = PathBuf::from(":memory:");
        let identity = Identity::random()
            .map_err(|error| Error::NotWritable { path: path.clone(), why: error.to_string() })?;
        Store::memory_as(identity)
    }

    /// As [`Store::memory`], with an identity that is given: for a run that
    /// must repeat, or one that goes on for a state that failed.
    pub fn memory_as(identity: Identity) -> Result<Store, Error> {
        let path = PathBuf::from(":memory:");
        let sql = |error| Error::from_sqlite(&path, error);
        let mut connection = Connection::open_in_memory().map_err(sql)?;
        schema::migrate(&mut connection, Some(&identity)).map_err(sql)?;
        connection.set_prepared_statement_cache_capacity(64);
        let is_condemned = Arc::default();
        Ok(Store { connection, files: None, path, identity, is_new: true, damage: None, is_condemned })
    }

    /// Key of the digests that stand for addresses and key previews; made
    /// with the state and kept.
    pub fn digest_key(&self) -> [u8; 32] {
        self.identity.digest_key
    }

    /// Name of this state among others: 16 hexadecimal digits, made with it.
    pub fn instance(&self) -> &str {
        &self.identity.instance
    }

    /// Both of the above, to hand on to [`Store::memory_as`].
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// This opening made the state: nothing was there before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Commits reach a disk.
    pub fn is_durable(&self) -> bool {
        self.files.is_some()
    }

    /// The state file, or `:memory:`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a fresh file of the same identity, and an empty one, where this
    /// one's was removed or set aside; [`Error::Gone`] while anything stands
    /// in its place. On an error this store goes on with the file it has.
    pub fn remake(&mut self) -> Result<(), Error> {
        let Some(files) = &mut self.files else { return Ok(()) };
        if !files.are_in_place() {
            self.connection = open::remake(&self.path, files, &self.identity)?;
            self.damage = None;
            self.is_condemned.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The file is damaged, as somebody found out: nothing is written to it
    /// any more, so that it is kept as it is.
    pub fn condemn(&mut self, why: &str) {
        if !self.is_durable() {
            return;
        }
        self.damage = Some(why.to_owned());
        self.is_condemned.store(true, Ordering::Relaxed);
        // Closing would move the log into it. If that cannot be said, what is
        // written then is what was committed.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// One transaction; on the disk when it returns. On an error nothing of
    /// it was taken.
    pub fn commit(&mut self, commit: Commit<'_>) -> Result<Committed, Error> {
        self.write(|sql| {
            saved::store(sql, commit.saved)?;
            saved::store_cursors(sql, commit.cursors, commit.at)?;
            history::store_incidents(sql, commit.incidents)?;
            history::append(sql, commit.transitions)?;
            let refused = outbox::store(sql, commit.outgoings, commit.at)?;
            Ok(Committed { refused })
        })
    }

    fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        ask(&self.connection).map_err(|error| Error::from_sqlite(&self.path, error))
    }

    fn write<T>(&mut self, change: impl FnOnce(&Sql<'_>) -> rusqlite::Result<T>) -> Result<T, Error> {
        if self.files.as_ref().is_some_and(|files| !files.are_in_place()) {
            return Err(Error::Gone { path: self.path.clone() });
        }
        if let Some(why) = self.damage.clone() {
            return Err(Error::Damaged { path: self.path.clone(), why });
        }
        let written = self.transact(change).map_err(|error| Error::from_sqlite(&self.path, error));
        if let Err(Error::Damaged { why, .. }) = &written {
            self.condemn(&why.clone());
        }
        written
    }

    fn transact<T>(&mut self, change: impl FnOnce(&Sql<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = change(&transaction)?;
        transaction.commit()?;
        Ok(changed)
    }
}
