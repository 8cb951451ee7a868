//! The prefix that `docker compose logs` puts before every line.
//!
//! `backend-1  | text`: the container's name without its project, padded to
//! the longest, coloured on a terminal. The name less its number is the
//! service; a container with a `container_name` shows that instead, and its
//! service is not known from a dump.

use crate::config::plan::{DockerPlan, SourceKind, SourcePlan};

use super::stamp::{LEVELS, past_colours};

const NAME_BYTES_MAX: usize = 255;
/// Takes the prefix off: the container's name and the text.
pub fn split_prefix(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = past_colours(line);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = line.iter().take(NAME_BYTES_MAX + 1).position(|b| !is_name(b))?;
    let name = &line[..end];
    // Some applications write `INFO  | text`; no service is called that.
    if !name.first()?.is_ascii_alphanumeric() || LEVELS.contains(&name) {
        return None;
    }
    let rest = past_colours(&line[end..]);
    let bar = rest.iter().position(|b| *b != b' ')?;
    let rest = past_colours(&rest[bar..]).strip_prefix(b"|").filter(|_| bar > 0)?;
    let rest = past_colours(rest);
    match rest.strip_prefix(b" ") {
        Some(text) => Some((name, past_colours(text))),
        None if rest.is_empty() || rest == b"\r" => Some((name, rest)),
        None => None,
    }
}

/// A container's name less its number: `backend-aws-1` is of `backend-aws`.
/// `None` where the name has no number, so is a `container_name`.
pub fn service(name: &[u8]) -> Option<&[u8]> {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let rest = &name[..name.len() - digits];
    let rest = rest.strip_suffix(b"-").or_else(|| rest.strip_suffix(b"_"))?;
    (digits > 0 && !rest.is_empty()).then_some(rest)
}

/// Which containers of a dump a source wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    service: Option<String>,
    name: Option<String>,
}

impl Wanted {
    /// That of a source; all, unless it is a Docker source that names one.
    pub fn new(source: &SourcePlan) -> Wanted {
        match &source.kind {
            SourceKind::Docker(DockerPlan { service, name, .. }) => {
                Wanted { service: service.clone(), name: name.clone() }
            }
            _ => Wanted::default(),
        }
    }

    /// Whether the source wants the container of that name.
    pub fn accepts(&self, container: &[u8]) -> bool {
        if self.service.is_none() && self.name.is_none() {
            return true;
        }
        let is_service = self.service.as_ref().is_some_and(|wanted| {
            service(container) == Some(wanted.as_bytes()) || container == wanted.as_bytes()
        });
        // Without `container_name` the full name is `<project>-<shown>`.
        let is_name = self.name.as_ref().is_some_and(|wanted| {
            let before = wanted.as_bytes().strip_suffix(container);
            before.is_some_and(|p| p.is_empty() || p.ends_with(b"-") || p.ends_with(b"_"))
        });
        is_service || is_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<(&str, &str)> {
        let (name, text) = split_prefix(line.as_bytes())?;
        Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(text).ok()?))
    }

    #[test]
    fn the_prefix_is_taken_off_with_its_colours() {
        assert_eq!(split("backend-1  | text | more"), Some(("backend-1", "text | more")));
        assert_eq!(split("\x1b[36mbackend-1  | \x1b[0m text"), Some(("backend-1", " text")));
        assert_eq!(split("\x1b[36mbackend-1  |\x1b[0m text"), Some(("backend-1", "text")));
        assert_eq!(split("\x1b[33;1mdb_1        |\x1b[0m"), Some(("db_1", "")));
        assert_eq!(split("postgres_hardened  | "), Some(("postgres_hardened", "")));
    }

    #[test]
    fn a_bar_elsewhere_is_no_prefix() {
        for line in
            ["INFO  | text", "2026-01-08 01:19:43 | INFO | x", "a b | c", "| x", "a|b", "a |b", "", "x"]
        {
            assert_eq!(split(line), None, "{line}");
        }
    }

    #[test]
    fn a_service_is_the_name_less_its_number() {
        assert_eq!(service(b"backend-1"), Some(&b"backend"[..]));
        assert_eq!(service(b"backend-aws-12"), Some(&b"backend-aws"[..]));
        assert_eq!(service(b"backend_1"), Some(&b"backend"[..]));
        assert_eq!(service(b"postgres_hardened"), None);
        assert_eq!(service(b"web2"), None);
    }

    #[test]
    fn lines_of_other_services_are_not_wanted() {
        let wanted = Wanted { service: Some("backend".into()), name: None };
        assert!(wanted.accepts(b"backend-1"));
        assert!(!wanted.accepts(b"backend-aws-1"));
        assert!(!wanted.accepts(b"postgres_hardened"));
        let wanted = Wanted { service: None, name: Some("platform-backend-1".into()) };
        assert!(wanted.accepts(b"backend-1"));
        assert!(!wanted.accepts(b"end-1"));
    }
}
