//! One line's effect on the open blocks of its stream.
//!
//! Which stream, when it expires and what is saved is the assembler's; here is
//! what a beginning, a step, a line of an open document and an ending do, and
//! when a block is decided.

use crate::config::plan::{BlockPlan, EventPlan, FieldValue, StepEffect, StepPlan};
use crate::model::Line;

use super::assemble::{Block, Draft, Findings, Scene, StreamState, emit, near_miss, tell_early_end};
use super::event;
use super::json::{Progress, Scanner};
use super::matcher::{self, BlockSlots, Hits};

/// Excerpts kept of one event.
const EXCERPTS_MAX: usize = 6;

/// One line and one stream of one block definition.
pub(super) struct Turn<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) definition: usize,
    pub(super) plan: &'a EventPlan,
    pub(super) block: &'a BlockPlan,
    pub(super) slots: &'a BlockSlots,
    pub(super) hits: &'a Hits,
    pub(super) line: &'a Line,
    /// A block may be opened.
    pub(super) has_room: bool,
    /// Blocks that found no room.
    pub(super) refused: u64,
    pub(super) out: &'a mut Findings,
}

impl Turn<'_> {
    /// Lets the line end, open and fill blocks of the stream.
    pub(super) fn take(&mut self, state: &mut StreamState) {
        if matcher::first(&self.block.interrupt, self.slots.interrupt, self.hits, self.line).is_some() {
            self.end_all(state);
            state.lookback = None;
        }
        if let Some(pattern) = matcher::first(&self.block.begin, self.slots.begin, self.hits, self.line) {
            let is_open = self.begin(state, false);
            if let Some(open) = state.open.back_mut().filter(|_| is_open) {
                // A group that does not read as its field's type leaves it as it was.
                event::capture(pattern, &self.plan.fields, &self.line.text, &mut open.draft.fields);
            }
            return;
        }
        if self.opens_headless(state) {
            self.begin(state, true);
        }
        let is_matched = self.steps(state);
        if !is_matched {
            self.document_line(state);
            if self.slots.marker.is_some_and(|slot| self.hits.has(slot)) {
                near_miss(self.scene, self.definition, self.line, self.out);
            }
        }
        self.count(state);
    }

    /// What is open grew past all that may be kept: this line's stream did.
    pub(super) fn is_over_the_wall(&self, bytes: usize) -> bool {
        !self.has_room && bytes > self.scene.plan.limits.block_bytes
    }

    /// Every open block ends early.
    pub(super) fn end_all(&mut self, state: &mut StreamState) {
        while let Some(open) = state.open.pop_front() {
            tell_early_end(self.scene, self.definition, self.block, open, self.out);
            state.is_muted |= !self.block.is_concurrent;
        }
    }

    /// Opens a block; false where there is no room for one.
    fn begin(&mut self, state: &mut StreamState, is_headless: bool) -> bool {
        if !self.block.is_concurrent {
            self.end_all(state);
        } else if state.open.len() >= self.block.limits.open_max {
            // Its end was not seen; the line that pushes it out was understood.
            state.open.pop_front();
            self.refused += 1;
        }
        if !self.has_room {
            // Its lines give no event, not even one without a beginning.
            state.is_muted = !self.block.is_concurrent;
            self.refused += 1;
            return false;
        }
        state.is_muted = false;
        state.open.push_back(Block {
            draft: Draft { fields: event::defaults(self.plan), excerpts: Vec::new() },
            document: None,
            opened_at: self.scene.when.clock,
            lines: 0,
            bytes: 0,
            is_headless,
            has_document: false,
            is_decided: false,
            steps: 0,
        });
        true
    }

    fn opens_headless(&self, state: &StreamState) -> bool {
        !state.is_muted
            && state.open.front().is_none_or(|b| b.is_headless)
            && matcher::first(&self.block.headless, self.slots.headless, self.hits, self.line).is_some()
    }

    /// Runs the steps that match; true if any did.
    fn steps(&mut self, state: &mut StreamState) -> bool {
        if !self.hits.any() {
            return false;
        }
        let block = self.block;
        let mut is_matched = false;
        for (i, step) in block.steps.iter().enumerate() {
            if !self.hits.has(self.slots.steps + i) || !matcher::holds(&step.pattern, self.line) {
                continue;
            }
            let mut picked = vec![None; self.plan.fields.len()];
            if !event::capture(&step.pattern, &self.plan.fields, &self.line.text, &mut picked) {
                continue;
            }
            for (field, value) in &step.sets {
                picked[*field] = Some(value.clone());
            }
            is_matched = true;
            self.pick(state, i, step, &picked);
            match step.effect {
                StepEffect::Pick => {}
                StepEffect::Decide => self.decide_front(state),
                StepEffect::End => {
                    self.end(state, &picked);
                    break;
                }
                StepEffect::Void => {
                    state.open.pop_front();
                    state.lookback = None;
                    near_miss(self.scene, self.definition, self.line, self.out);
                    break;
                }
            }
        }
        is_matched
    }

    /// Gives a step's fields to the blocks it counts for.
    fn pick(&mut self, state: &mut StreamState, i: usize, step: &StepPlan, picked: &[Option<FieldValue>]) {
        if self.block.is_concurrent && step.effect == StepEffect::Pick {
            let fields = event::defaults(self.plan);
            let lookback = state.lookback.get_or_insert_with(|| Draft { fields, excerpts: Vec::new() });
            give(lookback, picked, self.line);
        }
        if step.is_for_all {
            for open in state.open.iter_mut().filter(|open| !open.is_decided) {
                give(&mut open.draft, picked, self.line);
            }
            return;
        }
        let bit = 1u64 << (i % 64);
        let ends = matches!(step.effect, StepEffect::End | StepEffect::Void);
        let lacking = if ends { None } else { state.open.iter().position(|b| b.steps & bit == 0) };
        let Some(open) = state.open.get_mut(lacking.unwrap_or(0)) else { return };
        open.steps |= bit;
        if open.is_decided {
            // Its verdict stands; what follows changes nothing of it.
            return;
        }
        give(&mut open.draft, picked, self.line);
        if let Some(json) = &step.json {
            open.document = Some((i, Scanner::new()));
            open.has_document = true;
            if let Some(field) = json.state_field {
                open.draft.fields[field] = Some(FieldValue::Text("open".to_owned()));
            }
            let rest = step.pattern.regex.captures(&self.line.text);
            let rest = rest.as_ref().and_then(|c| c.get(json.group)).map_or("", |m| m.as_str());
            self.feed(state, lacking.unwrap_or(0), rest);
        }
    }

    /// A line that no step knows may go on with an open document.
    fn document_line(&mut self, state: &mut StreamState) {
        let Some(position) = state.open.iter().position(|b| b.document.is_some()) else { return };
        let Some((step, _)) = &state.open[position].document else { return };
        let stop = self.block.steps[*step].json.as_ref().and_then(|j| j.stop.as_ref());
        if self.line.is_cut || stop.is_some_and(|s| s.is_match(&self.line.text)) {
            // Not to be trusted, or no part of it: lines are missing.
            state.open[position].document = None;
            return;
        }
        self.feed(state, position, &self.line.text);
    }

    fn feed(&mut self, state: &mut StreamState, position: usize, text: &str) {
        let open = &mut state.open[position];
        let Some((step, scanner)) = &mut open.document else { return };
        let Some(json) = &self.block.steps[*step].json else { return };
        if self.line.is_cut {
            open.document = None;
            return;
        }
        let paths: Vec<Vec<String>> = json.pointers.iter().map(|p| p.path.clone()).collect();
        let mut found = Vec::new();
        let progress = scanner.feed(text, &paths, &mut found);
        let is_first = scanner.is_at_first_line();
        let mut decides = false;
        for (i, scalar) in found {
            let pointer = &json.pointers[i];
            if open.is_decided || open.draft.fields[pointer.field].is_some() {
                continue;
            }
            if let Some(value) = event::read_json(&self.plan.fields[pointer.field], &scalar) {
                open.draft.fields[pointer.field] = Some(value);
                excerpt(&mut open.draft, self.line);
                decides |= pointer.decides;
            }
        }
        if progress != Progress::Open {
            open.document = None;
            decides |= json.decides;
            if let Some(field) = json.state_field.filter(|_| !open.is_decided) {
                let word = match progress {
                    Progress::Complete => "complete",
                    _ if is_first => "invalid",
                    _ => "broken",
                };
                open.draft.fields[field] = Some(FieldValue::Text(word.to_owned()));
            }
        }
        if decides {
            state.open[position].decide(self.block);
        }
        if progress != Progress::Open && state.open[position].is_headless {
            self.close_headless(state, position);
        }
    }

    fn decide_front(&mut self, state: &mut StreamState) {
        let Some(open) = state.open.front_mut() else { return };
        open.decide(self.block);
        if open.is_headless && open.document.is_none() {
            self.close_headless(state, 0);
        }
    }

    /// A block without a beginning has no end of its own: its decision or the
    /// end of its document closes it.
    fn close_headless(&mut self, state: &mut StreamState, position: usize) {
        let Some(open) = state.open.remove(position) else { return };
        if open.is_decided {
            let is_closed = !open.is_broken(self.block);
            emit(self.scene, self.definition, open.draft, is_closed, self.out);
        }
    }

    /// An ending line: of the oldest open block, of what came since the last
    /// ending where none is open, or of the failure told just before.
    fn end(&mut self, state: &mut StreamState, picked: &[Option<FieldValue>]) {
        let now = self.scene.when.clock;
        let lookback = state.lookback.take();
        if let Some(open) = state.open.pop_front() {
            let mut outcome = None;
            if open.is_worth_telling() {
                outcome = emit(self.scene, self.definition, open.draft, true, self.out);
            }
            state.last_end = self.block.is_concurrent.then_some((now, outcome));
            return;
        }
        if !self.block.is_concurrent {
            return;
        }
        let mut draft =
            lookback.unwrap_or_else(|| Draft { fields: event::defaults(self.plan), excerpts: Vec::new() });
        give(&mut draft, picked, self.line);
        let outcome = self.scene.judge.outcome(self.plan, &draft.fields, true);
        let is_same = self.block.merge.as_ref().is_some_and(|merge| {
            let is_merged = |o: Option<usize>| o.is_some_and(|o| merge.outcomes.contains(&o));
            state.last_end.is_some_and(|(at, last)| {
                now.since(at) <= merge.within && is_merged(last) && is_merged(outcome)
            })
        });
        if !is_same {
            emit(self.scene, self.definition, draft, true, self.out);
        }
        state.last_end = Some((now, outcome));
    }

    /// Counts the line against the limits of the open blocks.
    fn count(&mut self, state: &mut StreamState) {
        let bytes = self.line.text.len() as u64 + 1;
        let limits = self.block.limits;
        for open in &mut state.open {
            open.lines += 1;
            open.bytes += bytes;
        }
        while state.open.front().is_some_and(|b| b.lines > limits.lines_max || b.bytes > limits.bytes_max) {
            if let Some(open) = state.open.pop_front() {
                tell_early_end(self.scene, self.definition, self.block, open, self.out);
                state.is_muted |= !self.block.is_concurrent;
            }
        }
    }
}

impl Block {
    /// The verdict stands from here on; it is told when the block ends. Of a
    /// broken document only a block that cannot end otherwise is decided.
    fn decide(&mut self, plan: &BlockPlan) {
        self.is_decided |= self.is_headless || !self.is_broken(plan);
    }

    /// Without a beginning it takes a verdict or a document to be an event.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.is_decided || self.has_document || !self.is_headless
    }

    fn is_broken(&self, plan: &BlockPlan) -> bool {
        plan.steps
            .iter()
            .filter_map(|s| s.json.as_ref()?.state_field)
            .any(|field| matches!(&self.draft.fields[field], Some(FieldValue::Text(t)) if t == "broken"))
    }
}

fn give(draft: &mut Draft, picked: &[Option<FieldValue>], line: &Line) {
    for (field, value) in draft.fields.iter_mut().zip(picked) {
        if value.is_some() {
            field.clone_from(value);
        }
    }
    excerpt(draft, line);
}

fn excerpt(draft: &mut Draft, line: &Line) {
    if draft.excerpts.len() >= EXCERPTS_MAX {
        draft.excerpts.remove(0);
    }
    draft.excerpts.push(event::excerpt(&line.text).to_owned());
}
