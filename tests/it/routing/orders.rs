//! What a person asks for: silences, acknowledgements, closing; and
//! maintenance, which the configuration asks for.

use std::time::Duration;

use tocsin::model::{Order, Refusal, Until};

use super::world::{RULES, World, plan_of, text};

const NOBODY: [&str; 0] = [];

fn silence(matchers: &str, minutes: u64) -> Order {
    Order::Silence {
        matchers: matchers.to_owned(),
        starts_at: None,
        until: Until::After(Duration::from_secs(60 * minutes)),
        created_by: "anna".to_owned(),
        comment: "upgrade".to_owned(),
    }
}

fn acknowledge(incident: u64) -> Order {
    Order::Acknowledge { incident, by: "anna".to_owned(), comment: "the key is replaced".to_owned() }
}

#[test]
fn a_silence_keeps_matching_alerts_back_and_what_still_fires_is_told_when_it_ends() {
    let mut w = World::new();
    assert_eq!(w.order(silence("method=~\"one|three\"", 30)), Ok(1));
    w.refused("one", 3);
    w.refused("two", 3);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +two"]);
    assert_eq!(w.transitions.len(), 2, "the timeline is as without it");
    assert!(
        w.engine.silencers(1)[0].starts_with("silence 1 by anna until 2026-03-14T09:30:00.000Z: upgrade")
    );
    assert!(w.engine.silencers(2).is_empty());
    w.wait(30 * 60 - 1);
    assert_eq!(w.news(), NOBODY);
    w.wait(1);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 2: +one +two"]);
    assert!(w.engine.silencers(1).is_empty());
}

#[test]
fn who_was_told_of_a_firing_is_told_of_its_end_though_it_is_silenced_meanwhile() {
    let mut w = World::new();
    w.refused("one", 3);
    w.order(silence("alertname=ExchangeAuthFailing", 600)).unwrap();
    w.refused("two", 3);
    w.wait(400);
    w.ok("one");
    w.ok("two");
    w.wait(300);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one"]);
}

#[test]
fn an_expired_silence_lets_go_at_once_and_one_that_begins_later_holds_from_then() {
    let mut w = World::new();
    w.order(silence("severity=critical", 600)).unwrap();
    w.refused("one", 3);
    assert_eq!(w.news(), NOBODY);
    assert_eq!(w.order(Order::Expire(1)), Ok(1));
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    let Order::Silence { matchers, until, created_by, comment, .. } = silence("severity=critical", 10) else {
        unreachable!()
    };
    let starts_at = Some(w.now.plus(Duration::from_secs(600)));
    w.order(Order::Silence { matchers, starts_at, until, created_by, comment }).unwrap();
    w.refused("two", 3);
    w.wait(301);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 2: +one +two"]);
    w.wait(300);
    w.refused("three", 3);
    w.wait(598);
    assert_eq!(w.news(), NOBODY);
    w.wait(2);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 3: +one +two +three"]);
}

#[test]
fn an_order_that_is_wrong_is_refused_and_says_why() {
    let mut w = World::new();
    let why = |w: &mut World, order| w.order(order).unwrap_err().to_string();
    assert!(why(&mut w, silence("a=~\"(\"", 5)).contains("no regular expression"));
    assert!(why(&mut w, silence("", 5)).contains("silence everything"));
    assert!(why(&mut w, silence("a=~\".*\"", 5)).contains("silence everything"));
    assert!(why(&mut w, silence("a=b", 0)).contains("end before it begins"));
    assert!(why(&mut w, Order::Expire(7)).contains("no silence 7"));
    assert_eq!(w.order(acknowledge(7)), Err(Refusal::Unknown("there is no open incident 7".to_owned())));
    let close = Order::Close { incident: 7, reason: String::new() };
    assert!(matches!(w.order(close), Err(Refusal::Unknown(_))));
    assert!(w.engine.silences().is_empty());
}

