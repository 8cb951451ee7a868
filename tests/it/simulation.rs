//! Engine and store under a seeded scheduler: lines of the shipped pack in
//! random batches, sources that fall behind, are lost and live again, ticks,
//! and a crash between any two steps that loses what was not committed. In the
//! end metrics, transitions and what was told equal an uninterrupted run's.
//!
//! `SIMULATION_SEED=n` runs one seed, `SIMULATION_SEEDS=n` so many.

use std::sync::Arc;

use tocsin::engine::{Engine, Input, Move, Output, saved};
use tocsin::model::{
    Boot, Channel, Cursor, Family, Gap, Line, SourceId, SourceState, Stream, Time, Transition,
};
use tocsin::store::{Commit, Identity, Store};

use crate::bench;

const SEEDS: u64 = 400;
const STEPS: usize = 220;
const BEGAN: i64 = 1_773_478_800;

/// One request of a proxy's process, and more than one way it ends.
const REQUESTS: &[&[&str]] = &[
    &["response_status=401", "response_body={", "  \"code\": 40101,", "  \"message\": \"x\"", "}"],
    &[
        "response_status=200",
        "response_body={",
        "  \"code\": 0,",
        "  \"result\": {",
        "    \"data\": []",
        "  }",
        "}",
    ],
    &["response_status=429", "response_body={", "  \"code\": 42901", "}"],
    &["response_status=502", "response_body_text=<html>"],
    &["response_status=401"],
];
const SYNCS: &[&[&str]] = &[
    &[
        "[INFO] app.services.portfolio_cache: Starting portfolio cache update - fetching ALL data from Crypto.com...",
        "[INFO] app.services.portfolio_cache: Processing 16 account balances from Crypto.com...",
        "[INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $22,759.04",
    ],
    &[
        "[INFO] app.services.portfolio_cache: Starting portfolio cache update - fetching ALL data from Crypto.com...",
        "[ERROR] app.services.portfolio_cache: Error updating portfolio cache: x",
    ],
    &["[INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $0.00"],
];

#[derive(Clone, Debug)]
enum What {
    Line(SourceId, Box<Line>),
    Gap(SourceId, Gap),
    State(SourceId, SourceState),
    Tick(Vec<Move>),
}

#[derive(Clone, Debug)]
struct Step {
    what: What,
    now: Time,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A script: what the sources say, each step at a time of its own.
fn script(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut now = Time::from_secs(BEGAN);
    let mut live = [true, true];
    let mut waiting: [Vec<String>; 3] = Default::default();
    while steps.len() < STEPS {
        let jump = match random.below(12) {
            0 => 60_000 + random.below(400_000),
            1..=3 => 1_000 + random.below(20_000),
            _ => random.below(900),
        };
        now = Time(now.0 + 1 + jump as i64 * 1_000_000);
        let what = match random.below(20) {
            0 => {
                let source = random.below(2) as usize;
                let state = match random.below(4) {
                    0 => SourceState::Behind,
                    1 => SourceState::Lost { why: "gone".to_owned() },
                    _ => SourceState::Live,
                };
                live[source] = state == SourceState::Live;
                What::State(source, state)
            }
            1 if random.below(4) == 0 => {
                let gap = Gap { at: now, boot: boot(0, now), lines: Some(3), why: "dropped".to_owned() };
                What::Gap(0, gap)
            }
            1..=4 => What::Tick(
                (0..2)
                    .filter(|s| live[*s])
                    .map(|source| Move {
                        source,
                        to: now.minus(std::time::Duration::from_secs(2)),
                        next: None,
                        starts: true,
                    })
                    .collect(),
            ),
            _ => line(random, &mut waiting, now),
        };
        steps.push(Step { what, now });
    }
    steps
}

fn boot(source: SourceId, now: Time) -> Option<Boot> {
    (source == 0).then(|| Boot { id: 9, monotonic: now.0 - (BEGAN - 500) * 1_000_000_000 })
}

/// The next line of one of two processes of the proxy, or of the backend.
fn line(random: &mut Random, waiting: &mut [Vec<String>; 3], now: Time) -> What {
    let writer = random.below(3) as usize;
    if waiting[writer].is_empty() {
        waiting[writer] = if writer == 2 {
            let sync = SYNCS[random.below(SYNCS.len() as u64) as usize];
            sync.iter().rev().map(|text| format!("2026-03-14 09:00:00,000 {text}")).collect()
        } else {
            let method = ["private/user-balance", "private/get-orders"][random.below(2) as usize];
            let request = REQUESTS[random.below(REQUESTS.len() as u64) as usize];
            let diag = |text: &str| match text.starts_with([' ', '}']) {
                true => text.to_owned(),
                false => format!("INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] {text}"),
            };
            let mut lines = vec![diag("=== PROXY REQUEST START ==="), diag(&format!("method={method}"))];
            lines.extend(request.iter().map(|text| diag(text)));
            if random.below(5) > 0 {
                lines.push(diag("=== PROXY REQUEST END ==="));
            }
            lines.reverse();
            lines
        };
    }
    let text = waiting[writer].pop().unwrap_or_default();
    let source = usize::from(writer == 2);
    let stream = Stream {
        writer: Arc::from(["71@9", "72@9", "c0ffee"][writer]),
        channel: if source == 0 { Channel::Any } else { Channel::Err },
    };
    let identifier = (source == 0).then(|| Arc::from("python"));
    What::Line(
        source,
        Box::new(Line {
            stream,
            at: now,
            boot: boot(source, now),
            identifier,
            text,
            is_cut: false,
            had_invalid_utf8: false,
        }),
    )
}

fn handle(engine: &mut Engine, step: &Step) -> Output {
    match &step.what {
        What::Line(source, line) => engine.handle(Input::Line(*source, line), &[], step.now),
        What::Gap(source, gap) => engine.handle(Input::Gap(*source, gap), &[], step.now),
        What::State(source, state) => engine.handle(Input::State(*source, state), &[], step.now),
        What::Tick(moves) => engine.handle(Input::Advance, moves, step.now),
    }
}

/// What is compared in the end.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    transitions: Vec<String>,
    told: Vec<(String, usize, bool)>,
    families: Vec<Family>,
}

