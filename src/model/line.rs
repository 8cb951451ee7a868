//! What a source hands to the engine: lines, gaps and its own state, in
//! batches that end at a cursor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// Index of a source in the plan, in the order of the configuration.
pub type SourceId = usize;

/// A source's resume position. Opaque outside the source that wrote it; it
/// stands after everything in the batch that carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// Which output of a writer a line came from, where the transport tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// The transport does not tell them apart.
    #[default]
    Any,
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The lines of one writer within a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// The process (`PID@BOOT`), container (its id, or its Compose name in a
    /// dump) or file; empty where the transport tells nothing.
    pub writer: Arc<str>,
    /// The output within the writer.
    pub channel: Channel,
}

/// A reading of the machine's monotonic clock, valid within one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The boot's 128-bit id.
    pub id: u128,
    /// Time since that boot, in nanoseconds.
    pub monotonic: i64,
}

/// One raw line, joined from its pieces and made valid UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it.
    pub stream: Stream,
    /// Transport time (wall clock): the journal's, dockerd's, or the
    /// application's own where the transport has none.
    pub at: Time,
    /// The journal's monotonic stamp; other transports have none.
    pub boot: Option<Boot>,
    /// Syslog identifier (`systemd`, `python`), where the transport has one.
    pub identifier: Option<Arc<str>>,
    /// The text without its line end. May hold any character but `\n` at its
    /// end; a journal message may hold newlines inside.
    pub text: String,
    /// The text is not whole: over the limit, or its writer was cut off. What
    /// is there is its true beginning.
    pub is_cut: bool,
    /// Invalid UTF-8 was replaced by U+FFFD.
    pub had_invalid_utf8: bool,
}

/// Lines that existed and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it was told of (wall clock of the transport).
    pub at: Time,
    /// The journal's monotonic stamp of the entry that tells of it.
    pub boot: Option<Boot>,
    /// How many lines, where that is known.
    pub lines: Option<u64>,
    /// Why, for a person; never holds log text.
    pub why: String,
}

/// Whether a source can be believed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceState {
    /// Read to its end; silence from here on is silence.
    Live,
    /// Readable, but there is more to read.
    Behind,
    /// It cannot be read.
    Lost {
        /// Why, for a person, with the remedy where one is known.
        why: String,
    },
}

/// One thing a source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A line.
    Line(Line),
    /// Lines were lost.
    Gap(Gap),
    /// The source's state changed.
    State(SourceState),
}

/// A bounded run of readings of one source; committed as one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose.
    pub source: SourceId,
    /// In order. At most some thousand lines and a few MiB.
    pub readings: Vec<Reading>,
    /// Where to resume once the batch is committed; `None` leaves the stored
    /// cursor as it is.
    pub cursor: Option<Cursor>,
}
