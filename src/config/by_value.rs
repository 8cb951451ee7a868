//! Detectors that look at a field's value: its limit, its change.

use super::event::outcomes_of;
use super::plan::{Detector, EventPlan, FieldKind, Limit, Side};
use super::reader::{Table, find};

/// `type = "threshold"`.
pub(super) fn threshold(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let field = need_field(table, plan).unwrap_or(0);
    if let Some(of) = plan.fields.get(field)
        && matches!(of.kind, FieldKind::Text | FieldKind::Bool)
        && table.has("field")
    {
        table.report.error(
            &table.key_at("field"),
            format!("the field \"{}\" is no number", of.name),
            "expected a field of type int, float or amount",
        );
    }
    Detector::Threshold {
        event,
        outcomes: outcomes_of(table, "outcomes", plan),
        field,
        limit: limit(table),
        forget_after: table.positive_duration("forget_after").map(|d| d.value),
    }
}

/// `type = "change"`.
pub(super) fn change(table: &Table<'_>, event: usize, plan: &EventPlan) -> Detector {
    let field = need_field(table, plan).unwrap_or(0);
    if table.positive_duration("for").is_some() {
        table.report.error(
            &table.key_at("for"),
            "this rule can never fire: a change holds for no time",
            "expected keep_firing_for, or no time at all",
        );
    }
    Detector::Change { event, outcomes: outcomes_of(table, "outcomes", plan), field }
}

fn need_field(table: &Table<'_>, plan: &EventPlan) -> Option<usize> {
    let names: Vec<&str> = plan.fields.iter().map(|f| f.name.as_str()).collect();
    let field = table.need_text("field", "expected the field that is looked at")?;
    find(table.report, "field", &field, &names)
}

fn limit(table: &Table<'_>) -> Limit {
    let (above, below) = (table.number("above"), table.number("below"));
    let (side, key, fires) = match (above, below) {
        (Some(above), None) => (Side::Above, "above", above.value),
        (None, Some(below)) => (Side::Below, "below", below.value),
        (None, None) => {
            if !table.has("above") && !table.has("below") {
                table.missing("above", "expected above = … or below = …, the value that is still allowed");
            }
            (Side::Above, "above", 0.0)
        }
        (Some(_), Some(_)) => {
            let expected = "expected one of them; two limits are two rules";
            table.report.error(&table.key_at("below"), "both above and below", expected);
            (Side::Above, "above", 0.0)
        }
    };
    let clears = table.number("clear_at");
    if let Some(clears) = &clears {
        let is_beyond = match side {
            Side::Above => clears.value > fires,
            Side::Below => clears.value < fires,
        };
        if is_beyond {
            let message = format!("clear_at is beyond {key}, so the rule would end before it begins");
            table.report.error(&clears.at, message, format!("expected a value on the other side of {fires}"));
        }
    }
    Limit { side, fires, clears: clears.map_or(fires, |c| c.value) }
}
