//! Who is told what, and when: stories at the engine's boundary.

mod inhibition;
mod intervals;
mod orders;
mod past;
mod routes;
mod texts;
mod world;

use std::time::Duration;

use world::{BACKEND, PROXY, RULES, World, plan_of, short, text};

const NOBODY: [&str; 0] = [];

#[test]
fn the_first_member_is_told_at_once_and_its_end_once() {
    let mut w = World::new();
    w.refused("one", 3);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.wait(60);
    w.ok("one");
    w.wait(600);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 2: -one"]);
}

#[test]
fn five_methods_failing_within_minutes_are_one_page_one_update_and_one_end() {
    let mut w = World::new();
    for method in ["one", "two", "three", "four", "five"] {
        w.refused(method, 3);
        w.wait(40);
    }
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.wait(99);
    assert_eq!(w.news(), NOBODY);
    w.wait(2);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 2: +one +two +three +four +five"]);
    for method in ["three", "one", "five", "two"] {
        w.ok(method);
        w.wait(130);
    }
    assert_eq!(w.news(), NOBODY, "not before the last has ended");
    w.ok("four");
    w.wait(130);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 3: -one -two -three -four -five"]);
    w.wait(90_000);
    assert_eq!(w.news(), NOBODY);
}

#[test]
fn a_joiner_that_ended_while_it_waited_is_shown_as_ended_in_the_next_notice() {
    let mut w = World::new();
    w.refused("one", 3);
    w.refused("brief", 3);
    w.ok("brief");
    w.wait(130);
    w.ok("one");
    w.wait(600);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one -brief"]);
    // Beside one that burns, too.
    w.refused("one", 3);
    w.refused("brief", 3);
    w.ok("brief");
    w.wait(130);
    w.refused("late", 3);
    w.wait(300);
    let shown = "firing ExchangeAuthFailing 2: +one +late -brief";
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", shown]);
    w.ok("one");
    w.ok("late");
    w.wait(130);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 3: -one -brief -late"]);
}

#[test]
fn what_fires_again_before_its_end_was_told_is_shown_once() {
    let mut w = World::new();
    w.refused("one", 3);
    w.refused("two", 3);
    w.wait(300);
    assert_eq!(w.news().len(), 2);
    w.ok("one");
    w.wait(130);
    w.refused("one", 3);
    w.wait(300);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 3: +two +one"]);
    w.ok("one");
    w.ok("two");
    w.wait(130);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 4: -two -one"]);
}

#[test]
fn every_receiver_gets_one_notification_with_an_id_of_its_own() {
    let mut w = World::new();
    w.refused("one", 3);
    w.ok("one");
    w.wait(200);
    w.refused("one", 3);
    let ids: Vec<&str> = w.all.iter().map(|n| n.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "i-ExchangeAuthFailing-1-1-a",
            "i-ExchangeAuthFailing-1-1-b",
            "i-ExchangeAuthFailing-1-2-a",
            "i-ExchangeAuthFailing-1-2-b",
            "i-ExchangeAuthFailing-3-1-a",
            "i-ExchangeAuthFailing-3-1-b",
        ],
        "the second incident is the unstable authentication, told to nobody"
    );
    assert_eq!(w.all[0].thread, w.all[2].thread);
    assert_ne!(w.all[0].thread, w.all[4].thread);
}

#[test]
fn a_symptom_that_fires_after_its_inhibitor_is_only_listed_in_it() {
    let mut w = World::new();
    w.refused("one", 3);
    for _ in 0..3 {
        w.sync_failed();
        w.wait(10);
    }
    w.refused("two", 3);
    w.wait(300);
    assert_eq!(
        w.told.iter().map(short).collect::<Vec<_>>(),
        ["firing ExchangeAuthFailing 1: +one", "firing ExchangeAuthFailing 2: +one +two"]
    );
    assert_eq!(text(&w.told[0], "symptoms"), "", "it was rendered before");
    assert!(
        text(&w.told[1], "symptoms").starts_with("PortfolioSyncFailing since "),
        "{:?}",
        w.told[1].alerts[0]
    );
    assert!(w.told.iter().flat_map(|n| &n.alerts).all(|a| a.alert == "ExchangeAuthFailing"));
}

