//! What an incident's texts say, as the operator reads them at night.

use std::time::Duration;

use super::world::{BACKEND, PROXY, World, text};

#[test]
fn the_evidence_shows_each_failure_in_a_line_of_its_own() {
    let mut w = World::new();
    for method in ["other", "one", "one", "one"] {
        w.wait(7);
        w.refused(method, 1);
    }
    assert_eq!(
        text(&w.told[0], "evidence").lines().collect::<Vec<_>>(),
        [
            "09:00:14 INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] method=one | response_status=401 | response_body={ | \"code\": 40101,",
            "09:00:21 INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] method=one | response_status=401 | response_body={ | \"code\": 40101,",
            "09:00:28 INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] method=one | response_status=401 | response_body={ | \"code\": 40101,",
        ]
    );
    assert_eq!(text(&w.told[0], "count"), "3");
    assert_eq!(text(&w.told[0], "span"), "2026-03-14T09:00:14.000Z to 2026-03-14T09:00:28.000Z");
    assert_eq!(text(&w.told[0], "codes"), "40101 (3)");
    assert!(text(&w.told[0], "causes").lines().count() > 1);
}

#[test]
fn a_failure_of_long_ago_is_no_evidence_of_what_begins_now() {
    let mut w = World::new();
    w.refused("one", 1);
    for _ in 0..10 {
        w.wait(120);
        w.ok("one");
    }
    let began = w.now;
    for _ in 0..4 {
        w.refused("one", 1);
        w.ok("one");
    }
    w.wait(5);
    let told = w.told.last().unwrap();
    assert_eq!((told.alerts[0].alert.as_str(), text(told, "count")), ("ExchangeAuthUnstable", "4"));
    assert!(text(told, "span").starts_with(&began.to_rfc3339()), "{}", text(told, "span"));
}

#[test]
fn an_end_says_how_long_it_lasted_and_how_many_failures_it_counted() {
    let mut w = World::new();
    w.refused("one", 3);
    w.wait(60);
    w.refused("one", 4);
    w.ok("one");
    w.wait(200);
    let end = w.told.last().unwrap();
    assert_eq!((text(end, "lasted"), text(end, "count"), text(end, "reason")), ("3m", "7", "cleared"));
}

#[test]
fn codes_of_several_fields_say_which_field_they_are_of() {
    let mut w = World::new();
    for _ in 0..3 {
        w.request_at(w.now, "one", 429, 42901);
    }
    assert_eq!(text(&w.told[0], "codes"), "code 42901 (3), status 429 (3)");
}

#[test]
fn what_changed_is_said_without_its_value_and_stays_in_the_incident() {
    let mut w = World::new();
    let diag = "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG]";
    for address in ["198.51.100.1", "198.51.100.1", "198.51.100.77"] {
        w.line(PROXY, &format!("{diag} CRYPTO_COM_OUTBOUND_IP: {address}"));
        w.wait(10);
    }
    for _ in 0..40 {
        w.line(PROXY, "INFO:     Started server process [12]");
    }
    w.refused("one", 3);
    let changes = text(&w.told[0], "changes");
    assert!(changes.contains("09:00:20 the outbound address of the proxy changed"), "{changes}");
    assert!(changes.contains("09:00:30 the proxy was restarted, "), "{changes}");
    assert_eq!(changes.lines().count(), 2, "a crash loop is one line: {changes}");
    // An hour later its cause is still told, and the restart that ended it.
    w.wait(3_000);
    w.line(PROXY, "INFO:     Started server process [13]");
    w.ok("one");
    w.wait(200);
    let changes = text(w.told.last().unwrap(), "changes").to_owned();
    assert!(changes.contains("09:00:20 the outbound address of the proxy changed"), "{changes}");
    assert!(changes.contains("09:50:30 the proxy was restarted"), "{changes}");
    let all = format!("{:?}", w.all);
    assert!(!all.contains("198.51.100"), "addresses stay inside");
}

#[test]
fn staleness_shows_the_failures_that_came_instead() {
    let mut w = World::new();
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(470);
    w.sync_failed();
    w.wait(60);
    assert_eq!(text(&w.told[0], "count"), "1");
    assert!(
        text(&w.told[0], "evidence").contains("Error updating portfolio cache"),
        "{:?}",
        w.told[0].alerts[0]
    );
    assert!(text(&w.told[0], "summary").contains("for 8m"), "{}", text(&w.told[0], "summary"));
}

#[test]
fn a_joiners_notice_tells_how_things_are_when_it_is_decided() {
    let mut w = World::new();
    w.refused("one", 3);
    w.refused("two", 3);
    w.wait(100);
    w.refused("two", 9);
    w.wait(205);
    let joined = &w.told[1].alerts[1];
    assert!(joined.annotations["summary"].ends_with("12 in a row"), "{joined:?}");
    assert_eq!(joined.value, 12.0);
}

#[test]
fn a_secret_at_the_edge_of_an_excerpt_is_not_cut_into_something_harmless() {
    let mut w = World::new();
    w.line(BACKEND, "INFO app.services.portfolio_cache: Starting portfolio cache update");
    let secret = "0123456789abcdef".repeat(4);
    for pad in [130, 140, 150, 160] {
        w.now = w.now.plus(Duration::from_secs(30));
        let filler = "x ".repeat(pad / 2);
        w.line(
            BACKEND,
            &format!("ERROR app.services.portfolio_cache: Error updating portfolio cache: {filler}{secret}"),
        );
    }
    w.wait(5);
    let evidence = text(&w.told[0], "evidence");
    assert!(evidence.contains("Error updating") && !evidence.contains("0123456"), "{evidence}");
}
