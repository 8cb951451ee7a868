//! The brain: lines and time in, effects out. Never IO, clock or randomness.
//!
//! [`Engine::handle`] takes one input and the process's time. Due deadlines
//! fire first, inside it, in order, stamped with the time they were due, so
//! that the timeline does not depend on how often anybody ticks. It cannot
//! fail: bad input becomes a note. Nothing it decides is done until the shell
//! has committed it; [`Engine::take_changes`] gives the rows to commit with
//! the cursor that fed them, [`Engine::restore`] takes them back.

pub mod alert;
pub mod assemble;
pub mod block;
pub mod change;
pub mod clocks;
pub mod detect;
mod due;
pub mod event;
pub mod group;
pub mod incident;
mod inhibit;
pub mod json;
pub mod matcher;
mod member;
pub mod metric;
pub mod mute;
mod order;
mod past;
pub mod route;
pub mod saved;
pub mod silence;
pub mod sources;
pub mod streams;
pub mod target;
pub mod vitals;
pub mod words;

use std::sync::Arc;

use crate::config::Plan;
use crate::config::plan::Detector;
use crate::model::{
    AlertNotice, Family, Gap, Incident, Line, Notification, Order, Refusal, SavedRow, SourceId, SourceState,
    Time, Transition,
};

use alert::{Alerts, Moment};
use assemble::{Assembler, Findings, Scene, When};
use change::Changes;
use clocks::{Clock, Clocks, Stamp};
use event::Judge;
use matcher::{Hits, Matcher};
use metric::Registry;
use route::{Router, View};
use silence::Silences;
use sources::SourceMemory;

