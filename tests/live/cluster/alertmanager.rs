//! Three real Alertmanagers that form a cluster, each on a node of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::net::Net;
use crate::daemon::kit::{get, until_or};

const PROGRAM: &str = "prometheus-alertmanager";
/// Clustered Alertmanagers of one network.
pub const NODES: usize = 3;

/// One of them; killed when dropped.
pub struct Alertmanager {
    child: Child,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a node takes alerts.
pub fn api(node: usize) -> SocketAddr {
    format!("{}:9093", Net::address(node)).parse().unwrap()
}

/// Starts one; its notices go to `hook`. Intervals are short, for patience is
/// not what is tested; but a group's is longer than the last node waits for the
/// others, or that one would tell of a beginning whose end is told. `None` where it is not installed.
pub fn start(net: &Net, node: usize, folder: &Path, hook: &str) -> Option<Alertmanager> {
    let config = format!(
        "route:\n  receiver: hook\n  group_by: [alertname, method]\n  group_wait: 1s\n  group_interval: 6s\n  \
         repeat_interval: 1h\nreceivers:\n- name: hook\n  webhook_configs:\n  - url: {hook}\n    send_resolved: true\n"
    );
    fs::write(folder.join("alertmanager.yml"), config).unwrap();
    let log =
        fs::OpenOptions::new().create(true).append(true).open(folder.join(format!("{node}.log"))).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg(format!("--config.file={}/alertmanager.yml", folder.display()))
        .arg(format!("--storage.path={}/data-{node}", folder.display()))
        .arg(format!("--web.listen-address={}", api(node)))
        .arg(format!("--cluster.listen-address={}:9094", Net::address(node)))
        .args((0..NODES).filter(|n| *n != node).map(|n| format!("--cluster.peer={}:9094", Net::address(n))))
        .args([
            "--cluster.peer-timeout=2s",
            "--cluster.gossip-interval=50ms",
            "--cluster.pushpull-interval=1s",
        ])
        .args(["--cluster.probe-interval=300ms", "--cluster.probe-timeout=150ms", "--cluster.tcp-timeout=1s"])
        .args(["--cluster.reconnect-interval=500ms", "--cluster.settle-timeout=10s"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    net.enter_node(node, &mut command);
    Some(Alertmanager { child: command.spawn().ok()? })
}

/// How many members a node sees, itself included; 0 while it does not answer.
pub fn members(node: usize) -> usize {
    let Some((200, body)) = get(api(node), "/api/v2/status") else { return 0 };
    let status: Value = serde_json::from_str(&body).unwrap_or_default();
    let is_ready = status["cluster"]["status"] == "ready";
    status["cluster"]["peers"].as_array().filter(|_| is_ready).map_or(0, Vec::len)
}

/// Waits until each of the nodes sees so many.
#[track_caller]
pub fn until_members(nodes: &[usize], count: usize) {
    let seen = || nodes.iter().map(|node| members(*node)).collect::<Vec<_>>();
    until_or(|| format!("{count} members at {nodes:?}, which see {:?}", seen()), &mut || {
        seen().iter().all(|n| *n == count)
    });
}
