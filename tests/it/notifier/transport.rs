//! The HTTP sender against servers on the loopback that answer well, badly or
//! not at all, in the clear and by TLS with a private CA.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tocsin::config::plan::{HttpOptions, ReceiverKind, ReceiverPlan};
use tocsin::model::{Outgoing, OutgoingBody, Secret};
use tocsin::transport::{Answer, Error, Sender, ping};

const PATH: &str = "/services/T0001/B0002/sEcReTsEcReT";

/// Answers one connection with `reply` and gives back the request it got.
fn serve(reply: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
    serve_by(move |mut stream| {
        let request = read_request(&mut stream);
        // A peer that hangs up early is part of some tests.
        let _ = stream.write_all(reply);
        request
    })
}

pub fn serve_by(
    handle: impl FnOnce(TcpStream) -> String + Send + 'static,
) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        handle(stream)
    });
    (address, server)
}

pub fn read_request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |value| value.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer).unwrap_or(0) {
            0 => return text,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
}

fn plan(address: SocketAddr) -> ReceiverPlan {
    webhook(&format!("http://{address}{PATH}"), HttpOptions::default())
}

fn webhook(url: &str, http: HttpOptions) -> ReceiverPlan {
    let kind = ReceiverKind::Webhook {
        url: Secret::new(url),
        secret: Some(Secret::new("shared key")),
        headers: vec![("X-Team".to_owned(), Secret::new("ops-team-key"))],
        http,
    };
    ReceiverPlan { name: "ops".to_owned(), kind, timeout: Duration::from_secs(20) }
}

fn outgoing() -> Outgoing {
    Outgoing {
        id: "n-1".to_owned(),
        receiver: "ops".to_owned(),
        thread: "t".to_owned(),
        body: OutgoingBody::Http {
            content_type: "application/json".to_owned(),
            headers: vec![("Idempotency-Key".to_owned(), "n-1".to_owned())],
            body: "{\"a\":\"ä\"}".to_owned(),
        },
        end: None,
    }
}

async fn send(plan: &ReceiverPlan) -> Answer {
    Sender::new(plan).unwrap().send(&outgoing(), 1_700_000_000).await
}

fn status(code: u16, retry_after: Option<&str>, excerpt: &str) -> Answer {
    Answer::Status { code, retry_after: retry_after.map(str::to_owned), excerpt: excerpt.to_owned() }
}

