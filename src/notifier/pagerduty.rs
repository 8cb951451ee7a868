//! An event for PagerDuty's Events API v2
//! (<https://developer.pagerduty.com/docs/send-alert-event>).
//!
//! One thread is one alert there: the first notice triggers it, later ones
//! (a joiner, an escalation, a reminder) trigger it again under the same
//! `dedup_key`, which adds to it and pages nobody anew, the end resolves it.
//! What is over before it could be told is told by `resolve` alone, which
//! PagerDuty drops where it knows of no such alert: nobody is to be paged for
//! the past.
//!
//! The routing key, a credential, is a field of the body; the transport adds
//! it. Limits: `summary` 1,024 characters, `dedup_key` 255, the event 512 KB.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::model::{Notification, OutgoingBody, Severity};

use super::words::{Member, Wording, cut};

const SUMMARY_CHARS_MAX: usize = 1_024;
const DEDUP_KEY_CHARS_MAX: usize = 255;
/// Of the members as JSON; the rest of an event is some KB.
const DETAILS_BYTES_MAX: usize = 384 * 1024;

/// The POST, without its routing key.
pub(super) fn body(wording: &Wording, notification: &Notification) -> OutgoingBody {
    let mut event = json!({
        "event_action": if wording.is_firing { "trigger" } else { "resolve" },
        "dedup_key": dedup_key(&notification.thread),
        "client": "tocsin",
        "links": links(wording),
        "payload": {
            "summary": cut(&wording.headline, SUMMARY_CHARS_MAX),
            "source": source(wording),
            "severity": severity(wording.severity),
            "timestamp": notification.decided_at.to_rfc3339(),
            "custom_details": details(wording),
        },
    });
    if let [(name, _)] = wording.names.as_slice() {
        event["payload"]["class"] = Value::from(name.as_str());
    }
    if let Some(page) = &wording.status_page {
        event["client_url"] = Value::from(page.as_str());
    }
    super::post("application/json", Vec::new(), event.to_string())
}

/// A digest where the thread's name is longer than PagerDuty takes.
fn dedup_key(thread: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic();
    if (1..=DEDUP_KEY_CHARS_MAX).contains(&thread.len()) && thread.chars().all(is_plain) {
        return thread.to_owned();
    }
    let digest = Sha256::digest(thread.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tocsin-{hex}")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// Where it happened: the source of the first alert.
fn source(wording: &Wording) -> String {
    let facts = wording.members.iter().flat_map(|member| &member.facts);
    let source = facts.filter(|(name, _)| name == "source").map(|(_, value)| value.clone()).next();
    source.filter(|text| !text.is_empty()).unwrap_or_else(|| "tocsin".to_owned())
}

fn links(wording: &Wording) -> Vec<Value> {
    let runbooks = wording.members.iter().filter_map(|m| m.runbook.as_ref()).map(|url| (url, "Runbook"));
    let page = wording.status_page.iter().map(|url| (url, "Status page"));
    runbooks.take(8).chain(page).map(|(href, text)| json!({"href": href, "text": text})).collect()
}

fn details(wording: &Wording) -> Value {
    let mut alerts = Vec::new();
    let mut bytes = 0;
    for member in &wording.members {
        let alert = details_of(member);
        bytes += alert.to_string().len();
        if bytes > DETAILS_BYTES_MAX {
            break;
        }
        alerts.push(alert);
    }
    let hidden = wording.hidden + wording.members.len() - alerts.len();
    let mut out = Map::new();
    if !wording.notes.is_empty() {
        out.insert("note".to_owned(), Value::from(wording.notes.join(" ")));
    }
    out.insert("alerts".to_owned(), Value::from(alerts));
    if hidden > 0 {
        out.insert("alerts_not_shown".to_owned(), Value::from(hidden));
    }
    Value::Object(out)
}

fn details_of(member: &Member) -> Value {
    let mut out = Map::new();
    out.insert("title".to_owned(), Value::from(member.title.as_str()));
    out.insert("summary".to_owned(), Value::from(member.summary.as_str()));
    if !member.description.is_empty() {
        out.insert("description".to_owned(), Value::from(member.description.as_str()));
    }
    for (name, value) in &member.facts {
        out.entry(name.clone()).or_insert_with(|| Value::from(value.as_str()));
    }
    for (heading, items) in &member.lists {
        out.insert((*heading).to_owned(), Value::from(items.clone()));
    }
    if !member.evidence.is_empty() {
        out.insert("Last log lines".to_owned(), Value::from(member.evidence.clone()));
    }
    Value::Object(out)
}
