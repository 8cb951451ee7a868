//! Alerts for Alertmanager's API v2, `POST /api/v2/alerts`
//! (<https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>,
//! `postableAlerts`).
//!
//! Alertmanager routes, groups and silences; it is told of each alert alone,
//! at once. It forgets an alert that is not sent again: after `endsAt`, or
//! without one after its `resolve_timeout`. So there are two ways to it. A
//! notice of a firing, an escalation or an end is stored, sent until it is
//! taken and says no `endsAt` while it fires, for nobody knows when it will be
//! sent. Beside it everything that fires is told again and again with an
//! `endsAt` some intervals ahead, as Prometheus does, and what ended for a
//! while after; that is not stored (`daemon/resend.rs`).
//!
//! An escalation is another label set there: the old one ends, the new one
//! begins. Label names are made fit, since one alert that is refused makes
//! Alertmanager answer 400 for all.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::plan::NotifyPlan;
use crate::config::redact::Redactor;
use crate::model::{AlertNotice, Notification, OutgoingBody, Severity, Time};

use super::webhook::{annotations_of, generator_url, labels_of};
use super::words::{Words, occasion};

/// Alerts in one request; Prometheus sends as many.
const BATCH_MAX: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

/// An alert as Alertmanager is told of it again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Resent {
    /// With the severity it was told with.
    pub alert: AlertNotice,
    /// When it ended, or until when it is to be believed.
    pub ends_at: Time,
}

/// The POST of a notice.
pub(super) fn body(notification: &Notification, notify: &NotifyPlan, redactor: &Redactor) -> OutgoingBody {
    let words = Words(redactor);
    let mut alerts = Vec::new();
    for notice in &notification.alerts {
        if let Some(before) = severity_before(notice).filter(|_| notice.is_firing) {
            let mut old = AlertNotice { severity: before, is_firing: false, ..notice.clone() };
            old.ends_at = Some(notification.decided_at);
            alerts.push(alert(&old, old.ends_at, notify, &words));
        }
        let ends_at = (!notice.is_firing).then(|| notice.ends_at.unwrap_or(notification.decided_at));
        let mut alert = alert(notice, ends_at, notify, &words);
        if let Some(what @ ("test" | "past")) = occasion(notification) {
            alert.annotations.insert("notice".to_owned(), what.to_owned());
        }
        alerts.push(alert);
    }
    post(&alerts)
}

/// Requests that tell of these alerts again.
pub fn resend(alerts: &[Resent], notify: &NotifyPlan, redactor: &Redactor) -> Vec<OutgoingBody> {
    let words = Words(redactor);
    let batch = |alerts: &[Resent]| {
        post(&alerts.iter().map(|a| alert(&a.alert, Some(a.ends_at), notify, &words)).collect::<Vec<_>>())
    };
    alerts.chunks(BATCH_MAX).map(batch).collect()
}

/// What it escalated from.
fn severity_before(notice: &AlertNotice) -> Option<Severity> {
    let before = notice.annotations.get("reason")?.strip_prefix("escalated from ")?;
    [Severity::Info, Severity::Warning, Severity::Critical].into_iter().find(|s| s.as_str() == before)
}

fn alert(notice: &AlertNotice, ends_at: Option<Time>, notify: &NotifyPlan, words: &Words<'_>) -> Alert {
    let page = words.address(&notify.external_url).unwrap_or_default();
    let mut labels = labels_of(notice, words);
    labels.insert("severity".to_owned(), notice.severity.as_str().to_owned());
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    Alert {
        labels: labels.map(|(name, value)| (fit_name(&name), value)).collect(),
        annotations: annotations_of(notice, words).into_iter().map(|(n, v)| (fit_name(&n), v)).collect(),
        starts_at: notice.starts_at.to_rfc3339(),
        // An end before its beginning is refused.
        ends_at: ends_at.map(|at| at.max(notice.starts_at).to_rfc3339()),
        generator_url: generator_url(&page, notice.incident),
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`.
fn fit_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let out: String = name.chars().map(fit).collect();
    if out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') { out } else { format!("_{out}") }
}

fn post(alerts: &[Alert]) -> OutgoingBody {
    // Maps with text keys always serialize.
    super::post("application/json", Vec::new(), serde_json::to_string(alerts).unwrap_or_default())
}
