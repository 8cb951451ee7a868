//! Memory under floods: the real binary may take what `[limits]` says and not
//! a byte of heap more, the kernel sees to that; what it refuses is counted.
//!
//! `TOCSIN_SOAK` makes the same tests as large as a bad day.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use super::kit::{Daemon, Setup, until_for, value_of};
use super::pack::{Journal, boot, now};

const MIB: u64 = 1 << 20;
/// The least that three sources with short lines can do with.
const MEMORY: u64 = 128;

/// The sources of the pack, and one that is flooded.
fn setup(kind: &str, more: &str) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let quiet = |name: &str| {
        let path = dir.path().join(name).display().to_string();
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{path}\"]\n\
             line_bytes_max = \"64KiB\"\n"
        )
    };
    let text = format!(
        "[limits]\nmemory = \"{MEMORY}MiB\"\n{}{}[[source]]\nname = \"flood\"\nstart = \"beginning\"\n\
         {}\nline_bytes_max = \"64KiB\"\n{more}",
        quiet("crypto-proxy"),
        quiet("backend"),
        kind.replace("DIR", &dir.path().display().to_string()),
    );
    Setup::new(dir, &text)
}

const FILE: &str = "type = \"file\"\npaths = [\"DIR/flood.log\"]";

fn is_soak() -> bool {
    std::env::var_os("TOCSIN_SOAK").is_some()
}

/// Starts it with the limit as the kernel's, and waits until it has read all.
#[track_caller]
fn read_within(setup: &Setup) -> Daemon {
    let begun = Instant::now();
    let daemon = setup.start();
    daemon.hold_to(MEMORY * MIB);
    until_for(1_200, "the flood to be read", || daemon.said().contains("source flood: read to its end"));
    eprintln!("read in {:.1?}, at most {} MiB resident", begun.elapsed(), daemon.peak() / MIB);
    daemon
}

/// Waits until so many lines of the flood are counted.
#[track_caller]
fn until_read(daemon: &Daemon, lines: usize) {
    let series = "tocsin_source_lines_total{source=\"flood\"}";
    until_for(1_200, "the lines", || daemon.metric(series) == Some(lines as f64));
}

/// The sum of all series of a family.
fn sum(text: &str, family: &str) -> f64 {
    let of = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn series(text: &str, family: &str) -> usize {
    text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).count()
}

const ORDERS: &str = r#"
[[event]]
name = "order"
source = "flood"
match = '^order (?P<id>\S+) took (?P<took>\d+)$'
[event.fields]
id = { type = "text" }
took = { type = "int" }

[[metric]]
type = "counter"
name = "orders_total"
help = "By id."
event = "order"
labels = ["id"]

[[metric]]
type = "histogram"
name = "orders_took"
help = "By id, as many as there may be."
event = "order"
field = "took"
labels = ["id"]
label_values_max = 2_000

[[rule]]
name = "OrderTwice"
type = "rate"
event = "order"
count = 2
window = "1h"
by = ["id"]
keys_max = 500
severity = "warning"
summary = "{{id}} came twice"

[[rule]]
name = "ManyOrders"
type = "rate"
event = "order"
count = 1000
window = "1h"
severity = "warning"
summary = "{{count}} orders"
"#;

#[test]
fn a_flood_of_label_values_and_keys_stays_under_the_limit_and_every_line_counts() {
    let lines = if is_soak() { 1_000_000 } else { 30_000 };
    let setup = setup(FILE, ORDERS);
    let text: String = (0..lines).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "order id-{i} took {}", i % 11);
        text
    });
    fs::write(setup.path().join("flood.log"), text).unwrap();
    let daemon = read_within(&setup);
    until_read(&daemon, lines as usize);
    let text = daemon.metrics();
    assert_eq!(sum(&text, "orders_total"), f64::from(lines), "other counts what has no series");
    assert_eq!(series(&text, "orders_total"), 65);
    assert_eq!(value_of(&text, "orders_total{id=\"other\"}"), Some(f64::from(lines - 64)));
    assert_eq!(sum(&text, "orders_took_count"), f64::from(lines));
    let dropped = |metric: &str| {
        value_of(&text, &format!("tocsin_series_dropped_total{{metric=\"{metric}\"}}")).unwrap()
    };
    assert_eq!(dropped("orders_total"), f64::from(lines - 64));
    let kept = series(&text, "orders_took_count") as f64 - 1.0;
    assert_eq!(dropped("orders_took"), f64::from(lines) - kept);
    let keys = value_of(&text, "tocsin_refused_total{what=\"keys\"}").unwrap();
    assert_eq!(keys, f64::from(lines - 500));
    let said = daemon.said();
    for what in ["metric orders_total has as many series", "metric orders_took has as many", "as many keys"] {
        assert_eq!(said.matches(what).count(), 1, "\"{what}\" is said once:\n{said}");
    }
    let page = daemon.get("/").unwrap().1;
    assert!(page.contains("new ones are not watched"), "the status page says it");
    let begun = Instant::now();
    let exposed = daemon.metrics().len();
    eprintln!("{kept} histograms kept; {exposed} bytes exposed in {:.1?}", begun.elapsed());

    // A restart brings all of it back under the same limit.
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    let begun = Instant::now();
    let daemon = read_within(&setup);
    until_read(&daemon, lines as usize);
    eprintln!("read from its state again in {:.1?}", begun.elapsed());
    let again = daemon.metrics();
    assert_eq!(sum(&again, "orders_took_count"), f64::from(lines));
    assert_eq!(series(&again, "orders_took_count") as f64 - 1.0, kept);
    assert!(!daemon.said().contains("as many series"), "nothing new was refused");
}

