//! The shared phrasing of all notifiers, and the one place where outward text
//! is redacted and cut.
//!
//! Nothing here knows the format of a receiver; escaping is the business of
//! each kind. Text is redacted whole and cut afterwards: cut first, half a
//! secret would no longer look like one. Multi-line texts are redacted line by
//! line, since redaction turns a line end into a space.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::plan::NotifyPlan;
use crate::config::redact::{MASK, Redactor, whole_words, without_keys};
use crate::model::{AlertNotice, Notification, Severity, time};

/// Members described in full; the rest are counted.
const MEMBERS_MAX: usize = 50;
const SUMMARY_CHARS_MAX: usize = 300;
const DESCRIPTION_CHARS_MAX: usize = 1_000;
const FACT_CHARS_MAX: usize = 200;
const LABEL_CHARS_MAX: usize = 256;
const ITEM_CHARS_MAX: usize = 300;
const ITEMS_MAX: usize = 12;
const EVIDENCE_LINES_MAX: usize = 10;
const ADDRESS_CHARS_MAX: usize = 1_000;
const LABELS_MAX: usize = 32;
/// Looked at before it is redacted.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A notification in words, clean and bounded, ready to be escaped.
pub(super) struct Wording {
    /// `[TEST] [FIRING] Name: summary (and 4 more)`, one line.
    pub headline: String,
    /// True while any member fires.
    pub is_firing: bool,
    /// Of the firing members, or of all once none fires.
    pub severity: Severity,
    /// Names of the alerts with how often they stand, in order of their first.
    pub names: Vec<(String, usize)>,
    /// What sort of notice this is, where it is no plain one.
    pub notes: Vec<String>,
    /// The first members.
    pub members: Vec<Member>,
    /// Members that are not among them.
    pub hidden: usize,
    /// Address of the status page; from the configuration.
    pub status_page: Option<String>,
}

/// One alert in words.
pub(super) struct Member {
    /// `FIRING critical: Name`.
    pub title: String,
    /// One line; never empty.
    pub summary: String,
    /// One line; may be empty.
    pub description: String,
    /// Name and value: labels, start, end, count, span, codes, reason.
    pub facts: Vec<(String, String)>,
    /// Further texts as lists, with their headings; none is empty.
    pub lists: Vec<(&'static str, Vec<String>)>,
    /// The last log lines that led to it.
    pub evidence: Vec<String>,
    /// An `http(s)` address.
    pub runbook: Option<String>,
}

impl Wording {
    /// The words of a notification.
    pub fn of(notification: &Notification, notify: &NotifyPlan, redactor: &Redactor) -> Wording {
        let words = Words(redactor);
        let shown = |a: &&AlertNotice| a.is_firing || !notification.is_firing;
        let severity = notification.alerts.iter().filter(shown).map(|a| a.severity).max();
        let mut members: Vec<Member> =
            notification.alerts.iter().take(MEMBERS_MAX).map(|a| member(a, &words)).collect();
        say_once(&mut members);
        let names = names(notification, &words);
        Wording {
            headline: headline(notification, &names, &words),
            names,
            is_firing: notification.is_firing,
            severity: severity.unwrap_or(Severity::Info),
            notes: notes(notification),
            hidden: notification.alerts.len() - members.len(),
            members,
            status_page: words.address(&notify.external_url),
        }
    }
}

/// Members of a group mostly share their rule's texts: what stands with the
/// first is not said again, or five failing methods would fill a message with
/// five times the same causes.
fn say_once(members: &mut [Member]) {
    let Some((first, rest)) = members.split_first_mut() else {
        return;
    };
    for member in rest {
        if member.description == first.description {
            member.description.clear();
        }
        member.lists.retain(|list| !first.lists.contains(list));
        if member.runbook == first.runbook {
            member.runbook = None;
        }
    }
}

/// What a notice is beside `firing` and `resolved`, as single words.
pub(super) fn occasion(notification: &Notification) -> Option<&'static str> {
    let any = |stem: &str| {
        notification.alerts.iter().any(|a| a.annotations.get("reason").is_some_and(|r| r.starts_with(stem)))
    };
    if notification.is_test {
        Some("test")
    } else if notification.is_past {
        Some("past")
    } else if notification.is_firing && any("escalat") {
        Some("escalation")
    } else if notification.is_firing && any("remind") {
        Some("reminder")
    } else if notification.is_firing && notification.sequence > 1 {
        Some("update")
    } else {
        None
    }
}

