//! The engine's memory as rows, and back.
//!
//! Rows are named by what the configuration calls things, never by position,
//! so that a changed configuration keeps the state of all that still exists.
//! An open block is kept only while its definition is the same to the letter.
//! Excerpts are redacted before they become a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Plan;
use crate::config::plan::{EventPlan, FieldValue, MetricKind};
use crate::model::{Channel, SavedRow, Stream, Time};

use super::Engine;
use super::alert::{KeyState, Moment, OpenIncident, RuleKey};
use super::assemble::{Key, StreamState};
use super::change::Changes;
use super::clocks::Clock;
use super::detect::Piece;
use super::group::Group;
use super::metric::{Labels, Value};
use super::sources::SourceMemory;

/// Every kind of row there is.
pub const KINDS: &[&str] = &[
    "engine", "source", "block", "seen", "series", "refused", "rule", "window", "incident", "group",
    "silence", "changes",
];

/// What has no row of its own.
#[derive(Serialize, Deserialize)]
struct Whole {
    last_number: u64,
    near_misses: BTreeMap<String, u64>,
    process: Time,
    /// Streams and keys refused for want of room.
    #[serde(default)]
    refused: (u64, u64),
    #[serde(default)]
    refused_blocks: u64,
    #[serde(default)]
    last_silence: u64,
}

/// A source's row.
#[derive(Serialize, Deserialize)]
struct SourceRow {
    clock: Clock,
    memory: SourceMemory,
}

/// An open block's row.
#[derive(Serialize, Deserialize)]
struct BlockRow {
    definition: u64,
    state: StreamState,
}

impl Engine {
    /// The rows that changed since the last call; commit them with the
    /// cursors of what was handled.
    pub fn take_changes(&mut self) -> Vec<SavedRow> {
        let plan = self.plan.clone();
        let mut rows = std::mem::take(&mut self.gone);
        for (source, memory) in self.sources.iter_mut().enumerate() {
            if std::mem::take(&mut memory.is_dirty) {
                let row = SourceRow { clock: self.clocks.sources[source].clone(), memory: memory.clone() };
                rows.push(put("source", plan.sources[source].name.clone(), Some(&row)));
            }
        }
        for key in std::mem::take(&mut self.assembler.dirty) {
            let row = self
                .assembler
                .streams
                .get(&key)
                .map(|state| block_row(&plan, self.fingerprints[key.0], state));
            rows.push(put("block", block_key(&plan, &key), row.as_ref()));
        }
        if std::mem::take(&mut self.assembler.dirty_seen) {
            let seen: Vec<_> = self
                .assembler
                .seen
                .iter()
                .map(|(d, s, w)| (&plan.events[*d].name, &plan.sources[*s].name, w))
                .collect();
            rows.push(put("seen", String::new(), Some(&seen)));
        }
        for (metric, labels) in std::mem::take(&mut self.registry.dirty) {
            let key = text(&(&plan.metrics[metric].name, &labels));
            rows.push(put("series", key, self.registry.get(metric, &labels)));
        }
        for metric in std::mem::take(&mut self.registry.dirty_refused) {
            rows.push(put(
                "refused",
                plan.metrics[metric].name.clone(),
                Some(&self.registry.refused[metric]),
            ));
        }
        for (rule, key) in std::mem::take(&mut self.alerts.dirty) {
            let row = self.alerts.keys[rule].get(&key);
            rows.push(put("rule", text(&(&plan.rules[rule].name, &key)), row));
        }
        for (rule, key, piece) in std::mem::take(&mut self.alerts.dirty_pieces) {
            let window = self.alerts.keys[rule].get(&key).and_then(|state| state.memory.window());
            let row = window.and_then(|window| window.piece(piece));
            rows.push(put("window", text(&(&plan.rules[rule].name, &key, piece)), row.as_ref()));
        }
        let incidents = std::mem::take(&mut self.alerts.unsaved_incidents);
        let is_silenced = !self.silences.dirty.is_empty();
        if std::mem::take(&mut self.is_vitals_dirty) || !incidents.is_empty() || is_silenced {
            let near = plan.events.iter().zip(&self.near_misses).map(|(e, n)| (e.name.clone(), *n));
            let whole = Whole {
                last_number: self.alerts.last_number,
                near_misses: near.collect(),
                process: self.clocks.process,
                refused: (self.assembler.refused, self.alerts.refused),
                refused_blocks: self.assembler.refused_blocks,
                last_silence: self.silences.last,
            };
            rows.push(put("engine", String::new(), Some(&whole)));
        }
        for number in incidents {
            rows.push(put("incident", number.to_string(), self.alerts.open.get(&number)));
        }
        for key in std::mem::take(&mut self.router.dirty) {
            rows.push(put("group", text(&key), self.router.groups.get(&key)));
        }
        for number in std::mem::take(&mut self.silences.dirty) {
            rows.push(put("silence", number.to_string(), self.silences.get(number)));
        }
        if std::mem::take(&mut self.changes.is_dirty) {
            rows.push(put("changes", String::new(), Some(&self.changes)));
        }
        rows
    }