/// Above every number that the kernel gives a process: the daemon passes over
/// lines of its own.
const NO_PROCESS: usize = 5_000_000;

const CALLS: &str = r#"
[[event]]
name = "call"
kind = "block"
source = "flood"
begin = '^START (?P<id>\S+)$'
duration_max = "1h"
[[event.step]]
match = '^status (?P<status>\d+) .*$'
[[event.step]]
match = '^END$'
effect = "end"
[event.fields]
id = { type = "text" }
status = { type = "int" }

[[metric]]
type = "counter"
name = "calls_total"
help = "Whole ones."
event = "call"
labels = ["status"]
"#;

#[test]
fn a_flood_of_open_blocks_stays_under_the_limit_and_what_is_refused_is_counted() {
    let blocks = if is_soak() { 100_000 } else { 10_000 };
    let setup = setup("type = \"journal\"\nunit = \"flood.service\"\ndirectory = \"DIR/journal\"", CALLS);
    fs::create_dir(setup.path().join("journal")).unwrap();
    // It starts new files beside it as it fills them.
    let Some(mut journal) = Journal::new(setup.path().join("journal/flood.journal")) else { return };
    let (boot, (realtime, monotonic)) = (boot(), now());
    let pad = "x".repeat(150);
    let mut at = 0;
    let mut entry = |process: usize, message: &str| {
        at += 1;
        let (realtime, monotonic) = (realtime - 600_000_000 + at, monotonic - 600_000_000 + at);
        format!(
            "__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID={boot}\n\
             _PID={}\n_SYSTEMD_UNIT=flood.service\nMESSAGE={message}\n\n",
            NO_PROCESS + process
        )
    };
    let mut text = String::new();
    for process in 0..blocks {
        text += &entry(process + 1, &format!("START call-{process}"));
        text += &entry(process + 1, &format!("status 200 {pad}"));
    }
    journal.write_text(&text);
    let daemon = read_within(&setup);
    until_read(&daemon, 2 * blocks);
    let refused = daemon.metric("tocsin_refused_total{what=\"blocks\"}").unwrap();
    eprintln!("{} open, {refused} refused", blocks as f64 - refused);
    assert!(refused > 0.0 && blocks as f64 - refused > 3_000.0, "{refused}");
    assert_eq!(daemon.said().matches("blocks found no room").count(), 1);
    assert_eq!(daemon.metric("tocsin_refused_total{what=\"streams\"}"), Some(0.0), "no open one went");
    // Half of them end before a crash, half after it: those that were opened
    // count, the others do not.
    let text: String = (0..blocks / 2).map(|process| entry(process + 1, "END")).collect();
    journal.write_text(&text);
    until_read(&daemon, 2 * blocks + blocks / 2);
    daemon.kill();
    let text: String = (blocks / 2..blocks).map(|process| entry(process + 1, "END")).collect();
    journal.write_text(&text);
    let daemon = read_within(&setup);
    until_read(&daemon, 3 * blocks);
    let text = daemon.metrics();
    assert_eq!(sum(&text, "calls_total"), blocks as f64 - refused, "what was opened is whole");
    assert_eq!(value_of(&text, "tocsin_refused_total{what=\"blocks\"}"), Some(refused));
}

#[test]
fn a_backlog_is_read_under_the_limit_and_every_line_counts_once() {
    let bytes = if is_soak() { 2_000 * MIB } else { 24 * MIB };
    let setup = setup(FILE, ORDERS);
    let lines = write_backlog(&setup.path().join("flood.log"), bytes);
    let daemon = read_within(&setup);
    until_read(&daemon, lines as usize);
    let text = daemon.metrics();
    assert_eq!(sum(&text, "orders_total"), (lines / 1_000) as f64);
    assert_eq!(value_of(&text, "tocsin_lines_truncated_total{source=\"flood\"}"), Some(0.0));
}

/// Lines of 200 bytes, every thousandth an order of one of ten.
fn write_backlog(path: &Path, bytes: u64) -> u64 {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    let lines = bytes / 200 / 1_000 * 1_000;
    let other = format!("{}\n", "y".repeat(199));
    for i in 0..lines {
        if i % 1_000 == 0 {
            let order = format!("order id-{} took 3", i / 1_000 % 10);
            writeln!(file, "{order}").unwrap();
        } else {
            file.write_all(other.as_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
    lines
}

#[test]
fn a_line_longer_than_the_memory_is_one_cut_line() {
    for format in ["plain", "docker-json"] {
        let setup = setup(&format!("{FILE}\nformat = \"{format}\""), ORDERS);
        let path = setup.path().join("flood.log");
        let file = fs::File::create(&path).unwrap();
        file.set_len(if is_soak() { 1 << 30 } else { 160 << 20 }).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let last = match format {
            "plain" => "\norder id-1 took 3\n".to_owned(),
            _ => "\n{\"log\":\"order id-1 took 3\\n\",\"stream\":\"stdout\",\
                  \"time\":\"2026-03-16T14:00:00Z\"}\n"
                .to_owned(),
        };
        file.write_all(last.as_bytes()).unwrap();
        let daemon = read_within(&setup);
        daemon.until_metric("orders_total{id=\"id-1\"}", 1.0);
        let text = daemon.metrics();
        let lines = value_of(&text, "tocsin_source_lines_total{source=\"flood\"}");
        let cut = value_of(&text, "tocsin_lines_truncated_total{source=\"flood\"}");
        let gaps = value_of(&text, "tocsin_log_gaps_total{source=\"flood\"}");
        eprintln!("{format}: {lines:?} lines, {cut:?} cut, {gaps:?} gaps");
        assert!(cut == Some(1.0) || gaps >= Some(1.0), "{format}: what was cut is said");
    }
}
