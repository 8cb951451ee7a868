//! Events: typed fields, and the outcome that conditions decide.

use cel::objects::{Key, Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

use crate::config::plan::{EventPlan, FieldKind, FieldPlan, FieldValue, Pattern};
use crate::config::redact::whole_words;
use crate::model::{SourceId, Time};

use super::json::Scalar;

/// Longest text a field keeps.
const FIELD_BYTES_MAX: usize = 1_024;
/// Longest excerpt of a line.
const EXCERPT_BYTES_MAX: usize = 240;

/// What a definition recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position of its definition.
    pub definition: usize,
    /// Where it came from.
    pub source: SourceId,
    /// By position in the definition.
    pub fields: Vec<Option<FieldValue>>,
    /// Position in the outcome table.
    pub outcome: Option<usize>,
    /// Wall time of the line that decided it.
    pub at: Time,
    /// Excerpts of the lines that made it, to be redacted before they are kept.
    pub excerpts: Vec<String>,
    /// The definition did not recognise it, though the line carries its
    /// marker: no event, but something a rule may look at.
    pub is_near_miss: bool,
}

impl Event {
    /// A field as label or key text; `None` where the event does not give it.
    pub fn text(&self, field: usize) -> Option<String> {
        self.fields.get(field)?.as_ref().map(text)
    }

    /// A field as a number.
    pub fn number(&self, field: usize) -> Option<f64> {
        match self.fields.get(field)?.as_ref()? {
            FieldValue::Int(n) => Some(*n as f64),
            FieldValue::Float(n) => Some(*n),
            FieldValue::Bool(b) => Some(f64::from(u8::from(*b))),
            FieldValue::Text(_) => None,
        }
    }

    /// Its outcome is in the list, or the list is empty and means all.
    pub fn is_among(&self, outcomes: &[usize]) -> bool {
        outcomes.is_empty() || self.outcome.is_some_and(|o| outcomes.contains(&o))
    }
}

/// A value as text.
pub fn text(value: &FieldValue) -> String {
    match value {
        FieldValue::Bool(b) => b.to_string(),
        FieldValue::Int(n) => n.to_string(),
        FieldValue::Float(n) => n.to_string(),
        FieldValue::Text(t) => t.clone(),
    }
}

/// Fills the fields that the pattern's named groups give in `line`; false if
/// a group's text does not read as its field's type and the field has no
/// `otherwise`: such a line does not match.
pub fn capture(pattern: &Pattern, fields: &[FieldPlan], line: &str, into: &mut [Option<FieldValue>]) -> bool {
    if pattern.groups.is_empty() {
        return true;
    }
    let Some(captures) = pattern.regex.captures(line) else { return false };
    for (group, field) in &pattern.groups {
        let Some(found) = captures.get(*group) else { continue };
        match read(&fields[*field], found.as_str()) {
            Some(value) => into[*field] = Some(value),
            None => return false,
        }
    }
    true
}

/// A captured text as its field's type.
pub fn read(field: &FieldPlan, text: &str) -> Option<FieldValue> {
    let otherwise = || field.otherwise.clone().map(FieldValue::Text);
    match field.kind {
        FieldKind::Text => Some(FieldValue::Text(head(text, FIELD_BYTES_MAX).to_owned())),
        FieldKind::Int => text.parse().ok().map(FieldValue::Int).or_else(otherwise),
        FieldKind::Float => finite(text).or_else(otherwise),
        FieldKind::Amount => finite(&text.replace(',', "")).or_else(otherwise),
        FieldKind::Bool => text.parse().ok().map(FieldValue::Bool).or_else(otherwise),
    }
}

/// A JSON value as its field's type; `Err` where the document gives none
/// (`null`), `Ok(None)` where it is of another type and is left absent.
pub fn read_json(field: &FieldPlan, scalar: &Scalar) -> Option<FieldValue> {
    let otherwise = || field.otherwise.clone().map(FieldValue::Text);
    match scalar {
        Scalar::Null => None,
        Scalar::Other => otherwise(),
        Scalar::Text(text) => read(field, text),
        Scalar::Number(text) if field.kind == FieldKind::Int => {
            whole(text).map(FieldValue::Int).or_else(otherwise)
        }
        Scalar::Number(text) => read(field, text),
    }
}

