//! Clocks that step by hours, machines that sleep, entries out of order: the
//! daemon says what `replay` says of the same logs, ages are never negative,
//! nothing is stale at once and no deadline is lost.

use std::fs;

use serde_json::Value;

use super::cases;
use super::hook::Hook;
use super::kit::{Daemon, Setup, until_or};
use super::pack::{self, Entry, Journal, docker_time, refresh, request};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A journal of both services, written on a clock of its own.
struct Script {
    entries: Vec<Entry>,
    boot: u128,
    /// Microseconds since the boot, and what the wall clock shows beyond that.
    monotonic: i64,
    wall: i64,
}

impl Script {
    fn new(boot: u128, wall: i64) -> Script {
        Script { entries: Vec::new(), boot, monotonic: 0, wall }
    }

    /// Writes lines of a service, a millisecond apart.
    fn write(&mut self, service: &str, lines: &[String]) {
        for line in lines {
            self.monotonic += 1_000;
            let fields = [
                ("__REALTIME_TIMESTAMP", (self.wall + self.monotonic).to_string()),
                ("__MONOTONIC_TIMESTAMP", self.monotonic.to_string()),
                ("_BOOT_ID", format!("{:032x}", self.boot)),
                ("_TRANSPORT", "stdout".to_owned()),
                ("SYSLOG_IDENTIFIER", "python".to_owned()),
                ("_PID", "1859".to_owned()),
                ("_SYSTEMD_UNIT", format!("{service}.service")),
                ("MESSAGE", line.clone()),
            ];
            self.entries.push(Entry(fields.map(|(name, value)| (name.to_owned(), value)).to_vec()));
        }
    }

    fn sync(&mut self) {
        self.write("backend", &refresh());
    }

    fn requests(&mut self, is_good: bool, count: usize) {
        (0..count).for_each(|_| self.write("crypto-proxy", &request(is_good)));
    }

    /// So many seconds pass, on both clocks.
    fn pass(&mut self, seconds: i64) {
        self.monotonic += seconds * SECOND;
    }

    /// The wall clock alone is set.
    fn step(&mut self, by: i64) {
        self.wall += by;
    }

    /// The machine starts again, the wall clock where it was.
    fn reboot(&mut self, boot: u128) {
        self.wall += self.monotonic;
        (self.boot, self.monotonic) = (boot, 5 * SECOND);
    }
}

/// Both sources of the pack in one journal.
fn sources(file: &std::path::Path) -> String {
    let source = |name: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"journal\"\nfiles = [\"{}\"]\nunit = \"{name}.service\"\n\
             start = \"beginning\"\n",
            file.display()
        )
    };
    source("crypto-proxy") + &source("backend")
}

fn alerts(timeline: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |t: &Value| format!("{} {} {}", text(&t["alert"]), text(&t["state"]), text(&t["severity"]));
    timeline.iter().map(line).collect()
}

/// What is told must be possible: no age below zero.
fn check_ages(daemon: &Daemon) {
    let text = daemon.metrics();
    let lags = text.lines().filter(|line| line.starts_with("tocsin_source_lag_seconds{"));
    for line in lags {
        let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(value >= 0.0, "{line}");
    }
    let (status, page) = daemon.get("/").unwrap();
    assert_eq!(status, 200);
    assert!(!page.contains(">-"), "a negative age on the status page");
}

/// Steps of hours, sleep and boots; what happens is on the monotonic clock.
fn jumping(wall: i64) -> Script {
    let mut script = Script::new(7 << 96, wall);
    script.sync();
    script.requests(false, 3);
    script.pass(60);
    script.step(3 * HOUR);
    // Three hours later by the wall clock, a minute by any other: nothing is
    // stale, and the incident is held two minutes from here.
    script.sync();
    script.requests(true, 1);
    script.pass(60);
    script.step(-5 * HOUR);
    script.sync();
    script.requests(true, 1);
    script.pass(90);
    script.requests(true, 1);
    script.sync();
    script.pass(300);
    script.step(-HOUR);
    script.pass(290);
    // Silence of 9 m 50 s, though the wall clock shows less than none.
    script.requests(true, 1);
    script.sync();
    script.pass(2);
    // Asleep for eight hours: CLOCK_MONOTONIC stands still meanwhile.
    script.step(8 * HOUR);
    script.sync();
    script.requests(true, 1);
    script.pass(30);
    // A boot whose clock is behind, then one whose clock was set again.
    script.step(-2 * HOUR);
    script.reboot(8 << 96);
    script.requests(false, 2);
    script.sync();
    script.pass(20);
    script.step(2 * HOUR);
    script.requests(false, 1);
    script.sync();
    script
}

