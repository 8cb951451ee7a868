//! Mistakes in rules of each kind, and the examples of `docs/rules.md`.

use super::mistakes::{Case, assert_each_is_the_only_error};
use super::{Memory, problems_of};
use crate::scan::root;

fn rule(rest: &str) -> &'static str {
    let all = format!(
        "[[rule]]\nname = \"Two\"\nsummary = \"x\"\nseverity = \"warning\"\nevent = \"request\"\n{rest}"
    );
    Box::leak(all.into_boxed_str())
}

#[test]
fn mistakes_in_rules_about_a_value_are_shown() {
    assert_each_is_the_only_error(&[
        Case(rule("type = \"threshold\"\nabove = 5"), "1:1", "missing key \"field\"", "looked at"),
        Case(rule("type = \"threshold\"\nfield = \"status\""), "1:1", "missing key \"above\"", "below"),
        Case(
            rule("type = \"threshold\"\nfield = \"statu\"\nabove = 5"),
            "7:9",
            "unknown field \"statu\"",
            "\"status\"?",
        ),
        Case(
            rule("type = \"threshold\"\nfield = \"status\"\nabove = 5\nbelow = 3"),
            "9:1",
            "both above and below",
            "two rules",
        ),
        Case(
            rule("type = \"threshold\"\nfield = \"status\"\nabove = 5\nclear_at = 6"),
            "9:12",
            "would end before it begins",
            "other side of 5",
        ),
        Case(
            rule("type = \"change\"\nfield = \"status\"\nfor = \"1m\""),
            "8:1",
            "can never fire",
            "keep_firing_for",
        ),
    ]);
}

#[test]
fn a_threshold_on_a_text_is_a_mistake() {
    let text = "[[event]]\nname = \"login\"\nsource = \"app\"\nmatch = 'login (?P<user>\\w+)'\n\
                fields = { user = \"text\" }\n[[rule]]\nname = \"Two\"\nsummary = \"x\"\n\
                severity = \"warning\"\nevent = \"login\"\ntype = \"threshold\"\nfield = \"user\"\nabove = 1";
    assert_each_is_the_only_error(&[Case(text, "12:1", "the field \"user\" is no number", "int, float")]);
}

#[test]
fn mistakes_in_rules_about_time_and_form_are_shown() {
    let schedule = |cron: &str| rule(&format!("type = \"schedule\"\ngrace = \"30m\"\ncron = \"{cron}\""));
    assert_each_is_the_only_error(&[
        Case(schedule("0 25 * * *"), "8:8", "no cron pattern", "minute hour day month weekday"),
        Case(schedule("nightly"), "8:8", "no cron pattern", "\"0 3 * * *\""),
        Case(schedule("0 0 30 2 *"), "8:8", "no day is like that", ""),
        Case(rule("type = \"schedule\"\ngrace = \"30m\""), "1:1", "missing key \"cron\"", "five fields"),
        Case(rule("type = \"schedule\"\ncron = \"0 3 * * *\""), "1:1", "missing key \"grace\"", "\"30m\""),
        Case(
            rule("type = \"schedule\"\ngrace = \"1m\"\ncron = \"0 3 * * *\"\ntimezone = \"Mars/Olympus\""),
            "9:12",
            "unknown time zone",
            "Europe/Berlin",
        ),
        Case(
            rule("type = \"flapping\"\nbad = [\"failed\"]\ncount = 3\nwindow = \"5m\""),
            "1:1",
            "missing key \"good\"",
            "other side",
        ),
        Case(rule("type = \"drift\"\ncount = 3\nwindow = \"5m\""), "5:1", "has no marker", "marker = "),
        Case(
            rule("type = \"rate\"\ncount = 3\nwindow = \"5m\"\nwithout = [\"ok\"]"),
            "9:1",
            "speaks against it",
            "outcomes",
        ),
    ]);
}

#[test]
fn the_examples_of_the_guide_to_rules_are_right() {
    let guide = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    let kinds =
        ["streak", "rate", "ratio", "staleness", "threshold", "change", "flapping", "schedule", "drift"];
    for kind in kinds {
        let written = format!("type = \"{kind}\"");
        assert!(blocks.iter().any(|b| b.contains(&written)), "no example of {kind}");
    }
    assert_eq!(problems_of(&blocks.concat()), []);
    assert!(Memory::with(&[("etc/tocsin.toml", &blocks.concat())]).compile().is_ok());
}
