//! What the engine keeps is bounded, what it refuses is counted, and what it
//! writes for one event does not grow with what it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tocsin::config::Plan;
use tocsin::config::plan::LimitsPlan;
use tocsin::engine::Engine;
use tocsin::engine::Input;
use tocsin::engine::vitals::Refused;
use tocsin::model::{Channel, Line, Sample, SavedRow, Stream, Time};

use crate::bench::compiled;

const PACK: &str = r#"
[[source]]
name = "app"
type = "file"
paths = ["/nowhere"]
[[event]]
name = "call"
kind = "block"
source = "app"
begin = '^START$'
headless = '^status '
duration_max = "1h"
[[event.step]]
match = '^status (?P<status>\S+)'
[[event.step]]
match = '^END$'
effect = "end"
[event.fields]
status = { type = "text", default = "none" }
[[event]]
name = "hit"
source = "app"
match = '^hit (?P<who>\S+)$'
[event.fields]
who = { type = "text" }
[[metric]]
type = "counter"
name = "calls_total"
help = "Whole ones."
event = "call"
[[metric]]
type = "counter"
name = "hits_total"
help = "By who."
event = "hit"
labels = ["who"]
label_values_max = 5_000
[[rule]]
name = "Busy"
type = "rate"
event = "hit"
count = 5000
window = "1h"
severity = "warning"
summary = "busy"
[[rule]]
name = "BusyWho"
type = "rate"
event = "hit"
count = 1000
window = "1h"
by = ["who"]
severity = "warning"
summary = "{{who}} is busy"
"#;

fn plan(limits: impl Fn(&mut LimitsPlan)) -> Arc<Plan> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tocsin.toml");
    std::fs::write(&path, PACK).unwrap();
    let mut plan = compiled(Path::new(&path));
    limits(&mut Arc::make_mut(&mut plan).limits);
    plan
}

/// An engine with its rows, and a clock that goes on with each line.
struct World {
    engine: Engine,
    rows: BTreeMap<(&'static str, String), String>,
    now: Time,
}

impl World {
    fn new(plan: Arc<Plan>) -> World {
        World {
            engine: Engine::new(plan, "test", [0; 32]),
            rows: BTreeMap::new(),
            now: Time::from_secs(1_000),
        }
    }

    fn line(&mut self, writer: &str, text: &str) {
        self.now = Time(self.now.0 + 1_000);
        let line = Line {
            stream: Stream { writer: Arc::from(writer), channel: Channel::Any },
            at: self.now,
            boot: None,
            identifier: None,
            text: text.to_owned(),
            is_cut: false,
            had_invalid_utf8: false,
        };
        self.engine.handle(Input::Line(0, &line), &[], self.now);
    }

    /// Keeps the rows as the state would; gives the bytes written.
    fn commit(&mut self) -> usize {
        let mut bytes = 0;
        for SavedRow { kind, key, value } in self.engine.take_changes() {
            bytes += key.len() + value.as_ref().map_or(0, String::len);
            match value {
                Some(value) => self.rows.insert((kind, key), value),
                None => self.rows.remove(&(kind, key)),
            };
        }
        bytes
    }

    /// Goes on from the rows alone.
    fn restart(&mut self) {
        self.commit();
        let rows: Vec<SavedRow> = self
            .rows
            .iter()
            .map(|((kind, key), value)| SavedRow { kind, key: key.clone(), value: Some(value.clone()) })
            .collect();
        self.engine = self.engine.restored(&rows);
    }

    fn refused(&self, what: &Refused) -> u64 {
        self.engine.refused()[what]
    }

    /// Series of a family and their sum.
    fn family(&self, name: &str) -> (usize, f64) {
        let families = self.engine.families();
        let family = families.iter().find(|f| f.name == name).unwrap();
        let number = |sample: &Sample| match sample {
            Sample::Number(n) => *n,
            Sample::Histogram { .. } => f64::NAN,
        };
        (family.series.len(), family.series.iter().map(|s| number(&s.sample)).sum())
    }

