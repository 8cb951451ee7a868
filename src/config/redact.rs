//! What never leaves the process: the one choke point of outward text.
//!
//! The pack's patterns say what is secret in the watched logs; common shapes
//! of secrets are added to them. Every text that comes of a log or of an error
//! passes here before it is kept, shown, sent or logged, so the state holds
//! none of it either. Cutting comes after redacting, or before it at the end
//! of a word ([`whole_words`]): half a secret no longer looks like one.

mod shapes;

use regex::{Captures, Regex, RegexSet};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Replaces secrets in outward text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Redactor {
    /// Tells in one pass which of `patterns` have anything to do.
    all: RegexSet,
    patterns: Vec<Regex>,
}

impl Default for Redactor {
    fn default() -> Redactor {
        Redactor::new(Vec::new())
    }
}

impl Redactor {
    /// The configured patterns, tried first, and the common shapes. A group
    /// named `secret` limits what is replaced to that group.
    pub fn new(configured: Vec<Regex>) -> Redactor {
        let common = shapes::COMMON.iter().filter_map(|p| Regex::new(p).ok());
        let patterns: Vec<Regex> = configured.into_iter().chain(common).collect();
        // Without the set each pattern is tried.
        let all = RegexSet::new(patterns.iter().map(Regex::as_str)).unwrap_or_else(|_| RegexSet::empty());
        Redactor { all, patterns }
    }

    /// The text without its secrets and without control characters.
    pub fn redact(&self, text: &str) -> String {
        let mut out: String = text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
        let hits = self.all.matches(&out);
        for (i, pattern) in self.patterns.iter().enumerate() {
            if self.all.is_empty() || hits.matched(i) {
                out = pattern.replace_all(&out, |c: &Captures<'_>| mask(c)).into_owned();
            }
        }
        out
    }

    /// The same for a text of several lines, which it keeps apart; of a
    /// private key only the first line is looked at, and stands masked.
    pub fn redact_lines(&self, text: &str) -> String {
        without_keys(text).map(|line| self.redact(line)).collect::<Vec<_>>().join("\n")
    }
}

/// The lines of a text; of a private key only the first, which redaction
/// knows.
pub fn without_keys(text: &str) -> impl Iterator<Item = &str> {
    let mut is_in_key = false;
    text.split('\n').filter(move |line| {
        let begins_key = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        let is_shown = begins_key || !is_in_key;
        is_in_key = (is_in_key || begins_key) && !line.contains("-----END");
        is_shown
    })
}

/// At most `bytes` of a text that is to be redacted: where it is cut, its last
/// word goes with the rest, for it may be half a secret.
pub fn whole_words(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let head = &text[..end];
    // What no credential in a URL has, then what no key has.
    let ends_word = |c: char| c.is_whitespace() || "\"',;{}()[]<>|".contains(c);
    let is_between = |c: char| !(c.is_alphanumeric() || "+/_=-.".contains(c));
    head.rfind(ends_word).or_else(|| head.rfind(is_between)).map_or("", |at| &head[..at])
}

/// Control characters, and the ones that turn the direction of text or hide
/// in it.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A match with its secret masked. What a group's name promises is checked
/// where a pattern alone would take too much.
fn mask(captures: &Captures<'_>) -> String {
    let whole = captures.get(0).map_or("", |m| m.as_str());
    let named = |name: &str, is_secret: fn(&str) -> bool| {
        captures.name(name).map(|found| (found, is_secret(found.as_str())))
    };
    let found = named("secret", |_| true)
        .or_else(|| named("value", shapes::is_value))
        .or_else(|| named("opaque", shapes::is_opaque))
        .or_else(|| named("address", shapes::is_address));
    match found {
        Some((_, false)) => whole.to_owned(),
        Some((secret, true)) => {
            let start = secret.start() - captures.get(0).map_or(0, |m| m.start());
            format!("{}{MASK}{}", &whole[..start], &whole[start + secret.len()..])
        }
        None => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_shape_is_a_pattern() {
        for pattern in shapes::COMMON {
            Regex::new(pattern).unwrap();
        }
        assert_eq!(Redactor::default().patterns.len(), Redactor::default().all.len());
    }

    #[test]
    fn a_cut_text_ends_with_a_whole_word() {
        assert_eq!(whole_words("token 0123456789abcdef", 12), "token");
        assert_eq!(whole_words("short", 12), "short");
        assert_eq!(whole_words("say ü", 5), "say");
    }

    #[test]
    fn of_a_private_key_only_the_masked_first_line_stays() {
        let text =
            "read:\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----\ndone";
        assert_eq!(Redactor::default().redact_lines(text), "read:\n[redacted]\ndone");
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(Redactor::default().redact("a\x1b[31mb\u{202e}c"), "a [31mb c");
    }
}
