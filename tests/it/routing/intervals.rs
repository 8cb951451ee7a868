//! Time intervals of routes: what is kept back is told when the time is over,
//! if it still fires; who was told of a firing is told of its end at any time.
//!
//! The stories begin on Saturday, 14 March 2026, at 09:00 UTC.

use super::world::{RULES, World, plan_of};

const NOBODY: [&str; 0] = [];

fn muted(interval: &str, route: &str) -> World {
    let tail =
        format!("[[time_interval]]\nname = \"quiet\"\n{interval}\n[route]\n[[route.routes]]\n{route}\n");
    World::of(plan_of(RULES, &["a"], &tail))
}

const UNTIL_HALF_PAST: &str = "times = [{ start_time = \"08:00\", end_time = \"09:30\" }]";
const MUTE: &str = "mute_time_intervals = [\"quiet\"]";

#[test]
fn what_fires_in_a_mute_interval_is_told_when_it_is_over() {
    let mut w = muted(UNTIL_HALF_PAST, MUTE);
    w.refused("one", 3);
    w.wait(60);
    w.refused("two", 3);
    w.wait(28 * 60 + 59);
    assert_eq!(w.news(), NOBODY);
    w.wait(1);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one +two"]);
    assert_eq!(told[0].decided_at.to_rfc3339(), "2026-03-14T09:30:00.000Z");
    let mut free = World::of(plan_of(RULES, &["a"], ""));
    free.refused("one", 3);
    free.wait(60);
    free.refused("two", 3);
    free.wait(29 * 60);
    assert_eq!(w.transitions, free.transitions, "the timeline is as without it");
}

#[test]
fn what_begins_and_ends_in_a_mute_interval_is_told_to_nobody() {
    let mut w = muted(UNTIL_HALF_PAST, MUTE);
    w.refused("one", 3);
    w.ok("one");
    w.wait(3_600);
    assert_eq!(w.news(), NOBODY);
    assert_eq!(w.groups(), NOBODY);
}

#[test]
fn an_end_is_told_within_a_mute_interval_and_a_reminder_is_not() {
    let at_ten = "times = [{ start_time = \"10:00\", end_time = \"12:00\" }]";
    let route = format!("{MUTE}\nrepeat_interval = \"30m\"");
    let mut w = muted(at_ten, &route);
    w.refused("one", 3);
    for _ in 0..6 {
        w.wait(599);
        w.refused("one", 1);
    }
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "firing ExchangeAuthFailing 2: +one"]);
    for _ in 0..6 {
        w.wait(600);
        w.refused("one", 1);
    }
    assert_eq!(w.news(), NOBODY, "10:00 to 11:00");
    w.ok("one");
    w.wait(130);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 3: -one"]);
}

#[test]
fn a_reminder_that_was_kept_back_comes_when_the_interval_is_over() {
    let route = format!("{MUTE}\nrepeat_interval = \"30m\"");
    let mut w = muted("times = [{ start_time = \"09:20\", end_time = \"10:00\" }]", &route);
    w.refused("one", 3);
    for _ in 0..7 {
        w.wait(600);
        w.refused("one", 1);
    }
    let at: Vec<String> = w.told.iter().map(|n| n.decided_at.to_clock()).collect();
    assert_eq!(at, ["09:00:00", "10:00:00"]);
}

#[test]
fn outside_its_active_intervals_a_route_tells_nobody() {
    // Office hours in Berlin, an hour ahead of UTC in March; Monday is the 16th.
    let office = "weekdays = [\"monday:friday\"]\nlocation = \"Europe/Berlin\"\n\
                  times = [{ start_time = \"09:00\", end_time = \"17:00\" }]";
    let mut w = muted(office, "active_time_intervals = [\"quiet\"]");
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(47 * 3_600 - 1);
    assert_eq!(w.news(), NOBODY);
    w.wait(1);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +critical"], "with what it has become");
    assert_eq!(told[0].decided_at.to_rfc3339(), "2026-03-16T08:00:00.000Z");
}

#[test]
fn an_escalation_in_a_mute_interval_is_told_when_it_is_over() {
    let mut w = muted("times = [{ start_time = \"09:10\", end_time = \"09:30\" }]", MUTE);
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(9 * 60);
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning"]);
    w.wait(20 * 60);
    assert_eq!(w.news(), NOBODY);
    w.wait(60);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing PortfolioSyncStale 2: +critical"]);
    assert_eq!(super::world::text(&told[0], "reason"), "escalated from warning");
}

#[test]
fn a_muted_route_keeps_nothing_from_the_others() {
    let tail = format!(
        "[[time_interval]]\nname = \"quiet\"\n{UNTIL_HALF_PAST}\n[route]\n[[route.routes]]\n{MUTE}\nreceiver = \"a\"\n\
         continue = true\n[[route.routes]]\nreceiver = \"b\"\n"
    );
    let mut w = World::of(plan_of(RULES, &["a", "b"], &tail));
    w.refused("one", 3);
    let told: Vec<&str> = w.all.iter().map(|n| n.receiver.as_str()).collect();
    assert_eq!(told, ["b"]);
}

#[test]
fn a_restart_in_a_mute_interval_changes_nothing() {
    let mut w = muted(UNTIL_HALF_PAST, MUTE);
    w.is_nervous = true;
    w.refused("one", 3);
    w.wait(29 * 60);
    assert_eq!(w.news(), NOBODY);
    w.wait(60);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
}
