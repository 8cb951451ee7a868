//! The window, through a real socket.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin::http::{Error, ReloadRequest, Window, bind, exposition, serve};
use tocsin::model::{
    Family, FamilyKind, Incident, IncidentView, OutboxView, Sample, Series, Severity, Snapshot, SourceView,
    Time,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{1b}[2J";

/// A window that is open.
struct Open {
    address: SocketAddr,
    publish: watch::Sender<Arc<Snapshot>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn open(snapshot: Snapshot, reload: Option<mpsc::Sender<ReloadRequest>>) -> Open {
    open_at("127.0.0.1:0", snapshot, reload).await
}

async fn open_at(address: &str, snapshot: Snapshot, reload: Option<mpsc::Sender<ReloadRequest>>) -> Open {
    let (publish, receiver) = watch::channel(Arc::new(snapshot));
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = bind(address.parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let window =
        Window { snapshot: receiver, reload, orders: None, hosts: vec!["tocsin.example".to_owned()] };
    let served = tokio::spawn(serve(listener, window, async {
        let _ = stopped.await;
    }));
    Open { address, publish, stop, served }
}

/// An answer: status, head in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Open {
    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A request that is refused early may be cut off while it is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let host = self.address;
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"))
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}

fn series(labels: &[(&str, &str)], sample: Sample) -> Series {
    Series { labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), sample }
}

fn families() -> Vec<Family> {
    let family = |name: &str, kind, series| Family {
        name: name.to_owned(),
        help: format!("What {name} says, with a \\ and\na second line."),
        kind,
        series,
    };
    vec![
        family(
            "crypto_exchange_requests_total",
            FamilyKind::Counter,
            vec![
                series(&[("method", "private/user-balance"), ("outcome", "ok")], Sample::Number(12.0)),
                series(&[("method", "a\"b\\c\nd"), ("outcome", "ok")], Sample::Number(1e15)),
            ],
        ),
        family(
            "portfolio_usd",
            FamilyKind::Gauge,
            vec![
                series(&[("of", "nan")], Sample::Number(f64::NAN)),
                series(&[("of", "up inf")], Sample::Number(f64::INFINITY)),
                series(&[("of", "down")], Sample::Number(f64::NEG_INFINITY)),
                series(&[("of", "small")], Sample::Number(-0.25)),
            ],
        ),
        family(
            "portfolio_read_duration_seconds",
            FamilyKind::Histogram,
            vec![series(&[], Sample::Histogram { buckets: vec![(0.005, 1), (1.0, 3)], sum: 4.5, count: 4 })],
        ),
        family("crypto_empty_total", FamilyKind::Counter, vec![]),
    ]
}

fn incident(name: &str, severity: Severity, ended_at: Option<Time>) -> IncidentView {
    let texts = [
        ("summary", HOSTILE),
        ("description", "three in a row"),
        ("evidence", "line <one>\nline two"),
        ("causes", "a wrong key\nan address that is not allowed"),
        ("symptoms", "PortfolioSyncStale"),
        ("runbook_url", "javascript:alert(1)"),
    ];
    IncidentView {
        incident: Incident {
            number: 7,
            alert: name.to_owned(),
            severity,
            labels: BTreeMap::from([("method".to_owned(), HOSTILE.to_owned())]),
            started_at: Time::from_secs(1_773_479_561),
            ended_at,
            end_reason: ended_at.map(|_| "cleared".to_owned()),
            value: 3.0,
            inhibited_by: None,
            annotations: texts.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
        },
        told: vec!["team-slack".to_owned()],
        silenced_by: Vec::new(),
    }
}

fn quiet() -> Snapshot {
    Snapshot {
        made_at: Time::from_secs(1_773_480_000),
        started_at: Time::from_secs(1_773_470_000),
        families: families(),
        sources: vec![SourceView {
            name: "crypto-proxy".to_owned(),
            state: "live".to_owned(),
            note: None,
            lines: 42,
            last_line_at: Some(Time::from_secs(1_773_479_999)),
            lag_seconds: 0.0,
            caught_up: 1.0,
        }],
        outbox: vec![OutboxView {
            receiver: "team-slack".to_owned(),
            pending: 2,
            oldest_at: None,
            outcomes: BTreeMap::from([("delivered".to_owned(), 5)]),
            last_error: Some(HOSTILE.to_owned()),
        }],
        is_ready: true,
        is_durable: true,
        ..Snapshot::default()
    }
}

/// Runs `promtool check metrics`; what it has to say.
fn promtool(text: &str) -> Option<String> {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        println!("promtool is not installed: its check is left out");
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool: {said}");
    Some(said)
}

#[test]
fn the_exposition_escapes_and_formats_as_prometheus_reads_it() {
    let text = exposition(&families());
    for line in [
        r#"crypto_exchange_requests_total{method="private/user-balance",outcome="ok"} 12"#,
        r#"crypto_exchange_requests_total{method="a\"b\\c\nd",outcome="ok"} 1000000000000000"#,
        r#"portfolio_usd{of="nan"} NaN"#,
        r#"portfolio_usd{of="up inf"} +Inf"#,
        r#"portfolio_usd{of="down"} -Inf"#,
        r#"portfolio_usd{of="small"} -0.25"#,
        r#"portfolio_read_duration_seconds_bucket{le="0.005"} 1"#,
        r#"portfolio_read_duration_seconds_bucket{le="1"} 3"#,
        r#"portfolio_read_duration_seconds_bucket{le="+Inf"} 4"#,
        "portfolio_read_duration_seconds_sum 4.5",
        "portfolio_read_duration_seconds_count 4",
        "# TYPE portfolio_read_duration_seconds histogram",
        r"# HELP portfolio_usd What portfolio_usd says, with a \\ and\na second line.",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("crypto_empty_total"));
    assert_eq!(exposition(&[]), "");
}

#[tokio::test]
async fn metrics_hold_the_families_and_the_process_and_satisfy_promtool() {
    let window = open(quiet(), None).await;
    let answer = window.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    for name in [
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "crypto_exchange_requests_total",
    ] {
        assert!(answer.body.contains(&format!("# TYPE {name} ")), "{name} is missing");
    }
    if let Some(said) = promtool(&answer.body) {
        assert_eq!(said, "");
    }
}

#[tokio::test]
async fn readers_that_do_not_read_hold_a_few_expositions_and_no_more() {
    // More than the kernel takes off the process's hands.
    let large = Family { help: "x".repeat(24 << 20), ..families().remove(0) };
    let open = open(Snapshot { families: vec![large], ..quiet() }, None).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", open.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        slow.push(stream);
    }
    let refused = open.get("/metrics").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("too many scrapes"), "{}", refused.body);
    drop(slow);
    let mut answers = 0;
    while open.get("/metrics").await.status != 200 {
        answers += 1;
        assert!(answers < 12, "their places are free again");
    }
}

