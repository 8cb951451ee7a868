//! The incident live: a real journald, the real binary, a real receiver, and
//! how long it takes from the line to the receiver.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::hook::{Hook, Request};
use super::kit::{Daemon, Setup, rest};
use super::pack::request_text;
use crate::support::{Journald, JournaldWriter, journald_start};

const METHOD: &str = "private/user-balance";
const SECRET: &str = "a secret of this test";

fn sources(journald: &Journald, unit: &str, setup_dir: &std::path::Path) -> String {
    format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nunit = \"{unit}\"\ndirectory = \"{}\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n",
        journald.store.display(),
        setup_dir.join("backend.log").display()
    )
}

#[test]
fn three_refusals_in_the_journal_are_told_and_so_is_their_end() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else { return };
    let mut writer = journald.writer("crypto-proxy.service");
    let hook = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let text = sources(&journald, "crypto-proxy.service", dir.path())
        + &hook.receiver("hook", &format!("secret = \"{SECRET}\""))
        + "[override.ExchangeAuthFailing]\nkeep_firing_for = \"2s\"\n";
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    writer.write(request_text(true).as_bytes());
    writer.write(request_text(false).repeat(3).as_bytes());
    let fired = hook.until("ExchangeAuthFailing firing");
    check_firing(&fired, setup.port);
    daemon.until_metric("tocsin_alert_firing{alert=\"ExchangeAuthFailing\",severity=\"critical\"}", 1.0);
    daemon.until_metric("crypto_exchange_auth_failure_streak{method=\"private/user-balance\"}", 3.0);
    writer.write(request_text(true).as_bytes());
    let resolved = hook.until("ExchangeAuthFailing resolved");
    check_resolved(&resolved, &fired);
    daemon.until_metric("tocsin_alert_firing{alert=\"ExchangeAuthFailing\",severity=\"critical\"}", 0.0);
    daemon.until_metric(
        "tocsin_notifications_total{receiver=\"hook\",outcome=\"delivered\"}",
        hook.seen().len() as f64,
    );
    assert_eq!(hook.of("ExchangeAuthFailing").len(), 2, "each is told once");
}

