//! Mail through a real SMTP server, aiosmtpd: in the clear and by STARTTLS
//! with a private CA, with a login, with refused recipients, and threads that
//! hold together.

mod alertmanager;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tocsin::config::plan::{EmailPlan, MailTls, NotifyPlan, ReceiverKind, ReceiverPlan};
use tocsin::config::redact::Redactor;
use tocsin::model::{AlertNotice, Notification, Secret, Severity, Time};
use tocsin::notifier::{Verdict, classify, render};
use tocsin::transport::{Answer, Sender};

/// Prints its port, then each mail as a line of JSON; refuses recipients by
/// their names; wants `tocsin`/`correct horse` where a login is made.
const SERVER: &str = r#"
import email, email.policy, json, ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('gone'):
            return '550 5.1.1 no such user'
        if address.startswith('full'):
            return '452 4.2.2 mailbox full'
        envelope.rcpt_tos.append(address)
        return '250 OK'

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {p.get_content_type(): p.get_content() for p in mail.walk() if not p.is_multipart()}
        print(json.dumps({'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'tls': session.ssl is not None,
            'login': bool(session.authenticated), 'type': mail.get_content_type(), 'parts': parts,
            'headers': {k.lower(): str(v) for k, v in mail.items()}}), flush=True)
        return '250 2.0.0 queued as 42'

def login(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b'tocsin', b'correct horse'), handled=False)

mode, folder = sys.argv[1], sys.argv[2]
options = {'authenticator': login, 'auth_require_tls': mode == 'starttls'}
if mode == 'starttls':
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + '/server.pem', folder + '/server.key')
    options.update(tls_context=context, require_starttls=True)
import asyncio
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname='mail.test', **options), '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"#;

pub struct MailServer {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub port: u16,
}

