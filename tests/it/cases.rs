//! The labelled cases of `tests/cases`, through the binary, and the same with
//! what must not matter changed: restores, ticks, shifted times, other names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tocsin::model::Time;

use crate::bench::{self, Between, Series};
use crate::replays::unlike;
use crate::scan::{regex, root};

/// Series of open labels need not exist before they are counted.
const OPEN: &[&str] = &[
    "crypto_exchange_requests_total",
    "crypto_exchange_http_responses_total",
    "crypto_exchange_auth_failure_streak",
];
/// What every line of the timeline has.
const KEYS: &[&str] = &["at", "alert", "state", "severity", "labels", "value", "inhibited_by", "summary"];

struct Case {
    name: String,
    expect: Value,
    inputs: Vec<(&'static str, PathBuf)>,
}

fn cases() -> Vec<Case> {
    let mut folders: Vec<_> =
        fs::read_dir(root().join("tests/cases")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders.retain(|f| f.join("expect.json").exists());
    assert!(!folders.is_empty());
    folders.iter().map(|folder| case(folder)).collect()
}

fn case(folder: &Path) -> Case {
    let expect = serde_json::from_str(&fs::read_to_string(folder.join("expect.json")).unwrap()).unwrap();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for source in ["crypto-proxy", "backend"] {
            if path.file_name().unwrap().to_string_lossy().starts_with(&format!("{source}.")) {
                inputs.push((source, path.clone()));
            }
        }
    }
    inputs.sort();
    Case { name: folder.file_name().unwrap().to_string_lossy().into_owned(), expect, inputs }
}

/// Runs the program; standard output and error.
pub fn replay(
    config: &Path,
    inputs: &[(&str, PathBuf)],
    until: Option<&str>,
    format: &str,
) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.arg("replay").arg("--config").arg(config).current_dir(folder.path()).stdin(Stdio::null());
    for (source, path) in inputs {
        command.arg("--input").arg(format!("{source}={}", path.display()));
    }
    if let Some(until) = until {
        command.args(["--until", until]);
    }
    let output = command.args(["--format", format, "--metrics", "-"]).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{:?}: {err}", output.status);
    (out, err)
}

/// What differs between a case's expectation and what the program said, with
/// times moved by `shift` seconds.
pub fn differences(expect: &Value, out: &str, err: &str, shift: f64) -> Vec<String> {
    let lines: Vec<&str> = out.lines().collect();
    let end = lines.iter().position(|l| !l.starts_with('{')).unwrap_or(lines.len());
    let timeline: Vec<Value> = lines[..end].iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let series: Vec<Series> =
        lines[end..].iter().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| read(l)).collect();
    let mut faults = Vec::new();
    timeline_faults(expect, &timeline, shift, &mut faults);
    metric_faults(expect, &series, shift, &mut faults);
    for secret in expect["forbidden"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()) {
        if out.contains(secret) || err.contains(secret) {
            faults.push(format!(
                "leaked {}... ({} characters)",
                &secret[..4.min(secret.len())],
                secret.len()
            ));
        }
    }
    faults
}

fn seconds(at: &Value) -> f64 {
    Time::parse_rfc3339(at.as_str().unwrap()).unwrap().as_secs_f64()
}

fn timeline_faults(expect: &Value, timeline: &[Value], shift: f64, faults: &mut Vec<String>) {
    for line in timeline {
        assert!(KEYS.iter().all(|k| line.get(k).is_some()), "{line}");
    }
    let mut left: Vec<&Value> = timeline.iter().collect();
    let mut wanted: Vec<&Value> = expect["timeline"].as_array().unwrap().iter().collect();
    wanted.sort_by(|a, b| seconds(&a["at"]).total_cmp(&seconds(&b["at"])));
    for e in wanted {
        let distance = |a: &Value| (seconds(&e["at"]) + shift - seconds(&a["at"])).abs();
        let is_same = |a: &Value| {
            let labels = e["labels"].as_object().is_none_or(|l| l.iter().all(|(k, v)| a["labels"][k] == *v));
            let inhibited =
                e["state"] != "firing" || e["inhibited_by"] == "*" || e["inhibited_by"] == a["inhibited_by"];
            e["alert"] == a["alert"]
                && e["state"] == a["state"]
                && (e["severity"].is_null() || e["severity"] == a["severity"])
                && labels
                && inhibited
                && distance(a) <= e["tolerance_s"].as_f64().unwrap()
        };
        let nearest = (0..left.len())
            .filter(|i| is_same(left[*i]))
            .min_by(|a, b| distance(left[*a]).total_cmp(&distance(left[*b])));
        match nearest {
            Some(i) => drop(left.remove(i)),
            None => faults.push(format!("missing: {} {} at {}", e["alert"], e["state"], e["at"])),
        }
    }
    faults.extend(left.iter().map(|a| format!("not expected: {a}")));
}

