//! Shapes of secrets through the redactor and every kind of receiver: none of
//! them leaves, and what makes evidence useful stays.

use std::collections::BTreeMap;
use std::fs;

use tocsin::config::plan::NotifyPlan;
use tocsin::config::redact::Redactor;
use tocsin::model::{AlertNotice, Notification, Severity, Time};
use tocsin::notifier::render;

use crate::scan::root;

/// A line and what of it is secret.
pub struct Sample {
    pub line: String,
    pub secrets: Vec<String>,
}

/// `tests/redaction/secrets.txt`.
pub fn secrets() -> Vec<Sample> {
    let text = fs::read_to_string(root().join("tests/redaction/secrets.txt")).unwrap();
    text.lines().map(sample).collect()
}

fn sample(marked: &str) -> Sample {
    let secrets = marked.split('⟦').skip(1).map(|rest| rest.split_once('⟧').unwrap().0.to_owned()).collect();
    Sample { line: marked.replace(['⟦', '⟧'], ""), secrets }
}

fn harmless() -> Vec<String> {
    let text = fs::read_to_string(root().join("tests/redaction/harmless.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What of the secrets is in the text.
fn leaks(text: &str, secrets: &[String]) -> Vec<String> {
    secrets.iter().filter(|secret| text.contains(secret.as_str())).cloned().collect()
}

#[test]
fn every_shape_of_a_secret_is_masked() {
    let redactor = Redactor::default();
    let mut faults = Vec::new();
    for Sample { line, secrets } in secrets() {
        assert!(!secrets.is_empty() && secrets.iter().all(|s| line.contains(s)), "{line}");
        for around in
            [line.clone(), format!("at 09:12: {line} (worker 3)"), format!("{{\"log\": \"{line}\"}}")]
        {
            let out = redactor.redact(&around);
            faults.extend(leaks(&out, &secrets).iter().map(|secret| format!("{secret} in {out}")));
            if redactor.redact(&out) != out {
                faults.push(format!("{out} becomes {}", redactor.redact(&out)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_makes_evidence_useful_stays() {
    let redactor = Redactor::default();
    let lines = harmless();
    let changed: Vec<String> =
        lines.iter().map(|line| redactor.redact(line)).filter(|out| !lines.contains(out)).collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

/// One whose texts are these lines, wherever a text may stand.
fn notification(line: &str, is_firing: bool) -> Notification {
    let texts = ["summary", "description", "evidence", "causes", "changes", "symptoms", "reason", "codes"];
    let texts = texts.iter().chain(&["further", "runbook_url"]);
    let labels = BTreeMap::from([("method".to_owned(), line.to_owned())]);
    Notification {
        id: "test-1".to_owned(),
        receiver: "all".to_owned(),
        route: String::new(),
        group_labels: labels.clone(),
        is_firing,
        sequence: 2,
        thread: "test".to_owned(),
        decided_at: Time(1),
        is_past: false,
        is_test: false,
        alerts: vec![AlertNotice {
            alert: "Leaking".to_owned(),
            incident: 7,
            is_firing,
            severity: Severity::Critical,
            labels,
            annotations: texts.map(|name| ((*name).to_owned(), line.to_owned())).collect(),
            starts_at: Time(1),
            ends_at: (!is_firing).then_some(Time(2)),
            value: 1.0,
        }],
    }
}

#[test]
fn no_kind_of_receiver_is_told_a_secret() {
    let plan = crate::notifier::every_kind();
    let redactor = Redactor::default();
    let mut faults = Vec::new();
    for Sample { line, secrets } in secrets() {
        for (receiver, is_firing) in plan.iter().flat_map(|r| [(r, true), (r, false)]) {
            let outgoing =
                render(&notification(&line, is_firing), receiver, &NotifyPlan::default(), &redactor);
            let sent = serde_json::to_string(&outgoing).unwrap();
            // Escaped once more for each text within a text.
            let plain = sent.replace("\\\\", "\\").replace("\\\"", "\"");
            for secret in leaks(&sent, &secrets).into_iter().chain(leaks(&plain, &secrets)) {
                faults.push(format!("{}: {secret}", receiver.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