fn notes(notification: &Notification) -> Vec<String> {
    let note = match occasion(notification) {
        Some("test") => "This is a test sent by hand; nothing is wrong.",
        Some("past") => return past_note(notification).into_iter().collect(),
        Some("escalation") => "Escalated: it fires with a higher severity now.",
        Some("reminder") => "Reminder: it still fires.",
        Some("update") => "Update of a notice sent before.",
        _ => return Vec::new(),
    };
    vec![note.to_owned()]
}

/// When it was, at first glance: who reads it at night must not take it for news.
fn past_note(notification: &Notification) -> Option<String> {
    let began = notification.alerts.iter().map(|a| a.starts_at).min()?;
    let ended = notification.alerts.iter().filter_map(|a| a.ends_at).max()?;
    let span = time::human(ended.since(began));
    let (began, ended) = (began.to_date_clock(), ended.to_date_clock());
    Some(match notification.alerts.len() {
        1 => format!("It is over: it began {began} and ended {ended} ({span}), before this could be told."),
        _ => format!(
            "All of it is over: the first began {began}, the last ended {ended} ({span}), before this could be told."
        ),
    })
}

/// Names with how often they stand, in order of their first.
fn names(notification: &Notification, words: &Words<'_>) -> Vec<(String, usize)> {
    let mut names: Vec<(String, usize)> = Vec::new();
    for alert in &notification.alerts {
        let name = words.line(&alert.alert, LABEL_CHARS_MAX);
        match names.iter_mut().find(|known| known.0 == name) {
            Some(known) => known.1 += 1,
            None => names.push((name, 1)),
        }
    }
    names
}

fn headline(notification: &Notification, names: &[(String, usize)], words: &Words<'_>) -> String {
    let mut out = String::new();
    if notification.is_test {
        out.push_str("[TEST] ");
    }
    out.push_str(if notification.is_firing { "[FIRING] " } else { "[RESOLVED] " });
    if let Some(word @ ("past" | "escalation" | "reminder")) = occasion(notification) {
        out.push_str(word);
        out.push_str(": ");
    }
    let Some(first) = notification.alerts.first() else {
        return out + "no alert";
    };
    if names.len() > 1 {
        let of = |(name, count): &(String, usize)| match count {
            1 => name.clone(),
            _ => format!("{name} ({count})"),
        };
        let list = names.iter().map(of).collect::<Vec<_>>().join(", ");
        return out + &format!("{} incidents: {}", notification.alerts.len(), cut(&list, SUMMARY_CHARS_MAX));
    }
    out.push_str(&words.line(&first.alert, LABEL_CHARS_MAX));
    out.push_str(": ");
    out.push_str(&summary(first, words));
    if let Some(lasted) = lasted(first, words).filter(|_| !notification.is_firing) {
        out.push_str(&format!(" (lasted {lasted})"));
    }
    match notification.alerts.len() - 1 {
        0 => {}
        more => out.push_str(&format!(" (and {more} more)")),
    }
    out
}

fn member(alert: &AlertNotice, words: &Words<'_>) -> Member {
    let state = if alert.is_firing { "FIRING" } else { "RESOLVED" };
    let text = |key: &str| alert.annotations.get(key).map_or("", String::as_str);
    let lists = [
        ("Likely causes", "causes"),
        ("What changed shortly before", "changes"),
        ("Symptoms kept quiet by this incident", "symptoms"),
    ];
    Member {
        title: format!("{state} {}: {}", alert.severity, words.line(&alert.alert, LABEL_CHARS_MAX)),
        summary: summary(alert, words),
        description: words.line(text("description"), DESCRIPTION_CHARS_MAX),
        facts: facts(alert, words),
        lists: lists
            .into_iter()
            .map(|(heading, key)| (heading, words.first_lines(text(key), ITEMS_MAX)))
            .filter(|(_, items)| !items.is_empty())
            .collect(),
        evidence: words.last_lines(text("evidence"), EVIDENCE_LINES_MAX),
        runbook: alert.annotations.get("runbook_url").and_then(|url| words.address(url)),
    }
}

