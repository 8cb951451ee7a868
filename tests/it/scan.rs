//! Reads Rust source the way the house rules need it: code without comments,
//! strings or tests, and the paths it names.
//!
//! It is no parser. It knows comments, literals and braces, and that is enough
//! for rules about imports and words; what a macro makes it does not see.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// One source file, blanked in two ways. Blanking keeps every line break, so
/// that line numbers stay true.
pub struct SourceFile {
    /// Path from the top of the repository, with `/`.
    pub path: String,
    /// As it stands.
    pub raw: String,
    /// Without comments and tests.
    pub text: String,
    /// Without comments, tests and what stands in quotes.
    pub code: String,
}

impl SourceFile {
    /// Blanks `raw`.
    pub fn new(path: &str, raw: &str) -> SourceFile {
        let (mut text, mut code) = blank(raw);
        for (start, end) in test_items(&code) {
            blank_range(&mut text, start, end);
            blank_range(&mut code, start, end);
        }
        let (text, code) = (into_string(text), into_string(code));
        SourceFile { path: path.to_owned(), raw: raw.to_owned(), text, code }
    }

    /// Line number, from 1, of a byte position.
    pub fn line(&self, at: usize) -> usize {
        self.raw.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Every path the code names, by `use` or in place, with its line.
    pub fn paths(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        let mut rest = self.code.clone().into_bytes();
        let uses = regex(r"(?s)\buse\s+([^;]*);");
        for hit in uses.captures_iter(&self.code) {
            let (Some(all), Some(tree)) = (hit.get(0), hit.get(1)) else {
                continue;
            };
            let mut paths = Vec::new();
            expand("", tree.as_str(), &mut paths);
            found.extend(paths.into_iter().map(|path| (path, self.line(all.start()))));
            blank_range(&mut rest, all.start(), all.end());
        }
        let rest = into_string(rest);
        let inline = regex(r"\b[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)+");
        for hit in inline.find_iter(&rest) {
            found.push((without_space(hit.as_str()), self.line(hit.start())));
        }
        found
    }

    /// The module path of the file: `src/a/b.rs` is `["a", "b"]`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            parts.pop();
        }
        parts
    }
}

/// The top of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src/`, in order of path, but those that only tests compile.
pub fn sources() -> Vec<SourceFile> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    let mut files: Vec<SourceFile> = paths
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| SourceFile::new(&relative(p), &fs::read_to_string(p).unwrap()))
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let for_tests: Vec<String> = files.iter().flat_map(test_modules).collect();
    files.retain(|f| !for_tests.contains(&f.path));
    files
}

/// Files below `dir`, without build output and the repository's own store.
pub fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A path from the top of the repository, with `/`.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// A pattern of this file; they are constants.
pub fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

fn without_space(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Files named by `#[cfg(test)] mod NAME;`.
fn test_modules(file: &SourceFile) -> Vec<String> {
    let declared = regex(r"#\[cfg\(test\)\]\s*(?:pub\s+)?mod\s+(\w+)\s*;");
    let mut dir = vec!["src".to_owned()];
    dir.extend(file.module());
    declared.captures_iter(&file.raw).map(|hit| format!("{}/{}.rs", dir.join("/"), &hit[1])).collect()
}

/// Blanks comments (first result), and what stands in quotes too (second).
fn blank(raw: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = raw.as_bytes();
    let (mut text, mut code) = (bytes.to_vec(), bytes.to_vec());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            blank_range(&mut text, at, end);
            blank_range(&mut code, at, end);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment(rest);
            blank_range(&mut text, at, end);
            blank_range(&mut code, at, end);
            at = end;
        } else if let Some(length) = quoted(bytes, at) {
            blank_range(&mut code, at, at + length);
            at += length;
        } else {
            at += 1;
        }
    }
    (text, code)
}

/// Length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of the string, raw string or character literal that begins here.
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest[0] {
        b'"' => Some(escaped(rest, b'"')),
        b'r' if !in_word || matches!(bytes[at - 1], b'b' | b'c') => raw_string(rest),
        // 'a' and '\n' are characters, 'a without a second quote is a lifetime.
        b'\'' if rest.get(1) == Some(&b'\\') => Some(escaped(rest, b'\'')),
        b'\'' => {
            let first = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|e| std::str::from_utf8(&rest[1..1 + e.valid_up_to()]))
                .ok()?
                .chars()
                .next()?;
            let end = 1 + first.len_utf8();
            (rest.get(end) == Some(&b'\'')).then_some(end + 1)
        }
        _ => None,
    }
}

fn escaped(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[2 + hashes..];
    let length = body.windows(close.len()).position(|w| w == close).unwrap_or(body.len());
    Some((2 + hashes + length + close.len()).min(rest.len()))
}

/// Ranges of the items under `#[cfg(test)]`.
fn test_items(code: &[u8]) -> Vec<(usize, usize)> {
    let text = String::from_utf8_lossy(code).into_owned();
    let mut found = Vec::new();
    for hit in regex(r"#\[cfg\(test\)\]").find_iter(&text) {
        let mut depth = 0_usize;
        let mut end = code.len();
        for (offset, byte) in code[hit.end()..].iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(byte, b'}' | b';') {
                end = hit.end() + offset + 1;
                break;
            }
        }
        found.push((hit.start(), end));
    }
    found
}

fn blank_range(bytes: &mut [u8], start: usize, end: usize) {
    let end = end.min(bytes.len());
    for byte in &mut bytes[start..end] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn into_string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let head = format!("{prefix}{}", without_space(&tree[..open]));
        let rest = &tree[open + 1..];
        for part in split_at_commas(&rest[..balanced(rest)]) {
            expand(&head, part, found);
        }
    } else if !tree.is_empty() {
        let name = tree.split(" as ").next().unwrap_or(tree);
        found.push(format!("{prefix}{}", without_space(name)));
    }
}

/// Bytes before the brace that closes the one before `text`.
fn balanced(text: &str) -> usize {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let file = SourceFile::new(
        "src/a/b.rs",
        "// crate::one\nlet s = \"crate::two\"; let r = r#\"crate::\"three\"#;\n/* crate::four /* x */ */\n\
         fn f<'a>(c: char) -> &'a str { if c == '\"' { crate::five::g() } }\n\
         #[cfg(test)]\nmod tests { use crate::six; fn x() {} }\nfn y() { crate::seven(); }\n",
    );
    let named: Vec<String> = file.paths().into_iter().map(|(path, _)| path).collect();
    assert_eq!(named, ["crate::five::g", "crate::seven"]);
    assert!(file.text.contains("crate::two") && !file.text.contains("crate::one"));
    assert_eq!(file.module(), ["a", "b"]);
}

#[test]
fn nested_imports_are_opened() {
    let file = SourceFile::new(
        "src/a.rs",
        "use crate::{model::{Time, Line as L}, config};\nuse std::{fs, io::Read};\n",
    );
    let named: Vec<String> = file.paths().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        named,
        ["crate::model::Time", "crate::model::Line", "crate::config", "std::fs", "std::io::Read"]
    );
}