/// `40101`, `40101.0` and `4.0101e4` are the same whole number.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

fn finite(text: &str) -> Option<FieldValue> {
    text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| FieldValue::Float(n + 0.0))
}

/// The longest beginning of `text` of at most `bytes_max` bytes.
pub fn head(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..end]
}

/// The beginning of a line as it is kept for evidence. A word that the end
/// cuts goes whole: half a secret no longer looks like one.
pub fn excerpt(text: &str) -> &str {
    whole_words(text, EXCERPT_BYTES_MAX)
}

/// Decides outcomes. Holds the one base context of all conditions: building
/// it is a hundred times the cost of a condition.
pub struct Judge {
    base: cel::Context<'static, 'static>,
}

impl Judge {
    /// With the standard functions of CEL.
    pub fn new() -> Judge {
        Judge { base: cel::Context::default() }
    }

    /// The first outcome whose condition holds; one that errs does not hold.
    pub fn outcome(&self, plan: &EventPlan, fields: &[Option<FieldValue>], is_closed: bool) -> Option<usize> {
        if plan.outcomes.is_empty() {
            return None;
        }
        let mut scope = self.base.new_inner_scope();
        scope.add_variable_from_value("event", as_map(plan, fields, is_closed));
        plan.outcomes.iter().position(|outcome| match &outcome.when {
            None => true,
            Some(condition) => matches!(condition.program.execute(&scope), Ok(Value::Bool(true))),
        })
    }
}

impl Default for Judge {
    fn default() -> Judge {
        Judge::new()
    }
}

fn as_map(plan: &EventPlan, fields: &[Option<FieldValue>], is_closed: bool) -> Value {
    let mut map: HashMap<Key, Value> = HashMap::with_capacity(fields.len() + 1);
    for (field, value) in plan.fields.iter().zip(fields) {
        if let Some(value) = value {
            let value = match value {
                FieldValue::Bool(b) => Value::Bool(*b),
                FieldValue::Int(n) => Value::Int(*n),
                FieldValue::Float(n) => Value::Float(*n),
                FieldValue::Text(t) => Value::String(Arc::new(t.clone())),
            };
            map.insert(Key::from(field.name.as_str()), value);
        }
    }
    map.insert(Key::from("is_closed"), Value::Bool(is_closed));
    Value::Map(Map { map: Arc::new(map) })
}

/// The fields of a definition before anything is read: its defaults.
pub fn defaults(plan: &EventPlan) -> Vec<Option<FieldValue>> {
    plan.fields.iter().map(|f| f.default.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldKind, otherwise: Option<&str>) -> FieldPlan {
        FieldPlan { name: "f".into(), kind, default: None, otherwise: otherwise.map(str::to_owned) }
    }

    #[test]
    fn the_same_code_is_the_same_however_it_is_written() {
        let code = field(FieldKind::Int, Some("other"));
        for scalar in
            [Scalar::Number("40101".into()), Scalar::Number("40101.0".into()), Scalar::Text("40101".into())]
        {
            assert_eq!(read_json(&code, &scalar), Some(FieldValue::Int(40101)));
        }
        assert_eq!(read_json(&code, &Scalar::Null), None);
        assert_eq!(read_json(&code, &Scalar::Text("x".into())), Some(FieldValue::Text("other".into())));
        assert_eq!(read_json(&code, &Scalar::Other), Some(FieldValue::Text("other".into())));
    }

    #[test]
    fn amounts_lose_their_commas_and_minus_zero_is_zero() {
        let amount = field(FieldKind::Amount, None);
        assert_eq!(read(&amount, "-1,234.56"), Some(FieldValue::Float(-1234.56)));
        let Some(FieldValue::Float(zero)) = read(&amount, "-0.00") else { panic!("no amount") };
        assert!(zero == 0.0 && zero.is_sign_positive());
        assert_eq!(read(&amount, "nan"), None);
        assert_eq!(read(&amount, "inf"), None);
    }
}
