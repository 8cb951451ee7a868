//! What each service documents of its requests, as strict as the service or
//! stricter: every field has to be a documented one, of its type and within
//! its limit. A body that fails panics with what is wrong. Shared with the live tests.

#![allow(dead_code, reason = "two test programs use different parts")]

use serde_json::Value;

/// Telegram's `sendMessage`: <https://core.telegram.org/bots/api#sendmessage>.
pub fn telegram(body: &Value) {
    fields(
        body,
        &["chat_id", "text"],
        &["message_thread_id", "parse_mode", "link_preview_options", "disable_notification"],
    );
    let chat = &body["chat_id"];
    assert!(chat.is_i64() || chat.as_str().is_some_and(|name| name.starts_with('@')), "{chat}");
    if let Some(thread) = body.get("message_thread_id") {
        assert!(thread.as_i64().is_some_and(|id| id > 0), "{thread}");
    }
    assert_eq!(body["link_preview_options"], serde_json::json!({"is_disabled": true}));
    assert!(body["disable_notification"].is_boolean());
    let text = body["text"].as_str().unwrap();
    let shown = match body.get("parse_mode").map(|mode| mode.as_str().unwrap()) {
        Some("HTML") => telegram_html(text),
        None => text.to_owned(),
        Some(other) => panic!("parse_mode {other}"),
    };
    let length = shown.encode_utf16().count();
    assert!((1..=4_096).contains(&length), "{length} characters");
    assert!(!shown.trim().is_empty());
}

/// Telegram's HTML (<https://core.telegram.org/bots/api#html-style>): its
/// tags, closed in order, its four named entities; gives the text as shown.
pub fn telegram_html(html: &str) -> String {
    const TAGS: &[&str] = &["b", "strong", "i", "em", "u", "s", "code", "pre", "blockquote", "a"];
    let (mut shown, mut open, mut entities) = (String::new(), Vec::new(), 0);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '>', '&']) {
        shown.push_str(&rest[..at]);
        let end = if rest[at..].starts_with('&') { ';' } else { '>' };
        assert!(!rest[at..].starts_with('>'), "a bare > in {rest}");
        let length = rest[at..].find(end).unwrap_or_else(|| panic!("no {end} in {rest}"));
        let inner = &rest[at + 1..at + length];
        if end == ';' {
            shown.push_str(match inner {
                "lt" => "<",
                "gt" => ">",
                "amp" => "&",
                "quot" => "\"",
                "#39" => "'",
                other => panic!("entity {other}"),
            });
        } else if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{html}");
        } else {
            let (name, attribute) = inner.split_once(' ').unwrap_or((inner, ""));
            assert!(TAGS.contains(&name), "<{inner}>");
            let is_link =
                attribute.strip_prefix("href=\"http").is_some_and(|href| href.matches('"').count() == 1);
            assert!(if name == "a" { is_link } else { attribute.is_empty() }, "<{inner}>");
            open.push(name.to_owned());
            entities += 1;
        }
        rest = &rest[at + length + 1..];
    }
    assert!(open.is_empty() && entities <= 100, "{open:?}, {entities}");
    shown + rest
}

/// PagerDuty's Events API v2 as it arrives, routing key and all:
/// <https://developer.pagerduty.com/docs/send-alert-event>.
pub fn pagerduty(body: &Value) {
    let key = body["routing_key"].as_str().unwrap();
    assert_eq!(key.chars().count(), 32, "Length of 'routing_key' is incorrect (should be 32 characters)");
    let mut rest = body.clone();
    rest.as_object_mut().unwrap().remove("routing_key");
    pagerduty_without_key(&rest);
}

/// The same as it is stored.
pub fn pagerduty_without_key(body: &Value) {
    assert!(body.to_string().len() <= 512 * 1024, "an event holds at most 512 KB");
    fields(body, &["event_action", "dedup_key", "payload"], &["client", "client_url", "links", "images"]);
    assert!(["trigger", "acknowledge", "resolve"].contains(&body["event_action"].as_str().unwrap()));
    let dedup_key = body["dedup_key"].as_str().unwrap();
    assert!((1..=255).contains(&dedup_key.chars().count()), "{dedup_key}");
    let payload = &body["payload"];
    fields(
        payload,
        &["summary", "source", "severity"],
        &["timestamp", "component", "group", "class", "custom_details"],
    );
    let summary = payload["summary"].as_str().unwrap();
    assert!((1..=1_024).contains(&summary.encode_utf16().count()), "{summary}");
    assert!(!payload["source"].as_str().unwrap().is_empty());
    assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap()));
    assert!(tocsin::model::Time::parse_rfc3339(payload["timestamp"].as_str().unwrap()).is_some());
    assert!(payload["custom_details"].is_object());
    for link in body["links"].as_array().unwrap() {
        fields(link, &["href"], &["text"]);
        assert!(link["href"].as_str().unwrap().starts_with("http"), "{link}");
    }
}

/// Alertmanager's `postableAlerts`, and what its handler refuses:
/// <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
pub fn alertmanager(body: &Value) {
    for alert in body.as_array().unwrap() {
        fields(alert, &["labels"], &["annotations", "startsAt", "endsAt", "generatorURL"]);
        let time = |name: &str| {
            let text = alert.get(name)?.as_str().unwrap();
            Some(tocsin::model::Time::parse_rfc3339(text).unwrap_or_else(|| panic!("{text} is no time")))
        };
        if let (Some(starts), Some(ends)) = (time("startsAt"), time("endsAt")) {
            assert!(starts <= ends, "start time must be before end time");
        }
        assert!(!alert["labels"].as_object().unwrap().is_empty(), "at least one label pair required");
        assert!(alert["labels"]["alertname"].is_string());
        for set in ["labels", "annotations"] {
            for (name, value) in alert[set].as_object().unwrap() {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                assert!(
                    name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()),
                    "{name}"
                );
                assert!(!value.as_str().unwrap().is_empty(), "{name} is empty");
            }
        }
    }
}

fn fields(value: &Value, needed: &[&str], allowed: &[&str]) {
    let object = value.as_object().unwrap();
    for name in needed {
        assert!(object.contains_key(*name), "{name} is missing in {value}");
    }
    for name in object.keys() {
        assert!(needed.contains(&name.as_str()) || allowed.contains(&name.as_str()), "{name} is no field");
    }
}
