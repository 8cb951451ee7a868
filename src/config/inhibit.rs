//! `[[inhibit]]`: which alert keeps which quiet, by the names of rules or, as
//! in Alertmanager, by matchers.

use std::time::Duration;

use super::ground::Ground;
use super::matcher;
use super::plan::{InhibitPlan, Matchers, RulePlan};
use super::reader::{Table, find};

/// An inhibitor that no longer speaks is believed so long.
const FRESH_FOR: Duration = Duration::from_secs(600);

/// Reads all, with the built-in rules among `rules`.
pub(super) fn read(ground: &Ground<'_>, rules: &[RulePlan]) -> Vec<InhibitPlan> {
    let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
    let mut out: Vec<InhibitPlan> = Vec::new();
    for table in ground.tables("inhibit") {
        if ["source_matchers", "target_matchers"].iter().any(|key| table.has(key)) {
            out.extend(by_matchers(&table, rules));
            continue;
        }
        let source = table.need_text("source", "expected the rule that keeps others quiet");
        if !table.has("targets") {
            table.missing("targets", "expected the rules it keeps quiet");
        }
        let source = source.and_then(|name| find(table.report, "rule", &name, &names));
        let mut targets = Vec::new();
        for name in table.texts("targets") {
            let Some(target) = find(table.report, "rule", &name, &names) else {
                continue;
            };
            if Some(target) == source {
                table.report.error(
                    &name.at,
                    format!("\"{}\" would keep itself quiet", name.value),
                    "expected another rule",
                );
            } else if out.iter().any(|i| i.source == target && source.is_some_and(|s| i.targets.contains(&s)))
            {
                table.report.error(
                    &name.at,
                    format!("\"{}\" already keeps this rule quiet: neither would be told", name.value),
                    "expected one direction",
                );
            }
            targets.push(target);
        }
        let equal = equal(&table, source.into_iter().chain(targets.iter().copied()), rules);
        let fresh_for = table.positive_duration("fresh_for").map_or(FRESH_FOR, |d| d.value);
        let to_the_end = table.boolean("to_the_end").unwrap_or(false);
        table.finish();
        if let Some(source) = source {
            let (source_matchers, target_matchers) = (Matchers::default(), Matchers::default());
            out.push(InhibitPlan {
                source,
                targets,
                source_matchers,
                target_matchers,
                equal,
                fresh_for,
                to_the_end,
            });
        }
    }
    out
}

/// One for each rule whose alerts may fit the source.
fn by_matchers(table: &Table<'_>, rules: &[RulePlan]) -> Vec<InhibitPlan> {
    for key in ["source", "targets"].iter().filter(|key| table.has(key)) {
        let expected = "expected source and targets, or source_matchers and target_matchers";
        table.report.error(&table.key_at(key), format!("\"{key}\" beside matchers"), expected);
    }
    table.get("source");
    table.get("targets");
    let before = table.report.errors();
    let source_matchers = matcher::need(table, "source_matchers");
    let target_matchers = matcher::need(table, "target_matchers");
    let fitting = |key: &str, matchers: &Matchers| -> Vec<usize> {
        let all: Vec<usize> = (0..rules.len()).filter(|r| rules[*r].may_fit(matchers)).collect();
        if all.is_empty() && table.report.errors() == before {
            let message = format!("no rule gives alerts that fit {matchers}");
            table.report.error(&table.key_at(key), message, "expected labels that a rule has");
        }
        all
    };
    let sources = fitting("source_matchers", &source_matchers);
    let targets = fitting("target_matchers", &target_matchers);
    let equal: Vec<String> = table.texts("equal").iter().map(|label| label.value.to_owned()).collect();
    let fresh_for = table.positive_duration("fresh_for").map_or(FRESH_FOR, |d| d.value);
    let to_the_end = table.boolean("to_the_end").unwrap_or(false);
    table.finish();
    let plan = |source| InhibitPlan {
        source,
        targets: targets.clone(),
        source_matchers: source_matchers.clone(),
        target_matchers: target_matchers.clone(),
        equal: equal.clone(),
        fresh_for,
        to_the_end,
    };
    sources.into_iter().map(plan).collect()
}

fn equal(table: &Table<'_>, involved: impl Iterator<Item = usize>, rules: &[RulePlan]) -> Vec<String> {
    let involved: Vec<usize> = involved.collect();
    let mut out = Vec::new();
    for label in table.texts("equal") {
        for rule in &involved {
            let plan = &rules[*rule];
            let mut names: Vec<&str> = plan.by.iter().map(|(name, _)| name.as_str()).collect();
            names.extend(plan.labels.keys().map(String::as_str));
            names.push("source");
            if !names.contains(&label.value) {
                let owner = format!("of the rule \"{}\"", plan.name);
                table.report.unknown_of(&label.at, "label", label.value, (&owner, &names));
                // One rule without it is enough said.
                break;
            }
        }
        out.push(label.value.to_owned());
    }
    out
}
