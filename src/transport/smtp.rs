//! One mail an attempt, within a time limit.
//!
//! It drives lettre's connection by single commands instead of its transport,
//! for two reasons. One refused recipient must not keep the mail from the
//! others: it is sent as soon as one of them is accepted. And the reply to the
//! message is the answer; a server that hangs at QUIT must not turn a
//! delivered mail into a failure, which would send it again.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;

use crate::config::plan::{EmailPlan, MailTls};
use crate::model::OutgoingBody;

use super::mask::Mask;
use super::{Answer, Error, chain, read_ca};

/// A polite end is worth so much waiting.
const QUIT_TIME_MAX: Duration = Duration::from_secs(1);

/// Sends to the recipients of one receiver.
pub struct MailSender {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
    mask: Mask,
}

enum Encryption {
    None,
    FromTheStart(TlsParameters),
    StartTls(TlsParameters),
}

impl MailSender {
    /// Checks addresses and reads the CA file.
    pub fn new(plan: &EmailPlan, timeout: Duration) -> Result<MailSender, Error> {
        let encryption = match plan.tls {
            MailTls::None => Encryption::None,
            MailTls::Tls => Encryption::FromTheStart(tls(plan)?),
            MailTls::StartTls => Encryption::StartTls(tls(plan)?),
        };
        let credentials = plan.username.as_ref().map(|username| {
            let password = plan.password.as_ref().map_or("", |password| password.expose());
            Credentials::new(username.clone(), password.to_owned())
        });
        let to: Vec<Mailbox> = plan.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Err(Error::Address { address: String::new() });
        }
        Ok(MailSender {
            host: plan.host.clone(),
            port: plan.port,
            encryption,
            credentials,
            from: mailbox(&plan.from)?,
            to,
            timeout,
            mask: Mask::new(plan.password.iter().map(|password| password.expose().to_owned())),
        })
    }

    /// One attempt. A body that is no mail cannot be sent.
    pub async fn send(&self, body: &OutgoingBody, now_unix: i64) -> Answer {
        let message = match self.message(body, now_unix) {
            Ok(message) => message,
            Err(why) => return Answer::Unsendable { why: self.mask.line(&why) },
        };
        let (envelope, bytes) = (message.envelope(), message.formatted());
        match tokio::time::timeout(self.timeout, self.exchange(envelope, &bytes)).await {
            Ok(Ok((mut connection, answer))) => {
                let _ = tokio::time::timeout(QUIT_TIME_MAX, connection.abort()).await;
                answer
            }
            Ok(Err(error)) => self.answer(&error),
            Err(_) => Answer::Failed {
                why: format!("no answer within {}", crate::model::time::human(self.timeout)),
            },
        }
    }

    fn message(&self, body: &OutgoingBody, now_unix: i64) -> Result<Message, String> {
        let OutgoingBody::Mail { subject, text, html, message_id, in_reply_to } = body else {
            return Err("it is no mail".to_owned());
        };
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now_unix).unwrap_or(0));
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(subject.clone())
            .date(date)
            .message_id(Some(format!("<{message_id}>")))
            .header(AutoSubmitted);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if let Some(id) = in_reply_to {
            builder = builder.in_reply_to(format!("<{id}>")).references(format!("<{id}>"));
        }
        let parts = MultiPart::alternative_plain_html(text.clone(), html.clone());
        builder.multipart(parts).map_err(|error| chain(&error))
    }

    async fn exchange(
        &self,
        envelope: &Envelope,
        bytes: &[u8],
    ) -> Result<(AsyncSmtpConnection, Answer), SmtpError> {
        let mut connection = self.connect().await?;
        let mut options = Vec::new();
        let is_ascii =
            envelope.to().iter().chain(envelope.from()).all(|a| AsRef::<str>::as_ref(a).is_ascii());
        if !is_ascii && connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            options.push(MailParameter::SmtpUtfEight);
        }
        connection.command(Mail::new(envelope.from().cloned(), options)).await?;
        let mut refusals = Vec::new();
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => refusals.push(error),
                Err(error) => return Err(error),
            }
        }
        if refusals.len() == envelope.to().len() {
            // Any that may be accepted later makes the mail worth another try.
            refusals.sort_by_key(SmtpError::is_permanent);
            if let Some(error) = refusals.first() {
                let answer = self.answer(error);
                return Ok((connection, answer));
            }
        }
        connection.command(Data).await?;
        let response = connection.message(bytes).await?;
        let answer = self.accepted(&response, refusals.first(), refusals.len(), envelope.to().len());
        Ok((connection, answer))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let hello = ClientId::default();
        let address = (self.host.as_str(), self.port);
        let tls = match &self.encryption {
            Encryption::FromTheStart(tls) => Some(tls.clone()),
            Encryption::None | Encryption::StartTls(_) => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &hello, tls, None).await?;
        if let Encryption::StartTls(tls) = &self.encryption {
            // Fails where the server does not offer it: never in the clear.
            connection.starttls(tls.clone(), &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn accepted(
        &self,
        response: &Response,
        refusal: Option<&SmtpError>,
        refused: usize,
        of: usize,
    ) -> Answer {
        let mut excerpt = self.mask.line(response.first_line().unwrap_or_default());
        if let Some(error) = refusal {
            let why = self.mask.line(&chain(error));
            excerpt = format!("{refused} of {of} recipients refused ({why}); {excerpt}");
        }
        Answer::Status { code: u16::from(response.code()), retry_after: None, excerpt }
    }

    fn answer(&self, error: &SmtpError) -> Answer {
        let text = self.mask.line(&chain(error));
        match error.status() {
            Some(code) => Answer::Status { code: u16::from(code), retry_after: None, excerpt: text },
            None => Answer::Failed { why: text },
        }
    }
}

fn tls(plan: &EmailPlan) -> Result<TlsParameters, Error> {
    let mut builder = TlsParameters::builder(plan.host.clone());
    if let Some(path) = &plan.ca_file {
        let pem = read_ca(path)?;
        let has_one = String::from_utf8_lossy(&pem).contains("BEGIN CERTIFICATE");
        let content = || Error::CaContent { path: path.clone() };
        let certificate = Certificate::from_pem(&pem).ok().filter(|_| has_one).ok_or_else(content)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| Error::Setup { why: chain(&error) })
}

fn mailbox(address: &str) -> Result<Mailbox, Error> {
    address.parse().map_err(|_| Error::Address { address: address.to_owned() })
}

/// RFC 3834: no vacation notice answers a machine.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