#[test]
fn a_rule_that_can_be_inhibited_is_told_two_seconds_after_it_fires() {
    let mut w = World::new();
    (0..3).for_each(|_| {
        w.wait(10);
        w.sync_failed();
    });
    assert_eq!(w.news(), NOBODY);
    w.now = w.now.plus(Duration::from_millis(1_900));
    w.tick();
    assert_eq!(w.news(), NOBODY);
    w.wait(1);
    assert_eq!(w.news(), ["firing PortfolioSyncFailing 1: +warning"]);
}

#[test]
fn an_inhibitor_that_fires_within_the_two_seconds_keeps_its_symptom_quiet_and_lists_it() {
    let mut w = World::new();
    (0..3).for_each(|_| w.sync_failed());
    w.wait(1);
    w.refused("one", 3);
    w.wait(30);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.sync_ok();
    w.ok("one");
    w.wait(200);
    let end = w.told.clone();
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 2: -one"]);
    assert!(
        text(&end[0], "symptoms").contains("PortfolioSyncFailing since"),
        "{:?}",
        end[0].alerts[0].annotations
    );
}

#[test]
fn who_was_told_of_a_firing_is_told_of_its_end_though_it_is_inhibited_meanwhile() {
    let mut w = World::new();
    (0..3).for_each(|_| w.sync_failed());
    w.wait(5);
    assert_eq!(w.news(), ["firing PortfolioSyncFailing 1: +warning"]);
    w.refused("one", 3);
    w.wait(5);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.sync_ok();
    w.wait(125);
    assert_eq!(w.news(), ["ended PortfolioSyncFailing 2: -warning"]);
}

#[test]
fn what_fires_and_ends_within_the_wait_is_told_to_nobody() {
    let mut w = World::new();
    // PortfolioEmpty has no keep_firing_for: the next good sync ends it.
    let empty = "INFO app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $0.00";
    w.line(BACKEND, empty);
    w.now = w.now.plus(Duration::from_secs(1));
    w.sync_ok();
    w.wait(300);
    assert_eq!(w.news(), NOBODY);
    assert_eq!(w.transitions.len(), 2, "it did fire: {:?}", w.transitions);
    assert_eq!(w.groups(), NOBODY);
}

#[test]
fn a_symptom_that_outlives_its_inhibitor_is_told_two_minutes_later() {
    let mut w = World::new();
    w.refused("one", 3);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(30);
    w.ok("one");
    // The inhibitor ends 2m after its last failure.
    w.wait(124);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one"]);
    w.wait(112);
    assert_eq!(w.news(), NOBODY);
    w.wait(12);
    assert_eq!(w.news(), ["firing PortfolioSyncFailing 1: +warning"]);
}

#[test]
fn a_symptom_that_ends_soon_after_its_inhibitor_is_not_told() {
    let mut w = World::new();
    w.refused("one", 3);
    (0..3).for_each(|_| w.sync_failed());
    w.ok("one");
    w.wait(20);
    w.sync_ok();
    w.wait(600);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one"]);
}

#[test]
fn an_inhibitor_that_fell_silent_mutes_nothing_after_ten_minutes() {
    let mut w = World::new();
    w.refused("one", 3);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(400);
    // Staleness is a symptom too, and would be told as well.
    w.sync_failed();
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.wait(200 + 119);
    assert_eq!(w.news(), NOBODY, "10m of silence, and 2m");
    w.wait(5);
    assert!(w.news().contains(&"firing PortfolioSyncFailing 1: +warning".to_owned()));
    // The inhibitor itself still fires: it is for want of data that it ends.
    assert!(w.engine.open_incidents().iter().any(|i| i.alert == "ExchangeAuthFailing"));
}

#[test]
fn an_unstable_authentication_that_began_inhibited_is_silent_to_its_end() {
    let mut w = World::new();
    for _ in 0..4 {
        w.refused("one", 1);
        w.wait(5);
    }
    w.ok("one");
    w.wait(126);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one"]);
    assert!(w.engine.open_incidents().iter().any(|i| i.alert == "ExchangeAuthUnstable"));
    w.wait(3_600);
    assert!(!w.transitions.iter().any(|t| t.alert == "ExchangeAuthUnstable"
        && t.inhibited_by.is_none()
        && t.state == tocsin::model::TransitionState::Firing));
    assert!(!w.news().iter().any(|n| n.contains("Unstable")));
}

