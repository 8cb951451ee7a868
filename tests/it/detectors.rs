//! A rule, a log, a timeline: every kind of detector; see
//! `tests/detectors/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tocsin::cli::merge::Until;
use tocsin::config::Plan;
use tocsin::model::{Time, Transition};

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

#[test]
fn each_detector_concludes_what_its_stories_say() {
    let base = fs::read_to_string(root().join("tests/detectors/base.toml")).unwrap();
    let mut faults = Vec::new();
    for story in stories() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("tocsin.toml");
        fs::write(&config, format!("{base}\n{}", story.rule)).unwrap();
        fs::write(folder.path().join("log"), &story.log).unwrap();
        let plan: Arc<Plan> = bench::compiled(&config);
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
