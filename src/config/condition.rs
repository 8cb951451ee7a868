//! Conditions of outcomes: CEL over `event`, compiled and checked.
//!
//! A condition that errs at run time does not hold, so a slip would be silent
//! for ever. Therefore everything that can be known is refused here: unknown
//! fields and functions, comparisons of a text with a number, which are never
//! equal, and what a trial on a made-up event shows: wrong types, and results
//! that are neither true nor false.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, Program, Value};

use super::plan::{Condition, FieldKind, FieldPlan};
use super::problem::{Report, Spot};

/// What the engine adds to a block's fields.
pub(super) const IS_CLOSED: &str = "is_closed";

/// Functions of the language that conditions may use.
const FUNCTIONS: &[&str] = &[
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
    "dyn",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];
const COMPARISONS: &[&str] = &["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"];

/// Compiles a condition over these fields; `None` after a problem.
pub(super) fn compile(
    report: &Report,
    text: &Spot<&str>,
    fields: &[FieldPlan],
    is_block: bool,
) -> Option<Condition> {
    let program = match Program::compile(text.value) {
        Ok(program) => program,
        Err(errors) => {
            for error in errors.errors.iter().take(1) {
                let offset = offset_of(text.value, error.pos);
                // What could follow instead is a list of the parser's tokens.
                let why = error.msg.split(" expecting ").next().unwrap_or_default();
                let why = why.trim_start_matches("Syntax error: ");
                report.error(
                    &report.within(&text.at, text.value, offset..offset + 1),
                    format!("the condition does not compile: {why}"),
                    "expected CEL, such as event.code == 0",
                );
            }
            return None;
        }
    };
    let mut check = Check { report, text, fields, is_block, bound: Vec::new(), is_right: true };
    for function in program.references().functions() {
        let is_operator = !function.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&function) {
            let offset = text.value.find(function).unwrap_or(0);
            report.unknown(
                &report.within(&text.at, text.value, offset..offset + function.len()),
                "function",
                function,
                FUNCTIONS,
            );
            check.is_right = false;
        }
    }
    check.walk(program.expression());
    if !check.is_right {
        return None;
    }
    if let Some(why) = trial(&program, fields) {
        report.error(&text.at, format!("the condition never holds: {why}"), "expected true or false");
        return None;
    }
    Some(Condition { text: text.value.to_owned(), program: Arc::new(program) })
}

/// Why the condition fails on an event that has every field, if it does so
/// whatever their values.
fn trial(program: &Program, fields: &[FieldPlan]) -> Option<String> {
    let sample = |field: &FieldPlan| match field.kind {
        FieldKind::Text => Value::from("x"),
        FieldKind::Int => Value::Int(1),
        FieldKind::Float | FieldKind::Amount => Value::Float(1.5),
        FieldKind::Bool => Value::Bool(true),
    };
    let mut event: HashMap<String, Value> = fields.iter().map(|f| (f.name.clone(), sample(f))).collect();
    event.insert(IS_CLOSED.to_owned(), Value::Bool(true));
    let mut context = Context::default();
    context.add_variable_from_value("event", event);
    match program.execute(&context) {
        Ok(Value::Bool(_)) => None,
        Ok(_) => Some("it gives neither true nor false".to_owned()),
        // An invalid pattern; other functions fail for the made-up values.
        Err(ExecutionError::FunctionError { function, message }) if function == "matches" => Some(message),
        Err(ExecutionError::UnsupportedBinaryOperator(operator, ..)) => {
            Some(format!("it cannot {operator} values of these types"))
        }
        Err(error @ (ExecutionError::NoSuchOverload(_) | ExecutionError::InvalidArgumentCount { .. })) => {
            Some(error.to_string())
        }
        Err(_) => None,
    }
}

struct Check<'c> {
    report: &'c Report,
    text: &'c Spot<&'c str>,
    fields: &'c [FieldPlan],
    is_block: bool,
    /// Variables of `all`, `exists` and their kind.
    bound: Vec<String>,
    is_right: bool,
}

