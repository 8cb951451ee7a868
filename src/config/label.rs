//! Labels of metrics and rules.

use super::names::is_name;
use super::problem::{Spot, printable};
use super::reader::Table;

/// Whether a label name is right; reports one that Prometheus refuses or that
/// has a meaning.
pub(super) fn is_label(table: &Table<'_>, name: &Spot<&str>) -> bool {
    if !is_name(name.value) {
        let message = format!("\"{}\" is no label name", printable(name.value));
        let expected = "expected letters, digits and _, not beginning with a digit";
        table.report.error(&name.at, message, expected);
        return false;
    }
    if name.value.starts_with("__") {
        let message = format!("the label name \"{}\" is reserved", name.value);
        let expected = "expected a name without __ at its beginning";
        table.report.error(&name.at, message, expected);
        return false;
    }
    true
}

/// Labels and where they come from, as written: `["method"]`, or
/// `{ label = "field" }`. Each label once; those that are wrong are reported
/// and left out.
pub(super) fn pairs<'a>(
    table: &Table<'a>,
    key: &'static str,
    is_right: impl Fn(&Table<'a>, &Spot<&'a str>) -> bool,
) -> Vec<(Spot<&'a str>, Spot<&'a str>)> {
    let Some(value) = table.get(key) else {
        return Vec::new();
    };
    let written: Vec<(Spot<&str>, Spot<&str>)> = if value.is_table() {
        let named = value.table().map(|t| t.pairs()).unwrap_or_default();
        let texts = named.into_iter();
        texts.filter_map(|(label, from)| Some((label, from.text()?))).collect()
    } else {
        value.texts().into_iter().map(|text| (text.clone(), text)).collect()
    };
    let mut out: Vec<(Spot<&str>, Spot<&str>)> = Vec::new();
    for (label, from) in written {
        if out.iter().any(|(before, _)| before.value == label.value) {
            let message = format!("the label \"{}\" stands here twice", printable(label.value));
            table.report.error(&label.at, message, "expected each label once");
        } else if is_right(table, &label) {
            out.push((label, from));
        }
    }
    out
}
