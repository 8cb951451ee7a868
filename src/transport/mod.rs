//! Sends rendered requests: HTTP, SMTP, and lines on standard error.
//!
//! It adds what an [`Outgoing`] must not hold (URL, credentials, signature)
//! and hands back what the receiver answered; what that means and when to try
//! again is decided elsewhere.
//!
//! Failure story: an attempt ends within the receiver's timeout, whatever the
//! other side does (no answer, an endless answer, a reset). Once a status or
//! the final SMTP reply has come, it is the answer, even if what follows it
//! fails: else a delivered request would be sent again. Nothing is retried
//! here, and no connection is kept, so an attempt never meets a connection
//! that died since the last one. What comes back in texts is masked: webhook
//! URLs are secrets, and servers like to repeat what they were sent.

pub mod ask;
mod http;
mod mask;
mod smtp;

use std::io::Write;
use std::path::PathBuf;

use thiserror::Error;

use crate::config::plan::{ReceiverKind, ReceiverPlan};
use crate::model::{Outgoing, OutgoingBody, Secret};

pub use http::{HttpSender, ping};
pub use smtp::MailSender;

/// Where Alertmanager takes alerts, below its address.
const ALERTS: &str = "/api/v2/alerts";

/// Why a receiver cannot be reached as configured. Never shows a secret.
#[derive(Debug, Error)]
pub enum Error {
    /// Not an `http` or `https` URL.
    #[error("the URL is not one that begins with http:// or https://")]
    Url,
    /// Not a URL of a proxy.
    #[error("the proxy is not a valid URL")]
    Proxy,
    /// A header that HTTP does not allow.
    #[error("header {name:?} is not a valid HTTP header")]
    Header {
        /// Its name as configured.
        name: String,
    },
    /// The CA file cannot be read.
    #[error("the CA file {} cannot be read", path.display())]
    CaRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("the CA file {} holds no usable certificate in PEM", path.display())]
    CaContent {
        /// The file.
        path: PathBuf,
    },
    /// Not a mail address.
    #[error("{address:?} is not a mail address")]
    Address {
        /// As configured.
        address: String,
    },
    /// TLS or the client could not be set up.
    #[error("the client cannot be set up: {why}")]
    Setup {
        /// Why.
        why: String,
    },
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered.
    Status {
        /// HTTP status or SMTP reply code.
        code: u16,
        /// `Retry-After` as sent.
        retry_after: Option<String>,
        /// The beginning of its text, masked, one line.
        excerpt: String,
    },
    /// No answer: connection, TLS or time. Worth another try.
    Failed {
        /// Why, masked.
        why: String,
    },
    /// The request cannot be sent by this receiver at all, such as a mail
    /// stored before the receiver became a webhook. No attempt will help.
    Unsendable {
        /// Why.
        why: String,
    },
}

/// Sends to one receiver. Cheap to keep, safe to use from several tasks.
pub struct Sender(Kind);

enum Kind {
    Console,
    Http(HttpSender),
    Mail(MailSender),
}

impl Sender {
    /// Prepares the way to a receiver; reads its CA file, opens nothing.
    pub fn new(plan: &ReceiverPlan) -> Result<Sender, Error> {
        Ok(Sender(match &plan.kind {
            ReceiverKind::Console => Kind::Console,
            ReceiverKind::Webhook { url, secret, headers, http } => {
                Kind::Http(HttpSender::new(url, headers, secret.clone(), http, plan.timeout)?)
            }
            ReceiverKind::Slack { url, http } => {
                Kind::Http(HttpSender::new(url, &[], None, http, plan.timeout)?)
            }
            ReceiverKind::Telegram(telegram) => {
                let api = telegram.api.expose().trim_end_matches('/');
                let url = Secret::new(format!("{api}/bot{}/sendMessage", telegram.token.expose()));
                Kind::Http(HttpSender::new(&url, &[], None, &telegram.http, plan.timeout)?)
            }
            ReceiverKind::Alertmanager(manager) => {
                let url = manager.urls.first().ok_or(Error::Url)?;
                let base = url.expose().trim_end_matches('/').trim_end_matches(ALERTS);
                let url = Secret::new(format!("{base}{ALERTS}"));
                Kind::Http(HttpSender::new(&url, &manager.headers, None, &manager.http, plan.timeout)?)
            }
            ReceiverKind::PagerDuty(duty) => {
                let http = HttpSender::new(&duty.url, &[], None, &duty.http, plan.timeout)?;
                Kind::Http(http.with_field("routing_key", duty.routing_key.clone()))
            }
            ReceiverKind::Email(mail) => Kind::Mail(MailSender::new(mail, plan.timeout)?),
        }))
    }

    /// One attempt. `now_unix` is the attempt's time in seconds, for the
    /// signature and a mail's date.
    pub async fn send(&self, outgoing: &Outgoing, now_unix: i64) -> Answer {
        match (&self.0, &outgoing.body) {
            (Kind::Console, OutgoingBody::Http { body, .. }) => console(body),
            (Kind::Http(http), OutgoingBody::Http { content_type, headers, body }) => {
                http.post(content_type, headers, body, now_unix).await
            }
            (Kind::Mail(mail), OutgoingBody::Mail { .. }) => mail.send(&outgoing.body, now_unix).await,
            _ => Answer::Unsendable { why: "it was rendered for another kind of receiver".to_owned() },
        }
    }
}

fn console(line: &str) -> Answer {
    match writeln!(std::io::stderr().lock(), "{line}") {
        Ok(()) => Answer::Status { code: 200, retry_after: None, excerpt: String::new() },
        Err(error) => Answer::Failed { why: format!("standard error: {error}") },
    }
}

/// Reads a private CA's PEM file.
fn read_ca(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::CaRead { path: path.to_owned(), source })
}

/// An error and its causes in one line, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        cause = inner.source();
    }
    out
}
