//! What is to be told, and the rendered request that tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::{Annotations, Severity};
use super::time::Time;

/// The intent to tell one receiver of one group of alerts. Decided by the
/// engine, rendered by a notifier, stored in the same commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Stable and unique: the idempotency key of every attempt.
    pub id: String,
    /// Name of the receiver.
    pub receiver: String,
    /// The way down the tree of routes to the group, as Alertmanager writes
    /// it: `{}/{severity="critical"}`.
    pub route: String,
    /// The labels the group shares, such as `alertname`.
    pub group_labels: BTreeMap<String, String>,
    /// True while any member fires.
    pub is_firing: bool,
    /// Number of the notification within its group incident, from 1; mail
    /// threads by it.
    pub sequence: u64,
    /// Stable over all notifications of one group incident; mail threads
    /// and order hang on it.
    pub thread: String,
    /// When it was decided (wall time).
    pub decided_at: Time,
    /// All of it began and ended before this could be told.
    pub is_past: bool,
    /// A test by hand, marked as such in every text.
    pub is_test: bool,
    /// Firing members first, in order of their start.
    pub alerts: Vec<AlertNotice>,
}

/// One alert within a notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertNotice {
    /// The rule's name.
    pub alert: String,
    /// Number of its incident.
    pub incident: u64,
    /// True while it fires.
    pub is_firing: bool,
    /// Severity now, or the highest reached.
    pub severity: Severity,
    /// Without `alertname` and `severity`.
    pub labels: BTreeMap<String, String>,
    /// Redacted texts: `summary`, `description`, `evidence`, `causes`, …
    pub annotations: Annotations,
    /// Wall time of its start; kept over an escalation.
    pub starts_at: Time,
    /// Wall time of its end.
    pub ends_at: Option<Time>,
    /// The rule's value at its last change.
    pub value: f64,
}

/// A rendered request, stored in the outbox and sent unchanged on every
/// attempt. Holds no credential: the transport adds those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Idempotency key, from [`Notification::id`].
    pub id: String,
    /// Name of the receiver it goes to.
    pub receiver: String,
    /// What keeps its order: outgoings of one receiver and thread are sent
    /// one after another.
    pub thread: String,
    /// What is sent.
    pub body: OutgoingBody,
    /// Set on what ends its thread.
    pub end: Option<End>,
}

/// How the end of a thread stands to what was told before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Sent instead of the body where the beginning was not told in time;
    /// `None` where the body says it already.
    pub past: Option<OutgoingBody>,
    /// People read it: late, it is told instead of what is undelivered of its
    /// thread. Without it everything is told, one after another.
    pub stands_alone: bool,
}

/// The content of an [`Outgoing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OutgoingBody {
    /// An HTTP POST to the receiver's URL.
    Http {
        /// `Content-Type`.
        content_type: String,
        /// Further headers, none of them secret.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// A mail.
    Mail {
        /// Subject line, one line, no control characters.
        subject: String,
        /// Plain text part.
        text: String,
        /// HTML part.
        html: String,
        /// `Message-ID` without angle brackets.
        message_id: String,
        /// `In-Reply-To` and `References`, without angle brackets.
        in_reply_to: Option<String>,
    },
}