#[test]
fn clocks_that_jump_within_a_boot_and_over_boots_give_what_replay_gives() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut journal) = Journal::new(dir.path().join("all.journal")) else { return };
    // The last line is of a moment ago, as the wall clock showed it.
    let end = jumping(0);
    let script = jumping(pack::now().0 - 3 * SECOND - end.wall - end.monotonic);
    script.entries.iter().for_each(|entry| journal.write(entry));
    journal.until(script.entries.len());
    let export = dir.path().join("all.export");
    fs::write(&export, script.entries.iter().map(Entry::text).collect::<String>()).unwrap();
    let hook = Hook::new();
    let setup = Setup::new(dir, &(sources(&journal.file) + &hook.receiver("hook", "")));
    let daemon = setup.start_live();
    let input = |name: &str| format!("--input={name}={}", export.display());
    let replay =
        setup.run(&["replay", "--format=json", &input("crypto-proxy"), &input("backend"), "--until=+0s"]);
    let text = String::from_utf8(replay.stdout).unwrap();
    let mut replayed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Behind a step back the merge has nothing to order two sources by but
    // their own order; each is on its own clock.
    let (stale, others): (Vec<Value>, Vec<Value>) =
        replayed.drain(..).partition(|line| line["alert"] == "PortfolioSyncStale");
    replayed = others;
    let states = ["firing critical", "resolved critical", "firing critical"];
    assert_eq!(alerts(&replayed), states.map(|state| format!("ExchangeAuthFailing {state}")), "{text}");
    let states = ["firing warning", "resolved warning"];
    assert_eq!(alerts(&stale), states.map(|state| format!("PortfolioSyncStale {state}")), "{text}");
    // Of a silence that is over when they catch up, live sources say nothing.
    until_or(|| format!("{replayed:?}, got {:?}", setup.timeline()), &mut || setup.timeline() == replayed);
    check_ages(&daemon);
    // The same once more, killed and started.
    daemon.kill();
    let daemon = setup.start_live();
    check_ages(&daemon);
    assert_eq!(setup.timeline(), replayed);
}

#[test]
fn a_clock_that_steps_while_it_is_followed_loses_no_deadline_and_makes_nothing_stale() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut journal) = Journal::new(dir.path().join("all.journal")) else { return };
    let hook = Hook::new();
    let text = sources(&journal.file)
        + &hook.receiver("hook", "")
        + "[override.ExchangeAuthFailing]\nkeep_firing_for = \"3s\"\n";
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    let boot = u128::from_str_radix(&pack::boot(), 16).unwrap();
    let mut write = |step: i64, is_good: bool, count: usize| {
        let (wall, monotonic) = pack::now();
        let mut script = Script::new(boot, wall - monotonic + step);
        script.monotonic = monotonic;
        script.sync();
        script.requests(is_good, count);
        script.entries.iter().for_each(|entry| journal.write(entry));
    };
    let incidents = 4;
    for round in 1..=incidents {
        // Back and forward by hours between any two of its lines.
        let step = [5, -5, 30, -1][round % 4] * HOUR;
        write(step, false, 2);
        write(-step, false, 1);
        hook.until_nth("ExchangeAuthFailing firing", round);
        check_ages(&daemon);
        write(step / 2, true, 1);
        // No line comes any more: the end of the hold must come by itself.
        hook.until_nth("ExchangeAuthFailing resolved", round);
        check_ages(&daemon);
    }
    let of = |name: &str| setup.timeline().iter().filter(|t| t["alert"] == name).count();
    assert_eq!(of("ExchangeAuthFailing"), 2 * incidents);
    assert_eq!(of("PortfolioSyncStale") + of("SourceDown") + of("LogGap"), 0, "{:?}", setup.timeline());
}

#[test]
fn entries_out_of_order_between_a_journal_and_a_file_give_what_replay_gives() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut journal) = Journal::new(dir.path().join("proxy.journal")) else { return };
    let mut script = Script::new(7 << 96, pack::now().0 - 3 * HOUR);
    let mut backend = String::new();
    for round in 0..30 {
        script.pass(60);
        script.requests(round % 7 < 4, 1);
        // The file's clock is ahead, behind by an hour, or stands.
        let apart = [0, 90, -3_600, 45, -90][round % 5] * SECOND;
        let at = (script.wall + script.monotonic + apart) * 1_000;
        backend.extend(refresh().iter().map(|line| format!("{} {line}\n", docker_time(at))));
    }
    script.entries.iter().for_each(|entry| journal.write(entry));
    journal.until(script.entries.len());
    let (export, log) = (dir.path().join("proxy.export"), dir.path().join("backend.log"));
    fs::write(&export, script.entries.iter().map(Entry::text).collect::<String>()).unwrap();
    fs::write(&log, backend).unwrap();
    let inputs = [
        format!("--input=crypto-proxy={}", export.display()),
        format!("--input=backend={}", log.display()),
        "--until=+0s".to_owned(),
    ];
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nfiles = [\"{}\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n",
        journal.file.display(),
        log.display()
    );
    let end = script.wall + script.monotonic;
    let hook = Hook::new();
    let setup = Setup::new(dir, &(text + &hook.receiver("hook", "")));
    let daemon = setup.start_live();
    let differences = cases::compare(&setup, &daemon, &inputs, end);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let fired = alerts(&setup.timeline());
    assert!(fired.iter().any(|line| line == "ExchangeAuthFailing firing critical"), "{fired:?}");
    check_ages(&daemon);
}
