//! What is counted, as meant.

use super::FieldId;

/// A metric made from events.
#[derive(Clone, Debug)]
pub struct MetricPlan {
    /// Prometheus name.
    pub name: String,
    /// Help text.
    pub help: String,
    /// What moves it.
    pub kind: MetricKind,
    /// Label names and where their values come from, in order.
    pub labels: Vec<(String, LabelSource)>,
    /// Values an open label may take before `other`.
    pub label_values_max: usize,
}

/// Where a label's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSource {
    /// A field of the event; open, so capped.
    Field(FieldId),
    /// The outcome; closed.
    Outcome,
    /// A key of the rule, by position in its `by`.
    Key(usize),
}

/// What moves a metric.
#[derive(Clone, Debug)]
pub enum MetricKind {
    /// One for each event.
    Counter {
        /// Position of the event.
        event: usize,
        /// Only these outcomes; empty means all.
        outcomes: Vec<usize>,
    },
    /// Set by events.
    Gauge {
        /// Position of the event.
        event: usize,
        /// Only these outcomes; empty means all.
        outcomes: Vec<usize>,
        /// To what.
        value: GaugeValue,
    },
    /// The value of a rule's detector (a streak's length).
    RuleValue {
        /// Position of the rule.
        rule: usize,
    },
    /// Observes a field.
    Histogram {
        /// Position of the event.
        event: usize,
        /// Only these outcomes; empty means all.
        outcomes: Vec<usize>,
        /// The field.
        field: FieldId,
        /// Upper bounds, ascending.
        buckets: Vec<f64>,
    },
}

/// What a gauge is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaugeValue {
    /// A field; the series is dropped when the event does not give it.
    Field(FieldId),
    /// The wall time of the event in seconds.
    Time,
}
