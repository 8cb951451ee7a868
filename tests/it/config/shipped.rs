//! The shipped configuration means what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tocsin::config::plan::{
    Detector, FieldKind, FieldValue, GaugeValue, LabelSource, MetricKind, Shape, SourceKind, Start,
    StepEffect,
};
use tocsin::config::problem::Severity;
use tocsin::config::{self, Problems};
use tocsin::model;

use super::{Memory, shipped};

#[test]
fn check_sums_up_the_shipped_configuration() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = tocsin::cli::check::check(Path::new("config/tocsin.toml"), &mut out, &mut err).unwrap();
    assert_eq!(String::from_utf8(err).unwrap(), "");
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{text}");
    let counts = "2 sources, 9 events, 19 metrics, 12 rules, 0 receivers";
    assert_eq!(text, format!("config/tocsin.toml: ok: {counts}\n"));
}

#[test]
fn the_shipped_sources_are_the_journal_and_a_compose_service() {
    let plan = shipped();
    let SourceKind::Journal(journal) = &plan.sources[0].kind else { panic!("no journal") };
    assert_eq!(journal.unit.as_deref(), Some("crypto-proxy.service"));
    let SourceKind::Docker(docker) = &plan.sources[1].kind else { panic!("no docker") };
    assert_eq!(docker.service.as_deref(), Some("backend"));
    assert_eq!(plan.sources[0].start, Start::End);
    assert_eq!(plan.sources[0].line_bytes_max, 1 << 20);
}

#[test]
fn the_shipped_request_is_a_block_with_a_json_body() {
    let plan = shipped();
    let event = &plan.events[0];
    assert_eq!((event.name.as_str(), event.sources.as_slice()), ("exchange_request", &[0][..]));
    let Shape::Block(block) = &event.shape else { panic!("no block") };
    assert_eq!(block.limits.lines_max, 50_000);
    assert_eq!(block.limits.bytes_max, 32 << 20);
    assert_eq!(block.limits.duration_max, Duration::from_secs(120));
    assert_eq!(block.limits.open_max, 64);
    assert!(block.tells_interrupted && !block.is_concurrent);
    assert_eq!(block.interrupt_all[0].0.as_deref(), Some("systemd"));
    let begin = "INFO:__main__:[CRYPTO_AUTH_DIAG] === PROXY REQUEST START ===";
    assert!(block.begin[0].regex.is_match(begin), "fragments are filled in");
    let json = block.steps[2].json.as_ref().unwrap();
    assert_eq!(json.state_field, event.field("body"));
    assert_eq!(json.pointers[0].path, ["code"]);
    assert!(json.decides && json.pointers[0].decides && json.stop.is_some());
    let line = "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_body={";
    let captures = block.steps[2].pattern.regex.captures(line).unwrap();
    assert_eq!(&captures[json.group], "{");
    assert_eq!(block.steps[3].sets, [(event.field("body").unwrap(), FieldValue::Text("text".into()))]);
    let effects: Vec<StepEffect> = block.steps.iter().map(|s| s.effect).collect();
    use StepEffect::{Decide, End, Pick};
    assert_eq!(effects, [Pick, Pick, Pick, Decide, End, End]);
    let names: Vec<&str> = event.outcomes.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["ok", "auth_failed", "rate_limited", "upstream_failed", "rejected", "unknown"]);
    assert!(event.outcomes[4].when.is_some() && event.outcomes[5].when.is_none());
    let code = &event.fields[event.field("code").unwrap()];
    assert_eq!((code.kind, code.otherwise.as_deref()), (FieldKind::Int, Some("other")));
}

#[test]
fn the_shipped_sync_merges_and_starts_are_told_apart() {
    let plan = shipped();
    let sync = plan.events.iter().find(|e| e.name == "portfolio_sync").unwrap();
    let Shape::Block(block) = &sync.shape else { panic!("no block") };
    assert!(block.is_concurrent && block.joins_channels && !block.tells_interrupted);
    let merge = block.merge.as_ref().unwrap();
    assert_eq!(merge.within, Duration::from_secs(5));
    assert_eq!(merge.outcomes, [sync.outcome("failed").unwrap()]);
    assert!(sync.marker.is_some());
    let error = block.steps.iter().find(|s| s.is_for_all && s.pattern.unless.is_some()).unwrap();
    assert!(error.pattern.allows_cut);
    assert!(error.pattern.unless.as_ref().unwrap().is_match("portfolio_cache: Error getting x"));
    let start = plan.events.iter().find(|e| e.name == "backend_start").unwrap();
    let Shape::Line { patterns, unless_seen } = &start.shape else { panic!("no line") };
    assert_eq!(patterns.len(), 3);
    let unless = unless_seen.as_ref().unwrap();
    assert!(unless.seen.regex.is_match("INFO:     Started parent process [1]"));
    assert!(unless.of.is_match("INFO:     Started server process [8]"));
    assert!(!unless.of.is_match("INFO:     Started parent process [1]"));
}

#[test]
fn the_shipped_metrics_and_rules_point_at_each_other() {
    let plan = shipped();
    let metric = |name: &str| plan.metrics.iter().find(|m| m.name == name).unwrap();
    let requests = metric("crypto_exchange_requests_total");
    let [method, outcome, code] = requests.labels.as_slice() else { panic!("three labels") };
    assert_eq!((method.1, outcome.1), (LabelSource::Field(0), LabelSource::Outcome));
    assert_eq!(code, &("code".to_owned(), LabelSource::Field(2)));
    assert_eq!(requests.label_values_max, 64);
    let streak = metric("crypto_exchange_auth_failure_streak");
    assert!(matches!(streak.kind, MetricKind::RuleValue { rule: 0 }));
    assert_eq!(streak.labels, [("method".to_owned(), LabelSource::Key(0))]);
    let last = metric("portfolio_last_sync_timestamp_seconds");
    let MetricKind::Gauge { value, outcomes, .. } = &last.kind else { panic!("no gauge") };
    assert_eq!((*value, outcomes.as_slice()), (GaugeValue::Time, &[0][..]));
    let MetricKind::Histogram { buckets, .. } = &metric("portfolio_read_duration_seconds").kind else {
        panic!("no histogram")
    };
    assert_eq!(buckets.len(), 11);
    assert_eq!((buckets[0], buckets[10]), (0.005, 10.0));
}

