//! Lines with every shape of a secret through the running daemon, and the
//! secrets of its own receivers: none of them stands anywhere outside.

use std::fs;

use super::hook::{Answer, Hook};
use super::kit::{Setup, root, until};
use super::pack::{contains, found};

/// An event for every line, told with the whole of it as field, label and key.
const LEAKY: &str = r#"
[[source]]
name = "crypto-proxy"
type = "file"
paths = ["/nonexistent/proxy.log"]
[[source]]
name = "backend"
type = "file"
paths = ["$LOG"]
start = "beginning"

[[event]]
name = "leaky"
source = "backend"
match = '^leaky (?P<text>.*)$'
[event.fields]
text = { type = "text" }
[[event.outcome]]
name = "said"
when = 'event.text != "all is said"'
[[event.outcome]]
name = "done"

[[metric]]
name = "leaky_total"
type = "counter"
help = "Lines."
event = "leaky"
labels = ["text"]

[[rule]]
name = "Leaky"
severity = "warning"
type = "streak"
event = "leaky"
by = ["text"]
bad = ["said"]
good = ["done"]
count = 1
keep_firing_for = "0s"
summary = "It said {{text}}"
description = "In full: {{text}}"

[[rule]]
name = "LeakyAtAll"
severity = "critical"
type = "streak"
event = "leaky"
bad = ["said"]
good = ["done"]
count = 2
keep_firing_for = "0s"
summary = "It speaks"
"#;

/// Credentials of the daemon's own ways out; nobody listens there.
const OWN: &str = r#"
[[receiver]]
name = "chat"
type = "slack"
url = "http://127.0.0.1:1/services/T0WNT0/B0WNB0/own-chat-path"
timeout = "1s"
[[receiver]]
name = "mail"
type = "email"
host = "127.0.0.1"
port = 1
tls = "none"
from = "tocsin@example.org"
to = ["oncall@example.org"]
timeout = "1s"
[[receiver]]
name = "signed"
type = "webhook"
url = "http://own-user:own-pass@127.0.0.1:1/own-hook-path?key=own-hook-key"
secret = "own-signing-secret"
headers = { "X-Token" = "own-header-token" }
timeout = "1s"
[heartbeat]
url = "http://127.0.0.1:1/own-heartbeat-path"
interval = "1s"
timeout = "1s"
"#;
const OWN_SECRETS: &[&str] = &[
    "own-chat-path",
    "own-user",
    "own-pass",
    "own-hook-path",
    "own-hook-key",
    "own-signing-secret",
    "own-header-token",
    "own-heartbeat-path",
];

/// The lines of `tests/redaction/secrets.txt` and what of them is secret.
fn samples() -> (String, Vec<String>) {
    let text = fs::read_to_string(root().join("tests/redaction/secrets.txt")).unwrap();
    let words = text.split('⟦').skip(1).map(|rest| rest.split_once('⟧').unwrap().0.to_owned());
    let words = words.chain(OWN_SECRETS.iter().map(|word| (*word).to_owned())).collect();
    let lines: String =
        text.lines().map(|line| format!("leaky {}\n", line.replace(['⟦', '⟧'], ""))).collect();
    (lines, words)
}

#[test]
fn no_secret_of_a_line_or_of_a_receiver_leaves_the_running_daemon() {
    let (lines, words) = samples();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("backend.log");
    fs::write(&log, &lines).unwrap();
    let hook = Hook::new();
    let refusing = Hook::new();
    refusing.set(Answer::Status(503));
    let text = LEAKY.replace("$LOG", &log.display().to_string())
        + OWN
        + &hook.receiver("hook", "")
        + &refusing.receiver("refusing", "");
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    hook.until("Leaky firing");
    hook.until("LeakyAtAll firing");
    for receiver in ["chat", "mail", "signed", "refusing"] {
        daemon.until_said(&format!("to {receiver} failed"));
    }
    daemon.until_said("the heartbeat was not taken");
    until("complaints of the heartbeat", || {
        daemon.get("/api/v1/status").is_some_and(|(_, body)| body.contains("heartbeat"))
    });

    let mut places = setup.written();
    let is_written = |name: &str| places.iter().any(|p| p.0.starts_with("state.db") && contains(&p.1, name));
    assert!(places.iter().any(|place| place.0 == "state.db-wal"), "the log of the state is looked at too");
    assert!(is_written("LeakyAtAll"), "what is looked at is the state");
    for path in ["/metrics", "/", "/api/v1/status"] {
        let (status, body) = daemon.get(path).unwrap();
        assert_eq!(status, 200, "{path}");
        assert!(body.contains("Leaky"), "{path} tells of it:\n{body}");
        places.push((path.to_owned(), body.into_bytes()));
    }
    places.extend(hook.bodies());
    places.extend(refusing.bodies());
    let input = format!("--input=backend={}", log.display());
    for format in ["text", "json"] {
        let replay = setup.run(&["replay", "--format", format, "--metrics=-", "--verbose", &input]);
        assert!(replay.status.success() && contains(&replay.stdout, "Leaky"), "{replay:?}");
        places.push((format!("replay as {format}"), [replay.stdout, replay.stderr].concat()));
    }
    for receiver in ["chat", "mail", "signed"] {
        let sent = setup.run(&["send-test", receiver]);
        assert_eq!(sent.status.code(), Some(1), "{sent:?}");
        places.push((format!("send-test {receiver}"), [sent.stdout, sent.stderr].concat()));
    }
    fs::write(setup.config(), fs::read_to_string(setup.config()).unwrap() + "unknown_key = 1\n").unwrap();
    let check = setup.run(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    places.push(("check".to_owned(), [check.stdout, check.stderr].concat()));
    let faults = found(&places, &words);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
