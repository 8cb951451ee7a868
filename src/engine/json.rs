//! Reads values by pointer from a JSON document that arrives line by line.
//!
//! Keeps no text of the document but the value it is reading, so that an open
//! block can be saved without saving log lines. Strict about structure
//! (RFC 8259), lenient about what Python's `json` writes beside it (`NaN`,
//! `Infinity`). A document that stops being JSON says so and reads no further;
//! what was read before stands.

use serde::{Deserialize, Serialize};

/// Nesting deeper than this ends the reading as invalid.
const DEPTH_MAX: usize = 128;
/// Longest value or key kept; longer ones read as text that is no number.
const TOKEN_BYTES_MAX: usize = 256;

/// How far a document has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// More is to come.
    Open,
    /// Its last bracket is closed.
    Complete,
    /// Not JSON.
    Invalid,
}

/// A value read by a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `null`.
    Null,
    /// A number, as written.
    Number(String),
    /// A string, unescaped as far as it matters for numbers and names.
    Text(String),
    /// Anything else: a boolean, an object, an array.
    Other,
}

/// What the scanner expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    /// A value; `true`: an array may also close.
    Value(bool),
    /// A key; `true`: an object may also close.
    Key(bool),
    Colon,
    /// A comma or the closing bracket.
    More,
    Nothing,
}

/// Inside a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Token {
    None,
    /// `true`: it is a key.
    Text {
        is_key: bool,
        is_escaped: bool,
    },
    Word,
}

/// A resumable scanner. Its serialised form holds structure, the current key
/// path as far as it matches a pointer, and at most one short token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scanner {
    progress: Progress,
    expect: Expect,
    token: Token,
    /// One bit a level: true is an object.
    levels: Vec<bool>,
    text: String,
    is_overlong: bool,
    /// For each level, which pointers the keys down to it match (bit set).
    matching: Vec<u64>,
    /// Pointers the current key matches.
    current: u64,
    lines: u64,
}

impl Scanner {
    /// Bytes it holds, and is saved as.
    pub fn weight(&self) -> usize {
        2 * self.text.len() + 8 * self.levels.len() + 24 * self.matching.len()
    }

    /// A scanner before the first byte.
    pub fn new() -> Scanner {
        Scanner {
            progress: Progress::Open,
            expect: Expect::Value(false),
            token: Token::None,
            levels: Vec::new(),
            text: String::new(),
            is_overlong: false,
            matching: Vec::new(),
            current: 0,
            lines: 0,
        }
    }

    /// How far the document has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// True while only the first line has been read.
    pub fn is_at_first_line(&self) -> bool {
        self.lines <= 1
    }

    /// Reads one line (its newline is implied) and reports each value that a
    /// pointer leads to. `paths` are object keys from the top, at most 64
    /// pointers, the same at every call.
    pub fn feed(&mut self, line: &str, paths: &[Vec<String>], found: &mut Vec<(usize, Scalar)>) -> Progress {
        self.lines += 1;
        for c in line.chars().chain(std::iter::once('\n')) {
            if self.progress != Progress::Open {
                break;
            }
            if !self.step(c, paths, found) {
                self.progress = Progress::Invalid;
            }
        }
        // No token goes on over a line end; nothing of the line is kept.
        self.text.clear();
        self.progress
    }