#[test]
fn the_shipped_rules_are_the_contracts_in_order() {
    let plan = shipped();
    let names: Vec<&str> = plan.rules.iter().map(|r| r.name.as_str()).collect();
    let expected = "ExchangeAuthFailing ExchangeAuthUnstable ExchangeRateLimited ExchangeUpstreamFailing \
        PortfolioSyncStale PortfolioSyncFailing PortfolioEmpty ProxyCrashLooping ProxyTokenRejected \
        BackendCrashLooping LogGap SourceDown";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    let Detector::Staleness { levels, grace_event, good, .. } = &plan.rules[4].detector else {
        panic!("no staleness")
    };
    assert_eq!(good, &[0]);
    assert_eq!(plan.events[grace_event.unwrap()].name, "backend_start");
    let level = |i: usize| (levels[i].severity, levels[i].after.as_secs(), levels[i].grace.as_secs());
    assert_eq!(level(0), (model::Severity::Warning, 480, 120));
    assert_eq!(level(1), (model::Severity::Critical, 900, 0));
    assert_eq!(plan.rules[4].severities(), [model::Severity::Warning, model::Severity::Critical]);
    let gap = &plan.rules[10];
    assert!(matches!(gap.detector, Detector::Gap));
    assert_eq!((gap.severity, gap.keep_firing_for.as_secs()), (model::Severity::Warning, 600));
    assert_eq!(gap.sources, [0, 1]);
    let Detector::SourceDown { after } = plan.rules[11].detector else { panic!("no source down") };
    assert_eq!((plan.rules[11].severity, after.as_secs()), (model::Severity::Critical, 60));
    assert_eq!((plan.rules[0].keys_max, plan.rules[0].hold), (1_000, Duration::ZERO));
    let inhibit = &plan.inhibitions[0];
    assert_eq!((inhibit.source, inhibit.targets.as_slice(), inhibit.to_the_end), (0, &[1][..], true));
    assert_eq!(inhibit.equal, ["method"]);
    assert_eq!(plan.daemon.state_dir, Path::new("/var/lib/tocsin"));
    assert_eq!(plan.daemon.history_for, Duration::from_secs(90 * 86_400));
    assert_eq!(plan.daemon.listen.unwrap().to_string(), "127.0.0.1:9650");
}

#[test]
fn no_damage_to_the_shipped_files_makes_the_reader_panic_or_fall_silent() {
    let paths = [
        "config/tocsin.toml",
        "config/events/exchange_request.toml",
        "config/events/portfolio_sync.toml",
        "alerts/crypto.toml",
    ];
    let texts = paths.map(|path| std::fs::read_to_string(path).unwrap());
    // Every so many lines, to keep the test short; the step is a prime so that
    // all kinds of lines come under it.
    for (path, text) in paths.iter().zip(&texts) {
        let lines: Vec<&str> = text.lines().collect();
        for cut in (0..lines.len()).step_by(31) {
            let mut damaged = lines[..cut].join("\n");
            damaged.push_str("\n[[event.step\nname = \"é");
            let mut files: Vec<(&str, &str)> =
                paths.iter().copied().zip(texts.iter().map(String::as_str)).collect();
            files.retain(|(other, _)| other != path);
            files.push((path, &damaged));
            let result = config::compile(Path::new(paths[0]), &Memory::with(&files));
            let Problems(problems) = result.expect_err("the file is broken");
            assert!(problems.iter().all(|p| p.severity == Severity::Error || p.line > 0));
        }
    }
}

#[test]
fn every_option_that_the_shipped_configuration_shows_as_a_comment_exists() {
    let shipped = std::fs::read_to_string("config/tocsin.toml").unwrap();
    let option = regex::Regex::new(r"^# (\[|[a-z_]+ = )").unwrap();
    // These exclude one another and `namespace`.
    let excluded = ["# directory", "# files"];
    let is_option = |line: &str| option.is_match(line) && !excluded.iter().any(|e| line.starts_with(e));
    let shown: Vec<&str> = shipped.lines().filter(|line| is_option(line)).collect();
    assert!(shown.len() > 30, "the options are shown as comments: {shown:?}");
    let lines = shipped.lines().map(|line| if is_option(line) { &line[2..] } else { line });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    // The source that the comments show needs an event.
    text.push_str("\n[[change]]\nsays = \"x\"\nsource = \"nginx\"\nmatch = 'x'\n");
    let mut files = Memory::with(&[("config/tocsin.toml", &text)]);
    for path in
        ["config/events/exchange_request.toml", "config/events/portfolio_sync.toml", "alerts/crypto.toml"]
    {
        files.files.insert(PathBuf::from(path), std::fs::read_to_string(path).unwrap());
    }
    files.is_offline = true;
    let loaded = config::compile(Path::new("config/tocsin.toml"), &files);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    let kinds: Vec<&str> = loaded.plan.receivers.iter().map(|r| r.kind.as_str()).collect();
    assert_eq!(kinds, ["slack", "telegram", "pagerduty", "alertmanager", "alertmanager", "webhook", "email"]);
    assert!(loaded.plan.daemon.heartbeat.is_some());
}
