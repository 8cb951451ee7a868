//! What the world writes, each line at an instant of true time, and how the
//! wall clock stands to it.
//!
//! True time is the machine's monotonic clock. The wall clock steps back and
//! forward by hours in some scripts; a machine that sleeps is such a step.

use std::sync::Arc;
use std::time::Duration;

use tocsin::clock::Now;
use tocsin::config::Plan;
use tocsin::config::plan::SourceKind;
use tocsin::model::{Boot, Channel, Gap, Line, Reading, SourceId, Stream, Time};

use super::random::Random;

/// Wall time at true time 0.
const EPOCH: i64 = 1_773_400_000;
/// True time at which everything begins.
pub const BEGAN: Time = Time(500_000_000_000);
pub const BOOT: u128 = 9;
const PROXY: SourceId = 0;
const BACKEND: SourceId = 1;

/// One request of a proxy's process, and the ways it ends.
const REQUESTS: &[&[&str]] = &[
    &["response_status=401", "response_body={", "  \"code\": 40101,", "  \"message\": \"x\"", "}"],
    &["response_status=401", "response_body={", "  \"code\": 40101", "}"],
    &["response_status=200", "response_body={", "  \"code\": 0,", "  \"result\": { \"data\": [] }", "}"],
    &["response_status=429", "response_body={", "  \"code\": 42901", "}"],
    &["response_status=502", "response_body_text=<html>"],
    &["response_status=401"],
];
const METHODS: &[&str] = &["private/user-balance", "private/get-orders"];
const SYNCS: &[&[&str]] = &[
    &[
        "[INFO] app.services.portfolio_cache: Starting portfolio cache update",
        "[INFO] app.services.portfolio_cache: Processing 16 account balances from Crypto.com...",
        "[INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $22,759.04",
    ],
    &[
        "[INFO] app.services.portfolio_cache: Starting portfolio cache update",
        "[ERROR] app.services.portfolio_cache: Error updating portfolio cache: x",
    ],
    &["[INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $0.00"],
    &[
        "[INFO] app.services.portfolio_cache: Portfolio summary fetched in 0.21s: 9 balances, 7 with USD values",
    ],
];
/// Lines that stand alone: source, identifier, text.
const ALONE: &[(SourceId, &str, &str)] = &[
    (PROXY, "systemd", "crypto-proxy.service: Failed with result 'exit-code'."),
    (PROXY, "python", "WARNING:crypto_proxy:Invalid proxy token from client"),
    (PROXY, "python", "INFO:     Started server process [71]"),
    (BACKEND, "", "[2026-03-14 09:00:00 +0000] [7] [ERROR] Worker failed to boot."),
    (BACKEND, "", "[2026-03-14 09:00:00 +0000] [1] [INFO] Starting gunicorn 22.0.0"),
];

/// One thing that a source has to say.
pub struct Entry {
    pub at: Time,
    pub source: SourceId,
    pub reading: Reading,
    pub is_good_sync: bool,
}

pub struct Script {
    /// In the order of true time.
    pub entries: Vec<Entry>,
    /// The last of them, in true time.
    pub ends: Time,
    pub wall: Wall,
}

/// The wall clock: by how much it was stepped, and since when.
#[derive(Default)]
pub struct Wall {
    steps: Vec<(Time, i64)>,
}

impl Wall {
    pub fn at(&self, at: Time) -> Time {
        let stepped: i64 = self.steps.iter().filter(|(since, _)| *since <= at).map(|(_, by)| by).sum();
        Time::from_secs(EPOCH).shifted(at.0).shifted(stepped)
    }

    pub fn now(&self, at: Time) -> Now {
        Now { wall: self.at(at), monotonic: at }
    }

    /// True times that may have been shown as this wall time.
    pub fn when(&self, wall: Time) -> Vec<Time> {
        let mut stepped = 0;
        let mut all = vec![wall.shifted(-Time::from_secs(EPOCH).0)];
        for (_, by) in &self.steps {
            stepped += by;
            all.push(wall.shifted(-Time::from_secs(EPOCH).0 - stepped));
        }
        all
    }
}

