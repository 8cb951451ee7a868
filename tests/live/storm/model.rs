//! What must come of what was written: counters, histograms, streaks and
//! changes of alerts, counted in the plainest way and without the engine.

use std::collections::BTreeMap;

/// Alerts of this storm fire at the third failure in a row.
const LIMIT: u64 = 3;

/// What one writer wrote, or all of them.
#[derive(Debug, Default)]
pub struct Model {
    /// Series as they are exposed; one that is not here is 0.
    pub series: BTreeMap<String, f64>,
    /// Lines by source.
    pub lines: BTreeMap<&'static str, u64>,
    /// Changes by alert: `firing`, `resolved`, …
    pub changes: BTreeMap<&'static str, Vec<&'static str>>,
    streaks: BTreeMap<String, u64>,
}

/// What an alert did at an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    None,
    Changed,
}

impl Model {
    pub fn line(&mut self, source: &'static str) {
        *self.lines.entry(source).or_default() += 1;
    }

    pub fn count(&mut self, series: &str) {
        *self.series.entry(series.to_owned()).or_default() += 1.0;
    }

    pub fn set(&mut self, series: &str, value: f64) {
        self.series.insert(series.to_owned(), value);
    }

    /// One value into a histogram with these upper bounds.
    pub fn observe(&mut self, name: &str, bounds: &[f64], value: f64) {
        for bound in bounds {
            let series = format!("{name}_bucket{{le=\"{bound}\"}}");
            *self.series.entry(series).or_default() += f64::from(u8::from(value <= *bound));
        }
        self.count(&format!("{name}_bucket{{le=\"+Inf\"}}"));
        self.count(&format!("{name}_count"));
        *self.series.entry(format!("{name}_sum")).or_default() += value;
    }

    /// One more event of a streak that is shown as this series; `alert` fires
    /// by it.
    pub fn streak(&mut self, series: &str, alert: Option<&'static str>, is_bad: bool) -> Turn {
        let streak = self.streaks.entry(series.to_owned()).or_default();
        let before = *streak;
        *streak = if is_bad { before + 1 } else { 0 };
        self.series.insert(series.to_owned(), *streak as f64);
        let change = match (is_bad, alert) {
            (true, Some(_)) if before + 1 == LIMIT => "firing",
            (false, Some(_)) if before >= LIMIT => "resolved",
            _ => return Turn::None,
        };
        self.changes.entry(alert.unwrap_or_default()).or_default().push(change);
        Turn::Changed
    }

    /// The length of a streak.
    pub fn streak_of(&self, series: &str) -> u64 {
        self.streaks.get(series).copied().unwrap_or(0)
    }

    /// Takes what another writer wrote; no two write the same series.
    pub fn add(&mut self, other: Model) {
        self.series.extend(other.series);
        self.lines.extend(other.lines);
        self.changes.extend(other.changes);
    }

    pub fn lines_written(&self) -> u64 {
        self.lines.values().sum()
    }
}
