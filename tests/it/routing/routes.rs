//! The tree of routes: who is told, in which groups, and when.

use std::sync::Arc;

use tocsin::config::Plan;

use super::world::{RULES, World, plan_of, short};

const NOBODY: [&str; 0] = [];

fn routed(receivers: &[&str], tail: &str) -> Arc<Plan> {
    plan_of(RULES, receivers, tail)
}

/// What was told since the last question, with its receiver; staleness is
/// not part of these stories.
fn heard(w: &mut World) -> Vec<String> {
    let all = std::mem::take(&mut w.all);
    let told = all.iter().filter(|n| n.alerts[0].alert != "PortfolioSyncStale");
    told.map(|n| format!("{} {}", n.receiver, short(n))).collect()
}

const BY_SEVERITY: &str = r#"
[route]
receiver = "chat"
[[route.routes]]
matchers = ['severity="critical"']
receiver = "pager"
"#;

#[test]
fn an_alert_goes_to_the_deepest_route_that_fits_and_its_end_too() {
    let mut w = World::of(routed(&["chat", "pager"], BY_SEVERITY));
    w.refused("one", 3);
    assert_eq!(heard(&mut w), ["pager firing ExchangeAuthFailing 1: +one"]);
    w.ok("one");
    w.wait(600);
    assert_eq!(heard(&mut w), ["pager ended ExchangeAuthFailing 2: -one"]);
    (0..3).for_each(|_| w.sync_failed());
    w.wait(5);
    assert_eq!(heard(&mut w), ["chat firing PortfolioSyncFailing 1: +warning"]);
}

#[test]
fn a_root_without_a_receiver_tells_everybody_and_a_route_with_an_empty_list_nobody() {
    let tail = "[route]\n[[route.routes]]\nmatchers = 'alertname=~\"Portfolio.*\"'\nreceiver = []\n";
    let mut w = World::of(routed(&["a", "b"], tail));
    (0..3).for_each(|_| w.sync_failed());
    w.wait(5);
    assert_eq!(heard(&mut w), NOBODY);
    w.refused("one", 3);
    assert_eq!(
        heard(&mut w),
        ["a firing ExchangeAuthFailing 1: +one", "b firing ExchangeAuthFailing 1: +one"]
    );
}

#[test]
fn an_alert_that_reaches_a_receiver_by_several_routes_is_told_to_it_once_for_each_group() {
    let tail = r#"
[route]
receiver = "chat"
[[route.routes]]
matchers = ['severity="critical"']
receiver = ["pager", "chat"]
continue = true
[[route.routes]]
matchers = ['source="crypto-proxy"']
receiver = ["chat", "log"]
[[route.routes.routes]]
matchers = ['method="two"']
receiver = "chat"
group_by = ["method"]
"#;
    let mut w = World::of(routed(&["chat", "log", "pager"], tail));
    w.refused("one", 3);
    let mut told = heard(&mut w);
    told.sort();
    assert_eq!(
        told,
        [
            "chat firing ExchangeAuthFailing 1: +one",
            "log firing ExchangeAuthFailing 1: +one",
            "pager firing ExchangeAuthFailing 1: +one",
        ]
    );
    w.refused("two", 3);
    let ids: Vec<String> = w.all.iter().map(|n| n.id.clone()).collect();
    assert_eq!(heard(&mut w), ["chat firing  1: +two"], "another group of the same receiver");
    w.wait(301);
    let all: Vec<String> = w.all.iter().map(|n| n.id.clone()).chain(ids).collect();
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "ids are unique: {all:?}");
    w.ok("one");
    w.ok("two");
    w.wait(600);
    let mut ends: Vec<String> = heard(&mut w).into_iter().filter(|n| n.contains(" ended ")).collect();
    ends.sort();
    assert_eq!(
        ends,
        [
            "chat ended  2: -two",
            "chat ended ExchangeAuthFailing 3: -one -two",
            "log ended ExchangeAuthFailing 2: -one",
            "pager ended ExchangeAuthFailing 3: -one -two",
        ]
    );
}

#[test]
fn groups_share_the_labels_they_are_grouped_by() {
    // All of a source in one group, of whatever name.
    let tail = "[route]\ngroup_by = [\"source\"]\ngroup_wait = \"30s\"\n";
    let mut w = World::of(routed(&["a"], tail));
    w.refused("one", 3);
    w.wait(10);
    w.refused("two", 3);
    assert_eq!(heard(&mut w), NOBODY, "it waits for further members");
    w.wait(21);
    assert_eq!(w.all[0].group_labels.len(), 1);
    assert_eq!(w.all[0].group_labels["source"], "crypto-proxy");
    assert_eq!(heard(&mut w), ["a firing  1: +one +two"], "30s after the first");
    // Each alone.
    let mut w = World::of(routed(&["a"], "[route]\ngroup_by = [\"...\"]\n"));
    w.refused("one", 3);
    w.refused("two", 3);
    assert_eq!(
        heard(&mut w),
        ["a firing ExchangeAuthFailing 1: +one", "a firing ExchangeAuthFailing 1: +two"]
    );
    // All in one.
    let mut w = World::of(routed(&["a"], "[route]\ngroup_by = []\n"));
    w.refused("one", 3);
    w.gap(0);
    w.wait(301);
    assert_eq!(heard(&mut w), ["a firing  1: +one", "a firing  2: +one +warning"]);
}