fn metric_faults(expect: &Value, series: &[Series], shift: f64, faults: &mut Vec<String>) {
    let mut wanted: BTreeMap<String, Value> = BTreeMap::new();
    for (kind, metric) in
        [("exchange_request", "crypto_exchange_requests_total"), ("portfolio_sync", "portfolio_syncs_total")]
    {
        for (outcome, count) in expect["events"][kind].as_object().into_iter().flatten() {
            wanted.insert(format!("{metric}{{outcome=\"{outcome}\"}}"), count.clone());
        }
    }
    for (selector, value) in expect["metrics"].as_object().unwrap() {
        wanted.insert(selector.clone(), value.clone());
    }
    for (selector, value) in wanted {
        let name = selector.split('{').next().unwrap().to_owned();
        let got = bench::selected(series, &selector);
        let tolerance = value["tolerance"].as_f64().unwrap_or(0.0) + 1e-9;
        let number = value.as_f64().or_else(|| value["value"].as_f64());
        let moved = if name.contains("timestamp") { shift } else { 0.0 };
        let is_same = match (got, number) {
            (Some(got), Some(number)) => (got - number - moved).abs() <= tolerance,
            (None, Some(number)) => number == 0.0 && OPEN.contains(&name.as_str()),
            (got, None) => got.is_none(),
        };
        if !is_same {
            faults.push(format!("{selector} is {got:?}, not {value}"));
        }
    }
}

