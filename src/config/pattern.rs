//! Patterns: classes made ASCII, groups bound to fields.
//!
//! Responsible for everything between a `match` as written and a [`Pattern`],
//! but for its fragments.

use std::cell::RefCell;
use std::collections::BTreeSet;

use regex::Regex;

use super::ascii::build;
use super::fragment::Fragments;
use super::plan::{FieldId, FieldKind, FieldPlan, Pattern};
use super::problem::{At, Report, Spot, nearest, one_of};
use super::reader::{Table, Value};

/// Which named groups a pattern may have.
pub(super) enum Groups<'r> {
    /// Fields, which get filled, and these further names.
    Fields { fields: &'r [FieldPlan], filled: &'r RefCell<BTreeSet<FieldId>>, also: &'static [&'static str] },
    /// These only.
    Only(&'static [&'static str]),
}

/// Compiles the patterns under `key`: a text, a list of texts, or tables
/// `{ match, unless, allow_cut }` in their place. `unless` and `allow_cut` of
/// the table itself hold for all of them.
pub(super) fn patterns<'a>(
    table: &Table<'a>,
    key: &'static str,
    fragments: &Fragments<'a>,
    groups: &Groups<'_>,
) -> Vec<Pattern> {
    // `unless` belongs to `match`; beside `begin` it would be ambiguous.
    let shared = key == "match";
    let unless = if shared { unless_of(table, fragments) } else { None };
    let allows_cut = shared && table.boolean("allow_cut").unwrap_or(false);
    let Some(value) = table.get(key) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for item in value.items() {
        if let Some(mut pattern) = one(&item, fragments, groups) {
            pattern.unless = pattern.unless.or_else(|| unless.clone());
            pattern.allows_cut |= allows_cut;
            out.push(pattern);
        }
    }
    if out.is_empty() && value.items().is_empty() {
        table.report.error(&value.at, format!("\"{key}\" is an empty list"), "expected at least one pattern");
    }
    out
}

fn one<'a>(item: &Value<'a>, fragments: &Fragments<'a>, groups: &Groups<'_>) -> Option<Pattern> {
    if item.is_table() {
        let table = item.table()?;
        let text = table.need_text("match", "expected a pattern");
        let unless = unless_of(&table, fragments);
        let allows_cut = table.boolean("allow_cut").unwrap_or(false);
        table.finish();
        let (regex, bound) = compile_bound(&text?, fragments, groups)?;
        return Some(Pattern { regex, unless, groups: bound, allows_cut });
    }
    if !item.is_text() {
        return item.wrong("a pattern, or a table { match = …, unless = … }");
    }
    let (regex, bound) = compile_bound(&item.text()?, fragments, groups)?;
    Some(Pattern { regex, unless: None, groups: bound, allows_cut: false })
}

fn unless_of<'a>(table: &Table<'a>, fragments: &Fragments<'a>) -> Option<Regex> {
    let texts = table.texts("unless");
    let compiled: Vec<Regex> = texts.iter().filter_map(|text| fragments.compile(text)).collect();
    for (text, regex) in texts.iter().zip(&compiled) {
        bind(text, regex, fragments.report, &Groups::Only(&[]));
    }
    match compiled.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => {
            let joined: Vec<String> = several.iter().map(|r| format!("(?:{})", r.as_str())).collect();
            build(&joined.join("|")).ok()
        }
    }
}

type Bound = Vec<(usize, FieldId)>;

fn compile_bound<'a>(
    text: &Spot<&'a str>,
    fragments: &Fragments<'a>,
    groups: &Groups<'_>,
) -> Option<(Regex, Bound)> {
    let regex = fragments.compile(text)?;
    let bound = bind(text, &regex, fragments.report, groups);
    Some((regex, bound))
}

/// Binds named groups to fields and reports those that nothing reads.
fn bind(text: &Spot<&str>, regex: &Regex, report: &Report, groups: &Groups<'_>) -> Bound {
    let mut bound = Vec::new();
    for (index, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        let at = text.value.find(&format!("<{name}>")).map_or_else(
            || text.at.clone(),
            |o| report.within(&text.at, text.value, o + 1..o + 1 + name.len()),
        );
        match groups {
            Groups::Fields { fields, filled, also } => match fields.iter().position(|f| f.name == name) {
                Some(field) if fields[field].kind == FieldKind::Bool => {
                    report.error(
                        &at,
                        format!("the field \"{name}\" is a bool and cannot be captured"),
                        "expected a bool to be set by a step's `set`",
                    );
                }
                Some(field) => {
                    filled.borrow_mut().insert(field);
                    bound.push((index, field));
                }
                None if also.contains(&name) => {}
                None => {
                    unused(report, &at, name, &fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>())
                }
            },
            Groups::Only(names) if names.contains(&name) => {}
            Groups::Only(names) => unused(report, &at, name, names),
        }
    }
    bound
}

fn unused(report: &Report, at: &At, name: &str, names: &[&str]) {
    let unnamed = "(?:…) for a group without a name";
    let expected = match (names, nearest(name, names)) {
        ([], _) => format!("expected {unnamed}"),
        (_, Some(near)) => format!("expected {unnamed}; did you mean \"{near}\"?"),
        _ => format!("{}, or {unnamed}", one_of(names)),
    };
    report.error(at, format!("nothing uses the capture \"{name}\""), expected);
}

/// Group index of a name.
pub(super) fn group(regex: &Regex, name: &str) -> Option<usize> {
    regex.capture_names().position(|n| n == Some(name))
}
