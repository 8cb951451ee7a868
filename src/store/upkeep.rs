//! Care for the file: checkpoints, size, and whether it is still whole.
//!
//! A commit only appends to the write-ahead log; moving the log into the file
//! costs syncs and a check reads all of it, so both are done beside the writer
//! by a [`Checkpointer`] on a thread of its own. A passive checkpoint waits
//! for nobody and makes nobody wait; the limit set at opening is the backstop
//! if none is ever asked for. Space is given back in small steps, for each is
//! a write of the writer's.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::open::{self, beside};
use super::{Error, Store};

/// Empty pages that stay in the file: 1 MiB.
const PAGES_KEPT: i64 = 256;
/// Empty pages given back in one step: 8 MiB.
const PAGES_AT_ONCE: i64 = 2_048;

/// The write-ahead log, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// In the log.
    pub pages: u64,
    /// Of these, already in the file.
    pub moved: u64,
}

/// Works through connections of its own, so that a slow disk does not hold up
/// the writer.
#[derive(Debug)]
pub struct Checkpointer {
    path: PathBuf,
    is_condemned: Arc<AtomicBool>,
}

impl Checkpointer {
    /// The file as it stands on the disk is whole, or [`Error::Damaged`], which
    /// condemns it; one that was condemned is looked at no more. The writer may
    /// not notice: it has in its memory what it last read.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_condemned.load(Ordering::Relaxed) {
            return Ok(());
        }
        let fault = self.connect().and_then(|connection| open::first_fault(&connection, "quick_check"));
        match fault.map_err(|error| Error::from_sqlite(&self.path, error))? {
            Some(why) => {
                // At once: until the writer hears of it, nothing is moved.
                self.is_condemned.store(true, Ordering::Relaxed);
                Err(Error::Damaged { path: self.path.clone(), why })
            }
            None => Ok(()),
        }
    }

    /// One passive checkpoint.
    pub fn run(&self) -> Result<LogSize, Error> {
        if self.is_condemned.load(Ordering::Relaxed) {
            return Ok(LogSize::default());
        }
        let log = self.connect().and_then(|connection| checkpoint(&connection));
        log.map_err(|error| Error::from_sqlite(&self.path, error))
    }

    /// For one piece of work: one that stays open would go on with a file
    /// that was removed, and know pages from before they were damaged.
    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // The writer may be gone by the time that this one closes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(connection)
    }
}

impl Store {
    /// For a thread that cares for the file beside the writer; `None` in
    /// memory.
    pub fn checkpointer(&self) -> Option<Checkpointer> {
        let is_condemned = self.is_condemned.clone();
        self.is_durable().then(|| Checkpointer { path: self.path.clone(), is_condemned })
    }

    /// Bytes of the state file with its log and index; in memory, of the
    /// pages held.
    pub fn state_bytes(&self) -> Result<u64, Error> {
        if !self.is_durable() {
            let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            let bytes: i64 = self.read(|sql| sql.query_row(size, (), |row| row.get(0)))?;
            return Ok(u64::try_from(bytes).unwrap_or(0));
        }
        let files = ["", "-wal", "-shm"].map(|suffix| beside(&self.path, suffix));
        Ok(files.iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum())
    }
}

/// Gives back some of the pages that stand empty, leaving a few for use.
pub(super) fn shrink(sql: &Connection) -> rusqlite::Result<()> {
    let empty: i64 = sql.query_row("PRAGMA freelist_count", (), |row| row.get(0))?;
    let spare = (empty - PAGES_KEPT).min(PAGES_AT_ONCE);
    if spare > 0 {
        // One page for each row that is asked for.
        let mut step = sql.prepare(&format!("PRAGMA incremental_vacuum({spare})"))?;
        let mut rows = step.query(())?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

fn checkpoint(sql: &Connection) -> rusqlite::Result<LogSize> {
    sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
        // -1 where there is no log.
        let pages = |column| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
        Ok(LogSize { pages: pages(1)?, moved: pages(2)? })
    })
}
