//! The storm: a journal, a container and a file are written while the real
//! binary is killed again and again and the receiver fails in every way. At the
//! end all it counted, concluded and told equals what was written.
//!
//! `STORM_KILLS`, `STORM_SECONDS` and `STORM_SEED` enlarge it (`make soak`).

mod model;
mod told;
mod writers;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::hook::{Answer, Hook};
use crate::daemon::kit::{Daemon, Setup, rest, until, value_of};
use crate::daemon::pack::{self, forbidden, found};
use crate::docker::engine::Engine;
use crate::support::{Journald, journald_skip, journald_start};
use model::Model;
use told::{Incidents, Told};
use writers::Dice;

const KILLS: u64 = 60;
const ALERTS: [&str; 3] = ["ContainerJobFailing", "ExchangeAuthFailing", "FileJobFailing"];
/// What was written may take so long to be counted and told.
const DEADLINE: Duration = Duration::from_secs(600);

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// Everything the daemon is given.
fn configuration(journald: &Journald, engine: &Engine, dir: &std::path::Path, hook: &Hook) -> String {
    format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nunit = \"crypto-proxy.service\"\n\
         directory = \"{}\"\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"docker\"\nservice = \"backend\"\nhost = \"{}\"\nstart = \"beginning\"\n\
         [[source]]\nname = \"jobs\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n\
         [override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n\
         [override.ExchangeAuthUnstable]\ncount = 100000000\n{}{}{}",
        journald.store.display(),
        engine.socket(),
        dir.join("jobs.log").display(),
        jobs("container", "Container", "backend"),
        jobs("file", "File", "jobs"),
        hook.receiver("hook", "timeout = \"1s\"")
    )
}

/// An event with its metrics and its alert.
fn jobs(kind: &str, name: &str, source: &str) -> String {
    format!(
        "[[event]]\nname = \"{kind}_job\"\nsource = \"{source}\"\n\
         match = 'job=(?P<job>\\w+) result=(?P<result>\\w+) seconds=(?P<seconds>[0-9.]+) of {kind}$'\n\
         fields = {{ job = {{ type = \"text\" }}, result = {{ type = \"text\" }}, seconds = {{ type = \"float\" }} }}\n\
         outcome = [{{ name = \"failed\", when = 'event.result == \"failed\"' }}, {{ name = \"done\" }}]\n\
         [[metric]]\nname = \"storm_{kind}_jobs_total\"\ntype = \"counter\"\nhelp = \"Jobs.\"\n\
         event = \"{kind}_job\"\nlabels = [\"job\", \"outcome\"]\n\
         [[metric]]\nname = \"storm_{kind}_job_seconds\"\ntype = \"histogram\"\nhelp = \"How long they took.\"\n\
         event = \"{kind}_job\"\nfield = \"seconds\"\n\
         [[metric]]\nname = \"storm_{kind}_failure_streak\"\ntype = \"gauge\"\nhelp = \"Failures in a row.\"\n\
         rule = \"{name}JobFailing\"\n\
         [[rule]]\nname = \"{name}JobFailing\"\ntype = \"streak\"\nseverity = \"warning\"\nevent = \"{kind}_job\"\n\
         bad = [\"failed\"]\ngood = [\"done\"]\ncount = 3\nsummary = \"jobs fail\"\n"
    )
}

