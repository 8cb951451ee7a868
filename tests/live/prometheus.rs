//! A real Prometheus scrapes a real run, by the configuration that is shipped.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::daemon::hook::Hook;
use crate::daemon::kit::{Setup, free_port, get, root, until_or};
use crate::daemon::pack::request_text;
use crate::support::journald_skip;

const STREAK: &str = "crypto_exchange_auth_failure_streak";
const FIRING: &str = "tocsin_alert_firing{alert=\"ExchangeAuthFailing\"}";

/// A Prometheus with a data folder of its own; ended when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// `None`, and why, where it is not installed.
    fn start(dir: &Path, target: SocketAddr) -> Option<Prometheus> {
        let shipped = fs::read_to_string(root().join("config/prometheus/prometheus.yml")).unwrap();
        let rules = root().join("alerts/prometheus");
        let text = shipped
            .replace("127.0.0.1:9650", &target.to_string())
            .replace("../../alerts/prometheus/*.rules.yml", &format!("{}/*.rules.yml", rules.display()))
            .replace("15s", "1s");
        assert!(text.contains(&target.to_string()) && text.contains("_interval: 1s"), "{text}");
        fs::write(dir.join("prometheus.yml"), text).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let said = fs::File::create(dir.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                journald_skip(&format!("prometheus: {error}"));
                return None;
            }
        };
        let prometheus = Prometheus { child, address };
        let ready = || matches!(get(address, "/-/ready"), Some((200, _)));
        until_or(|| fs::read_to_string(dir.join("prometheus.log")).unwrap(), &mut { ready });
        Some(prometheus)
    }

    /// What a query answers now.
    fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, body) = get(self.address, &format!("/api/v1/query?query={encoded}")).unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Waits until the query answers with this one series and value.
    #[track_caller]
    fn until(&self, query: &str, labels: &[(&str, &str)], value: &str) {
        let mut given = Vec::new();
        let said = |given: &[Value]| format!("{query} to be {value} with {labels:?}: {given:?}");
        let shown = std::cell::RefCell::new(String::new());
        until_or(|| shown.borrow().clone(), &mut || {
            given = self.query(query);
            *shown.borrow_mut() = said(&given);
            let [one] = given.as_slice() else { return false };
            labels.iter().all(|(name, label)| one["metric"][name] == *label) && one["value"][1] == value
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn setup() -> (Setup, Hook) {
    let dir = tempfile::tempdir().unwrap();
    let source = |name: &str| {
        let path = dir.path().join(name).with_extension("log");
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n",
            path.display()
        )
    };
    let hook = Hook::new();
    let text = source("crypto-proxy")
        + &source("backend")
        + &hook.receiver("hook", "")
        + "[override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n";
    (Setup::new(dir, &text), hook)
}

fn append(setup: &Setup, text: &str) {
    let path = setup.path().join("crypto-proxy.log");
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn prometheus_scrapes_the_streak_and_the_alert_as_they_begin_and_end() {
    let (setup, hook) = setup();
    let daemon = setup.start_live();
    let Some(prometheus) = Prometheus::start(setup.path(), daemon.address()) else { return };
    let alert = [("alert", "ExchangeAuthFailing"), ("severity", "critical"), ("job", "tocsin")];
    let method = [("method", "private/user-balance"), ("job", "tocsin")];
    prometheus.until("up{job=\"tocsin\"}", &[], "1");
    prometheus.until(FIRING, &alert, "0");
    append(&setup, &request_text(false).repeat(3));
    prometheus.until(STREAK, &method, "3");
    prometheus.until(FIRING, &alert, "1");
    append(&setup, &request_text(true));
    prometheus.until(STREAK, &method, "0");
    prometheus.until(FIRING, &alert, "0");
    hook.until("ExchangeAuthFailing resolved");
    let refused = "sum(crypto_exchange_requests_total{outcome=\"auth_failed\"})";
    prometheus.until(refused, &[], "3");
    let broken = prometheus.query(
        "scrape_samples_scraped{job=\"tocsin\"} == 0 or prometheus_rule_evaluation_failures_total > 0",
    );
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let (setup, _hook) = setup();
    let daemon = setup.start_live();
    append(&setup, &(request_text(false).repeat(3) + &request_text(true)));
    daemon.until_metric("crypto_exchange_http_responses_total{status=\"200\"}", 1.0);
    let metrics = daemon.metrics();
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return journald_skip(&format!("promtool: {error}")),
    };
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{metrics}");
    assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
}
