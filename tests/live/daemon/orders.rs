//! Silences, acknowledgements and closing through the real binary: what was
//! answered is there after a SIGKILL right behind the answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use super::hook::Hook;
use super::kit::{Daemon, Setup, TOCSIN, rest, until};
use super::pack::request_text;

/// Sends a request with a body; status and body of the answer.
fn send(address: SocketAddr, head: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    write!(stream, "{head} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn post(address: SocketAddr, path: &str, body: &Value) -> (u16, String) {
    send(address, &format!("POST {path}"), "Content-Type: application/json\r\n", &body.to_string())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn ask(daemon: &Daemon, arguments: &[&str]) -> String {
    let url = format!("http://{}", daemon.address());
    let mut command = Command::new(TOCSIN);
    let output = command.args(arguments).args(["--url", &url]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn open(daemon: &Daemon) -> Vec<Value> {
    let (_, body) = daemon.get("/api/v1/status").unwrap();
    let status: Value = serde_json::from_str(&body).unwrap();
    status["open"].as_array().unwrap().clone()
}

#[test]
fn what_a_person_asked_for_survives_a_kill_right_after_the_answer() {
    let hook = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("proxy.log");
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n{}",
        log.display(),
        dir.path().join("backend.log").display(),
        hook.receiver("hook", ""),
    );
    let setup = Setup::new(dir, &text);

    // By the API: a silence, then SIGKILL.
    let daemon = setup.start_live();
    let silence = json!({
        "matchers": [{ "name": "alertname", "value": "Exchange.*", "isRegex": true }],
        "duration": "10h", "createdBy": "anna", "comment": "upgrade",
    });
    assert_eq!(post(daemon.address(), "/api/v1/silences", &silence), (200, "{\"number\":1}\n".to_owned()));
    daemon.kill();

    // It holds after the start.
    let daemon = setup.start_live();
    let shown = ask(&daemon, &["silence", "list"]);
    assert!(shown.starts_with("1 active {alertname=~\"Exchange.*\"} from 20"), "{shown}");
    assert!(shown.ends_with("by anna: upgrade\n"), "{shown}");
    std::fs::write(&log, request_text(false).repeat(3)).unwrap();
    until("the incident", || open(&daemon).len() == 1);
    assert!(open(&daemon)[0]["silenced_by"][0].as_str().unwrap().starts_with("silence 1 by anna"));
    rest(Duration::from_secs(1));
    assert_eq!(hook.seen().len(), 0, "nobody is told");

    // By the command line: an acknowledgement and the end of the silence.
    ask(&daemon, &["ack", "1", "--by", "ben", "--comment", "on it"]);
    assert_eq!(ask(&daemon, &["silence", "expire", "1"]), "silence 1 is over\n");
    daemon.kill();
    let daemon = setup.start_live();
    let fired = hook.until("ExchangeAuthFailing firing").json();
    assert!(fired["alerts"][0]["annotations"]["acknowledged"].as_str().unwrap().starts_with("by ben at 20"));
    assert_eq!(ask(&daemon, &["silence", "list"]), "none\n");
    let status = ask(&daemon, &["status"]);
    assert!(status.contains("incident 1 critical ExchangeAuthFailing"), "{status}");
    assert!(status.contains("  acknowledged by ben at 20"), "{status}");
    assert!(daemon.get("/").unwrap().1.contains("by ben at 20"), "the status page shows it");

    // Closed, with its reason; told once the daemon is back at the latest.
    ask(&daemon, &["close", "1", "--reason", "key replaced"]);
    daemon.kill();
    let daemon = setup.start_live();
    let ended = hook.until("ExchangeAuthFailing resolved").json();
    assert_eq!(ended["alerts"][0]["annotations"]["reason"], "closed by hand: key replaced");
    assert!(open(&daemon).is_empty());

    refusals(&daemon);
    assert!(ask(&daemon, &["reload"]).contains("read again"));
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}

/// What is wrong, foreign, too large or about nothing is refused.
fn refusals(daemon: &Daemon) {
    let at = daemon.address();
    let silence = json!({ "matchers": ["a=b"], "duration": "1h", "createdBy": "anna" }).to_string();
    let to = "POST /api/v1/silences";
    let json = "Content-Type: application/json\r\n";
    assert_eq!(send(at, to, "Content-Type: text/plain\r\n", &silence).0, 415);
    assert_eq!(send(at, to, &format!("{json}Origin: http://evil.example\r\n"), &silence).0, 403);
    assert_eq!(send(at, to, json, "{\"matchers\": [").0, 400);
    assert_eq!(send(at, to, json, &format!("\"{}\"", "x".repeat(70_000))).0, 413);
    let (status, why) =
        post(at, "/api/v1/silences", &json!({ "matchers": ["a"], "duration": "1h", "createdBy": "a" }));
    assert!(status == 400 && why.contains("no =, !=, =~ or !~"), "{status} {why}");
    assert_eq!(post(at, "/api/v1/incidents/99/close", &json!({})).0, 404);
    assert_eq!(send(at, "DELETE /api/v1/silences/99", "", "").0, 404);
    let url = format!("http://{at}");
    let refused = Command::new(TOCSIN).args(["close", "99", "--url", &url]).output().unwrap();
    assert!(
        refused.status.code() == Some(1) && said(&refused).contains("no open incident 99"),
        "{}",
        said(&refused)
    );
    let nobody = Command::new(TOCSIN).args(["status", "--url", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(3), "{}", said(&nobody));
}
