//! What must hold, whatever happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin::engine::clocks::Stamp;
use tocsin::engine::{Engine, Input, Move};
use tocsin::model::{
    Family, FamilyKind, Incident, Reading, Sample, Snapshot, SourceId, Time, Transition, TransitionState,
};

use super::ledger::Disk;
use super::script::{self, BEGAN, Script};
use super::world::World;

/// Judged by the source's being live, which a crash changes.
const STALENESS: &str = "PortfolioSyncStale";
const STALE_AFTER: Duration = Duration::from_secs(480);
/// On the process's own clock.
const SOURCE_DOWN: &str = "SourceDown";
const DOWN_AFTER: Duration = Duration::from_secs(60);
/// Longer than any turn, and the wait before it.
const TURN_MAX: Duration = Duration::from_secs(150);
/// On the latest of all sources' clocks, so its times hang on their order.
const LOG_GAP: &str = "LogGap";
const ELSEWHERE: &[&str] = &[STALENESS, SOURCE_DOWN, LOG_GAP];
/// What inhibits it is of the same source, so the order between sources, which
/// a lost source changes, says nothing of it.
const INHIBITED_WITHIN: &str = "ExchangeAuthUnstable";
/// No rule mutes these, and they have one key: each of their incidents is told.
const TOLD: &[&str] = &[
    "ExchangeRateLimited",
    "ExchangeUpstreamFailing",
    "ProxyCrashLooping",
    "ProxyTokenRejected",
    "BackendCrashLooping",
];
/// They have several keys, and so groups of several alerts.
const GROUPED: &[&str] = &["ExchangeAuthFailing", "ExchangeAuthUnstable", LOG_GAP, SOURCE_DOWN];
/// Of the process alone, or of what only a run with a daemon has.
const OF_THE_RUN: &[&str] = &["tocsin_source_matched", "tocsin_source_up"];

/// What an uninterrupted run concludes.
pub struct Expected {
    transitions: Vec<Transition>,
    incidents: BTreeMap<u64, Incident>,
    families: Vec<Family>,
}

/// The engine alone, fed each line as it was written.
pub fn uninterrupted(fresh: &Engine, script: &Script, ends: Time) -> Expected {
    let mut engine = fresh.restored(&[]);
    let (mut transitions, mut incidents) = (Vec::new(), BTreeMap::new());
    let sources: Vec<SourceId> = (0..fresh.plan().sources.len()).collect();
    let mut handle = |engine: &mut Engine, input: Input<'_>, moves: &[Move], at: Time| {
        let own = script.wall.at(BEGAN).plus(at.since(BEGAN));
        let output = engine.handle(input, moves, own);
        transitions.extend(output.transitions);
        incidents.extend(output.incidents.into_iter().map(|i| (i.number, i)));
    };
    let move_to = |source: SourceId, at: Time| {
        let wall = script.wall.at(at);
        let boot = script::boot(fresh.plan(), source, at);
        let next = boot.map(|boot| Stamp { at: wall, boot: Some(boot) });
        // Of a journal the stamp says how far; the wall clock steps.
        let to = if next.is_some() && at > BEGAN { Time(i64::MAX) } else { wall };
        Move { source, to, next, starts: true }
    };
    let all = |at: Time, but: Option<SourceId>| -> Vec<Move> {
        sources.iter().filter(|s| Some(**s) != but).map(|s| move_to(*s, at)).collect()
    };
    handle(&mut engine, Input::Advance, &all(BEGAN.minus(Duration::from_secs(2)), None), BEGAN);
    for entry in &script.entries {
        let moves = all(entry.at, Some(entry.source));
        let input = match &entry.reading {
            Reading::Line(line) => Input::Line(entry.source, line),
            Reading::Gap(gap) => Input::Gap(entry.source, gap),
            Reading::State(state) => Input::State(entry.source, state),
        };
        handle(&mut engine, input, &moves, entry.at);
    }
    handle(&mut engine, Input::Advance, &all(ends.minus(Duration::from_secs(2)), None), ends);
    Expected { transitions, incidents, families: engine.families() }
}

