//! Stories: rules, log, expected timeline; see `tests/replays/README.md`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tocsin::cli::merge;
use tocsin::config::Plan;
use tocsin::model::Transition;
use tocsin::timeline;

use crate::bench::{self, Between, Run};
use crate::dumps::{self, Container, Journal};
use crate::scan::root;
use crate::story::{self, Expected, SECRETS, Story, Until, Writer};

/// Series of open labels need not exist before they are counted.
const OPEN: &[&str] = &[
    "crypto_exchange_requests_total",
    "crypto_exchange_http_responses_total",
    "crypto_exchange_auth_failure_streak",
];

fn stories() -> Vec<Story> {
    let mut paths: Vec<_> =
        fs::read_dir(root().join("tests/replays")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "story"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        all.extend(story::read(&name, &fs::read_to_string(&path).unwrap()));
    }
    let only = std::env::var("STORY").unwrap_or_default();
    all.retain(|s| s.title.contains(&only) || s.file.contains(&only));
    assert!(!all.is_empty());
    all
}

fn play(plan: &Arc<Plan>, story: &Story, forms: (Journal, Container), between: Between) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let inputs = written(story, forms, folder.path());
    let inputs = inputs.iter().map(|(name, path)| bench::input(plan, name, path)).collect();
    let until = story.until.map(|until| match until {
        Until::At(at) => merge::Until::At(at),
        Until::After(secs) => merge::Until::After(std::time::Duration::from_secs_f64(secs)),
    });
    bench::run(plan, inputs, story.since, until, between)
}

fn written(
    story: &Story,
    (journal, container): (Journal, Container),
    folder: &Path,
) -> Vec<(&'static str, std::path::PathBuf)> {
    let mut inputs = Vec::new();
    for (name, is_here, bytes) in [
        ("crypto-proxy", false, dumps::journal(&story.entries, journal)),
        ("backend", true, dumps::container(&story.entries, container)),
    ] {
        if story.entries.iter().any(|e| matches!(e.writer, Writer::Backend(_)) == is_here) {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            inputs.push((name, path));
        }
    }
    inputs
}

/// What differs from the story, within `seconds`.
fn differences(story: &Story, run: &Run, seconds: f64) -> Vec<String> {
    let mut faults = Vec::new();
    let mut left: Vec<&Transition> = run.timeline.iter().collect();
    let mut expected: Vec<&Expected> = story.timeline.iter().collect();
    expected.sort_by_key(|e| e.at);
    for e in expected {
        match left.iter().position(|t| is_same(e, t, seconds)) {
            Some(i) => drop(left.remove(i)),
            None => faults.push(format!("missing: {} {} {} {} {:?}", e.at, e.alert, e.state, e.severity, e)),
        }
    }
    faults.extend(left.iter().map(|t| format!("not expected: {}", timeline::json_line(t))));
    if !run.timeline.windows(2).all(|pair| pair[0].at <= pair[1].at)
        && story.timeline.len() > 1
        && !story.is_export_only
    {
        faults.push("not in the order of time".to_owned());
    }
    for (selector, wanted) in &story.metrics {
        let name = selector.split('{').next().unwrap_or_default();
        let got = bench::selected(&run.series, selector);
        let is_same = match (got, wanted) {
            (Some(got), Some(wanted)) => {
                (got - wanted).abs() <= if name.ends_with("_seconds") { seconds } else { 1e-9 }
            }
            (None, Some(wanted)) => *wanted == 0.0 && OPEN.contains(&name),
            (got, None) => got.is_none(),
        };
        if !is_same {
            faults.push(format!("{selector} is {got:?}, not {wanted:?}"));
        }
    }
    let mut shown: Vec<String> = run.timeline.iter().map(timeline::json_line).collect();
    shown.extend(run.timeline.iter().map(timeline::text_line));
    shown.extend(run.series.iter().map(|s| format!("{s:?}")));
    for secret in SECRETS.iter().copied().chain(story.forbidden.iter().map(String::as_str)) {
        if shown.iter().any(|line| line.contains(secret)) {
            faults.push(format!("tells {secret}"));
        }
    }
    faults
}

fn is_same(e: &Expected, t: &Transition, seconds: f64) -> bool {
    let labels: Vec<(String, String)> = t.labels.clone().into_iter().collect();
    (t.at.0 - e.at.0).abs() as f64 <= seconds * 1e9
        && t.alert == e.alert
        && format!("{:?}", t.state).to_lowercase() == e.state
        && t.severity.as_str() == e.severity
        && e.value.is_none_or(|v| (t.value - v).abs() <= seconds.max(1e-3))
        && t.inhibited_by == e.inhibited_by
        && e.labels.iter().all(|l| labels.contains(l))
}

fn told(story: &Story, what: &str, faults: Vec<String>) -> Option<String> {
    let head = format!("{}: {} ({what})", story.file, story.title);
    (!faults.is_empty()).then(|| format!("{head}\n    {}", faults.join("\n    ")))
}

