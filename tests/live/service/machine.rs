//! A systemd as PID 1 of namespaces of its own, with the shipped unit and our
//! binary in it: own root, users, journal, network and cgroups, made of the
//! host's programs. Nothing of it reaches the host's systemd.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::hook::Hook;
use crate::daemon::kit::{TOCSIN, get, root, until, until_or, value_of};
use crate::support::journald_skip;

const SCRIPT: &str = include_str!("boot.sh");
const SYSTEMD: &str = "/lib/systemd/systemd";
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 9650);

/// Below `/etc/tocsin/config`, as the unit wants it.
const HEAD: &str = "include = [\"events/*.toml\", \"../alerts/crypto.toml\"]\n\
    [[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\nunit = \"crypto-proxy.service\"\nstart = \"beginning\"\n\
    [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"/var/log/backend.log\"]\n";

/// A running systemd; ended with all that runs in it when dropped.
pub struct Machine {
    unshare: Child,
    /// Its systemd, by the host's process id.
    init: i32,
    cgroup: PathBuf,
    dir: tempfile::TempDir,
}

impl Machine {
    /// Boots one whose unit has these further lines; `None`, and why, where
    /// that is impossible.
    pub fn boot(drop_in: &str) -> Option<Machine> {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 || !Path::new(SYSTEMD).exists() {
            journald_skip("a systemd of our own needs root and the package systemd");
            return None;
        }
        let Some(cgroup) = cgroup() else {
            journald_skip("there is no cgroup2 hierarchy to be written to");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "etc/config", "drop-in"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("drop-in/test.conf"), format!("[Service]\n{drop_in}\n")).unwrap();
        for (from, to) in [("config/events", "etc/config"), ("alerts", "etc")] {
            let copied =
                Command::new("cp").arg("-r").arg(root().join(from)).arg(dir.path().join(to)).status();
            assert!(copied.unwrap().success());
        }
        let said = fs::File::create(dir.path().join("said")).unwrap();
        let join = format!("echo $$ >'{}/cgroup.procs' && exec \"$@\"", cgroup.display());
        let mut unshare = Command::new("sh");
        unshare
            .args(["-c", &join, "sh", "unshare", "--kill-child", "-mpfuinC", "sh", "-c", SCRIPT, "boot"])
            .args([dir.path(), Path::new(TOCSIN), &root()])
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        // SAFETY: prctl is async-signal-safe and touches only the child, which
        // is not to outlive a test that is killed.
        unsafe {
            unshare.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let unshare = unshare.spawn().unwrap();
        let mut machine = Machine { unshare, init: 0, cgroup, dir };
        machine.configure("");
        machine.wait_until_up().then_some(machine)
    }

    fn wait_until_up(&mut self) -> bool {
        let said = self.dir.path().join("said");
        let said = || fs::read_to_string(&said).unwrap_or_default();
        let mut has_ended = false;
        let children = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        until_or(|| format!("systemd: {}", said()), &mut || {
            has_ended = self.unshare.try_wait().unwrap().is_some();
            let text = fs::read_to_string(&children).unwrap_or_default();
            self.init = text.trim().parse().unwrap_or(0);
            let is_up =
                || String::from_utf8_lossy(&self.systemctl(&["is-system-running"]).stdout) == "running\n";
            has_ended || (self.init != 0 && self.comm() == "systemd" && is_up())
        });
        if has_ended {
            journald_skip(&format!("systemd does not boot in namespaces of its own: {}", said()));
        }
        !has_ended
    }

    fn comm(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.init)).unwrap_or_default().trim().to_owned()
    }

    /// Writes the configuration: the pack's rules and events with this text.
    pub fn configure(&self, text: &str) {
        fs::write(self.dir.path().join("etc/config/tocsin.toml"), HEAD.to_owned() + text).unwrap();
    }

    /// A receiver of webhooks in the machine's network, and its configuration.
    pub fn hook(&self) -> Hook {
        self.inside(Hook::new)
    }

    /// Runs `work` on a thread in the machine's network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.init)).unwrap();
        let enter = move || {
            // SAFETY: changes the calling thread alone.
            assert_eq!(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    /// Runs a program of the machine.
    pub fn run(&self, program: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-m", "-u", "-i", "-n", "-p", "-C"]).args(program);
        command.stdin(Stdio::null()).output().unwrap()
    }

    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        self.run(&[&["systemctl", "--no-pager"], arguments].concat())
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) {
        let output = self.systemctl(arguments);
        assert!(output.status.success(), "systemctl {arguments:?}: {output:?}\n{}", self.said());
    }

    /// A property of the unit, as systemd sees it.
    pub fn show(&self, property: &str) -> String {
        let output = self.systemctl(&["show", "tocsin", "--value", "-p", property]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[track_caller]
    pub fn until_show(&self, property: &str, value: &str) {
        let said = || format!("{property} {value}, it is {}; {}", self.show(property), self.said());
        until_or(said, &mut || self.show(property) == value);
    }

    /// The unit writes these lines to the journal.
    pub fn log(&self, text: &str) {
        let pipe = format!("/proc/{}/root/run/proxy", self.init);
        fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Entries of the machine's journal that match all of these.
    pub fn journal(&self, matches: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["journalctl", "-o", "json", "--no-pager"], matches].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the daemon and systemd said about it.
    pub fn said(&self) -> String {
        let output = self.run(&["journalctl", "-o", "cat", "--no-pager", "-u", "tocsin"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The processes of the unit, by the host's ids.
    pub fn processes(&self) -> Vec<i32> {
        let path = self.cgroup.join("system.slice/tocsin.service/cgroup.procs");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// The daemon's process.
    #[track_caller]
    pub fn main_process(&self) -> i32 {
        until("a running daemon", || self.processes().len() == 1);
        self.processes()[0]
    }

    /// Processes of the machine that ended and were not waited for.
    pub fn zombies(&self) -> Vec<String> {
        let output = self.run(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains(") Z ")).map(str::to_owned).collect()
    }

    /// GETs a path of the window.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.inside(|| get(SocketAddr::from(ADDRESS), path))
    }

    /// A series of the exposition.
    pub fn metric(&self, series: &str) -> Option<f64> {
        value_of(&self.get("/metrics")?.1, series)
    }

    #[track_caller]
    pub fn until_metric(&self, series: &str, value: f64) {
        let said = || format!("{series} {value}, it is {:?}; {}", self.metric(series), self.said());
        until_or(said, &mut || self.metric(series) == Some(value));
    }

    /// What the daemon knows of the watched stack, without times of its own.
    pub fn knowledge(&self) -> Vec<String> {
        let (status, text) = self.get("/metrics").unwrap();
        assert_eq!(status, 200);
        let is_known = |line: &&str| {
            ["crypto_", "portfolio_", "backend_", "tocsin_source_lines", "tocsin_log_gaps"]
                .iter()
                .any(|name| line.starts_with(name))
        };
        text.lines().filter(is_known).map(str::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init > 0 {
            // SAFETY: our own child's child, which is waited for below; with
            // it goes all that runs in its namespace.
            unsafe { libc::kill(self.init, libc::SIGKILL) };
        } else {
            let _ = self.unshare.kill();
        }
        let _ = self.unshare.wait();
        remove_groups(&self.cgroup);
    }
}

/// A control group for one machine.
fn cgroup() -> Option<PathBuf> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists())?;
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let group = root.join(format!("tocsin-machine-{}-{number}", std::process::id()));
    fs::create_dir(&group).ok()?;
    Some(group)
}

/// Removes a group and those below it, once their processes are gone.
fn remove_groups(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&inner.path());
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while group.exists() && fs::remove_dir(group).is_err() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
