//! Following a file: what became of it between two looks. Pure.
//!
//! Responsible for one question: given what was known of a file (inode, size,
//! offset, a fingerprint of its head) and what is there now, does the reader
//! go on, open another file, or begin this one again. It opens nothing.
//!
//! The surprising part is the fingerprint. An inode alone does not name a
//! file: file systems give the number of a deleted file to the next one, and
//! copytruncate keeps the number and replaces what is inside. So the first
//! bytes are hashed, with how many there were: a log that only grows keeps
//! them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file's number on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
}

/// Fingerprint of a file's first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many bytes were hashed; at most [`Head::BYTES_MAX`].
    pub len: u16,
    /// The first 8 bytes of their SHA-256; 0 for no bytes.
    pub hash: u64,
}

impl Head {
    /// No more than this is hashed.
    pub const BYTES_MAX: usize = 256;

    /// Of the first bytes of a file; what is over the limit is left out.
    pub fn of(bytes: &[u8]) -> Head {
        let bytes = &bytes[..bytes.len().min(Head::BYTES_MAX)];
        if bytes.is_empty() {
            return Head::default();
        }
        let hash = Sha256::digest(bytes).iter().take(8).fold(0u64, |sum, b| sum << 8 | u64::from(*b));
        Head { len: bytes.len() as u16, hash }
    }

    /// Whether a file that begins with these bytes can be the one hashed.
    /// Nothing hashed fits anything.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        let len = usize::from(self.len);
        bytes.len() >= len && Head::of(&bytes[..len]) == *self
    }
}

/// What was known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which file.
    pub id: FileId,
    /// Its size at the last look.
    pub size: u64,
    /// How far it has been taken.
    pub offset: u64,
    /// How it began.
    pub head: Head,
}

/// What is there now.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Which file.
    pub id: FileId,
    /// Its size.
    pub size: u64,
    /// Its first bytes, [`Head::BYTES_MAX`] of them if it has so many.
    pub head: &'a [u8],
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The same file, longer or as it was: go on at the offset.
    Continue,
    /// Another file has taken its place: finish the old one, then open this
    /// one at its beginning.
    Reopen,
    /// The same inode with other content: begin again at 0.
    Restart,
}

/// Decides what became of a file between two looks.
pub fn follow(before: &Mark, now: &Look<'_>) -> Follow {
    if before.id != now.id {
        return Follow::Reopen;
    }
    if now.size < before.size || now.size < before.offset || !before.head.fits(now.head) {
        return Follow::Restart;
    }
    Follow::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(text: &str, offset: u64) -> Mark {
        Mark {
            id: FileId { dev: 1, ino: 7 },
            size: text.len() as u64,
            offset,
            head: Head::of(text.as_bytes()),
        }
    }

    fn look(ino: u64, text: &str) -> Look<'_> {
        Look { id: FileId { dev: 1, ino }, size: text.len() as u64, head: text.as_bytes() }
    }

    #[test]
    fn a_file_that_grew_goes_on() {
        assert_eq!(follow(&mark("one\n", 4), &look(7, "one\ntwo\n")), Follow::Continue);
        assert_eq!(follow(&mark("", 0), &look(7, "one\n")), Follow::Continue);
    }

    #[test]
    fn another_inode_is_another_file() {
        assert_eq!(follow(&mark("one\n", 4), &look(8, "one\n")), Follow::Reopen);
    }

    #[test]
    fn a_shorter_file_begins_again() {
        assert_eq!(follow(&mark("one\ntwo\n", 4), &look(7, "one\n")), Follow::Restart);
        assert_eq!(follow(&mark("one\n", 4), &look(7, "")), Follow::Restart);
    }

    #[test]
    fn a_file_truncated_and_grown_past_the_offset_is_known_by_its_head() {
        assert_eq!(follow(&mark("one\n", 4), &look(7, "two\nthree\nfour\n")), Follow::Restart);
    }

    #[test]
    fn only_the_first_256_bytes_are_hashed() {
        let long = "x".repeat(300);
        assert_eq!(Head::of(long.as_bytes()), Head::of(&long.as_bytes()[..256]));
        assert!(Head::of(long.as_bytes()).fits(&long.as_bytes()[..256]));
        assert!(!Head::of(long.as_bytes()).fits(&long.as_bytes()[..255]));
    }
}
