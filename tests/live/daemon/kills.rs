//! Twenty SIGKILLs, wherever they hit, some with a backlog to catch up with:
//! nothing is lost, nothing is counted twice, and what is told twice says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use super::hook::{Answer, Hook};
use super::kit::{Daemon, Setup, rest, until_or, value_of};
use super::pack::{self, Entry, Journal, docker_time, entries, forbidden, found, refresh, request};

const KILLS: usize = 20;
/// Refused requests, then good ones: an incident that begins and ends.
const INCIDENT: [bool; 5] = [false, false, false, true, true];

/// What was written, kept apart from what the daemon says.
#[derive(Debug, Default)]
struct Count {
    proxy_lines: usize,
    good: usize,
    bad: usize,
    backend_lines: usize,
    syncs: usize,
}

/// Numbers that are the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Writes both logs piece by piece, so that a kill hits inside a request, a
/// refresh or a line.
struct Writers {
    journal: Journal,
    pattern: Entry,
    boot: String,
    proxy: std::vec::IntoIter<String>,
    requests: usize,
    file: File,
    backend: std::vec::IntoIter<u8>,
    dice: Dice,
    count: Count,
}

impl Writers {
    fn new(dir: &std::path::Path) -> Option<Writers> {
        let journal = Journal::new(dir.join("proxy.journal"))?;
        let all = entries(&pack::case("s02-auth-40101").join("crypto-proxy.export"));
        let file = OpenOptions::new().create(true).append(true).open(dir.join("backend.log")).unwrap();
        Some(Writers {
            journal,
            pattern: all[0].clone(),
            boot: pack::boot(),
            proxy: Vec::new().into_iter(),
            requests: 0,
            file,
            backend: Vec::new().into_iter(),
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            count: Count::default(),
        })
    }

    /// One line of the proxy and a few bytes of the backend. True at the end
    /// of an incident.
    fn step(&mut self) -> bool {
        let line = match self.proxy.next() {
            Some(line) => line,
            None => {
                let is_good = INCIDENT[self.requests % INCIDENT.len()];
                self.requests += 1;
                *(if is_good { &mut self.count.good } else { &mut self.count.bad }) += 1;
                self.proxy = request(is_good).into_iter();
                self.proxy.next().unwrap()
            }
        };
        let mut entry = self.pattern.clone().at(pack::now(), Some(&self.boot));
        entry.0.retain(|field| field.0 != "MESSAGE");
        entry.0.push(("MESSAGE".to_owned(), line));
        self.journal.write(&entry);
        self.count.proxy_lines += 1;
        let length = 1 + self.dice.below(150) as usize;
        self.backend_bytes(length);
        self.proxy.len() == 0 && self.requests.is_multiple_of(INCIDENT.len())
    }

    fn backend_bytes(&mut self, length: usize) {
        if self.backend.len() == 0 {
            let lines = refresh();
            self.count.backend_lines += lines.len();
            self.count.syncs += 1;
            let now = pack::now().0 * 1_000;
            let text: String = lines.iter().map(|line| format!("{} {line}\n", docker_time(now))).collect();
            self.backend = text.into_bytes().into_iter();
        }
        let piece: Vec<u8> = self.backend.by_ref().take(length).collect();
        self.file.write_all(&piece).unwrap();
    }

    /// Ends the incident and the refresh that are under way.
    fn finish(&mut self) {
        while !self.step() {}
        let rest = self.backend.len();
        self.backend_bytes(rest);
    }
}

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut writers) = Writers::new(dir.path()) else { return };
    let hook = Hook::new();
    hook.set(Answer::Slow(Duration::from_millis(30)));
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nfiles = [\"{}\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n{}\
         [override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n",
        writers.journal.file.display(),
        dir.path().join("backend.log").display(),
        hook.receiver("hook", "")
    );
    let setup = Setup::new(dir, &text);
    let forbidden = forbidden(&pack::case("s02-auth-40101"));
    let (mut dice, mut open_blocks) = (Dice(20), 0);
    for kill in 0..KILLS {
        let daemon = setup.start();
        // Some are killed while they start or catch up, most while they follow.
        if kill % 4 != 3 {
            daemon.until_live();
        }
        for _ in 0..20 + dice.below(300) {
            writers.step();
            rest(Duration::from_micros(dice.below(1_500)));
        }
        if kill % 4 == 0 {
            // The receiver has it, the daemon does not know yet.
            let before = hook.seen().len();
            while hook.seen().len() == before {
                writers.step();
                rest(Duration::from_millis(1));
            }
        }
        daemon.kill();
        let leaks = found(&setup.written(), &forbidden);
        assert!(leaks.is_empty(), "{leaks:?}");
        open_blocks += setup.rows("block");
        // What is written while nobody reads is caught up with.
        for _ in 0..dice.below(2) * dice.below(1_500) {
            writers.step();
        }
    }
    assert!(open_blocks > 0, "no kill came within a request or a refresh");
    writers.finish();
    hook.set(Answer::Status(200));
    let daemon = setup.start_live();
    let count = &writers.count;
    let incidents = writers.requests / INCIDENT.len();
    check_counters(&daemon, count);
    check_notifications(&setup, &daemon, &hook, incidents);
    let leaks = found(&hook.bodies(), &forbidden);
    assert!(leaks.is_empty(), "{leaks:?}");
}

