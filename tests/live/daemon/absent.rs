//! Receivers that misbehave in every way, and what becomes of what they were
//! to be told.

use serde_json::Value;

use super::hook::{Answer, Hook, Request};
use super::kit::{Setup, until};
use super::pack::request_text;
use super::trouble::{append, setup, terminate};

const NAME: &str = "ExchangeAuthFailing";

fn counted(receiver: &str, outcome: &str) -> String {
    format!("tocsin_notifications_total{{receiver=\"{receiver}\",outcome=\"{outcome}\"}}")
}

/// Those that the receiver took.
fn taken(hook: &Hook) -> Vec<Request> {
    hook.seen().into_iter().filter(|r| r.answer == Answer::Status(200)).collect()
}

fn is_marked(request: &Request) -> bool {
    request.header("x-tocsin-notice") == Some("past")
}

/// Makes what waits as old as if its receiver had been away for five hours.
fn five_hours_pass(setup: &Setup) {
    let sql = rusqlite::Connection::open(setup.state().join("state.db")).unwrap();
    let hours = 5 * 3_600 * 1_000_000_000_i64;
    let change =
        "UPDATE outbox SET created_at = created_at - ?1, next_attempt_at = 0 WHERE state = 'pending'";
    assert!(sql.execute(change, [hours]).unwrap() > 0);
    sql.execute("UPDATE threads SET begun_at = begun_at - ?1", [hours]).unwrap();
}

