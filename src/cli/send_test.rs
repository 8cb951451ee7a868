//! `tocsin send-test`: a marked test notification through one receiver, and
//! the receiver's real answer.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use super::{NO, UNUSABLE, files};
use crate::clock;
use crate::config::Plan;
use crate::config::plan::ReceiverPlan;
use crate::model::{AlertNotice, Notification, Severity, Time};
use crate::notifier::{self, Verdict};
use crate::transport::{Answer, Sender};

/// Sends it; returns the exit code: 1 if the receiver refused.
pub fn run(config: &Path, name: &str) -> u8 {
    let plan = match files::load(config) {
        Ok(loaded) => loaded.plan,
        Err(problems) => return super::refuse(&problems),
    };
    // Instances of one receiver are `name/host:port`.
    let is_meant = |r: &&ReceiverPlan| r.name == name || r.name.split('/').next() == Some(name);
    let receivers: Vec<&ReceiverPlan> = plan.receivers.iter().filter(is_meant).collect();
    if receivers.is_empty() {
        let names: Vec<&str> = plan.receivers.iter().map(|r| r.name.as_str()).collect();
        let there = match names.as_slice() {
            [] => format!("{} has no [[receiver]]", config.display()),
            names => format!("there are: {}", names.join(", ")),
        };
        eprintln!("error: no receiver is named {name}; {there}");
        return UNUSABLE;
    }
    receivers.into_iter().map(|receiver| send(&plan, receiver)).max().unwrap_or(UNUSABLE)
}

fn send(plan: &Plan, receiver: &ReceiverPlan) -> u8 {
    let (name, now) = (&receiver.name, clock::wall());
    let outgoing = notifier::render(&notification(name, now), receiver, &plan.notify, &plan.redactor);
    let answer = Sender::new(receiver).map_err(|e| e.to_string()).and_then(|sender| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        Ok(runtime.block_on(sender.send(&outgoing, now.as_secs())))
    });
    match answer {
        Ok(Answer::Status { code, retry_after, excerpt }) => {
            // A closed pipe is no reason to fail.
            let _ = writeln!(std::io::stdout(), "{name} answered {code} {excerpt}");
            match notifier::classify(&receiver.kind, code, retry_after.as_deref(), &excerpt, now) {
                Verdict::Accepted => 0,
                Verdict::Later { why, .. } | Verdict::Never { why } => {
                    eprintln!("error: it was not accepted: {why}");
                    NO
                }
            }
        }
        Ok(Answer::Failed { why } | Answer::Unsendable { why }) => {
            eprintln!("error: {name} did not answer: {why}");
            NO
        }
        Err(why) => {
            eprintln!("error: receiver {name}: {why}");
            UNUSABLE
        }
    }
}

fn notification(receiver: &str, now: Time) -> Notification {
    let summary = "This is a test of tocsin. Nothing is wrong.";
    Notification {
        id: format!("test-{}-{receiver}", now.0),
        receiver: receiver.to_owned(),
        route: "{}".to_owned(),
        group_labels: BTreeMap::from([("alertname".to_owned(), "TocsinTest".to_owned())]),
        is_firing: true,
        sequence: 1,
        thread: format!("test-{}", now.0),
        decided_at: now,
        is_past: false,
        is_test: true,
        alerts: vec![AlertNotice {
            alert: "TocsinTest".to_owned(),
            incident: 0,
            is_firing: true,
            severity: Severity::Info,
            labels: BTreeMap::from([("source".to_owned(), "send-test".to_owned())]),
            annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
            starts_at: now,
            ends_at: None,
            value: 0.0,
        }],
    }
}