/// A symptom is inhibited at its warning; its inhibitor then falls silent.
#[test]
fn an_escalation_is_told_at_once_though_its_warning_was_inhibited() {
    let mut w = World::new();
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(240);
    w.refused("one", 3);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    w.wait(240);
    // The warning at 8m is inhibited; from 14m on nothing inhibits.
    w.wait(14 * 60 - 480 + 3);
    assert_eq!(w.news(), NOBODY);
    w.wait(58);
    assert_eq!(w.news(), NOBODY);
    w.wait(4);
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +critical"]);
}

#[test]
fn an_escalation_is_a_new_notification_at_once_with_the_same_start() {
    let mut w = World::new();
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(8 * 60 + 5);
    w.wait(7 * 60);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning", "firing PortfolioSyncStale 2: +critical"]);
    assert_eq!(told[0].alerts[0].starts_at, told[1].alerts[0].starts_at);
    assert_eq!(told[1].decided_at.since(told[0].decided_at), Duration::from_secs(7 * 60 - 2));
    assert_eq!(text(&told[0], "reason"), "");
    assert_eq!(text(&told[1], "reason"), "escalated from warning");
    w.sync_ok();
    let end = w.told.clone();
    assert_eq!(w.news(), ["ended PortfolioSyncStale 3: -critical"], "with the highest severity");
    assert_eq!(text(&end[0], "reason"), "cleared");
}

#[test]
fn an_escalation_under_an_inhibitor_is_told_when_it_has_outlived_it() {
    let mut w = World::new();
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(8 * 60 + 5);
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning"]);
    w.wait(6 * 60);
    w.refused("one", 3);
    w.wait(120);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"], "the critical level at 15m is inhibited");
    w.ok("one");
    w.wait(126);
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 2: -one"]);
    w.wait(120);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing PortfolioSyncStale 2: +critical"]);
    assert_eq!(text(&told[0], "reason"), "escalated from warning");
}

#[test]
fn what_burns_is_reminded_of_once_a_day() {
    let mut w = World::new();
    w.refused("one", 3);
    for _ in 0..100 {
        w.wait(1_800);
        w.refused("one", 1);
    }
    let told = w.told.clone();
    assert_eq!(
        w.news(),
        [
            "firing ExchangeAuthFailing 1: +one",
            "firing ExchangeAuthFailing 2: +one",
            "firing ExchangeAuthFailing 3: +one"
        ]
    );
    assert_eq!(told[1].decided_at.since(told[0].decided_at), Duration::from_secs(86_400));
    assert!(text(&told[1], "reason").starts_with("remind"));
    assert!(
        text(&told[1], "summary").ends_with(": 50 in a row"),
        "as it is now: {}",
        text(&told[1], "summary")
    );
    assert_eq!(text(&told[1], "count"), "50");
    assert!(!w.engine.open_incidents()[0].annotations.contains_key("reason"), "not kept in the incident");
}

#[test]
fn a_repeat_interval_of_zero_reminds_of_nothing() {
    let mut w = World::of(plan_of(RULES, &["a"], "[notify]\nrepeat_interval = \"0\"\n"));
    w.refused("one", 3);
    for _ in 0..100 {
        w.wait(1_800);
        w.refused("one", 1);
    }
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
}

#[test]
fn what_still_burns_once_a_source_has_caught_up_is_told_once() {
    let mut w = World::new();
    w.behind(PROXY);
    let then = w.now;
    w.now = w.now.plus(Duration::from_secs(3_600));
    for i in 0..5 {
        w.request_at(then.plus(Duration::from_secs(60 * i)), "one", 401, 40101);
    }
    w.wait(30);
    assert_eq!(w.news(), NOBODY);
    for i in 0..3 {
        w.request_at(then.plus(Duration::from_secs(3_500 + i)), "two", 401, 40101);
        w.request_at(then.plus(Duration::from_secs(3_500 + i)), "one", 401, 40101);
    }
    w.live(PROXY);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one +two"]);
    assert!(told[0].alerts[0].starts_at < then.plus(Duration::from_secs(300)), "it began in the backlog");
    w.wait(100);
    assert_eq!(w.news(), NOBODY);
}

