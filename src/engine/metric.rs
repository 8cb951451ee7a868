//! The series: counters, gauges and histograms moved by events.
//!
//! Open labels are capped: beyond the cap, and for values that are long or
//! hold white space, the value is `other`. So is every open label of a series
//! that would be new when all series together have taken their memory. What is
//! refused is counted, never silently evicted. Counters with closed labels
//! stand at 0 from the start.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::plan::{GaugeValue, LabelSource, LimitsPlan, MetricKind, MetricPlan, Plan};
use crate::config::redact::MASK;
use crate::model::{Family, FamilyKind, Sample, Series};

use super::event::Event;

/// Label values longer than this many bytes are `other`.
const LABEL_BYTES_MAX: usize = 64;
/// What stands for every value over the cap.
const OTHER: &str = "other";

/// Values of the labels of a metric, in its order; `None`: the label is absent.
pub type Labels = Vec<Option<String>>;

/// The value of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram: counts by bucket (not cumulative, the last is +Inf).
    Histogram {
        /// One for each bound, and one beyond.
        counts: Vec<u64>,
        /// Sum of observations.
        sum: f64,
        /// The bounds it was made with.
        bounds: Vec<f64>,
    },
}

/// All series of the plan's metrics.
#[derive(Debug, Default)]
pub struct Registry {
    /// By position of the metric.
    series: Vec<BTreeMap<Labels, Value>>,
    /// By metric and label: its values but `other`, and the series of each.
    taken: Vec<Vec<BTreeMap<String, usize>>>,
    /// What all series are charged.
    bytes: usize,
    /// Refused label values by metric.
    pub(super) refused: Vec<u64>,
    /// Series changed since the last save.
    pub(super) dirty: BTreeSet<(usize, Labels)>,
    pub(super) dirty_refused: BTreeSet<usize>,
}

impl Registry {
    /// With the series that exist from the start.
    pub fn new(plan: &Plan) -> Registry {
        let mut registry = Registry {
            series: vec![BTreeMap::new(); plan.metrics.len()],
            taken: plan.metrics.iter().map(|m| vec![BTreeMap::new(); m.labels.len()]).collect(),
            refused: vec![0; plan.metrics.len()],
            ..Registry::default()
        };
        for (i, metric) in plan.metrics.iter().enumerate() {
            for labels in initial(plan, metric) {
                registry.put(metric, i, labels, zero(metric));
            }
        }
        registry
    }

    /// One series' value.
    pub(super) fn get(&self, i: usize, labels: &Labels) -> Option<&Value> {
        self.series[i].get(labels)
    }

    /// Puts a series, as it was saved or as it begins.
    pub(super) fn put(&mut self, metric: &MetricPlan, i: usize, labels: Labels, value: Value) {
        for (taken, label) in self.taken[i].iter_mut().zip(&labels) {
            if let Some(label) = label.as_deref().filter(|label| *label != OTHER)
                && !self.series[i].contains_key(&labels)
            {
                *taken.entry(label.to_owned()).or_default() += 1;
            }
        }
        if self.series[i].insert(labels, value).is_none() {
            self.bytes += weight(metric);
        }
    }

