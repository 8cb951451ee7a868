//! The daemon's own parts under a seeded scheduler: the monitor, its intake
//! and its outbox over a memory that loses what was not committed, sources that
//! fail, receivers that cannot be relied on, a disk that refuses, clocks that
//! step, and a crash between any two steps. In the end counters, streaks and
//! history are those of an uninterrupted run, and all is told.
//!
//! `SIMULATION_SEED=n` replays one seed, `SIMULATION_SEEDS=n` runs so many.

mod check;
mod ledger;
mod outbox;
mod random;
mod receiver;
mod refused;
mod script;
mod source;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tocsin::cli::files::Disk;
use tocsin::config::{self, FileSource, Plan};
use tocsin::engine::Engine;
use tocsin::store::{Identity, Store};

use crate::scan::root;
use random::Random;
use world::World;

/// Of a plain `cargo test`; `make test` asks for ten thousand.
const SEEDS: u64 = 1_000;
/// One in so many runs beside the real store.
const REAL_EVERY: u64 = 50;
/// After so many the rest is not run.
const FAILED_MAX: usize = 10;
const ENTRIES: usize = 40;
const RECEIVERS: &str = r#"
[[receiver]]
name = "hook"
type = "webhook"
url = "http://127.0.0.1:1/hook"
[[receiver]]
name = "pager"
type = "webhook"
url = "http://127.0.0.1:1/pager"
"#;

/// The shipped configuration, changed.
struct Changed(String);

impl FileSource for Changed {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path.ends_with("config/simulated.toml") {
            Ok(self.0.clone())
        } else {
            Disk { wants_secrets: false }.read(path)
        }
    }
    fn list(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        Disk { wants_secrets: false }.list(pattern)
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn is_world_readable(&self, _: &Path) -> bool {
        false
    }
}

/// The shipped pack with two receivers; its second source stays in Docker, or
/// is a journal, whose clock no step of the wall clock touches.
fn plan(is_journal: bool) -> Arc<Plan> {
    let mut text = std::fs::read_to_string(root().join("config/tocsin.toml")).unwrap() + RECEIVERS;
    if is_journal {
        for (docker, journal) in [
            ("\ntype = \"docker\"\n", "\ntype = \"journal\"\n"),
            ("\nservice = \"backend\"\n", "\nunit = \"backend.service\"\n"),
            ("\ntimezone = \"UTC\"\n", "\n"),
        ] {
            assert!(text.contains(docker), "{docker}");
            text = text.replace(docker, journal);
        }
    }
    match config::compile(&root().join("config/simulated.toml"), &Changed(text)) {
        Ok(loaded) => Arc::new(loaded.plan),
        Err(problems) => panic!("{problems}"),
    }
}

fn identity() -> Identity {
    Identity { digest_key: [7; 32], instance: "0123456789abcdef".to_owned() }
}

#[derive(Default)]
struct Sum {
    changes: u64,
    crashes: u64,
    repeats: u64,
}

fn run(fresh: &[Engine; 2], seed: u64) -> Sum {
    let mut random = Random::new(seed);
    let fresh = &fresh[random.below(2) as usize];
    let script = script::script(&mut random, fresh.plan(), ENTRIES);
    let real = seed.is_multiple_of(REAL_EVERY).then(|| Store::memory_as(identity()).unwrap());
    let mut world = World::new(fresh, &script, random, real);
    world.run();
    let expected = check::uninterrupted(fresh, &script, world.at());
    check::all(&world, &script, &expected);
    Sum { changes: expected.changes(), crashes: world.crashes, repeats: world.receivers.repeats }
}

#[test]
fn whatever_fails_and_whenever_it_dies_every_line_counts_once_and_all_is_told() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let plans = [plan(false), plan(true)];
    let next = AtomicU64::new(seeds.start);
    let (sum, failed) = (Mutex::new(Sum::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let fresh = plans.clone().map(|plan| Engine::new(plan, &identity().instance, [7; 32]));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let Ok(one) = catch_unwind(AssertUnwindSafe(|| run(&fresh, seed))) else {
                        let mut failed = failed.lock().unwrap();
                        failed.push(seed);
                        if failed.len() == FAILED_MAX {
                            next.store(seeds.end, Ordering::Relaxed);
                        }
                        continue;
                    };
                    let mut sum = sum.lock().unwrap();
                    sum.changes += one.changes;
                    sum.crashes += one.crashes;
                    sum.repeats += one.repeats;
                }
            });
        }
    });
    for seed in failed.lock().unwrap().iter() {
        println!("to see it again: SIMULATION_SEED={seed} cargo test --test it simulation");
    }
    assert!(failed.lock().unwrap().is_empty(), "seeds fail; what they met stands above");
    let (Sum { changes, crashes, repeats }, count) = (sum.into_inner().unwrap(), seeds.end - seeds.start);
    println!("{count} seeds: {crashes} crashes, {changes} changes of alerts, {repeats} notices repeated");
    assert!(
        count < 100 || (changes > count && crashes > count / 2 && repeats > count / 20),
        "too little happens"
    );
}