#[test]
fn what_began_and_ended_in_a_backlog_is_told_once_as_past() {
    let mut w = World::new();
    w.behind(PROXY);
    let then = w.now;
    w.now = w.now.plus(Duration::from_secs(13_000));
    for round in 0..40 {
        let at = |secs: u64| then.plus(Duration::from_secs(round * 300 + secs)).min(w.now);
        let (bad, good, later) = (at(1), at(10), at(200));
        for _ in 0..3 {
            w.request_at(bad, "one", 401, 40101);
        }
        w.request_at(good, "one", 200, 0);
        w.request_at(later, "one", 200, 0);
    }
    assert_eq!(w.news(), NOBODY);
    w.live(PROXY);
    w.wait(1_200);
    let told = w.told.clone();
    assert_eq!(told.len(), 1, "{:?}", w.news());
    let past = &told[0];
    assert!(past.is_past && !past.is_firing && past.sequence == 1);
    assert!(past.alerts.len() == 32 && past.alerts.iter().all(|a| a.ends_at.is_some()));
    assert!(text(past, "description").ends_with("8 more of these began and ended before."));
    assert_eq!(w.groups(), NOBODY);
}

#[test]
fn what_was_inhibited_in_a_backlog_is_not_told_at_all() {
    let mut w = World::new();
    w.behind(PROXY);
    w.behind(BACKEND);
    let then = w.now;
    w.now = w.now.plus(Duration::from_secs(3_600));
    for i in 0..4 {
        w.request_at(then.plus(Duration::from_secs(10 * i)), "one", 401, 40101);
        let at = then.plus(Duration::from_secs(10 * i + 1));
        w.line_at(BACKEND, at, "INFO app.services.portfolio_cache: Starting portfolio cache update");
        w.line_at(BACKEND, at, "ERROR app.services.portfolio_cache: Error updating portfolio cache: refused");
    }
    w.sync_ok_at(then.plus(Duration::from_secs(60)));
    w.request_at(then.plus(Duration::from_secs(60)), "one", 200, 0);
    w.sync_ok_at(w.now);
    w.ok("one");
    w.live(PROXY);
    w.live(BACKEND);
    w.wait(1_000);
    let news = w.news();
    assert_eq!(news[0], "past ExchangeAuthFailing 1: -one");
    assert!(!news.iter().any(|n| n.contains("SyncFailing") || n.contains("Unstable")), "{news:?}");
    assert!(w.transitions.iter().any(|t| t.alert == "PortfolioSyncFailing"));
    assert!(w.transitions.iter().any(|t| t.alert == "ExchangeAuthUnstable"));
}

#[test]
fn a_symptom_waits_until_the_source_of_its_inhibitor_is_read() {
    let mut w = World::new();
    w.behind(PROXY);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(60);
    assert_eq!(w.news(), NOBODY);
    w.refused("one", 3);
    w.live(PROXY);
    w.wait(60);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
    // But not for ever.
    let mut w = World::new();
    w.behind(PROXY);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(119);
    assert_eq!(w.news(), NOBODY);
    w.wait(3);
    assert_eq!(w.news(), ["firing PortfolioSyncFailing 1: +warning"]);
}

#[test]
fn a_start_holds_what_was_held_until_its_source_has_spoken() {
    let mut w = World::new();
    w.behind(PROXY);
    w.refused("one", 3);
    w.stop_and_start(w.plan.clone());
    w.tick();
    assert_eq!(w.news(), NOBODY, "nobody knows yet whether it still burns");
    w.live(PROXY);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"]);
}

#[test]
fn a_decision_that_was_lost_before_its_commit_is_made_again_with_the_same_id() {
    let mut w = World::new();
    w.refused("one", 2);
    let committed = w.plan.clone();
    w.refused("one", 1);
    let mut again = World::new();
    again.refused("one", 2);
    again.stop_and_start(committed);
    again.live(PROXY);
    again.refused("one", 1);
    let ids = |w: &World| w.all.iter().map(|n| n.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&w), ids(&again));
    assert_eq!(w.told, again.told);
}

#[test]
fn an_incident_closed_by_hand_is_told_as_ended() {
    let mut w = World::new();
    w.refused("one", 3);
    w.close(1, "");
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one", "ended ExchangeAuthFailing 2: -one"]);
    assert_eq!(text(&told[1], "reason"), "closed by hand");
    w.close(1, "");
    w.wait(10);
    assert_eq!(w.news(), NOBODY);
    w.refused("one", 3);
    assert_eq!(w.news(), ["firing ExchangeAuthFailing 1: +one"], "it may fire again");
}

