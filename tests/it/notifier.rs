//! Notifiers: one contract that every kind of receiver passes on hostile
//! input, and the fields of each format. The sender is tested in `transport`.

mod alertmanager;
mod formats;
mod past;
mod services;
pub mod strict;
mod transport;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tocsin::config::plan::{
    AlertmanagerPlan, ChatId, EmailPlan, HttpOptions, MailTls, NotifyPlan, PagerDutyPlan, ReceiverKind,
    ReceiverPlan, TelegramPlan,
};
use tocsin::config::redact::Redactor;
use tocsin::model::{AlertNotice, Notification, Outgoing, OutgoingBody, Secret, Severity, Time};
use tocsin::notifier::render;

fn receiver(kind: ReceiverKind) -> ReceiverPlan {
    ReceiverPlan { name: "ops".to_owned(), kind, timeout: Duration::from_secs(5) }
}

fn webhook(url: &str) -> ReceiverPlan {
    receiver(ReceiverKind::Webhook {
        url: Secret::new(url),
        secret: None,
        headers: Vec::new(),
        http: HttpOptions::default(),
    })
}

fn slack(url: &str) -> ReceiverPlan {
    receiver(ReceiverKind::Slack { url: Secret::new(url), http: HttpOptions::default() })
}

fn email() -> ReceiverPlan {
    receiver(ReceiverKind::Email(Box::new(EmailPlan {
        host: "localhost".to_owned(),
        port: 25,
        tls: MailTls::None,
        username: None,
        password: None,
        from: "Tocsin <tocsin@example.org>".to_owned(),
        to: vec!["oncall@example.org".to_owned()],
        ca_file: None,
    })))
}

