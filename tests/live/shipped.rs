//! What is shipped beside the binary, judged by the programs that will read it:
//! Prometheus' promtool and systemd's own analysis.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program of the system; `None`, and why, if it is not there. With
/// `CI=true` everything has to be there.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).current_dir(root()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let must = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(!must, "{program}: {error}");
            println!("skipped: {program}: {error}");
            None
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn promtool_accepts_the_scrape_configuration() {
    let Some(output) = run("promtool", &["check", "config", "config/prometheus/prometheus.yml"]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn promtool_passes_the_tests_of_the_rules() {
    let Some(output) = run("promtool", &["test", "rules", "alerts/prometheus/tocsin.test.yml"]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn promtool_reads_every_expression_of_the_dashboard() {
    let text = fs::read_to_string(root().join("config/grafana/tocsin.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let annotations = board["annotations"]["list"].as_array().unwrap().iter();
    let targets = board["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|p| p["targets"].as_array().into_iter().flatten());
    let rules: Vec<serde_json::Value> = targets
        .chain(annotations)
        .enumerate()
        .map(|(at, asked)| {
            let expr = asked["expr"].as_str().unwrap();
            let expr = expr.replace("$__rate_interval", "1m").replace("$instance", ".*");
            serde_json::json!({ "record": format!("dashboard:{at}"), "expr": expr })
        })
        .collect();
    assert!(rules.len() > 20);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dashboard.rules.yml");
    // JSON is YAML.
    let file = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(&path, file.to_string()).unwrap();
    let Some(output) = run("promtool", &["check", "rules", path.to_str().unwrap()]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn systemd_finds_little_exposed_in_the_unit() {
    let unit = "config/systemd/tocsin.service";
    // The threshold is ten times the level: more than 2.0 fails.
    let args = ["security", "--offline=true", "--no-pager", "--threshold=20", unit];
    let Some(output) = run("systemd-analyze", &args) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn systemd_knows_every_line_of_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("config/systemd/tocsin.service")).unwrap();
    // The binary is not installed here; any program will do.
    let path = dir.path().join("tocsin.service");
    fs::write(&path, text.replace("/usr/local/bin/tocsin", "/bin/true")).unwrap();
    let Some(output) = run("systemd-analyze", &["verify", "--man=no", path.to_str().unwrap()]) else {
        return;
    };
    let said = said(&output);
    assert!(output.status.success() && !said.contains("tocsin.service"), "{said}");
}
