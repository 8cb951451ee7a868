//! Text to [`Plan`], collecting every problem on the way.
//!
//! Responsible for the whole way from files as written to what the program
//! believes: `document` finds and parses them (spans kept), `reader` reads
//! tables, one file for each kind turns them into its part of the plan. Names
//! are resolved over all files, in the order sources, events, rules, metrics.
//! It must do no IO: files, secrets and the environment come through
//! [`FileSource`]. The surprising decision: no step fails. Each gives what it
//! can and reports what it cannot, so that one run shows every problem.

mod ascii;
mod block;
mod builtin;
mod by_value;
mod condition;
mod detector;
mod document;
mod event;
mod field;
mod fragment;
mod ground;
mod inhibit;
mod interval;
mod label;
mod limits;
mod maintenance;
pub mod matcher;
mod metric;
mod names;
mod pattern;
pub mod plan;
pub mod problem;
mod reader;
mod receiver;
pub mod redact;
mod route;
mod rule;
mod secrets;
mod settings;
mod source;
mod units;

use std::path::{Path, PathBuf};

use fragment::Fragments;
use ground::Ground;
use pattern::{Groups, patterns};
use plan::{MetricKind, RulePlan};
use problem::{At, Report};
use reader::Table;
use redact::Redactor;

pub use document::FileSource;
pub use plan::Plan;
pub use problem::{Problem, Problems};
pub use units::parse_duration;

/// A usable configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub plan: Plan,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
    /// The files it was read from, the main one first.
    pub files: Vec<PathBuf>,
}

/// Reads and compiles the configuration whose main file is `main`.
///
/// # Errors
/// All problems, of all files, if any of them is an error.
pub fn compile(main: &Path, files: &dyn FileSource) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    document::gather(main, files, &mut report);
    let plan = plan_of(&report, files);
    let paths = report.files.iter().map(|file| file.path.clone()).collect();
    if report.has_errors() {
        return Err(Problems(report.into_problems()));
    }
    Ok(Loaded { plan, warnings: report.into_problems(), files: paths })
}

fn plan_of(report: &Report, files: &dyn FileSource) -> Plan {
    let (tables, broken) = document::parse(report);
    // What is left of a broken file still defines names, but what else is
    // wrong with it would only hide the mistake.
    report.hush(&broken);
    let tops: Vec<Table<'_>> =
        tables.iter().enumerate().map(|(index, table)| Table::top(report, index, table)).collect();
    let ground = Ground { report, tops, files };
    ground.check_keys();
    let fragments = Fragments::read(report, &ground.tops);
    let sources = source::read(&ground);
    if sources.is_empty() && broken.is_empty() && !report.files.is_empty() {
        report.error(
            &At { file: 0, span: 0..0 },
            "no source: nothing would be read",
            "expected at least one [[source]]",
        );
    }
    let events = event::read(&ground, &fragments, &sources);
    let changes = event::changes(&ground, &fragments, &sources);
    let mut rules = rule::read(&ground, &events);
    rules.extend(builtin::rules(&ground, sources.len()));
    let metrics = metric::read(&ground, &events, &rules);
    let inhibitions = inhibit::read(&ground, &rules);
    let receivers = receiver::read(&ground);
    let redactor = redactor(&ground, &fragments);
    let (daemon, notify) = settings::read(&ground);
    let limits = limits::read(&ground, &sources, &metrics, &rules);
    let intervals = interval::read(&ground);
    let routes = route::read(&ground, &receivers, &intervals, &notify);
    let maintenance = maintenance::read(&ground, &intervals);
    let mut plan = Plan {
        sources,
        events,
        changes,
        metrics,
        rules,
        inhibitions,
        receivers,
        routes,
        intervals,
        maintenance,
        redactor,
        notify,
        limits,
        daemon,
    };
    // After an error, what is unused may only lack what went wrong.
    if !report.has_errors() {
        fragments.finish();
        warn_unused(&ground, &plan);
        route::warn_unreached(&ground, &plan);
    }
    receiver::tell_each_instance(&mut plan);
    plan
}

fn redactor<'a>(ground: &Ground<'a>, fragments: &Fragments<'a>) -> Redactor {
    let mut all = Vec::new();
    for table in ground.tables("redact") {
        if !table.has("match") {
            table.missing("match", "expected a pattern");
        }
        all.extend(
            patterns(&table, "match", fragments, &Groups::Only(&["secret"])).into_iter().map(|p| p.regex),
        );
        table.finish();
    }
    Redactor::new(all)
}

/// Warns of events and sources that nothing looks at.
fn warn_unused(ground: &Ground<'_>, plan: &Plan) {
    let metrics = plan.metrics.iter().filter_map(|metric| match &metric.kind {
        MetricKind::Counter { event, .. }
        | MetricKind::Gauge { event, .. }
        | MetricKind::Histogram { event, .. } => Some(*event),
        MetricKind::RuleValue { .. } => None,
    });
    let rules = plan.rules.iter().flat_map(events_of);
    let used: Vec<usize> = metrics.chain(rules).collect();
    for (index, table) in ground.tables("event").iter().enumerate().filter(|(index, _)| !used.contains(index))
    {
        let name = &plan.events[index].name;
        ground.report.warning(&table.at, format!("no metric and no rule looks at the event \"{name}\""), "");
    }
    for (index, table) in ground.tables("source").iter().enumerate() {
        let is_used = plan.events.iter().any(|e| e.sources.contains(&index))
            || plan.changes.iter().any(|c| c.sources.contains(&index));
        if !is_used {
            let name = &plan.sources[index].name;
            ground.report.warning(&table.at, format!("no event looks at the source \"{name}\""), "");
        }
    }
}

fn events_of(rule: &RulePlan) -> Vec<usize> {
    [rule.event(), rule.near_misses_of(), rule.grace_event()].into_iter().flatten().collect()
}
