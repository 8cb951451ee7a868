//! Every case through the real doors into the daemon gives what `replay` gives,
//! and nothing of what must stay inside gets out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use serde_json::Value;

use super::hook::Hook;
use super::kit::{Daemon, Setup, root, until};
use super::pack::{self, Entry, Journal, contains, docker_time, forbidden, found};

/// A case's last line comes so long before now: more than the two seconds by
/// which a live source's clock is behind.
const ENDS_BEFORE_NOW: i64 = 3_000_000;
/// Cases that are fed at the same time.
const WORKERS: usize = 4;

/// A case moved to the present.
struct Shifted {
    entries: Vec<Entry>,
    backend: Option<String>,
    /// Microseconds since the epoch.
    end: i64,
}

#[test]
fn each_case_through_the_real_doors_gives_the_timeline_and_metrics_of_replay() {
    let cases = fs::read_dir(root().join("tests/cases")).unwrap();
    let mut names: Vec<PathBuf> = cases.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    names.sort();
    assert_eq!(names.len(), 20);
    let queue = Mutex::new(names.into_iter().enumerate());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((index, path)) = queue.lock().unwrap().next() else { return };
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    for difference in differences(&path, index % 2 == 0) {
                        failures.lock().unwrap().push(format!("{name}: {difference}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Feeds one case, in this boot or in another, and says what differs.
fn differences(case: &Path, in_this_boot: bool) -> Vec<String> {
    let shifted = shift(case, in_this_boot);
    let dir = tempfile::tempdir().unwrap();
    let mut inputs = Vec::new();
    let mut sources = String::new();
    let mut journal = None;
    if shifted.entries.is_empty() {
        sources += &format!(
            "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\n",
            dir.path().join("none").display()
        );
    } else {
        let Some(mut remote) = Journal::new(dir.path().join("proxy.journal")) else { return Vec::new() };
        shifted.entries.iter().for_each(|entry| remote.write(entry));
        remote.until(shifted.entries.len());
        let export: String = shifted.entries.iter().map(Entry::text).collect();
        fs::write(dir.path().join("proxy.export"), export).unwrap();
        inputs.push(format!("--input=crypto-proxy={}", dir.path().join("proxy.export").display()));
        sources += &format!(
            "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nunit = \"crypto-proxy.service\"\nfiles = [\"{}\"]\nstart = \"beginning\"\n",
            remote.file.display()
        );
        journal = Some(remote);
    }
    let backend = dir.path().join("backend.log");
    if let Some(text) = &shifted.backend {
        fs::write(&backend, text).unwrap();
        inputs.push(format!("--input=backend={}", backend.display()));
    }
    sources += &format!(
        "[[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n",
        backend.display()
    );
    let hook = Hook::new();
    let setup = Setup::new(dir, &(sources + &hook.receiver("hook", "")));
    let daemon = setup.start_live();
    let mut found = compare(&setup, &daemon, &inputs, shifted.end);
    found.extend(leaks(case, &setup, &daemon, &hook));
    drop(journal);
    found
}

/// What the daemon says differently than `replay` of the same input.
pub(super) fn compare(setup: &Setup, daemon: &Daemon, inputs: &[String], end: i64) -> Vec<String> {
    let mut arguments = vec!["replay", "--format=json", "--metrics=-"];
    arguments.extend(inputs.iter().map(String::as_str));
    let replay = setup.run(&arguments);
    assert!(replay.status.success(), "{replay:?}");
    let text = String::from_utf8(replay.stdout).unwrap();
    let (lines, metrics): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('{'));
    let expected: Vec<Value> = lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = in_order(expected, i64::MAX);
    let mut timeline = Vec::new();
    let mut lines_read = 0.0;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while timeline != expected && std::time::Instant::now() < deadline {
        timeline = in_order(setup.timeline(), end);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut found = Vec::new();
    if timeline != expected {
        found.push(format!(
            "the timeline differs:\n  run:    {}\n  replay: {}",
            shown(&timeline),
            shown(&expected)
        ));
    }
    let expected = series(&metrics.join("\n"));
    let total = |all: &BTreeMap<String, String>| -> f64 {
        all.iter()
            .filter(|s| s.0.starts_with("tocsin_source_lines_total"))
            .map(|s| s.1.parse::<f64>().unwrap())
            .sum()
    };
    let all = total(&expected);
    assert!(all > 0.0);
    let mut given = BTreeMap::new();
    until("all lines", || {
        given = series(&daemon.metrics());
        lines_read = total(&given);
        lines_read >= all
    });
    let is_over = timeline.len() == in_order(setup.timeline(), i64::MAX).len();
    for (name, value) in &expected {
        if name.starts_with("tocsin_alert_firing") && !is_over {
            continue;
        }
        if given.get(name) != Some(value) {
            found.push(format!("{name} is {:?}, in the replay {value}", given.get(name)));
        }
    }
    found
}

fn shown(timeline: &[Value]) -> String {
    timeline.iter().map(|line| format!("\n    {line}")).collect()
}

/// Up to `end`, by time; what comes at one time may come in any order.
fn in_order(mut timeline: Vec<Value>, end: i64) -> Vec<Value> {
    let at = |line: &Value| line["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    timeline.retain(|line| at(line).as_microsecond() <= end);
    timeline.sort_by_key(|line| (at(line), line.to_string()));
    timeline
}

/// Every series but those of the process and of what only a daemon has.
fn series(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs
        .filter(|(name, _)| {
            !name.starts_with("process_") && !name.contains("source_up") && !name.contains("_lag_")
        })
        .collect()
}

/// Strings that must not leave the process, and where they were found.
fn leaks(case: &Path, setup: &Setup, daemon: &Daemon, hook: &Hook) -> Vec<String> {
    daemon.until_metric("tocsin_outbox_pending{receiver=\"hook\"}", 0.0);
    let mut places = setup.written();
    assert!(places.iter().any(|place| place.0 == "state.db-wal"), "the log of the state is looked at too");
    let is_written = |name: &str| places.iter().any(|p| p.0.starts_with("state.db") && contains(&p.1, name));
    assert!(is_written("crypto-proxy") || is_written("backend"), "what is looked at is the state");
    for path in ["/metrics", "/", "/api/v1/status"] {
        let (status, body) = daemon.get(path).unwrap();
        assert_eq!(status, 200, "{path}");
        places.push((path.to_owned(), body.into_bytes()));
    }
    places.extend(hook.bodies());
    found(&places, &forbidden(case))
}

/// Reads a case and moves it so that it ends a moment ago.
fn shift(case: &Path, in_this_boot: bool) -> Shifted {
    let export = case.join("crypto-proxy.export");
    let entries = if export.exists() { pack::entries(&export) } else { Vec::new() };
    let docker = fs::read_to_string(case.join("backend.docker")).ok();
    let plain = fs::read_to_string(case.join("backend.txt")).ok();
    let stamp = |line: &str| line.split(' ').next().unwrap().parse::<Timestamp>().unwrap();
    let last_docker =
        docker.iter().flat_map(|text| text.lines()).map(|line| stamp(line).as_microsecond()).max();
    let last_plain = plain.iter().flat_map(|text| plain_times(text)).max();
    let last = entries.iter().map(Entry::realtime).chain(last_docker).chain(last_plain).max().unwrap();
    let (wall, monotonic) = pack::now();
    // Whole seconds, for what writes no more than those.
    let by = (wall - ENDS_BEFORE_NOW - last).div_euclid(1_000_000) * 1_000_000;
    let first = entries.iter().map(Entry::realtime).min().unwrap_or(last);
    let boot = (in_this_boot && first + by > wall - monotonic).then(pack::boot);
    let moved = |entry: Entry| {
        let at = entry.realtime() + by;
        entry.at((at, monotonic - (wall - at)), boot.as_deref())
    };
    let docker = docker.map(|text| {
        let line = |line: &str| {
            let (_, rest) = line.split_once(' ').unwrap_or((line, ""));
            format!("{} {rest}\n", docker_time(stamp(line).as_nanosecond() as i64 + by * 1_000))
        };
        text.lines().map(line).collect()
    });
    let plain = plain.map(|text| {
        let text = Regex::new("(?m)^[a-z-]+-1  \\| ").unwrap().replace_all(&text, "").into_owned();
        let later = |found: &Captures<'_>| {
            let at: jiff::civil::DateTime = found[0].parse().unwrap();
            (at + SignedDuration::from_micros(by)).strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        plain_time().replace_all(&text, later).into_owned()
    });
    Shifted { entries: entries.into_iter().map(moved).collect(), backend: docker.or(plain), end: last + by }
}

fn plain_time() -> Regex {
    Regex::new(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d").unwrap()
}

fn plain_times(text: &str) -> Vec<i64> {
    let time = plain_time();
    let micros = |text: &str| {
        let at: jiff::civil::DateTime = text.parse().unwrap();
        jiff::tz::TimeZone::UTC.to_timestamp(at).unwrap().as_microsecond()
    };
    time.find_iter(text).map(|found| micros(found.as_str())).collect()
}