    /// An engine that remembers what was committed. Rows of what the
    /// configuration no longer names are passed over.
    pub fn restore(plan: Arc<Plan>, instance: &str, digest_key: [u8; 32], rows: &[SavedRow]) -> Engine {
        Engine::new(plan, instance, digest_key).restored(rows)
    }

    /// An engine of the same plan that remembers these rows and nothing else.
    /// Compiling the patterns is what takes time in a start; here they are
    /// shared.
    pub fn restored(&self, rows: &[SavedRow]) -> Engine {
        let compiled = (self.matchers.clone(), self.fingerprints.clone(), self.judge.clone());
        let mut engine = Engine::with(self.plan.clone(), &self.instance, self.digest_key, compiled);
        engine.tells = self.tells;
        for row in rows {
            if let Some(value) = &row.value {
                engine.take_row(row.kind, &row.key, value);
            }
        }
        engine.take_windows(rows);
        engine.drop_orphans();
        let plan = engine.plan.clone();
        engine.assembler.restore_deadlines(&plan);
        let (clocks, digest_key) = (&engine.clocks, &engine.digest_key);
        engine.alerts.restore_deadlines(|rule| {
            let clock = clocks.of_rule(&plan.rules[rule])?;
            let at = clocks.wall(&plan.rules[rule], clock);
            Some(Moment { plan: &plan, clocks, clock, at, changes: &[], digest_key, is_live: true })
        });
        engine.router.restore_routes(&plan);
        engine.sources.iter_mut().for_each(|s| s.awaits_word = true);
        engine.router.wake(engine.clocks.process);
        engine
    }

    fn take_row(&mut self, kind: &str, key: &str, value: &str) -> Option<()> {
        let plan = self.plan.clone();
        match kind {
            "engine" => {
                let whole: Whole = from(value)?;
                self.alerts.last_number = whole.last_number;
                self.clocks.process = whole.process;
                (self.assembler.refused, self.alerts.refused) = whole.refused;
                self.assembler.refused_blocks = whole.refused_blocks;
                self.silences.last = self.silences.last.max(whole.last_silence);
                for (i, event) in plan.events.iter().enumerate() {
                    self.near_misses[i] = whole.near_misses.get(&event.name).copied().unwrap_or(0);
                }
            }
            "source" => {
                let row: SourceRow = from(value)?;
                let source = plan.source(key)?;
                self.clocks.sources[source] = row.clock;
                self.sources[source] = row.memory;
            }
            "block" => {
                let (definition, source, writer, channel): (String, String, String, Channel) = from(key)?;
                let definition = plan.events.iter().position(|e| e.name == definition)?;
                let stream = Stream { writer: Arc::from(writer), channel };
                let key = (definition, plan.source(&source)?, stream);
                let row: BlockRow = from(value)?;
                if row.definition == self.fingerprints[definition] {
                    self.assembler.streams.put(key, row.state);
                } else {
                    // Its row goes, or it would come back with its definition.
                    self.assembler.dirty.insert(key);
                }
            }
            "seen" => {
                let seen: Vec<(String, String, String)> = from(value)?;
                for (definition, source, writer) in seen {
                    let definition = plan.events.iter().position(|e| e.name == definition);
                    if let (Some(definition), Some(source)) = (definition, plan.source(&source)) {
                        self.assembler.seen.insert((definition, source, Arc::from(writer)));
                    }
                }
            }
            "series" => self.take_series(&plan, key, value)?,
            "refused" => {
                let metric = plan.metrics.iter().position(|m| m.name == key)?;
                self.registry.refused[metric] = from(value)?;
            }
            "rule" => {
                let (rule, key): (String, RuleKey) = from(key)?;
                let Some(rule) = plan.rules.iter().position(|r| r.name == rule) else {
                    self.forget_row(&rule, &key);
                    return None;
                };
                let state: KeyState = from(value)?;
                let is_fitting = key.len() == plan.rules[rule].by.len() || plan.rules[rule].is_built_in();
                if is_fitting && state.memory.fits(&plan.rules[rule].detector) {
                    self.alerts.restore(rule, key, state);
                } else {
                    self.forget_row(&plan.rules[rule].name, &key);
                }
            }
            "incident" => {
                let open: OpenIncident = from(value)?;
                self.alerts.open.insert(open.incident.number, open);
            }
            "group" => {
                let group: Group = from(value)?;
                self.router.groups.insert(from(key)?, group);
            }
            "silence" => self.silences.restore(from(value)?),
            "changes" => {
                let changes: Changes = from(value)?;
                self.changes = changes;
            }
            _ => {}
        }
        Some(())
    }

