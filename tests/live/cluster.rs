//! Two daemons on the same logs and a cluster of three real Alertmanagers, any
//! of which may go at any time: every incident is notified behind the cluster,
//! once where it is whole, and its end too.

mod alertmanager;
mod net;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::alertmanager::{Alertmanager, NODES, until_members};
use self::net::{HUB, Net};
use crate::daemon::hook::{Hook, Request};
use crate::daemon::kit::{Daemon, Setup, rest, until_or};
use crate::daemon::pack::request_text;
use crate::support::journald_skip;

/// One of the monitors, which tells every node.
struct Monitor {
    setup: Setup,
    running: Option<Daemon>,
}

impl Monitor {
    fn new(log: &Path) -> Monitor {
        let source = |name: &str, path: &Path| {
            let path = path.display();
            format!(
                "[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{path}\"]\nstart = \"beginning\"\n"
            )
        };
        let urls: Vec<String> =
            (0..NODES).map(|node| format!("\"http://{}\"", alertmanager::api(node))).collect();
        let text = source("crypto-proxy", log)
            + &source("backend", &log.with_file_name("none.log"))
            + "[[receiver]]\nname = \"cluster\"\ntype = \"alertmanager\"\nresend_interval = \"2s\"\ntimeout = \"1s\"\n"
            + &format!("urls = [{}]\n", urls.join(", "))
            + "[override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n";
        let setup = Setup::new(tempfile::tempdir().unwrap(), &text);
        Monitor { setup, running: None }
    }

    fn start(&mut self) {
        self.running = Some(self.setup.start_live());
    }

    fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }
}

/// The network, the cluster in it, both monitors and who is notified.
struct World {
    net: Net,
    folder: tempfile::TempDir,
    log: PathBuf,
    nodes: Vec<Option<Alertmanager>>,
    monitors: [Monitor; 2],
    notified: Hook,
}

impl World {
    fn new(net: Net) -> Option<World> {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("proxy.log");
        let notified = Hook::at(SocketAddr::new(HUB.parse().unwrap(), 0));
        let monitors = [Monitor::new(&log), Monitor::new(&log)];
        let mut world = World { net, folder, log, nodes: Vec::new(), monitors, notified };
        for node in 0..NODES {
            let started = alertmanager::start(&world.net, node, world.folder.path(), &world.notified.url())?;
            world.nodes.push(Some(started));
        }
        until_members(&[0, 1, 2], NODES);
        world.monitors.iter_mut().for_each(Monitor::start);
        Some(world)
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    fn start_nodes(&mut self) {
        for node in 0..NODES {
            if self.nodes[node].is_none() {
                let hook = self.notified.url();
                self.nodes[node] = alertmanager::start(&self.net, node, self.folder.path(), &hook);
            }
        }
        until_members(&[0, 1, 2], NODES);
    }

    /// The log of an incident of a method of its own: it begins, or ends.
    fn append(&self, method: &str, is_good: bool) {
        let once = request_text(is_good).replace("private/user-balance", &format!("private/{method}"));
        let text = once.repeat(if is_good { 1 } else { 3 });
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn begins(&self, method: &str) {
        self.append(method, false);
        self.until(method, "firing");
    }

    fn ends(&self, method: &str) {
        self.append(method, true);
        self.until(method, "resolved");
    }

    /// How often somebody was notified of it.
    fn times(&self, method: &str, status: &str) -> usize {
        let method = format!("private/{method}");
        let is_it = |request: &Request| {
            let json = request.json();
            json["groupLabels"]["method"] == method.as_str() && json["status"] == status
        };
        self.notified.seen().iter().filter(|request| is_it(request)).count()
    }

    #[track_caller]
    fn until(&self, method: &str, status: &str) {
        let log = |node: usize| {
            fs::read_to_string(self.folder.path().join(format!("{node}.log"))).unwrap_or_default()
        };
        let words =
            || format!("{method} {status}; the nodes say\n{}", (0..NODES).map(log).collect::<String>());
        until_or(words, &mut || self.times(method, status) > 0);
    }

    /// It was notified once, and its end once.
    #[track_caller]
    fn once(&self, method: &str) {
        let times = [self.times(method, "firing"), self.times(method, "resolved")];
        assert_eq!(times, [1, 1], "{method}: firing and resolved");
    }
}

/// How often everything is gone through.
fn rounds() -> usize {
    std::env::var("CLUSTER_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

#[test]
fn each_incident_is_notified_whichever_daemon_or_alertmanager_goes_and_once_where_all_is_whole() {
    let Some(net) = Net::new(NODES) else {
        return journald_skip("no network namespaces of our own (needs root and ip)");
    };
    // The whole story plays at the hub; this thread of libtest stays where it is.
    let story = std::thread::spawn(move || {
        net.enter_hub();
        match World::new(net) {
            Some(mut world) => (0..rounds()).for_each(|round| play(&mut world, round)),
            None => journald_skip("no prometheus-alertmanager"),
        }
    });
    if let Err(panic) = story.join() {
        std::panic::resume_unwind(panic);
    }
}

fn play(world: &mut World, round: usize) {
    let named = |what: &str| format!("{what}-{round}");
    // Nothing is wrong with anybody.
    let whole = named("whole");
    world.begins(&whole);
    world.ends(&whole);

    // A node goes before one begins, another node as it burns.
    let (first, second) = (round % NODES, (round + 1) % NODES);
    let node_gone = named("node-gone");
    world.kill_node(first);
    world.begins(&node_gone);
    world.kill_node(second);
    world.ends(&node_gone);
    world.start_nodes();

    // A daemon goes as it burns; the other one tells of its end, and of what
    // begins meanwhile, whose end the first tells alone.
    let (daemon_gone, other_gone) = (named("daemon-gone"), named("other-gone"));
    let gone = round % 2;
    world.begins(&daemon_gone);
    world.monitors[gone].kill();
    world.append(&daemon_gone, true);
    world.begins(&other_gone);
    world.until(&daemon_gone, "resolved");
    world.monitors[gone].start();
    world.monitors[1 - gone].kill();
    world.ends(&other_gone);
    world.monitors[1 - gone].start();

    // A node is parted from the others, and each side tells what it knows.
    let parted = named("parted");
    world.net.part(second, true);
    until_members(&[second], 1);
    world.begins(&parted);
    world.ends(&parted);
    world.net.part(second, false);
    until_members(&[0, 1, 2], NODES);

    // A node's plug is pulled: it hears of nothing and can tell nobody.
    let unplugged = named("unplugged");
    world.net.plug(first, false);
    world.begins(&unplugged);
    world.net.plug(first, true);
    until_members(&[0, 1, 2], NODES);
    world.append(&unplugged, true);

    // All is whole again.
    let again = named("again");
    world.begins(&again);
    world.until(&unplugged, "resolved");
    world.ends(&again);
    // By then the last node has found that it was told.
    rest(Duration::from_secs(5));
    world.once(&whole);
    world.once(&again);
}
