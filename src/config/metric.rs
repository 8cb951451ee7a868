//! `[[metric]]`: what is counted, by Prometheus' rules for names.

use super::event::outcomes_of;
use super::ground::Ground;
use super::label;
use super::names::is_name;
use super::plan::{EventPlan, FieldKind, GaugeValue, LabelSource, MetricKind, MetricPlan, RulePlan};
use super::problem::{At, Spot};
use super::reader::{Table, find};

/// Prometheus' `DefBuckets`.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Values an open label may take.
const LABEL_VALUES_MAX: u64 = 64;
/// Names of tocsin's own metrics begin so.
const OWN_PREFIXES: &[&str] = &["tocsin_", "process_"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const KINDS: &[(&str, Kind)] =
    &[("counter", Kind::Counter), ("gauge", Kind::Gauge), ("histogram", Kind::Histogram)];

/// Reads all metrics.
pub(super) fn read(ground: &Ground<'_>, events: &[EventPlan], rules: &[RulePlan]) -> Vec<MetricPlan> {
    let mut out = Vec::new();
    let mut taken: Vec<(String, Kind, At)> = Vec::new();
    for table in ground.tables("metric") {
        if !table.has("type") {
            table.missing("type", "expected one of counter, gauge, histogram");
        }
        let kind = table.choice("type", "metric type", KINDS).map(|k| k.value);
        let name = table.need_text("name", "expected the metric's name");
        if let (Some(name), Some(kind)) = (&name, kind) {
            check_name(&table, name, kind);
            check_twice(&table, name, kind, &mut taken);
        }
        let help = table.need_text("help", "expected one line that says what it is");
        let plan = one(&table, kind, events, rules);
        if kind.is_some() {
            table.finish();
        }
        let Some((kind, labels)) = plan else { continue };
        out.push(MetricPlan {
            name: name.map(|n| n.value.to_owned()).unwrap_or_default(),
            help: help.map(|h| h.value.to_owned()).unwrap_or_default(),
            kind,
            labels,
            label_values_max: table.count("label_values_max", 1).map_or(LABEL_VALUES_MAX, |n| n.value)
                as usize,
        });
    }
    out
}

type Labels = Vec<(String, LabelSource)>;

fn one(
    table: &Table<'_>,
    kind: Option<Kind>,
    events: &[EventPlan],
    rules: &[RulePlan],
) -> Option<(MetricKind, Labels)> {
    // Asked here already, so that it is no unknown key.
    table.get("label_values_max");
    if kind == Some(Kind::Gauge) && table.has("rule") {
        return rule_value(table, rules);
    }
    let names: Vec<&str> = events.iter().map(|e| e.name.as_str()).collect();
    let expected = if kind == Some(Kind::Gauge) {
        "expected the event that sets it, or rule = … for a rule's value"
    } else {
        "expected the event that is counted"
    };
    let index =
        table.need_text("event", expected).and_then(|name| find(table.report, "event", &name, &names));
    let Some(event) = index else {
        for key in ["outcomes", "labels", "value", "field", "buckets"] {
            table.get(key);
        }
        return None;
    };
    let plan = &events[event];
    let outcomes = outcomes_of(table, "outcomes", plan);
    let labels = labels(table, |name| event_label(table, name, plan));
    let kind = match kind? {
        Kind::Counter => MetricKind::Counter { event, outcomes },
        Kind::Gauge => MetricKind::Gauge { event, outcomes, value: gauge_value(table, plan)? },
        Kind::Histogram => {
            let field =
                number_field(table, &table.need_text("field", "expected the field that is observed")?, plan);
            let buckets = buckets(table);
            if let Some((name, _)) = labels.iter().find(|(name, _)| name == "le") {
                table.report.error(
                    &table.key_at("labels"),
                    format!("the label \"{name}\" belongs to the histogram itself"),
                    "expected another name",
                );
            }
            MetricKind::Histogram { event, outcomes, field: field?, buckets }
        }
    };
    Some((kind, labels))
}

fn rule_value(table: &Table<'_>, rules: &[RulePlan]) -> Option<(MetricKind, Labels)> {
    let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
    let rule = find(table.report, "rule", &table.text("rule")?, &names)?;
    let keys: Vec<&str> = rules[rule].by.iter().map(|(label, _)| label.as_str()).collect();
    let labels =
        labels(table, |name| find(table.report, "label of the rule", name, &keys).map(LabelSource::Key));
    // Without a key's label its series would be one and the same.
    for key in keys.iter().filter(|key| {
        !labels.iter().any(|(_, s)| *s == LabelSource::Key(keys.iter().position(|k| k == *key).unwrap_or(0)))
    }) {
        table.report.error(
            &table.at,
            format!("the rule is kept for each \"{key}\", which is no label here"),
            format!("expected labels = [\"{}\"]", keys.join("\", \"")),
        );
    }
    Some((MetricKind::RuleValue { rule }, labels))
}

fn labels(table: &Table<'_>, source: impl Fn(&Spot<&str>) -> Option<LabelSource>) -> Labels {
    let pairs = label::pairs(table, "labels", label::is_label).into_iter();
    pairs.filter_map(|(label, from)| Some((label.value.to_owned(), source(&from)?))).collect()
}

fn event_label(table: &Table<'_>, name: &Spot<&str>, event: &EventPlan) -> Option<LabelSource> {
    if name.value == "outcome" {
        if event.outcomes.is_empty() {
            table.report.error(
                &name.at,
                format!("the event \"{}\" has no outcomes", event.name),
                "expected a field",
            );
        }
        return Some(LabelSource::Outcome);
    }
    let mut names: Vec<&str> = event.fields.iter().map(|f| f.name.as_str()).collect();
    names.push("outcome");
    find(table.report, "field", name, &names).map(LabelSource::Field)
}

fn gauge_value(table: &Table<'_>, event: &EventPlan) -> Option<GaugeValue> {
    let name = table.need_text("value", "expected \"time\" or a field with a number")?;
    // A field named `time` would be unreachable, but says more.
    match event.field(name.value) {
        None if name.value == "time" => Some(GaugeValue::Time),
        _ => number_field(table, &name, event).map(GaugeValue::Field),
    }
}

fn number_field(table: &Table<'_>, name: &Spot<&str>, event: &EventPlan) -> Option<usize> {
    let names: Vec<&str> = event.fields.iter().map(|f| f.name.as_str()).collect();
    let field = find(table.report, "field", name, &names)?;
    if matches!(event.fields[field].kind, FieldKind::Text | FieldKind::Bool) {
        table.report.error(
            &name.at,
            format!("the field \"{}\" is no number", name.value),
            "expected a field of type int, float or amount",
        );
    }
    Some(field)
}

fn buckets(table: &Table<'_>) -> Vec<f64> {
    let Some(value) = table.get("buckets") else {
        return BUCKETS.to_vec();
    };
    let found: Vec<Spot<f64>> = value.items().iter().filter_map(|item| item.number()).collect();
    if found.is_empty() {
        table.report.error(&value.at, "no buckets", "expected upper bounds, ascending, without +Inf");
    }
    for pair in found.windows(2).filter(|pair| pair[0].value >= pair[1].value) {
        table.report.error(
            &pair[1].at,
            "the buckets do not ascend",
            "expected each bound above the one before",
        );
    }
    found.into_iter().map(|f| f.value).collect()
}

fn check_name(table: &Table<'_>, name: &Spot<&str>, kind: Kind) {
    let report = table.report;
    let text = name.value;
    if !is_name(text) {
        report.error(
            &name.at,
            format!("\"{text}\" is no metric name"),
            "expected lower-case letters, digits and _, not beginning with a digit",
        );
        return;
    }
    if OWN_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        report.error(
            &name.at,
            format!("the name \"{text}\" is tocsin's own"),
            "expected a name that begins neither with tocsin_ nor with process_",
        );
    }
    if kind == Kind::Counter && !text.ends_with("_total") {
        report.error(
            &name.at,
            "the name of a counter must end in _total",
            format!("expected \"{text}_total\""),
        );
    }
    if kind != Kind::Counter && text.ends_with("_total") {
        report.error(
            &name.at,
            "only the name of a counter ends in _total",
            format!("expected \"{}\"", text.trim_end_matches("_total")),
        );
    }
    for suffix in ["_bucket", "_count", "_sum"] {
        if text.ends_with(suffix) {
            report.error(
                &name.at,
                format!("the ending {suffix} belongs to histograms' own series"),
                "expected another name",
            );
        }
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        report.error(
            &name.at,
            "metric names have no capitals",
            format!("expected \"{}\"", text.to_lowercase()),
        );
    }
}

fn check_twice(table: &Table<'_>, name: &Spot<&str>, kind: Kind, taken: &mut Vec<(String, Kind, At)>) {
    let word = |kind: Kind| KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(word, _)| *word);
    if let Some((_, before, at)) = taken.iter().find(|(n, _, _)| n == name.value) {
        let place = table.report.place(at);
        let message = if *before == kind {
            format!("the metric \"{}\" is defined twice", name.value)
        } else {
            format!(
                "the metric \"{}\" is defined twice, as {} and as {}",
                name.value,
                word(*before),
                word(kind)
            )
        };
        table.report.error(&name.at, message, format!("the first stands at {place}"));
        return;
    }
    taken.push((name.value.to_owned(), kind, name.at.clone()));
}