#[tokio::test]
async fn health_and_readiness_answer_by_status_and_say_why() {
    let window = open(quiet(), None).await;
    assert_eq!(window.get("/-/healthy").await.status, 200);
    assert_eq!(window.get("/-/ready").await.status, 200);
    let mut behind = quiet();
    behind.is_ready = false;
    behind.sources[0].state = "behind".to_owned();
    window.publish.send(Arc::new(behind)).unwrap();
    let answer = window.get("/-/ready").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("crypto-proxy is behind"), "{}", answer.body);
    assert_eq!(window.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn reload_is_a_post_and_answers_what_became_of_it() {
    let window = open(quiet(), None).await;
    let refused = window.get("/-/reload").await;
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: post"), "{}", refused.head);
    assert_eq!(window.ask("POST", "/-/reload", "Content-Length: 0\r\n").await.status, 501);

    let (asks, mut asked) = mpsc::channel::<ReloadRequest>(1);
    let window = open(quiet(), Some(asks)).await;
    let daemon = tokio::spawn(async move {
        asked.recv().await.unwrap().answer.send(Ok("12 rules".to_owned())).unwrap();
        asked.recv().await.unwrap().answer.send(Err("tocsin.toml:3:1: no such key".to_owned())).unwrap();
    });
    let answer = window.ask("POST", "/-/reload", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (202, "12 rules\n"));
    let answer = window.ask("POST", "/-/reload", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "tocsin.toml:3:1: no such key\n"));
    daemon.await.unwrap();
    let foreign = window.ask("POST", "/-/reload", "Origin: http://evil.example\r\n").await;
    assert_eq!(foreign.status, 403);
    assert_eq!(window.ask("POST", "/-/reload", "").await.status, 500, "nobody answers any more");
}

#[tokio::test]
async fn the_status_is_json_with_readable_times() {
    let mut snapshot = quiet();
    snapshot.open = vec![incident("ExchangeAuthFailing", Severity::Critical, None)];
    let window = open(snapshot, None).await;
    let answer = window.get("/api/v1/status").await;
    assert!(answer.head.contains("content-type: application/json"));
    let status: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(status["ready"], true);
    assert_eq!(status["sources"][0]["state"], "live");
    assert_eq!(status["open"][0]["alert"], "ExchangeAuthFailing");
    assert_eq!(status["open"][0]["severity"], "critical");
    assert_eq!(status["open"][0]["started_at"], "2026-03-14T09:12:41.000Z");
    assert_eq!(status["open"][0]["ended_at"], serde_json::Value::Null);
    assert_eq!(status["open"][0]["told"][0], "team-slack");
    assert_eq!(status["outbox"][0]["outcomes"]["delivered"], 5);
}

