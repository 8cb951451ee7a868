//! The status page: one server-rendered document, read on a phone at night.
//!
//! It says in this order: is all well and since when, can the monitor be
//! believed, what is open and what is known of it, what was. No script, no
//! outside request; the policy in its header allows this style and nothing
//! else. Every text that is not written here goes through [`escape`].

use std::fmt::Write;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::Window;
use crate::model::time::human;
use crate::model::{IncidentView, Severity, Snapshot, Time};

const STYLE: &str = include_str!("page.css");

/// Allows the style above by its hash, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = base64(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Annotations in the order they are read in; others follow by name.
const FIRST: [&str; 6] = ["acknowledged", "description", "evidence", "causes", "changes", "symptoms"];

/// `GET /`.
pub(super) async fn status(State(window): State<Window>) -> Response {
    let snapshot = window.snapshot.borrow().clone();
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, &*POLICY)];
    (headers, render(&snapshot)).into_response()
}

/// The whole document.
fn render(snapshot: &Snapshot) -> String {
    let (class, title, since) = verdict(snapshot);
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"30\">\
         <title>{title} · tocsin</title><style>{STYLE}</style></head><body>\
         <header class=\"{class}\"><h1>{title}</h1><p>{since}</p></header><main>",
    );
    belief(&mut page, snapshot);
    open(&mut page, snapshot);
    past(&mut page, snapshot);
    receivers(&mut page, snapshot);
    let _ = writeln!(
        page,
        "</main><footer>tocsin {} · as of {} · running since {} · <a href=\"/metrics\">metrics</a> · \
         <a href=\"/api/v1/status\">JSON</a></footer></body></html>",
        env!("CARGO_PKG_VERSION"),
        instant(snapshot.made_at),
        instant(snapshot.started_at),
    );
    page
}

fn is_believed(snapshot: &Snapshot) -> bool {
    snapshot.is_ready && snapshot.is_durable && snapshot.complaints.is_empty()
}

/// The one sentence, its class, and since when it holds.
fn verdict(snapshot: &Snapshot) -> (&'static str, String, String) {
    let worst = snapshot.open.iter().map(|view| view.incident.severity).max();
    let count = snapshot.open.len();
    let ago = |at: Time| format!("since {} ({})", instant(at), human(snapshot.made_at.since(at)));
    if let (Some(worst), Some(first)) = (worst, snapshot.open.iter().map(|v| v.incident.started_at).min()) {
        let class = if worst == Severity::Critical { "bad" } else { "warn" };
        let noun = if count == 1 { "incident" } else { "incidents" };
        return (class, format!("{count} {noun} open"), ago(first));
    }
    if !is_believed(snapshot) {
        let since = "Nothing is reported, but the monitor itself cannot be believed now: see below.";
        return ("warn", "Cannot tell".to_owned(), since.to_owned());
    }
    let quiet = snapshot.past.iter().filter_map(|v| v.incident.ended_at).max();
    let quiet = quiet.unwrap_or(snapshot.started_at).max(snapshot.started_at);
    ("good", "All is well".to_owned(), ago(quiet))
}