#[test]
fn silences_are_bounded_and_those_that_are_over_make_room() {
    let mut w = World::new();
    for number in 1..=512 {
        assert_eq!(w.order(silence("a=b", 60 + number)), Ok(number));
    }
    assert!(matches!(w.order(silence("a=b", 5)), Err(Refusal::Full(_))));
    w.wait(62 * 60);
    assert_eq!(w.order(silence("a=b", 5)), Ok(513), "numbers are not given twice");
    w.restart();
    assert_eq!(w.engine.silences().len(), 511);
    w.wait(6 * 86_400);
    w.order(silence("a=b", 5)).unwrap();
    w.restart();
    assert_eq!(w.engine.silences().iter().map(|s| s.number).collect::<Vec<_>>(), [514]);
}

#[test]
fn an_acknowledgement_stops_reminders_until_it_gets_worse() {
    let mut w = World::new();
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(8 * 60 + 5);
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning"]);
    assert_eq!(w.order(acknowledge(1)), Ok(1));
    assert_eq!(w.news(), NOBODY);
    let shown = w.engine.open_incidents()[0].annotations["acknowledged"].clone();
    assert_eq!(shown, "by anna at 2026-03-14T09:08:05.000Z: the key is replaced");
    w.wait(7 * 60);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing PortfolioSyncStale 2: +critical"], "an escalation is told all the same");
    assert_eq!(text(&told[0], "acknowledged"), shown);
    w.order(acknowledge(1)).unwrap();
    w.wait(3 * 86_400);
    assert_eq!(w.news(), NOBODY, "no reminder");
    w.sync_ok();
    assert_eq!(w.news(), ["ended PortfolioSyncStale 3: -critical"]);
    w.wait(16 * 60);
    assert!(
        !w.engine.open_incidents()[0].annotations.contains_key("acknowledged"),
        "it ended with its incident"
    );
}

#[test]
fn an_acknowledged_incident_does_not_hush_the_others_of_its_group() {
    let mut w = World::new();
    w.refused("one", 3);
    w.refused("two", 3);
    w.order(acknowledge(1)).unwrap();
    for _ in 0..55 {
        w.wait(1_800);
        w.refused("one", 1);
        w.refused("two", 1);
    }
    let reminders = w.told.iter().filter(|n| text(n, "reason").starts_with("reminder")).count();
    assert_eq!(reminders, 1);
}

#[test]
fn closing_says_its_reason_redacted() {
    let mut w = World::new();
    w.refused("one", 3);
    w.close(1, "key replaced\nBearer abcdefghijklmnop0123456789");
    let told = w.told.clone();
    let reason = text(&told[1], "reason");
    assert!(reason.starts_with("closed by hand: key replaced"), "{reason}");
    assert!(!reason.contains("abcdefghijklmnop0123456789") && !reason.contains('\n'), "{reason}");
}

#[test]
fn maintenance_keeps_what_it_names_back_while_it_lasts() {
    let tail = r#"
[[time_interval]]
name = "saturday morning"
weekdays = ["saturday"]
times = [{ start_time = "08:00", end_time = "09:10" }]
[[maintenance]]
name = "proxy update"
matchers = ['source="crypto-proxy"']
time_intervals = ["saturday morning"]
"#;
    let mut w = World::of(plan_of(RULES, &["a"], tail));
    w.refused("one", 3);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(5);
    assert_eq!(w.engine.silencers(1), ["maintenance proxy update"]);
    assert_eq!(w.news(), NOBODY, "the symptom is inhibited as ever");
    w.wait(595);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
}

#[test]
fn orders_survive_a_restart_after_every_input() {
    let mut w = World::new();
    w.is_nervous = true;
    w.order(silence("method=one", 10)).unwrap();
    w.refused("one", 3);
    w.wait(60);
    assert_eq!(w.news(), NOBODY);
    w.order(acknowledge(1)).unwrap();
    w.wait(541);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    assert!(text(&told[0], "acknowledged").starts_with("by anna"));
}
