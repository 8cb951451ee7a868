//! Alerts: conditions become incidents, incidents end.
//!
//! A rule is kept for each key. Its condition is asked at every event it looks
//! at and at every deadline; what changes is a transition. On one entry an
//! inhibitor goes before what it inhibits, so rules are run in `order`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::plan::{Labelled, Plan, RulePlan};
use crate::model::{Acknowledgement, Incident, Severity, Time, Transition};

use super::clocks::Clocks;
use super::detect::{Breach, Counted, Memory, Now, Piece};
use super::event::{Event, head};
use super::inhibit::in_order;
use super::words;

/// Values of the fields a rule is kept apart by.
pub type RuleKey = Vec<String>;

/// Longest key value, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// Lines kept as evidence of a condition: those of three events at least.
const EVIDENCE_MAX: usize = 9;
/// Values of distinct fields kept.
const DISTINCT_MAX: usize = 8;

/// What is known of one key of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyState {
    /// The detector's.
    pub memory: Memory,
    /// Since when the condition holds, while it does not fire yet.
    pub pending_since: Option<Time>,
    /// While it fires.
    pub firing: Option<Firing>,
    /// When an event was last counted, on the rule's clock.
    pub counted_at: Option<Time>,
    /// What led to it.
    pub tally: Tally,
    /// The deadline that is registered.
    #[serde(skip)]
    due: Option<Time>,
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// Number of the incident.
    pub incident: u64,
    /// Severity now; never goes down.
    pub severity: Severity,
    /// Since when the condition is clear, on the rule's clock.
    pub clear_since: Option<Time>,
    /// The condition cleared for want of data.
    pub is_for_want_of_data: bool,
}

/// Evidence of a condition: counts, times, redacted excerpts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Bad events.
    pub count: u64,
    /// Wall time of the first.
    pub first_at: Option<Time>,
    /// Wall time of the last.
    pub last_at: Option<Time>,
    /// Values of the rule's distinct fields, and how often.
    pub distinct: BTreeMap<String, u64>,
    /// The last lines, redacted.
    pub excerpts: Vec<String>,
}

/// An incident with what notices need beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenIncident {
    /// The incident.
    pub incident: Incident,
    /// Name of the rule.
    pub rule: String,
    /// Its key.
    pub key: RuleKey,
    /// Alerts it inhibited, as they fired.
    pub symptoms: Vec<String>,
    /// Bad events counted in it.
    pub count: u64,
    /// Somebody sees to it.
    #[serde(default)]
    pub acknowledged: Option<Acknowledgement>,
}

impl OpenIncident {
    /// As matchers see it.
    pub fn labelled(&self) -> Labelled<'_> {
        let incident = &self.incident;
        Labelled { alert: &incident.alert, severity: incident.severity, labels: &incident.labels }
    }
}

/// When a condition is asked, and what a fired alert may tell.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// All clocks.
    pub clocks: &'a Clocks,
    /// Instant on the rule's clock.
    pub clock: Time,
    /// Wall time to show.
    pub at: Time,
    /// What changed lately, for a person, a line each.
    pub changes: &'a [String],
    /// Keys the digests of values that are only compared.
    pub digest_key: &'a [u8; 32],
    /// The rule's sources can be believed; else staleness is not judged.
    pub is_live: bool,
}

impl Moment<'_> {
    /// The instant, for a rule's detector. A line that came late shows its own
    /// time, which is not what time it is.
    pub fn now(&self, rule: &RulePlan) -> Now {
        Now { clock: self.clock, wall: self.clocks.wall(rule, self.clock) }
    }
}

/// All alerts.
#[derive(Debug, Default)]
pub struct Alerts {
    /// By rule.
    pub(super) keys: Vec<BTreeMap<RuleKey, KeyState>>,
    due: Vec<BTreeSet<(Time, RuleKey)>>,
    /// Open incidents by number.
    pub(super) open: BTreeMap<u64, OpenIncident>,
    /// Number of the last incident.
    pub(super) last_number: u64,
    /// Rules, inhibitors before what they inhibit.
    order: Vec<usize>,
    /// Keys refused for want of room.
    pub refused: u64,
    /// Moments in all windows.
    moments: usize,
    pub(super) dirty: BTreeSet<(usize, RuleKey)>,
    /// Pieces of windows to be saved.
    pub(super) dirty_pieces: BTreeSet<(usize, RuleKey, u64)>,
    pub(super) dirty_incidents: BTreeSet<u64>,
    pub(super) unsaved_incidents: BTreeSet<u64>,
    /// Transitions not yet taken.
    pub transitions: Vec<Transition>,
    /// Incidents that ended and were not yet taken.
    pub ended: Vec<OpenIncident>,
}

