//! What the monitor shows of itself and the rest: the published picture.
//!
//! Must not look at a clock nor send anything; the heartbeat and the watchdog,
//! which do, stand in `vitals`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fallback::Fallback;
use super::ledger::Ledger;
use super::progress::Progress;
use super::pulse::Pulse;
use super::refusals::Refusals;
use crate::clock::Now;
use crate::config::plan::DaemonPlan;
use crate::engine::Engine;
use crate::model::time::human;
use crate::model::{
    Family, FamilyKind, Incident, IncidentView, OutboxView, Sample, Series, Snapshot, SourceState,
    SourceView, Time,
};

/// A fresh picture at least so often.
const PUBLISH: Duration = Duration::from_secs(5);
/// And so soon after a commit that changed no alert.
const PUBLISH_CHANGED: Duration = Duration::from_millis(500);
/// Ended incidents shown.
const PAST_MAX: usize = 50;
/// What a notification may come to, as labels say it.
const OUTCOMES: [&str; 3] = ["delivered", "failed", "given_up"];

/// What the daemon knows of itself beside engine and state.
pub struct Picture {
    started_at: Time,
    reload_failed: bool,
    published_at: Option<Time>,
    has_changed: bool,
    pulse: Pulse,
    /// As last logged, by source.
    source_states: BTreeMap<String, SourceState>,
    progress: Progress,
    /// Lines that were passed over since the start, by source.
    skipped: BTreeMap<String, u64>,
    refusals: Refusals,
}

impl Picture {
    /// Of a daemon that started at `started_at` (wall time).
    pub fn new(started_at: Time) -> Picture {
        Picture {
            started_at,
            reload_failed: false,
            published_at: None,
            has_changed: false,
            pulse: Pulse::default(),
            source_states: BTreeMap::new(),
            progress: Progress::default(),
            skipped: BTreeMap::new(),
            refusals: Refusals::default(),
        }
    }

    /// Logs a source's change of state. A source that is tried again and again
    /// says the same each time; once is enough.
    pub fn source_state(&mut self, name: &str, state: &SourceState) {
        if self.source_states.get(name) == Some(state) {
            return;
        }
        self.source_states.insert(name.to_owned(), state.clone());
        match state {
            SourceState::Live => log::info!("source {name}: read to its end"),
            SourceState::Behind => log::info!("source {name}: catching up"),
            SourceState::Lost { why } => log::error!("source {name}: cannot be read: {why}"),
        }
    }

    /// A line was passed over, for the process ended whenever it came to it.
    pub fn skipped(&mut self, name: &str) {
        *self.skipped.entry(name.to_owned()).or_insert(0) += 1;
    }

    /// Says what found no room. The first look, at an engine that has taken
    /// nothing yet, only remembers.
    pub fn look_for_refusals(&mut self, engine: &Engine) {
        self.refusals.look(engine);
    }

    /// A reload was refused.
    pub fn reload_failed(&mut self) {
        self.reload_failed = true;
    }

    /// The signs of life.
    pub fn pulse(&mut self) -> &mut Pulse {
        &mut self.pulse
    }

    /// A fresh picture is due.
    pub fn is_due(&self, monotonic: Time) -> bool {
        self.next_due().is_none_or(|at| monotonic >= at)
    }

    /// When the next picture is due (monotonic); `None`: now.
    pub fn next_due(&self) -> Option<Time> {
        let every = if self.has_changed { PUBLISH_CHANGED } else { PUBLISH };
        self.published_at.map(|at| at.plus(every))
    }

    /// A commit changed what the picture shows.
    pub fn has_changed(&mut self) {
        self.has_changed = true;
    }

    /// The whole picture, to be published now.
    pub fn snapshot<L: Ledger>(&mut self, engine: &Engine, state: &Fallback<L>, now: Now) -> Snapshot {
        self.published_at = Some(now.monotonic);
        self.has_changed = false;
        self.refusals.look(engine);
        let store = state.store();
        let sources = sources(engine, &mut self.progress, now.wall);
        let outbox = outbox(engine, store);
        self.pulse.waits(&outbox);
        let past = store.past(PAST_MAX, None).unwrap_or_default();
        let view = |incident: Incident| {
            let silenced_by = engine.silencers(incident.number);
            IncidentView { incident, told: Vec::new(), silenced_by }
        };
        let mut families = self.families(engine, (state.is_durable(), store.bytes()), &sources, &outbox);
        families.extend(self.pulse.families(now.wall, &outbox));
        Snapshot {
            made_at: now.wall,
            started_at: self.started_at,
            families,
            open: engine.open_incidents().into_iter().map(view).collect(),
            past: past.into_iter().map(view).collect(),
            silences: engine.silences(),
            is_ready: sources.iter().all(|s| s.state == "live" || s.state == "lost"),
            is_durable: state.is_durable(),
            complaints: {
                let all = self.complaints(&sources, state.trouble(), (&engine.plan().daemon, now.wall));
                all.iter().map(|text| engine.plan().redactor.redact(text)).collect()
            },
            sources,
            outbox,
        }
    }