#[test]
fn a_route_has_intervals_of_its_own_and_inherits_the_others() {
    let tail = r#"
[route]
receiver = "chat"
group_interval = "20m"
repeat_interval = "0"
[[route.routes]]
matchers = ['severity="critical"']
receiver = "pager"
continue = true
repeat_interval = "1h"
[[route.routes]]
receiver = "chat"
group_interval = "1m"
"#;
    let mut w = World::of(routed(&["chat", "pager"], tail));
    w.refused("one", 3);
    assert_eq!(heard(&mut w).len(), 2);
    w.refused("two", 3);
    w.wait(61);
    assert_eq!(heard(&mut w), ["chat firing ExchangeAuthFailing 2: +one +two"]);
    w.wait(19 * 60);
    assert_eq!(heard(&mut w), ["pager firing ExchangeAuthFailing 2: +one +two"]);
    w.wait(3_598);
    assert_eq!(
        heard(&mut w),
        ["pager ended ExchangeAuthFailing 3: -one -two", "chat ended ExchangeAuthFailing 3: -one -two"],
        "for want of data"
    );
}

#[test]
fn what_escalates_into_another_route_is_told_there_and_ends_for_everybody() {
    let mut w = World::of(routed(&["chat", "pager"], BY_SEVERITY));
    w.sync_ok();
    w.wait(8 * 60 + 5);
    let told = |w: &mut World| -> Vec<String> {
        std::mem::take(&mut w.all).iter().map(|n| format!("{} {}", n.receiver, short(n))).collect()
    };
    assert_eq!(told(&mut w), ["chat firing PortfolioSyncStale 1: +warning"]);
    w.wait(7 * 60);
    assert_eq!(told(&mut w), ["pager firing PortfolioSyncStale 1: +critical"]);
    w.sync_ok();
    assert_eq!(
        told(&mut w),
        ["chat ended PortfolioSyncStale 2: -critical", "pager ended PortfolioSyncStale 2: -critical"]
    );
}

#[test]
fn routes_that_change_while_an_alert_burns_tell_nobody_twice_and_everybody_of_its_end() {
    let mut w = World::of(routed(&["chat", "pager"], "[route]\nreceiver = \"chat\"\n"));
    w.refused("one", 3);
    assert_eq!(heard(&mut w), ["chat firing ExchangeAuthFailing 1: +one"]);
    let other = r#"
[route]
receiver = "pager"
[[route.routes]]
matchers = ['method="one"']
receiver = ["chat", "pager"]
group_by = ["..."]
"#;
    w.reconfigure(routed(&["chat", "pager"], other));
    assert_eq!(heard(&mut w), ["pager firing ExchangeAuthFailing 1: +one"]);
    w.reconfigure(routed(&["chat", "pager"], "[route]\nreceiver = \"pager\"\n"));
    assert_eq!(heard(&mut w), NOBODY);
    w.ok("one");
    w.wait(600);
    assert_eq!(
        heard(&mut w),
        ["chat ended ExchangeAuthFailing 2: -one", "pager ended ExchangeAuthFailing 2: -one"]
    );
    assert!(!w.rows("group").iter().any(|row| row.contains("ExchangeAuthFailing")), "nothing is left");
}

#[test]
fn a_restart_after_every_input_tells_the_same_through_routes() {
    let tail = format!(
        "{BY_SEVERITY}group_by = [\"...\"]\ngroup_wait = \"10s\"\ncontinue = true\n[[route.routes]]\nreceiver = \"chat\"\n"
    );
    let story = |w: &mut World| {
        w.refused("one", 3);
        w.wait(1);
        w.refused("two", 3);
        (0..3).for_each(|_| w.sync_failed());
        w.wait(301);
        w.ok("one");
        w.wait(240);
        w.sync_ok();
        w.ok("two");
        w.wait(900);
    };
    let mut calm = World::of(routed(&["chat", "pager"], &tail));
    story(&mut calm);
    let mut nervous = World::of(routed(&["chat", "pager"], &tail));
    nervous.is_nervous = true;
    story(&mut nervous);
    assert!(calm.all.len() > 6, "{:?}", heard(&mut calm));
    assert_eq!(calm.all, nervous.all);
}