impl Expected {
    pub fn changes(&self) -> u64 {
        self.transitions.len() as u64
    }
}

/// After a run that came to rest.
pub fn all(world: &World<'_>, script: &Script, expected: &Expected) {
    let disk = world.ledger.disk.borrow();
    metrics(world.engine(), expected);
    same("changes of alerts", &history(&disk.transitions), &history(&expected.transitions));
    let incidents: Vec<&Incident> = disk.incidents.values().collect();
    same("incidents", &ended(&incidents), &ended(&expected.incidents.values().collect::<Vec<_>>()));
    for transition in &disk.transitions {
        assert!(transition.value >= 0.0, "a negative value: {transition:?}");
        if transition.state == TransitionState::Firing && transition.alert == STALENESS {
            assert!(is_stale(script, transition), "staleness is invented: {transition:?}");
        }
        if transition.state == TransitionState::Firing && transition.alert == SOURCE_DOWN {
            // It is lost until it says otherwise, which it does a turn later.
            let is_lost =
                |(_, from, until): &(SourceId, Time, Time)| until.plus(TURN_MAX).since(*from) >= DOWN_AFTER;
            assert!(world.losses.iter().any(is_lost), "no source was lost: {transition:?}");
        }
    }
    told(world, &disk);
    world.ledger.agrees();
}

/// Lists that must be equal; says where they part.
fn same(what: &str, got: &[String], expected: &[String]) {
    if let Some(at) = (0..got.len().max(expected.len())).find(|i| got.get(*i) != expected.get(*i)) {
        panic!("{what}:\n     got {:?}\nexpected {:?}", got.get(at), expected.get(at));
    }
}

fn metrics(engine: &Engine, expected: &Expected) {
    let series = |all: &[Family]| -> Vec<String> {
        let kept = all.iter().filter(|f| !OF_THE_RUN.contains(&f.name.as_str()));
        kept.flat_map(|f| f.series.iter().map(|s| format!("{} {s:?}", f.name))).collect()
    };
    same("metrics", &series(&engine.families()), &series(&expected.families));
}

/// By alert, in order, what an interruption must not change.
fn history(transitions: &[Transition]) -> Vec<String> {
    let line = |t: &&Transition| {
        let by = t.inhibited_by.as_ref().filter(|_| t.alert == INHIBITED_WITHIN);
        format!(
            "{} {} {:?} {} {:?} {} {}: {} {by:?}",
            t.alert, t.at, t.state, t.severity, t.labels, t.value, t.reason, t.summary
        )
    };
    let mut kept: Vec<&Transition> =
        transitions.iter().filter(|t| !ELSEWHERE.contains(&t.alert.as_str())).collect();
    kept.sort_by_key(|t| &t.alert);
    kept.iter().map(line).collect()
}

fn ended(incidents: &[&Incident]) -> Vec<String> {
    let line = |i: &&Incident| {
        format!(
            "{} {:?} {} {:?} {:?} {:?} {}",
            i.alert, i.labels, i.severity, i.started_at, i.ended_at, i.end_reason, i.value
        )
    };
    let mut all: Vec<String> =
        incidents.iter().filter(|i| !ELSEWHERE.contains(&i.alert.as_str())).map(line).collect();
    all.sort();
    all
}

/// There was no good sync for so long before.
fn is_stale(script: &Script, transition: &Transition) -> bool {
    let lately = |at: Time| {
        let syncs = script.entries.iter().filter(|e| e.is_good_sync);
        syncs.filter(|e| e.at < at).any(|e| at.since(e.at) < STALE_AFTER)
    };
    script.wall.when(transition.at).into_iter().filter(|at| *at >= BEGAN).any(|at| !lately(at))
}

