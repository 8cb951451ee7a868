//! What is shipped beside the binary speaks of metrics that exist: dashboard and
//! Prometheus rules against the definitions of the default pack.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::scan::{regex, root};

/// Metrics the daemon makes itself; the others stand in `config/events/`.
const OWN: &[&str] = &[
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "tocsin_alert_firing",
    "tocsin_build_info",
    "tocsin_config_last_reload_successful",
    "tocsin_event_near_misses_total",
    "tocsin_lines_invalid_utf8_total",
    "tocsin_lines_truncated_total",
    "tocsin_log_gap_lines_total",
    "tocsin_log_gaps_total",
    "tocsin_notifications_total",
    "tocsin_outbox_pending",
    "tocsin_series_dropped_total",
    "tocsin_source_lag_seconds",
    "tocsin_picture_timestamp_seconds",
    "tocsin_last_commit_timestamp_seconds",
    "tocsin_heartbeat_last_success_timestamp_seconds",
    "tocsin_outbox_oldest_timestamp_seconds",
    "tocsin_source_lines_total",
    "tocsin_source_up",
    "tocsin_state_durable",
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every metric the shipped configuration can give.
fn known() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = OWN.iter().map(|name| (*name).to_owned()).collect();
    for entry in fs::read_dir(root().join("config/events")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let value: toml::Value = toml::from_str(&text).unwrap();
        for metric in value["metric"].as_array().unwrap() {
            let name = metric["name"].as_str().unwrap();
            names.insert(name.to_owned());
            if metric["type"].as_str() == Some("histogram") {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
        }
    }
    names
}

/// Names in an expression that look like metrics of ours.
fn named(expression: &str) -> Vec<String> {
    let name = regex(r"\b(?:tocsin|crypto|portfolio|backend|process)_[a-z0-9_]+\b");
    name.find_iter(expression).map(|hit| hit.as_str().to_owned()).collect()
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let board: Value = serde_json::from_str(&read("config/grafana/tocsin.json")).unwrap();
    let known = known();
    let mut shown = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        assert_eq!(panel["datasource"]["uid"].as_str().unwrap_or("${datasource}"), "${datasource}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let found = named(target["expr"].as_str().unwrap());
            assert!(!found.is_empty(), "{}: asks for nothing of ours", panel["title"]);
            for name in found {
                assert!(known.contains(&name), "{}: no metric {name}", panel["title"]);
                shown.insert(name);
            }
        }
    }
    let hidden: Vec<&String> = known
        .iter()
        .filter(|name| !name.starts_with("tocsin_") && !name.starts_with("process_"))
        .filter(|name| {
            !shown.contains(*name) && !name.contains("_duration_") && !name.ends_with("_failure_streak")
        })
        .collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    let board: Value = serde_json::from_str(&read("config/grafana/tocsin.json")).unwrap();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels are number {}", panel["id"]);
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} leaves the grid", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn the_prometheus_rules_ask_for_metrics_that_exist() {
    let known = known();
    for name in named(&read("alerts/prometheus/tocsin.rules.yml")) {
        assert!(known.contains(&name), "no metric {name}");
    }
}

#[test]
fn the_unit_starts_what_the_command_line_offers() {
    let unit = read("config/systemd/tocsin.service");
    for line in [
        "Type=notify",
        "ExecStart=/usr/local/bin/tocsin run --config /etc/tocsin/config/tocsin.toml",
        "SupplementaryGroups=systemd-journal",
        "#SupplementaryGroups=docker",
        "StateDirectory=tocsin",
        "Restart=always",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
    ] {
        assert!(unit.lines().any(|l| l == line), "the unit lacks `{line}`");
    }
}