impl Alerts {
    /// Without memory.
    pub fn new(plan: &Plan) -> Alerts {
        Alerts {
            keys: vec![BTreeMap::new(); plan.rules.len()],
            due: vec![BTreeSet::new(); plan.rules.len()],
            order: in_order(plan),
            ..Alerts::default()
        }
    }

    /// Rules, inhibitors before what they inhibit, else as configured.
    pub fn order(&self) -> Vec<usize> {
        self.order.clone()
    }

    /// The rule's next deadline.
    pub fn next_due(&self, rule: usize) -> Option<Time> {
        self.due[rule].first().map(|d| d.0)
    }

    /// Makes sure a rule without keys exists from the start of its time.
    pub fn start(&mut self, moment: Moment<'_>, rule: usize) {
        if self.keys[rule].is_empty() {
            self.ensure(moment, rule, &Vec::new());
            self.register(moment, rule, &Vec::new());
        }
    }

    /// Feeds an event to a rule that looks at it.
    pub fn event(&mut self, moment: Moment<'_>, rule: usize, event: &Event) -> Option<(RuleKey, f64)> {
        let plan = &moment.plan.rules[rule];
        let is_grace = plan.grace_event() == Some(event.definition);
        let key: RuleKey = plan.by.iter().map(|(_, field)| key_text(moment.plan, event, *field)).collect();
        if !self.ensure(moment, rule, &key) {
            return None;
        }
        let state = self.keys[rule].get_mut(&key)?;
        let has_room = self.moments < moment.plan.limits.moments_max;
        let moments = state.moments();
        // Good events alone are no reason to keep what was bad long ago.
        let holds_none = state.memory.is_empty() || state.memory.bad_count(plan, moment.clock) == Some(0);
        let had_no_evidence = state.firing.is_none() && holds_none;
        let counted = state.memory.take(plan, event, (moment.now(plan), has_room), moment.digest_key);
        self.moments = self.moments - moments + state.moments();
        match counted {
            Counted::No if !is_grace => {
                // What came instead of a good one is the evidence of staleness.
                if plan.is_about_silence() {
                    state.tally.add(moment.plan, plan, event);
                    self.dirty.insert((rule, key));
                }
                return None;
            }
            Counted::No => {}
            Counted::Bad => {
                if had_no_evidence {
                    state.tally = Tally::default();
                }
                state.counted_at = Some(moment.clock);
                state.tally.add(moment.plan, plan, event);
            }
            Counted::Good => {
                state.counted_at = Some(moment.clock);
                if state.firing.is_none() && state.memory.starts_afresh() {
                    state.tally = Tally::default();
                }
            }
        }
        self.mark(rule, &key);
        self.evaluate(moment, rule, &key);
        let gauge = self.keys[rule].get(&key).and_then(|s| s.memory.gauge());
        gauge.map(|value| (key, value))
    }

    /// Says a built-in rule's condition: on from `from` on, or off.
    pub fn tell(&mut self, moment: Moment<'_>, rule: usize, source: &str, condition: Option<(Time, f64)>) {
        let key = vec![source.to_owned()];
        if !self.ensure(moment, rule, &key) {
            return;
        }
        if let Some(state) = self.keys[rule].get_mut(&key) {
            if let Some((_, value)) = condition {
                state.tally.count += 1;
                state.tally.first_at.get_or_insert(moment.at);
                state.tally.last_at = Some(moment.at);
                state.counted_at = Some(moment.clock);
                if let Memory::Told { is_on: true, .. } = state.memory {
                    return;
                }
                let from = condition.map_or(moment.clock, |c| c.0);
                state.memory = Memory::Told { is_on: true, value, from };
            } else {
                state.memory = Memory::Told { is_on: false, value: 0.0, from: moment.clock };
            }
        }
        self.dirty.insert((rule, key.clone()));
        self.evaluate(moment, rule, &key);
    }

    /// A gap restarts the age of rules about silence that do not fire.
    pub fn restart_age(&mut self, moment: Moment<'_>, rule: usize) {
        let plan = &moment.plan.rules[rule];
        let keys: Vec<RuleKey> = self.keys[rule].keys().cloned().collect();
        for key in keys {
            if let Some(state) = self.keys[rule].get_mut(&key)
                && state.firing.is_none()
                && state.memory.restart(moment.now(plan))
            {
                self.dirty.insert((rule, key.clone()));
                self.register(moment, rule, &key);
            }
        }
    }