    /// A key of a rule that is not as it was. Should that rule come back, what it
    /// knew would be of long ago.
    fn forget_row(&mut self, rule: &str, key: &RuleKey) {
        self.gone.push(SavedRow { kind: "rule", key: text(&(rule, key)), value: None });
    }

    /// Windows come after their keys and in the order of their pieces.
    fn take_windows(&mut self, rows: &[SavedRow]) {
        let mut pieces = Vec::new();
        for row in rows.iter().filter(|row| row.kind == "window") {
            let key: Option<(String, RuleKey, u64)> = from(&row.key);
            let piece: Option<Piece> = row.value.as_deref().and_then(from);
            if let Some((key, piece)) = key.zip(piece) {
                pieces.push((key, piece));
            }
        }
        pieces.sort_by(|a, b| a.0.cmp(&b.0));
        let plan = self.plan.clone();
        for (key, piece) in pieces {
            let rule = plan.rules.iter().position(|r| r.name == key.0);
            if !rule.is_some_and(|rule| self.alerts.restore_piece(rule, &key.1, &piece)) {
                self.gone.push(SavedRow { kind: "window", key: text(&key), value: None });
            }
        }
    }

    fn take_series(&mut self, plan: &Plan, key: &str, value: &str) -> Option<()> {
        let (metric, labels): (String, Labels) = from(key)?;
        let metric = plan.metrics.iter().position(|m| m.name == metric)?;
        let value: Value = from(value)?;
        let is_same_kind = match (&plan.metrics[metric].kind, &value) {
            (MetricKind::Histogram { buckets, .. }, Value::Histogram { bounds, counts, .. }) => {
                buckets == bounds && counts.len() == bounds.len() + 1
            }
            (MetricKind::Histogram { .. }, _) | (_, Value::Histogram { .. }) => false,
            _ => true,
        };
        if is_same_kind && labels.len() == plan.metrics[metric].labels.len() {
            self.registry.put(&plan.metrics[metric], metric, labels, value);
        }
        Some(())
    }

    /// Open incidents whose rule or key is gone end, with the reason said.
    fn drop_orphans(&mut self) {
        let plan = self.plan.clone();
        let is_kept = |open: &OpenIncident| {
            let rule = plan.rules.iter().position(|r| r.name == open.rule);
            rule.and_then(|r| self.alerts.keys[r].get(&open.key))
                .and_then(|s| s.firing.as_ref())
                .is_some_and(|f| f.incident == open.incident.number)
        };
        let gone: Vec<u64> =
            self.alerts.open.values().filter(|o| !is_kept(o)).map(|o| o.incident.number).collect();
        for number in gone {
            self.alerts.orphan(number, self.clocks.process);
        }
        for (rule, keys) in self.alerts.keys.iter_mut().enumerate() {
            for (key, state) in keys {
                let is_open =
                    state.firing.as_ref().is_none_or(|f| self.alerts.open.contains_key(&f.incident));
                if !is_open {
                    state.firing = None;
                    self.alerts.dirty.insert((rule, key.clone()));
                }
            }
        }
    }
}

fn block_key(plan: &Plan, key: &Key) -> String {
    text(&(&plan.events[key.0].name, &plan.sources[key.1].name, &key.2.writer, key.2.channel))
}

fn block_row(plan: &Plan, definition: u64, state: &StreamState) -> BlockRow {
    let mut state = state.clone();
    let drafts = state.open.iter_mut().map(|b| &mut b.draft).chain(state.lookback.as_mut());
    for draft in drafts {
        for field in draft.fields.iter_mut().flatten() {
            if let FieldValue::Text(text) = field {
                *text = plan.redactor.redact(text);
            }
        }
        for excerpt in &mut draft.excerpts {
            *excerpt = plan.redactor.redact(excerpt);
        }
    }
    BlockRow { definition, state }
}

/// A digest of all that a definition says.
pub(super) fn fingerprint(definition: &EventPlan) -> u64 {
    fnv1a(&format!("{definition:?}"))
}

/// FNV-1a.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn put<T: Serialize>(kind: &'static str, key: String, value: Option<&T>) -> SavedRow {
    SavedRow { kind, key, value: value.map(text) }
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn from<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
