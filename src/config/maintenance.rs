//! `[[maintenance]]`: alerts that are expected at certain times.

use super::ground::Ground;
use super::matcher;
use super::names::unique_names;
use super::plan::{IntervalPlan, MaintenancePlan};
use super::route::interval_positions;

/// Reads all.
pub(super) fn read(ground: &Ground<'_>, intervals: &[IntervalPlan]) -> Vec<MaintenancePlan> {
    let names: Vec<&str> = intervals.iter().map(|i| i.name.as_str()).collect();
    let tables = ground.tables("maintenance");
    let named = unique_names(ground.report, "maintenance", &tables, |_| true, "a text");
    let read = |(table, name): (&super::reader::Table<'_>, String)| {
        if table.get("time_intervals").is_none_or(|value| value.items().is_empty()) {
            table.missing("time_intervals", "expected the names of [[time_interval]]s");
        }
        let plan = MaintenancePlan {
            name,
            matchers: matcher::need(table, "matchers"),
            intervals: interval_positions(table, "time_intervals", &names),
        };
        table.finish();
        plan
    };
    tables.iter().zip(named).map(read).collect()
}
