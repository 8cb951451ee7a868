//! One pass over a line for all definitions of its source.
//!
//! A [`regex::RegexSet`] tells which patterns hit; captures run only for
//! those. A line is looked at over its first 64 KiB.

use regex::{RegexSet, RegexSetBuilder};

use crate::config::plan::{BlockPlan, EventPlan, Pattern, Plan, Shape};
use crate::model::{Line, SourceId};

use super::event::head;

/// How much of a line patterns see, in bytes.
pub const MATCH_BYTES_MAX: usize = 64 * 1024;
/// Limit of a source's compiled set, in bytes.
const SET_BYTES_MAX: usize = 64 << 20;

/// Which patterns hit one line; bit positions are slots.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    bits: Vec<u64>,
    any: bool,
}

impl Hits {
    /// Any pattern hit.
    pub fn any(&self) -> bool {
        self.any
    }

    /// The pattern in that slot hit.
    pub fn has(&self, slot: usize) -> bool {
        self.bits.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }
}

/// Slots of a block definition within its source's set.
#[derive(Clone, Debug, Default)]
pub struct BlockSlots {
    /// First slot of each list of the definition, in the order of the plan.
    pub begin: usize,
    /// See `begin`.
    pub headless: usize,
    /// See `begin`.
    pub steps: usize,
    /// See `begin`.
    pub interrupt: usize,
    /// See `begin`.
    pub interrupt_all: usize,
    /// Slot of the marker.
    pub marker: Option<usize>,
}

/// Slots of a line definition.
#[derive(Clone, Debug, Default)]
pub struct LineSlots {
    /// First slot of its patterns.
    pub patterns: usize,
    /// Slot of what suppresses some of them.
    pub seen: Option<usize>,
    /// Slot of the marker.
    pub marker: Option<usize>,
}

/// Slots of one definition.
#[derive(Clone, Debug)]
pub enum Slots {
    /// Of a line event.
    Line(LineSlots),
    /// Of a block event.
    Block(BlockSlots),
}

/// The patterns of one source.
#[derive(Debug)]
pub struct Matcher {
    set: RegexSet,
    /// Definitions that look at the source, with their slots.
    pub events: Vec<(usize, Slots)>,
    /// Changes that look at the source, with their first slot.
    pub changes: Vec<(usize, usize)>,
    words: usize,
}

impl Matcher {
    /// Of one source of the plan.
    pub fn new(plan: &Plan, source: SourceId) -> Matcher {
        let mut patterns = Vec::new();
        let mut events = Vec::new();
        for (i, event) in plan.events.iter().enumerate() {
            if event.sources.contains(&source) {
                events.push((i, slots(event, &mut patterns)));
            }
        }
        let mut changes = Vec::new();
        for (i, change) in plan.changes.iter().enumerate() {
            if change.sources.contains(&source) {
                changes.push((i, push(&mut patterns, &change.patterns)));
            }
        }
        let words = patterns.len().div_ceil(64);
        // Each pattern compiled alone when the configuration was read; a set
        // that is too large all the same is asked pattern by pattern.
        let set = RegexSetBuilder::new(&patterns)
            .size_limit(SET_BYTES_MAX)
            .dfa_size_limit(SET_BYTES_MAX)
            .build()
            .unwrap_or_else(|_| RegexSet::empty());
        Matcher { set, events, changes, words }
    }

    /// What hits the line.
    pub fn hits(&self, line: &Line, hits: &mut Hits) {
        hits.bits.clear();
        hits.bits.resize(self.words, 0);
        hits.any = false;
        let text = head(&line.text, MATCH_BYTES_MAX);
        if self.set.is_empty() {
            return;
        }
        for slot in &self.set.matches(text) {
            hits.bits[slot / 64] |= 1 << (slot % 64);
            hits.any = true;
        }
    }
}

/// The pattern matches the line, given that its regex hit.
pub fn holds(pattern: &Pattern, line: &Line) -> bool {
    (pattern.allows_cut || !line.is_cut)
        && !pattern.unless.as_ref().is_some_and(|u| u.is_match(head(&line.text, MATCH_BYTES_MAX)))
}

/// The first of `patterns` that matches, given the slot of the first.
pub fn first<'p>(patterns: &'p [Pattern], slot: usize, hits: &Hits, line: &Line) -> Option<&'p Pattern> {
    patterns.iter().enumerate().find(|(i, p)| hits.has(slot + i) && holds(p, line)).map(|(_, p)| p)
}

fn push(all: &mut Vec<String>, patterns: &[Pattern]) -> usize {
    let slot = all.len();
    all.extend(patterns.iter().map(|p| p.regex.as_str().to_owned()));
    slot
}

fn slots(event: &EventPlan, all: &mut Vec<String>) -> Slots {
    let marker = |all: &mut Vec<String>| event.marker.as_ref().map(|m| push(all, std::slice::from_ref(m)));
    match &event.shape {
        Shape::Line { patterns, unless_seen } => Slots::Line(LineSlots {
            patterns: push(all, patterns),
            seen: unless_seen.as_ref().map(|u| push(all, std::slice::from_ref(&u.seen))),
            marker: marker(all),
        }),
        Shape::Block(block) => block_slots(block, all, marker),
    }
}

fn block_slots(
    block: &BlockPlan,
    all: &mut Vec<String>,
    marker: impl FnOnce(&mut Vec<String>) -> Option<usize>,
) -> Slots {
    let begin = push(all, &block.begin);
    let headless = push(all, &block.headless);
    let steps = all.len();
    all.extend(block.steps.iter().map(|s| s.pattern.regex.as_str().to_owned()));
    let interrupt = push(all, &block.interrupt);
    let interrupt_all = all.len();
    all.extend(block.interrupt_all.iter().map(|(_, p)| p.regex.as_str().to_owned()));
    Slots::Block(BlockSlots { begin, headless, steps, interrupt, interrupt_all, marker: marker(all) })
}