/// Whether the monitor itself can be believed.
fn belief(page: &mut String, snapshot: &Snapshot) {
    let says =
        if is_believed(snapshot) { "The monitor can be believed" } else { "The monitor cannot be believed" };
    let _ = write!(page, "<section><h2>{says}</h2>");
    if !snapshot.complaints.is_empty() || !snapshot.is_durable {
        page.push_str("<ul class=\"complaints\">");
        if !snapshot.is_durable {
            page.push_str("<li>What it learns does not reach the disk; a restart forgets it.</li>");
        }
        for complaint in &snapshot.complaints {
            let _ = write!(page, "<li>{}</li>", escape(complaint));
        }
        page.push_str("</ul>");
    }
    if snapshot.sources.is_empty() {
        page.push_str("<p>It reads no source.</p></section>");
        return;
    }
    page.push_str(
        "<div class=\"wide\"><table><thead><tr><th>Source</th><th>State</th><th>Lines</th><th>Last line</th>\
         <th>Lag</th></tr></thead><tbody>",
    );
    for source in &snapshot.sources {
        let class = if source.state == "live" { "good" } else { "warn" };
        let note = source.note.as_ref().map(|note| format!("<br><small>{}</small>", escape(note)));
        let lag = std::time::Duration::try_from_secs_f64(source.lag_seconds.max(0.0)).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}{}</td><td><span class=\"tag {class}\">{}</span></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&source.name),
            note.unwrap_or_default(),
            escape(&source.state),
            source.lines,
            source.last_line_at.map_or_else(|| "none yet".to_owned(), instant),
            human(lag),
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn open(page: &mut String, snapshot: &Snapshot) {
    page.push_str("<section><h2>Open incidents</h2>");
    if snapshot.open.is_empty() {
        page.push_str("<p>None.</p>");
    }
    let mut views: Vec<&IncidentView> = snapshot.open.iter().collect();
    views.sort_by_key(|view| {
        (view.incident.inhibited_by.is_some(), std::cmp::Reverse(view.incident.severity))
    });
    for view in views {
        let incident = &view.incident;
        let class = class_of(incident.severity);
        let _ = write!(
            page,
            "<article class=\"{class}\"><h3><span class=\"tag {class}\">{}</span> {} <small>#{}</small></h3>",
            incident.severity,
            escape(&incident.alert),
            incident.number,
        );
        labels(page, view);
        if let Some(summary) = incident.annotations.get("summary") {
            let _ = write!(page, "<p>{}</p>", escape(summary));
        }
        let burns = human(snapshot.made_at.since(incident.started_at));
        let _ = write!(page, "<p class=\"quiet\">since {} ({burns})", instant(incident.started_at));
        if let Some(inhibitor) = &incident.inhibited_by {
            let _ = write!(page, " · kept quiet by {}", escape(inhibitor));
        }
        for silencer in &view.silenced_by {
            let _ = write!(page, " · kept quiet by {}", escape(silencer));
        }
        told(page, view);
        page.push_str("</p>");
        annotations(page, view);
        page.push_str("</article>");
    }
    page.push_str("</section>");
}

fn labels(page: &mut String, view: &IncidentView) {
    if view.incident.labels.is_empty() {
        return;
    }
    page.push_str("<p class=\"labels\">");
    for (name, value) in &view.incident.labels {
        let _ = write!(page, "<code>{}={}</code> ", escape(name), escape(value));
    }
    page.push_str("</p>");
}

fn told(page: &mut String, view: &IncidentView) {
    if !view.told.is_empty() {
        let _ = write!(page, " · told: {}", escape(&view.told.join(", ")));
    }
}

fn annotations(page: &mut String, view: &IncidentView) {
    let texts = &view.incident.annotations;
    let others = texts.keys().map(String::as_str).filter(|name| *name != "summary" && !FIRST.contains(name));
    page.push_str("<dl>");
    for name in FIRST.into_iter().chain(others) {
        let Some(text) = texts.get(name).filter(|text| !text.is_empty()) else { continue };
        let _ = write!(page, "<dt>{}</dt><dd>", escape(&name.replace('_', " ")));
        if name.starts_with("runbook") && (text.starts_with("https://") || text.starts_with("http://")) {
            let _ = write!(page, "<a rel=\"noreferrer\" href=\"{0}\">{0}</a>", escape(text));
        } else {
            let _ = write!(page, "<pre>{}</pre>", escape(text));
        }
        page.push_str("</dd>");
    }
    page.push_str("</dl>");
}

fn past(page: &mut String, snapshot: &Snapshot) {
    page.push_str("<section><h2>Past incidents</h2>");
    if snapshot.past.is_empty() {
        page.push_str("<p>None.</p></section>");
        return;
    }
    page.push_str(
        "<div class=\"wide\"><table><thead><tr><th>Alert</th><th>Began</th><th>Lasted</th><th>Ended by</th></tr>\
         </thead><tbody>",
    );
    for view in &snapshot.past {
        let incident = &view.incident;
        let lasted = incident.ended_at.map(|end| human(end.since(incident.started_at)));
        let summary = incident.annotations.get("summary").map(|s| escape(s)).unwrap_or_default();
        let class = class_of(incident.severity);
        let _ = write!(
            page,
            "<tr><td><span class=\"tag {class}\">{}</span> {}<br><small>{summary}</small></td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            incident.severity,
            escape(&incident.alert),
            instant(incident.started_at),
            lasted.unwrap_or_default(),
            escape(incident.end_reason.as_deref().unwrap_or("")),
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn receivers(page: &mut String, snapshot: &Snapshot) {
    page.push_str("<section><h2>Receivers</h2>");
    if snapshot.outbox.is_empty() {
        page.push_str("<p>None: nobody is told of anything.</p></section>");
        return;
    }
    page.push_str(
        "<div class=\"wide\"><table><thead><tr><th>Receiver</th><th>Waiting</th><th>Delivered</th><th>Failed</th>\
         <th>Given up</th></tr></thead><tbody>",
    );
    for outbox in &snapshot.outbox {
        let count = |outcome: &str| outbox.outcomes.get(outcome).copied().unwrap_or(0);
        let error = outbox.last_error.as_ref().map(|error| format!("<br><small>{}</small>", escape(error)));
        let _ = write!(
            page,
            "<tr><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&outbox.receiver),
            error.unwrap_or_default(),
            outbox.pending,
            count("delivered"),
            count("failed"),
            count("given_up"),
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn class_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "warn",
        Severity::Info => "good",
    }
}

/// An instant, to the second, in UTC.
fn instant(at: Time) -> String {
    let text = at.to_rfc3339();
    let (date, clock) = (text.get(..10).unwrap_or(""), text.get(11..19).unwrap_or(""));
    format!("<time datetime=\"{text}\">{date} {clock} UTC</time>")
}

/// Text as HTML, for content and quoted attributes; control characters but
/// newline and tab become U+FFFD, as do those that turn the writing direction.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => safe.push('\u{FFFD}'),
            c if c.is_control() => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Standard Base64 with padding (RFC 4648), for the policy's hash.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().enumerate().fold(0u32, |sum, (at, b)| sum | u32::from(*b) << (16 - 8 * at));
        for at in 0..4 {
            let digit = ALPHABET[(value >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_standard_has_it() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    }

    #[test]
    fn nothing_that_html_reads_passes() {
        assert_eq!(
            escape("<a href=\"x\">'&\u{0}\u{202E}"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{FFFD}\u{FFFD}"
        );
    }
}
