//! Takes the secrets of a receiver out of what comes back from it.
//!
//! An error of a client names the URL, a server repeats the path it did not
//! find, a mail server the login it refused: texts that end in the log, the
//! status page and the state.

use crate::config::redact::{MASK, Redactor};

/// Shorter parts of a URL are words, not secrets.
const PART_CHARS_MIN: usize = 6;
const EXCERPT_CHARS_MAX: usize = 300;

/// Masks what it was told, and the common shapes of secrets.
pub(super) struct Mask {
    secrets: Vec<String>,
    redactor: Redactor,
}

impl Mask {
    /// Without the whole of each secret; empty ones are left out.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Mask {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|s| !s.is_empty()).collect();
        // Longest first, or a part would leave the rest of the whole.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Mask { secrets, redactor: Redactor::default() }
    }

    /// Masks this one too.
    pub fn add(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
        self.secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }

    /// One masked line of at most some hundred characters.
    pub fn line(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            out = out.replace(secret.as_str(), MASK);
        }
        let clean = self.redactor.redact(&out);
        let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(EXCERPT_CHARS_MAX).collect()
    }
}

/// What of a URL is secret: the whole, its userinfo, and the parts of its path
/// and query that are long enough to be one.
pub(super) fn url_secrets(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let userinfo = authority.rsplit_once('@').map_or("", |(userinfo, _)| userinfo);
    let long = |part: &&str| part.chars().count() >= PART_CHARS_MIN;
    // By `:` too: of a bot's token servers may repeat the second half alone.
    let halves = path.split(['/', '?', '&', '=', '#', ':']);
    let parts = path.split(['/', '?', '&', '=', '#']).chain(halves).chain(userinfo.split(':')).filter(long);
    let mut out: Vec<String> = parts.map(str::to_owned).collect();
    out.push(url.to_owned());
    if path.len() > 1 {
        out.push(path.to_owned());
    }
    if !userinfo.is_empty() {
        out.push(userinfo.to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_url_that_could_be_a_secret_stays() {
        let url = "https://user:pa55word@hooks.example/services/T0001/B0002/sEcReT99?key=hunter22";
        let mask = Mask::new(url_secrets(url));
        for text in [
            format!("error for url ({url})"),
            "no route for /services/T0001/B0002/sEcReT99?key=hunter22".to_owned(),
            "unknown hook sEcReT99, key hunter22, login pa55word".to_owned(),
        ] {
            let out = mask.line(&text);
            for secret in ["sEcReT99", "hunter22", "pa55word"] {
                assert!(!out.contains(secret), "{out}");
            }
        }
    }
}
