//! Silences: asked for by hand, kept with everything else, bounded in number.
//!
//! Like Alertmanager's they keep notices back and change no alert. Who was
//! told of a firing is told of its end, silenced meanwhile or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::matcher;
use crate::config::plan::{Labelled, Matchers};
use crate::config::redact::Redactor;
use crate::model::{Order, Refusal, Silence, Time, Until};

use super::event::head;

/// Silences kept, those that are over included.
const SILENCES_MAX: usize = 512;
/// Those that are over are shown so long, as Alertmanager shows them.
const KEPT_FOR: Duration = Duration::from_secs(5 * 86_400);
/// One lasts at most so long; who wants more mutes a route.
const LASTS_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// A name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// A comment or reason, in bytes.
const COMMENT_BYTES_MAX: usize = 1_024;

/// All silences.
#[derive(Debug, Default)]
pub struct Silences {
    /// By number.
    kept: BTreeMap<u64, (Silence, Matchers)>,
    /// Number of the last.
    pub(super) last: u64,
    pub(super) dirty: BTreeSet<u64>,
}

impl Silences {
    /// All of them, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Silence> {
        self.kept.values().map(|(silence, _)| silence)
    }

    /// One of them.
    pub fn get(&self, number: u64) -> Option<&Silence> {
        self.kept.get(&number).map(|(silence, _)| silence)
    }

    /// Those that keep an alert quiet at an instant.
    pub fn of<'s>(&'s self, alert: Labelled<'s>, at: Time) -> impl Iterator<Item = &'s Silence> {
        let active = self.kept.values().filter(move |(s, _)| s.starts_at <= at && at < s.ends_at);
        active.filter(move |(_, matchers)| matchers.fit(alert)).map(|(silence, _)| silence)
    }

    /// Takes in an order of the kind [`Order::Silence`]; the new number.
    pub fn add(&mut self, order: &Order, redactor: &Redactor, now: Time) -> Result<u64, Refusal> {
        let Order::Silence { matchers, starts_at, until, created_by, comment } = order else {
            return Err(Refusal::Wrong("this asks for no silence".to_owned()));
        };
        let parsed = matcher::parse(matchers).map_err(|mistake| Refusal::Wrong(mistake.message))?;
        if parsed.fit_nothing() {
            let why = "at least one matcher must ask for a value: this would silence everything";
            return Err(Refusal::Wrong(why.to_owned()));
        }
        let starts_at = starts_at.unwrap_or(now).max(now);
        let ends_at = match until {
            Until::At(at) => *at,
            Until::After(span) => starts_at.plus(*span),
        };
        if ends_at <= starts_at {
            return Err(Refusal::Wrong("it would end before it begins, or is over already".to_owned()));
        }
        if ends_at.since(starts_at) > LASTS_MAX {
            return Err(Refusal::Wrong("it would last more than ten years".to_owned()));
        }
        let created_by = name(redactor, created_by)?;
        self.prune(now);
        if self.kept.len() >= SILENCES_MAX {
            return Err(Refusal::Full(format!("there are {SILENCES_MAX} silences already")));
        }
        self.last += 1;
        let (number, matchers) = (self.last, redactor.redact(&parsed.to_string()));
        let comment = comment_of(redactor, comment);
        let silence = Silence { number, matchers, starts_at, ends_at, created_by, comment };
        self.kept.insert(number, (silence, parsed));
        self.dirty.insert(number);
        Ok(number)
    }

    /// Ends one now.
    pub fn expire(&mut self, number: u64, now: Time) -> Result<u64, Refusal> {
        let found = self.kept.get_mut(&number).filter(|(silence, _)| now < silence.ends_at);
        let Some((silence, _)) = found else {
            return Err(Refusal::Unknown(format!("there is no silence {number}, or it is over")));
        };
        silence.ends_at = now;
        silence.starts_at = silence.starts_at.min(now);
        self.dirty.insert(number);
        Ok(number)
    }

    /// Lets go of what has long been over, and where room is short of what is
    /// over at all.
    fn prune(&mut self, now: Time) {
        let is_full = self.kept.len() >= SILENCES_MAX;
        let is_gone = |s: &Silence| now >= s.ends_at && (is_full || now.since(s.ends_at) > KEPT_FOR);
        let gone = self.kept.values().filter(|(s, _)| is_gone(s)).map(|(s, _)| s.number);
        let gone: Vec<u64> = gone.collect();
        for number in gone {
            self.kept.remove(&number);
            self.dirty.insert(number);
        }
    }

    /// Takes back what was saved.
    pub(super) fn restore(&mut self, silence: Silence) {
        if let Ok(matchers) = matcher::parse(&silence.matchers) {
            self.last = self.last.max(silence.number);
            self.kept.insert(silence.number, (silence, matchers));
        }
    }
}

/// Who asks: redacted, one line, not empty.
pub(super) fn name(redactor: &Redactor, text: &str) -> Result<String, Refusal> {
    let clean = one_line(redactor, text, NAME_BYTES_MAX);
    if clean.is_empty() {
        return Err(Refusal::Wrong("it must say who asks".to_owned()));
    }
    Ok(clean)
}

/// Why: redacted, one line, perhaps empty.
pub(super) fn comment_of(redactor: &Redactor, text: &str) -> String {
    one_line(redactor, text, COMMENT_BYTES_MAX)
}

fn one_line(redactor: &Redactor, text: &str, bytes_max: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    head(redactor.redact(&clean).trim(), bytes_max).trim().to_owned()
}
