//! What was being tried: a note beside the state, for the next process.
//!
//! One small file, `state.trial`, is overwritten in place before lines are
//! handled and after they are committed. It is never synced: it has to outlive
//! the process, not the machine, and so costs a microsecond and no wait. Torn
//! or unreadable it means "nothing was being tried", which costs at most one
//! more death. Holds digests and counts, never text. What follows from it is
//! decided by the daemon.
//!
//! The file: 16 hexadecimal digits of the mark and a line end; then a line for
//! each suspect, its digest and how often the process died at it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{Error, Store};

const FILE: &str = "state.trial";
/// Suspects kept; those with the fewest deaths go first.
const SUSPECTS_MAX: usize = 32;
/// Read at most: the mark, and each suspect on a line of its own.
const BYTES_MAX: u64 = 17 + SUSPECTS_MAX as u64 * 40;

/// What the process does now, for the one after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing is being tried.
    #[default]
    Idle,
    /// Lines are handled that no commit holds yet.
    Lines,
    /// The line of this digest is handled.
    Line(u64),
}

impl Mark {
    /// Of the line with this digest.
    pub fn line(digest: u64) -> Mark {
        // The two numbers that mean something else are left to them.
        Mark::Line(digest.clamp(1, u64::MAX - 1))
    }

    fn number(self) -> u64 {
        match self {
            Mark::Idle => 0,
            Mark::Lines => u64::MAX,
            Mark::Line(digest) => digest,
        }
    }

    fn of(number: u64) -> Mark {
        match number {
            0 => Mark::Idle,
            u64::MAX => Mark::Lines,
            digest => Mark::Line(digest),
        }
    }
}

/// All that the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Where the process was when it ended.
    pub mark: Mark,
    /// Digests of lines and how often a process died at each.
    pub suspects: BTreeMap<u64, u32>,
}

/// The open file.
#[derive(Debug)]
pub struct Trial {
    file: File,
    path: PathBuf,
}

impl Store {
    /// The note of the process before, and the file to go on with; `None` in
    /// memory.
    pub fn trial(&self) -> Result<Option<(Trial, Remains)>, Error> {
        if !self.is_durable() {
            return Ok(None);
        }
        let path = self.path.with_file_name(FILE);
        let io = |error| Error::from_io(&path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(io)?;
        let mut text = Vec::new();
        (&file).take(BYTES_MAX).read_to_end(&mut text).map_err(io)?;
        let remains = parse(&String::from_utf8_lossy(&text));
        Ok(Some((Trial { file, path }, remains)))
    }
}

impl Trial {
    /// Notes what is being done now.
    pub fn mark(&self, mark: Mark) -> Result<(), Error> {
        let text = format!("{:016x}\n", mark.number());
        self.file.write_all_at(text.as_bytes(), 0).map_err(|error| Error::from_io(&self.path, error))
    }

    /// Writes all of it anew.
    pub fn write(&self, remains: &Remains) -> Result<(), Error> {
        let mut text = format!("{:016x}\n", remains.mark.number());
        let mut suspects: Vec<_> = remains.suspects.iter().collect();
        suspects.sort_by_key(|(_, deaths)| std::cmp::Reverse(**deaths));
        for (digest, deaths) in suspects.into_iter().take(SUSPECTS_MAX) {
            text.push_str(&format!("{digest:016x} {deaths}\n"));
        }
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        written.map_err(|error| Error::from_io(&self.path, error))
    }
}

fn parse(text: &str) -> Remains {
    let mut lines = text.lines();
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let mark = lines.next().and_then(number).map_or(Mark::Idle, Mark::of);
    let suspect = |line: &str| {
        let (digest, deaths) = line.split_once(' ')?;
        Some((number(digest)?, deaths.parse().ok()?))
    };
    Remains { mark, suspects: lines.filter_map(suspect).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_being_tried_is_found_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (trial, remains) = store.trial().unwrap().unwrap();
        assert_eq!(remains, Remains::default());
        let all = Remains { mark: Mark::Lines, suspects: BTreeMap::from([(7, 2), (u64::MAX - 1, 1)]) };
        trial.write(&all).unwrap();
        assert_eq!(store.trial().unwrap().unwrap().1, all);
        trial.mark(Mark::Line(7)).unwrap();
        assert_eq!(store.trial().unwrap().unwrap().1, Remains { mark: Mark::Line(7), ..all });
        trial.write(&Remains::default()).unwrap();
        assert_eq!(store.trial().unwrap().unwrap().1, Remains::default());
        assert!(Store::memory().unwrap().trial().unwrap().is_none());
    }

    #[test]
    fn a_torn_or_foreign_note_says_nothing() {
        for text in ["", "half", "\u{fffd}\u{fffd}", "zzzzzzzzzzzzzzzz\nnot a digest 3\n00 x\n"] {
            assert_eq!(parse(text), Remains::default(), "{text:?}");
        }
    }

    #[test]
    fn suspects_are_bounded_and_the_worst_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (trial, _) = store.trial().unwrap().unwrap();
        let mut suspects: BTreeMap<u64, u32> = (1..100).map(|digest| (digest, 1)).collect();
        suspects.insert(99, u32::MAX);
        trial.write(&Remains { mark: Mark::Idle, suspects }).unwrap();
        let found = store.trial().unwrap().unwrap().1.suspects;
        assert_eq!((found.len(), found[&99]), (SUSPECTS_MAX, u32::MAX));
    }
}