#[test]
fn receivers_that_refuse_break_off_or_never_end_are_told_in_the_end_and_hinder_nobody() {
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let date = date.strftime("Retry-After: %a, %d %b %Y %H:%M:%S GMT").to_string();
    let elsewhere = Hook::new();
    let location = format!("Location: {}", elsewhere.url());
    let passing = [
        ("busy", Answer::With(429, "Retry-After: 2")),
        ("dated", Answer::With(503, date.leak())),
        ("failing", Answer::Status(500)),
        ("timed-out", Answer::Status(408)),
        ("reset", Answer::Reset),
        ("hanging", Answer::Hang),
    ];
    let taking = [("half", Answer::HalfBody), ("huge", Answer::Huge)];
    let refusing = [("moved", Answer::With(307, location.leak())), ("gone", Answer::Status(410))];
    let all = [&passing[..], &taking[..], &refusing[..]].concat();
    let hooks: Vec<Hook> = all
        .iter()
        .map(|(_, answer)| {
            let hook = Hook::new();
            hook.set(*answer);
            hook
        })
        .collect();
    let names = all.iter().zip(&hooks);
    let receivers: String = names.map(|((name, _), hook)| hook.receiver(name, "timeout = \"1s\"")).collect();
    let good = Hook::new();
    let setup = setup(&(receivers + &good.receiver("good", "")));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    good.until(&format!("{NAME} firing"));
    for ((name, _), hook) in all.iter().zip(&hooks) {
        until(&format!("an attempt at {name}"), || !hook.seen().is_empty());
    }
    for (name, _) in &passing {
        daemon.until_said(&format!("to {name} failed (attempt 1"));
    }
    hooks.iter().for_each(|hook| hook.set(Answer::Status(200)));
    for ((name, answer), hook) in all.iter().zip(&hooks) {
        if refusing.iter().any(|(refusing, _)| refusing == name) {
            daemon.until_metric(&counted(name, "given_up"), 1.0);
            assert_eq!(hook.seen().len(), 1, "{name} was asked again");
            continue;
        }
        daemon.until_metric(&counted(name, "delivered"), 1.0);
        let seen = hook.seen();
        assert!(seen.iter().all(|r| r.body == seen[0].body), "{name} got another text");
        let keys: Vec<_> = seen.iter().map(|r| r.header("idempotency-key").unwrap()).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{name}: {keys:?}");
        if taking.contains(&(name, *answer)) {
            assert_eq!(seen.len(), 1, "{name} had answered");
        } else {
            daemon.until_metric(&counted(name, "failed"), (seen.len() - 1) as f64);
        }
        if *name == "busy" {
            assert!(seen[1].at - seen[0].at >= std::time::Duration::from_secs(2), "it asked for two seconds");
        }
    }
    assert!(elsewhere.seen().is_empty(), "a redirect was followed");
    assert_eq!(good.seen().len(), 1);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn what_is_given_up_is_counted_shown_and_logged_and_its_end_is_told_as_past() {
    let (hook, slack) = (Hook::new(), Hook::new());
    hook.set(Answer::Status(503));
    slack.set(Answer::Status(404));
    let as_slack = slack.receiver("slack", "").replace("\"webhook\"", "\"slack\"");
    let limit = "[notify]\ngive_up_after = \"2s\"\n";
    let setup = setup(&(hook.receiver("hook", "") + &as_slack + limit));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    daemon.until_metric(&counted("hook", "given_up"), 1.0);
    daemon.until_metric(&counted("slack", "given_up"), 1.0);
    assert!(hook.seen().len() > 1, "it was tried again before");
    assert_eq!(slack.seen().len(), 1, "it was permanent");
    daemon.until_metric("tocsin_outbox_pending{receiver=\"hook\"}", 0.0);
    assert!(daemon.said().contains("to hook is given up after "), "{}", daemon.said());
    let status: Value = serde_json::from_str(&daemon.get("/api/v1/status").unwrap().1).unwrap();
    let of_hook = status["outbox"].as_array().unwrap().iter().find(|o| o["receiver"] == "hook").unwrap();
    assert_eq!((&of_hook["outcomes"]["given_up"], &of_hook["last_error"]), (&1.into(), &"HTTP 503".into()));
    assert!(daemon.get("/").unwrap().1.contains("HTTP 404"));

    hook.set(Answer::Status(200));
    slack.set(Answer::Status(200));
    append(&setup, &request_text(true));
    let end = hook.until(&format!("{NAME} resolved"));
    assert!(is_marked(&end));
    assert_eq!(end.json()["alerts"][0]["annotations"]["notice"], "past");
    until("the message", || taken(&slack).len() == 1);
    assert!(taken(&slack)[0].body.contains("[RESOLVED] past: "), "{}", taken(&slack)[0].body);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn what_began_and_ended_while_a_receiver_was_away_is_told_as_what_it_is() {
    let (hook, slack) = (Hook::new(), Hook::new());
    hook.set(Answer::Status(503));
    slack.set(Answer::Status(503));
    let as_slack = slack.receiver("slack", "").replace("\"webhook\"", "\"slack\"");
    let setup = setup(&(hook.receiver("hook", "") + &as_slack));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    until("attempts", || !hook.seen().is_empty() && !slack.seen().is_empty());
    append(&setup, &request_text(true));
    for name in ["hook", "slack"] {
        daemon.until_metric(&format!("tocsin_outbox_pending{{receiver=\"{name}\"}}"), 2.0);
    }
    assert_eq!(terminate(daemon).code(), Some(0));
    five_hours_pass(&setup);

    hook.set(Answer::Status(200));
    slack.set(Answer::Status(200));
    let daemon = setup.start_live();
    daemon.until_metric(&counted("hook", "delivered"), 2.0);
    daemon.until_metric(&counted("slack", "delivered"), 1.0);
    daemon.until_metric("tocsin_outbox_pending{receiver=\"slack\"}", 0.0);
    // A program gets both, in order and marked; the firing's text is that of
    // every attempt before.
    let both = taken(&hook);
    let told: Vec<String> = both.iter().map(Request::what).collect();
    assert_eq!(told, [format!("{NAME} firing"), format!("{NAME} resolved")]);
    assert!(both.iter().all(is_marked));
    assert_eq!(both[1].json()["alerts"][0]["annotations"]["notice"], "past");
    let before = hook.seen().into_iter().find(|r| r.answer == Answer::Status(503)).unwrap();
    assert!(before.body == both[0].body && !is_marked(&before));
    // People are told once that it is over and when it was.
    let messages = taken(&slack);
    assert_eq!(messages.len(), 1);
    let text = messages[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("[RESOLVED] past: ExchangeAuthFailing: "), "{text}");
    assert!(messages[0].body.contains("It is over: it began 2"), "{}", messages[0].body);
    assert!(!messages[0].body.contains("[FIRING]"), "{}", messages[0].body);
    assert!(daemon.said().contains("is not sent any more: its incident is over"), "{}", daemon.said());
    assert_eq!(terminate(daemon).code(), Some(0));
}
