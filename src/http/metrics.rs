//! The exposition: families of the snapshot, and of the process itself, in
//! Prometheus' text format 0.0.4.
//!
//! The values are the engine's, saved and restored with its state, so they are
//! not kept in a registry: each answer builds the crate's own families from
//! them and lets its encoder escape and format.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Window;
use crate::model::{Family, FamilyKind, Sample, Series};

/// Kept, because its counter of CPU seconds counts on from its last look.
static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

/// Texts of all series that may be held at once, for readers that are slow.
pub(super) const SCRAPES_MAX: usize = 8;
/// One more waits so long for its turn.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// The families in Prometheus' text format 0.0.4, without `process_*`.
pub fn exposition(families: &[Family]) -> String {
    encode(&families.iter().map(family).collect::<Vec<_>>())
}

/// Answers a scrape.
pub(super) async fn metrics(State(window): State<Window>, scrapes: Arc<Semaphore>) -> Response {
    let Ok(Ok(permit)) = tokio::time::timeout(SCRAPE_WITHIN, scrapes.acquire_owned()).await else {
        let why = "too many scrapes are under way; try again".to_owned();
        return super::text(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let snapshot = window.snapshot.borrow().clone();
    let mut text = exposition(&snapshot.families);
    text.push_str(&encode(&PROCESS.collect()));
    let body = Bytes::from_owner(Held { text, _permit: permit });
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], body).into_response()
}

/// An exposition that counts as a scrape until its last byte was written or
/// its reader given up.
struct Held {
    text: String,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        // It fails only for families without a name or series, and then has
        // written nothing.
        let _ = TextEncoder::new().encode_utf8(std::slice::from_ref(family), &mut text);
    }
    if !text.contains("inf\n") {
        return text;
    }
    // The encoder writes infinities as Rust does.
    let mut fixed = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        match line.rsplit_once(' ') {
            Some((series, "inf")) if !line.starts_with('#') => fixed.extend([series, " +Inf"]),
            Some((series, "-inf")) if !line.starts_with('#') => fixed.extend([series, " -Inf"]),
            _ => fixed.push_str(line),
        }
        fixed.push('\n');
    }
    fixed
}

fn family(family: &Family) -> MetricFamily {
    let mut made = MetricFamily::default();
    made.set_name(family.name.clone());
    made.set_help(family.help.clone());
    made.set_field_type(match family.kind {
        FamilyKind::Counter => MetricType::COUNTER,
        FamilyKind::Gauge => MetricType::GAUGE,
        FamilyKind::Histogram => MetricType::HISTOGRAM,
    });
    made.set_metric(family.series.iter().map(|series| metric(family.kind, series)).collect());
    made
}

fn metric(kind: FamilyKind, series: &Series) -> Metric {
    let labels = series.labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    let mut metric = Metric::from_label(labels.collect());
    match (&series.sample, kind) {
        (Sample::Number(value), FamilyKind::Counter) => {
            let mut counter = Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        (Sample::Number(value), _) => {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        (Sample::Histogram { buckets, sum, count }, _) => {
            let buckets = buckets.iter().map(|(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(*count);
                bucket
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_sum(*sum);
            histogram.set_sample_count(*count);
            metric.set_histogram(histogram);
        }
    }
    metric
}
