//! The small house rules that reviews forget: sizes, openings, no unwraps, no
//! word of the watched stack in the source, nothing outside of the repository.

use std::fs;

use crate::scan::{SourceFile, regex, relative, root, sources, walk};

/// The end of a file; at 400 ask whether it is two things.
const LINES_MAX: usize = 600;

/// Longer files, how long they may be, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Code that must not reach the main branch, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    (r"\.unwrap(?:_err)?\(\)", "return an error, or give the default a name"),
    (r#"\.expect(?:_err)?\(\s*(?:&?format!|concat!|[A-Z]|")"#, "return an error, or give the default a name"),
    (r"\btodo!|\bunimplemented!", "build it, or leave it out and say so"),
    (r"\bdbg!", "take it out"),
    (r"#\[ignore\b", "a test runs or is not there; what needs a missing component says so and returns"),
];

/// Words of the watched stack. What tocsin knows of it stands in `config/` and
/// `alerts/`, so that another pack needs no other program.
const STACK_WORDS: &str = r"(?i)crypto|portfolio|exchange|backend|gunicorn|uvicorn|4010\d|\bbalance";

/// Places where such a word means something else: place, name, meaning.
const OTHER_MEANINGS: &[(&str, &str, &str)] = &[
    ("src/", "rustls::crypto", "the TLS library's own name"),
    ("src/", "tls_backend", "the HTTP library's own name"),
    ("src/transport/", "exchange", "one request to a receiver and its answer"),
];

/// Files that show the shipped pack to a person.
const SHOWS_THE_PACK: &[&str] = &["src/cli/demo.rs", "src/cli/demo/"];

fn check(files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        check_shape(file, &mut found);
        for (pattern, instead) in BANNED {
            for hit in regex(pattern).find_iter(&file.text) {
                let line = file.line(hit.start());
                found.push(format!("{}:{line}: `{}`: {instead}", file.path, hit.as_str()));
            }
        }
        if file.raw.contains(concat!("FIX", "ME")) {
            found.push(format!("{}: mend it, or write down why it stays", file.path));
        }
        check_words(file, &mut found);
    }
    found
}

fn check_shape(file: &SourceFile, found: &mut Vec<String>) {
    let lines = file.raw.lines().count();
    let limit = LONG_FILES.iter().find(|(path, ..)| *path == file.path).map_or(LINES_MAX, |(_, max, _)| *max);
    if lines > limit {
        found.push(format!(
            "{}: {lines} lines, {limit} is the end: it is two things, give each its file",
            file.path
        ));
    }
    let opening = file.raw.lines().next().unwrap_or_default();
    if !opening.starts_with("//! ") {
        found.push(format!(
            "{}:1: opens without `//!`: say what the file is responsible for and what it must not do",
            file.path
        ));
    }
}

fn check_words(file: &SourceFile, found: &mut Vec<String>) {
    if SHOWS_THE_PACK.iter().any(|place| file.path.starts_with(place)) {
        return;
    }
    let mut text = regex(r#"include_(?:str|bytes)!\([^)]*\)"#).replace_all(&file.text, "").into_owned();
    for (place, name, _) in OTHER_MEANINGS {
        if file.path.starts_with(place) {
            text = text.replace(name, "");
        }
    }
    let words = regex(STACK_WORDS);
    for (at, line) in text.lines().enumerate() {
        if let Some(hit) = words.find(line) {
            found.push(format!(
                "{}:{}: `{}` is a word of the watched stack: src/ knows lines, events and rules only; put it into \
                 config/ or alerts/",
                file.path,
                at + 1,
                hit.as_str()
            ));
        }
    }
}

#[test]
fn the_source_keeps_the_house_rules() {
    let found = check(&sources());
    assert!(found.is_empty(), "{} broken:\n{}", found.len(), found.join("\n"));
}

#[test]
fn planted_slips_are_found() {
    let found = |text: &str| check(&[SourceFile::new("src/engine/x.rs", text)]).len();
    assert_eq!(found("//! Fine.\nfn f() -> u8 { 1 }\n"), 0);
    assert_eq!(found("fn f() {}\n"), 1, "no opening");
    assert_eq!(found("//! X.\nfn f() { a.unwrap(); b.expect(\"c\"); }\n"), 2);
    assert_eq!(found("//! X.\n#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }\n"), 0);
    assert_eq!(found("//! X.\nconst A: &str = \"portfolio_sync\";\n"), 1);
    assert_eq!(found("//! About the exchange.\n// portfolio\nuse rustls::crypto::ring;\n"), 0);
    assert_eq!(found(&format!("//! X.\n{}", "\n".repeat(LINES_MAX))), 1);
}

#[test]
fn the_map_of_the_house_stays_short() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines; a map of more than 150 is not read");
}

#[test]
fn every_room_is_on_the_map() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for file in sources() {
        if let Some(room) = file.module().first() {
            assert!(text.contains(&format!("`{room}`")), "ARCHITECTURE.md does not name `{room}`");
        }
    }
}

#[test]
fn the_repository_stands_alone() {
    let outside = concat!("..", "/shared");
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    for path in paths {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(outside), "{} refers to {outside}", relative(&path));
    }
}

#[test]
fn the_demo_overrides_rules_that_exist_and_spans_alone() {
    let [demo, shipped] = ["config/demo.toml", "alerts/crypto.toml"].map(|path| {
        let text = fs::read_to_string(root().join(path)).unwrap();
        toml::from_str::<toml::Value>(&text).unwrap()
    });
    let rules = shipped["rule"].as_array().unwrap();
    for (name, keys) in demo["override"].as_table().unwrap() {
        assert!(rules.iter().any(|rule| rule["name"].as_str() == Some(name.as_ref())), "no rule {name}");
        for (key, _) in keys.as_table().unwrap() {
            let is_span = ["keep_firing_for", "window", "levels", "summary"].iter().any(|span| key == *span);
            assert!(is_span, "{name}: the demo changes `{key}`, which is what the rule looks for");
        }
    }
}

#[test]
fn the_demo_is_a_minute_of_lines_in_order() {
    let line = regex(r"^(\d+\.\d{3}) (.*)$");
    for name in ["config/demo/incident-proxy.log", "config/demo/incident-backend.log"] {
        let (mut last, mut repeats, mut lines) = (0.0_f64, 0, 0);
        for text in fs::read_to_string(root().join(name)).unwrap().lines() {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if text.starts_with("@repeat ") {
                repeats += 1;
                continue;
            }
            let hit = line.captures(text).unwrap_or_else(|| panic!("{name}: {text}"));
            let offset: f64 = hit[1].parse().unwrap();
            assert!(offset >= last, "{name}: {offset} after {last}");
            (last, lines) = (offset, lines + 1);
        }
        assert!(
            last < 55.0 && lines > 50 && repeats == 1,
            "{name}: {lines} lines in {last} s, {repeats} repeats"
        );
    }
}