#[tokio::test]
async fn the_page_says_whether_all_is_well_and_whether_it_can_be_believed() {
    let window = open(quiet(), None).await;
    let page = window.get("/").await.body;
    assert!(page.contains("All is well") && page.contains("can be believed"), "{page}");

    let mut blind = quiet();
    blind.is_durable = false;
    blind.complaints = vec![format!("the state is on a full disk {HOSTILE}")];
    window.publish.send(Arc::new(blind)).unwrap();
    let page = window.get("/").await.body;
    assert!(
        page.contains("Cannot tell") && page.contains("cannot be believed") && page.contains("full disk")
    );
    assert!(!page.contains("All is well"));

    let mut burning = quiet();
    burning.open = vec![incident("ExchangeAuthFailing", Severity::Critical, None)];
    burning.past = vec![incident("LogGap", Severity::Warning, Some(Time::from_secs(1_773_479_661)))];
    window.publish.send(Arc::new(burning)).unwrap();
    let page = window.get("/").await.body;
    for text in [
        "1 incident open",
        "three in a row",
        "a wrong key",
        "PortfolioSyncStale",
        "line two",
        "1m 40s",
        "team-slack",
    ] {
        assert!(page.contains(text), "{text} is missing in {page}");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_and_fetches_nothing() {
    let mut snapshot = quiet();
    snapshot.open = vec![incident(HOSTILE, Severity::Warning, None)];
    snapshot.past = vec![incident(HOSTILE, Severity::Warning, Some(Time::from_secs(1_773_479_661)))];
    snapshot.complaints = vec![HOSTILE.to_owned()];
    snapshot.sources[0].name = HOSTILE.to_owned();
    snapshot.sources[0].note = Some(HOSTILE.to_owned());
    let window = open(snapshot, None).await;
    let answer = window.get("/").await;
    for bad in ["<script", "javascript:alert(1)\"", "\u{1b}", " src=", "url(", "@import", "onload"] {
        assert!(!answer.body.contains(bad), "{bad} is in the page");
    }
    assert!(answer.body.contains("&lt;script&gt;"));
    let (_, rest) = answer.head.split_once("content-security-policy: ").unwrap();
    let policy = rest.lines().next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"));
    // The hash is the style's: a browser would refuse it otherwise.
    use sha2::{Digest, Sha256};
    let style = answer.body.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = Sha256::digest(style.as_bytes());
    let stated = policy.split_once("sha256-").unwrap().1.split('\'').next().unwrap();
    assert_eq!(base64_length(stated), digest.len());
    assert_eq!(stated, base64(&digest).to_lowercase());
    for header in
        ["x-content-type-options: nosniff", "cache-control: no-store", "referrer-policy: no-referrer"]
    {
        assert!(answer.head.contains(header), "{header}");
    }
}

fn base64_length(text: &str) -> usize {
    text.len() / 4 * 3 - text.matches('=').count()
}

/// By the system's own tool, not by the code under test.
fn base64(bytes: &[u8]) -> String {
    let mut child =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn strange_hosts_and_paths_are_refused() {
    let window = open(quiet(), None).await;
    let answer = window.send("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 403);
    assert!(answer.head.contains("x-content-type-options: nosniff"));
    let answer =
        window.send("GET /metrics HTTP/1.1\r\nHost: tocsin.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let answer = window.send("GET /-/healthy HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let answer = window.get("/nothing").await;
    assert_eq!(answer.status, 404);
    for path in ["/metrics", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/status"] {
        assert!(answer.body.contains(path), "{path}");
    }
    let flood = format!("X-Flood: {}\r\n", "x".repeat(100_000));
    assert_eq!(window.ask("GET", "/", &flood).await.status, 431);
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_remedy() {
    let window = open(quiet(), None).await;
    let error = bind(window.address).await.unwrap_err();
    assert!(matches!(error, Error::Taken(address) if address == window.address));
    let said = error.to_string();
    assert!(said.contains(&window.address.to_string()) && said.contains("listen"), "{said}");
}

#[tokio::test]
async fn shutting_down_ends_though_clients_hold_on() {
    // An address that nobody else uses: a port of 127.0.0.1 that is free again
    // may be another test's at once.
    let window = open_at("127.77.0.1:0", quiet(), None).await;
    let mut idle = TcpStream::connect(window.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut half = TcpStream::connect(window.address).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    window.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), window.served).await.unwrap().unwrap();
    // A process that another test is starting holds the socket until its exec.
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(error) = bind(window.address).await {
        assert!(Instant::now() < until, "the port is not free again: {error}");
        tokio::task::yield_now().await;
    }
}