/// What is half written: by writer, its next lines, the last first.
type Half = [Vec<String>; 3];

pub fn script(random: &mut Random, plan: &Plan, entries: usize) -> Script {
    let mut half = Half::default();
    let mut wall = Wall::default();
    let mut all: Vec<Entry> = Vec::new();
    let mut at = BEGAN;
    let has_steps = plan.sources.iter().all(|s| matches!(s.kind, SourceKind::Journal(_)));
    while all.len() < entries {
        let pause = match random.below(24) {
            0 => random.span(Duration::from_secs(60), Duration::from_secs(700)),
            1..=5 => random.span(Duration::from_secs(1), Duration::from_secs(21)),
            _ => Duration::from_millis(random.below(900)),
        };
        at = at.plus(pause + Duration::from_millis(1));
        if has_steps && random.chance(20) {
            let by = random.span(Duration::from_secs(60), Duration::from_secs(10_800)).as_nanos() as i64;
            wall.steps.push((at, if random.chance(500) { by } else { -by }));
        }
        all.push(entry(random, (plan, &wall), &mut half, at));
    }
    Script { entries: all, ends: at, wall }
}

fn entry(random: &mut Random, (plan, wall): (&Plan, &Wall), half: &mut Half, at: Time) -> Entry {
    if random.chance(12) {
        let source = random.below(2) as SourceId;
        let lines = random.chance(500).then_some(3);
        let boot = boot(plan, source, at);
        let gap = Gap { at: wall.at(at), boot, lines, why: "messages were dropped".to_owned() };
        return Entry { at, source, reading: Reading::Gap(gap), is_good_sync: false };
    }
    let (writer, identifier, text) = if random.chance(80) {
        let (source, identifier, text) = *random.one_of(ALONE);
        (if source == BACKEND { 2 } else { 0 }, identifier, text.to_owned())
    } else {
        let writer = random.below(3) as usize;
        (writer, "python", next_line(random, half, writer))
    };
    let source = if writer == 2 { BACKEND } else { PROXY };
    let boot = boot(plan, source, at);
    let line = Line {
        stream: Stream {
            writer: Arc::from(["71@9", "72@9", "c0ffee"][writer]),
            channel: if boot.is_some() { Channel::Any } else { Channel::Err },
        },
        at: wall.at(at),
        boot,
        identifier: boot.is_some().then(|| Arc::from(identifier)),
        is_cut: false,
        had_invalid_utf8: random.chance(5),
        text,
    };
    let is_good_sync = line.text.contains("successfully") && !line.text.contains("$0.00");
    Entry { at, source, reading: Reading::Line(line), is_good_sync }
}

/// The monotonic stamp, where the transport has one.
pub fn boot(plan: &Plan, source: SourceId, at: Time) -> Option<Boot> {
    let is_journal = matches!(plan.sources[source].kind, SourceKind::Journal(_));
    is_journal.then_some(Boot { id: BOOT, monotonic: at.0 })
}

fn next_line(random: &mut Random, half: &mut Half, writer: usize) -> String {
    if half[writer].is_empty() {
        half[writer] = if writer == 2 { sync(random) } else { request(random) };
    }
    half[writer].pop().unwrap_or_default()
}

fn sync(random: &mut Random) -> Vec<String> {
    let lines = random.one_of(SYNCS).iter().rev();
    lines.map(|text| format!("2026-03-14 09:00:00,000 {text}")).collect()
}

fn request(random: &mut Random) -> Vec<String> {
    let method = random.one_of(METHODS);
    let diag = |text: &str| match text.starts_with([' ', '}']) {
        true => text.to_owned(),
        false => format!("INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] {text}"),
    };
    let mut lines = vec![diag("=== PROXY REQUEST START ==="), diag(&format!("method={method}"))];
    lines.extend(random.one_of(REQUESTS).iter().map(|text| diag(text)));
    if random.below(5) > 0 {
        lines.push(diag("=== PROXY REQUEST END ==="));
    }
    lines.reverse();
    lines
}