fn check_firing(fired: &Request, port: u16) {
    check_signature(fired);
    assert_eq!(fired.header("content-type"), Some("application/json"));
    let body = fired.json();
    let alert = &body["alerts"][0];
    let mut expected = json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"ExchangeAuthFailing\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": { "alertname": "ExchangeAuthFailing" },
        "commonLabels": { "alertname": "ExchangeAuthFailing", "severity": "critical", "source": "crypto-proxy", "method": METHOD },
        "externalURL": format!("http://127.0.0.1:{port}/"),
        "alerts": [{
            "status": "firing",
            "labels": { "alertname": "ExchangeAuthFailing", "severity": "critical", "source": "crypto-proxy", "method": METHOD },
            "endsAt": "0001-01-01T00:00:00Z",
        }],
    });
    // What is made of the moment is looked at by itself.
    let own = ["annotations", "startsAt", "generatorURL", "fingerprint"];
    own.iter().for_each(|name| expected["alerts"][0][name] = alert[name].clone());
    expected["commonAnnotations"] = alert["annotations"].clone();
    assert_eq!(body, expected);
    let started: jiff::Timestamp = alert["startsAt"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(started);
    assert!(age >= jiff::SignedDuration::ZERO && age < jiff::SignedDuration::from_secs(60), "{age}");
    assert!(is_hex(alert["fingerprint"].as_str().unwrap(), 16), "{alert}");
    let address = alert["generatorURL"].as_str().unwrap();
    assert!(address.starts_with(&format!("http://127.0.0.1:{port}/")), "{address}");
    let annotations = &alert["annotations"];
    assert_eq!(annotations["summary"], format!("Exchange authentication fails for {METHOD}: 3 in a row"));
    for name in ["description", "causes", "evidence"] {
        assert!(annotations[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {annotations}");
    }
    assert!(annotations.to_string().contains("40101"), "the codes that were seen: {annotations}");
}

fn check_resolved(resolved: &Request, fired: &Request) {
    check_signature(resolved);
    let (then, now) = (fired.json(), resolved.json());
    assert_eq!((now["status"].as_str(), now["alerts"].as_array().unwrap().len()), (Some("resolved"), 1));
    let (then, now) = (&then["alerts"][0], &now["alerts"][0]);
    for name in ["fingerprint", "startsAt", "labels", "generatorURL"] {
        assert_eq!(now[name], then[name], "{name}");
    }
    assert_eq!(now["status"], "resolved");
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lasted = time(&now["endsAt"]).duration_since(time(&now["startsAt"]));
    assert!(lasted >= jiff::SignedDuration::from_secs(2), "it is held for two seconds: {lasted}");
    let key = |request: &Request| request.header("idempotency-key").unwrap().to_owned();
    assert!(!key(fired).is_empty() && key(fired) != key(resolved));
}

/// HMAC-SHA-256 over `<t>.<body>`.
fn check_signature(request: &Request) {
    let header = request.header("x-tocsin-signature").unwrap();
    let (time, signature) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let age = jiff::Timestamp::now().as_second() - time.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", request.body).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, expected);
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A daemon over a journald of its own, whose incidents end with the first
/// good answer.
struct Stage {
    // Before the journald, so that it ends first.
    _daemon: Daemon,
    writer: JournaldWriter,
    hook: Hook,
    _setup: Setup,
    journald: Journald,
    unit: String,
}

fn stage(name: &str) -> Option<Stage> {
    let mut journald = journald_start("RateLimitIntervalSec=0")?;
    let unit = format!("tocsin-test-{name}-{}.service", std::process::id());
    let writer = journald.writer(&unit);
    let hook = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let text = sources(&journald, &unit, dir.path())
        + &hook.receiver("hook", "")
        + "[override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n";
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    Some(Stage { _daemon: daemon, writer, hook, _setup: setup, journald, unit })
}

impl Stage {
    /// From the third refusal being written to the webhook being there, `pause`
    /// after the second; then the incident is ended.
    fn incident(&mut self, round: usize, pause: Duration) -> Duration {
        self.writer.write(request_text(false).repeat(2).as_bytes());
        rest(pause);
        let third = request_text(false);
        let written = Instant::now();
        self.writer.write(third.as_bytes());
        let fired = self.hook.until_nth("ExchangeAuthFailing firing", round + 1);
        self.writer.write(request_text(true).as_bytes());
        self.hook.until_nth("ExchangeAuthFailing resolved", round + 1);
        fired.at - written
    }
}

/// Median, 99 % and most.
fn figures(mut taken: Vec<Duration>) -> (Duration, Duration, Duration) {
    taken.sort();
    (taken[taken.len() / 2], taken[(taken.len() * 99).div_ceil(100) - 1], taken[taken.len() - 1])
}

#[test]
fn from_an_idle_journal_a_third_refusal_is_told_within_a_second() {
    let each = |part: usize| {
        let mut stage = stage(&format!("rest{part}"))?;
        // No two lines meet the reader at the same point of its wait.
        let pause = |round: usize| Duration::from_millis(2_100 + 37 * (3 * round + part) as u64 % 500);
        Some((0..10).map(|round| stage.incident(round, pause(round))).collect::<Vec<Duration>>())
    };
    let taken: Vec<Option<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|part| scope.spawn(move || each(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let Some(taken) = taken.into_iter().collect::<Option<Vec<_>>>() else { return };
    let figures = figures(taken.concat());
    eprintln!("third refusal to webhook from idle, 30 incidents (median, 99 %, most): {figures:?}");
    assert!(figures.0 < Duration::from_secs(1), "{figures:?}");
}

#[test]
fn while_lines_flow_a_third_refusal_is_told_within_a_tenth_of_a_second() {
    let Some(mut stage) = stage("flow") else { return };
    let unit = stage.unit.clone();
    let mut other = stage.journald.writer(&unit);
    let stop = AtomicBool::new(false);
    let (taken, rate) = std::thread::scope(|scope| {
        let flow = scope.spawn(|| {
            let (begun, mut lines) = (Instant::now(), 0);
            let noise = "INFO:     192.0.2.1:44425 - \"GET /health HTTP/1.1\" 200 OK\n".repeat(10);
            while !stop.load(Ordering::Relaxed) {
                other.write(noise.as_bytes());
                lines += 10;
                let due = begun + Duration::from_millis(lines);
                rest(due.saturating_duration_since(Instant::now()));
            }
            lines as f64 / begun.elapsed().as_secs_f64()
        });
        let taken = (0..40)
            .map(|round| stage.incident(round, Duration::from_millis(50 + 7 * round as u64)))
            .collect();
        stop.store(true, Ordering::Relaxed);
        (taken, flow.join().unwrap())
    });
    let figures = figures(taken);
    eprintln!(
        "third refusal to webhook at {rate:.0} lines/s, 40 incidents (median, 99 %, most): {figures:?}"
    );
    assert!(figures.0 < Duration::from_millis(100), "{figures:?}");
}