#[test]
fn every_story_ends_as_it_is_told() {
    let plan = bench::shipped();
    let mut found = Vec::new();
    for story in stories() {
        let run = play(&plan, &story, (Journal::Export, Container::Docker), Between::Nothing);
        found.extend(told(&story, "export and docker logs -t", differences(&story, &run, 0.05)));
    }
    assert!(found.is_empty(), "{} stories differ\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_story_is_the_same_in_every_form_of_its_logs() {
    let plan = bench::shipped();
    let mut found = Vec::new();
    for story in stories().into_iter().filter(|s| !s.is_export_only) {
        for (journal, container, seconds) in [
            (Journal::Json, Container::DockerJson, 0.05),
            (Journal::Precise, Container::ComposeStamped, 0.05),
        ] {
            let run = play(&plan, &story, (journal, container), Between::Nothing);
            let what = format!("{journal:?} and {container:?}");
            found.extend(told(&story, &what, differences(&story, &run, seconds)));
        }
    }
    assert!(found.is_empty(), "{} stories differ\n{}", found.len(), found.join("\n"));
}

/// Forms that cut times to seconds or show the application's own only: enough
/// for stories that do not turn on a moment.
#[test]
fn a_story_is_the_same_in_forms_with_coarser_times() {
    let plan = bench::shipped();
    let mut found = Vec::new();
    for mut story in stories().into_iter().filter(|s| !s.is_export_only) {
        if !["outcomes.story", "blocks.story", "syncs.story"].contains(&story.file.as_str()) {
            continue;
        }
        story.metrics.retain(|(selector, _)| !selector.contains("timestamp"));
        for forms in [(Journal::Short, Container::Compose), (Journal::ShortColon, Container::Plain)] {
            let run = play(&plan, &story, forms, Between::Nothing);
            found.extend(told(&story, &format!("{forms:?}"), differences(&story, &run, 1.0)));
        }
    }
    assert!(found.is_empty(), "{} stories differ\n{}", found.len(), found.join("\n"));
}

/// The excerpts that operators pass around have no times at all.
#[test]
fn an_excerpt_without_times_happened_when_its_file_was_written() {
    let plan = bench::shipped();
    let folder = tempfile::tempdir().unwrap();
    let excerpts = [
        (
            "crypto-proxy",
            "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_status=200\n\
             INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_body={\n  \"code\": 0,\n  \"result\": { ... account data ... }\n}\n",
        ),
        (
            "backend",
            "INFO app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $50,743.40\n\
             INFO app.services.portfolio_cache: Portfolio summary fetched in 0.011s: 18 balances, 17 with USD values\n",
        ),
    ];
    let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_764_590_400);
    let mut inputs = Vec::new();
    for (source, text) in excerpts {
        let path = folder.path().join(source);
        fs::write(&path, text).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(written).unwrap();
        inputs.push(bench::input(&plan, source, &path));
    }
    let run = bench::run(&plan, inputs, None, None, Between::Nothing);
    assert!(run.timeline.is_empty());
    for (selector, value) in [
        ("crypto_exchange_requests_total{method=\"unknown\",outcome=\"ok\",code=\"0\"}", 1.0),
        ("crypto_exchange_last_success_timestamp_seconds{method=\"unknown\"}", 1_764_590_400.0),
        ("portfolio_syncs_total{outcome=\"ok\"}", 1.0),
        ("portfolio_total_usd", 50_743.40),
        ("portfolio_last_sync_timestamp_seconds", 1_764_590_400.0),
        ("portfolio_read_balances", 18.0),
    ] {
        assert_eq!(bench::selected(&run.series, selector), Some(value), "{selector}");
    }
}

#[test]
fn empty_inputs_say_nothing_and_count_nothing() {
    let plan = bench::shipped();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    fs::write(&path, "").unwrap();
    let until = merge::Until::At(story::time("12:00:00"));
    let inputs =
        || ["crypto-proxy", "backend"].map(|source| bench::input(&plan, source, &path)).into_iter().collect();
    let run = bench::run(&plan, inputs(), None, Some(until), Between::Nothing);
    assert!(run.timeline.is_empty(), "{:?}", run.timeline);
    assert_eq!(bench::selected(&run.series, "portfolio_syncs_total"), Some(0.0));
    // With --since the time of an input starts there, lines or none.
    let run = bench::run(&plan, inputs(), Some(story::time("11:00:00")), Some(until), Between::Nothing);
    assert_eq!(run.timeline.len(), 2, "{:?}", run.timeline);
}

#[test]
fn a_story_is_the_same_with_restores_after_every_line_and_with_more_ticks() {
    let plan = bench::shipped();
    let mut found = Vec::new();
    for story in stories() {
        let forms = (Journal::Export, Container::Docker);
        let once = play(&plan, &story, forms, Between::Nothing);
        let every = story.entries.len() / 500 + 1;
        for between in [Between::Restore(every), Between::Tick] {
            let other = play(&plan, &story, forms, between);
            found.extend(told(&story, &format!("{between:?}"), unlike(&once, &other)));
        }
    }
    assert!(found.is_empty(), "{} stories differ\n{}", found.len(), found.join("\n"));
}

/// What differs between two runs.
pub fn unlike(one: &Run, other: &Run) -> Vec<String> {
    let lines = |run: &Run| run.timeline.iter().map(timeline::json_line).collect::<Vec<_>>();
    let (a, b) = (lines(one), lines(other));
    let mut faults: Vec<String> = a.iter().filter(|l| !b.contains(l)).map(|l| format!("lost: {l}")).collect();
    faults.extend(b.iter().filter(|l| !a.contains(l)).map(|l| format!("new: {l}")));
    if faults.is_empty() && a != b {
        faults.push("another order".to_owned());
    }
    faults.extend(one.series.iter().filter(|s| !other.series.contains(s)).map(|s| format!("lost: {s:?}")));
    faults.extend(other.series.iter().filter(|s| !one.series.contains(s)).map(|s| format!("new: {s:?}")));
    faults
}