fn check_counters(daemon: &Daemon, count: &Count) {
    let method = "method=\"private/user-balance\"";
    let expected = [
        ("tocsin_source_lines_total{source=\"crypto-proxy\"}".to_owned(), count.proxy_lines),
        ("tocsin_source_lines_total{source=\"backend\"}".to_owned(), count.backend_lines),
        (
            format!("crypto_exchange_requests_total{{{method},outcome=\"auth_failed\",code=\"40101\"}}"),
            count.bad,
        ),
        (format!("crypto_exchange_requests_total{{{method},outcome=\"ok\",code=\"0\"}}"), count.good),
        ("crypto_exchange_http_responses_total{status=\"200\"}".to_owned(), count.good),
        ("crypto_exchange_http_responses_total{status=\"401\"}".to_owned(), count.bad),
        ("portfolio_syncs_total{outcome=\"ok\"}".to_owned(), count.syncs),
        ("tocsin_log_gaps_total{source=\"crypto-proxy\"}".to_owned(), 0),
        ("tocsin_log_gaps_total{source=\"backend\"}".to_owned(), 0),
    ];
    let mut given = Vec::new();
    let all_read = |text: &str| {
        let is_read =
            |(name, expected): &(String, usize)| value_of(text, name).is_some_and(|v| v >= *expected as f64);
        expected[..2].iter().all(is_read)
    };
    until_or(|| format!("all lines of {count:?}"), &mut || {
        let text = daemon.metrics();
        given = expected.iter().map(|(name, _)| value_of(&text, name)).collect();
        all_read(&text)
    });
    let difference = |given: Option<f64>, expected: usize| given.unwrap_or(0.0) as i64 - expected as i64;
    let differences: Vec<i64> =
        given.iter().zip(&expected).map(|(given, e)| difference(*given, e.1)).collect();
    eprintln!(
        "{KILLS} kills; lines written {}, counted {}; requests written {}, counted {}; lost {}, repeated {}",
        count.proxy_lines + count.backend_lines,
        given[..2].iter().flatten().sum::<f64>(),
        count.good + count.bad,
        given[2..4].iter().flatten().sum::<f64>(),
        -differences.iter().filter(|d| **d < 0).sum::<i64>(),
        differences.iter().filter(|d| **d > 0).sum::<i64>(),
    );
    let wrong: Vec<_> =
        expected.iter().zip(&given).zip(&differences).filter(|(_, difference)| **difference != 0).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every incident was told of, in order, and only an attempt that was made
/// again came twice.
fn check_notifications(setup: &Setup, daemon: &Daemon, hook: &Hook, incidents: usize) {
    daemon.until_metric("tocsin_outbox_pending{receiver=\"hook\"}", 0.0);
    let timeline = setup.timeline();
    let changes = |state: &str| {
        timeline.iter().filter(|t| t["alert"] == "ExchangeAuthFailing" && t["state"] == state).count()
    };
    assert_eq!((changes("firing"), changes("resolved")), (incidents, incidents));
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    let (mut fired, mut ended, mut past) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut repeated = 0;
    for request in hook.of("ExchangeAuthFailing") {
        let key = request.header("idempotency-key").unwrap().to_owned();
        if let Some(before) = bodies.insert(key, request.body.clone()) {
            assert_eq!(before, request.body, "an attempt made again says the same");
            repeated += 1;
            continue;
        }
        for alert in request.json()["alerts"].as_array().unwrap() {
            let incident = alert["startsAt"].as_str().unwrap().to_owned();
            let is_new = match alert["status"].as_str().unwrap() {
                "firing" => fired.insert(incident.clone()),
                _ if alert["annotations"]["notice"].is_string() => past.insert(incident.clone()),
                _ => fired.contains(&incident) && ended.insert(incident.clone()),
            };
            assert!(is_new, "{incident} is told once, its end after its beginning: {}", alert["status"]);
        }
    }
    eprintln!(
        "{incidents} incidents: {} told as they fired, {} told when past, {repeated} attempts made again",
        fired.len(),
        past.len()
    );
    assert_eq!(fired, ended, "who was told of a firing is told of its end");
    assert!(fired.is_disjoint(&past));
    assert_eq!(fired.len() + past.len(), incidents);
    assert!(repeated > 0, "no kill came between an attempt and its answer");
}
