//! Why the state cannot be opened or written, as something to branch on.
//!
//! Every message says which file, what is wrong and what to do; none repeats
//! its cause, and none holds anything that was stored.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// What is wrong with the state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder does not exist.
    #[error(
        "state folder {} does not exist; create it (mode 0700, owned by the user that tocsin \
         runs as), or let systemd do it with StateDirectory=",
        dir.display()
    )]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no state to look at.
    #[error("there is no state at {}; name a state folder or its state.db", path.display())]
    Absent {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The copy would replace a file.
    #[error("{} exists already; name another file for the copy", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder or a file in it cannot be written.
    #[error(
        "{} cannot be written: {why}; make it writable for the user that tocsin runs as, or name \
         another place",
        path.display()
    )]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A file stands there that tocsin did not make. It was not touched.
    #[error(
        "{} is a state file that is not ours ({why}); name another folder in `state_dir`, or \
         move the file away",
        path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The file is ours and broken. It was not touched.
    #[error(
        "state file {0} is damaged ({why}); it was left as it is, and `tocsin state check {0}` says \
         more. To start anew, set it aside with its companions: mkdir {1}/damaged && \
         mv {0}* {1}/damaged/ (counters and open incidents begin again), or put back a copy made by `tocsin state backup`",
        path.display(),
        path.parent().unwrap_or(Path::new(".")).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the integrity check found first.
        why: String,
    },
    /// A newer tocsin wrote it. It was not touched.
    #[error(
        "state file {} has schema {found}, this tocsin knows up to {known}; run the newer \
         version, or put back a copy from before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The highest one known here.
        known: i64,
    },
    /// Another process holds it.
    #[error(
        "state in {} is already in use{}; stop that one first, or name another folder in \
         `state_dir`",
        dir.display(),
        pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The holder, where it left its number.
        pid: Option<u32>,
    },
    /// No space is left.
    #[error("no space left for the state in {}; free some, nothing was lost so far", path.display())]
    Full {
        /// The folder or file.
        path: PathBuf,
    },
    /// The file was removed or replaced while it was open: what is written
    /// from here on would be lost.
    #[error(
        "state file {} was removed or replaced while in use; put it back, or leave its place empty and \
         it is written anew from memory; or restart tocsin",
        path.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that SQLite reports.
    #[error("state file {} failed", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

impl Error {
    /// True if trying again later may help without anybody's doing here:
    /// space may be freed, a mount may come back.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Error::Full { .. } | Error::NotWritable { .. } | Error::Missing { .. } | Error::Failed { .. }
        )
    }

    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Error {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Damaged { path, why: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Error::NotWritable { path, why: source.to_string() }
            }
            Some(_) => Error::Failed { path, source },
            None => match source {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..) => {
                    Error::Damaged { path, why: "a row does not read as what was stored".to_owned() }
                }
                source => Error::Failed { path, source },
            },
        }
    }

    pub(super) fn from_io(path: &Path, source: io::Error) -> Error {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path },
            io::ErrorKind::NotADirectory => Error::NotWritable { path, why: "it is not a folder".to_owned() },
            _ => Error::NotWritable { path, why: source.to_string() },
        }
    }
}
