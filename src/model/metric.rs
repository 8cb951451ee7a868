//! Metrics as published: families of series, ready for an exposition.

/// Prometheus' metric types that tocsin exposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only goes up.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
}

/// All series of one metric name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Metric name, valid for Prometheus.
    pub name: String,
    /// One line of help.
    pub help: String,
    /// Its type.
    pub kind: FamilyKind,
    /// In a stable order.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Label name and value, in the order of the definition; a label without
    /// a value is left out.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub sample: Sample,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bound and cumulative count, ascending, without `+Inf`.
        buckets: Vec<(f64, u64)>,
        /// Sum of the observed values.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}
