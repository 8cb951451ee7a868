//! `[limits]`: the memory that may be taken. What is set elsewhere and cannot
//! be kept within it is an error here, not a refusal later.

use super::ground::Ground;
use super::plan::{LabelSource, LimitsPlan, MetricKind, MetricPlan, RulePlan, SourcePlan};

const MIB: u64 = 1 << 20;

/// Reads it, and holds the caps of metrics and rules against it.
pub(super) fn read(
    ground: &Ground<'_>,
    sources: &[SourcePlan],
    metrics: &[MetricPlan],
    rules: &[RulePlan],
) -> LimitsPlan {
    let line_bytes: Vec<usize> = sources.iter().map(|s| s.line_bytes_max).collect();
    let mut memory = LimitsPlan::default_memory(&line_bytes);
    if let Some(table) = ground.only("limits").and_then(|top| top.child("limits")) {
        if let Some(set) = table.size("memory") {
            memory = set.value;
            let least = LimitsPlan::least_memory(&line_bytes);
            if memory < least {
                table.report.error(
                    &set.at,
                    format!("\"memory\" is less than {} source(s) with lines that long need", sources.len()),
                    format!("expected at least \"{}MiB\", or a smaller line_bytes_max", least.div_ceil(MIB)),
                );
            }
        }
        table.finish();
    }
    let plan = LimitsPlan::new(memory, &line_bytes);
    check_metrics(ground, metrics, &plan);
    check_rules(ground, rules, &plan);
    plan
}

fn check_metrics(ground: &Ground<'_>, metrics: &[MetricPlan], plan: &LimitsPlan) {
    let tables = ground.tables("metric");
    for table in tables.iter().filter(|table| table.has("label_values_max")) {
        let name = table.get("name").and_then(|v| v.text_quietly());
        let named = |m: &&MetricPlan| name.as_ref() == Some(&m.name);
        let Some(metric) = metrics.iter().find(named) else { continue };
        let buckets = match &metric.kind {
            MetricKind::Histogram { buckets, .. } => buckets.len(),
            _ => 0,
        };
        let is_open = metric.labels.iter().any(|(_, source)| *source != LabelSource::Outcome);
        let most = plan.series_bytes / LimitsPlan::series_weight(metric.labels.len(), buckets);
        if is_open && metric.label_values_max > most {
            ground.report.error(
                &table.key_at("label_values_max"),
                format!("{} values are more than [limits] memory leaves room for", metric.label_values_max),
                format!("expected at most {most}, or more memory under [limits]"),
            );
        }
    }
}

fn check_rules(ground: &Ground<'_>, rules: &[RulePlan], plan: &LimitsPlan) {
    for table in ground.tables("rule").iter().filter(|table| table.has("keys_max")) {
        let name = table.get("name").and_then(|v| v.text_quietly());
        let named = |r: &&RulePlan| name.as_ref() == Some(&r.name);
        if let Some(rule) = rules.iter().find(named).filter(|rule| rule.keys_max > plan.keys_max) {
            ground.report.error(
                &table.key_at("keys_max"),
                format!("{} keys are more than [limits] memory leaves room for", rule.keys_max),
                format!("expected at most {}, or more memory under [limits]", plan.keys_max),
            );
        }
    }
}
