//! The engine's metrics about itself: sources, alerts, refusals.

use std::collections::BTreeMap;

use crate::model::{Family, FamilyKind, Sample, Series};

use super::Engine;

/// A kind of thing that may find no room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Series of the metric of that name.
    Series(String),
    /// Blocks.
    Blocks,
    /// Streams and writers in which nothing was open.
    Streams,
    /// Keys of rules.
    Keys,
}

/// How often each found none since the state began.
pub fn refused(engine: &Engine) -> BTreeMap<Refused, u64> {
    let metrics = engine.plan.metrics.iter().zip(&engine.registry.refused);
    let series = metrics.map(|(metric, count)| (Refused::Series(metric.name.clone()), *count));
    let others = [
        (Refused::Blocks, engine.assembler.refused_blocks),
        (Refused::Streams, engine.assembler.refused),
        (Refused::Keys, engine.alerts.refused),
    ];
    series.chain(others).collect()
}

/// The `tocsin_*` families the engine can tell.
pub fn families(engine: &Engine) -> Vec<Family> {
    let plan = &engine.plan;
    let by_source = |name: &str, help: &str, kind: FamilyKind, value: &dyn Fn(usize) -> f64| Family {
        name: name.to_owned(),
        help: help.to_owned(),
        kind,
        series: (0..plan.sources.len())
            .map(|s| series(&[("source", &plan.sources[s].name)], value(s)))
            .collect(),
    };
    let counter = FamilyKind::Counter;
    let of = |s: usize| &engine.sources[s];
    vec![
        by_source("tocsin_source_up", "1 if the source can be read.", FamilyKind::Gauge, &|s| {
            f64::from(u8::from(!of(s).is_lost()))
        }),
        by_source("tocsin_source_lines_total", "Lines taken.", counter, &|s| of(s).lines as f64),
        by_source("tocsin_log_gaps_total", "Times that lines were lost.", counter, &|s| of(s).gaps as f64),
        by_source("tocsin_log_gap_lines_total", "Lines known to be lost.", counter, &|s| {
            of(s).gap_lines as f64
        }),
        by_source("tocsin_lines_skipped_total", "Lines that ended the process.", counter, &|s| {
            of(s).skipped as f64
        }),
        by_source("tocsin_lines_truncated_total", "Lines that were cut.", counter, &|s| {
            of(s).truncated as f64
        }),
        by_source("tocsin_lines_invalid_utf8_total", "Lines with invalid UTF-8.", counter, &|s| {
            of(s).invalid_utf8 as f64
        }),
        alert_firing(engine),
        Family {
            name: "tocsin_series_dropped_total".to_owned(),
            help: "Label values over the cap, counted as other.".to_owned(),
            kind: counter,
            series: plan
                .metrics
                .iter()
                .zip(&engine.registry.refused)
                .map(|(metric, refused)| series(&[("metric", &metric.name)], *refused as f64))
                .collect(),
        },
        Family {
            name: "tocsin_refused_total".to_owned(),
            help: "What found no room in the memory that may be taken.".to_owned(),
            kind: counter,
            series: vec![
                series(&[("what", "blocks")], engine.assembler.refused_blocks as f64),
                series(&[("what", "streams")], engine.assembler.refused as f64),
                series(&[("what", "keys")], engine.alerts.refused as f64),
            ],
        },
        Family {
            name: "tocsin_event_near_misses_total".to_owned(),
            help: "Lines that carry an event's marker but do not match it.".to_owned(),
            kind: counter,
            series: plan
                .events
                .iter()
                .zip(&engine.near_misses)
                .map(|(event, misses)| series(&[("event", &event.name)], *misses as f64))
                .collect(),
        },
    ]
}

fn alert_firing(engine: &Engine) -> Family {
    let mut all = Vec::new();
    for (i, rule) in engine.plan.rules.iter().enumerate() {
        let firing = engine.alerts.firing(i);
        for severity in rule.severities() {
            let labels = [("alert", rule.name.as_str()), ("severity", severity.as_str())];
            all.push(series(&labels, f64::from(u8::from(firing.contains(&severity)))));
        }
    }
    Family {
        name: "tocsin_alert_firing".to_owned(),
        help: "1 while any alert of that name and severity fires.".to_owned(),
        kind: FamilyKind::Gauge,
        series: all,
    }
}

fn series(labels: &[(&str, &str)], value: f64) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { labels, sample: Sample::Number(value) }
}
