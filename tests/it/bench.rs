//! Runs logs through the engine as `replay` does, with the engine in hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tocsin::cli::files;
use tocsin::cli::merge::{Merge, Readings, Step, Until};
use tocsin::config::Plan;
use tocsin::engine::{Engine, Input, Move};
use tocsin::load;
use tocsin::model::{Family, Sample, SavedRow, SourceId, Time, Transition, TransitionState};

use crate::scan::root;

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub timeline: Vec<Transition>,
    /// By name and labels; a histogram by its count and sum.
    pub series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What happens to the engine between two entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Between {
    Nothing,
    /// It is committed and restored from the rows, after so many steps.
    Restore(usize),
    /// Clocks are moved on to times between the entries.
    Tick,
}

/// The shipped pack.
pub fn shipped() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| compiled(&root().join("config/tocsin.toml"))).clone()
}

/// A configuration that must be fine.
pub fn compiled(path: &Path) -> Arc<Plan> {
    match files::load_without_secrets(path) {
        Ok(loaded) => Arc::new(loaded.plan),
        Err(_) => panic!("{}: does not compile", path.display()),
    }
}

/// A log as readings of a source.
pub fn input(plan: &Plan, source: &str, path: &Path) -> (SourceId, Readings) {
    let source = plan.source(source).expect("a source of that name");
    match load::open(path, &plan.sources[source]).expect("a log") {
        load::Opened::Readings(readings) => (source, Box::new(readings.map(|r| Ok(r?)))),
        load::Opened::NativeJournal(_) => panic!("{}: a native journal", path.display()),
    }
}

/// Runs them to their end.
pub fn run(
    plan: &Arc<Plan>,
    inputs: Vec<(SourceId, Readings)>,
    since: Option<Time>,
    until: Option<Until>,
    between: Between,
) -> Run {
    let mut merge = Merge::new(inputs, since, until);
    let mut engine = Engine::new(plan.clone(), "test", [0; 32]).without_notices();
    let mut rows: BTreeMap<(&'static str, String), String> = BTreeMap::new();
    let mut timeline = Vec::new();
    let mut before: Option<Time> = None;
    let mut ended = Vec::new();
    let mut count = 0;
    while let Some(step) = merge.step() {
        count += 1;
        if let (Between::Tick, Some(before)) = (between, before) {
            tick(&mut engine, &step, before, &mut timeline);
        }
        before = Some(step.now);
        timeline.extend(step.run(&mut engine).transitions);
        if let (true, Some((source, _))) = (step.is_last, &step.entry) {
            ended.push(*source);
        }
        if matches!(between, Between::Restore(every) if count % every == 0) {
            engine = restored(&mut engine, &mut rows);
            for source in &ended {
                engine.handle(Input::Ended(*source), &[], step.now);
            }
        }
    }
    assert!(merge.failed().is_none(), "{:?}", merge.failed());
    timeline.retain(|t| t.state != TransitionState::Pending);
    Run { timeline, series: series(&engine.families()) }
}

/// Two more ticks on the way to the step's time, as a daemon would make them.
fn tick(engine: &mut Engine, step: &Step, before: Time, timeline: &mut Vec<Transition>) {
    for part in [2, 3] {
        let at = Time(before.0 + (step.now.0 - before.0) / 4 * part);
        let moves: Vec<Move> = step.moves.iter().map(|m| Move { to: at, starts: false, ..*m }).collect();
        timeline.extend(engine.handle(Input::Advance, &moves, at).transitions);
    }
}

fn restored(engine: &mut Engine, rows: &mut BTreeMap<(&'static str, String), String>) -> Engine {
    for SavedRow { kind, key, value } in engine.take_changes() {
        match value {
            Some(value) => rows.insert((kind, key), value),
            None => rows.remove(&(kind, key)),
        };
    }
    let all: Vec<SavedRow> = rows
        .iter()
        .map(|((kind, key), value)| SavedRow { kind, key: key.clone(), value: Some(value.clone()) })
        .collect();
    engine.restored(&all)
}

fn series(families: &[Family]) -> Vec<Series> {
    let mut all = Vec::new();
    for family in families {
        for series in &family.series {
            let mut push = |name: String, value| {
                all.push(Series { name, labels: series.labels.iter().cloned().collect(), value });
            };
            match &series.sample {
                Sample::Number(n) => push(family.name.clone(), *n),
                Sample::Histogram { sum, count, .. } => {
                    push(format!("{}_sum", family.name), *sum);
                    push(format!("{}_count", family.name), *count as f64);
                }
            }
        }
    }
    all
}

/// The sum of the series that `name{label="value"}` selects; `None` if there
/// is none.
pub fn selected(all: &[Series], selector: &str) -> Option<f64> {
    let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
    let wanted: Vec<(&str, &str)> = labels
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(name, value)| (name, value.trim_end_matches('"')))
        .collect();
    let is_wanted = |series: &&Series| {
        series.name == name && wanted.iter().all(|(l, v)| series.labels.get(*l).map_or("", |x| x) == *v)
    };
    let mut hits = all.iter().filter(is_wanted).map(|s| s.value).peekable();
    hits.peek()?;
    Some(hits.sum())
}
