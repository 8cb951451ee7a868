//! The streams that are remembered, and what they are charged.
//!
//! Every stream is charged for its blocks as they grow. Room for a new one is
//! made by letting go of streams in which nothing is open: most of their
//! writers are long gone, and a monitor that takes no new ones would be deaf.
//! An open block is never let go for another one.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::plan::FieldValue;

use super::assemble::{Block, Draft, Key, StreamState};

/// Charged for a stream with its key, deadline and row, for a block, and for
/// a field or an excerpt beside its text.
const STREAM: usize = 1_024;
/// See [`STREAM`].
const BLOCK: usize = 768;
/// See [`STREAM`].
const PIECE: usize = 64;
/// A block is charged this much at least: it will grow.
const BLOCK_LEAST: usize = 2_048;

/// All streams.
#[derive(Debug, Default)]
pub struct Streams {
    by_key: BTreeMap<Key, StreamState>,
    /// Those in which nothing is open.
    idle: BTreeSet<Key>,
    bytes: usize,
}

impl Streams {
    /// One stream.
    pub fn get(&self, key: &Key) -> Option<&StreamState> {
        self.by_key.get(key)
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &StreamState)> {
        self.by_key.iter()
    }

    /// What they are charged together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one out, to be changed and put again.
    pub fn take(&mut self, key: &Key) -> Option<StreamState> {
        let state = self.by_key.remove(key)?;
        self.bytes -= weight(key, &state);
        self.idle.remove(key);
        Some(state)
    }

    /// Puts one.
    pub fn put(&mut self, key: Key, state: StreamState) {
        self.take(&key);
        self.bytes += weight(&key, &state);
        if state.open.is_empty() {
            self.idle.insert(key.clone());
        }
        self.by_key.insert(key, state);
    }

    /// Lets go of an idle stream and says which.
    pub fn let_go(&mut self) -> Option<Key> {
        let key = self.idle.first().cloned()?;
        self.take(&key);
        Some(key)
    }
}

/// What one more stream with a block is charged at least.
pub fn least() -> usize {
    STREAM + BLOCK_LEAST
}

/// What a stream is charged.
pub fn weight(key: &Key, state: &StreamState) -> usize {
    let blocks: usize = state.open.iter().map(of_block).sum();
    STREAM + 4 * key.2.writer.len() + blocks + state.lookback.as_ref().map_or(0, of_draft)
}

fn of_block(block: &Block) -> usize {
    let document = block.document.as_ref().map_or(0, |(_, scanner)| scanner.weight());
    (BLOCK + of_draft(&block.draft) + document).max(BLOCK_LEAST)
}

/// Twice its texts: they are saved too.
fn of_draft(draft: &Draft) -> usize {
    let of_field = |field: &Option<FieldValue>| match field {
        Some(FieldValue::Text(text)) => PIECE + 2 * text.len(),
        _ => PIECE,
    };
    let fields: usize = draft.fields.iter().map(of_field).sum();
    fields + draft.excerpts.iter().map(|excerpt| PIECE + 2 * excerpt.len()).sum::<usize>()
}