#[test]
fn a_storm_of_kills_loses_nothing_and_repeats_nothing() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else { return };
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return journald_skip(&why),
    };
    let seed = setting("STORM_SEED", 1);
    let hook = Hook::new();
    hook.set(Answer::Flaky);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let text = configuration(&journald, &engine, dir.path(), &hook);
    let file = dir.path().join("jobs.log");
    let mount = format!("{}:/pipe", pipe.display());
    let setup = Setup::new(dir, &text);
    // What was rotated before the very first start is not ours to read.
    let first = setup.start();
    first.until_said("watches crypto-proxy, backend, jobs");
    let writers = writers::start(&mut journald, &pipe, &file, seed);
    engine.run("backend", &["-v", &mount], "exec busybox cat /pipe");
    let lines = "tocsin_source_lines_total{source=\"jobs\"}";
    until("the first lines", || first.metric(lines).is_some_and(|lines| lines > 0.0));
    first.kill();

    let kills = storm(&setup, &journald, seed);
    let mut model = Model::default();
    writers.into_iter().for_each(|writer| model.add(writer.end()));
    hook.set(Answer::Status(200));
    let daemon = setup.start_live();
    let text = until_counted(&daemon, &model);
    let differences = differences(&text, &model);
    until_told(&daemon);
    let incidents = check_history(&setup, &model);
    let told = told::told(&hook);
    report(kills, &text, &model, &incidents, &told);
    assert!(differences.is_empty(), "{differences:#?}");
    check_told(&incidents, &told);
    assert!(told.repeats > 0, "no attempt was made again though the receiver is flaky");
    check_with_promtool(&text);
    let forbidden = forbidden(&pack::case("s02-auth-40101"));
    let leaks = found(&[setup.written(), hook.bodies()].concat(), &forbidden);
    assert!(leaks.is_empty(), "{leaks:?}");
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}

/// Starts and kills it, some of it before it is ready; counters that were seen
/// never go down. How often it was killed.
fn storm(setup: &Setup, journald: &Journald, seed: u64) -> u64 {
    let (least, span) = (setting("STORM_KILLS", KILLS), setting("STORM_SECONDS", 0));
    let (mut dice, began) = (Dice::new(seed), Instant::now());
    let (mut kills, mut open_blocks, mut seen) = (0, 0, BTreeMap::new());
    while kills < least || began.elapsed() < Duration::from_secs(span) {
        let daemon = setup.start();
        if kills % 5 == 4 {
            // However slow the machine is, it comes forward now and then.
            daemon.until_said("source jobs: read to its end");
        }
        rest(Duration::from_millis(50 + dice.below(750)));
        if let Some((200, text)) = daemon.get("/metrics") {
            check_counters_stand(&mut seen, &text);
            // The moment is not to hang on the answer.
            rest(Duration::from_millis(dice.below(50)));
        }
        daemon.kill();
        kills += 1;
        if kills % 10 == 0 {
            open_blocks += setup.rows("block");
            journald.rotate();
        }
        rest(Duration::from_millis(if dice.below(10) == 0 { dice.below(1_500) } else { dice.below(50) }));
    }
    assert!(open_blocks > 0, "no kill came within a request or a refresh");
    kills
}

fn counters(text: &str) -> impl Iterator<Item = (&str, f64)> {
    let is_counter = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        !name.starts_with("process_") && (name.ends_with("_total") || name.ends_with("_count"))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
        let (name, value) = line.rsplit_once(' ')?;
        is_counter(name).then(|| (name, value.parse().unwrap()))
    })
}

fn check_counters_stand(seen: &mut BTreeMap<String, f64>, text: &str) {
    for (name, value) in counters(text) {
        let before = seen.insert(name.to_owned(), value).unwrap_or(0.0);
        assert!(value >= before, "{name} went from {before} to {value}");
    }
}

/// Waits until all lines were counted; the exposition then.
fn until_counted(daemon: &Daemon, model: &Model) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let text = daemon.metrics();
        let counted = |(source, lines): (&&str, &u64)| {
            let series = format!("tocsin_source_lines_total{{source=\"{source}\"}}");
            value_of(&text, &series).is_some_and(|value| value >= *lines as f64)
        };
        let is_late = Instant::now() > deadline;
        if model.lines.iter().all(counted) || is_late {
            if is_late {
                eprintln!("not all lines were counted: {:?}\n{text}", model.lines);
            }
            return text;
        }
        rest(Duration::from_millis(50));
    }
}

fn until_told(daemon: &Daemon) {
    let deadline = Instant::now() + DEADLINE;
    while daemon.metric("tocsin_outbox_pending{receiver=\"hook\"}") != Some(0.0) {
        assert!(Instant::now() < deadline, "notices still wait: {}", daemon.metrics());
        rest(Duration::from_millis(50));
    }
}