    /// Moves what the event moves.
    pub fn event(&mut self, plan: &Plan, event: &Event) {
        for (i, metric) in plan.metrics.iter().enumerate() {
            match &metric.kind {
                MetricKind::Counter { event: of, outcomes } if is_of(event, *of, outcomes) => {
                    let labels = self.labels(plan, i, event);
                    self.update(metric, i, labels, |v| *v += 1.0);
                }
                MetricKind::Gauge { event: of, outcomes, value } if is_of(event, *of, outcomes) => {
                    let labels = self.labels(plan, i, event);
                    let number = match value {
                        GaugeValue::Time => Some(event.at.as_secs_f64()),
                        GaugeValue::Field(field) => event.number(*field),
                    };
                    match number {
                        Some(number) => self.update(metric, i, labels, |v| *v = number),
                        None => self.drop_series(metric, i, labels),
                    }
                }
                MetricKind::Histogram { event: of, outcomes, field, .. } if is_of(event, *of, outcomes) => {
                    if let Some(number) = event.number(*field) {
                        let labels = self.labels(plan, i, event);
                        self.observe(metric, i, labels, number);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sets the gauges that show a rule's value.
    pub fn rule_value(&mut self, plan: &Plan, rule: usize, key: &[String], value: f64) {
        for (i, metric) in plan.metrics.iter().enumerate() {
            if !matches!(metric.kind, MetricKind::RuleValue { rule: of } if of == rule) {
                continue;
            }
            let labels = metric
                .labels
                .iter()
                .enumerate()
                .map(|(n, (_, source))| match source {
                    LabelSource::Key(k) => key.get(*k).map(|v| self.capped(plan, (i, n), v)),
                    _ => None,
                })
                .collect();
            let labels = self.admitted(plan, i, labels);
            self.update(metric, i, labels, |v| *v = value);
        }
    }

    /// As published, in the order of the plan.
    pub fn families(&self, plan: &Plan) -> Vec<Family> {
        let family = |(metric, series): (&MetricPlan, &BTreeMap<Labels, Value>)| Family {
            name: metric.name.clone(),
            help: metric.help.clone(),
            kind: match metric.kind {
                MetricKind::Counter { .. } => FamilyKind::Counter,
                MetricKind::Histogram { .. } => FamilyKind::Histogram,
                _ => FamilyKind::Gauge,
            },
            series: series.iter().map(|(labels, value)| published(metric, labels, value)).collect(),
        };
        plan.metrics.iter().zip(&self.series).map(family).collect()
    }

    fn labels(&mut self, plan: &Plan, i: usize, event: &Event) -> Labels {
        let metric = &plan.metrics[i];
        let outcomes = &plan.events[event.definition].outcomes;
        let labels = metric
            .labels
            .iter()
            .enumerate()
            .map(|(n, (_, source))| match source {
                LabelSource::Outcome => event.outcome.map(|o| outcomes[o].name.clone()),
                LabelSource::Field(field) => event.text(*field).map(|v| self.capped(plan, (i, n), &v)),
                LabelSource::Key(_) => None,
            })
            .collect();
        self.admitted(plan, i, labels)
    }

    /// The labels of a series that exists or has room; else every open label
    /// is `other`, of which there is one for each set of closed ones.
    fn admitted(&mut self, plan: &Plan, i: usize, mut labels: Labels) -> Labels {
        let metric = &plan.metrics[i];
        let has_room = self.bytes + weight(metric) <= plan.limits.series_bytes;
        if has_room || self.series[i].contains_key(&labels) {
            return labels;
        }
        let mut is_refused = false;
        for (label, (_, source)) in labels.iter_mut().zip(&metric.labels) {
            if let (Some(label), false) = (label, *source == LabelSource::Outcome) {
                is_refused |= label != OTHER;
                *label = OTHER.to_owned();
            }
        }
        if is_refused {
            self.refuse(i);
        }
        labels
    }

    fn refuse(&mut self, i: usize) {
        self.refused[i] += 1;
        self.dirty_refused.insert(i);
    }

    /// The value as it may stand in label `n` of metric `i`. One that a log
    /// made of something secret stands nowhere.
    fn capped(&mut self, plan: &Plan, (i, n): (usize, usize), value: &str) -> String {
        // A field that was saved is redacted already.
        let is_masked = value.contains(MASK);
        if is_masked
            || value.len() > LABEL_BYTES_MAX
            || value.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            return OTHER.to_owned();
        }
        let taken = &self.taken[i][n];
        if taken.contains_key(value) {
            return value.to_owned();
        }
        if taken.len() < plan.metrics[i].label_values_max {
            return if plan.redactor.redact(value) == value { value.to_owned() } else { OTHER.to_owned() };
        }
        self.refuse(i);
        OTHER.to_owned()
    }

    fn update(&mut self, metric: &MetricPlan, i: usize, labels: Labels, change: impl FnOnce(&mut f64)) {
        if let Value::Number(n) = self.value(metric, i, &labels) {
            change(n);
        }
        self.dirty.insert((i, labels));
    }

    fn value(&mut self, metric: &MetricPlan, i: usize, labels: &Labels) -> &mut Value {
        if !self.series[i].contains_key(labels) {
            self.put(metric, i, labels.clone(), zero(metric));
        }
        self.series[i].entry(labels.clone()).or_insert_with(|| zero(metric))
    }

    fn drop_series(&mut self, metric: &MetricPlan, i: usize, labels: Labels) {
        if self.series[i].remove(&labels).is_none() {
            return;
        }
        self.bytes -= weight(metric);
        for (taken, label) in self.taken[i].iter_mut().zip(&labels) {
            let Some(label) = label else { continue };
            if let Some(count) = taken.get_mut(label) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(label);
                }
            }
        }
        self.dirty.insert((i, labels));
    }

    fn observe(&mut self, metric: &MetricPlan, i: usize, labels: Labels, number: f64) {
        let value = self.value(metric, i, &labels);
        if let Value::Histogram { counts, sum, bounds } = value {
            let bucket = bounds.iter().position(|b| number <= *b).unwrap_or(bounds.len());
            counts[bucket] += 1;
            *sum += number;
        }
        self.dirty.insert((i, labels));
    }
}

fn is_of(event: &Event, definition: usize, outcomes: &[usize]) -> bool {
    event.definition == definition && event.is_among(outcomes)
}

/// The label sets that exist before anything is counted: of counters and
/// histograms with closed labels, and of rule gauges without labels.
fn initial(plan: &Plan, metric: &MetricPlan) -> Vec<Labels> {
    let of = match &metric.kind {
        MetricKind::Counter { event, outcomes } | MetricKind::Histogram { event, outcomes, .. } => {
            (*event, outcomes)
        }
        MetricKind::RuleValue { .. } if metric.labels.is_empty() => return vec![Vec::new()],
        _ => return Vec::new(),
    };
    if metric.labels.iter().any(|(_, source)| *source != LabelSource::Outcome) {
        return Vec::new();
    }
    if metric.labels.is_empty() {
        return vec![Vec::new()];
    }
    let all = plan.events[of.0].outcomes.iter().enumerate();
    all.filter(|(i, _)| of.1.is_empty() || of.1.contains(i))
        .map(|(_, outcome)| vec![Some(outcome.name.clone()); metric.labels.len()])
        .collect()
}

fn weight(metric: &MetricPlan) -> usize {
    let buckets = match &metric.kind {
        MetricKind::Histogram { buckets, .. } => buckets.len(),
        _ => 0,
    };
    LimitsPlan::series_weight(metric.labels.len(), buckets)
}

fn zero(metric: &MetricPlan) -> Value {
    match &metric.kind {
        MetricKind::Histogram { buckets, .. } => {
            Value::Histogram { counts: vec![0; buckets.len() + 1], sum: 0.0, bounds: buckets.clone() }
        }
        _ => Value::Number(0.0),
    }
}

fn published(metric: &MetricPlan, labels: &Labels, value: &Value) -> Series {
    let named = metric.labels.iter().zip(labels);
    Series {
        labels: named.filter_map(|((name, _), v)| Some((name.clone(), v.clone()?))).collect(),
        sample: match value {
            Value::Number(n) => Sample::Number(*n),
            Value::Histogram { counts, sum, bounds } => {
                let mut below = 0;
                let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
                    below += count;
                    (*bound, below)
                });
                Sample::Histogram { buckets: buckets.collect(), sum: *sum, count: counts.iter().sum() }
            }
        },
    }
}
