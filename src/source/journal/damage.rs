//! Finds journal files that libsystemd leaves out without a word.
//!
//! A file that is shorter than its own header says (a disk that was full, a
//! crash of the machine, somebody's `truncate`) is refused as a whole, and the
//! other files are read as if nothing had been in it. The header still tells
//! which entry was its last: if that one stands behind the position, entries
//! were lost before they were read.
//!
//! Only the first bytes of each file are read. Their layout is that of
//! <https://systemd.io/JOURNAL_FILE_FORMAT/>. The header is read before the size
//! is asked for: journald makes a file longer before it says so in the header.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::config::plan::JournalPlan;

use super::handle;
use super::position::Position;

/// Damaged files remembered, so that each is told once.
const KNOWN_MAX: usize = 256;
/// The part of the header that is of use here.
const HEADER_BYTES: usize = 208;
/// What every journal file begins with.
const SIGNATURE: &[u8] = b"LPKSHHRH";

/// The files of a journal.
pub(super) struct Damage {
    plan: JournalPlan,
    /// Headers at the last look, by device and inode.
    headers: BTreeMap<(u64, u64), Header>,
    /// Files told of, or damaged before our time.
    known: Vec<String>,
}

/// What a file says of itself.
#[derive(Clone, Debug)]
struct Header {
    file_id: u128,
    seqnum_id: u128,
    /// Of the whole file.
    size: u64,
    tail_seqnum: u64,
    tail_realtime: u64,
}

impl Damage {
    /// Of a plan's files; nothing is looked at yet.
    pub fn new(plan: &JournalPlan) -> Damage {
        Damage { plan: plan.clone(), headers: BTreeMap::new(), known: Vec::new() }
    }

    /// Knows what another run has told of.
    pub fn knows(&mut self, known: &[String]) {
        self.known = known.iter().take(KNOWN_MAX).cloned().collect();
    }

    /// What is to be remembered over a restart.
    pub fn known(&self) -> Vec<String> {
        self.known.clone()
    }

    /// Whether a file of that sequence was found cut off.
    pub fn has_cut(&self, seqnum_id: u128) -> bool {
        let is_cut = |header: &&Header| self.known.contains(&header.name());
        self.headers.values().filter(is_cut).any(|header| header.seqnum_id == seqnum_id)
    }

    /// Looks at all files. Gives, in words, those that are newly damaged and
    /// held entries behind the position; without one they are only remembered.
    pub fn look(&mut self, position: Option<&Position>) -> Vec<String> {
        let (mut told, mut damaged, mut headers) = (Vec::new(), Vec::new(), BTreeMap::new());
        for path in handle::files(&self.plan) {
            let Ok(file) = File::open(&path) else { continue };
            let read = Header::read(&file);
            let Ok(meta) = file.metadata() else { continue };
            let id = (meta.dev(), meta.ino());
            // A file that was cut before the end of its header is still known.
            let Some(header) = read.or_else(|| self.headers.remove(&id)) else { continue };
            if meta.len() < header.size && damaged.len() < KNOWN_MAX {
                let name = header.name();
                let is_unread = position.is_some_and(|position| header.ends_behind(position));
                if is_unread && !self.known.contains(&name) {
                    told.push(format!("{} was cut off, with entries that were not read", path.display()));
                }
                damaged.push(name);
            }
            headers.insert(id, header);
        }
        (self.headers, self.known) = (headers, damaged);
        told
    }
}

impl Header {
    /// `None` if it has none, or not yet.
    fn read(file: &File) -> Option<Header> {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let id = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        bytes.starts_with(SIGNATURE).then(|| Header {
            file_id: id(24),
            seqnum_id: id(72),
            size: number(88).saturating_add(number(96)),
            tail_seqnum: number(160),
            tail_realtime: number(192),
        })
    }

    fn name(&self) -> String {
        format!("{:032x}", self.file_id)
    }

    fn ends_behind(&self, position: &Position) -> bool {
        if self.seqnum_id == position.seqnum_id {
            return self.tail_seqnum > position.seqnum;
        }
        self.tail_realtime > position.realtime
    }
}
