//! `docs/reliability.md` names tests; each must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::scan::{regex, root};

/// The names of all test functions below a folder.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    let test = regex(r"#\[(?:tokio::)?test[^\]]*\](?:\s*#\[[^\]]*\])*\s*(?:async )?fn (\w+)");
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(test.captures_iter(&text).map(|captured| captured[1].to_owned()));
        }
    }
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let mut tests = BTreeSet::new();
    ["src", "tests"].iter().for_each(|folder| tests_in(&root().join(folder), &mut tests));
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let name = regex(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`");
    let named: Vec<String> = name.captures_iter(&text).map(|captured| captured[1].to_owned()).collect();
    assert!(named.len() > 40, "{} names", named.len());
    let missing: Vec<&String> = named.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_promise_names_a_test() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let is_shown =
        |row: &str| row.contains('`') || row.contains("the same storm") || row.contains("shown by");
    let bare: Vec<&str> = rows.filter(|row| !is_shown(row)).collect();
    assert!(bare.is_empty(), "{bare:#?}");
}
