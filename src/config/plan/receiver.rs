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
}

impl ReceiverKind {
    /// As written in `type`.
    pub fn as_str(&self) -> &'static str {
        match self {
            ReceiverKind::Console => "console",
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Slack { .. } => "slack",
            ReceiverKind::Email(_) => "email",
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