    /// Asks every key of a rule again: its sources can be believed again.
    pub fn revisit(&mut self, moment: Moment<'_>, rule: usize) {
        let keys: Vec<RuleKey> = self.keys[rule].keys().cloned().collect();
        for key in keys {
            self.dirty.insert((rule, key.clone()));
            self.evaluate(moment, rule, &key);
        }
    }

    /// The wall clock was set: what hangs on the wall is due at another time.
    pub fn wall_was_set(&mut self, moment: Moment<'_>, rule: usize) {
        let now = moment.now(&moment.plan.rules[rule]);
        for state in self.keys[rule].values_mut() {
            state.memory.heed_wall(now);
        }
        self.revisit(moment, rule);
    }

    /// Runs the rule's deadlines that are due at `moment`; returns the keys
    /// whose gauge changed by being forgotten.
    pub fn run_due(&mut self, moment: Moment<'_>, rule: usize) -> Vec<RuleKey> {
        let mut forgotten = Vec::new();
        while let Some((at, key)) = self.due[rule].first().cloned() {
            if at > moment.clock {
                break;
            }
            self.due[rule].pop_first();
            if let Some(state) = self.keys[rule].get_mut(&key) {
                state.due = None;
                let moments = state.moments();
                let is_forgotten = state.memory.forget(&moment.plan.rules[rule], moment.clock);
                self.moments = self.moments - moments + state.moments();
                if is_forgotten {
                    forgotten.push(key.clone());
                    if let Some(firing) = &mut state.firing {
                        firing.is_for_want_of_data = true;
                    }
                }
                self.mark(rule, &key);
                self.evaluate(moment, rule, &key);
            }
        }
        forgotten
    }

    /// The severities that fire now, by rule.
    pub fn firing(&self, rule: usize) -> BTreeSet<Severity> {
        self.keys[rule].values().filter_map(|s| Some(s.firing.as_ref()?.severity)).collect()
    }

    /// Asks a key's condition and steps its alert.
    fn evaluate(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey) {
        let plan = &moment.plan.rules[rule];
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        let severity = state.firing.as_ref().map(|f| f.severity);
        let breach = state.memory.breach(plan, moment.now(plan), severity);
        let is_masked = plan.is_about_silence() && !moment.is_live && breach.is_some();
        if !is_masked {
            self.step(moment, rule, key, breach);
        }
        self.register(moment, rule, key);
        self.drop_if_empty(rule, key);
    }

    fn step(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey, breach: Option<Breach>) {
        let plan = &moment.plan.rules[rule];
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        match (breach, &mut state.firing) {
            (Some(breach), None) => {
                let since = *state.pending_since.get_or_insert(moment.clock);
                if moment.clock >= since.plus(plan.hold) {
                    state.pending_since = None;
                    self.fire(moment, rule, key, breach);
                } else if since == moment.clock {
                    self.pending(moment, rule, key, breach);
                }
            }
            (Some(breach), Some(firing)) => {
                firing.clear_since = None;
                firing.is_for_want_of_data = false;
                if breach.severity > firing.severity {
                    self.escalate(moment, rule, key, breach);
                }
            }
            (None, None) => state.pending_since = None,
            (None, Some(firing)) => {
                let since = *firing.clear_since.get_or_insert(moment.clock);
                if moment.clock >= since.plus(plan.keep_firing_for) {
                    self.resolve(moment, rule, key);
                }
            }
        }
    }

    fn ensure(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey) -> bool {
        if self.keys[rule].contains_key(key) {
            return true;
        }
        let plan = &moment.plan.rules[rule];
        // A rule that is not kept apart has its place.
        let is_one_of_many = !plan.by.is_empty();
        let all = || self.keys.iter().map(BTreeMap::len).sum::<usize>();
        let is_full = self.keys[rule].len() >= plan.keys_max;
        if is_full || (is_one_of_many && all() >= moment.plan.limits.keys_max) {
            self.refused += 1;
            return false;
        }
        let state = KeyState {
            memory: Memory::new(plan, moment.now(plan)),
            pending_since: None,
            firing: None,
            counted_at: None,
            tally: Tally::default(),
            due: None,
        };
        self.keys[rule].insert(key.clone(), state);
        self.dirty.insert((rule, key.clone()));
        true
    }

    /// Forgets what a key's detector knows.
    pub(super) fn forget_all(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey) {
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        self.moments -= state.moments();
        match &mut state.memory {
            // Its rows have to go, so it remembers which they are.
            Memory::Window(window) => window.clear(),
            Memory::Flapping(flapping) => flapping.clear(),
            // The value stays known, or the next change would be taken for the first value.
            Memory::Changed(changed) => changed.at = None,
            memory => {
                let plan = &moment.plan.rules[rule];
                *memory = Memory::new(plan, moment.now(plan));
            }
        }
        self.mark(rule, key);
    }