    fn step(&mut self, c: char, paths: &[Vec<String>], found: &mut Vec<(usize, Scalar)>) -> bool {
        match self.token {
            Token::Text { is_key, is_escaped } => return self.in_text(c, is_key, is_escaped, paths, found),
            Token::Word => {
                if c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.') {
                    self.push(c);
                    return true;
                }
                if !self.end_word(paths, found) {
                    return false;
                }
            }
            Token::None => {}
        }
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            return true;
        }
        match (self.expect, c) {
            (Expect::Value(_), '{') => self.open(true, paths, found),
            (Expect::Value(_), '[') => self.open(false, paths, found),
            (Expect::Value(_), '"') => self.begin(Token::Text { is_key: false, is_escaped: false }),
            (Expect::Value(true), ']') | (Expect::Key(true), '}') => self.close(c),
            (Expect::Value(_), c) if c.is_ascii_alphanumeric() || c == '-' => {
                self.begin(Token::Word);
                self.push(c);
                true
            }
            (Expect::Key(_), '"') => self.begin(Token::Text { is_key: true, is_escaped: false }),
            (Expect::Colon, ':') => {
                self.expect = Expect::Value(false);
                true
            }
            (Expect::More, ',') => {
                self.current = 0;
                self.expect =
                    if self.levels.last() == Some(&true) { Expect::Key(false) } else { Expect::Value(false) };
                true
            }
            (Expect::More, '}' | ']') => self.close(c),
            _ => false,
        }
    }

    fn begin(&mut self, token: Token) -> bool {
        self.token = token;
        self.text.clear();
        self.is_overlong = false;
        true
    }

    fn push(&mut self, c: char) {
        if self.text.len() + c.len_utf8() > TOKEN_BYTES_MAX {
            self.is_overlong = true;
        } else {
            self.text.push(c);
        }
    }

    fn in_text(
        &mut self,
        c: char,
        is_key: bool,
        is_escaped: bool,
        paths: &[Vec<String>],
        found: &mut Vec<(usize, Scalar)>,
    ) -> bool {
        if is_escaped {
            self.push(c);
            self.token = Token::Text { is_key, is_escaped: false };
            return true;
        }
        match c {
            '\\' => self.token = Token::Text { is_key, is_escaped: true },
            '\n' => return false,
            '"' => {
                self.token = Token::None;
                if is_key {
                    self.current = self.pointers_here(paths);
                    self.expect = Expect::Colon;
                } else {
                    let text = if self.is_overlong { Scalar::Other } else { Scalar::Text(self.text.clone()) };
                    self.report(text, paths, found);
                    self.after_value();
                }
            }
            c => self.push(c),
        }
        true
    }

    fn end_word(&mut self, paths: &[Vec<String>], found: &mut Vec<(usize, Scalar)>) -> bool {
        self.token = Token::None;
        let word = self.text.as_str();
        let scalar = match word {
            "null" => Scalar::Null,
            "true" | "false" | "NaN" | "Infinity" | "-Infinity" => Scalar::Other,
            _ if self.is_overlong => Scalar::Other,
            _ if word.parse::<f64>().is_ok_and(f64::is_finite) && !word.starts_with(['+', '.']) => {
                Scalar::Number(word.to_owned())
            }
            _ => return false,
        };
        self.report(scalar, paths, found);
        self.after_value();
        true
    }

    fn open(&mut self, is_object: bool, paths: &[Vec<String>], found: &mut Vec<(usize, Scalar)>) -> bool {
        self.report(Scalar::Other, paths, found);
        if self.levels.len() == DEPTH_MAX {
            return false;
        }
        let matching = if self.levels.is_empty() { u64::MAX } else { self.current };
        self.levels.push(is_object);
        self.matching.push(if is_object { matching } else { 0 });
        self.current = 0;
        self.expect = if is_object { Expect::Key(true) } else { Expect::Value(true) };
        true
    }

    fn close(&mut self, c: char) -> bool {
        if self.levels.pop() != Some(c == '}') {
            return false;
        }
        self.matching.pop();
        self.current = 0;
        self.after_value();
        true
    }

    fn after_value(&mut self) {
        if self.levels.is_empty() {
            self.expect = Expect::Nothing;
            self.progress = Progress::Complete;
        } else {
            self.expect = Expect::More;
        }
    }

    /// The pointers that lead through the key just read.
    fn pointers_here(&self, paths: &[Vec<String>]) -> u64 {
        let above = self.matching.last().copied().unwrap_or(0);
        let is_here =
            |path: &Vec<String>| !self.is_overlong && path.get(self.levels.len() - 1) == Some(&self.text);
        let mut here = 0;
        for (i, path) in paths.iter().enumerate().take(64) {
            if above & (1 << i) != 0 && is_here(path) {
                here |= 1 << i;
            }
        }
        here
    }

    /// Reports the value of the current key to the pointers that end here.
    fn report(&self, scalar: Scalar, paths: &[Vec<String>], found: &mut Vec<(usize, Scalar)>) {
        if self.current == 0 {
            return;
        }
        for (i, path) in paths.iter().enumerate().take(64) {
            if self.current & (1 << i) != 0 && path.len() == self.levels.len() {
                found.push((i, scalar.clone()));
            }
        }
    }
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], pointer: &[&str]) -> (Progress, Vec<Scalar>) {
        let paths = vec![pointer.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()];
        let mut scanner = Scanner::new();
        let mut found = Vec::new();
        for line in lines {
            scanner.feed(line, &paths, &mut found);
            // A restart between any two lines changes nothing.
            let saved = serde_json::to_string(&scanner).unwrap();
            scanner = serde_json::from_str(&saved).unwrap();
        }
        (scanner.progress(), found.into_iter().map(|(_, s)| s).collect())
    }

    #[test]
    fn only_the_top_level_code_counts() {
        let (progress, found) = read(
            &[
                "{",
                r#"  "result": {"code": 40101, "list": [{"code": 1}], "x": "\"code\": 2"},"#,
                r#"  "code": 0"#,
                "}",
            ],
            &["code"],
        );
        assert_eq!(progress, Progress::Complete);
        assert_eq!(found, [Scalar::Number("0".into())]);
    }

    #[test]
    fn a_deeper_pointer_is_followed_and_its_parents_are_not_reported() {
        let (_, found) = read(&[r#"{"a": {"b": "x"}, "b": 1}"#], &["a", "b"]);
        assert_eq!(found, [Scalar::Text("x".into())]);
    }

    #[test]
    fn values_of_every_kind_are_told_apart() {
        for (text, scalar) in [
            ("null", Scalar::Null),
            ("-12.5e3", Scalar::Number("-12.5e3".into())),
            (r#""40101""#, Scalar::Text("40101".into())),
            ("true", Scalar::Other),
            ("{}", Scalar::Other),
            ("[1, 2]", Scalar::Other),
        ] {
            let (progress, found) = read(&[&format!(r#"{{"code": {text}}}"#)], &["code"]);
            assert_eq!((progress, found), (Progress::Complete, vec![scalar]), "{text}");
        }
    }

    #[test]
    fn a_number_at_the_end_of_a_line_is_read_there() {
        let (progress, found) = read(&["{", r#"  "code": 40101"#], &["code"]);
        assert_eq!(progress, Progress::Open);
        assert_eq!(found, [Scalar::Number("40101".into())]);
    }

    #[test]
    fn what_is_not_json_is_found_out_and_what_was_read_stands() {
        assert_eq!(read(&["<html>"], &["code"]).0, Progress::Invalid);
        let (progress, found) = read(&["{", r#"  "code": 0,"#, r#"  "result": { ... data ... }"#], &["code"]);
        assert_eq!(progress, Progress::Invalid);
        assert_eq!(found, [Scalar::Number("0".into())]);
        for bad in ["[1,]", "{\"a\" 1}", "{]", "{\"a\":tru}", "\"open"] {
            assert_ne!(read(&[bad], &["code"]).0, Progress::Complete, "{bad}");
        }
    }

    #[test]
    fn nothing_of_a_line_is_kept_between_lines() {
        let mut scanner = Scanner::new();
        scanner.feed(r#"{"api_key": "FAKEKEY","#, &[vec!["code".to_owned()]], &mut Vec::new());
        assert!(!serde_json::to_string(&scanner).unwrap().contains("FAKEKEY"));
    }

    #[test]
    fn depth_and_tokens_are_bounded() {
        let deep = "[".repeat(1_000);
        assert_eq!(read(&[&deep], &["code"]).0, Progress::Invalid);
        let long = format!(r#"{{"code": "{}"}}"#, "9".repeat(100_000));
        assert_eq!(read(&[&long], &["code"]).1, [Scalar::Other]);
    }
}
