//! Opening the state file: whose is it, is it whole, is it free.
//!
//! Must never change a file that it then refuses, and never make a fresh one
//! where something was. Failure story:
//!
//! - A new file is built whole under another name and renamed into place, so
//!   `state.db` is never half made; an empty or headless one is damage.
//! - A write-ahead log without its file is damage too: SQLite would drop it.
//! - Until the check has passed, the connection may not checkpoint on close,
//!   for that would write into the file that is refused.
//! - The lock is the kernel's (`flock`) and dies with the process; the number
//!   in the lock file is only for the message. It is taken before anything is
//!   looked at. SQLite's own locks die when any descriptor of the file is
//!   closed in its process, so the header is read before SQLite opens it and
//!   never again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::error::Error;
use super::schema::{self, Identity};

/// The state file's name within the folder.
pub(super) const FILE: &str = "state.db";
const LOCK: &str = "state.lock";
/// A reader never blocks the writer; only another tool with the file open for
/// writing can.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// In pages: 40 MiB. A backstop only, for the daemon checkpoints when idle.
const CHECKPOINT_PAGES: i64 = 10_000;
/// What the log is cut back to after it was larger.
const LOG_BYTES_KEPT: i64 = 16 << 20;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The files behind an open store.
pub(super) struct Files {
    lock: File,
    /// The state file and its log as they were opened.
    opened: Vec<(PathBuf, Inode)>,
}

/// Device and number.
type Inode = (u64, u64);

impl Files {
    /// The names still lead to what was opened; writing elsewhere is losing.
    pub(super) fn are_in_place(&self) -> bool {
        self.opened.iter().all(|(path, known)| inode(path).is_ok_and(|found| found == *known))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Said aloud, for a child between its fork and its exec has the
        // descriptor too, and closing ours alone would leave the lock to it.
        // If it fails, the closing that follows is all there is to do.
        let _ = self.lock.unlock();
    }
}

/// A connection ready to be written to.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) files: Files,
    pub(super) is_new: bool,
}

/// Opens the state in `dir`, making it if nothing is there.
pub(super) fn open(dir: &Path) -> Result<Opened, Error> {
    let dir = folder(dir)?;
    let mut files = Files { lock: lock(&dir)?, opened: Vec::new() };
    let path = dir.join(FILE);
    let is_new = match fs::metadata(&path) {
        Ok(found) if found.is_file() => false,
        Ok(_) => {
            return Err(Error::NotOurs { path, why: "it is not a regular file".to_owned() });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::from_io(&path, error)),
    };
    if is_new {
        let identity =
            Identity::random().map_err(|error| Error::from_io(&path, io::Error::other(error.to_string())))?;
        create(&dir, &path, &identity)?;
    }
    let path = fs::canonicalize(&path).map_err(|error| Error::from_io(&path, error))?;
    check_header(&path)?;
    let connection = connect(&path)?;
    files.opened = opened(&path)?;
    Ok(Opened { connection, path, files, is_new })
}

/// A fresh file of the same identity where the open one was removed or set
/// aside, folder and all; [`Error::Gone`] while anything stands in its place.
/// The old connection must be closed by then, or stay moved: SQLite deletes no
/// log of a file that has moved.
pub(super) fn remake(path: &Path, files: &mut Files, identity: &Identity) -> Result<Connection, Error> {
    let dir = folder(path.parent().unwrap_or(Path::new("/")))?;
    let is_taken = |path: &Path| fs::symlink_metadata(path).is_ok();
    if is_taken(path) || is_taken(&beside(path, "-wal")) {
        return Err(Error::Gone { path: path.to_owned() });
    }
    let held = files.lock.metadata().map(|held| (held.dev(), held.ino()));
    let held = held.map_err(|error| Error::from_io(&dir, error))?;
    if inode(&dir.join(LOCK)).ok() != Some(held) {
        files.lock = lock(&dir)?;
    }
    create(&dir, path, identity)?;
    let connection = connect(path)?;
    files.opened = opened(path)?;
    Ok(connection)
}

fn opened(path: &Path) -> Result<Vec<(PathBuf, Inode)>, Error> {
    let all = [path.to_owned(), beside(path, "-wal")];
    all.into_iter()
        .map(|path| match inode(&path) {
            Ok(found) => Ok((path, found)),
            Err(error) => Err(Error::from_io(&path, error)),
        })
        .collect()
}

