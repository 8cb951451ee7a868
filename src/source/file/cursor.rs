//! The file source's cursor: where each file stands, as JSON. No log text in
//! it, only positions, times and fingerprints.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::decode::follow::{FileId, Head};
use crate::model::{Channel, Cursor, Time};

/// Where the source stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The configured patterns it was written under; files of another pattern
    /// are new to the source and obey `start`.
    pub patterns: Vec<String>,
    /// The files being read.
    pub files: Vec<FilePosition>,
    /// By path: rotated files that have been read, or were there before our
    /// time.
    pub done: Vec<(String, Vec<DoneFile>)>,
}

/// Where one file stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// The path it was found under first; the stream's writer.
    pub path: String,
    /// Where a link there led to, or where it was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<String>,
    /// Which file.
    pub id: FileId,
    /// First byte not taken: the beginning of the unfinished line.
    pub offset: u64,
    /// How it began.
    pub head: Head,
    /// Its time of change at the last look, in nanoseconds.
    pub changed: i64,
    /// The offset is inside a line that was cut; the rest of it is skipped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skips: bool,
    /// It had left its path and was read to its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
    /// What the decoder needs to go on.
    #[serde(default)]
    pub memory: Memory,
}

/// A decoder's memory between two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Lines before this are passed over (`start` with a span).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// The last time that stood on a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamped: Option<Time>,
    /// Outputs with a line whose pieces are incomplete, and where its first
    /// piece stands: they are read again, for that output alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<(Channel, u64)>,
    /// Outputs within a joined line that was cut: its further pieces are
    /// skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skips: Vec<Channel>,
}

/// A file that is not to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DoneFile {
    /// Which file.
    pub id: FileId,
    /// How it began: another file may have got its number.
    pub head: Head,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Position {
    /// Of the present state.
    pub fn new(
        patterns: &[String],
        files: Vec<FilePosition>,
        done: &BTreeMap<PathBuf, Vec<DoneFile>>,
    ) -> Position {
        let done = done.iter().filter(|(_, files)| !files.is_empty());
        let done = done.map(|(path, files)| (path.to_string_lossy().into_owned(), files.clone())).collect();
        Position { patterns: patterns.to_vec(), files, done }
    }

    /// [`Position::done`] as it is worked with.
    pub fn done_by_path(&self) -> BTreeMap<PathBuf, Vec<DoneFile>> {
        self.done.iter().map(|(path, files)| (PathBuf::from(path), files.clone())).collect()
    }

    /// Reads a cursor; `None` if it is not one of ours.
    pub fn read(cursor: &Cursor) -> Option<Position> {
        serde_json::from_str(&cursor.0).ok()
    }

    /// Writes it. Empty text cannot happen: the type has no map with keys that
    /// are not text.
    pub fn write(&self) -> Cursor {
        Cursor(serde_json::to_string(self).unwrap_or_default())
    }
}
