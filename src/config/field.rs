//! Fields of events, and what fills them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::condition::IS_CLOSED;
use super::fragment::Fragments;
use super::names::is_name;
use super::pattern::Groups;
use super::plan::{FieldId, FieldKind, FieldPlan, FieldValue, OutcomePlan};
use super::problem::{At, Report, Spot};
use super::reader::{Table, Value, find};

/// Names that mean something else.
const RESERVED_FIELDS: &[&str] = &["outcome", IS_CLOSED, "json", "secret"];

/// As written in `type`.
const FIELD_KINDS: &[(&str, FieldKind)] = &[
    ("text", FieldKind::Text),
    ("int", FieldKind::Int),
    ("float", FieldKind::Float),
    ("amount", FieldKind::Amount),
    ("bool", FieldKind::Bool),
];

/// What the parts of one definition share.
pub(super) struct Draft<'a, 'r> {
    pub report: &'a Report,
    pub fragments: &'r Fragments<'a>,
    pub fields: Vec<FieldPlan>,
    pub outcomes: Vec<OutcomePlan>,
    /// Fields that something fills.
    pub filled: RefCell<BTreeSet<FieldId>>,
}

impl Draft<'_, '_> {
    /// Captures become fields.
    pub fn groups(&self, also: &'static [&'static str]) -> Groups<'_> {
        Groups::Fields { fields: &self.fields, filled: &self.filled, also }
    }

    /// A field by name, marked as filled.
    pub fn fill(&self, name: &Spot<&str>) -> Option<FieldId> {
        let names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        let field = find(self.report, "field", name, &names)?;
        self.filled.borrow_mut().insert(field);
        Some(field)
    }
}

/// Reads `[event.fields]`, each with its place.
pub(super) fn fields(table: &Table<'_>) -> Vec<(FieldPlan, At)> {
    let Some(fields) = table.child("fields") else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (name, value) in fields.pairs() {
        if !is_name(name.value) {
            table.report.error(
                &name.at,
                format!("\"{}\" is no name for a field", name.value),
                "expected letters, digits and _",
            );
        } else if RESERVED_FIELDS.contains(&name.value) {
            table.report.error(
                &name.at,
                format!("the name \"{}\" is taken", name.value),
                "expected another name: tocsin gives this one a meaning of its own",
            );
        }
        out.push((field(name.value, &value), name.at));
    }
    out
}

/// `{ type = "int", default = 0, otherwise = "other" }`, or the type alone.
fn field(name: &str, value: &Value<'_>) -> FieldPlan {
    let mut plan = FieldPlan { name: name.to_owned(), kind: FieldKind::Text, default: None, otherwise: None };
    if value.is_text() {
        if let Some(text) = value.text() {
            let names: Vec<&str> = FIELD_KINDS.iter().map(|(n, _)| *n).collect();
            plan.kind =
                find(value.report(), "type", &text, &names).map_or(FieldKind::Text, |at| FIELD_KINDS[at].1);
        }
        return plan;
    }
    let Some(table) = value.table() else {
        return plan;
    };
    plan.kind = table.choice("type", "type", FIELD_KINDS).map_or(FieldKind::Text, |k| k.value);
    plan.default = table.get("default").and_then(|v| constant(&v, plan.kind));
    plan.otherwise = table.text("otherwise").map(|text| {
        if matches!(plan.kind, FieldKind::Text | FieldKind::Bool) {
            table.report.error(
                &text.at,
                "\"otherwise\" is for numbers: any text reads as a text",
                "expected it at an int, float or amount",
            );
        }
        text.value.to_owned()
    });
    table.finish();
    plan
}

/// A constant of the field's type.
pub(super) fn constant(value: &Value<'_>, kind: FieldKind) -> Option<FieldValue> {
    match kind {
        FieldKind::Text if value.is_text() => value.text().map(|t| FieldValue::Text(t.value.to_owned())),
        FieldKind::Text => value.wrong("a text: the field's type is text"),
        FieldKind::Int => match value.integer() {
            Some(n) => Some(FieldValue::Int(n)),
            None => value.wrong("a whole number: the field's type is int"),
        },
        FieldKind::Float | FieldKind::Amount => value.number().map(|f| FieldValue::Float(f.value)),
        FieldKind::Bool => match value.boolean() {
            Some(b) => Some(FieldValue::Bool(b)),
            None => value.wrong("true or false: the field's type is bool"),
        },
    }
}

/// Reports fields that nothing fills.
pub(super) fn warn_unfilled(draft: &Draft<'_, '_>, places: &[At]) {
    let filled = draft.filled.borrow();
    let fields = draft.fields.iter().zip(places).enumerate();
    for (_, (field, place)) in fields.filter(|(index, _)| !filled.contains(index)) {
        let message = format!("nothing fills the field \"{}\"", field.name);
        if field.default.is_some() {
            let expected = "it always has its default";
            draft.report.warning(place, message, expected);
        } else {
            let expected = "expected a capture (?P<name>…), a `set` or a JSON pointer for it";
            draft.report.error(place, message, expected);
        }
    }
}
