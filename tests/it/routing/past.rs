//! What began and ended while nobody could be told: one notice for all of it.

use std::time::Duration;

use tocsin::model::Time;

use super::world::{BACKEND, PROXY, World, shipped, short};

const NOBODY: [&str; 0] = [];

/// Both sources are behind, and it is four hours later than in their logs.
fn after_four_hours() -> (World, Time) {
    let mut w = World::new();
    w.hears_staleness = true;
    let then = w.now;
    w.sync_ok();
    w.now = then.plus(Duration::from_secs(4 * 3_600));
    w.behind(PROXY);
    w.behind(BACKEND);
    (w, then)
}

fn after(then: Time, secs: u64) -> Time {
    then.plus(Duration::from_secs(secs))
}

fn refused_and_ok(w: &mut World, method: &str, at: Time) {
    (0..3).for_each(|_| w.request_at(at, method, 401, 40101));
    w.request_at(after(at, 60), method, 200, 0);
    w.request_at(after(at, 300), method, 200, 0);
}

/// Three refreshes in a row fail within half a minute; the next is well.
fn syncs_failed_and_ok(w: &mut World, at: Time) {
    for i in 0..3 {
        let at = after(at, 10 * i);
        w.line_at(BACKEND, at, "INFO app.services.portfolio_cache: Starting portfolio cache update");
        w.line_at(BACKEND, at, "ERROR app.services.portfolio_cache: Error updating portfolio cache: refused");
    }
    w.sync_ok_at(after(at, 60));
    w.sync_ok_at(after(at, 300));
}

/// The backlog of two sources, merged by time as the intake does it: two
/// incidents of one rule, one of another, a third of the first with a symptom
/// that it inhibits, and one that still burns.
fn backlog(w: &mut World, then: Time) {
    refused_and_ok(w, "one", after(then, 600));
    syncs_failed_and_ok(w, after(then, 1_200));
    refused_and_ok(w, "two", after(then, 5_000));
    // A symptom of what was refused.
    (0..3).for_each(|_| w.request_at(after(then, 6_000), "one", 401, 40101));
    syncs_failed_and_ok(w, after(then, 6_010));
    w.request_at(after(then, 6_100), "one", 200, 0);
    w.request_at(after(then, 6_400), "one", 200, 0);
    (0..3).for_each(|_| w.request_at(after(then, 14_000), "three", 401, 40101));
    w.sync_ok_at(after(then, 14_300));
}

#[test]
fn incidents_of_several_rules_are_told_in_one_notice_beside_what_burns() {
    let (mut w, then) = after_four_hours();
    backlog(&mut w, then);
    w.wait(10);
    assert_eq!(w.news(), NOBODY, "nothing before the backlog is read");
    w.live(BACKEND);
    assert_eq!(w.news(), NOBODY, "nor while the other source is behind");
    w.live(PROXY);
    let told = w.told.clone();
    assert_eq!(w.news()[0], "firing ExchangeAuthFailing 1: +three", "what burns goes first");
    assert_eq!(told.len(), 2, "{:?}", told.iter().map(short).collect::<Vec<_>>());
    let past = &told[1];
    assert!(past.is_past && !past.is_firing && past.group_labels.is_empty() && past.sequence == 1);
    let names: Vec<&str> = past.alerts.iter().map(|a| a.alert.as_str()).collect();
    let (refused, failed) = ("ExchangeAuthFailing", "PortfolioSyncFailing");
    assert_eq!(names, [refused, failed, refused, refused], "by their beginning, without the symptom");
    assert!(w.transitions.iter().filter(|t| t.alert == failed).count() == 4, "which the history has");
    assert!(past.alerts[3].annotations["symptoms"].starts_with("PortfolioSyncFailing since "));
    assert!(past.alerts.iter().all(|a| !a.is_firing && a.ends_at.is_some()));
    w.wait(1_200);
    assert!(w.news().iter().all(|n| !n.starts_with("past")), "told once");
}

#[test]
fn an_escalation_that_came_due_while_nobody_watched_is_told_once_if_it_still_burns() {
    for is_over in [false, true] {
        let mut w = World::new();
        w.hears_staleness = true;
        w.sync_ok();
        w.wait(8 * 60 + 5);
        assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning"]);
        let then = w.now;
        w.now = after(then, 4 * 3_600);
        w.behind(BACKEND);
        w.line_at(BACKEND, after(then, 3_600), "INFO app.services.portfolio_cache: nothing new");
        if is_over {
            w.sync_ok_at(after(then, 3 * 3_600));
            w.sync_ok_at(w.now);
            assert_eq!(w.news(), ["ended PortfolioSyncStale 2: -warning"], "an end is told at once");
        }
        w.wait(10);
        assert_eq!(w.news(), NOBODY, "no verdict on silence before the source is live");
        w.live(BACKEND);
        w.wait(10);
        let rose = ["firing PortfolioSyncStale 2: +critical"];
        assert_eq!(w.news(), if is_over { &[][..] } else { &rose[..] });
    }
}