impl MailServer {
    pub fn start(mode: &str, folder: &Path) -> Option<MailServer> {
        let python = Path::new("/usr/bin/python3");
        let has_it = python.exists()
            && Command::new(python)
                .args(["-c", "import aiosmtpd"])
                .stderr(Stdio::null())
                .status()
                .ok()?
                .success();
        if !has_it {
            return None;
        }
        let mut child = Command::new(python)
            .args(["-c", SERVER, mode])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stdout.take()?);
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let port = line.trim().parse().ok()?;
        Some(MailServer { child, lines, port })
    }

    /// The next mail it took; the server prints it before it answers, so
    /// after an accepted mail this does not wait.
    pub fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it and gives what it printed that nobody read.
    fn rest(mut self) -> String {
        self.child.kill().unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

fn plan(port: u16, tls: MailTls, to: &[&str]) -> EmailPlan {
    EmailPlan {
        host: "localhost".to_owned(),
        port,
        tls,
        username: None,
        password: None,
        from: "Tocsin <tocsin@example.org>".to_owned(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        ca_file: None,
    }
}

fn receiver(plan: EmailPlan) -> ReceiverPlan {
    ReceiverPlan {
        name: "mail".to_owned(),
        kind: ReceiverKind::Email(Box::new(plan)),
        timeout: Duration::from_secs(20),
    }
}

fn notification(sequence: u64, is_firing: bool) -> Notification {
    let texts =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Notification {
        id: format!("n-{sequence}"),
        receiver: "mail".to_owned(),
        route: "{}".to_owned(),
        group_labels: texts(&[("alertname", "ExchangeAuthFailing")]),
        is_firing,
        sequence,
        thread: "ExchangeAuthFailing/7".to_owned(),
        decided_at: Time::from_secs(1_773_479_561),
        is_past: false,
        is_test: false,
        alerts: vec![AlertNotice {
            alert: "ExchangeAuthFailing".to_owned(),
            incident: 7,
            is_firing,
            severity: Severity::Critical,
            labels: texts(&[("method", "private/user-balance")]),
            annotations: texts(&[
                ("summary", "Refused – <b>ü</b>\r\nBcc: victim@example.org"),
                ("evidence", "response_status=401\n.\nMAIL FROM:<x@y>"),
            ]),
            starts_at: Time::from_secs(1_773_479_561),
            ends_at: (!is_firing).then(|| Time::from_secs(1_773_480_282)),
            value: 3.0,
        }],
    }
}

async fn send(receiver: &ReceiverPlan, sequence: u64, is_firing: bool) -> Answer {
    let outgoing =
        render(&notification(sequence, is_firing), receiver, &NotifyPlan::default(), &Redactor::default());
    Sender::new(receiver).unwrap().send(&outgoing, 1_773_479_600).await
}

fn code(answer: &Answer) -> u16 {
    match answer {
        Answer::Status { code, .. } => *code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_mail_of_an_end_stands_under_that_of_its_beginning() {
    let Some(mut server) = MailServer::start("plain", Path::new("/")) else { return skip("no aiosmtpd") };
    let receiver = receiver(plan(server.port, MailTls::None, &["a@example.org", "B <b@example.org>"]));
    assert_eq!(code(&send(&receiver, 1, true).await), 250);
    let first = server.mail();
    assert_eq!(code(&send(&receiver, 2, false).await), 250);
    let second = server.mail();
    assert_eq!(first["from"], "tocsin@example.org");
    assert_eq!(first["to"], serde_json::json!(["a@example.org", "b@example.org"]));
    assert_eq!(first["type"], "multipart/alternative");
    assert_eq!(first["headers"]["auto-submitted"], "auto-generated");
    assert_eq!(first["headers"]["bcc"], Value::Null);
    assert_eq!(
        first["headers"]["subject"],
        "[FIRING] ExchangeAuthFailing: Refused – <b>ü</b> Bcc: victim@example.org"
    );
    assert_eq!(first["headers"]["date"], "Sat, 14 Mar 2026 09:13:20 +0000");
    let text = first["parts"]["text/plain"].as_str().unwrap();
    assert!(text.contains("method: private/user-balance") && text.contains("    ."), "{text}");
    let html = first["parts"]["text/html"].as_str().unwrap();
    assert!(html.contains("&lt;b&gt;ü&lt;/b&gt;") && !html.contains("<b>"), "{html}");
    assert_eq!(first["headers"]["in-reply-to"], Value::Null);
    assert!(second["headers"]["subject"].as_str().unwrap().starts_with("[RESOLVED] "));
    assert_eq!(second["headers"]["in-reply-to"], first["headers"]["message-id"]);
    assert_eq!(second["headers"]["references"], first["headers"]["message-id"]);
    assert_ne!(second["headers"]["message-id"], first["headers"]["message-id"]);
}

#[tokio::test]
async fn one_refused_recipient_does_not_silence_the_others() {
    let Some(mut server) = MailServer::start("plain", Path::new("/")) else { return skip("no aiosmtpd") };
    let to = |to: &[&str]| receiver(plan(server.port, MailTls::None, to));
    let (some, none, late) = (
        to(&["gone@example.org", "b@example.org"]),
        to(&["gone@example.org"]),
        to(&["gone@example.org", "full@example.org"]),
    );
    let Answer::Status { code: 250, excerpt, .. } = send(&some, 1, true).await else { panic!() };
    assert!(excerpt.contains("1 of 2 recipients refused") && excerpt.contains("no such user"), "{excerpt}");
    assert_eq!(server.mail()["to"], serde_json::json!(["b@example.org"]));
    assert_eq!(code(&send(&none, 1, true).await), 550);
    let answer = send(&late, 1, true).await;
    let verdict = classify(&late.kind, code(&answer), None, "", Time(0));
    assert!(matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
    assert_eq!(server.rest(), "");
}

#[tokio::test]
async fn starttls_with_a_private_ca_and_a_login_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(ca) = certificates(folder.path()) else { return skip("no openssl") };
    let Some(mut server) = MailServer::start("starttls", folder.path()) else { return skip("no aiosmtpd") };
    let with = |password: &str, ca_file: Option<PathBuf>| {
        let mut plan = plan(server.port, MailTls::StartTls, &["a@example.org"]);
        plan.username = Some("tocsin".to_owned());
        plan.password = Some(Secret::new(password));
        plan.ca_file = ca_file;
        receiver(plan)
    };
    let (right, wrong, untrusted) =
        (with("correct horse", Some(ca.clone())), with("wrong horse", Some(ca)), with("correct horse", None));
    assert_eq!(code(&send(&right, 1, true).await), 250);
    let mail = server.mail();
    assert_eq!((&mail["tls"], &mail["login"]), (&Value::Bool(true), &Value::Bool(true)));
    let refused = send(&wrong, 1, true).await;
    assert_eq!(code(&refused), 535);
    assert!(!format!("{refused:?}").contains("wrong horse"));
    let Answer::Failed { why } = send(&untrusted, 1, true).await else { panic!() };
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(server.rest(), "");
}

#[tokio::test]
async fn starttls_is_never_given_up_for_a_server_without_it() {
    let Some(server) = MailServer::start("plain", Path::new("/")) else { return skip("no aiosmtpd") };
    let receiver = receiver(plan(server.port, MailTls::StartTls, &["a@example.org"]));
    let Answer::Failed { why } = send(&receiver, 1, true).await else { panic!() };
    assert!(why.contains("STARTTLS"), "{why}");
    assert_eq!(server.rest(), "");
}

#[tokio::test]
async fn a_mail_server_that_never_greets_ends_at_the_time_limit() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut receiver =
        receiver(plan(listener.local_addr().unwrap().port(), MailTls::None, &["a@example.org"]));
    receiver.timeout = Duration::from_millis(300);
    let answer = send(&receiver, 1, true).await;
    assert!(matches!(&answer, Answer::Failed { why } if why.contains("no answer within")), "{answer:?}");
    let held: Option<TcpStream> = listener.accept().ok().map(|(stream, _)| stream);
    assert!(held.is_some());
}

/// Makes a CA and a certificate for `localhost`; gives the CA's file.
fn certificates(folder: &Path) -> Option<PathBuf> {
    let script = r#"set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
            -days 2 -subj "/CN=Test CA" -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj "/CN=localhost"
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' > ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem"#;
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().ok()?;
    output.status.success().then(|| folder.join("ca.pem"))
}
