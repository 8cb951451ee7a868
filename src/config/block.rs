//! The block shape of an event: begin, steps, limits, endings.

use std::time::Duration;

use super::field::{Draft, constant};
use super::pattern::{Groups, group, patterns};
use super::plan::{
    BlockLimits, BlockPlan, FieldId, FieldKind, FieldValue, JsonPlan, MergePlan, Pattern, PointerPlan,
    StepEffect, StepPlan,
};
use super::reader::{Table, find};

/// Limits where the definition sets none.
const LIMITS: BlockLimits = BlockLimits {
    lines_max: 20_000,
    bytes_max: 8 << 20,
    duration_max: Duration::from_secs(120),
    open_max: 64,
};
/// As written in `effect`.
const EFFECTS: &[(&str, StepEffect)] = &[
    ("pick", StepEffect::Pick),
    ("decide", StepEffect::Decide),
    ("end", StepEffect::End),
    ("void", StepEffect::Void),
];

/// Reads the keys of a block.
pub(super) fn read<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> BlockPlan {
    if !table.has("begin") {
        table.missing("begin", "expected the pattern of the line that opens a block");
    }
    let begin = patterns(table, "begin", draft.fragments, &draft.groups(&[]));
    let headless = patterns(table, "headless", draft.fragments, &draft.groups(&[]));
    let interrupt = patterns(table, "interrupt", draft.fragments, &Groups::Only(&[]));
    let steps: Vec<StepPlan> =
        table.children("step").iter().flat_map(|step| self::steps(step, draft)).collect();
    if !table.has("step") {
        table.missing("step", "expected [[event.step]] tables: what is looked for inside the block");
    }
    let decides = |step: &StepPlan| {
        let json = step.json.as_ref();
        matches!(step.effect, StepEffect::Decide | StepEffect::End)
            || json.is_some_and(|j| j.decides || j.pointers.iter().any(|p| p.decides))
    };
    let tells_interrupted = table.boolean("tells_interrupted").unwrap_or(false);
    if !steps.is_empty() && !tells_interrupted && !steps.iter().any(decides) {
        let expected = "expected a step with effect = \"end\", or tells_interrupted = true";
        let message = "this event can never be: no step decides or ends it";
        table.report.warning(&table.at, message, expected);
    }
    BlockPlan {
        begin,
        headless,
        steps,
        interrupt,
        interrupt_all: interrupt_all(table, draft),
        is_concurrent: table.boolean("concurrent").unwrap_or(false),
        joins_channels: table.boolean("joins_channels").unwrap_or(false),
        tells_interrupted,
        limits: limits(table),
        merge: merge(table, draft),
    }
}

fn interrupt_all<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> Vec<(Option<String>, Pattern)> {
    let mut out = Vec::new();
    for child in table.children("interrupt_all") {
        let identifier = child.text("identifier").map(|t| t.value.to_owned());
        if !child.has("match") {
            child.missing("match", "expected a pattern");
        }
        let found = patterns(&child, "match", draft.fragments, &Groups::Only(&[]));
        child.finish();
        out.extend(found.into_iter().map(|pattern| (identifier.clone(), pattern)));
    }
    out
}

fn limits(table: &Table<'_>) -> BlockLimits {
    BlockLimits {
        lines_max: table.count("lines_max", 1).map_or(LIMITS.lines_max, |n| n.value),
        bytes_max: table.size("bytes_max").map_or(LIMITS.bytes_max, |n| n.value),
        duration_max: table.positive_duration("duration_max").map_or(LIMITS.duration_max, |d| d.value),
        open_max: table
            .count("open_max", 1)
            .map_or(LIMITS.open_max, |n| usize::try_from(n.value).unwrap_or(LIMITS.open_max)),
    }
}

