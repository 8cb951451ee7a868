//! The fields and limits of each format: webhook, Slack, mail, console.

use serde_json::Value;
use tocsin::config::plan::ReceiverKind;
use tocsin::model::{Notification, OutgoingBody, Severity};
use tocsin::notifier::fingerprint;

use super::{
    email, everything, json, notice, notification, receiver, rendered, slack, texts, variants, webhook,
};

const PLAIN_TAGS: &[&str] = &[
    "!DOCTYPE html",
    "html",
    "head",
    "meta charset=\"utf-8\"",
    "title",
    "body",
    "h2",
    "h3",
    "hr",
    "p",
    "strong",
    "table",
    "tr",
    "td",
    "ul",
    "li",
    "pre",
    "a",
];

#[test]
fn the_webhook_body_is_alertmanagers_version_4() {
    let mut firing = notification(vec![notice("private/a", true), notice("private/b", true)]);
    firing.alerts[1].annotations.insert("codes".to_owned(), "40102".to_owned());
    let outgoing = rendered(&firing, &webhook("http://127.0.0.1:1/"));
    let OutgoingBody::Http { content_type, headers, .. } = &outgoing.body else { panic!() };
    assert_eq!(content_type, "application/json");
    assert_eq!(headers, &[("Idempotency-Key".to_owned(), "n-1".to_owned())]);
    let body = json(&outgoing);
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "alerts",
        "commonAnnotations",
        "commonLabels",
        "externalURL",
        "groupKey",
        "groupLabels",
        "receiver",
        "status",
        "truncatedAlerts",
        "version",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&body["version"], &body["truncatedAlerts"]), (&Value::from("4"), &Value::from(0)));
    assert_eq!((&body["status"], &body["receiver"]), (&Value::from("firing"), &Value::from("ops")));
    assert_eq!(body["groupKey"], "{}:{alertname=\"ExchangeAuthFailing\"}");
    assert_eq!(body["groupLabels"], serde_json::json!({"alertname": "ExchangeAuthFailing"}));
    assert_eq!(
        body["commonLabels"],
        serde_json::json!({"alertname": "ExchangeAuthFailing", "severity": "critical", "source": "crypto-proxy"})
    );
    assert_eq!(body["commonAnnotations"]["count"], "3");
    assert_eq!(body["commonAnnotations"]["codes"], Value::Null);
    assert_eq!(body["externalURL"], "http://127.0.0.1:9650/");
    let alert = &body["alerts"][0];
    assert_eq!(alert["status"], "firing");
    assert_eq!(alert["labels"]["alertname"], "ExchangeAuthFailing");
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["labels"]["method"], "private/a");
    assert_eq!(alert["annotations"]["evidence"], "response_status=401\n  \"code\": 40101,");
    assert_eq!(alert["startsAt"], "2026-03-14T09:12:41.318Z");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(alert["generatorURL"], "http://127.0.0.1:9650/#incident-7");
    assert_eq!(alert["fingerprint"].as_str().unwrap().len(), 16);

    let ended =
        json(&rendered(&notification(vec![notice("private/a", false)]), &webhook("http://127.0.0.1:1/")));
    assert_eq!(ended["status"], "resolved");
    assert_eq!(ended["alerts"][0]["endsAt"], "2026-03-14T09:24:42.318Z");
    assert_eq!(ended["alerts"][0]["fingerprint"], alert["fingerprint"]);
}

#[test]
fn an_escalation_keeps_fingerprint_and_start() {
    let mut low = notification(vec![notice("private/a", true)]);
    low.alerts[0].severity = Severity::Warning;
    let high = notification(vec![notice("private/a", true)]);
    let plan = webhook("http://127.0.0.1:1/");
    let (low, high) = (json(&rendered(&low, &plan)), json(&rendered(&high, &plan)));
    assert_eq!(low["alerts"][0]["fingerprint"], high["alerts"][0]["fingerprint"]);
    assert_eq!(low["alerts"][0]["startsAt"], high["alerts"][0]["startsAt"]);
    assert_ne!(low["alerts"][0]["labels"]["severity"], high["alerts"][0]["labels"]["severity"]);
}

#[test]
fn a_fingerprint_is_the_one_of_prometheus() {
    // Worked out apart from this program by FNV-1a over "alertname\xffTest\xff…".
    let labels =
        texts(&[("alertname", "ExchangeAuthFailing"), ("method", "private/a"), ("source", "crypto-proxy")]);
    assert_eq!(fingerprint(&labels), "531605ad5ae0b48a");
}