/// One line of an exposition.
fn read(line: &str) -> Series {
    static SERIES: LazyLock<regex::Regex> =
        LazyLock::new(|| regex(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$"));
    static LABEL: LazyLock<regex::Regex> = LazyLock::new(|| regex(r#"([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?"#));
    let hit = SERIES.captures(line).unwrap_or_else(|| panic!("{line}"));
    let labels = LABEL
        .captures_iter(hit.get(2).map_or("", |m| m.as_str()))
        .map(|l| (l[1].to_owned(), l[2].to_owned()))
        .collect();
    Series { name: hit[1].to_owned(), labels, value: hit[3].replace("Inf", "inf").parse().unwrap() }
}

fn shipped() -> PathBuf {
    root().join("config/tocsin.toml")
}

#[test]
fn every_case_is_concluded_as_its_label_says() {
    let mut found = Vec::new();
    for case in cases() {
        let (out, err) = replay(&shipped(), &case.inputs, case.expect["until"].as_str(), "json");
        let faults = differences(&case.expect, &out, &err, 0.0);
        found.extend(faults.iter().map(|f| format!("{}: {f}", case.name)));
    }
    assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
}

#[test]
fn nothing_secret_is_in_the_timeline_for_people() {
    for case in cases() {
        let (out, err) = replay(&shipped(), &case.inputs, case.expect["until"].as_str(), "text");
        for secret in case.expect["forbidden"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()) {
            assert!(!out.contains(secret) && !err.contains(secret), "{}", case.name);
        }
    }
}

#[test]
fn a_case_is_the_same_with_restores_and_with_more_ticks() {
    let plan = bench::shipped();
    let mut found = Vec::new();
    for case in cases() {
        let until = case.expect["until"].as_str().map(|text| match text.strip_prefix('+') {
            Some(span) => {
                let span: jiff::SignedDuration = span.parse().unwrap();
                tocsin::cli::merge::Until::After(span.try_into().unwrap())
            }
            None => tocsin::cli::merge::Until::At(Time::parse_rfc3339(text).unwrap()),
        });
        let run = |between| {
            let inputs = case.inputs.iter().map(|(s, path)| bench::input(&plan, s, path)).collect();
            bench::run(&plan, inputs, None, until, between)
        };
        let once = run(Between::Nothing);
        for between in [Between::Restore(1), Between::Tick] {
            found.extend(
                unlike(&once, &run(between)).iter().map(|f| format!("{} {between:?}: {f}", case.name)),
            );
        }
    }
    assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_case_moved_by_days_is_concluded_alike() {
    let days = 40;
    let shift = days * 86_400;
    let stamp = regex(r"20\d\d-\d\d-\d\d");
    let realtime = regex(r"(?m)^__REALTIME_TIMESTAMP=(\d+)$");
    let mut found = Vec::new();
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Vec::new();
        for (source, path) in &case.inputs {
            let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
            let text = stamp.replace_all(&text, |c: &regex::Captures<'_>| {
                let day: jiff::civil::Date = c[0].parse().unwrap();
                day.saturating_add(jiff::Span::new().days(days)).to_string()
            });
            let text = realtime.replace_all(&text, |c: &regex::Captures<'_>| {
                format!("__REALTIME_TIMESTAMP={}", c[1].parse::<i64>().unwrap() + shift * 1_000_000)
            });
            let moved = folder.path().join(path.file_name().unwrap());
            fs::write(&moved, text.as_bytes()).unwrap();
            inputs.push((*source, moved));
        }
        let until = case.expect["until"].as_str().map(|u| {
            if u.starts_with('+') {
                u.to_owned()
            } else {
                Time::parse_rfc3339(u).unwrap().shifted(shift * 1_000_000_000).to_rfc3339()
            }
        });
        let (out, err) = replay(&shipped(), &inputs, until.as_deref(), "json");
        let faults = differences(&case.expect, &out, &err, shift as f64);
        found.extend(faults.iter().map(|f| format!("{}: {f}", case.name)));
    }
    assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
}

/// Names of the watched stack, and others that mean as much: what tocsin
/// knows of the stack stands in the pack alone.
const NAMES: &[(&str, &str)] = &[
    ("crypto-proxy.service", "signer-two.service"),
    ("crypto_proxy", "signer_two"),
    ("CRYPTO_AUTH_DIAG", "SIGN_TRACE"),
    ("portfolio_cache", "ledger_view"),
    ("Portfolio cache updated", "Ledger view renewed"),
    ("portfolio cache", "ledger view"),
    ("40101", "70101"),
    ("private/", "secret/"),
    ("ExchangeAuth", "VenueLogin"),
    ("auth_failed", "login_refused"),
];

fn renamed(text: &str) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_case_under_other_names_with_a_pack_to_match_is_concluded_alike() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    for (from, to) in [("config/events", "config/events"), ("alerts", "alerts"), ("config", "config")] {
        fs::create_dir_all(folder.path().join(to)).unwrap();
        for entry in fs::read_dir(root().join(from)).unwrap().map(|e| e.unwrap().path()) {
            if entry.extension().is_some_and(|e| e == "toml") {
                let text = renamed(&fs::read_to_string(&entry).unwrap());
                fs::write(folder.path().join(to).join(entry.file_name().unwrap()), text).unwrap();
            }
        }
    }
    let mut found = Vec::new();
    for case in cases() {
        let mut inputs = Vec::new();
        for (source, path) in &case.inputs {
            let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
            let other = folder.path().join(path.file_name().unwrap());
            fs::write(&other, renamed(&text)).unwrap();
            inputs.push((*source, other));
        }
        let expect: Value = serde_json::from_str(&renamed(&case.expect.to_string())).unwrap();
        let (out, err) = replay(&config.join("tocsin.toml"), &inputs, expect["until"].as_str(), "json");
        let faults = differences(&expect, &out, &err, 0.0);
        found.extend(faults.iter().map(|f| format!("{}: {f}", case.name)));
    }
    assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
}

#[test]
fn noise_between_the_lines_changes_nothing() {
    let mut found = Vec::new();
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Vec::new();
        for (source, path) in &case.inputs {
            let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
            let noisy = if path.extension().is_some_and(|e| e == "export") {
                journal_noise(&text)
            } else {
                text_noise(&text)
            };
            let other = folder.path().join(path.file_name().unwrap());
            fs::write(&other, noisy).unwrap();
            inputs.push((*source, other));
        }
        let (out, err) = replay(&shipped(), &inputs, case.expect["until"].as_str(), "json");
        let faults: Vec<String> = differences(&case.expect, &out, &err, 0.0)
            .into_iter()
            .filter(|f| !f.starts_with("tocsin_source_lines_total"))
            .collect();
        found.extend(faults.iter().map(|f| format!("{}: {f}", case.name)));
    }
    assert!(found.is_empty(), "{} differ\n{}", found.len(), found.join("\n"));
}

/// After each entry one of another process of the unit, which says what a
/// careless reader would take for the answer.
fn journal_noise(text: &str) -> String {
    let message = regex(r"(?m)^MESSAGE=.*$");
    let pid = regex(r"(?m)^_PID=\d+$");
    let mut out = String::new();
    for entry in text.split_inclusive("\n\n") {
        out.push_str(entry);
        if entry.contains("\n_SYSTEMD_UNIT=crypto-proxy.service")
            && message.is_match(entry)
            && !entry.contains("_LINE_BREAK")
        {
            let noise = pid.replace(entry, "_PID=99");
            out.push_str(&message.replace(&noise, "MESSAGE=  \"code\": 40101, response_status=401"));
        }
    }
    out
}

/// After each line one of a logger that nothing is concluded from.
fn text_noise(text: &str) -> String {
    let mut out = String::new();
    let docker = regex(r"^(\S+Z )");
    let compose = regex(r"^(\S+ +\| )");
    for line in text.lines() {
        out.push_str(line);
        out.push('\n');
        let prefix = docker.find(line).or(compose.find(line)).map_or("", |m| m.as_str());
        out.push_str(&format!(
            "{prefix}INFO app.services.noise: Portfolio cache updated successfully. Total USD: $0.00\n"
        ));
    }
    out
}
