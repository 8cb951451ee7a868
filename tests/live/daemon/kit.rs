//! The real binary with a configuration of its own, and what it says.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const TOCSIN: &str = env!("CARGO_BIN_EXE_tocsin");

/// Polls until `ready`, or fails after a minute: other tests run beside.
#[track_caller]
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    until_or(|| what.to_owned(), &mut ready);
}

/// The same with a deadline in seconds, for what is large.
#[track_caller]
pub fn until_for(secs: u64, what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(secs);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same, with words that are made when it was in vain.
#[track_caller]
pub fn until_or(what: impl Fn() -> String, ready: &mut dyn FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets time pass for what must not happen, or for load.
pub fn rest(span: Duration) {
    let end = Instant::now() + span;
    until("time", || Instant::now() >= end);
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder of the repository as a configuration names it.
fn shipped(path: &str) -> String {
    root().join(path).display().to_string()
}

/// A folder with a configuration and the state that comes of it.
pub struct Setup {
    dir: tempfile::TempDir,
    pub port: u16,
}

impl Setup {
    /// The shipped pack with this text after it.
    pub fn new(dir: tempfile::TempDir, text: &str) -> Setup {
        let port = free_port();
        let setup = Setup { dir, port };
        fs::create_dir(setup.state()).unwrap();
        setup.configure(text);
        setup
    }

    /// Writes the configuration anew.
    pub fn configure(&self, text: &str) {
        let head = format!(
            "include = [\"{}\", \"{}\"]\nstate_dir = \"{}\"\n\
             [http]\nlisten = \"127.0.0.1:{}\"\nexternal_url = \"http://127.0.0.1:{}/\"\n",
            shipped("config/events/*.toml"),
            shipped("alerts/crypto.toml"),
            self.state().display(),
            self.port,
            self.port,
        );
        fs::write(self.config(), head + text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("tocsin.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// What all daemons of this folder have said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path().join("said.log")).unwrap_or_default()
    }

    /// Every file of the state as it stands, and its own log.
    pub fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![("its own log".to_owned(), self.said().into_bytes())];
        for file in fs::read_dir(self.state()).unwrap().flatten() {
            let bytes = fs::read(file.path()).unwrap_or_default();
            all.push((file.file_name().to_string_lossy().into_owned(), bytes));
        }
        all
    }

    /// Starts the daemon.
    pub fn start(&self) -> Daemon {
        self.start_with(|_| ())
    }

    /// Starts the daemon with something of its surroundings changed.
    pub fn start_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let said =
            fs::OpenOptions::new().create(true).append(true).open(self.path().join("said.log")).unwrap();
        let from = said.metadata().unwrap().len() as usize;
        let mut command = self.command(&["run"]);
        change(&mut command);
        let child = command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        Daemon {
            child,
            said: self.path().join("said.log"),
            from,
            address: SocketAddr::from(([127, 0, 0, 1], self.port)),
        }
    }

    /// Starts it and waits until every source was read to its end.
    #[track_caller]
    pub fn start_live(&self) -> Daemon {
        let daemon = self.start();
        daemon.until_live();
        daemon
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TOCSIN);
        command.arg(arguments[0]).arg("--config").arg(self.config()).args(&arguments[1..]);
        command.stdin(Stdio::null()).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command
    }

    /// How many rows of a kind the engine's memory has; looked up in a copy, so
    /// that what a kill left behind stays as it is.
    pub fn rows(&self, kind: &str) -> usize {
        let copy = tempfile::tempdir().unwrap();
        for name in ["state.db", "state.db-wal"] {
            // Without a log everything stands in the file.
            let _ = fs::copy(self.state().join(name), copy.path().join(name));
        }
        let sql = rusqlite::Connection::open(copy.path().join("state.db")).unwrap();
        let select = "SELECT count(*) FROM saved WHERE kind = ?1";
        sql.query_row(select, [kind], |row| row.get::<_, i64>(0)).unwrap() as usize
    }

    /// The alerts' changes in the state, as `replay` prints them.
    pub fn timeline(&self) -> Vec<Value> {
        let path = self.state().join("state.db");
        let sql =
            rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut select = sql
            .prepare("SELECT at, alert, state, severity, labels, value, inhibited_by, summary FROM transitions ORDER BY seq")
            .unwrap();
        let rows = select.query_map([], |row| {
            let value: Option<f64> = row.get(5)?;
            let value = match value {
                Some(v) if v.fract() == 0.0 => Value::from(v as i64),
                other => Value::from(other),
            };
            Ok(serde_json::json!({
                "at": tocsin::model::Time(row.get(0)?).to_rfc3339(),
                "alert": row.get::<_, String>(1)?,
                "state": row.get::<_, String>(2)?,
                "severity": row.get::<_, String>(3)?,
                "labels": serde_json::from_str::<Value>(&row.get::<_, String>(4)?).unwrap(),
                "value": value,
                "inhibited_by": row.get::<_, Option<String>>(6)?,
                "summary": row.get::<_, String>(7)?,
            }))
        });
        rows.unwrap().map(Result::unwrap).filter(|row| row["state"] != "pending").collect()
    }
}

/// A port of the loopback that nobody listens on: each once, and below those
/// the kernel hands to clients, one of which could take it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + std::process::id() * 64;
        let port = 12_000 + (step % 18_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The running binary; killed when dropped.
pub struct Daemon {
    child: Child,
    said: PathBuf,
    from: usize,
    address: SocketAddr,
}

impl Daemon {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What this one has said.
    pub fn said(&self) -> String {
        let bytes = fs::read(&self.said).unwrap_or_default();
        String::from_utf8_lossy(&bytes[self.from.min(bytes.len())..]).into_owned()
    }

    #[track_caller]
    pub fn until_said(&self, what: &str) {
        until_or(|| format!("\"{what}\" in what it said:\n{}", self.said()), &mut || {
            self.said().contains(what)
        });
    }

    /// Both sources of the pack were read to their ends.
    #[track_caller]
    pub fn until_live(&self) {
        self.until_said("source crypto-proxy: read to its end");
        self.until_said("source backend: read to its end");
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: signals our own child.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// The kernel gives it no more private memory than this from now on; one
    /// that needs more ends.
    pub fn hold_to(&self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: limits our own child; nothing is written back.
        let done =
            unsafe { libc::prlimit(self.child.id() as i32, libc::RLIMIT_DATA, &limit, std::ptr::null_mut()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// The most memory it ever had resident, its program included, in bytes.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    }

    /// Ends it at once, wherever it is.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it did.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        let mut status = None;
        until("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// GETs a path: status and body.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path)
    }

    /// The exposition.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        until("/metrics", || match self.get("/metrics") {
            Some((200, body)) => {
                text = body;
                true
            }
            _ => false,
        });
        text
    }

    /// The value of a series, named as it is exposed.
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<f64> {
        value_of(&self.metrics(), series)
    }

    #[track_caller]
    pub fn until_metric(&self, series: &str, value: f64) {
        let mut text = String::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        while value_of(&text, series) != Some(value) {
            assert!(Instant::now() < deadline, "{series} does not become {value}:\n{text}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
            text = self.metrics();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a series in an exposition.
pub fn value_of(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
}

/// GETs a path: status and body.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
