//! `[[event]]` and `[[change]]`: how lines become events.
//!
//! Responsible for the common part of both shapes; blocks have a file of their
//! own. A definition is always given a plan, even a broken one, so that what
//! refers to it is checked as well.

use std::cell::RefCell;

use super::ascii::build;
use super::block;
use super::condition;
use super::field::{Draft, fields, warn_unfilled};
use super::fragment::Fragments;
use super::ground::Ground;
use super::names::{is_name, unique_names};
use super::pattern::{Groups, group, patterns};
use super::plan::{ChangePlan, EventPlan, FieldPlan, OutcomePlan, Shape, SourcePlan, UnlessSeen};
use super::problem::{At, Spot};
use super::reader::{Table, find};
use crate::model::SourceId;

/// Reads all events.
pub(super) fn read<'a>(
    ground: &Ground<'a>,
    fragments: &Fragments<'a>,
    sources: &[SourcePlan],
) -> Vec<EventPlan> {
    let tables = ground.tables("event");
    let names = unique_names(ground.report, "event", &tables, is_name, "letters, digits and _");
    tables.iter().zip(names).map(|(table, name)| one(table, name, fragments, sources)).collect()
}

fn one<'a>(table: &Table<'a>, name: String, fragments: &Fragments<'a>, sources: &[SourcePlan]) -> EventPlan {
    let report = table.report;
    let (fields, places): (Vec<FieldPlan>, Vec<At>) = fields(table).into_iter().unzip();
    let kinds = [("line", false), ("block", true)];
    let is_block = table.choice("kind", "kind", &kinds).is_some_and(|k| k.value);
    let outcomes = outcomes(table, &fields, is_block);
    let draft = Draft { report, fragments, fields, outcomes, filled: RefCell::default() };
    let errors_before = report.errors();
    let shape =
        if is_block { Shape::Block(Box::new(block::read(table, &draft))) } else { line(table, &draft) };
    let marker = patterns(table, "marker", fragments, &Groups::Only(&[])).into_iter().next();
    let plan_sources = sources_of(table, sources);
    let identifier = table.text("identifier").map(|t| t.value.to_owned());
    table.finish();
    // A pattern that does not compile may be the one that fills a field.
    if report.errors() == errors_before {
        warn_unfilled(&draft, &places);
    }
    EventPlan {
        name,
        sources: plan_sources,
        identifier,
        shape,
        fields: draft.fields,
        outcomes: draft.outcomes,
        marker,
    }
}

fn line<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> Shape {
    if !table.has("match") {
        table.missing("match", "expected a pattern, or kind = \"block\" with begin and steps");
    }
    let found = patterns(table, "match", draft.fragments, &draft.groups(&[]));
    let unless_seen = table.child("unless_seen").and_then(|child| {
        let seen = patterns(&child, "match", draft.fragments, &Groups::Only(&[])).into_iter().next();
        if !child.has("match") {
            child.missing("match", "expected the lines after which there is no event");
        }
        let of = match child.text("of") {
            Some(text) => draft.fragments.compile(&text),
            // Without `of` every line of the event.
            None => build("").ok(),
        };
        child.finish();
        Some(UnlessSeen { seen: seen?, of: of? })
    });
    Shape::Line { patterns: found, unless_seen }
}

fn outcomes(table: &Table<'_>, fields: &[FieldPlan], is_block: bool) -> Vec<OutcomePlan> {
    let report = table.report;
    let mut out: Vec<OutcomePlan> = Vec::new();
    let mut always: Option<String> = None;
    let mut is_told = false;
    for row in table.children("outcome") {
        let name = row.need_text("name", "expected the outcome's name");
        if let Some(name) = &name {
            if !is_name(name.value) {
                report.error(
                    &name.at,
                    format!("\"{}\" is no name for an outcome", name.value),
                    "expected letters, digits and _",
                );
            }
            if out.iter().any(|o| o.name == name.value) {
                report.error(
                    &name.at,
                    format!("the outcome \"{}\" is defined twice", name.value),
                    "expected one row with both conditions, joined by ||",
                );
            }
        }
        if let (Some(before), false) = (&always, is_told) {
            is_told = true;
            report.error(
                &row.at,
                format!("this outcome cannot be reached: \"{before}\" above has no condition"),
                "expected the row without `when` last",
            );
        }
        let name = name.map(|n| n.value.to_owned()).unwrap_or_default();
        let when = row.text("when").map(|text| condition::compile(report, &text, fields, is_block));
        if when.is_none() && !row.has("when") {
            always.get_or_insert(name.clone());
        }
        row.finish();
        out.push(OutcomePlan { name, when: when.flatten() });
    }
    out
}

/// `source` or `sources`; not needed where there is but one.
pub(super) fn sources_of(table: &Table<'_>, sources: &[SourcePlan]) -> Vec<SourceId> {
    let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
    let written: Vec<Spot<&str>> = table.texts("source").into_iter().chain(table.texts("sources")).collect();
    if written.is_empty() && !table.has("source") && !table.has("sources") && sources.len() != 1 {
        table.missing("source", &super::problem::one_of(&names));
    }
    let mut out = Vec::new();
    for name in &written {
        out.extend(find(table.report, "source", name, &names).filter(|id| !out.contains(id)));
    }
    if written.is_empty() && sources.len() == 1 {
        out.push(0);
    }
    out.sort_unstable();
    out
}

/// Reads `[[change]]`.
pub(super) fn changes<'a>(
    ground: &Ground<'a>,
    fragments: &Fragments<'a>,
    sources: &[SourcePlan],
) -> Vec<ChangePlan> {
    let mut out = Vec::new();
    for table in ground.tables("change") {
        let says = table.need_text("says", "expected what changed, in words");
        if !table.has("match") {
            table.missing("match", "expected a pattern");
        }
        let found = patterns(&table, "match", fragments, &Groups::Only(&["value"]));
        let mut groups = found.iter().map(|p| group(&p.regex, "value"));
        let value_group = groups.next().flatten();
        if groups.any(|g| g != value_group) {
            table.report.error(
                &table.key_at("match"),
                "the capture \"value\" stands in different places of these patterns",
                "expected one pattern, or `value` as the same group in all",
            );
        }
        let plan = ChangePlan {
            says: says.map(|t| t.value.to_owned()).unwrap_or_default(),
            sources: sources_of(&table, sources),
            identifier: table.text("identifier").map(|t| t.value.to_owned()),
            patterns: found,
            value_group,
        };
        table.finish();
        out.push(plan);
    }
    out
}

/// Outcomes of an event by name, each once.
pub(super) fn outcomes_of(table: &Table<'_>, key: &'static str, event: &EventPlan) -> Vec<usize> {
    let names: Vec<&str> = event.outcomes.iter().map(|o| o.name.as_str()).collect();
    let mut out = Vec::new();
    for name in table.texts(key) {
        let found = names.iter().position(|n| *n == name.value);
        if found.is_none() {
            let owner = format!("of the event \"{}\"", event.name);
            table.report.unknown_of(&name.at, "outcome", name.value, (&owner, &names));
        }
        out.extend(found.filter(|index| !out.contains(index)));
    }
    out
}
