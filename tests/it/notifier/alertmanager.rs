//! Alertmanager: documented fields, an escalation as an end and a beginning,
//! and what is resent for how long.

use tocsin::config::plan::NotifyPlan;
use tocsin::config::redact::Redactor;
use tocsin::model::{AlertNotice, OutgoingBody, Severity, Time};
use tocsin::notifier::{Resent, resend};

use super::{alertmanager, at, hostile, json, notice, notification, rendered, strict, variants};

fn alerts(notices: Vec<AlertNotice>) -> Vec<serde_json::Value> {
    let body = json(&rendered(&notification(notices), &alertmanager("http://127.0.0.1:1")));
    body.as_array().unwrap().clone()
}

#[test]
fn alerts_keep_to_what_alertmanager_documents() {
    for mut variant in variants() {
        strict::alertmanager(&json(&rendered(&variant, &alertmanager("http://x"))));
        if let Some(first) = variant.alerts.first_mut() {
            first.labels.insert("0 no-name.ü".to_owned(), "x".to_owned());
            first.labels.insert("empty".to_owned(), String::new());
            // A clock that was set back.
            first.ends_at = Some(Time(first.starts_at.0 - 1));
        }
        strict::alertmanager(&json(&rendered(&variant, &alertmanager("http://x"))));
    }
}

#[test]
fn a_firing_names_no_end_and_an_end_its_own() {
    let [firing] = alerts(vec![notice("private/a", true)]).try_into().unwrap();
    assert_eq!(firing["endsAt"], serde_json::Value::Null);
    assert_eq!(
        (&firing["labels"]["alertname"], &firing["labels"]["severity"]),
        (&"ExchangeAuthFailing".into(), &"critical".into())
    );
    assert_eq!(firing["startsAt"], "2026-03-14T09:12:41.318Z");
    assert_eq!(firing["generatorURL"], "http://127.0.0.1:9650/#incident-7");
    let [ended] = alerts(vec![notice("private/a", false)]).try_into().unwrap();
    assert_eq!(ended["endsAt"], "2026-03-14T09:24:42.318Z");
    assert_eq!(ended["labels"], firing["labels"]);
}

#[test]
fn an_escalation_ends_one_label_set_and_begins_another() {
    let mut risen = notice("private/a", true);
    risen.annotations.insert("reason".to_owned(), "escalated from warning".to_owned());
    let [old, new] = alerts(vec![risen]).try_into().unwrap();
    assert_eq!(
        (&old["labels"]["severity"], &old["endsAt"]),
        (&"warning".into(), &at("2026-03-14T09:12:43Z").to_rfc3339().into())
    );
    assert_eq!((&new["labels"]["severity"], &new["endsAt"]), (&"critical".into(), &serde_json::Value::Null));
    assert_eq!(old["startsAt"], new["startsAt"]);
}

#[test]
fn what_is_resent_is_what_was_told_in_batches_with_an_end_ahead() {
    let ends_at = at("2026-03-14T10:00:00Z");
    let many: Vec<Resent> = (0..150)
        .map(|n| Resent { alert: notice(&format!("private/{n}"), true), ends_at })
        .chain([Resent { alert: hostile(true).alerts.swap_remove(0), ends_at }])
        .collect();
    let bodies = resend(&many, &NotifyPlan::default(), &Redactor::default());
    let mut count = 0;
    for body in &bodies {
        let OutgoingBody::Http { body, .. } = body else { panic!() };
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        strict::alertmanager(&body);
        count += body.as_array().unwrap().len();
        assert!(body.as_array().unwrap().iter().all(|a| a["endsAt"] == ends_at.to_rfc3339()));
    }
    assert_eq!((bodies.len(), count), (3, 151));
    let stored = alerts(vec![notice("private/0", true)]);
    let OutgoingBody::Http { body, .. } = &bodies[0] else { panic!() };
    let first: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&stored[0]["labels"], &stored[0]["annotations"]),
        (&first[0]["labels"], &first[0]["annotations"])
    );
    assert_eq!(Severity::Critical, many[0].alert.severity);
}
