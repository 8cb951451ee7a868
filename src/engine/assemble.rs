//! Lines to events: line events at once, block events from their lines.
//!
//! A block belongs to one stream and to nobody else's lines. Its verdict stands
//! from the moment a deciding value is read, and is told once, when the block
//! ends: by its end, or early (a new beginning, its process gone, lines missing,
//! a limit). One that is still open when its input ends is not told. After an early
//! end the stream is *muted*: what the process still writes of that block gives
//! no event until the next beginning. Of concurrent definitions several blocks
//! may be open in a stream; an ending line ends the oldest.
//!
//! What is kept of an open block is its fields and the JSON scanner's state,
//! so that it can be saved without saving log text.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::plan::{BlockPlan, FieldValue, Plan, Shape, UnlessSeen};
use crate::model::{Channel, Line, SourceId, Stream, Time};

use super::block::Turn;
use super::event::{self, Event, Judge};
use super::json::Scanner;
use super::matcher::{self, BlockSlots, Hits, LineSlots, Matcher, Slots};
use super::streams::{self, Streams};

/// Writers remembered for `unless_seen`, of all definitions.
const WRITERS_MAX: usize = 4_096;

/// A stream of a definition: `(definition, source, stream)`.
pub type Key = (usize, SourceId, Stream);

/// Fields picked up so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Draft {
    pub(super) fields: Vec<Option<FieldValue>>,
    pub(super) excerpts: Vec<String>,
}

/// An open block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    pub(super) draft: Draft,
    /// The step whose document is being read.
    pub(super) document: Option<(usize, Scanner)>,
    pub(super) opened_at: Time,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) is_headless: bool,
    pub(super) has_document: bool,
    pub(super) is_decided: bool,
    /// Steps that matched, one bit each.
    pub(super) steps: u64,
}

/// What is remembered of one stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamState {
    pub(super) open: VecDeque<Block>,
    pub(super) is_muted: bool,
    /// Concurrent definitions: what came since the last ending line.
    pub(super) lookback: Option<Draft>,
    /// When a line last ended a block, and its outcome.
    pub(super) last_end: Option<(Time, Option<usize>)>,
}

impl StreamState {
    fn is_forgettable(&self) -> bool {
        self.open.is_empty() && !self.is_muted && self.lookback.is_none() && self.last_end.is_none()
    }
}

/// What came of a line beside events.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// In the order in which they were decided.
    pub events: Vec<Event>,
    /// Lines that nearly matched a definition.
    pub near_misses: Vec<Event>,
}

/// When a line came, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// The source's clock.
    pub clock: Time,
    /// Wall time.
    pub at: Time,
}

/// All open blocks.
#[derive(Debug, Default)]
pub struct Assembler {
    pub(super) streams: Streams,
    /// Writers that wrote what `unless_seen` names, by definition and source.
    pub(super) seen: BTreeSet<(usize, SourceId, Arc<str>)>,
    due: BTreeSet<(SourceId, Time, Key)>,
    /// Keys changed since the last save.
    pub(super) dirty: BTreeSet<Key>,
    pub(super) dirty_seen: bool,
    /// Streams and writers forgotten for want of room.
    pub refused: u64,
    /// Blocks not opened, or ended early, for want of room.
    pub refused_blocks: u64,
}

/// What every step of the assembly needs to look at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Decides outcomes.
    pub judge: &'a Judge,
    /// Where the line came from.
    pub source: SourceId,
    /// When.
    pub when: When,
}

impl Assembler {
    /// Takes a line that its matcher has looked at.
    pub fn line(
        &mut self,
        scene: Scene<'_>,
        matcher: &Matcher,
        hits: &Hits,
        line: &Line,
        out: &mut Findings,
    ) {
        for (definition, slots) in &matcher.events {
            let plan = &scene.plan.events[*definition];
            let is_for_us = is_from(plan.identifier.as_deref(), line);
            match slots {
                Slots::Line(slots) if hits.any() && is_for_us => {
                    self.line_event(scene, *definition, slots, hits, line, out);
                }
                Slots::Line(_) => {}
                Slots::Block(slots) => {
                    if let Shape::Block(block) = &plan.shape {
                        self.block_line(scene, (*definition, block, slots), hits, line, out);
                    }
                }
            }
        }
    }