#[test]
fn a_crash_at_any_point_of_catching_up_tells_the_same() {
    let run = |is_nervous: bool| {
        let (mut w, then) = after_four_hours();
        w.is_nervous = is_nervous;
        backlog(&mut w, then);
        w.live(BACKEND);
        w.live(PROXY);
        w.wait(700);
        w.all.iter().map(|n| (n.id.clone(), short(n))).collect::<Vec<_>>()
    };
    let told = run(false);
    assert!(!told.is_empty());
    assert_eq!(told, run(true));
}

#[test]
fn each_receiver_gets_the_notice_under_an_id_of_its_own() {
    let (mut w, then) = after_four_hours();
    backlog(&mut w, then);
    w.live(PROXY);
    w.live(BACKEND);
    let past: Vec<_> = w.all.iter().filter(|n| n.is_past).collect();
    assert_eq!(past.iter().map(|n| n.receiver.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_ne!(past[0].id, past[1].id);
    assert_eq!(past[0].thread, past[1].thread);
    assert!(past[0].id.starts_with("i-past-"), "{}", past[0].id);
}

#[test]
fn what_waits_to_be_told_as_past_outlasts_the_firing_of_its_own_group() {
    let (mut w, then) = after_four_hours();
    backlog(&mut w, then);
    w.live(PROXY);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +three"]);
    w.live(BACKEND);
    assert_eq!(w.news(), ["past  1: -one -warning -two -one"]);
}

#[test]
fn what_one_source_tells_out_of_turn_mutes_nothing_that_was_hours_before() {
    let (mut w, then) = after_four_hours();
    // The proxy's log is short and read to its end, the other still at its
    // beginning.
    (0..3).for_each(|_| w.request_at(after(then, 14_000), "one", 401, 40101));
    w.live(PROXY);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    syncs_failed_and_ok(&mut w, after(then, 1_200));
    // This one is its symptom.
    syncs_failed_and_ok(&mut w, after(then, 14_050));
    w.sync_ok_at(w.now.minus(Duration::from_secs(10)));
    w.live(BACKEND);
    assert_eq!(w.news(), ["past PortfolioSyncFailing 1: -warning"]);
    let by: Vec<Option<&str>> = w
        .transitions
        .iter()
        .filter(|t| t.alert == "PortfolioSyncFailing" && t.reason == "condition")
        .map(|t| t.inhibited_by.as_deref())
        .collect();
    assert_eq!(by, [None, Some("ExchangeAuthFailing")]);
}

#[test]
fn a_source_that_stays_behind_is_not_waited_for() {
    let mut w = World::of(shipped());
    let then = w.now;
    w.now = after(then, 3_600);
    w.behind(PROXY);
    w.behind(BACKEND);
    refused_and_ok(&mut w, "one", after(then, 60));
    w.live(PROXY);
    assert_eq!(w.news(), NOBODY);
    w.wait(200);
    assert_eq!(w.news(), ["past ExchangeAuthFailing 1: -one"]);
}

#[test]
fn of_a_backlog_full_of_incidents_the_newest_are_told_and_the_rest_counted() {
    let (mut w, then) = after_four_hours();
    for round in 0..30 {
        for method in ["a", "b", "c", "d", "e"] {
            refused_and_ok(&mut w, method, after(then, 60 + round * 400));
        }
        w.sync_ok_at(after(then, 460 + round * 400));
    }
    for round in 0..3 {
        syncs_failed_and_ok(&mut w, after(then, 12_200 + round * 400));
    }
    w.sync_ok_at(w.now.minus(Duration::from_secs(60)));
    w.live(BACKEND);
    w.live(PROXY);
    let told = w.told.clone();
    assert_eq!(told.len(), 1, "{:?}", w.news());
    let of = |name: &str| told[0].alerts.iter().filter(|a| a.alert == name).count();
    assert_eq!(of("ExchangeAuthFailing"), 32);
    let first = told[0].alerts.iter().find(|a| a.alert == "ExchangeAuthFailing").unwrap();
    assert!(first.annotations["description"].ends_with("118 more of these began and ended before."));
    assert!(w.transitions.iter().filter(|t| t.reason == "cleared").count() > 150);
}
