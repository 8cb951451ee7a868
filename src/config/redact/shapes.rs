//! The shapes that secrets have in anybody's logs.
//!
//! Patterns find candidates; where a pattern alone would also take what makes
//! evidence useful (paths, names, request ids, versions, amounts), a function
//! here decides. In doubt it is a secret. All patterns are ASCII and linear.

use std::net::IpAddr;

/// In this order. Groups: `secret` always, `value` if [`is_value`], `opaque`
/// if [`is_opaque`], `address` if [`is_address`].
pub(super) const COMMON: &[&str] = &[
    // Headers, to the end of the line or of the quoted text they stand in.
    r#"(?i)(?-u:\b)(?:proxy-)?authorization\\?["']?[ \t]*[=:][ \t]*\\?["']?(?P<secret>[^"'\\\r\n]{3,})"#,
    r#"(?i)(?-u:\b)(?:set-)?cookie2?\\?["']?[ \t]*[=:][ \t]*\\?["']?(?P<secret>[^"'\\\r\n]{3,})"#,
    r"(?i)(?-u:\b)(?:bearer|basic|digest|negotiate)[ \t]+(?P<value>[a-z0-9._~+/=-]{8,})",
    // Pairs with telling names: quoted, bare, as an option of a program.
    r#"(?i)(?:api[_-]?key|secret(?:[_-]?key)?|token|passw(?:or)?d|pwd|passphrase|credentials?|signature|(?-u:\b)sig|hmac|access[_-]?key(?:[_-]?id)?|private[_-]?key|routing[_-]?key|integration[_-]?key|session[_-]?(?:id|key)|(?-u:\b)sid|jwt|otp|csrf|xsrf)\\?["']?[ \t]*(?:=>|[=:])[ \t]*[bu]?(?:\\?"(?P<secret>[^"\\]+)|'(?P<value>[^']+))"#,
    r#"(?i)(?:api[_-]?key|secret(?:[_-]?key)?|token|passw(?:or)?d|pwd|passphrase|credentials?|signature|(?-u:\b)sig|hmac|access[_-]?key(?:[_-]?id)?|private[_-]?key|routing[_-]?key|integration[_-]?key|session[_-]?(?:id|key)|(?-u:\b)sid|jwt|otp|csrf|xsrf)\\?["']?[ \t]*(?:=>|[=:])[ \t]*(?P<value>[^\s"',;&})\\]{3,})"#,
    r"(?i)(?:^|\s)--?(?:password|passwd|token|secret|api-key|access-key)[ =](?P<value>[^\s]{3,})",
    r"(?i)(?-u:\b)(?:password|identified[ \t]+by)[ \t]+'(?P<secret>[^']+)",
    // URLs: who logs in, what signs, and addresses that are secrets themselves.
    r"://(?P<secret>[^\s/@:]*:[^\s@]+)@",
    r"://(?P<secret>[^\s/@?#:]+)@",
    r#"(?i)[?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|key|auth|code|policy|key-pair-id|googleaccessid|hash|ticket|state|nonce|se|st)=(?P<secret>[^\s&#"'<>]{8,})"#,
    r"(?i)https?://hooks\.slack(?:-gov)?\.com/(?P<secret>\S+)",
    r"(?i)https?://(?:[a-z0-9.-]+\.)?(?:hc-ping\.com|webhook\.office\.com|logic\.azure\.com|api\.telegram\.org)(?::\d+)?/(?P<secret>\S+)",
    r"(?i)/(?:api/)?(?:web)?hooks/(?P<secret>[^\s/]+/\S+)",
    // Keys whose makers gave them a beginning of their own.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*",
    r"(?-u)\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*",
    r"(?-u)\b(?:A3T[A-Z0-9]|AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{12,}\b",
    r"(?-u)\b(?:gh[pousr]_|github_pat_|glpat-|gldt-|xox[a-z]-|xapp-|[srp]k_(?:live|test)_|sk-|npm_|pypi-|dop_v1_|hvs\.|ya29\.|AIza|SG\.|whsec_|shpat_|age-secret-key-1|AGE-SECRET-KEY-1)[A-Za-z0-9._-]{10,}",
    r"(?-u)\b(?P<secret>[0-9]{6,12}:[A-Za-z0-9_-]{30,})",
    // Long and without meaning: hex, base64, mixed letters and digits.
    r"(?-u)(?P<opaque>[0-9a-fA-F]{32,})",
    r"(?-u)\b(?P<opaque>[A-Za-z0-9]{32,})\b",
    r"(?-u)(?P<opaque>[A-Za-z0-9+/_-]{40,}={0,2})",
    // Addresses of the outside.
    r"(?-u)\b(?P<address>(?:[0-9]{1,3}\.){3}[0-9]{1,3})\b",
    r"(?i)(?-u:\b)(?P<address>(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4})(?-u:\b)",
    r"(?i)(?-u:\b)(?P<address>(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6})(?-u:\b)",
];