impl Check<'_> {
    fn walk(&mut self, expr: &IdedExpr) {
        match &expr.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == "event" => self.member(&select.field),
                _ => self.walk(&select.operand),
            },
            Expr::Call(call) => {
                if let [left, right] = call.args.as_slice() {
                    self.comparison(&call.func_name, left, right);
                }
                call.target.iter().for_each(|target| self.walk(target));
                call.args.iter().for_each(|arg| self.walk(arg));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element)),
            Expr::Comprehension(inner) => {
                self.walk(&inner.iter_range);
                let depth = self.bound.len();
                self.bound.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
                self.bound.extend(inner.iter_var2.clone());
                for part in [&inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result] {
                    self.walk(part);
                }
                self.bound.truncate(depth);
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &str) {
        if name == "event"
            || name.starts_with('@')
            || self.bound.iter().any(|b| b == name)
            || is_type_name(name)
        {
            return;
        }
        self.is_right = false;
        let at = self.at(name);
        if self.fields.iter().any(|f| f.name == name) {
            self.report.error(&at, format!("unknown name \"{name}\""), format!("expected event.{name}"));
        } else {
            self.report.error(&at, format!("unknown name \"{name}\""), "expected event.FIELD");
        }
    }

    fn member(&mut self, field: &str) {
        if self.fields.iter().any(|f| f.name == field) || (self.is_block && field == IS_CLOSED) {
            return;
        }
        self.is_right = false;
        let mut names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        if self.is_block {
            names.push(IS_CLOSED);
        }
        self.report.unknown(&self.at(&format!("event.{field}")), "field", field, &names);
    }

    /// Reports comparisons that can never hold.
    fn comparison(&mut self, function: &str, left: &IdedExpr, right: &IdedExpr) {
        let others: Vec<&IdedExpr> = match (&right.expr, function) {
            (Expr::List(list), "@in") => list.elements.iter().collect(),
            (_, f) if COMPARISONS.contains(&f) => vec![right],
            _ => return,
        };
        for other in others {
            let pair = self
                .field_kind(left)
                .zip(literal_kind(other))
                .or_else(|| self.field_kind(other).zip(literal_kind(left)));
            let Some(((name, kinds), literal)) = pair else {
                continue;
            };
            if !kinds.contains(&literal) {
                self.is_right = false;
                let message = format!(
                    "\"{name}\" is {} and is compared with {}, which never holds",
                    word(kinds[0]),
                    word(literal)
                );
                self.report.error(
                    &self.at(&format!("event.{name}")),
                    message,
                    format!("expected {} here, or another type for the field", word(kinds[0])),
                );
                return;
            }
        }
    }

    /// A field and what its value may be.
    fn field_kind(&self, expr: &IdedExpr) -> Option<(String, Vec<Kind>)> {
        let Expr::Select(select) = &expr.expr else {
            return None;
        };
        if select.test || !matches!(&select.operand.expr, Expr::Ident(name) if name == "event") {
            return None;
        }
        if self.is_block && select.field == IS_CLOSED {
            return Some((IS_CLOSED.to_owned(), vec![Kind::Bool]));
        }
        let field = self.fields.iter().find(|f| f.name == select.field)?;
        let mut kinds = vec![match field.kind {
            FieldKind::Text => Kind::Text,
            FieldKind::Bool => Kind::Bool,
            _ => Kind::Number,
        }];
        if field.otherwise.is_some() {
            kinds.push(Kind::Text);
        }
        Some((field.name.clone(), kinds))
    }

    fn at(&self, needle: &str) -> super::problem::At {
        let offset = self.text.value.find(needle).unwrap_or(0);
        let end = (offset + needle.len()).min(self.text.value.len());
        self.report.within(&self.text.at, self.text.value, offset..end)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Number => "a number",
        Kind::Bool => "true or false",
    }
}

fn literal_kind(expr: &IdedExpr) -> Option<Kind> {
    let Expr::Literal(literal) = &expr.expr else {
        return None;
    };
    match literal {
        LiteralValue::Boolean(_) => Some(Kind::Bool),
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Some(Kind::Number),
        LiteralValue::String(_) => Some(Kind::Text),
        _ => None,
    }
}

fn is_type_name(name: &str) -> bool {
    matches!(
        name,
        "int" | "uint" | "double" | "string" | "bool" | "list" | "map" | "null_type" | "type" | "bytes"
    )
}

/// Byte offset of a line and column, both from 1.
fn offset_of(text: &str, (line, column): (isize, isize)) -> usize {
    let lines = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    start + usize::try_from(column - 1).unwrap_or(0)
}
