//! What never leaves the process: one choke point for outward text.
//!
//! The pack's patterns say what is secret in the watched logs; common shapes
//! of secrets are added to them. Every excerpt passes here before it is kept,
//! so the state holds none of it either.

use regex::{Captures, Regex};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Shapes of secrets in anybody's logs: bearer and basic credentials,
/// `key=value` pairs with telling names, URLs with userinfo or a signature,
/// private keys, long hex and base64, and addresses of the outside.
const COMMON: &[&str] = &[
    r"(?i)\b(?:bearer|basic)\s+(?P<secret>[a-z0-9._~+/=-]{8,})",
    r#"(?i)(?:api[_-]?key|secret(?:[_-]?key)?|token|password|passwd|passphrase|signature|sig|authorization|access[_-]?key)["']?\s*[=:]\s*["']?(?P<secret>[^\s"',;&})]{4,})"#,
    r"://(?P<secret>[^\s/@:]+:[^\s/@]+)@",
    r"https://hooks\.slack\.com/(?P<secret>\S+)",
    r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----.*)",
    r"\b(?P<opaque>[A-Za-z0-9]{32,})\b",
    r"(?P<opaque>[A-Za-z0-9+/_-]{64,}={0,2})",
    r"\b(?P<secret>(?:\d{1,3}\.){3}\d{1,3})\b",
    r"\b(?P<secret>(?:[0-9a-fA-F]{1,4}:){3,7}:?[0-9a-fA-F]{1,4})\b",
];

/// Replaces secrets in outward text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Redactor {
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
        let common = COMMON.iter().filter_map(|p| Regex::new(p).ok());
        Redactor { patterns: configured.into_iter().chain(common).collect() }
    }

    /// The text without its secrets and without control characters.
    pub fn redact(&self, text: &str) -> String {
        let mut out: String = text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
        for pattern in &self.patterns {
            if pattern.is_match(&out) {
                out = pattern.replace_all(&out, |c: &Captures<'_>| mask(c)).into_owned();
            }
        }
        out
    }
}

/// Control characters, and the ones that turn the direction of text or hide
/// in it.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn mask(captures: &Captures<'_>) -> String {
    let whole = captures.get(0).map_or("", |m| m.as_str());
    // Long names are no secrets: those have digits or capitals.
    let is_name = |text: &str| !text.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase());
    if captures.name("opaque").is_some_and(|o| is_name(o.as_str())) {
        return whole.to_owned();
    }
    match captures.name("secret").or(captures.name("opaque")) {
        Some(secret) => {
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
    fn secrets_of_common_shapes_are_masked() {
        let r = Redactor::default();
        for (line, secret) in [
            ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
            ("sent FAKEKEYABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "FAKEKEY"),
            ("signature=00ff00ff00ff00ff00ff00ff00ff00ff", "00ff00ff"),
            ("postgres://user:hunter22@db/x", "hunter22"),
            ("outbound 203.0.113.7 seen", "203.0.113.7"),
        ] {
            let out = r.redact(line);
            assert!(!out.contains(secret), "{out}");
            assert!(out.contains(MASK), "{out}");
        }
    }

    #[test]
    fn plain_lines_are_left_alone_but_for_control_characters() {
        let r = Redactor::default();
        assert_eq!(r.redact("method=private/user-balance"), "method=private/user-balance");
        assert_eq!(r.redact("a\x1b[31mb\u{202e}c"), "a [31mb c");
        let name = "private/get-the-history-of-orders-of-all-accounts-and-all-their-sub-accounts";
        assert_eq!(r.redact(name), name);
    }
}
