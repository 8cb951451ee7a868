//! Positions in a journal: libsystemd's cursor taken apart, and the JSON text
//! that a batch carries.
//!
//! The parts of the cursor (`s=` sequence id, `i=` sequence number, `b=` boot,
//! `m=` monotonic, `t=` realtime, `x=` hash; numbers in hex) are read as text,
//! because `sd_journal_get_seqnum` came with systemd 254 and Debian 12 has 252.

use serde::{Deserialize, Serialize};

/// The place of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// libsystemd's cursor.
    pub text: String,
    /// Names the sequence that `seqnum` counts in.
    pub seqnum_id: u128,
    /// Place in the sequence; without holes unless entries were removed.
    pub seqnum: u64,
    /// Boot of the entry.
    pub boot: u128,
    /// Microseconds since that boot.
    pub monotonic: u64,
    /// Microseconds since the epoch.
    pub realtime: u64,
    /// Hash over the entry's fields.
    pub hash: u64,
}

impl Position {
    /// Takes a cursor apart; `None` if it is not one of libsystemd's.
    pub fn parse(text: &str) -> Option<Position> {
        let mut parts: [Option<u128>; 6] = [None; 6];
        for part in text.split(';') {
            let (name, value) = part.split_once('=')?;
            let index = ["s", "i", "b", "m", "t", "x"].iter().position(|n| *n == name);
            if let Some(index) = index {
                parts[index] = Some(u128::from_str_radix(value, 16).ok()?);
            }
        }
        let small = |part: Option<u128>| part.and_then(|v| u64::try_from(v).ok());
        Some(Position {
            text: text.to_owned(),
            seqnum_id: parts[0]?,
            seqnum: small(parts[1])?,
            boot: parts[2]?,
            monotonic: small(parts[3])?,
            realtime: small(parts[4])?,
            hash: small(parts[5])?,
        })
    }

    /// The same entry, be it a copy in another file (journald copies what it
    /// wrote below `/run` to `/var` and numbers it anew).
    pub fn is_same_entry(&self, other: &Position) -> bool {
        (self.boot, self.monotonic, self.realtime, self.hash)
            == (other.boot, other.monotonic, other.realtime, other.hash)
    }

    /// Stands behind `other`, in the order in which libsystemd reads: sequence
    /// number if both are of one sequence, else monotonic if of one boot, else
    /// wall clock.
    pub fn is_after(&self, other: &Position) -> bool {
        if self.seqnum_id == other.seqnum_id {
            return self.seqnum > other.seqnum;
        }
        if self.boot == other.boot && self.monotonic != other.monotonic {
            return self.monotonic > other.monotonic;
        }
        self.realtime > other.realtime
    }
}

/// What a batch's cursor holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Everything up to here is read; absent: the journal was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Lines begun before `at` and not ended there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenLine>,
    /// Set while the clock of the present boot is behind that of an earlier
    /// one: entries of this position's sequence up to it are read, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
    /// Damaged files that were told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
    /// Units that the entries came from, where the source selects by other
    /// fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}

/// A line of which only the beginning has been written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenLine {
    /// Its writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its boot, 32 hex digits.
    pub boot: String,
    /// journald's id of the connection; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// Cursor of its first piece; absent: it was told as cut, and its rest is
    /// passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

impl Saved {
    /// Reads a batch's cursor text.
    pub fn parse(text: &str) -> Option<Saved> {
        serde_json::from_str(text).ok()
    }

    /// The batch's cursor text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = "s=6e3b5ab39f8a46fbac43bb16f46e03ca;i=1f;b=bc4a9fc4f511488eb3a9032bec9c7d67;m=7bcacf62;t=660f0d5a1b2c3;x=ab12";

    fn position(seqnum_id: u128, seqnum: u64, boot: u128, time: u64) -> Position {
        Position { text: String::new(), seqnum_id, seqnum, boot, monotonic: time, realtime: time, hash: 0 }
    }

    #[test]
    fn a_cursor_is_taken_apart() {
        let at = Position::parse(CURSOR).unwrap();
        assert_eq!(at.seqnum, 0x1f);
        assert_eq!(at.monotonic, 0x7bca_cf62);
        assert_eq!(at.boot, 0xbc4a_9fc4_f511_488e_b3a9_032b_ec9c_7d67);
        assert_eq!(Position::parse("nonsense"), None);
        assert_eq!(Position::parse("s=1;i=2"), None);
    }

    #[test]
    fn one_sequence_is_ordered_by_number_whatever_the_clock_says() {
        assert!(position(1, 9, 1, 50).is_after(&position(1, 8, 1, 60)));
        assert!(!position(1, 8, 1, 60).is_after(&position(1, 9, 1, 50)));
    }

    #[test]
    fn two_sequences_are_ordered_by_time() {
        assert!(position(1, 1, 1, 60).is_after(&position(2, 900, 1, 50)));
        assert!(position(1, 1, 1, 60).is_after(&position(2, 900, 2, 50)));
    }

    #[test]
    fn a_saved_position_comes_back() {
        let saved = Saved {
            at: Some(CURSOR.to_owned()),
            open: vec![OpenLine {
                pid: Some(7),
                boot: format!("{:032x}", 5),
                stream: "ab".to_owned(),
                first: Some(CURSOR.to_owned()),
            }],
            ..Saved::default()
        };
        assert_eq!(Saved::parse(&saved.to_text()), Some(saved));
    }
}
