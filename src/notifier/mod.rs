//! Words a notification for one kind of receiver and classifies its answer.
//!
//! Pure: a notification and a plan in, an [`Outgoing`] out. The text is made
//! once, in the commit that decides it, and sent unchanged on every attempt,
//! so nothing here may depend on the time of sending. An end is rendered
//! twice in that commit, also for a receiver that has not been told of the
//! beginning; the outbox settles at the first attempt which of the two it is.
//! No credential enters an `Outgoing`; the transport adds URL, headers and
//! signature.
//!
//! Every text passes [`words`], which redacts and cuts it, before a kind's
//! file escapes it for its own format. A kind's file that reads a text of the
//! notification by itself is a leak.

mod alertmanager;
mod console;
mod email;
mod fingerprint;
mod pagerduty;
mod slack;
mod telegram;
mod verdict;
mod webhook;
mod words;

use crate::config::plan::{NotifyPlan, ReceiverKind, ReceiverPlan};
use crate::config::redact::Redactor;
use crate::model::{End, Notification, Outgoing, OutgoingBody};

pub use alertmanager::{Resent, resend};
pub use fingerprint::fingerprint;
pub use verdict::{Verdict, classify, next_attempt};

use words::Wording;

/// The request that tells `receiver` of `notification`. The same input gives
/// the same bytes. A console line is an `Http` body of type `text/plain`.
pub fn render(
    notification: &Notification,
    receiver: &ReceiverPlan,
    notify: &NotifyPlan,
    redactor: &Redactor,
) -> Outgoing {
    let body = |notification: &Notification| {
        let wording = Wording::of(notification, notify, redactor);
        match &receiver.kind {
            ReceiverKind::Console => console::body(&wording, notification.decided_at),
            ReceiverKind::Webhook { .. } => webhook::body(notification, &receiver.name, notify, redactor),
            ReceiverKind::Slack { .. } => slack::body(&wording),
            ReceiverKind::Email(plan) => email::body(&wording, notification, plan),
            ReceiverKind::Telegram(plan) => telegram::body(&wording, plan),
            ReceiverKind::Alertmanager(_) => alertmanager::body(notification, notify, redactor),
            ReceiverKind::PagerDuty(_) => pagerduty::body(&wording, notification),
        }
    };
    let past = || Notification { is_past: true, ..notification.clone() };
    let is_end = !notification.is_firing && !notification.is_test;
    Outgoing {
        id: notification.id.clone(),
        receiver: receiver.name.clone(),
        thread: notification.thread.clone(),
        body: body(notification),
        end: is_end.then(|| End {
            past: (!notification.is_past).then(|| body(&past())),
            stands_alone: !matches!(receiver.kind, ReceiverKind::Webhook { .. }),
        }),
    }
}

/// Marks an attempt of a notice whose incident is over, as its receiver will
/// be told next: its text says that it fires, and stays as it was rendered.
pub fn mark_as_over(outgoing: &mut Outgoing) {
    if let OutgoingBody::Http { headers, .. } = &mut outgoing.body {
        headers.push(past_header());
    }
}

fn past_header() -> (String, String) {
    ("X-Tocsin-Notice".to_owned(), "past".to_owned())
}

/// A JSON or text POST.
fn post(content_type: &str, headers: Vec<(String, String)>, body: String) -> OutgoingBody {
    OutgoingBody::Http { content_type: content_type.to_owned(), headers, body }
}

/// The header by which a receiver knows a repeated attempt. Anything but
/// visible ASCII is dropped, or the header could not be sent at all.
fn idempotency_key(id: &str) -> (String, String) {
    ("Idempotency-Key".to_owned(), id.chars().filter(char::is_ascii_graphic).collect())
}

/// Text between tags and in quoted attributes.
fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