/// Never empty: an alert without a summary is told by its labels.
fn summary(alert: &AlertNotice, words: &Words<'_>) -> String {
    let given = words.line(alert.annotations.get("summary").map_or("", String::as_str), SUMMARY_CHARS_MAX);
    if !given.is_empty() {
        return given;
    }
    let labels: Vec<String> =
        words.labels(&alert.labels).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    let text = if labels.is_empty() { "no further labels".to_owned() } else { labels.join(", ") };
    words.line(&text, SUMMARY_CHARS_MAX)
}

fn facts(alert: &AlertNotice, words: &Words<'_>) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = words.labels(&alert.labels).into_iter().collect();
    facts.push(("started".to_owned(), alert.starts_at.to_rfc3339()));
    if let Some(ended) = alert.ends_at.filter(|_| !alert.is_firing) {
        facts.push(("ended".to_owned(), ended.to_rfc3339()));
    }
    if let Some(lasted) = lasted(alert, words) {
        facts.push(("lasted".to_owned(), lasted));
    }
    for (name, key) in [("failures", "count"), ("within", "span"), ("codes", "codes"), ("reason", "reason")] {
        let value = words.line(alert.annotations.get(key).map_or("", String::as_str), FACT_CHARS_MAX);
        if !value.is_empty() {
            facts.push((name.to_owned(), value));
        }
    }
    facts.push(("incident".to_owned(), alert.incident.to_string()));
    facts
}

/// As the engine says it, else from start and end; only of what has ended.
fn lasted(alert: &AlertNotice, words: &Words<'_>) -> Option<String> {
    if alert.is_firing {
        return None;
    }
    let given = words.line(alert.annotations.get("lasted").map_or("", String::as_str), FACT_CHARS_MAX);
    if !given.is_empty() {
        return Some(given);
    }
    let span: Duration = alert.ends_at?.since(alert.starts_at);
    Some(time::human(span))
}

/// The choke point: clean, redacted, bounded text.
pub(super) struct Words<'a>(pub &'a Redactor);

impl Words<'_> {
    /// One line without secrets and control characters, at most `max`
    /// characters; white space is collapsed.
    pub fn line(&self, text: &str, max: usize) -> String {
        let clean = self.0.redact(bounded(text));
        cut(&clean.split_whitespace().collect::<Vec<_>>().join(" "), max)
    }

    /// The first items of a text that holds one a line; empty ones are left
    /// out.
    pub fn first_lines(&self, text: &str, max: usize) -> Vec<String> {
        let mut lines = lines(text);
        lines.truncate(max);
        self.clean(&lines)
    }

    /// The last lines of a text.
    pub fn last_lines(&self, text: &str, max: usize) -> Vec<String> {
        let lines = lines(text);
        self.clean(&lines[lines.len().saturating_sub(max)..])
    }

    /// Indentation stays: the last lines are often those of a JSON body.
    fn clean(&self, lines: &[&str]) -> Vec<String> {
        lines
            .iter()
            .map(|line| cut(self.0.redact(bounded(line)).trim_end(), ITEM_CHARS_MAX))
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Label names and values, at most [`LABELS_MAX`].
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let clean = |text: &str| self.line(text, LABEL_CHARS_MAX);
        labels.iter().take(LABELS_MAX).map(|(name, value)| (clean(name), clean(value))).collect()
    }

    /// An `http(s)` address for a link, or nothing. Host and port stand as
    /// configured; the parts of its path are redacted one by one, or a long
    /// path would itself look like a secret.
    pub fn address(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let (host, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let is_plain =
            |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '|' | '`' | '\\' | '@');
        let is_fit = matches!(scheme, "http" | "https")
            && !host.is_empty()
            && url.len() <= ADDRESS_CHARS_MAX
            && rest.chars().all(is_plain);
        if !is_fit {
            return None;
        }
        let path: Vec<String> =
            path.split('/').map(|part| self.0.redact(part).replace(MASK, "redacted")).collect();
        Some(format!("{scheme}://{host}{}", path.join("/")))
    }
}

/// The lines of a text that hold something.
fn lines(text: &str) -> Vec<&str> {
    without_keys(text).filter(|line| !line.trim().is_empty()).collect()
}

/// So much of a text as is looked at, which is far more than is shown: a text
/// of megabytes must not hold up the commit it is rendered in.
fn bounded(text: &str) -> &str {
    whole_words(text, TEXT_BYTES_MAX)
}

/// At most `max` characters, the last of them `…` where something is missing.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}
