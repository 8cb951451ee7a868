//! The webhook body held against one that a real Alertmanager sends for the
//! same alert: the same fields, the same fingerprint, the same key of the
//! group.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tocsin::config::plan::{HttpOptions, NotifyPlan, ReceiverKind, ReceiverPlan};
use tocsin::config::redact::Redactor;
use tocsin::model::{OutgoingBody, Secret};
use tocsin::notifier::render;

const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";
const TIME_MAX: Duration = Duration::from_secs(60);

/// Killed and waited for, whatever the test comes to.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, hook: u16) -> (Killed, u16) {
    let config = format!(
        "route:\n  receiver: mail\n  group_by: [alertname]\n  group_wait: 0s\n\
         receivers:\n- name: mail\n  webhook_configs:\n  - url: http://127.0.0.1:{hook}/\n"
    );
    std::fs::write(folder.join("alertmanager.yml"), config).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(PROGRAM)
        .arg(format!("--config.file={}/alertmanager.yml", folder.display()))
        .arg(format!("--storage.path={}", folder.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Killed(child), port)
}

/// Posts once the server is up.
fn post_alert(port: u16, body: &str) {
    let deadline = Instant::now() + TIME_MAX;
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let head = "POST /api/v2/alerts HTTP/1.1\r\nHost: localhost\r\nConnection: close";
            let length = body.len();
            write!(
                stream,
                "{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            return;
        }
        assert!(Instant::now() < deadline, "Alertmanager does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The body of the first request that comes, or `None` once it is too late.
fn first_body(listener: &TcpListener) -> Option<Value> {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + TIME_MAX;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return None,
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        if body.is_some() || n == 0 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            return body;
        }
    }
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

#[test]
fn the_webhook_body_is_shaped_like_that_of_a_real_alertmanager() {
    if !Path::new(PROGRAM).exists() {
        return super::skip("no Alertmanager");
    }
    let mut notification = super::notification(1, true);
    notification.alerts[0].labels.insert("note".to_owned(), "ü, \"quoted\" = 50 %".to_owned());
    let receiver = ReceiverPlan {
        name: "mail".to_owned(),
        kind: ReceiverKind::Webhook {
            url: Secret::new("http://127.0.0.1:1/"),
            secret: None,
            headers: Vec::new(),
            http: HttpOptions::default(),
        },
        timeout: Duration::from_secs(1),
    };
    let outgoing = render(&notification, &receiver, &NotifyPlan::default(), &Redactor::default());
    let OutgoingBody::Http { body, .. } = outgoing.body else { panic!() };
    let ours: Value = serde_json::from_str(&body).unwrap();

    // Alertmanager's fingerprint covers all labels, ours all but severity.
    let mut labels: BTreeMap<String, String> =
        serde_json::from_value(ours["alerts"][0]["labels"].clone()).unwrap();
    labels.remove("severity");
    let alert = json!([{
        "labels": labels,
        "annotations": ours["alerts"][0]["annotations"],
        "generatorURL": ours["alerts"][0]["generatorURL"],
    }]);
    let folder = tempfile::tempdir().unwrap();
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_server, port) = start(folder.path(), hook.local_addr().unwrap().port());
    post_alert(port, &alert.to_string());
    let theirs = first_body(&hook).expect("Alertmanager sent no webhook");

    assert_eq!(keys(&ours), keys(&theirs));
    assert_eq!(keys(&ours["alerts"][0]), keys(&theirs["alerts"][0]));
    for name in
        ["version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonAnnotations"]
    {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
    for name in ["status", "annotations", "endsAt", "generatorURL", "fingerprint"] {
        assert_eq!(ours["alerts"][0][name], theirs["alerts"][0][name], "{name}");
    }
}