fn telegram(url: &str, is_html: bool) -> ReceiverPlan {
    receiver(ReceiverKind::Telegram(Box::new(TelegramPlan {
        api: Secret::new(url),
        token: Secret::new("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        chat_id: ChatId::Number(-1_001_234_567_890),
        thread_id: Some(42),
        is_html,
        is_silent: false,
        http: HttpOptions::default(),
    })))
}

fn pagerduty(url: &str) -> ReceiverPlan {
    receiver(ReceiverKind::PagerDuty(Box::new(PagerDutyPlan {
        url: Secret::new(url),
        routing_key: Secret::new("0123456789abcdef0123456789ABCDEF"),
        http: HttpOptions::default(),
    })))
}

fn alertmanager(url: &str) -> ReceiverPlan {
    receiver(ReceiverKind::Alertmanager(Box::new(AlertmanagerPlan {
        urls: vec![Secret::new(url)],
        headers: vec![("Authorization".to_owned(), Secret::new("Bearer sEcReTsEcReT-am"))],
        resend_every: Duration::from_secs(60),
        http: HttpOptions::default(),
    })))
}

/// Of kinds that are reached by HTTP.
fn every_http_kind(url: &str) -> Vec<ReceiverPlan> {
    vec![
        webhook(url),
        slack(url),
        telegram(url, true),
        telegram(url, false),
        pagerduty(url),
        alertmanager(url),
    ]
}

/// One receiver of each kind.
pub fn every_kind() -> Vec<ReceiverPlan> {
    vec![
        telegram("http://127.0.0.1:1", true),
        telegram("http://127.0.0.1:1", false),
        pagerduty("http://127.0.0.1:1/v2/enqueue"),
        alertmanager("http://127.0.0.1:1"),
        webhook("http://127.0.0.1:1/"),
        slack("http://127.0.0.1:1/"),
        email(),
        receiver(ReceiverKind::Console),
    ]
}

/// They are told the facts and make the words themselves.
fn is_for_programs(plan: &ReceiverPlan) -> bool {
    matches!(plan.kind, ReceiverKind::Webhook { .. } | ReceiverKind::Alertmanager(_))
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn at(text: &str) -> Time {
    Time::parse_rfc3339(text).unwrap()
}

fn notice(method: &str, is_firing: bool) -> AlertNotice {
    AlertNotice {
        alert: "ExchangeAuthFailing".to_owned(),
        incident: 7,
        is_firing,
        severity: Severity::Critical,
        labels: texts(&[("method", method), ("source", "crypto-proxy")]),
        annotations: texts(&[
            ("summary", &format!("Exchange authentication fails for {method}: 3 in a row")),
            ("description", "The exchange refuses every signed call."),
            ("evidence", "response_status=401\n  \"code\": 40101,"),
            ("causes", "the key was replaced\nthe clock is off"),
            ("changes", "another key preview 2m before"),
            ("symptoms", "PortfolioSyncStale since 09:20:41"),
            ("codes", "40101"),
            ("count", "3"),
            ("span", "40s"),
            ("runbook_url", "https://wiki.example.org/runbooks/exchange-authentication-is-failing"),
        ]),
        starts_at: at("2026-03-14T09:12:41.318Z"),
        ends_at: (!is_firing).then(|| at("2026-03-14T09:24:42.318Z")),
        value: 3.0,
    }
}

fn notification(alerts: Vec<AlertNotice>) -> Notification {
    Notification {
        id: "n-1".to_owned(),
        receiver: "ops".to_owned(),
        route: "{}".to_owned(),
        group_labels: texts(&[("alertname", "ExchangeAuthFailing")]),
        is_firing: alerts.iter().any(|a| a.is_firing),
        sequence: 1,
        thread: "ExchangeAuthFailing/7".to_owned(),
        decided_at: at("2026-03-14T09:12:43Z"),
        is_past: false,
        is_test: false,
        alerts,
    }
}

fn rendered(notification: &Notification, receiver: &ReceiverPlan) -> Outgoing {
    render(notification, receiver, &NotifyPlan::default(), &Redactor::default())
}

/// Everything that leaves, in one text; JSON with its escapes undone.
fn everything(outgoing: &Outgoing) -> String {
    match &outgoing.body {
        OutgoingBody::Http { content_type, headers, body } => {
            let mut out = format!("{headers:?}\n");
            match serde_json::from_str::<Value>(body) {
                Ok(json) if content_type == "application/json" => strings(&json, &mut out),
                _ => out.push_str(body),
            }
            out
        }
        OutgoingBody::Mail { subject, text, html, message_id, in_reply_to } => {
            format!("{subject}\n{text}\n{html}\n{message_id}\n{in_reply_to:?}")
        }
    }
}

fn strings(json: &Value, out: &mut String) {
    match json {
        Value::String(text) => *out = format!("{out}{text}\n"),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(map) => map.iter().for_each(|(name, item)| {
            *out = format!("{out}{name}\n");
            strings(item, out);
        }),
        _ => {}
    }
}

fn json(outgoing: &Outgoing) -> Value {
    let OutgoingBody::Http { body, .. } = &outgoing.body else { panic!("no HTTP body") };
    serde_json::from_str(body).unwrap()
}

const SECRETS: &[&str] = &[
    "abcdef0123456789TOKEN",
    "hunter22hunter22",
    "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
    "FAKEKEYFAKEKEYFAKEKEYFAKEKEYFAKEKEYFAKEKEY99",
    "203.0.113.7",
    "T000/B000/XXXX",
    "pa55w0rd",
    "MIIEvQIBADANBg",
];

/// Control characters, markup of every format, mentions and secrets.
fn hostile_text() -> String {
    [
        "\u{1b}[31mred\u{7}\0\u{202e}",
        "<script>alert(1)</script><img src=\"http://evil.example/x.png\">",
        "<!channel> <!here> <@U0001> @channel @here @Everyone",
        "```*bold*_it_~gone~ [a](http://b) <https://evil.example|Runbook>",
        "\r\nBcc: victim@example.org",
        "Authorization: Bearer abcdef0123456789TOKEN password=hunter22hunter22",
        "signature=00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
        "string_to_sign=private/user-balance1FAKEKEYFAKEKEYFAKEKEYFAKEKEYFAKEKEYFAKEKEY99",
        "from 203.0.113.7 https://hooks.slack.com/services/T000/B000/XXXX postgres://u:pa55w0rd@db/x",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBg",
        "-----END PRIVATE KEY-----",
        "it's \"quoted\" & <b>bold</b> \\ %s {{braces}} \u{1f525}",
    ]
    .join("\n")
}

fn hostile(is_firing: bool) -> Notification {
    let text = hostile_text();
    let mut first = notice("private/user-balance", is_firing);
    for key in
        ["description", "evidence", "causes", "changes", "symptoms", "codes", "count", "reason", "lasted"]
    {
        first.annotations.insert(key.to_owned(), text.clone());
    }
    first.annotations.insert("summary".to_owned(), text.replace('\n', " ") + &"x y".repeat(350_000));
    first.annotations.insert("runbook_url".to_owned(), "javascript:alert(1)//\" onclick=x".to_owned());
    first.labels.insert("method".to_owned(), text.clone());
    let mut second = notice("private/get-positions", is_firing);
    second.annotations = texts(&[
        ("evidence", &vec![text.as_str(); 200].join("\n")),
        ("runbook_url", "https://wiki.example.org/x?token=hunter22hunter22"),
    ]);
    let mut all = vec![first, second];
    all.extend((0..120).map(|n| notice(&format!("private/call-{n}"), is_firing)));
    let mut out = notification(all);
    out.group_labels.insert("method".to_owned(), text);
    out
}

/// As many alerts as nobody should have, each with long texts.
fn crowd() -> Notification {
    let mut all: Vec<AlertNotice> = (0..500).map(|n| notice(&format!("private/call-{n}"), true)).collect();
    all[0].annotations.insert("description".to_owned(), "long words ".repeat(100_000));
    all[1].annotations.insert("evidence".to_owned(), "one more line\n".repeat(75_000));
    for alert in all.iter_mut().take(10) {
        alert.annotations.insert("description".to_owned(), "long words ".repeat(200));
    }
    notification(all)
}

/// Characters of two UTF-16 units around every limit.
fn emoji_at_the_cut(shift: usize) -> Notification {
    let text = "x".repeat(shift) + &"\u{1f525}".repeat(1_200);
    let mut all = vec![notice("private/a", true)];
    for key in ["summary", "description", "evidence", "causes"] {
        all[0].annotations.insert(key.to_owned(), text.clone());
    }
    all.extend((0..24).map(|n| notice(&format!("private/{n}{}", "\u{1f525}".repeat(60)), true)));
    notification(all)
}

fn variants() -> Vec<Notification> {
    let mut out =
        vec![notification(vec![notice("private/a", true)]), notification(vec![notice("private/a", false)])];
    out.push(notification(vec![
        notice("private/a", true),
        notice("private/b", true),
        notice("private/c", false),
    ]));
    for change in [
        |n: &mut Notification| n.is_test = true,
        |n: &mut Notification| n.sequence = 3,
        |n: &mut Notification| n.alerts[0].annotations.clear(),
        |n: &mut Notification| n.alerts.clear(),
    ] {
        let mut changed = out[0].clone();
        change(&mut changed);
        out.push(changed);
    }
    let mut past = out[1].clone();
    past.is_past = true;
    out.extend([past, hostile(true), hostile(false), crowd()]);
    out.extend((0..2).map(emoji_at_the_cut));
    out
}

#[test]
fn no_kind_lets_out_a_secret_or_a_control_character() {
    for variant in variants() {
        for plan in every_kind() {
            let text = everything(&rendered(&variant, &plan));
            for secret in SECRETS {
                assert!(!text.contains(secret), "{}: {secret}", plan.kind.as_str());
            }
            let bad =
                text.chars().find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'));
            assert_eq!(bad, None, "{}", plan.kind.as_str());
        }
    }
}

#[test]
fn every_kind_renders_the_same_bytes_again_and_stays_small() {
    for variant in variants() {
        for plan in every_kind() {
            let outgoing = rendered(&variant, &plan);
            assert_eq!(outgoing, rendered(&variant, &plan));
            assert_eq!((outgoing.id.as_str(), outgoing.receiver.as_str()), ("n-1", "ops"));
            assert_eq!(outgoing.thread, variant.thread);
            let size = everything(&outgoing).len();
            assert!(size < 1_100_000, "{}: {size} bytes", plan.kind.as_str());
        }
    }
}

#[test]
fn every_kind_tells_what_an_operator_needs() {
    let firing = notification(vec![notice("private/user-balance", true)]);
    for plan in every_kind() {
        let text = everything(&rendered(&firing, &plan));
        let mut wanted = vec!["private/user-balance: 3 in a row", "40101", "40s"];
        if !matches!(plan.kind, ReceiverKind::Console) {
            wanted.extend([
                "the key was replaced",
                "another key preview 2m before",
                "PortfolioSyncStale since 09:20:41",
                "response_status=401",
                "wiki.example.org/runbooks/exchange-authentication-is-failing",
                "127.0.0.1:9650",
            ]);
        }
        for part in wanted {
            assert!(text.contains(part), "{} lacks {part}: {text}", plan.kind.as_str());
        }
    }
    let ended = notification(vec![notice("private/user-balance", false)]);
    let people = every_kind().into_iter().filter(|plan| !is_for_programs(plan));
    for plan in people {
        let text = everything(&rendered(&ended, &plan));
        assert!(text.contains("[RESOLVED] ") && text.contains("lasted 12m 1s"), "{text}");
    }
}

#[test]
fn what_members_share_is_said_once_and_every_member_is_named() {
    let methods: Vec<String> = (1..=5).map(|n| format!("private/method-{n}")).collect();
    let mut group = notification(methods.iter().map(|method| notice(method, true)).collect());
    group.alerts[3].annotations.insert("causes".to_owned(), "only here".to_owned());
    for plan in [slack("http://x/"), email(), telegram("http://x", true), pagerduty("http://x/")] {
        let text = everything(&rendered(&group, &plan));
        // A mail has two parts.
        let parts = if matches!(plan.kind, ReceiverKind::Email(_)) { 2 } else { 1 };
        assert_eq!(text.matches("the clock is off").count(), parts, "{text}");
        assert_eq!(text.matches("only here").count(), parts);
        assert!(methods.iter().all(|method| text.contains(&format!("{method}: 3 in a row"))), "{text}");
        assert!(!text.contains("did not fit"), "{text}");
    }
}

#[test]
fn every_kind_marks_a_test_a_late_notice_an_escalation_and_a_reminder() {
    let base = notification(vec![notice("private/a", true)]);
    let with_reason = |reason: &str| {
        let mut changed = base.clone();
        changed.sequence = 2;
        changed.alerts[0].annotations.insert("reason".to_owned(), reason.to_owned());
        changed
    };
    let mut test = base.clone();
    test.is_test = true;
    let mut past = notification(vec![notice("private/a", false)]);
    past.is_past = true;
    for plan in every_kind() {
        let is_webhook = matches!(plan.kind, ReceiverKind::Webhook { .. });
        if matches!(plan.kind, ReceiverKind::Alertmanager(_)) {
            // It words notices by itself.
            assert!(everything(&rendered(&test, &plan)).contains("notice\ntest\n"));
            continue;
        }
        assert!(everything(&rendered(&test, &plan)).contains("[TEST]"), "{}", plan.kind.as_str());
        for (notification, word) in [
            (&past, "past"),
            (&with_reason("escalated"), "escalation"),
            (&with_reason("reminder"), "reminder"),
        ] {
            let text = everything(&rendered(notification, &plan));
            let wanted = if is_webhook { format!("notice\n{word}\n") } else { format!("] {word}: ") };
            assert!(text.contains(&wanted), "{} lacks {wanted}: {text}", plan.kind.as_str());
        }
    }
}
