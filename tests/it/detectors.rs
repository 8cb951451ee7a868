//! A rule, a log, a timeline: every kind of detector; see
//! `tests/detectors/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tocsin::cli::merge::Until;
use tocsin::config::Plan;
use tocsin::engine::{Engine, Input};
use tocsin::model::{Channel, Line, Order, SavedRow, Stream, Time, Transition, TransitionState};

use crate::bench::{self, Between};
use crate::scan::root;

struct Story {
    file: String,
    title: String,
    rule: String,
    log: String,
    until: Time,
    expected: Vec<Expected>,
}

#[derive(Debug)]
struct Expected {
    at: Time,
    state: String,
    severity: String,
    labels: BTreeMap<String, String>,
    value: Option<f64>,
    summary: Option<String>,
}

fn time(text: &str) -> Time {
    let day = if text.contains('T') { "2026-" } else { "2026-03-14T" };
    Time::parse_rfc3339(&format!("{day}{text}Z")).unwrap_or_else(|| panic!("no time: {text}"))
}

fn stories() -> Vec<Story> {
    let folder = root().join("tests/detectors");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "story"));
    paths.sort();
    let mut stories = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        stories.extend(text.split("=== ").skip(1).map(|part| story(&file, part)));
    }
    assert!(stories.len() > 10);
    stories
}

fn story(file: &str, text: &str) -> Story {
    let (title, rest) = text.split_once('\n').unwrap();
    let mut story = Story {
        file: file.to_owned(),
        title: title.to_owned(),
        rule: String::from("[[rule]]\nname = \"R\"\n"),
        log: String::new(),
        until: Time::MIN,
        expected: Vec::new(),
    };
    let mut section = "";
    for line in rest.lines().filter(|l| !l.is_empty()) {
        match (section, line.strip_prefix("  ")) {
            (_, None) => {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                section = word;
                if word == "until" {
                    story.until = time(rest);
                }
            }
            ("rule", Some(line)) => story.rule += &format!("{line}\n"),
            ("log", Some(line)) => {
                let (at, text) = line.split_once(' ').unwrap();
                story.log += &format!("{} {text}\n", time(at));
            }
            ("expect", Some(line)) => story.expected.push(expected(line)),
            (section, Some(line)) => panic!("{title}: {line:?} under {section:?}"),
        }
    }
    if !story.rule.contains("\nsummary") {
        story.rule += "summary = \"it fires\"\n";
    }
    story
}

fn expected(line: &str) -> Expected {
    let (line, summary) = line.split_once(" summary=").map_or((line, None), |(l, s)| (l, Some(s.to_owned())));
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap().to_owned();
    let (at, state, severity) = (time(&next()), next(), next());
    let mut labels = BTreeMap::from([("source".to_owned(), "app".to_owned())]);
    let mut value = None;
    for word in words {
        match word.split_once('=').unwrap() {
            ("value", text) => value = Some(text.parse().unwrap()),
            (name, text) => drop(labels.insert(name.to_owned(), text.to_owned())),
        }
    }
    Expected { at, state, severity, labels, value, summary }
}

fn is_as_expected(transition: &Transition, expected: &Expected) -> bool {
    // What ends in the moment it began ends a nanosecond later.
    transition.at.to_rfc3339() == expected.at.to_rfc3339()
        && format!("{:?}", transition.state).to_lowercase() == expected.state
        && format!("{:?}", transition.severity).to_lowercase() == expected.severity
        && transition.labels == expected.labels
        && expected.value.is_none_or(|value| value == transition.value)
        && expected.summary.as_ref().is_none_or(|summary| *summary == transition.summary)
}