#[test]
fn slack_messages_keep_slacks_limits_and_are_made_of_harmless_text() {
    for variant in variants() {
        let body = json(&rendered(&variant, &slack("http://127.0.0.1:1/")));
        assert!(body["text"].as_str().unwrap().encode_utf16().count() <= 4_000);
        assert_eq!(body["mrkdwn"], false);
        let blocks = body["attachments"][0]["blocks"].as_array().unwrap();
        assert!((1..=50).contains(&blocks.len()));
        let mut all = 0;
        for block in blocks {
            let text = match block["type"].as_str().unwrap() {
                "divider" => continue,
                "context" => &block["elements"][0],
                _ => &block["text"],
            };
            let length = text["text"].as_str().unwrap().encode_utf16().count();
            all += length;
            let limit = if block["type"] == "header" { 150 } else { 3_000 };
            assert!((1..=limit).contains(&length), "{block}");
            if text["type"] == "mrkdwn" {
                assert_markup_is_ours(text["text"].as_str().unwrap());
            } else {
                assert_eq!(text["type"], "plain_text");
                assert!(!text["text"].as_str().unwrap().contains(['<', '>']), "{block}");
            }
        }
        assert!(all < 13_000, "{all}");
        let text = everything(&rendered(&variant, &slack("http://127.0.0.1:1/")));
        for mention in ["<!", "<@", "@channel", "@here", "@Everyone", "<https://evil", "<script"] {
            assert!(!text.contains(mention), "{mention} in {text}");
        }
        assert!(!text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").contains('&'), "{text}");
    }
}

fn assert_markup_is_ours(text: &str) {
    if let Some(code) = text.strip_prefix("```\n").and_then(|rest| rest.strip_suffix("\n```")) {
        assert!(!code.contains(['`', '<', '>']), "{code}");
    } else {
        let link = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap();
        let (address, name) = link.split_once('|').unwrap();
        assert!(address.starts_with("http") && !address.contains(['<', '>', ' ', '"']), "{address}");
        assert!(["Runbook", "Status page"].contains(&name));
    }
}

#[test]
fn slack_colours_tell_severity_and_end() {
    let colour = |notification: &Notification| {
        json(&rendered(notification, &slack("http://x/")))["attachments"][0]["color"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let critical = colour(&notification(vec![notice("private/a", true)]));
    let mut warning = notification(vec![notice("private/a", true), notice("private/b", false)]);
    warning.alerts[0].severity = Severity::Warning;
    let (warning, ended) = (colour(&warning), colour(&notification(vec![notice("private/a", false)])));
    assert_eq!((critical.as_str(), warning.as_str(), ended.as_str()), ("#d50200", "#de9e31", "#2eb67d"));
}

#[test]
fn a_mail_has_one_subject_line_and_html_that_loads_nothing() {
    for variant in variants() {
        let OutgoingBody::Mail { subject, html, message_id, .. } = rendered(&variant, &email()).body else {
            panic!()
        };
        assert!(subject.chars().count() <= 200 && !subject.chars().any(char::is_control), "{subject}");
        let mark = match (variant.is_test, variant.is_firing) {
            (true, _) => "[TEST] ",
            (_, true) => "[FIRING] ",
            (_, false) => "[RESOLVED] ",
        };
        assert!(subject.starts_with(mark), "{subject}");
        for tag in html.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            let is_link =
                tag.strip_prefix("a href=\"http").is_some_and(|rest| rest.matches('"').count() == 1);
            let is_styled =
                (tag.starts_with("body style=") || tag.starts_with("h2 style=")) && !tag.contains("url");
            let is_plain = PLAIN_TAGS.contains(&tag.trim_start_matches('/'));
            assert!(is_link || is_styled || is_plain, "<{tag}>");
        }
        assert!(message_id.ends_with("@example.org") && !message_id.contains([' ', '<', '>']));
    }
}

#[test]
fn later_mails_of_a_thread_answer_its_first() {
    let ids = |sequence: u64, id: &str, is_firing: bool| {
        let mut n = notification(vec![notice("private/a", is_firing)]);
        (n.sequence, n.id) = (sequence, id.to_owned());
        match rendered(&n, &email()).body {
            OutgoingBody::Mail { message_id, in_reply_to, .. } => (message_id, in_reply_to),
            OutgoingBody::Http { .. } => panic!(),
        }
    };
    let (first, none) = ids(1, "n-1", true);
    let (second, to_first) = ids(2, "n-2", false);
    assert_eq!(none, None);
    assert_eq!(to_first, Some(first.clone()));
    assert_ne!(first, second);
    assert_eq!(ids(2, "n-2", false).0, second);
}

#[test]
fn a_console_line_is_one_line() {
    for variant in variants() {
        let OutgoingBody::Http { body, .. } = rendered(&variant, &receiver(ReceiverKind::Console)).body
        else {
            panic!()
        };
        assert!(!body.contains('\n') && body.contains("] "), "{body}");
    }
}

#[test]
fn a_console_line_begins_with_when_and_how_bad() {
    let mut ended = notice("private/user-balance", false);
    ended.annotations.insert("span".to_owned(), "2026-03-14T09:12:01Z to 2026-03-14T09:12:41Z".to_owned());
    let notification = notification(vec![ended]);
    let OutgoingBody::Http { body, .. } = rendered(&notification, &receiver(ReceiverKind::Console)).body
    else {
        panic!()
    };
    let start = format!("{} critical [RESOLVED] ", notification.decided_at.to_rfc3339());
    assert!(body.starts_with(&start), "{start}\nnot at the start of\n{body}");
    assert!(body.contains("within=40s") && !body.contains("started="), "{body}");
}
