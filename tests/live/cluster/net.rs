//! A network of a test's own: a hub and some nodes, each in a network namespace
//! that a holder process keeps. They go with the holders.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The hub's address in its network.
pub const HUB: &str = "10.77.0.254";

/// A namespace as long as this lives.
struct Holder(Child);

impl Holder {
    fn new() -> Option<Holder> {
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut word).unwrap();
        let holder = Holder(child);
        (word.trim() == "ready").then_some(holder)
    }

    fn namespace(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap()
    }

    /// Makes a program run inside.
    fn enter(&self, command: &mut Command) {
        let namespace = self.namespace();
        // SAFETY: the closure allocates nothing and takes no lock.
        unsafe { command.pre_exec(move || enter(&namespace)) };
    }

    #[track_caller]
    fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        self.enter(&mut command);
        let done = command.output().unwrap();
        assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn enter(namespace: &File) -> std::io::Result<()> {
    // SAFETY: one system call, on a descriptor that is open.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A hub with a bridge, and nodes plugged into it.
pub struct Net {
    hub: Holder,
    nodes: Vec<Holder>,
}

impl Net {
    /// `None` where the kernel lets us have none.
    pub fn new(nodes: usize) -> Option<Net> {
        let hub = Holder::new()?;
        hub.ip("link add br0 type bridge");
        hub.ip(&format!("address add {HUB}/24 dev br0"));
        hub.ip("link set br0 up");
        let nodes: Vec<Holder> = (0..nodes).map(|_| Holder::new()).collect::<Option<_>>()?;
        let net = Net { hub, nodes };
        for (n, node) in net.nodes.iter().enumerate() {
            net.hub.ip(&format!("link add port{n} type veth peer name eth0 netns {}", node.0.id()));
            net.hub.ip(&format!("link set port{n} master br0 up"));
            node.ip(&format!("address add {}/24 dev eth0", Net::address(n)));
            node.ip("link set eth0 up");
        }
        Some(net)
    }

    /// A node's address.
    pub fn address(node: usize) -> String {
        format!("10.77.0.{}", node + 1)
    }

    /// Takes the calling thread, and all it starts from now on, to the hub.
    pub fn enter_hub(&self) {
        enter(&self.hub.namespace()).unwrap();
    }

    /// Makes a program run on a node.
    pub fn enter_node(&self, node: usize, command: &mut Command) {
        self.nodes[node].enter(command);
    }

    /// Pulls a node's plug, or puts it in again.
    pub fn plug(&self, node: usize, is_in: bool) {
        self.hub.ip(&format!("link set port{node} {}", if is_in { "up" } else { "down" }));
    }

    /// Parts a node from the other nodes, but not from the hub, or ends that.
    /// Each believes the other at an address that nobody has: what is sent is
    /// lost on the way, and not refused at home, which would be an own fault.
    pub fn part(&self, node: usize, is_apart: bool) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            for (from, to) in [(node, other), (other, node)] {
                let neighbour = format!("{} dev eth0", Net::address(to));
                self.nodes[from].ip(&match is_apart {
                    true => format!("neigh replace {neighbour} lladdr 02:00:00:00:00:01 nud permanent"),
                    false => format!("neigh del {neighbour}"),
                });
            }
        }
    }
}
