//! Names of things, and that no two share one.

use super::problem::{Report, Spot, printable};
use super::reader::Table;

/// Letters, digits and underscores, not beginning with a digit.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Names of a kind of table, in order; what is wrong with them is reported. A
/// table without a name has an empty one.
pub(super) fn unique_names(
    report: &Report,
    kind: &str,
    tables: &[Table<'_>],
    is_valid: fn(&str) -> bool,
    valid: &str,
) -> Vec<String> {
    let mut seen: Vec<Spot<&str>> = Vec::new();
    let mut out = Vec::new();
    for table in tables {
        let Some(name) = table.need_text("name", &format!("expected the {kind}'s name")) else {
            out.push(String::new());
            continue;
        };
        out.push(name.value.to_owned());
        if !is_valid(name.value) {
            report.error(
                &name.at,
                format!("\"{}\" is no name for a {kind}", printable(name.value)),
                format!("expected {valid}"),
            );
        }
        match seen.iter().find(|s| s.value == name.value) {
            Some(first) => {
                let place = report.place(&first.at);
                report.error(
                    &name.at,
                    format!("the {kind} \"{}\" is defined twice", name.value),
                    format!("the first stands at {place}"),
                );
            }
            None => seen.push(name),
        }
    }
    out
}