/// One thing that happens.
#[derive(Debug)]
pub enum Input<'a> {
    /// A line of a source.
    Line(SourceId, &'a Line),
    /// Lines of a source were lost.
    Gap(SourceId, &'a Gap),
    /// A line was passed over, for it cannot be handled: a gap, and counted.
    Skipped(SourceId, &'a Gap),
    /// A source's state changed.
    State(SourceId, &'a SourceState),
    /// Sources are moved on without a line of theirs.
    Advance,
    /// A replay's input of a source has come to its end.
    Ended(SourceId),
    /// A person asks for something.
    Order(&'a Order),
}

/// A source's clock moved on by somebody else than its own line.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// Which.
    pub source: SourceId,
    /// To this wall time.
    pub to: Time,
    /// Not past what its own next line will say, where that is known.
    pub next: Option<Stamp>,
    /// The source's time starts here if it has not started.
    pub starts: bool,
}

/// What came of an input.
#[derive(Debug, Default)]
pub struct Output {
    /// Changes of alerts, in order.
    pub transitions: Vec<Transition>,
    /// What is to be told.
    pub notifications: Vec<Notification>,
    /// Incidents that began, changed or ended.
    pub incidents: Vec<Incident>,
    /// What became of an order: the number of its silence or incident.
    pub answer: Option<Result<u64, Refusal>>,
}

/// What engines of the same plan share.
type Compiled = (Arc<[Matcher]>, Arc<[u64]>, Arc<Judge>);

/// The engine.
pub struct Engine {
    plan: Arc<Plan>,
    instance: String,
    digest_key: [u8; 32],
    judge: Arc<Judge>,
    /// Shared with every engine restored from this one.
    matchers: Arc<[Matcher]>,
    /// By definition: tells whether saved blocks still fit.
    fingerprints: Arc<[u64]>,
    clocks: Clocks,
    sources: Vec<SourceMemory>,
    assembler: Assembler,
    registry: Registry,
    alerts: Alerts,
    router: Router,
    silences: Silences,
    changes: Changes,
    /// Rows to be deleted: of rules that are no longer configured.
    gone: Vec<SavedRow>,
    near_misses: Vec<u64>,
    is_vitals_dirty: bool,
    refused_seen: u64,
    tells: bool,
    hits: Hits,
}

impl Engine {
    /// Without memory. `instance` makes notification ids of this state unique;
    /// `digest_key` keys the digests of changed values.
    pub fn new(plan: Arc<Plan>, instance: &str, digest_key: [u8; 32]) -> Engine {
        let matchers = (0..plan.sources.len()).map(|s| Matcher::new(&plan, s)).collect();
        let fingerprints = plan.events.iter().map(saved::fingerprint).collect();
        Engine::with(plan, instance, digest_key, (matchers, fingerprints, Arc::new(Judge::new())))
    }

    fn with(plan: Arc<Plan>, instance: &str, digest_key: [u8; 32], compiled: Compiled) -> Engine {
        let count = plan.sources.len();
        Engine {
            instance: instance.to_owned(),
            digest_key,
            judge: compiled.2,
            matchers: compiled.0,
            fingerprints: compiled.1,
            clocks: Clocks { sources: vec![Clock::default(); count], process: Time::MIN },
            sources: vec![SourceMemory::default(); count],
            assembler: Assembler::default(),
            registry: Registry::new(&plan),
            alerts: Alerts::new(&plan),
            router: Router::default(),
            silences: Silences::default(),
            changes: Changes::default(),
            gone: Vec::new(),
            near_misses: vec![0; plan.events.len()],
            is_vitals_dirty: false,
            refused_seen: 0,
            tells: true,
            hits: Hits::default(),
            plan,
        }
    }

    /// Decides no notifications: a replay tells nobody.
    pub fn without_notices(mut self) -> Engine {
        self.tells = false;
        self
    }

    /// Takes one input. `moves` are other sources' clocks moved on with it;
    /// `now` is the process's time and never goes back.
    pub fn handle(&mut self, input: Input<'_>, moves: &[Move], now: Time) -> Output {
        let now = self.clocks.process.max(now);
        let mut targets: Vec<(SourceId, Time)> = moves.iter().filter_map(|m| self.target(m)).collect();
        let stamp = match &input {
            Input::Line(source, line) => Some((*source, Stamp { at: line.at, boot: line.boot })),
            Input::Gap(source, gap) | Input::Skipped(source, gap) => {
                Some((*source, Stamp { at: gap.at, boot: gap.boot }))
            }
            _ => None,
        };
        if let Some((source, stamp)) = &stamp {
            targets.retain(|t| t.0 != *source);
            targets.push((*source, self.clocks.sources[*source].at_line(stamp)));
        }
        self.settle(&targets, now);
        for m in moves.iter().filter(|m| m.starts) {
            if self.clocks.sources[m.source].now().is_some() {
                continue;
            }
            self.start(m.source, m.to);
            // Where the machine says what time it is, its monotonic time
            // counts from here: a step before the first line is no silence.
            if let Some(stamp) = m.next.filter(|next| next.at == m.to) {
                self.clocks.sources[m.source].take(stamp);
            }
        }
        if let Some((source, stamp)) = stamp {
            self.start(source, stamp.at);
            if self.clocks.sources[source].take(stamp) > due::WALL_STEP {
                self.wall_was_set(source);
            }
            self.sources[source].is_dirty = true;
        }
        match input {
            Input::Line(source, line) => self.line(source, line),
            Input::Gap(source, gap) => self.gap(source, gap),
            Input::Skipped(source, gap) => {
                self.sources[source].skipped += 1;
                self.gap(source, gap);
            }
            Input::State(source, state) => self.state(source, state),
            Input::Ended(source) => self.sources[source].has_ended = true,
            Input::Order(order) => {
                let answer = Some(self.order(order));
                return Output { answer, ..self.finish() };
            }
            Input::Advance => {}
        }
        self.finish()
    }

    /// The source's time starts, if it has not.
    fn start(&mut self, source: SourceId, at: Time) {
        if self.clocks.sources[source].now().is_some() {
            return;
        }
        self.clocks.sources[source].move_to(at);
        self.sources[source].is_dirty = true;
        self.start_rules(source, at);
    }

    /// Staleness counts from the start of its source's time; that of a rule
    /// that was configured later, from when the source is live.
    fn start_rules(&mut self, source: SourceId, at: Time) {
        for rule in self.alerts.order() {
            let plan = &self.plan.rules[rule];
            if plan.is_about_silence() && plan.by.is_empty() && plan.sources.contains(&source) {
                self.with_moment(rule, at, |alerts, moment| alerts.start(moment, rule));
            }
        }
    }

    fn line(&mut self, source: SourceId, line: &Line) {
        self.sources[source].count(line);
        let Some(clock) = self.clocks.sources[source].now() else { return };
        let when = When { clock, at: line.at };
        let mut found = Findings::default();
        if let Some(boot) = line.boot
            && self.sources[source].is_new_boot(boot.id)
        {
            let scene = Scene { plan: &self.plan, judge: &self.judge, source, when };
            self.assembler.interrupt(scene, None, &mut found);
        }
        let mut hits = std::mem::take(&mut self.hits);
        self.matchers[source].hits(line, &mut hits);
        if hits.any() {
            self.changes.line(&self.plan, source, &self.digest_key, &self.matchers[source], &hits, line);
        }
        let scene = Scene { plan: &self.plan, judge: &self.judge, source, when };
        self.assembler.line(scene, &self.matchers[source], &hits, line, &mut found);
        self.hits = hits;
        self.found(found);
    }

    /// Moves metrics and feeds rules; each rule sees all events of the entry
    /// before the next rule does.
    fn found(&mut self, found: Findings) {
        for near in &found.near_misses {
            self.near_misses[near.definition] += 1;
            self.is_vitals_dirty = true;
        }
        if found.events.is_empty() && found.near_misses.is_empty() {
            return;
        }
        for event in &found.events {
            self.registry.event(&self.plan, event);
        }
        for rule in self.alerts.order() {
            for event in found.events.iter().chain(&found.near_misses) {
                if !alert::looks_at(&self.plan.rules[rule], event) {
                    continue;
                }
                let gauge =
                    self.with_moment(rule, event.at, |alerts, moment| alerts.event(moment, rule, event));
                if let Some(Some((key, value))) = gauge {
                    self.registry.rule_value(&self.plan, rule, &key, value);
                }
            }
        }
    }

    fn gap(&mut self, source: SourceId, gap: &Gap) {
        self.sources[source].count_gap(gap);
        let Some(clock) = self.clocks.sources[source].now() else { return };
        let mut found = Findings::default();
        let scene = Scene { plan: &self.plan, judge: &self.judge, source, when: When { clock, at: gap.at } };
        self.assembler.interrupt(scene, None, &mut found);
        self.found(found);
        let name = self.plan.sources[source].name.clone();
        let lines = gap.lines.unwrap_or(1) as f64;
        for rule in self.alerts.order() {
            let plan = &self.plan.rules[rule];
            if matches!(plan.detector, Detector::Gap) {
                self.with_moment(rule, gap.at, |alerts, moment| {
                    alerts.tell(moment, rule, &name, Some((moment.clock, lines)));
                    alerts.tell(moment, rule, &name, None);
                });
            } else if plan.is_about_silence() && plan.sources.contains(&source) {
                self.with_moment(rule, gap.at, |alerts, moment| alerts.restart_age(moment, rule));
            }
        }
    }

    fn state(&mut self, source: SourceId, state: &SourceState) {
        let now = self.clocks.process;
        self.sources[source].set_state(state, now);
        // What was held while it was behind may be told now.
        self.router.wake(now);
        if let Some(at) = self.source_time(source).filter(|_| *state == SourceState::Live) {
            self.start_rules(source, at);
        }
        let name = self.plan.sources[source].name.clone();
        let lost_since = self.sources[source].lost_since;
        for rule in self.alerts.order() {
            let plan = &self.plan.rules[rule];
            if let Detector::SourceDown { after } = plan.detector {
                let condition = lost_since.map(|since| (since.plus(after), 1.0));
                self.with_moment(rule, now, |alerts, moment| alerts.tell(moment, rule, &name, condition));
            } else if plan.is_about_silence() && plan.sources.contains(&source) {
                let at = self.clocks.of_rule(plan).map_or(now, |clock| self.clocks.wall(plan, clock));
                self.with_moment(rule, at, |alerts, moment| alerts.revisit(moment, rule));
            }
        }
    }

    /// Collects what came of the input and decides what is to be told.
    fn finish(&mut self) -> Output {
        let refused = self.assembler.refused + self.assembler.refused_blocks + self.alerts.refused;
        self.is_vitals_dirty |= std::mem::replace(&mut self.refused_seen, refused) != refused;
        let ended = std::mem::take(&mut self.alerts.ended);
        let transitions = std::mem::take(&mut self.alerts.transitions);
        let is_due = self.router.next_due().is_some_and(|due| due <= self.clocks.process);
        let mut notifications = Vec::new();
        if self.tells && (!transitions.is_empty() || !ended.is_empty() || is_due) {
            let behind: Vec<bool> = self.sources.iter().map(SourceMemory::is_behind).collect();
            let now = self.clocks.process;
            let catching_up: Vec<bool> = self.sources.iter().map(|s| s.is_catching_up(now)).collect();
            let view = View {
                plan: &self.plan,
                alerts: &self.alerts,
                clocks: &self.clocks,
                silences: &self.silences,
                behind: &behind,
                catching_up: &catching_up,
                now: self.clocks.process,
                instance: &self.instance,
            };
            notifications = self.router.step(&view, &ended);
        }
        let changed = self.alerts.dirty_incidents.iter();
        let mut incidents: Vec<Incident> =
            changed.filter_map(|n| Some(self.alerts.open.get(n)?.incident.clone())).collect();
        incidents.extend(ended.into_iter().map(|open| open.incident));
        if !incidents.is_empty() {
            self.alerts.mark_incidents();
        }
        Output { transitions, notifications, incidents, answer: None }
    }

    /// Something is to be saved beside clocks that went on.
    pub fn has_unsaved(&self) -> bool {
        !self.assembler.dirty.is_empty()
            || !self.registry.dirty.is_empty()
            || !self.alerts.dirty.is_empty()
            || !self.router.dirty.is_empty()
            || !self.silences.dirty.is_empty()
            || self.is_vitals_dirty
    }

    /// A process begins: what sources said to the one before holds no more.
    /// One that could not be read then is given its time anew, unless its
    /// alert fires: that ends when the source says so.
    pub fn begin(&mut self) {
        let at = self.clocks.process;
        for source in 0..self.sources.len() {
            let name = self.plan.sources[source].name.clone();
            for rule in self.alerts.order() {
                if !self.plan.rules[rule].is_on_process_clock() {
                    continue;
                }
                let state = self.alerts.keys[rule].get(std::slice::from_ref(&name));
                if state.is_some_and(|s| s.firing.is_none()) {
                    self.sources[source].lost_since = None;
                    self.with_moment(rule, at, |alerts, moment| alerts.tell(moment, rule, &name, None));
                }
            }
        }
    }

    /// All families the engine knows of.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.registry.families(&self.plan);
        families.extend(vitals::families(self));
        families
    }

    /// How often each kind of thing found no room since the state began.
    pub fn refused(&self) -> std::collections::BTreeMap<vitals::Refused, u64> {
        vitals::refused(self)
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The sources' counts and states.
    pub fn sources(&self) -> &[SourceMemory] {
        &self.sources
    }

    /// Anything fires.
    pub fn has_open_incidents(&self) -> bool {
        !self.alerts.open.is_empty()
    }

    /// What a receiver was told and is not through with: what fires, and what
    /// ended within a group that still burns.
    pub fn told(&self, receiver: &str) -> Vec<AlertNotice> {
        self.router.told(&self.alerts, receiver)
    }

    /// Open incidents, oldest first, with their symptoms.
    pub fn open_incidents(&self) -> Vec<Incident> {
        self.alerts
            .open
            .values()
            .map(|open| {
                let mut incident = open.incident.clone();
                if !open.symptoms.is_empty() {
                    incident.annotations.insert("symptoms".to_owned(), open.symptoms.join("\n"));
                }
                incident
            })
            .collect()
    }

    fn is_live(&self, rule: usize) -> bool {
        self.plan.rules[rule].sources.iter().all(|s| self.sources[*s].is_live())
    }

    fn with_moment<T>(
        &mut self,
        rule: usize,
        at: Time,
        run: impl FnOnce(&mut Alerts, Moment<'_>) -> T,
    ) -> Option<T> {
        let plan = self.plan.clone();
        let clock = self.clocks.of_rule(&plan.rules[rule])?;
        let changes = self.changes.before(at);
        let is_live = self.is_live(rule);
        let (clocks, digest_key) = (&self.clocks, &self.digest_key);
        let moment = Moment { plan: &plan, clocks, clock, at, changes: &changes, digest_key, is_live };
        Some(run(&mut self.alerts, moment))
    }
}