fn failure(answer: Answer) -> String {
    match answer {
        Answer::Failed { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_carries_key_signature_and_configured_headers() {
    let (address, server) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(send(&plan(address)).await, status(200, None, "ok"));
    let request = server.join().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{head}");
    assert_eq!(header(head, "idempotency-key").as_deref(), Some("n-1"));
    assert_eq!(header(head, "content-type").as_deref(), Some("application/json"));
    assert_eq!(header(head, "x-team").as_deref(), Some("ops-team-key"));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"shared key").unwrap();
    mac.update(format!("1700000000.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header(head, "x-tocsin-signature"), Some(format!("t=1700000000,v1={hex}")));
    assert_eq!(body, "{\"a\":\"ä\"}");
}

#[tokio::test]
async fn refusals_come_back_with_their_words() {
    for (reply, expected) in [
        (
            &b"HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 12\r\n\r\nrate_limited"[..],
            status(429, Some("30"), "rate_limited"),
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\na\r\nb", status(500, None, "a b")),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nno_service", status(404, None, "no_service")),
    ] {
        let (address, server) = serve(reply);
        assert_eq!(send(&plan(address)).await, expected);
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let reply = format!(
        "HTTP/1.1 307 Temporary\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        trap.local_addr().unwrap()
    );
    let (address, server) = serve(reply.leak().as_bytes());
    assert_eq!(send(&plan(address)).await, status(307, None, ""));
    server.join().unwrap();
    assert!(trap.accept().is_err(), "somebody followed the redirect");
}

#[tokio::test]
async fn a_server_that_hangs_ends_at_the_time_limit() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let (address, server) = serve_by(move |stream| {
        // Holds the connection until the test has its answer.
        let _ = receiver.recv_timeout(Duration::from_secs(20));
        drop(stream);
        String::new()
    });
    let mut plan = plan(address);
    plan.timeout = Duration::from_millis(300);
    let began = Instant::now();
    assert_eq!(failure(send(&plan).await), "no answer within 0.3s");
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(sender);
    server.join().unwrap();
}

#[tokio::test]
async fn a_body_that_hangs_or_breaks_off_leaves_the_status() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let (address, server) = serve_by(move |mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").unwrap();
        let _ = receiver.recv_timeout(Duration::from_secs(20));
        request
    });
    let mut slow = plan(address);
    slow.timeout = Duration::from_millis(500);
    assert_eq!(send(&slow).await, status(200, None, "part"));
    drop(sender);
    server.join().unwrap();

    let (address, server) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    assert_eq!(send(&plan(address)).await, status(200, None, "part"));
    server.join().unwrap();
}

// A second thread closes the connection while this one waits for the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_an_endless_answer_little_is_read() {
    let (address, server) = serve_by(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", "x y ".repeat(1024));
        let mut sent = 0;
        while stream.write_all(chunk.as_bytes()).is_ok() && sent < 1 << 30 {
            sent += chunk.len();
        }
        sent.to_string()
    });
    let Answer::Status { code, excerpt, .. } = send(&plan(address)).await else { panic!() };
    assert_eq!(code, 503);
    assert!(excerpt.starts_with("x y x y") && excerpt.len() <= 300);
    let sent: usize = server.join().unwrap().parse().unwrap();
    assert!(sent < 1 << 29, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_reset_and_a_closed_port_are_failures_that_do_not_show_the_url() {
    let (address, server) = serve_by(|stream| {
        drop(stream);
        String::new()
    });
    let reset = failure(send(&plan(address)).await);
    server.join().unwrap();
    let closed = failure(send(&plan(address)).await);
    for why in [&reset, &closed] {
        assert!(!why.is_empty() && !why.contains("sEcReT") && !why.contains("/services"), "{why}");
    }
    assert!(closed.contains("refused"), "{closed}");
}

#[tokio::test]
async fn an_answer_that_repeats_secrets_is_masked() {
    let (address, server) = serve(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 88\r\n\r\n\
          no /services/T0001/B0002/sEcReTsEcReT for ops-team-key, signed by shared key or sEcReTsEc",
    );
    let Answer::Status { excerpt, .. } = send(&plan(address)).await else { panic!() };
    server.join().unwrap();
    for secret in ["sEcReTsEcReT", "ops-team-key", "shared key", "B0002/"] {
        assert!(!excerpt.contains(secret), "{excerpt}");
    }
}

#[tokio::test]
async fn the_configured_proxy_is_used_and_no_other() {
    let (address, server) = serve(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    let http = HttpOptions { proxy: Some(Secret::new(format!("http://{address}"))), ca_file: None };
    assert_eq!(send(&webhook("http://receiver.invalid/hook", http)).await, status(202, None, ""));
    let request = server.join().unwrap();
    assert!(request.starts_with("POST http://receiver.invalid/hook HTTP/1.1\r\n"), "{request}");
}

// Runs a test of this file once more, in a process whose environment names a
// proxy that does not exist.
#[test]
fn a_proxy_of_the_environment_is_not_consulted() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "notifier::transport::a_request_carries_key_signature_and_configured_headers"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        again.env(name, "http://127.0.0.1:1");
    }
    let output = again.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn the_heartbeat_gets_or_posts_for_a_status() {
    let options = HttpOptions::default();
    let span = Duration::from_secs(20);
    let (address, server) = serve(b"HTTP/1.1 204 No Content\r\n\r\n");
    let url = Secret::new(format!("http://{address}/ping/uuid"));
    assert_eq!(ping(&url, None, &options, span).await, Ok(204));
    assert!(server.join().unwrap().starts_with("GET /ping/uuid HTTP/1.1\r\n"));
    let why = ping(&url, None, &options, span).await.unwrap_err();
    assert!(!why.contains("/ping"), "{why}");
    let (address, server) = serve(b"HTTP/1.1 200 OK\r\n\r\n");
    let url = Secret::new(format!("http://{address}/ping/uuid"));
    assert_eq!(ping(&url, Some("{\"well\":true}"), &options, span).await, Ok(200));
    let posted = server.join().unwrap();
    assert!(posted.starts_with("POST /ping/uuid HTTP/1.1\r\n"), "{posted}");
    assert!(
        posted.contains("content-type: application/json") && posted.ends_with("{\"well\":true}"),
        "{posted}"
    );
}

#[tokio::test]
async fn a_mail_cannot_be_sent_by_a_webhook() {
    let mut mail = outgoing();
    mail.body = OutgoingBody::Mail {
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        message_id: "a@b".to_owned(),
        in_reply_to: None,
    };
    let sender = Sender::new(&plan("127.0.0.1:1".parse().unwrap())).unwrap();
    assert!(matches!(sender.send(&mail, 0).await, Answer::Unsendable { .. }));
}

#[test]
fn a_receiver_that_cannot_work_is_said_without_its_secrets() {
    let build = |url: &str, http| Sender::new(&webhook(url, http)).err().unwrap();
    let none = HttpOptions::default;
    assert!(matches!(build("hooks.example/sEcReT", none()), Error::Url));
    assert!(matches!(build("ftp://hooks.example/sEcReT", none()), Error::Url));
    let ca = |path: &Path| HttpOptions { proxy: None, ca_file: Some(path.to_owned()) };
    assert!(matches!(build("https://h.example/", ca(Path::new("/nonexistent"))), Error::CaRead { .. }));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(build("https://h.example/", ca(empty.path())), Error::CaContent { .. }));
    let proxy = HttpOptions { proxy: Some(Secret::new("http://[::1")), ca_file: None };
    assert!(matches!(build("http://h.example/", proxy), Error::Proxy));
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_configured_and_only_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(ca) = certificates(folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "openssl is needed");
        eprintln!("skipped: no openssl here");
        return;
    };
    let http = HttpOptions { proxy: None, ca_file: Some(ca) };
    let (address, server) = serve_tls(folder.path());
    let url = format!("https://localhost:{}{PATH}", address.port());
    assert_eq!(send(&webhook(&url, http)).await, status(200, None, "ok"));
    assert!(server.join().unwrap().starts_with(&format!("POST {PATH}")));

    let (address, server) = serve_tls(folder.path());
    let url = format!("https://localhost:{}{PATH}", address.port());
    let why = failure(send(&webhook(&url, HttpOptions::default())).await);
    assert!(why.contains("certificate") && !why.contains("sEcReT"), "{why}");
    assert_eq!(server.join().unwrap(), "");
}

fn serve_tls(folder: &Path) -> (SocketAddr, JoinHandle<String>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain =
        CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    serve_by(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let request = read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = stream.flush();
        request
    })
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
