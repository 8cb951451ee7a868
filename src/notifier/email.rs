//! A mail: subject, plain text and HTML, with ids that make a thread.
//!
//! The first mail of a thread has a `Message-ID` made of the thread, every
//! later one (an escalation, a reminder, the end) one made of its own id and
//! an `In-Reply-To` of the first: so the resolved mail stands under the firing
//! one without anybody remembering what was sent. The HTML loads nothing and
//! holds no script, style sheet or picture.

use sha2::{Digest, Sha256};

use crate::config::plan::EmailPlan;
use crate::model::{Notification, OutgoingBody, Severity};

use super::escape_html as escape;
use super::words::{Member, Wording, cut};

const SUBJECT_CHARS_MAX: usize = 200;

/// The mail; the transport adds addresses and date.
pub(super) fn body(wording: &Wording, notification: &Notification, plan: &EmailPlan) -> OutgoingBody {
    let domain = domain(&plan.from);
    let first = message_id("thread", &notification.thread, &domain);
    let is_first = notification.sequence <= 1;
    OutgoingBody::Mail {
        subject: cut(&wording.headline, SUBJECT_CHARS_MAX),
        text: text(wording),
        html: html(wording),
        message_id: if is_first { first.clone() } else { message_id("notice", &notification.id, &domain) },
        in_reply_to: (!is_first).then_some(first),
    }
}

/// A digest, since ids may hold characters that a `Message-ID` may not.
fn message_id(kind: &str, key: &str, domain: &str) -> String {
    let digest = Sha256::digest(format!("{kind}\0{key}").as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("tocsin-{kind}-{hex}@{domain}")
}

fn domain(from: &str) -> String {
    let domain: String = from
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain)
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        .collect();
    if domain.is_empty() { "tocsin.invalid".to_owned() } else { domain }
}

fn text(wording: &Wording) -> String {
    let mut out = format!("{}\n", wording.headline);
    for note in &wording.notes {
        out.push_str(&format!("\n{note}\n"));
    }
    for member in &wording.members {
        out.push_str(&format!("\n---\n{}\n{}\n", member.title, member.summary));
        if !member.description.is_empty() {
            out.push_str(&format!("\n{}\n", member.description));
        }
        out.push('\n');
        for (name, value) in &member.facts {
            out.push_str(&format!("{name}: {value}\n"));
        }
        for (heading, items) in &member.lists {
            out.push_str(&format!("\n{heading}:\n"));
            items.iter().for_each(|item| out.push_str(&format!("- {item}\n")));
        }
        if !member.evidence.is_empty() {
            out.push_str("\nLast log lines:\n");
            member.evidence.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
        }
        if let Some(runbook) = &member.runbook {
            out.push_str(&format!("\nRunbook: {runbook}\n"));
        }
    }
    if wording.hidden > 0 {
        out.push_str(&format!("\n{} more alerts are not shown here.\n", wording.hidden));
    }
    if let Some(page) = &wording.status_page {
        out.push_str(&format!("\nStatus page: {page}\n"));
    }
    out
}

fn html(wording: &Wording) -> String {
    let mut out = format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body style=\"font-family:sans-serif\">\
         <h2 style=\"border-left:6px solid {colour};padding-left:8px\">{title}</h2>",
        title = escape(&wording.headline),
        colour = colour(wording),
    );
    for note in &wording.notes {
        out.push_str(&format!("<p><strong>{}</strong></p>", escape(note)));
    }
    wording.members.iter().for_each(|member| add_member(&mut out, member));
    if wording.hidden > 0 {
        out.push_str(&format!("<p>{} more alerts are not shown here.</p>", wording.hidden));
    }
    if let Some(page) = &wording.status_page {
        out.push_str(&format!("<p>{}</p>", link(page, "Status page")));
    }
    out.push_str("</body></html>");
    out
}

fn add_member(out: &mut String, member: &Member) {
    out.push_str(&format!("<hr><h3>{}</h3><p>{}</p>", escape(&member.title), escape(&member.summary)));
    if !member.description.is_empty() {
        out.push_str(&format!("<p>{}</p>", escape(&member.description)));
    }
    out.push_str("<table>");
    for (name, value) in &member.facts {
        out.push_str(&format!(
            "<tr><td><strong>{}</strong></td><td>{}</td></tr>",
            escape(name),
            escape(value)
        ));
    }
    out.push_str("</table>");
    for (heading, items) in &member.lists {
        out.push_str(&format!("<p><strong>{}</strong></p><ul>", escape(heading)));
        items.iter().for_each(|item| out.push_str(&format!("<li>{}</li>", escape(item))));
        out.push_str("</ul>");
    }
    if !member.evidence.is_empty() {
        let lines = escape(&member.evidence.join("\n"));
        out.push_str(&format!("<p><strong>Last log lines</strong></p><pre>{lines}</pre>"));
    }
    if let Some(runbook) = &member.runbook {
        out.push_str(&format!("<p>{}</p>", link(runbook, "Runbook")));
    }
}

fn colour(wording: &Wording) -> &'static str {
    match wording.severity {
        _ if !wording.is_firing => "#2eb67d",
        Severity::Critical => "#d50200",
        Severity::Warning => "#de9e31",
        Severity::Info => "#439fe0",
    }
}

fn link(address: &str, text: &str) -> String {
    format!("<a href=\"{}\">{text}</a>", escape(address))
}
