//! Inhibition by matchers, beside the pack's own by the names of rules.

use super::world::{World, plan_of};

const NOBODY: [&str; 0] = [];
/// Events without the pack's rules and inhibitions; the rules below take
/// their place.
const EVENTS: &str = r#"include = ["events/portfolio_sync.toml"]"#;

fn rules(inhibit: &str) -> World {
    let tail = format!(
        r#"
[[rule]]
name = "Worse"
type = "streak"
event = "portfolio_sync"
bad = ["failed"]
good = ["ok", "empty"]
count = 2
severity = "critical"
labels = {{ team = "ops" }}
summary = "worse"
[[rule]]
name = "PortfolioSyncFailing"
type = "streak"
event = "portfolio_sync"
bad = ["failed"]
good = ["ok", "empty"]
count = 1
severity = "warning"
labels = {{ team = "ops" }}
summary = "bad"
{inhibit}
"#
    );
    World::of(plan_of(EVENTS, &["a"], &tail))
}

const BY_SEVERITY: &str = r#"
[[inhibit]]
source_matchers = ['severity="critical"', 'alertname!="SourceDown"']
target_matchers = ['severity=~"warning|info"']
equal = ["source", "team"]
"#;

#[test]
fn a_critical_alert_keeps_the_warnings_of_its_source_quiet() {
    let mut w = rules(BY_SEVERITY);
    w.sync_failed();
    w.wait(1);
    assert_eq!(w.news(), NOBODY, "it waits two seconds for its inhibitor");
    w.sync_failed();
    w.wait(5);
    assert_eq!(w.news(), ["firing Worse 1: +critical"]);
    let open = w.engine.open_incidents();
    let worse = open.iter().find(|i| i.alert == "Worse").unwrap();
    assert!(worse.annotations["symptoms"].starts_with("PortfolioSyncFailing since "), "{worse:?}");
    // Ten minutes without a word of the inhibitor, and two to outlive it.
    w.wait(600 + 120 + 2);
    assert_eq!(w.news(), ["firing PortfolioSyncFailing 1: +warning"]);
}

#[test]
fn alerts_whose_labels_differ_do_not_inhibit_each_other() {
    let mut w = rules(&BY_SEVERITY.replace("\"team\"", "\"alertname\""));
    w.sync_failed();
    w.sync_failed();
    w.wait(5);
    let mut news = w.news();
    news.sort();
    assert_eq!(news, ["firing PortfolioSyncFailing 1: +warning", "firing Worse 1: +critical"]);
}

#[test]
fn alerts_that_fit_both_sides_do_not_silence_each_other() {
    let both = "[[inhibit]]\nsource_matchers = 'team=ops'\ntarget_matchers = 'team=\"ops\"'\n";
    let mut w = rules(both);
    w.sync_failed();
    w.sync_failed();
    w.wait(5);
    assert_eq!(w.news().len(), 2);
}
