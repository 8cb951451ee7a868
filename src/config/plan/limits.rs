//! How much may be kept, as meant: one number for the memory, and what it
//! leaves for each kind of thing.
//!
//! The parts are walls, not one pool: a flood of label values takes no room
//! from open blocks, and neither takes any from the keys of rules. What a
//! thing is charged is what it takes with all the copies that are made of it
//! when it is saved and published, so that the sum stays true.

/// What the program takes however little it is given to do: its code and
/// tables, SQLite's cache, the threads' own.
const FIXED: u64 = 64 << 20;
/// Batches of a source that may wait or be in the making, each of as many
/// bytes of lines as [`BATCH`] and one line more.
const BATCHES: u64 = 10;
/// See [`BATCHES`].
const BATCH: u64 = 1 << 20;
/// Room that must be left for what is kept.
const KEPT_MIN: u64 = 32 << 20;
/// What is left for what is kept unless more is said.
const KEPT: u64 = 152 << 20;
/// Charged for a key of a rule with its evidence, its incident, and the
/// notices and rows made of it.
const KEY: usize = 12 << 10;
/// Charged for one moment in a window, which grows by doubling.
const MOMENT: usize = 48;
/// Charged for a series, for each of its labels, and for each bucket.
const SERIES: (usize, usize, usize) = (1_024, 512, 160);

/// What may be kept, of all definitions, metrics and rules together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsPlan {
    /// The configured limit, in bytes.
    pub memory: u64,
    /// Bytes of open blocks and of what is remembered of their streams.
    pub block_bytes: usize,
    /// Bytes of series.
    pub series_bytes: usize,
    /// Keys of rules.
    pub keys_max: usize,
    /// Moments in the windows of rules beyond those every window may hold.
    pub moments_max: usize,
}

impl LimitsPlan {
    /// The limit unless one is set, for sources with lines of these lengths.
    pub fn default_memory(line_bytes: &[usize]) -> u64 {
        needed(line_bytes).saturating_add(KEPT)
    }

    /// The least that can be configured for these sources.
    pub fn least_memory(line_bytes: &[usize]) -> u64 {
        needed(line_bytes).saturating_add(KEPT_MIN)
    }

    /// What a limit leaves for each kind of thing.
    pub fn new(memory: u64, line_bytes: &[usize]) -> LimitsPlan {
        let kept = memory.saturating_sub(needed(line_bytes)).max(KEPT_MIN);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        LimitsPlan {
            memory,
            block_bytes: kept / 2,
            series_bytes: kept / 4,
            keys_max: kept / 4 / 4 * 3 / KEY,
            moments_max: kept / 4 / 4 / MOMENT,
        }
    }

    /// What a series of so many labels and buckets is charged.
    pub fn series_weight(labels: usize, buckets: usize) -> usize {
        SERIES.0 + labels * SERIES.1 + buckets * SERIES.2
    }
}

impl Default for LimitsPlan {
    fn default() -> LimitsPlan {
        let line_bytes = [1 << 20, 1 << 20];
        LimitsPlan::new(LimitsPlan::default_memory(&line_bytes), &line_bytes)
    }
}

fn needed(line_bytes: &[usize]) -> u64 {
    let of_lines = line_bytes.iter().map(|bytes| BATCHES.saturating_mul(BATCH.saturating_add(*bytes as u64)));
    of_lines.fold(FIXED, u64::saturating_add)
}