#[test]
fn a_rule_that_is_removed_while_it_fires_is_told_as_ended() {
    let mut w = World::new();
    w.refused("one", 3);
    assert_eq!(w.groups(), ["ExchangeAuthFailing"]);
    let without = plan_of(r#"include = ["events/portfolio_sync.toml"]"#, &["a"], LONE_RULE);
    w.told.clear();
    w.reconfigure(without);
    let told = w.told.clone();
    assert_eq!(w.news(), ["ended ExchangeAuthFailing 2: -one"]);
    assert_eq!(text(&told[0], "reason"), "rule removed");
    assert_eq!(w.groups(), NOBODY);
    assert!(w.rows("incident").is_empty());
    assert!(!w.rows("rule").iter().any(|r| r.contains("Streak")), "what it knew goes with it");
    w.reconfigure(world::shipped());
    w.wait(5);
    assert_eq!(w.news(), NOBODY);
}

/// `PortfolioSyncStale` goes on; nothing else does. The metric that shows the
/// streak needs its rule.
const LONE_RULE: &str = r#"
[[rule]]
name = "PortfolioSyncFailing"
severity = "warning"
type = "streak"
event = "portfolio_sync"
bad = ["failed"]
good = ["ok", "empty"]
count = 3
summary = "Portfolio syncs fail"
"#;

#[test]
fn a_new_rule_begins_to_count_when_it_is_configured() {
    let mut w = World::of(plan_of(r#"include = ["events/portfolio_sync.toml"]"#, &["a"], LONE_RULE));
    w.hears_staleness = true;
    w.sync_ok();
    w.wait(3_600);
    w.reconfigure(world::shipped());
    w.wait(8 * 60 - 5);
    assert_eq!(w.news(), NOBODY);
    w.wait(10);
    assert_eq!(w.news(), ["firing PortfolioSyncStale 1: +warning"]);
}

#[test]
fn a_new_receiver_is_told_of_what_burns_and_of_its_end() {
    let mut w = World::of(plan_of(RULES, &["a"], ""));
    w.refused("one", 3);
    w.ok("one");
    w.wait(130);
    w.refused("one", 3);
    w.all.clear();
    w.reconfigure(plan_of(RULES, &["a", "late"], ""));
    let told: Vec<String> = w.all.iter().map(|n| format!("{} {}", n.receiver, short(n))).collect();
    assert_eq!(told, ["late firing ExchangeAuthFailing 1: +one"]);
    // A receiver that is gone is told nothing, one that was never told of the
    // firing hears of no end.
    w.all.clear();
    w.ok("one");
    w.reconfigure(plan_of(RULES, &["late"], ""));
    w.wait(130);
    let told: Vec<String> = w.all.iter().map(|n| format!("{} {}", n.receiver, short(n))).collect();
    assert_eq!(told, ["late ended ExchangeAuthFailing 2: -one"]);
}

#[test]
fn gaps_are_told_at_once_also_by_a_source_that_is_behind() {
    let mut w = World::new();
    w.behind(PROXY);
    w.gap(PROXY);
    let told = w.told.clone();
    assert_eq!(w.news(), ["firing LogGap 1: +warning"]);
    assert_eq!(told[0].alerts[0].labels["source"], "crypto-proxy");
    w.wait(700);
    assert_eq!(w.news(), ["ended LogGap 2: -warning"]);
}

/// A story with a bit of everything.
fn story(w: &mut World) {
    w.sync_ok();
    w.refused("one", 3);
    w.wait(1);
    (0..3).for_each(|_| w.sync_failed());
    w.refused("two", 3);
    w.wait(301);
    w.ok("one");
    w.ok("two");
    w.wait(240);
    w.wait(400);
    w.sync_ok();
    w.wait(200);
}

#[test]
fn a_restart_after_every_input_tells_the_same() {
    let mut calm = World::new();
    story(&mut calm);
    let mut nervous = World::new();
    nervous.is_nervous = true;
    story(&mut nervous);
    assert!(calm.all.len() > 12, "{:?}", calm.news());
    for (a, b) in calm.all.iter().zip(&nervous.all) {
        assert_eq!(a, b);
    }
    assert_eq!(calm.all.len(), nervous.all.len());
}
