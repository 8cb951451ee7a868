//! Telegram and PagerDuty: documented fields and limits on every kind of
//! notice, and what every service reached by HTTP has in common when it fails.

use std::io::Write;
use std::time::Duration;

use tocsin::config::plan::ReceiverKind;
use tocsin::model::{Notification, Outgoing, OutgoingBody, Severity, Time};
use tocsin::notifier::{Verdict, classify};
use tocsin::transport::{Answer, Sender};

use super::transport::{read_request, serve_by};
use super::{
    every_http_kind, every_kind, hostile, json, notice, notification, pagerduty, rendered, strict, telegram,
    variants,
};

const OWN_SECRETS: &[&str] =
    &["AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "0123456789abcdef0123456789ABCDEF", "sEcReTsEcReT"];

#[test]
fn telegram_messages_keep_to_what_telegram_documents() {
    for variant in variants() {
        for is_html in [true, false] {
            strict::telegram(&json(&rendered(&variant, &telegram("http://x", is_html))));
        }
    }
}

#[test]
fn no_text_of_a_log_calls_anybody_on_telegram_or_becomes_a_link() {
    for (is_html, is_firing) in [(true, true), (true, false), (false, true), (false, false)] {
        let body = json(&rendered(&hostile(is_firing), &telegram("http://x", is_html)));
        let text = body["text"].as_str().unwrap();
        for part in ["@channel", "@here", "@Everyone", "<script", "<!channel"] {
            let quoted = text.contains("<pre>") && part.starts_with('@');
            assert!(quoted || !is_html && part.starts_with('<') || !text.contains(part), "{part} in {text}");
        }
        let links = text.matches("<a href=").count();
        assert_eq!(
            links,
            text.matches("<a href=\"http://127.0.0.1:9650/\">Status page</a>").count(),
            "{text}"
        );
    }
    let mut long = notification(vec![notice("private/a", true)]);
    long.alerts[0].annotations.insert("description".to_owned(), "words ".repeat(1_000));
    long.alerts.extend((0..60).map(|n| notice(&format!("private/{n}"), true)));
    let body = json(&rendered(&long, &telegram("http://x", true)));
    assert!(
        body["text"].as_str().unwrap().ends_with("…\nThe rest did not fit; see the status page."),
        "{body}"
    );
}

#[test]
fn pagerduty_events_keep_to_what_pagerduty_documents() {
    for variant in variants() {
        strict::pagerduty_without_key(&json(&rendered(&variant, &pagerduty("http://x/"))));
    }
}

#[test]
fn one_incident_is_one_alert_at_pagerduty_from_trigger_to_resolve() {
    let event = |change: &dyn Fn(&mut Notification)| {
        let mut n = notification(vec![notice("private/a", true)]);
        change(&mut n);
        n.is_firing = n.alerts.iter().any(|a| a.is_firing);
        json(&rendered(&n, &pagerduty("http://x/")))
    };
    let first = event(&|n| n.alerts[0].severity = Severity::Warning);
    let escalated = event(&|n| n.sequence = 2);
    let ended = event(&|n| n.alerts = vec![notice("private/a", false)]);
    let past = event(&|n| (n.alerts, n.is_past) = (vec![notice("private/a", false)], true));
    let keys: Vec<&str> =
        [&first, &escalated, &ended, &past].iter().map(|e| e["dedup_key"].as_str().unwrap()).collect();
    assert!(keys.iter().all(|key| *key == "ExchangeAuthFailing/7"), "{keys:?}");
    let actions: Vec<&str> =
        [&first, &escalated, &ended, &past].iter().map(|e| e["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "trigger", "resolve", "resolve"]);
    assert_eq!(
        (&first["payload"]["severity"], &escalated["payload"]["severity"]),
        (&"warning".into(), &"critical".into())
    );
    assert_eq!(
        (&first["payload"]["source"], &first["payload"]["class"]),
        (&"crypto-proxy".into(), &"ExchangeAuthFailing".into())
    );
    let other = event(&|n| n.thread = "ExchangeAuthFailing/8".to_owned());
    let long = event(&|n| n.thread = "x".repeat(300));
    let longer = event(&|n| n.thread = "x".repeat(301));
    assert!(other["dedup_key"] != first["dedup_key"] && long["dedup_key"] != longer["dedup_key"]);
}

#[test]
fn every_kind_judges_answers_alike() {
    for plan in every_kind().iter().filter(|plan| !matches!(plan.kind, ReceiverKind::Email(_))) {
        let judged = |status| classify(&plan.kind, status, None, "", Time(0));
        for status in [200, 201, 202, 204] {
            assert_eq!(judged(status), Verdict::Accepted, "{}: {status}", plan.kind.as_str());
        }
        for status in [301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422] {
            assert!(matches!(judged(status), Verdict::Never { .. }), "{}: {status}", plan.kind.as_str());
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 529] {
            assert!(matches!(judged(status), Verdict::Later { .. }), "{}: {status}", plan.kind.as_str());
        }
        let Verdict::Later { after, .. } = classify(&plan.kind, 429, Some("30"), "", Time(0)) else {
            panic!()
        };
        assert_eq!(after, Some(Duration::from_secs(30)), "{}", plan.kind.as_str());
    }
}

#[tokio::test]
async fn telegram_says_in_its_body_how_long_to_wait() {
    let answer = "{\"ok\":false,\"error_code\":429,\"description\":\"Too Many Requests: retry after 35\",\
                  \"parameters\":{\"retry_after\":35}}";
    let reply = format!("HTTP/1.1 429 Too Many Requests\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    let (address, server) = serve_by(move |mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(reply.as_bytes()).unwrap();
        request
    });
    let plan = telegram(&format!("http://{address}/"), true);
    let outgoing = rendered(&notification(vec![notice("private/a", true)]), &plan);
    let answer = Sender::new(&plan).unwrap().send(&outgoing, 0).await;
    let Answer::Status { code, retry_after, excerpt } = answer else { panic!("{answer:?}") };
    let verdict = classify(&plan.kind, code, retry_after.as_deref(), &excerpt, Time(0));
    let Verdict::Later { after, why } = verdict else { panic!("{verdict:?}") };
    assert_eq!(after, Some(Duration::from_secs(35)));
    assert!(why.contains("Too Many Requests"), "{why}");
    let request = server.join().unwrap();
    let line = "POST /bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn the_routing_key_is_added_where_the_event_is_sent_and_stored_nowhere() {
    let (address, server) = serve_by(|mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
        request
    });
    let plan = pagerduty(&format!("http://{address}/v2/enqueue"));
    let outgoing = rendered(&hostile(true), &plan);
    let OutgoingBody::Http { body, .. } = &outgoing.body else { panic!() };
    assert!(!body.contains(OWN_SECRETS[1]));
    let answer = Sender::new(&plan).unwrap().send(&outgoing, 0).await;
    assert!(matches!(answer, Answer::Status { code: 202, .. }), "{answer:?}");
    let request = server.join().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v2/enqueue HTTP/1.1\r\n"), "{head}");
    strict::pagerduty(&serde_json::from_str(body).unwrap());
}

/// Sends to a server that repeats the whole request in its answer.
async fn echoed(build: impl Fn(&str) -> tocsin::config::plan::ReceiverPlan, status: &'static str) -> Answer {
    let (address, server) = serve_by(move |mut stream| {
        let request = read_request(&mut stream);
        // Head and body one after the other, each first once.
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let echo = if status.starts_with('4') { format!("{head} {body}") } else { format!("{body} {head}") };
        let _ = stream.write_all(
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{echo}", echo.len()).as_bytes(),
        );
        request
    });
    let plan = build(&format!("http://{address}/services/sEcReTsEcReT"));
    let outgoing: Outgoing = rendered(&notification(vec![notice("private/a", true)]), &plan);
    let answer = Sender::new(&plan).unwrap().send(&outgoing, 0).await;
    server.join().unwrap();
    answer
}

#[tokio::test]
async fn no_secret_of_a_receiver_comes_back_in_an_answer_or_an_error() {
    for kind in 0..every_http_kind("http://x/").len() {
        for status in ["400 Bad", "500 Oops"] {
            let answer = echoed(|url| every_http_kind(url).swap_remove(kind), status).await;
            let text = format!("{answer:?}");
            assert!(OWN_SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        }
        // A reset, and a port where nobody listens.
        let (address, server) = serve_by(|stream| {
            drop(stream);
            String::new()
        });
        let plan = every_http_kind(&format!("http://{address}/services/sEcReTsEcReT")).swap_remove(kind);
        let outgoing = rendered(&notification(vec![notice("private/a", true)]), &plan);
        let sender = Sender::new(&plan).unwrap();
        let reset = sender.send(&outgoing, 0).await;
        server.join().unwrap();
        for answer in [reset, sender.send(&outgoing, 0).await] {
            let text = format!("{answer:?}");
            assert!(matches!(answer, Answer::Failed { .. }), "{text}");
            assert!(OWN_SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
        }
        assert!(OWN_SECRETS.iter().all(|secret| !format!("{plan:?}").contains(secret)));
    }
}

#[tokio::test]
async fn a_service_that_hangs_ends_at_the_time_limit() {
    for kind in 0..every_http_kind("http://x/").len() {
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let (address, server) = serve_by(move |stream| {
            let _ = held.recv_timeout(Duration::from_secs(60));
            drop(stream);
            String::new()
        });
        let mut plan = every_http_kind(&format!("http://{address}")).swap_remove(kind);
        plan.timeout = Duration::from_millis(200);
        let outgoing = rendered(&notification(vec![notice("private/a", true)]), &plan);
        let answer = Sender::new(&plan).unwrap().send(&outgoing, 0).await;
        assert!(matches!(&answer, Answer::Failed { why } if why.contains("no answer within")), "{answer:?}");
        drop(let_go);
        server.join().unwrap();
    }
}