/// What stands for a value in words: evidence, and no secret.
const WORDS: &[&str] = &[
    "none",
    "null",
    "nil",
    "true",
    "false",
    "yes",
    "missing",
    "empty",
    "invalid",
    "valid",
    "expired",
    "rejected",
    "refused",
    "required",
    "undefined",
    "unknown",
    "mismatch",
    "auth",
    "authentication",
    "[redacted]",
    "<secret>",
];

/// The value of a pair with a telling name is one, not a word about it.
pub(super) fn is_value(text: &str) -> bool {
    let bare = text.trim_end_matches(['.', ',', ';', ')', ']', '}', '!']);
    let is_marker = text.starts_with("[redacted") || text.starts_with("[REDACTED");
    !is_marker && !WORDS.iter().any(|word| bare.eq_ignore_ascii_case(word))
}

/// So much of it must have no meaning for a reader.
const OPAQUE_CHARS_MIN: usize = 16;
/// Digits that end a word (`overlay2`, `Reports2024`).
const SUFFIX_DIGITS_MAX: usize = 4;
/// A longer number is no time, amount or id.
const NUMBER_DIGITS_MAX: usize = 20;
/// Letters of a word in a name such as `ConnectionReset`, on average.
const CAMEL_CHARS_MIN: usize = 4;

/// A long text of letters and digits that reads as no path, name or number:
/// a key. UUIDs name requests and are left.
pub(super) fn is_opaque(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['/', '_', '+', '-', '=']).collect();
    let mut chars = 0;
    let mut i = usize::from(is_own_id(&parts));
    while i < parts.len() {
        if is_uuid(&parts[i..]) {
            i += UUID.len();
            continue;
        }
        chars += if reads(parts[i]) { 0 } else { parts[i].len() };
        i += 1;
    }
    chars >= OPAQUE_CHARS_MIN
}

/// Begins as a notification's id of ours does, with the name of its state: an
/// operator looks for it in our log.
fn is_own_id(parts: &[&str]) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    parts.len() >= 4 && parts[0].len() == 16 && parts[0].bytes().all(is_digit)
}

/// The parts of a UUID in characters.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

fn is_uuid(parts: &[&str]) -> bool {
    let is_part =
        |(part, len): (&&str, &usize)| part.len() == *len && part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.len() >= UUID.len() && parts.iter().zip(&UUID).all(is_part)
}

/// A word, a name, a number.
fn reads(part: &str) -> bool {
    let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = part.len() - word.len();
    if word.is_empty() {
        return digits <= NUMBER_DIGITS_MAX;
    }
    if digits > SUFFIX_DIGITS_MAX || !word.bytes().all(|b| b.is_ascii_alphabetic()) {
        return false;
    }
    let (upper, lower) =
        (|b: &u8| b.is_ascii_uppercase(), word.bytes().filter(u8::is_ascii_lowercase).count());
    if lower == word.len() || lower == 0 {
        return true;
    }
    let bytes = word.as_bytes();
    let starts = bytes.windows(2).filter(|w| !upper(&w[0]) && upper(&w[1])).count() + 1;
    let capitals = bytes.windows(2).filter(|w| upper(&w[0]) && upper(&w[1])).count();
    starts * CAMEL_CHARS_MIN <= word.len() && capitals * CAMEL_CHARS_MIN * 2 <= word.len()
}

/// An address of the outside. Those of this machine and of private networks
/// are the same everywhere and tell where to look.
pub(super) fn is_address(text: &str) -> bool {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            return !(v4.is_loopback() || v4.is_private() || v4.is_unspecified() || v4.is_link_local());
        }
        Ok(IpAddr::V6(v6)) => {
            return !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local());
        }
        Err(_) => {}
    }
    // Not one as a whole, such as an amount or a time; the first half of a
    // longer one is.
    text.contains(':') && text.split(':').count() > 4 && text.bytes().any(|b| b.is_ascii_alphabetic())
}