/// Every series of the watched stack, and what the daemon says of its sources
/// and alerts, against what was written.
fn differences(text: &str, model: &Model) -> Vec<String> {
    let mut expected = model.series.clone();
    for (source, lines) in &model.lines {
        expected.insert(format!("tocsin_source_lines_total{{source=\"{source}\"}}"), *lines as f64);
    }
    let is_compared = |name: &str| {
        let own = ["tocsin_source_lines", "tocsin_log_gap", "tocsin_lines_", "tocsin_alert_firing"];
        let is_own = name.starts_with("tocsin_") || name.starts_with("process_");
        let is_time = name.contains("_timestamp_seconds");
        (!is_own && !is_time) || own.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        if is_compared(name) {
            let (value, wanted): (f64, f64) = (value.parse().unwrap(), expected.remove(name).unwrap_or(0.0));
            if (value - wanted).abs() > 1e-9 {
                wrong.push(format!("{name} is {value}, {wanted} was written"));
            }
        }
    }
    wrong.extend(expected.iter().map(|(name, value)| format!("{name} is missing, {value} was written")));
    wrong
}

fn report(kills: u64, text: &str, model: &Model, incidents: &Incidents, told: &Told) {
    let (mut lost, mut repeated, mut counted) = (0.0, 0.0, 0.0);
    for (source, lines) in &model.lines {
        let series = format!("tocsin_source_lines_total{{source=\"{source}\"}}");
        let value = value_of(text, &series).unwrap_or(0.0);
        lost += (*lines as f64 - value).max(0.0);
        repeated += (value - *lines as f64).max(0.0);
        counted += value;
    }
    let sum = |of: &Incidents| of.values().sum::<usize>();
    eprintln!(
        "{kills} kills; lines written {}, counted {counted}, lost {lost}, repeated {repeated}; \
         notifications expected {} (a beginning and an end for each incident), received {} \
         (of {} incidents as they fired, of {} when past, of {} as a number) in {} notices; \
         attempts made again {}",
        model.lines_written(),
        sum(incidents) * 2,
        (sum(&told.whole()) + told.counted) * 2,
        sum(&told.fired),
        sum(&told.past),
        told.counted,
        told.notices,
        told.repeats,
    );
}

/// The history is that of the model, change by change, and holds no other
/// alert; the incidents in it.
fn check_history(setup: &Setup, model: &Model) -> Incidents {
    let mut history: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut incidents = Incidents::new();
    for change in setup.timeline() {
        let (alert, state) = (change["alert"].as_str().unwrap(), change["state"].as_str().unwrap());
        if state == "firing" {
            assert_eq!(change["value"], 3, "{change}");
            told::add(&mut incidents, &change["alert"], &change["at"]);
        }
        history.entry(alert.to_owned()).or_default().push(state.to_owned());
    }
    let expected: BTreeMap<String, Vec<String>> = model
        .changes
        .iter()
        .map(|(alert, states)| ((*alert).to_owned(), states.iter().map(|s| (*s).to_owned()).collect()))
        .collect();
    let counts = |of: &BTreeMap<String, Vec<String>>| -> Vec<_> {
        of.iter().map(|(alert, changes)| (alert.clone(), changes.len())).collect()
    };
    assert_eq!(counts(&history), counts(&expected));
    assert_eq!(history, expected);
    assert_eq!(history.keys().collect::<Vec<_>>(), ALERTS);
    incidents
}

/// Each incident is told once, from beginning to end; those of a long backlog
/// may be told as a number.
fn check_told(incidents: &Incidents, told: &Told) {
    let (whole, mut untold) = (told.whole(), 0);
    for (incident, count) in incidents {
        let times = whole.get(incident).copied().unwrap_or(0);
        assert!(times <= *count, "{incident:?} is told {times} times and began {count} times");
        untold += count - times;
    }
    assert!(whole.keys().all(|incident| incidents.contains_key(incident)), "{whole:?}");
    assert_eq!(untold, told.counted, "every incident is told");
}

fn check_with_promtool(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return journald_skip("promtool is not installed") };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