/// Every beginning and every end, to every receiver.
fn told(world: &World<'_>, disk: &Disk) {
    let spans = spans(&disk.transitions);
    for (alert, incidents) in world.incidents() {
        for incident in &incidents {
            for receiver in &world.engine().plan().receivers {
                let was_told = |is_firing| {
                    world.receivers.was_told(&receiver.name, &alert, incident.started_at, is_firing)
                };
                let what = || {
                    let rows = disk.outbox.rows.iter().map(|row| &row.outgoing.id);
                    format!("{}: {incident:?}\n{:?}", receiver.name, rows.collect::<Vec<_>>())
                };
                // Members of a group end together, and one that fires again has not ended.
                let is_grouped = GROUPED.contains(&&*alert);
                if world.receivers.is_owed_an_end(&receiver.name, &alert, incident.started_at)
                    && incident.ended_at.is_some()
                    && !is_grouped
                {
                    assert!(was_told(false), "the end was not told to {}", what());
                }
                let began = spans.get(&incident.number).map_or(0, |span| span.0);
                let burns =
                    |other: &&Incident| spans.get(&other.number).is_some_and(|s| s.0 < began && began < s.1);
                let is_alone = !incidents.iter().any(|other| burns(&other));
                if is_alone && TOLD.contains(&alert.as_str()) {
                    assert!(was_told(true) || was_told(false), "it was not told to {}", what());
                    assert!(
                        incident.ended_at.is_none() || was_told(false),
                        "its end was not told to {}",
                        what()
                    );
                }
            }
        }
    }
}

/// By number, the first and the last change of each incident. Who joins a
/// group that burns may end before the group speaks again.
fn spans(transitions: &[Transition]) -> BTreeMap<u64, (usize, usize)> {
    let mut spans = BTreeMap::new();
    for (i, t) in transitions.iter().enumerate().filter(|(_, t)| t.state != TransitionState::Pending) {
        let last = if t.state == TransitionState::Resolved { i } else { usize::MAX };
        spans.entry(t.incident).or_insert((i, last)).1 = last;
    }
    spans
}

/// What the window showed.
#[derive(Default)]
pub struct Published {
    last: Option<Arc<Snapshot>>,
    /// The last picture that said that it was on the disk.
    durable: Option<Arc<Snapshot>>,
}

impl Published {
    pub fn look(&mut self, snapshot: &Arc<Snapshot>, disk: &Disk) {
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, snapshot)) || snapshot.families.is_empty()
        {
            return;
        }
        self.last = Some(snapshot.clone());
        for source in &snapshot.sources {
            assert!(source.lag_seconds >= 0.0, "{source:?}");
        }
        if !snapshot.is_durable {
            return;
        }
        for view in snapshot.open.iter().chain(&snapshot.past) {
            let known = disk.incidents.get(&view.incident.number);
            let is_known = known.is_some_and(|known| {
                (&known.alert, known.started_at) == (&view.incident.alert, view.incident.started_at)
                    && (known.ended_at == view.incident.ended_at || known.ended_at.is_some())
            });
            assert!(is_known, "shown and not committed: {:?}, committed: {known:?}", view.incident);
        }
        self.durable = Some(snapshot.clone());
    }

    /// What was shown before a crash is not counted down by it.
    pub fn began_again(&mut self, engine: &Engine) {
        self.last = None;
        let Some(shown) = self.durable.take() else { return };
        let families: BTreeMap<String, Family> =
            engine.families().into_iter().map(|f| (f.name.clone(), f)).collect();
        for family in shown.families.iter().filter(|f| f.kind != FamilyKind::Gauge) {
            let Some(now) = families.get(&family.name) else { continue };
            for series in &family.series {
                let after = now.series.iter().find(|s| s.labels == series.labels).map(|s| count(&s.sample));
                let shown = count(&series.sample);
                let name = &family.name;
                assert!(after.is_some_and(|after| after >= shown), "{name}: shown {shown}, then {after:?}");
            }
        }
    }
}

fn count(sample: &Sample) -> f64 {
    match sample {
        Sample::Number(number) => *number,
        Sample::Histogram { count, .. } => *count as f64,
    }
}
