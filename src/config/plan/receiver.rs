//! Who is told, as meant.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::Secret;

/// Who is told.
#[derive(Clone, Debug)]
pub struct ReceiverPlan {
    /// Unique.
    pub name: String,
    /// How.
    pub kind: ReceiverKind,
    /// Limit of one attempt, connection included.
    pub timeout: Duration,
}

/// How a receiver is reached.
#[derive(Clone, Debug)]
pub enum ReceiverKind {
    /// A line on standard error; for trying things out.
    Console,
    /// Alertmanager's webhook format, version 4.
    Webhook {
        /// Where to POST.
        url: Secret,
        /// Key of the `X-Tocsin-Signature`.
        secret: Option<Secret>,
        /// Further headers, possibly secret.
        headers: Vec<(String, Secret)>,
        /// Proxy and private CA.
        http: HttpOptions,
    },
    /// A Slack incoming webhook.
    Slack {
        /// The webhook's URL.
        url: Secret,
        /// Proxy and private CA.
        http: HttpOptions,
    },
    /// A mail.
    Email(Box<EmailPlan>),
    /// A message by a Telegram bot.
    Telegram(Box<TelegramPlan>),
    /// Alerts for Alertmanager's API v2.
    Alertmanager(Box<AlertmanagerPlan>),
    /// An event for PagerDuty.
    PagerDuty(Box<PagerDutyPlan>),
}

impl ReceiverKind {
    /// As written in `type`.
    pub fn as_str(&self) -> &'static str {
        match self {
            ReceiverKind::Console => "console",
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Slack { .. } => "slack",
            ReceiverKind::Email(_) => "email",
            ReceiverKind::Telegram(_) => "telegram",
            ReceiverKind::Alertmanager(_) => "alertmanager",
            ReceiverKind::PagerDuty(_) => "pagerduty",
        }
    }
}

/// How HTTP goes out.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// `http://…`, `https://…`; the environment is not consulted.
    pub proxy: Option<Secret>,
    /// PEM file of a private CA, trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Options of a mail receiver.
#[derive(Clone, Debug)]
pub struct EmailPlan {
    /// Server name; also checked against its certificate.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Encryption.
    pub tls: MailTls,
    /// Login.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// From.
    pub from: String,
    /// To, one or more.
    pub to: Vec<String>,
    /// PEM file of a private CA.
    pub ca_file: Option<PathBuf>,
}

/// How a mail connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None; for a server on this host.
    None,
}

/// Options of a Telegram receiver.
#[derive(Clone, Debug)]
pub struct TelegramPlan {
    /// The Bot API without its path; `https://api.telegram.org`, or a server of one's own.
    pub api: Secret,
    /// The bot's token, a part of the URL.
    pub token: Secret,
    /// A number, or the `@name` of a channel or public group.
    pub chat_id: ChatId,
    /// A topic of a forum.
    pub thread_id: Option<i64>,
    /// Texts carry Telegram's HTML; else none at all.
    pub is_html: bool,
    /// No sound.
    pub is_silent: bool,
    /// Proxy and private CA.
    pub http: HttpOptions,
}

/// Where a Telegram message goes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum ChatId {
    /// A person (above zero), a group or a channel (below).
    Number(i64),
    /// `@name`.
    Name(String),
}

/// Options of a PagerDuty receiver.
#[derive(Clone, Debug)]
pub struct PagerDutyPlan {
    /// Where events are enqueued.
    pub url: Secret,
    /// The integration's key, a part of the body.
    pub routing_key: Secret,
    /// Proxy and private CA.
    pub http: HttpOptions,
}

/// Options of an Alertmanager receiver.
#[derive(Clone, Debug)]
pub struct AlertmanagerPlan {
    /// Of the instance, as configured; a compiled plan has one receiver for each.
    pub urls: Vec<Secret>,
    /// Further headers, possibly secret.
    pub headers: Vec<(String, Secret)>,
    /// What fires is told again so often.
    pub resend_every: Duration,
    /// Proxy and private CA.
    pub http: HttpOptions,
}
