//! Regular expressions whose classes are ASCII.
//!
//! The surprising decision: `\d`, `\w`, `\s` and `\b` mean ASCII. Logs are
//! ASCII where it matters, and a Unicode `\w{3,50}` alone passes the size
//! limit. Regex's own switch for that would forbid `.` on text, so the escapes
//! are rewritten to classes that are ASCII anyway (`[[:digit:]]`, which nests).
//! Who means Unicode writes `\p{L}` or `\p{Nd}`.

use regex::{Regex, RegexBuilder};

/// Size of a compiled pattern.
const REGEX_BYTES_MAX: usize = 10 << 20;

/// Compiles a pattern with ASCII classes and the size limit.
pub(super) fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&ascii(pattern)).size_limit(REGEX_BYTES_MAX).build()
}

/// Rewrites Perl's classes to ASCII ones.
fn ascii(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next();
        let taken = at + 1 + escape.map_or(0, char::len_utf8);
        match escape {
            Some('d') => out.push_str("[[:digit:]]"),
            Some('D') => out.push_str("[[:^digit:]]"),
            Some('w') => out.push_str("[[:word:]]"),
            Some('W') => out.push_str("[[:^word:]]"),
            Some('s') => out.push_str("[[:space:]]"),
            Some('S') => out.push_str("[[:^space:]]"),
            // `\b{start}` and its kind stay what they are.
            Some('b') if !rest[taken..].starts_with('{') => out.push_str(r"(?-u:\b)"),
            _ => out.push_str(&rest[at..taken]),
        }
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_in_and_out_of_brackets() {
        let is_match = |pattern: &str, text: &str| build(pattern).unwrap().is_match(text);
        assert!(is_match(r"^\w+$", "abc_1"));
        assert!(!is_match(r"^\w+$", "é"));
        assert!(!is_match(r"^\d$", "٣"));
        assert!(is_match(r"^[\d.,-]+$", "-1,2.3"));
        assert!(is_match(r"^[^\s]+$", "é\u{a0}x"));
        assert!(!is_match(r"^\S+$", "a b"));
        assert!(is_match(r"\borders?\b", "the orders of"));
        assert!(!is_match(r"\border\b", "reorder"));
        assert!(is_match(r"\\d\.", r"\d."));
        assert!(is_match(r"^.$", "é"));
    }

    #[test]
    fn large_repetitions_fit_the_limit() {
        assert!(build(r"^\w{3,50} \w{3,50} \w{3,50} \S{1,200}$").is_ok());
        assert!(matches!(build(r"(?:\w{1000}){1000}"), Err(regex::Error::CompiledTooBig(_))));
    }
}
