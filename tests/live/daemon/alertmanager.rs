//! Pushing to a real Alertmanager: its silences and inhibitions are honoured,
//! an alert lives longer than `resolve_timeout`, its end arrives, an
//! escalation is an end and a beginning, a kill loses nothing, and of two
//! instances each is told on its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::hook::Hook;
use super::kit::{Setup, free_port, get, rest, until};
use super::pack::request_text;

const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";
/// Shorter than any test, so that what is not resent ends.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running Alertmanager; killed and waited for when dropped.
struct Alertmanager {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    fn start(hook: &Hook, port: u16) -> Alertmanager {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{resolve_timeout: {}s}}\n\
             route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
             inhibit_rules:\n- source_matchers: [alertname=ExchangeAuthFailing]\n  \
             target_matchers: [alertname=SourceDown]\n\
             receivers:\n- name: hook\n  webhook_configs:\n  - url: {}\n",
            RESOLVE_TIMEOUT.as_secs(),
            hook.url(),
        );
        std::fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}/alertmanager.yml", folder.path().display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Alertmanager { child, port, _folder: folder };
        until("Alertmanager", || started.get("/-/ready").is_some_and(|(status, _)| status == 200));
        started
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        get(([127, 0, 0, 1], self.port).into(), path)
    }

    /// Its alerts of a name that fire: severity and state.
    fn firing(&self, name: &str) -> Vec<(String, String)> {
        let path = format!("/api/v2/alerts?filter=alertname=%22{name}%22");
        let Some((200, body)) = self.get(&path) else { return Vec::new() };
        let alerts: Value = serde_json::from_str(body.trim()).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |a: &Value| (text(&a["labels"]["severity"]), text(&a["status"]["state"]));
        alerts.as_array().map(|all| all.iter().map(of).collect()).unwrap_or_default()
    }

    fn silence(&self, name: &str) {
        let body = json!({
            "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
            "createdBy": "test", "comment": "test",
        })
        .to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /api/v2/silences HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_missing() -> bool {
    if Path::new(PROGRAM).exists() {
        return false;
    }
    crate::mail::skip("prometheus-alertmanager is not installed");
    true
}

/// The pack's two logs as files, and a receiver of these instances.
fn setup(instances: &[&str], more: &str) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{0}/proxy.log\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{0}/backend.log\"]\nstart = \"beginning\"\n\
         [[receiver]]\nname = \"am\"\ntype = \"alertmanager\"\nurls = {instances:?}\nresend_interval = \"500ms\"\n\
         [override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n{more}",
        folder.display(),
    );
    Setup::new(dir, &text)
}

fn write(setup: &Setup, text: &str) {
    std::fs::write(setup.path().join("logs/proxy.log"), text).unwrap();
}

#[test]
fn an_alert_outlives_resolve_timeout_and_a_kill_and_its_end_arrives() {
    if is_missing() {
        return;
    }
    let hook = Hook::new();
    let manager = Alertmanager::start(&hook, free_port());
    let setup = setup(&[&manager.url()], "");
    let daemon = setup.start_live();
    write(&setup, &request_text(false).repeat(3));
    let fired = hook.until("ExchangeAuthFailing firing").json();
    let labels = &fired["alerts"][0]["labels"];
    assert_eq!((&labels["severity"], &labels["source"]), (&"critical".into(), &"crypto-proxy".into()));
    assert!(fired["alerts"][0]["annotations"]["causes"].is_string(), "{fired}");
    rest(RESOLVE_TIMEOUT * 2);
    assert_eq!(manager.firing("ExchangeAuthFailing"), [("critical".to_owned(), "active".to_owned())]);
    drop(daemon);
    let daemon = setup.start_live();
    // Longer than anything it was told before the kill holds.
    rest(RESOLVE_TIMEOUT * 2);
    assert_eq!(manager.firing("ExchangeAuthFailing").len(), 1);
    assert!(hook.of("ExchangeAuthFailing").iter().all(|r| r.json()["status"] == "firing"));

    write(&setup, &(request_text(false).repeat(3) + &request_text(true)));
    let ended = hook.until("ExchangeAuthFailing resolved").json();
    assert_eq!(ended["alerts"][0]["startsAt"], fired["alerts"][0]["startsAt"]);
    assert_eq!(ended["alerts"][0]["fingerprint"], fired["alerts"][0]["fingerprint"]);
    until("nothing fires there", || manager.firing("ExchangeAuthFailing").is_empty());
    // What is resent is not stored: two notices, and nothing waits.
    daemon.until_metric("tocsin_notifications_total{receiver=\"am\",outcome=\"delivered\"}", 2.0);
    daemon.until_metric("tocsin_outbox_pending{receiver=\"am\"}", 0.0);
}