impl Seen {
    fn take(&mut self, output: Output) {
        self.transitions.extend(output.transitions.iter().map(told_of));
        let told = output.notifications.iter();
        self.told.extend(told.map(|n| (n.id.clone(), n.alerts.len(), n.is_firing)));
    }

    fn end(mut self, engine: &Engine) -> Seen {
        self.families = engine.families();
        // Of this process alone.
        self.families.retain(|f| f.name != "tocsin_source_matched");
        self
    }
}

fn told_of(t: &Transition) -> String {
    format!(
        "{} {} {:?} {} {} {}: {}",
        t.at,
        t.alert,
        t.state,
        t.severity.as_str(),
        t.value,
        t.reason,
        t.summary
    )
}

fn identity() -> Identity {
    Identity { digest_key: [7; 32], instance: "0123456789abcdef".to_owned() }
}

fn uninterrupted(fresh: &Engine, steps: &[Step]) -> Seen {
    let mut engine = fresh.restored(&[]);
    let mut seen = Seen::default();
    for step in steps {
        seen.take(handle(&mut engine, step));
    }
    seen.end(&engine)
}

/// With commits and crashes; whatever was not committed is gone.
fn with_crashes(fresh: &Engine, steps: &[Step], random: &mut Random) -> Seen {
    let mut store = Store::memory_as(identity()).unwrap();
    let mut engine = fresh.restored(&[]);
    let (mut seen, mut pending) = (Seen::default(), Vec::new());
    let mut at = 0;
    while at < steps.len() {
        pending.push(handle(&mut engine, &steps[at]));
        at += 1;
        if random.below(6) == 0 || at == steps.len() {
            let rows = engine.take_changes();
            let cursors = [("script".to_owned(), Cursor(at.to_string()))];
            let commit = Commit { saved: &rows, cursors: &cursors, ..Commit::default() };
            store.commit(commit).unwrap();
            pending.drain(..).for_each(|output| seen.take(output));
        }
        if random.below(25) == 0 {
            let loaded = store.load(saved::KINDS).unwrap();
            engine = fresh.restored(&loaded.saved);
            pending.clear();
            at = loaded.cursors.get("script").map_or(0, |cursor| cursor.0.parse().unwrap());
            // A source says anew how it stands.
            for source in 0..2 {
                let said = steps[..at].iter().rev().find_map(|step| match &step.what {
                    What::State(of, state) if *of == source => Some((state, step.now)),
                    _ => None,
                });
                if let Some((state, _)) = said {
                    let now = steps[at - 1].now;
                    pending.push(engine.handle(Input::State(source, state), &[], now));
                }
            }
        }
    }
    // What followed the last commit after a crash at the end.
    pending.drain(..).for_each(|output| seen.take(output));
    seen.end(&engine)
}

#[test]
fn a_crash_between_any_two_steps_changes_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let fresh = Engine::new(bench::shipped(), "0123456789abcdef", [7; 32]);
    let mut transitions = 0;
    for seed in seeds.clone() {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let steps = script(&mut random);
        let expected = uninterrupted(&fresh, &steps);
        let got = with_crashes(&fresh, &steps, &mut random);
        transitions += expected.transitions.len() as u64;
        let hint = format!("SIMULATION_SEED={seed}");
        assert_eq!(got.transitions, expected.transitions, "{hint}");
        assert_eq!(got.told, expected.told, "{hint}");
        for (got, expected) in got.families.iter().zip(&expected.families) {
            assert_eq!(got, expected, "{hint}");
        }
    }
    assert!(transitions > seeds.end - seeds.start, "the scripts make too little happen: {transitions}");
    println!("{} seeds, {transitions} changes of alerts", seeds.end - seeds.start);
}