    fn rows_of(&self, kind: &str) -> usize {
        self.rows.keys().filter(|key| key.0 == kind).count()
    }
}

#[test]
fn open_blocks_beyond_the_limit_are_refused_counted_and_give_no_event() {
    let mut w = World::new(plan(|limits| limits.block_bytes = 1 << 20));
    for i in 0..1_000 {
        w.line(&format!("{i}@b"), "START");
    }
    let refused = w.refused(&Refused::Blocks);
    assert!((600..900).contains(&refused), "{refused}");
    assert_eq!(w.refused(&Refused::Streams), 0, "no open block went for another");
    w.restart();
    for i in 0..1_000 {
        w.line(&format!("{i}@b"), "status 200");
    }
    // A block that was refused does not come back as one without a beginning.
    assert_eq!(w.refused(&Refused::Blocks), 2 * refused);
    for i in 0..1_000 {
        w.line(&format!("{i}@b"), "END");
    }
    assert_eq!(w.family("calls_total").1, 1_000.0 - refused as f64);
    w.line("later@b", "START");
    w.line("later@b", "END");
    assert_eq!(w.family("calls_total").1, 1_001.0 - refused as f64, "there is room again");
}

#[test]
fn blocks_that_grow_past_the_limit_end_early() {
    let mut w = World::new(plan(|limits| limits.block_bytes = 1 << 20));
    let wide = "x".repeat(1_000);
    for round in 0..8 {
        for i in 0..400 {
            if round == 0 {
                w.line(&format!("{i}@b"), "START");
            }
            w.line(&format!("{i}@b"), &format!("status {round}{wide}"));
        }
    }
    let refused = w.refused(&Refused::Blocks);
    for i in 0..400 {
        w.line(&format!("{i}@b"), "END");
    }
    let (_, told) = w.family("calls_total");
    assert!(told > 100.0 && told + refused as f64 >= 400.0, "{told} told, {refused} refused");
}

#[test]
fn silent_writers_make_room_for_new_ones_and_open_blocks_stay() {
    let mut w = World::new(plan(|limits| limits.block_bytes = 1 << 20));
    w.line("first@b", "START");
    for i in 0..5_000 {
        // Opened by what has no end: they are muted for good.
        w.line(&format!("{i}@b"), "START");
        w.line(&format!("{i}@b"), "START");
        w.line(&format!("{i}@b"), "END");
        if i % 1_000 == 0 {
            w.restart();
        }
    }
    w.commit();
    assert_eq!(w.refused(&Refused::Blocks), 0);
    assert!(w.rows_of("block") < 1_000, "{} rows", w.rows_of("block"));
    w.line("first@b", "END");
    assert_eq!(w.family("calls_total").1, 5_001.0);
}

#[test]
fn all_series_together_and_all_keys_together_have_a_limit() {
    let mut w = World::new(plan(|limits| {
        limits.series_bytes = 300 * LimitsPlan::series_weight(1, 0);
        limits.keys_max = 100;
    }));
    for i in 0..2_000 {
        w.line("a", &format!("hit who-{}", i % 1_000));
    }
    w.restart();
    let (series, sum) = w.family("hits_total");
    assert_eq!(sum, 2_000.0, "other counts what has no series of its own");
    assert!((290..=302).contains(&series), "{series}");
    let refused = w.refused(&Refused::Series("hits_total".to_owned()));
    assert_eq!(refused, 2 * (1_000 - (series as u64 - 1)));
    assert_eq!(w.rows_of("rule"), 100, "the rule without keys is one of them");
    let kept = w.rows_of("rule") as u64 - 1;
    assert_eq!(w.refused(&Refused::Keys), 2 * (1_000 - kept));
}

#[test]
fn one_event_in_a_full_window_writes_a_piece_of_it() {
    let mut w = World::new(plan(|_| {}));
    for _ in 0..4_999 {
        w.line("a", "hit one");
    }
    let whole = w.commit();
    w.line("a", "hit one");
    let one = w.commit();
    eprintln!("a full window is {whole} bytes, one event more writes {one}");
    assert!(whole > 100_000 && one < 20_000, "{whole} and {one} bytes");
    // The count is exact across a restart: the 5000th fired the rule.
    w.restart();
    assert_eq!(w.engine.open_incidents().len(), 2);
    w.now = Time::from_secs(10_000);
    w.line("a", "other");
    w.commit();
    assert!(w.engine.open_incidents().is_empty(), "what left the window left it");
    assert_eq!(w.rows_of("window"), 0, "and its rows with it");
}

#[test]
fn windows_together_have_a_limit_and_lose_no_count() {
    let mut w = World::new(plan(|limits| limits.moments_max = 500));
    for i in 0..20_000 {
        w.line("a", &format!("hit who-{}", i % 10));
    }
    w.commit();
    // The newest count for the condition: each of the ten has had its 1000.
    assert_eq!(w.engine.open_incidents().len(), 11);
    let bytes: usize = w.rows.iter().filter(|r| r.0.0 == "window").map(|r| r.1.len()).sum();
    assert!(bytes < 80_000, "{bytes}");
}