fn merge(table: &Table<'_>, draft: &Draft<'_, '_>) -> Option<MergePlan> {
    let child = table.child("merge")?;
    let names: Vec<&str> = draft.outcomes.iter().map(|o| o.name.as_str()).collect();
    let outcomes = child
        .texts("outcomes")
        .iter()
        .filter_map(|name| find(table.report, "outcome", name, &names))
        .collect();
    if !child.has("outcomes") {
        child.missing("outcomes", &super::problem::one_of(&names));
    }
    if !child.has("within") {
        child.missing("within", "expected a length of time such as \"5s\"");
    }
    let within = child.positive_duration("within");
    child.finish();
    Some(MergePlan { within: within?.value, outcomes })
}

/// A step; with several patterns, one for each.
fn steps<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> Vec<StepPlan> {
    if !table.has("match") {
        table.missing("match", "expected a pattern");
    }
    let has_json = table.has("json");
    let also: &'static [&'static str] = if has_json { &["json"] } else { &[] };
    let found = patterns(table, "match", draft.fragments, &draft.groups(also));
    let sets = sets(table, draft);
    let effect = table.choice("effect", "effect", EFFECTS).map_or(StepEffect::Pick, |e| e.value);
    let is_for_all = table.boolean("for_all").unwrap_or(false);
    let json = table.child("json").map(|child| json(&child, draft));
    table.finish();
    let mut out = Vec::new();
    for pattern in found {
        let mut json = json.clone();
        if let Some(plan) = &mut json {
            match group(&pattern.regex, "json") {
                Some(group) => plan.group = group,
                None => table.report.error(
                    &table.key_at("match"),
                    "no capture \"json\" says where the document begins",
                    "expected (?P<json>…) in the pattern",
                ),
            }
        }
        out.push(StepPlan { pattern, sets: sets.clone(), effect, is_for_all, json });
    }
    out
}

fn sets(table: &Table<'_>, draft: &Draft<'_, '_>) -> Vec<(FieldId, FieldValue)> {
    let Some(child) = table.child("set") else {
        return Vec::new();
    };
    let pairs = child.pairs().into_iter();
    pairs
        .filter_map(|(name, value)| {
            let field = draft.fill(&name)?;
            Some((field, constant(&value, draft.fields[field].kind)?))
        })
        .collect()
}

fn json<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> JsonPlan {
    let state_field = table.text("state").and_then(|name| {
        let field = draft.fill(&name)?;
        if draft.fields[field].kind != FieldKind::Text {
            table.report.error(
                &name.at,
                format!("the field \"{}\" is no text", name.value),
                "expected a field of type text: it is set to open, complete, invalid or broken",
            );
        }
        Some(field)
    });
    let pointers = pointers(table, draft);
    let stop = table.text("stop").and_then(|text| draft.fragments.compile(&text));
    let decides = table.boolean("decides").unwrap_or(false);
    table.finish();
    JsonPlan { group: 0, pointers, state_field, stop, decides }
}

fn pointers<'a>(table: &Table<'a>, draft: &Draft<'a, '_>) -> Vec<PointerPlan> {
    let mut pointers = Vec::new();
    for child in table.children("pointers") {
        let path = child.need_text("pointer", "expected a JSON pointer such as \"/code\"").and_then(|text| {
            let path = pointer(text.value);
            if path.is_none() {
                table.report.error(
                    &text.at,
                    format!("\"{}\" is no JSON pointer", text.value),
                    "expected \"/\" before each key, such as \"/result/code\"",
                );
            }
            path
        });
        let field = child.need_text("field", "expected the field it fills").and_then(|name| {
            let field = draft.fill(&name)?;
            if draft.fields[field].kind == FieldKind::Bool {
                table.report.error(
                    &name.at,
                    format!("the field \"{}\" is a bool and cannot be read from JSON", name.value),
                    "expected a text or a number",
                );
            }
            Some(field)
        });
        let decides = child.boolean("decides").unwrap_or(false);
        child.finish();
        if let (Some(path), Some(field)) = (path, field) {
            pointers.push(PointerPlan { path, field, decides });
        }
    }
    pointers
}

/// Keys of a JSON pointer (RFC 6901).
fn pointer(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix('/')?;
    Some(rest.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect())
}
