//! Hours of downtime in the logs of two sources, and a kill while they are read.

use std::fs;

use serde_json::Value;
use tocsin::model::Time;

use super::hook::{Hook, Request};
use super::kit::{Setup, until};
use super::pack::{docker_time, now, request};
use super::trouble::{SHORT, terminate};

/// A container's log as Docker writes it, with times of its own.
struct Log(String);

impl Log {
    /// At so many seconds before the log's end.
    fn line(&mut self, end: Time, before: i64, text: &str) {
        let time = docker_time(end.0 - before * 1_000_000_000);
        let text = serde_json::to_string(&format!("{text}\n")).unwrap();
        self.0 += &format!("{{\"log\":{text},\"stream\":\"stdout\",\"time\":\"{time}\"}}\n");
    }

    fn noise(&mut self, end: Time, before: i64, lines: usize) {
        for _ in 0..lines {
            self.line(end, before, "INFO:     192.0.2.1:44425 - \"GET /health HTTP/1.1\" 200 OK");
        }
    }

    fn request(&mut self, end: Time, before: i64, is_good: bool) {
        request(is_good).iter().for_each(|line| self.line(end, before, line));
    }
}

/// Four hours: two incidents of the one source that are over and one that
/// burns; one incident of the other that is over, with a rule of its own.
fn write_logs(setup: &Setup) {
    let end = Time(now().0 * 1_000);
    let (mut proxy, mut backend) = (Log(String::new()), Log(String::new()));
    for before in [14_000, 9_000] {
        (0..3).for_each(|_| proxy.request(end, before, false));
        proxy.noise(end, before - 100, 15_000);
        proxy.request(end, before - 200, true);
    }
    (0..3).for_each(|_| proxy.request(end, 60, false));
    for before in [7_000, 6_990, 6_980] {
        backend.line(end, before, "INFO app.services.portfolio_cache: Starting portfolio cache update");
        backend.line(
            end,
            before,
            "ERROR app.services.portfolio_cache: Error updating portfolio cache: refused",
        );
    }
    backend.noise(end, 6_900, 30_000);
    for before in [6_800, 6_000, 30] {
        let cache = "INFO app.services.portfolio_cache:";
        backend.line(end, before, &format!("{cache} Starting portfolio cache update"));
        let done = "Portfolio cache updated successfully. Total USD: $12.00";
        backend.line(end, before, &format!("{cache} {done}"));
    }
    fs::write(setup.path().join("proxy.log"), proxy.0).unwrap();
    fs::write(setup.path().join("backend.log"), backend.0).unwrap();
}

/// By what a receiver knows repeats.
fn once(mut requests: Vec<Request>) -> Vec<Value> {
    let mut keys = std::collections::BTreeSet::new();
    requests.retain(|r| keys.insert(r.header("idempotency-key").unwrap().to_owned()));
    requests.iter().map(Request::json).collect()
}

#[test]
fn a_catch_up_of_two_sources_that_is_killed_again_and_again_tells_all_that_is_over_in_one_notice() {
    let hook = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let source = |name: &str, file: &str| {
        let path = dir.path().join(file);
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\nformat = \"docker-json\"\nstart = \"beginning\"\n\
             paths = [\"{}\"]\n",
            path.display()
        )
    };
    let sources = source("crypto-proxy", "proxy.log") + &source("backend", "backend.log");
    let setup = Setup::new(dir, &(sources + &hook.receiver("hook", "") + SHORT));
    write_logs(&setup);

    for _ in 0..3 {
        let daemon = setup.start();
        daemon.until_said("source backend: catching up");
        let answer = daemon.get("/-/ready");
        let is_through = daemon.said().contains("source backend: read to its end");
        assert!(answer.is_some_and(|(status, _)| status == 503) || is_through, "ready while it catches up");
        daemon.kill();
    }
    let early: Vec<String> = hook.seen().iter().map(Request::what).collect();
    assert!(early.iter().all(|what| what == "ExchangeAuthFailing firing"), "{early:?} before all is read");

    let daemon = setup.start_live();
    daemon.until_metric("tocsin_source_lag_seconds{source=\"backend\"}", 0.0);
    daemon.until_metric("tocsin_source_caught_up_ratio{source=\"backend\"}", 1.0);
    assert_eq!(daemon.get("/-/ready").unwrap().0, 200);
    hook.until("ExchangeAuthFailing firing");
    until("the notice of the past", || hook.seen().iter().any(|r| r.header("x-tocsin-notice").is_some()));
    let told = once(hook.seen());
    let (past, firing): (Vec<&Value>, Vec<&Value>) = told.iter().partition(|n| n["status"] == "resolved");
    assert_eq!((past.len(), firing.len()), (1, 1), "{told:#?}");
    let alerts = past[0]["alerts"].as_array().unwrap();
    let names: Vec<&str> = alerts.iter().map(|a| a["labels"]["alertname"].as_str().unwrap()).collect();
    assert_eq!(names, ["ExchangeAuthFailing", "ExchangeAuthFailing", "PortfolioSyncFailing"]);
    assert!(alerts.iter().all(|a| a["annotations"]["notice"] == "past"), "{alerts:#?}");
    assert_eq!(firing[0]["alerts"].as_array().unwrap().len(), 1);
    let changes = |name: &str| setup.timeline().iter().filter(|t| t["alert"] == name).count();
    assert_eq!(
        (changes("ExchangeAuthFailing"), changes("PortfolioSyncFailing")),
        (5, 2),
        "the history has all"
    );
    assert_eq!(changes("PortfolioSyncStale"), 0, "no verdict on the silence of a source that was behind");
    assert_eq!(terminate(daemon).code(), Some(0));
}