    fn complaints(
        &self,
        sources: &[SourceView],
        trouble: Option<&str>,
        (plan, now): (&DaemonPlan, Time),
    ) -> Vec<String> {
        let mut all = Vec::new();
        for source in sources.iter().filter(|s| s.state == "lost") {
            all.push(format!("{} cannot be read: {}", source.name, source.note.clone().unwrap_or_default()));
        }
        for (name, lines) in &self.skipped {
            all.push(format!("{name}: {lines} lines were skipped, for the process ended at each"));
        }
        if let Some(error) = trouble {
            all.push(format!("the state is not durable: {error}"));
        }
        if self.reload_failed {
            all.push("the last reload failed; the configuration before it is in force".to_owned());
        }
        if let Some(age) = self.pulse.stuck_for(plan, now) {
            all.push(format!("notifications have been waiting for {}", human(age)));
        }
        all.extend(self.refusals.complaints());
        if let Some(error) = self.pulse.heartbeat_error() {
            all.push(format!("the heartbeat was not taken: {error}"));
        }
        all
    }

    fn families(
        &self,
        engine: &Engine,
        (is_durable, bytes): (bool, u64),
        sources: &[SourceView],
        outbox: &[OutboxView],
    ) -> Vec<Family> {
        let mut families = engine.families();
        let by_source = sources.iter().map(|s| series(&[("source", &s.name)], s.lag_seconds)).collect();
        families.push(gauge(
            "tocsin_source_lag_seconds",
            "Seconds behind the source's end; 0 at it.",
            by_source,
        ));
        let by_source = sources.iter().map(|s| series(&[("source", &s.name)], s.caught_up)).collect();
        families.push(gauge(
            "tocsin_source_caught_up_ratio",
            "Share of the backlog that is read, by the time of its lines; 1 at the end.",
            by_source,
        ));
        let named = engine.plan().sources.iter().zip(engine.sources());
        let matched = named
            .map(|(of, memory)| series(&[("source", &of.name)], f64::from(u8::from(memory.has_matched))));
        families.push(gauge(
            "tocsin_source_matched",
            "1 once the source's selector has matched a line since the start.",
            matched.collect(),
        ));
        let pending = outbox.iter().map(|v| series(&[("receiver", &v.receiver)], v.pending as f64)).collect();
        families.push(gauge("tocsin_outbox_pending", "Notifications that wait.", pending));
        let mut sent = gauge("tocsin_notifications_total", "Attempts to notify by outcome.", Vec::new());
        sent.kind = FamilyKind::Counter;
        for view in outbox {
            for outcome in OUTCOMES {
                let count = view.outcomes.get(outcome).copied().unwrap_or(0);
                sent.series.push(series(&[("receiver", &view.receiver), ("outcome", outcome)], count as f64));
            }
        }
        families.push(sent);
        let flag = |is: bool| vec![series(&[], f64::from(u8::from(is)))];
        families.push(gauge("tocsin_state_durable", "1 if commits reach the disk.", flag(is_durable)));
        let bytes = vec![series(&[], bytes as f64)];
        families.push(gauge("tocsin_state_bytes", "Size of the state with its log.", bytes));
        let memory = vec![series(&[], engine.plan().limits.memory as f64)];
        families.push(gauge("tocsin_memory_limit_bytes", "Memory that may be taken.", memory));
        families.push(gauge(
            "tocsin_config_last_reload_successful",
            "1 if the last reload of the configuration succeeded.",
            flag(!self.reload_failed),
        ));
        let version = vec![series(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)];
        families.push(gauge("tocsin_build_info", "1, with the version that runs.", version));
        families
    }
}

fn sources(engine: &Engine, progress: &mut Progress, now: Time) -> Vec<SourceView> {
    let named = engine.plan().sources.iter().zip(engine.sources());
    named
        .map(|(plan, memory)| {
            let (state, note) = match &memory.state {
                None => ("starting", None),
                Some(SourceState::Live) if !memory.has_matched => {
                    ("live", Some("its selector has matched nothing since the start".to_owned()))
                }
                Some(SourceState::Live) => ("live", None),
                Some(SourceState::Behind) => ("behind", None),
                Some(SourceState::Lost { why }) => ("lost", Some(engine.plan().redactor.redact(why))),
            };
            let lag = memory.last_line_at.map_or(0.0, |at| now.since(at).as_secs_f64());
            let caught_up = progress.share(&plan.name, state == "live", memory.last_line_at, now);
            let behind = match memory.last_line_at {
                Some(at) => {
                    let left = human(now.since(at));
                    format!("{:.0} % of its backlog is read, {left} left", caught_up * 100.0)
                }
                None => "its backlog is being read".to_owned(),
            };
            SourceView {
                name: plan.name.clone(),
                state: state.to_owned(),
                note: note.or((state == "behind").then_some(behind)),
                caught_up,
                lines: memory.lines,
                last_line_at: memory.last_line_at,
                lag_seconds: if state == "live" { 0.0 } else { lag },
            }
        })
        .collect()
}

/// One for each configured receiver, whether anything was ever sent or not.
fn outbox(engine: &Engine, store: &impl Ledger) -> Vec<OutboxView> {
    let known: BTreeMap<String, OutboxView> =
        store.outbox_views().unwrap_or_default().into_iter().map(|v| (v.receiver.clone(), v)).collect();
    let receivers = engine.plan().receivers.iter();
    receivers
        .map(|r| {
            let none = OutboxView { receiver: r.name.clone(), ..OutboxView::default() };
            known.get(&r.name).cloned().unwrap_or(none)
        })
        .collect()
}

fn gauge(name: &str, help: &str, series: Vec<Series>) -> Family {
    Family { name: name.to_owned(), help: help.to_owned(), kind: FamilyKind::Gauge, series }
}

fn series(labels: &[(&str, &str)], value: f64) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { labels, sample: Sample::Number(value) }
}
