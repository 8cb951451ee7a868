//! Receivers of hosted services, through the real binary against servers that
//! check every request against what the service documents and answer with its
//! words.

#[path = "../../it/notifier/strict.rs"]
mod strict;

use super::hook::{Answer, Hook, Request};
use super::kit::{Setup, until};
use super::pack::request_text;

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const KEY: &str = "0123456789abcdef0123456789ABCDEF";
const BUSY: &str = "{\"ok\":false,\"error_code\":429,\"description\":\"Too Many Requests: retry after 1\",\
                    \"parameters\":{\"retry_after\":1}}";
const KICKED: &str =
    "{\"ok\":false,\"error_code\":403,\"description\":\"Forbidden: bot was kicked from the group chat\"}";
const SENT: &str =
    "{\"ok\":true,\"result\":{\"message_id\":9,\"date\":1,\"chat\":{\"id\":-100,\"type\":\"group\"}}}";
const TAKEN: &str = "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"x\"}";
const NO_EVENT: &str = "{\"status\":\"invalid event\",\"message\":\"Event object is invalid\",\
                        \"errors\":[\"Length of 'routing_key' is incorrect (should be 32 characters)\"]}";

fn address(hook: &Hook) -> String {
    hook.url().trim_end_matches("/hook").to_owned()
}

fn receivers(telegram: &Hook, pagerduty: &Hook) -> String {
    format!(
        "[[receiver]]\nname = \"chat\"\ntype = \"telegram\"\nurl = \"{}\"\ntoken = \"{TOKEN}\"\nchat_id = -100\n\
         [[receiver]]\nname = \"duty\"\ntype = \"pagerduty\"\nurl = \"{}/v2/enqueue\"\nrouting_key = \"{KEY}\"\n",
        address(telegram),
        address(pagerduty),
    )
}

fn check_telegram(request: &Request) {
    assert_eq!(request.path, format!("/bot{TOKEN}/sendMessage"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    strict::telegram(&request.json());
}

fn check_pagerduty(request: &Request) {
    assert_eq!(request.path, "/v2/enqueue");
    assert_eq!(request.header("content-type"), Some("application/json"));
    strict::pagerduty(&request.json());
}

#[test]
fn telegram_and_pagerduty_are_told_of_an_incident_and_of_its_end() {
    let (telegram, pagerduty) = (Hook::new(), Hook::new());
    telegram.set(Answer::Says(429, BUSY));
    pagerduty.set(Answer::Says(202, TAKEN));
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("proxy.log");
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n{}\
         [override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n",
        log.display(),
        dir.path().join("backend.log").display(),
        receivers(&telegram, &pagerduty),
    );
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    std::fs::write(&log, request_text(false).repeat(3)).unwrap();
    until("a first attempt at Telegram", || !telegram.seen().is_empty());
    telegram.set(Answer::Says(200, SENT));
    daemon.until_metric("tocsin_notifications_total{receiver=\"chat\",outcome=\"delivered\"}", 1.0);
    until("the trigger", || !pagerduty.seen().is_empty());
    std::fs::write(&log, request_text(false).repeat(3) + &request_text(true)).unwrap();
    daemon.until_metric("tocsin_notifications_total{receiver=\"chat\",outcome=\"delivered\"}", 2.0);
    daemon.until_metric("tocsin_notifications_total{receiver=\"duty\",outcome=\"delivered\"}", 2.0);

    let sent = telegram.seen();
    sent.iter().for_each(check_telegram);
    let [first, again, end] = sent.as_slice() else { panic!("{} messages", sent.len()) };
    assert_eq!(first.body, again.body, "the same text on every attempt");
    // A second was asked for; 100 ms are the machine's.
    assert!(again.at.duration_since(first.at).as_millis() >= 900, "Telegram's wait is kept");
    assert!(end.json()["text"].as_str().unwrap().starts_with("<b>[RESOLVED] ExchangeAuthFailing"));
    let events = pagerduty.seen();
    events.iter().for_each(check_pagerduty);
    let events: Vec<_> = events.iter().map(Request::json).collect();
    assert_eq!(
        (&events[0]["event_action"], &events[1]["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(events[0]["payload"]["severity"], "critical");

    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    for (place, bytes) in setup.written() {
        let text = String::from_utf8_lossy(&bytes);
        for secret in [KEY, "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"] {
            assert!(!text.contains(secret), "a secret stands in {place}");
        }
    }
}

#[test]
fn send_test_shows_what_the_service_says() {
    let (telegram, pagerduty) = (Hook::new(), Hook::new());
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log").display().to_string();
    let source =
        |name: &str| format!("[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{log}\"]\n");
    let text = source("crypto-proxy") + &source("backend") + &receivers(&telegram, &pagerduty);
    let setup = Setup::new(dir, &text);
    for (hook, receiver, answer, code, shown) in [
        (&telegram, "chat", Answer::Says(200, SENT), 0, "chat answered 200 {\"ok\":true"),
        (&telegram, "chat", Answer::Says(403, KICKED), 1, "Forbidden: bot was kicked from the group chat"),
        (&pagerduty, "duty", Answer::Says(202, TAKEN), 0, "Event processed"),
        (&pagerduty, "duty", Answer::Says(400, NO_EVENT), 1, "Length of 'routing_key' is incorrect"),
    ] {
        hook.set(answer);
        let output = setup.run(&["send-test", receiver]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(shown), "{said}");
    }
    telegram.seen().iter().for_each(check_telegram);
    pagerduty.seen().iter().for_each(check_pagerduty);
    assert!(telegram.seen()[0].body.contains("[TEST]"));
}