    fn line_event(
        &mut self,
        scene: Scene<'_>,
        definition: usize,
        slots: &LineSlots,
        hits: &Hits,
        line: &Line,
        out: &mut Findings,
    ) {
        let plan = &scene.plan.events[definition];
        let Shape::Line { patterns, unless_seen } = &plan.shape else { return };
        let mut is_matched = false;
        for (i, pattern) in patterns.iter().enumerate() {
            if !hits.has(slots.patterns + i) || !matcher::holds(pattern, line) {
                continue;
            }
            let mut fields = event::defaults(plan);
            if !event::capture(pattern, &plan.fields, &line.text, &mut fields) {
                continue;
            }
            is_matched = true;
            if unless_seen.as_ref().is_some_and(|u| self.is_suppressed(u, definition, scene.source, line)) {
                break;
            }
            let draft = Draft { fields, excerpts: vec![event::excerpt(&line.text).to_owned()] };
            emit(scene, definition, draft, true, out);
            break;
        }
        if slots.seen.is_some_and(|slot| hits.has(slot)) {
            self.remember_writer(definition, scene.source, line);
        }
        if !is_matched && slots.marker.is_some_and(|slot| hits.has(slot)) {
            near_miss(scene, definition, line, out);
        }
    }

    fn is_suppressed(&self, unless: &UnlessSeen, definition: usize, source: SourceId, line: &Line) -> bool {
        unless.of.is_match(&line.text)
            && self.seen.contains(&(definition, source, line.stream.writer.clone()))
    }

    fn remember_writer(&mut self, definition: usize, source: SourceId, line: &Line) {
        let writer = (definition, source, line.stream.writer.clone());
        if self.seen.contains(&writer) {
            return;
        }
        if self.seen.len() >= WRITERS_MAX {
            // Containers come and go; one that is forgotten is counted.
            self.seen.pop_first();
            self.refused += 1;
        }
        self.dirty_seen |= self.seen.insert(writer);
    }

    fn block_line(
        &mut self,
        scene: Scene<'_>,
        (definition, block, slots): (usize, &BlockPlan, &BlockSlots),
        hits: &Hits,
        line: &Line,
        out: &mut Findings,
    ) {
        let plan = &scene.plan.events[definition];
        let key = (definition, scene.source, stream_of(block, line));
        if !hits.any() && self.streams.get(&key).is_none_or(|s| s.open.is_empty()) {
            return;
        }
        if interrupts_all(block, slots, hits, line) {
            self.interrupt(scene, Some(definition), out);
            return;
        }
        if !is_from(plan.identifier.as_deref(), line) {
            return;
        }
        let known = self.streams.take(&key);
        let is_known = known.is_some();
        let mut state = known.unwrap_or_default();
        let before = state.open.front().map(|b| b.opened_at);
        let has_room = self.make_room(scene.plan.limits.block_bytes);
        let mut turn = Turn { scene, definition, plan, block, slots, hits, line, has_room, refused: 0, out };
        turn.take(&mut state);
        if turn.is_over_the_wall(self.streams.bytes() + streams::weight(&key, &state)) {
            turn.end_all(&mut state);
            turn.refused += 1;
        }
        let refused = turn.refused;
        self.refused_blocks += refused;
        if is_known || has_room || state.is_forgettable() {
            self.put_back(key, state, before, block);
        } else if refused == 0 {
            self.refused += 1;
        }
    }

    /// Lets go of idle streams until there is room for one more; counted. The
    /// last fifth is for what is open to grow in.
    fn make_room(&mut self, bytes_max: usize) -> bool {
        let most = bytes_max - bytes_max / 5;
        while self.streams.bytes() + streams::least() > most {
            let Some(key) = self.streams.let_go() else { return false };
            self.dirty.insert(key);
            self.refused += 1;
        }
        true
    }

    /// Stores a stream's state again and keeps its deadline and the set of
    /// changed keys right.
    fn put_back(&mut self, key: Key, state: StreamState, before: Option<Time>, block: &BlockPlan) {
        let now = state.open.front().map(|b| b.opened_at);
        if before != now {
            if let Some(opened_at) = before {
                self.due.remove(&(key.1, opened_at.plus(block.limits.duration_max), key.clone()));
            }
            if let Some(opened_at) = now {
                self.due.insert((key.1, opened_at.plus(block.limits.duration_max), key.clone()));
            }
        }
        self.dirty.insert(key.clone());
        if !state.is_forgettable() {
            self.streams.put(key, state);
        }
    }

    /// Ends early every open block of a source (of one definition, or of all):
    /// its processes are gone, or lines are missing.
    pub fn interrupt(&mut self, scene: Scene<'_>, definition: Option<usize>, out: &mut Findings) {
        let keys: Vec<Key> = self
            .streams
            .iter()
            .filter(|(k, s)| k.1 == scene.source && definition.is_none_or(|d| d == k.0) && !s.open.is_empty())
            .map(|(k, _)| k.clone())
            .collect();
        for key in keys {
            self.end_early(scene, key, |_| true, out);
        }
    }