/// Opens the state file for reading only, beside a daemon that may hold it.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let sql = |error| Error::from_sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY_FOR).map_err(sql)?;
    let id = match schema::application_id(&connection) {
        Ok(id) => id,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(not_ours(path));
        }
        Err(error) => return Err(sql(error)),
    };
    if id != schema::APPLICATION_ID {
        return Err(Error::NotOurs { path: path.to_owned(), why: application(id) });
    }
    Ok(connection)
}

/// `path` with something put to its end: `state.db-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes what was renamed or made in `dir` outlive a power cut.
pub(super) fn sync_folder(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Error::from_io(dir, error))
}

/// A new file, readable by its owner only.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn folder(dir: &Path) -> Result<PathBuf, Error> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Error::from_io(dir, io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        Err(error) => return Err(Error::from_io(dir, error)),
    }
    fs::canonicalize(dir).map_err(|error| Error::from_io(dir, error))
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let io = |error| Error::from_io(&path, error);
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = options.map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.take(20).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(Error::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    // Somebody may have removed the file between the opening and the lock,
    // and another process may hold the one that is there now.
    let held = file.metadata().map(|found| (found.dev(), found.ino())).map_err(io)?;
    if inode(&path).map_err(io)? != held {
        return Err(Error::InUse { dir: dir.to_owned(), pid: None });
    }
    // A full disk must not keep a state from being read: the number is only
    // for the message.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn inode(path: &Path) -> io::Result<Inode> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn create(dir: &Path, path: &Path, identity: &Identity) -> Result<(), Error> {
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        let why = "it is gone, and its write-ahead log is still there".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    let draft = beside(path, ".new");
    let io = |error| Error::from_io(&draft, error);
    for stale in [draft.clone(), beside(&draft, "-journal")] {
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    let file = create_private(&draft).map_err(io)?;
    let sql = |error| Error::from_sqlite(&draft, error);
    let mut connection = Connection::open_with_flags(&draft, writable()).map_err(sql)?;
    // Only before the first table: what pruning frees can be given back.
    connection.pragma_update(None, "auto_vacuum", "incremental").map_err(sql)?;
    schema::migrate(&mut connection, Some(identity)).map_err(sql)?;
    connection.close().map_err(|(_, error)| sql(error))?;
    file.sync_all().map_err(io)?;
    fs::rename(&draft, path).map_err(io)?;
    sync_folder(dir)
}

fn check_header(path: &Path) -> Result<(), Error> {
    let mut header = Vec::new();
    let io = |error| Error::from_io(path, error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    file.take(100).read_to_end(&mut header).map_err(io)?;
    if header.len() < 100 || header.iter().all(|byte| *byte == 0) {
        let why = "it has no header, as after a cut or a lost write".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    if !header.starts_with(MAGIC) {
        return Err(not_ours(path));
    }
    let id = header[68..72].iter().fold(0, |id, byte| id << 8 | i64::from(*byte));
    match id == schema::APPLICATION_ID {
        true => Ok(()),
        false => Err(Error::NotOurs { path: path.to_owned(), why: application(id) }),
    }
}

fn not_ours(path: &Path) -> Error {
    let why = "it is no SQLite file, or its first page was overwritten".to_owned();
    Error::NotOurs { path: path.to_owned(), why }
}

fn application(id: i64) -> String {
    format!("an SQLite file of another application, id {id:#x}")
}

fn writable() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let sql = |error| Error::from_sqlite(path, error);
    let mut connection = Connection::open_with_flags(path, writable()).map_err(sql)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    connection.busy_timeout(BUSY_FOR).map_err(sql)?;
    if connection.is_readonly(MAIN_DB).map_err(sql)? {
        let why = "it is on a read-only file system".to_owned();
        return Err(Error::NotWritable { path: path.to_owned(), why });
    }
    if let Some(why) = first_fault(&connection, "quick_check").map_err(sql)? {
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    let found = schema::version(&connection).map_err(sql)?;
    if found > schema::VERSION {
        return Err(Error::Newer { path: path.to_owned(), found, known: schema::VERSION });
    }
    set_up(&connection).map_err(sql)?;
    schema::migrate(&mut connection, None).map_err(sql)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sql)?;
    Ok(connection)
}

/// The first thing that `quick_check` or `integrity_check` reports.
pub(super) fn first_fault(connection: &Connection, check: &str) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row(&format!("PRAGMA {check}(1)"), (), |row| row.get(0))?;
    Ok((found != "ok").then(|| found.replace(|c: char| c.is_control(), " ")))
}

/// Settings that live with the connection. FULL: a commit is on the disk when
/// it returns.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
