//! The tables that stand once: `[http]`, `[notify]`, `[heartbeat]`, and the
//! daemon's own places.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ground::Ground;
use super::plan::{DaemonPlan, HeartbeatPlan, NotifyPlan};
use super::problem::{Spot, printable};
use super::reader::Table;
use super::receiver::http_options;
use super::secrets::url;

/// Folder of the state unless set.
const STATE_DIR: &str = "/var/lib/tocsin";
/// Ended incidents are kept so long.
const HISTORY_FOR: Duration = Duration::from_secs(90 * 86_400);
/// Address of the HTTP window.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9650);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);
/// A delivery that is tried for so long is not on its way.
const HEARTBEAT_STUCK_AFTER: Duration = Duration::from_secs(15 * 60);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads them from whichever file they stand in.
pub(super) fn read(ground: &Ground<'_>) -> (DaemonPlan, NotifyPlan) {
    let mut notify = notify(ground);
    let mut listen = Some(SocketAddr::from(LISTEN));
    if let Some(table) = ground.only("http").and_then(|top| top.child("http")) {
        if let Some(text) = table.text("listen") {
            listen = self::listen(&table, &text);
        }
        if let Some(text) = table.text("external_url") {
            notify.external_url = external_url(&table, &text);
        }
        table.finish();
    }
    let history_for = ground.only("history_for").and_then(|top| top.positive_duration("history_for"));
    let daemon = DaemonPlan {
        state_dir: state_dir(ground),
        listen,
        history_for: history_for.map_or(HISTORY_FOR, |d| d.value),
        heartbeat: heartbeat(ground),
    };
    (daemon, notify)
}

/// `$STATE_DIRECTORY` (systemd's, the first of a list) goes first.
fn state_dir(ground: &Ground<'_>) -> PathBuf {
    let written = ground.only("state_dir").and_then(|top| top.need_text("state_dir", "expected a folder"));
    let systemd =
        ground.files.env("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(str::to_owned));
    match (systemd.filter(|folder| !folder.is_empty()), written) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(text)) => ground.resolve(&text),
        (None, None) => PathBuf::from(STATE_DIR),
    }
}

fn listen(table: &Table<'_>, text: &Spot<&str>) -> Option<SocketAddr> {
    if text.value == "off" {
        return None;
    }
    let numeric = text.value.replacen("localhost:", "127.0.0.1:", 1);
    match numeric.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            table.report.error(
                &text.at,
                format!("\"{}\" is no address to listen on", printable(text.value)),
                "expected IP:PORT such as \"127.0.0.1:9650\", or \"off\"",
            );
            None
        }
    }
}

fn external_url(table: &Table<'_>, text: &Spot<&str>) -> String {
    if !["http://", "https://"].iter().any(|scheme| text.value.starts_with(scheme)) {
        table.report.error(
            &text.at,
            format!("\"{}\" is no URL", printable(text.value)),
            "expected http://… or https://…",
        );
    }
    format!("{}/", text.value.trim_end_matches('/'))
}

fn notify(ground: &Ground<'_>) -> NotifyPlan {
    let mut plan = NotifyPlan::default();
    let Some(table) = ground.only("notify").and_then(|top| top.child("notify")) else {
        return plan;
    };
    let positive = |key, place: &mut Duration| {
        if let Some(span) = table.positive_duration(key) {
            *place = span.value;
        }
    };
    positive("group_interval", &mut plan.group_interval);
    positive("give_up_after", &mut plan.give_up_after);
    let any = |key, place: &mut Duration| {
        if let Some(span) = table.duration(key) {
            *place = span.value;
        }
    };
    any("group_wait", &mut plan.group_wait);
    any("inhibit_wait", &mut plan.inhibit_wait);
    any("outlive_wait", &mut plan.outlive_wait);
    any("repeat_interval", &mut plan.repeat_interval);
    table.finish();
    plan
}

fn heartbeat(ground: &Ground<'_>) -> Option<HeartbeatPlan> {
    let table = ground.only("heartbeat")?.child("heartbeat")?;
    let interval = table.positive_duration("interval").map_or(HEARTBEAT_INTERVAL, |d| d.value);
    let timeout = table.positive_duration("timeout").map_or(HEARTBEAT_TIMEOUT, |d| d.value);
    let stuck_after = table.positive_duration("stuck_after").map_or(HEARTBEAT_STUCK_AFTER, |d| d.value);
    let body = heartbeat_body(&table);
    let http = http_options(ground, &table);
    let url = url(ground, &table);
    table.finish();
    Some(HeartbeatPlan { url: url?, interval, body, stuck_after, timeout, http })
}

/// What is posted; `None` for a GET.
fn heartbeat_body(table: &Table<'_>) -> Option<String> {
    let body = table.text("body");
    let Some(method) = table.text("method") else {
        return body.map(|body| body.value.to_owned());
    };
    match (method.value, body) {
        ("POST", body) => Some(body.map_or_else(String::new, |body| body.value.to_owned())),
        ("GET", None) => None,
        ("GET", Some(body)) => {
            table.report.error(&body.at, "a GET has no body", "expected method = \"POST\", or no body");
            None
        }
        (other, _) => {
            let what = format!("\"{}\" is no method of a heartbeat", printable(other));
            table.report.error(&method.at, what, "expected \"GET\" or \"POST\"");
            None
        }
    }
}