    /// The next instant on the source's clock at which a block is over its
    /// time.
    pub fn next_due(&self, source: SourceId) -> Option<Time> {
        let from = (source, Time::MIN, (0, 0, Stream { writer: Arc::from(""), channel: Channel::Any }));
        self.due.range(from..).next().filter(|d| d.0 == source).map(|d| d.1)
    }

    /// Ends the blocks of a source that are over their time at `when`.
    pub fn expire(&mut self, scene: Scene<'_>, out: &mut Findings) {
        while let Some(at) = self.next_due(scene.source).filter(|at| *at <= scene.when.clock) {
            let from = (scene.source, at, (0, 0, Stream { writer: Arc::from(""), channel: Channel::Any }));
            let Some((_, _, key)) = self.due.range(from..).next().cloned() else { return };
            let Shape::Block(block) = &scene.plan.events[key.0].shape else { return };
            let limit = block.limits.duration_max;
            self.end_early(scene, key, |b| b.opened_at.plus(limit) <= scene.when.clock, out);
        }
    }

    fn end_early(
        &mut self,
        scene: Scene<'_>,
        key: Key,
        is_over: impl Fn(&Block) -> bool,
        out: &mut Findings,
    ) {
        let Shape::Block(block) = &scene.plan.events[key.0].shape else { return };
        let Some(mut state) = self.streams.take(&key) else { return };
        let before = state.open.front().map(|b| b.opened_at);
        while state.open.front().is_some_and(&is_over) {
            if let Some(open) = state.open.pop_front() {
                tell_early_end(scene, key.0, block, open, out);
                state.is_muted |= !block.is_concurrent;
            }
        }
        self.put_back(key, state, before, block);
    }

    /// Registers the deadlines of restored blocks.
    pub fn restore_deadlines(&mut self, plan: &Plan) {
        self.due.clear();
        for (key, state) in self.streams.iter() {
            if let (Some(block), Shape::Block(shape)) = (state.open.front(), &plan.events[key.0].shape) {
                self.due.insert((key.1, block.opened_at.plus(shape.limits.duration_max), key.clone()));
            }
        }
    }
}

fn stream_of(block: &BlockPlan, line: &Line) -> Stream {
    if block.joins_channels {
        Stream { writer: line.stream.writer.clone(), channel: Channel::Any }
    } else {
        line.stream.clone()
    }
}

fn is_from(identifier: Option<&str>, line: &Line) -> bool {
    match (identifier, &line.identifier) {
        (Some(wanted), Some(got)) => wanted == &**got,
        _ => true,
    }
}

fn interrupts_all(block: &BlockPlan, slots: &BlockSlots, hits: &Hits, line: &Line) -> bool {
    hits.any()
        && block.interrupt_all.iter().enumerate().any(|(i, (identifier, pattern))| {
            hits.has(slots.interrupt_all + i)
                && is_from(identifier.as_deref(), line)
                && matcher::holds(pattern, line)
        })
}

/// A block that ended early is told, unless it was already or is no request.
pub(super) fn tell_early_end(
    scene: Scene<'_>,
    definition: usize,
    block: &BlockPlan,
    open: Block,
    out: &mut Findings,
) {
    if (block.tells_interrupted || open.is_decided) && open.is_worth_telling() {
        emit(scene, definition, open.draft, open.is_decided, out);
    }
}

/// Judges the fields and hands the event out.
pub(super) fn emit(
    scene: Scene<'_>,
    definition: usize,
    draft: Draft,
    is_closed: bool,
    out: &mut Findings,
) -> Option<usize> {
    let plan = &scene.plan.events[definition];
    let outcome = scene.judge.outcome(plan, &draft.fields, is_closed);
    out.events.push(Event {
        definition,
        source: scene.source,
        fields: draft.fields,
        outcome,
        at: scene.when.at,
        excerpts: draft.excerpts,
        is_near_miss: false,
    });
    outcome
}

/// A line that carries a definition's marker, or is not whole, and matches
/// none of its patterns.
pub(super) fn near_miss(scene: Scene<'_>, definition: usize, line: &Line, out: &mut Findings) {
    out.near_misses.push(Event {
        definition,
        source: scene.source,
        fields: Vec::new(),
        outcome: None,
        at: scene.when.at,
        excerpts: vec![event::excerpt(&line.text).to_owned()],
        is_near_miss: true,
    });
}
