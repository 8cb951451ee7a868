//! Looking at a state from outside: is it whole, what is in it, a copy of it.
//!
//! Works beside a running daemon through a connection that can only read, and
//! never takes the daemon's lock. A copy is made with `VACUUM INTO`: one read
//! transaction, so it is one commit's state whatever is written meanwhile
//! (the page-wise backup starts over at every write of another process), and
//! it leaves deleted rows behind instead of copying their remains.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::Error;
use super::open::{self, beside, create_private, open_reader, sync_folder};
use super::schema::{self, Identity};
use super::{Store, history};

/// Faults listed at most.
const FAULTS_MAX: usize = 20;
/// Everything but the identity.
pub(super) const TABLES: [&str; 7] =
    ["saved", "cursors", "incidents", "transitions", "outbox", "threads", "deliveries"];

/// What a state holds, and whether it is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What is wrong; empty if it is sound.
    pub faults: Vec<String>,
    /// Steps of the schema that it has seen.
    pub version: i64,
    /// The highest that this program knows.
    pub version_known: i64,
    /// Its name among states, where it can be read.
    pub instance: Option<String>,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Incidents without an end.
    pub open_incidents: u64,
    /// Outgoings that wait.
    pub outbox_pending: u64,
    /// Of the file and its log.
    pub bytes: u64,
}

impl Inspection {
    /// Whole, and of a schema known here.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks the state at `path` (the file or its folder) in full. Damage is an
/// answer, not an error, as long as the file can be opened at all.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let path = file(path)?;
    let mut found = match open_reader(&path).and_then(|sql| examine(&sql, &path)) {
        Err(Error::Damaged { why, .. }) => Inspection { faults: vec![why], ..Inspection::default() },
        found => found?,
    };
    found.version_known = schema::VERSION;
    let files = ["", "-wal"].map(|suffix| beside(&path, suffix));
    found.bytes = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum();
    Ok(found)
}

/// Writes a consistent, checked copy of the state at `path` (the file or its
/// folder) to the new file `to`, mode 0600, and gives its size in bytes. An
/// existing file is not replaced.
pub fn backup(path: &Path, to: &Path) -> Result<u64, Error> {
    let path = file(path)?;
    let sql = open_reader(&path)?;
    copy(&sql, &path, to)
}

impl Store {
    /// As [`inspect`], through this store's connection.
    pub fn integrity(&self) -> Result<Inspection, Error> {
        let mut found = match examine(&self.connection, &self.path) {
            Err(Error::Damaged { why, .. }) => Inspection { faults: vec![why], ..Inspection::default() },
            found => found?,
        };
        found.version_known = schema::VERSION;
        found.bytes = self.state_bytes()?;
        Ok(found)
    }

    /// As [`backup`], while this store goes on; of a store in memory too.
    pub fn backup_to(&self, to: &Path) -> Result<u64, Error> {
        copy(&self.connection, &self.path, to)
    }
}

fn file(path: &Path) -> Result<PathBuf, Error> {
    let path = match path.is_dir() {
        true => path.join(open::FILE),
        false => path.to_owned(),
    };
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(Error::NotOurs { path, why: "it is not a regular file".to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Absent { path }),
        Err(error) => Err(Error::from_io(&path, error)),
    }
}

fn examine(sql: &Connection, path: &Path) -> Result<Inspection, Error> {
    let failed = |error| Error::from_sqlite(path, error);
    let mut found = Inspection { faults: faults(sql).map_err(failed)?, ..Inspection::default() };
    found.version = schema::version(sql).map_err(failed)?;
    if found.version > schema::VERSION {
        let why = format!("schema {} is newer than this program's {}", found.version, schema::VERSION);
        found.faults.push(why);
        return Ok(found);
    }
    // What damage hides cannot be counted; the faults say so already.
    match count(sql, &mut found) {
        Err(error) if found.is_sound() => Err(failed(error)),
        _ => Ok(found),
    }
}

fn faults(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = sql.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    let rows = check.query_map((), |row| row.get::<_, String>(0))?;
    let rows = rows.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(rows.into_iter().filter(|row| row != "ok").collect())
}

fn count(sql: &Connection, found: &mut Inspection) -> rusqlite::Result<()> {
    let number = |query: &str| {
        let count: i64 = sql.query_row(query, (), |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(u64::try_from(count).unwrap_or(0))
    };
    for table in TABLES {
        found.rows.insert(table.to_owned(), number(&format!("SELECT count(*) FROM {table}"))?);
    }
    found.open_incidents = history::open(sql)?.len() as u64;
    found.outbox_pending = number("SELECT count(*) FROM outbox WHERE state = 'pending'")?;
    match Identity::load(sql)? {
        Some(identity) => found.instance = Some(identity.instance),
        None => found.faults.push("it has lost its identity".to_owned()),
    }
    Ok(())
}

fn copy(sql: &Connection, path: &Path, to: &Path) -> Result<u64, Error> {
    let io = |error| Error::from_io(to, error);
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::Exists { path: to.to_owned() });
    }
    let draft = beside(to, ".new");
    drop(create_private(&draft).map_err(|error| Error::from_io(&draft, error))?);
    let copied = fill(sql, path, &draft).and_then(|bytes| {
        fs::rename(&draft, to).map_err(io)?;
        let parent = to.parent().filter(|dir| !dir.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new(".")))?;
        Ok(bytes)
    });
    if copied.is_err() {
        // The failure matters, not whether its remains could be removed.
        let _ = fs::remove_file(&draft);
    }
    copied
}

fn fill(sql: &Connection, path: &Path, draft: &Path) -> Result<u64, Error> {
    let io = |error| Error::from_io(draft, error);
    let name = draft.to_str().ok_or_else(|| io(io::ErrorKind::InvalidFilename.into()))?;
    // The copy's failures are the copy's, but damage is the original's.
    sql.execute("VACUUM INTO ?1", (name,)).map_err(|error| match Error::from_sqlite(path, error) {
        Error::Full { .. } => Error::Full { path: draft.to_owned() },
        Error::NotWritable { why, .. } => Error::NotWritable { path: draft.to_owned(), why },
        other => other,
    })?;
    let copy = open_reader(draft)?;
    let fault = open::first_fault(&copy, "integrity_check");
    if let Some(why) = fault.map_err(|error| Error::from_sqlite(draft, error))? {
        return Err(Error::Damaged { path: draft.to_owned(), why });
    }
    drop(copy);
    let file = File::open(draft).map_err(io)?;
    file.sync_all().map_err(io)?;
    file.metadata().map(|found| found.len()).map_err(io)
}