#[test]
fn its_silences_and_inhibitions_are_honoured() {
    if is_missing() {
        return;
    }
    let hook = Hook::new();
    let manager = Alertmanager::start(&hook, free_port());
    manager.silence("ExchangeAuthFailing");
    let setup = setup(&[&manager.url()], "[builtin.SourceDown]\nafter = \"1s\"\n");
    let _daemon = setup.start_live();
    write(&setup, &request_text(false).repeat(3));
    let suppressed = |severity: &str| [(severity.to_owned(), "suppressed".to_owned())];
    until("the silenced alert", || manager.firing("ExchangeAuthFailing") == suppressed("critical"));
    // A folder in the file's place cannot be read.
    std::fs::create_dir(setup.path().join("logs/backend.log")).unwrap();
    until("the inhibited alert", || manager.firing("SourceDown") == suppressed("critical"));
    rest(RESOLVE_TIMEOUT);
    assert_eq!(hook.seen().len(), 0, "nobody is told");
}

#[test]
fn an_escalation_ends_the_old_label_set_and_begins_the_new_one() {
    if is_missing() {
        return;
    }
    let hook = Hook::new();
    let manager = Alertmanager::start(&hook, free_port());
    let levels = "[override.PortfolioSyncStale]\nlevels = [{ severity = \"warning\", after = \"1s\" }, \
                  { severity = \"critical\", after = \"5s\" }]\n";
    let setup = setup(&[&manager.url()], levels);
    let _daemon = setup.start_live();
    let is = |severity: &str| manager.firing("PortfolioSyncStale").iter().any(|a| a.0 == severity);
    until("the warning", || is("warning"));
    until("the critical", || is("critical"));
    until("the end of the warning", || !is("warning"));
    assert!(is("critical"));
}

#[test]
fn each_instance_is_told_on_its_own_and_one_that_was_down_catches_up() {
    if is_missing() {
        return;
    }
    let (hook, other) = (Hook::new(), Hook::new());
    let manager = Alertmanager::start(&hook, free_port());
    let down = free_port();
    let setup = setup(&[&format!("http://127.0.0.1:{down}"), &manager.url()], "");
    let daemon = setup.start_live();
    write(&setup, &request_text(false).repeat(3));
    hook.until("ExchangeAuthFailing firing");
    let at = format!("am/127.0.0.1:{}", manager.port);
    daemon
        .until_metric(&format!("tocsin_notifications_total{{receiver=\"{at}\",outcome=\"delivered\"}}"), 1.0);
    let waiting = format!("tocsin_outbox_pending{{receiver=\"am/127.0.0.1:{down}\"}}");
    daemon.until_metric(&waiting, 1.0);
    let said = setup.run(&["send-test", "am"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(1), "one of two did not answer");
    assert!(text.contains(&format!("{at} answered 200")), "{text}");
    hook.until("TocsinTest firing");

    let late = Alertmanager::start(&other, down);
    other.until("ExchangeAuthFailing firing");
    daemon.until_metric(&waiting, 0.0);
    write(&setup, &(request_text(false).repeat(3) + &request_text(true)));
    hook.until("ExchangeAuthFailing resolved");
    other.until("ExchangeAuthFailing resolved");
    until("nothing fires there", || late.firing("ExchangeAuthFailing").is_empty());
}
