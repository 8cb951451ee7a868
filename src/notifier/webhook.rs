//! Alertmanager's webhook format, version 4, so that every existing receiver
//! of it works.
//!
//! Source of the format: Alertmanager's `notify/webhook` and `template.Data`.
//! Two decisions of our own: `fingerprint` is taken over the labels without
//! `severity`, so that an escalation keeps it; and what Alertmanager has no
//! field for (a test, a late notice) stands in the annotation `notice`, and
//! `past` in the header `X-Tocsin-Notice` too: the firing of an incident that is
//! over by the time it can be told has its text already and is told by the
//! header alone. The signature is added by the transport, since it carries the
//! attempt's time.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::plan::NotifyPlan;
use crate::config::redact::Redactor;
use crate::model::{AlertNotice, Notification, OutgoingBody};

use super::fingerprint::fingerprint;
use super::words::{Words, cut, occasion};

/// Go's zero time: it has not ended.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";
/// Members are left out, and counted in `truncatedAlerts`, beyond so much
/// text; in practice never.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const ANNOTATIONS_MAX: usize = 32;
const ANNOTATION_LINES_MAX: usize = 24;
const ANNOTATION_CHARS_MAX: usize = 4_096;

type Texts = BTreeMap<String, String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    status: &'static str,
    receiver: String,
    group_labels: Texts,
    common_labels: Texts,
    common_annotations: Texts,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<Alert>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: &'static str,
    labels: Texts,
    annotations: Texts,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// The POST, with its idempotency key.
pub(super) fn body(
    notification: &Notification,
    receiver: &str,
    notify: &NotifyPlan,
    redactor: &Redactor,
) -> OutgoingBody {
    let words = Words(redactor);
    let external_url = words.address(&notify.external_url).unwrap_or_default();
    let group_labels = words.labels(&notification.group_labels);
    let alerts = alerts(notification, &words, &external_url);
    let message = Message {
        version: "4",
        group_key: group_key(&words.line(&notification.route, 1_024), &group_labels),
        truncated_alerts: notification.alerts.len() - alerts.len(),
        status: status(notification.is_firing),
        receiver: receiver.to_owned(),
        group_labels,
        common_labels: common(alerts.iter().map(|a| &a.labels)),
        common_annotations: common(alerts.iter().map(|a| &a.annotations)),
        external_url,
        alerts,
    };
    // Maps with text keys always serialize.
    let json = serde_json::to_string(&message).unwrap_or_default();
    let mut headers = vec![super::idempotency_key(&notification.id)];
    headers.extend(notification.is_past.then(super::past_header));
    super::post("application/json", headers, json)
}

fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

fn alerts(notification: &Notification, words: &Words<'_>, external_url: &str) -> Vec<Alert> {
    let mut bytes = 0;
    let mut out = Vec::new();
    for notice in &notification.alerts {
        let alert = alert(notice, notification, words, external_url);
        bytes += size(&alert.labels) + size(&alert.annotations) + 512;
        if bytes > BODY_BYTES_MAX && !out.is_empty() {
            break;
        }
        out.push(alert);
    }
    out
}

fn size(texts: &Texts) -> usize {
    texts.iter().map(|(name, text)| name.len() + text.len() + 8).sum()
}

fn alert(notice: &AlertNotice, notification: &Notification, words: &Words<'_>, external_url: &str) -> Alert {
    let mut labels = labels_of(notice, words);
    let fingerprint = fingerprint(&labels);
    labels.insert("severity".to_owned(), notice.severity.as_str().to_owned());
    let ends_at = match notice.ends_at {
        _ if notice.is_firing => NOT_ENDED.to_owned(),
        Some(ended) => ended.to_rfc3339(),
        None => notification.decided_at.to_rfc3339(),
    };
    Alert {
        status: status(notice.is_firing),
        labels,
        annotations: annotations(notice, notification, words),
        starts_at: notice.starts_at.to_rfc3339(),
        ends_at,
        generator_url: generator_url(external_url, notice.incident),
        fingerprint,
    }
}

/// The labels that stay the same over an escalation.
pub(super) fn labels_of(notice: &AlertNotice, words: &Words<'_>) -> Texts {
    let mut labels = words.labels(&notice.labels);
    labels.remove("severity");
    labels.insert("alertname".to_owned(), words.line(&notice.alert, 256));
    labels
}

pub(super) fn generator_url(external_url: &str, incident: u64) -> String {
    if external_url.is_empty() { String::new() } else { format!("{external_url}#incident-{incident}") }
}

/// The texts of an alert, clean and bounded.
pub(super) fn annotations_of(notice: &AlertNotice, words: &Words<'_>) -> Texts {
    let mut out = Texts::new();
    for (name, text) in notice.annotations.iter().take(ANNOTATIONS_MAX) {
        let clean = match name.as_str() {
            "runbook_url" => words.address(text).unwrap_or_default(),
            "evidence" => words.last_lines(text, ANNOTATION_LINES_MAX).join("\n"),
            "causes" | "changes" | "symptoms" => words.first_lines(text, ANNOTATION_LINES_MAX).join("\n"),
            _ => words.line(text, ANNOTATION_CHARS_MAX),
        };
        if !clean.is_empty() {
            out.insert(words.line(name, 64), cut(&clean, 2 * ANNOTATION_CHARS_MAX));
        }
    }
    out
}

fn annotations(notice: &AlertNotice, notification: &Notification, words: &Words<'_>) -> Texts {
    let mut out = annotations_of(notice, words);
    if let Some(occasion) = occasion(notification) {
        out.insert("notice".to_owned(), occasion.to_owned());
    }
    if notification.is_test {
        let summary = out.entry("summary".to_owned()).or_default();
        *summary = format!("[TEST] {summary}").trim_end().to_owned();
    }
    out
}

/// What stands in all of them alike.
fn common<'a>(mut all: impl Iterator<Item = &'a Texts>) -> Texts {
    let mut shared = all.next().cloned().unwrap_or_default();
    for texts in all {
        shared.retain(|name, text| texts.get(name) == Some(text));
    }
    shared
}

/// As Alertmanager writes the key of a group.
fn group_key(route: &str, labels: &Texts) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{route}:{{{}}}", pairs.join(", "))
}