/// The lines of the stories with these rules.
pub fn plan_of(rules: &str) -> Arc<Plan> {
    let base = fs::read_to_string(root().join("tests/detectors/base.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tocsin.toml");
    fs::write(&config, format!("{base}\n{rules}")).unwrap();
    bench::compiled(&config)
}

/// Gives a line, and says what of alerts came of it.
fn give(engine: &mut Engine, secs: i64, text: &str) -> Vec<TransitionState> {
    let at = Time::from_secs(secs);
    let line = Line {
        stream: Stream { writer: Arc::from("1"), channel: Channel::Any },
        at,
        boot: None,
        identifier: None,
        text: format!("- check {text}"),
        is_cut: false,
        had_invalid_utf8: false,
    };
    let output = engine.handle(Input::Line(0, &line), &[], at);
    output.transitions.into_iter().map(|t| t.state).collect()
}

#[test]
fn a_change_that_was_closed_by_hand_does_not_hide_the_next_one() {
    let rule = "[[rule]]\nname = \"R\"\ntype = \"change\"\nevent = \"check\"\nfield = \"version\"\n\
                severity = \"info\"\nsummary = \"it changed\"\nkeep_firing_for = \"1h\"\n";
    let mut engine = Engine::new(plan_of(rule), "test", [0; 32]);
    assert_eq!(give(&mut engine, 1, "api ok v1"), []);
    assert_eq!(give(&mut engine, 2, "api ok v2"), [TransitionState::Firing]);
    let close = Order::Close { incident: 1, reason: String::new() };
    let closed = engine.handle(Input::Order(&close), &[], Time::from_secs(3)).transitions;
    assert_eq!(closed[0].state, TransitionState::Resolved);
    assert_eq!(give(&mut engine, 4, "api ok v3"), [TransitionState::Firing]);
    assert_eq!(give(&mut engine, 5, "api ok v3"), []);
}

#[test]
fn what_a_rule_knew_before_it_was_another_is_not_known_when_it_comes_back() {
    let streak = "[[rule]]\nname = \"R\"\ntype = \"streak\"\nevent = \"check\"\nbad = [\"failed\"]\n\
                  good = [\"ok\"]\ncount = 3\nseverity = \"warning\"\nsummary = \"it fails\"\n";
    let others = [
        streak.replace("count = 3", "count = 3\nby = [\"name\"]"),
        streak.replace("type = \"streak\"", "type = \"flapping\"\nwindow = \"5m\""),
    ];
    for other in others {
        let mut engine = Engine::new(plan_of(streak), "test", [0; 32]);
        give(&mut engine, 1, "api failed");
        give(&mut engine, 2, "api failed");
        let mut rows = BTreeMap::new();
        for rule in [other.as_str(), streak] {
            for row in engine.take_changes() {
                rows.insert((row.kind, row.key.clone()), row);
            }
            let saved: Vec<SavedRow> = rows.values().cloned().collect();
            engine = Engine::restore(plan_of(rule), "test", [0; 32], &saved);
        }
        assert_eq!(give(&mut engine, 99, "api failed"), [], "{other}");
    }
}

#[test]
fn each_detector_concludes_what_its_stories_say() {
    let mut faults = Vec::new();
    for story in stories() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log"), &story.log).unwrap();
        let plan = plan_of(&story.rule);
        for between in [Between::Nothing, Between::Restore(1), Between::Tick] {
            let inputs = vec![bench::input(&plan, "app", &folder.path().join("log"))];
            let run = bench::run(&plan, inputs, None, Some(Until::At(story.until)), between);
            let is_right = run.timeline.len() == story.expected.len()
                && run.timeline.iter().zip(&story.expected).all(|(t, e)| is_as_expected(t, e));
            if !is_right {
                let got: Vec<String> = run
                    .timeline
                    .iter()
                    .map(|t| {
                        format!(
                            "    {} {:?} {:?} {} {:?} {}",
                            t.at, t.state, t.severity, t.value, t.labels, t.summary
                        )
                    })
                    .collect();
                let (file, title) = (&story.file, &story.title);
                faults.push(format!("{file}: {title} ({between:?}):\n{}", got.join("\n")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