    /// The key is to be saved, with what changed of its window.
    fn mark(&mut self, rule: usize, key: &RuleKey) {
        let window = self.keys[rule].get_mut(key).and_then(|state| state.memory.window_mut());
        for piece in window.map(|window| window.take_changed()).unwrap_or_default() {
            self.dirty_pieces.insert((rule, key.clone(), piece));
        }
        self.dirty.insert((rule, key.clone()));
    }

    /// A key as it was saved; its window comes piece by piece.
    pub(super) fn restore(&mut self, rule: usize, key: RuleKey, state: KeyState) {
        self.keys[rule].insert(key, state);
    }

    /// A piece of a saved window; false if there is no window it could be of.
    pub(super) fn restore_piece(&mut self, rule: usize, key: &RuleKey, piece: &Piece) -> bool {
        let state = self.keys[rule].get_mut(key);
        let Some(window) = state.and_then(|s| s.memory.window_mut()) else { return false };
        let before = window.len();
        window.restore(piece);
        self.moments += window.len() - before;
        true
    }

    /// Registers the key's next deadline.
    pub(super) fn register(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey) {
        let plan = &moment.plan.rules[rule];
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        let is_masked = plan.is_about_silence() && !moment.is_live;
        let by_memory = if is_masked { None } else { state.memory.next_change(plan, moment.now(plan)) };
        let by_hold = state.pending_since.map(|at| at.plus(plan.hold));
        let by_clearing = state.firing.as_ref().and_then(|f| Some(f.clear_since?.plus(plan.keep_firing_for)));
        let next = [by_memory, by_hold, by_clearing].into_iter().flatten().min();
        if next == state.due {
            return;
        }
        if let Some(old) = state.due {
            self.due[rule].remove(&(old, key.clone()));
        }
        state.due = next;
        if let Some(at) = next {
            self.due[rule].insert((at, key.clone()));
        }
    }

    fn drop_if_empty(&mut self, rule: usize, key: &RuleKey) {
        let is_spent = self.keys[rule].get(key).is_some_and(|s| {
            s.firing.is_none() && s.pending_since.is_none() && s.memory.is_empty() && s.due.is_none()
        });
        if is_spent {
            self.keys[rule].remove(key);
            self.dirty.insert((rule, key.clone()));
        }
    }

    /// Registers the deadlines of restored keys.
    pub fn restore_deadlines<'p>(&mut self, moment_of: impl Fn(usize) -> Option<Moment<'p>>) {
        for rule in 0..self.keys.len() {
            let Some(moment) = moment_of(rule) else { continue };
            let keys: Vec<RuleKey> = self.keys[rule].keys().cloned().collect();
            for key in keys {
                self.register(moment, rule, &key);
            }
        }
    }
}

impl KeyState {
    fn moments(&self) -> usize {
        self.memory.window().map_or(0, |window| window.len())
    }
}

impl Tally {
    fn add(&mut self, plan: &Plan, rule: &RulePlan, event: &Event) {
        self.count += 1;
        self.first_at.get_or_insert(event.at);
        self.last_at = Some(event.at);
        for field in &rule.distinct {
            if let Some(value) = event.text(*field) {
                let mut value = words::shown(plan, &value);
                if rule.distinct.len() > 1 {
                    let name = &plan.events[event.definition].fields[*field].name;
                    value = format!("{name} {value}");
                }
                if self.distinct.len() < DISTINCT_MAX || self.distinct.contains_key(&value) {
                    *self.distinct.entry(value).or_default() += 1;
                }
            }
        }
        self.excerpts.extend(words::evidence(plan, event));
        let surplus = self.excerpts.len().saturating_sub(EVIDENCE_MAX);
        self.excerpts.drain(..surplus);
    }
}

/// The rule looks at the event: one that its definition recognised or, of a
/// drift rule, nearly did.
pub fn looks_at(rule: &RulePlan, event: &Event) -> bool {
    let definition = Some(event.definition);
    if event.is_near_miss {
        return rule.near_misses_of() == definition;
    }
    rule.event() == definition || rule.grace_event() == definition
}

fn key_text(plan: &Plan, event: &Event, field: usize) -> String {
    let text = event.text(field).unwrap_or_else(|| "unknown".to_owned());
    head(&plan.redactor.redact(&text), KEY_BYTES_MAX).to_owned()
}
