//! The real binary, run to its end or followed while it lives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run that ended said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary, in a folder, without what this machine's environment says.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for name in
        ["STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end. What should end and does not fails the test, killed.
pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    let mut running = Running::start(command(folder, arguments).stdout(Stdio::piped()));
    let mut out = String::new();
    let stdout = running.child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let code = running.wait();
    out.push_str(&reader.join().unwrap());
    Said { code, out, err: running.rest() }
}

/// A process whose standard error is read line by line; killed when dropped.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.split(b'\n') {
                let line = String::from_utf8_lossy(&line.unwrap_or_default()).into_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines, seen: Vec::new() }
    }

    /// The next line of standard error that holds `text`.
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("{text:?} was never said, but:\n{}", self.seen.join("\n"));
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no pointer; the child was not waited for, so the
        // id is still its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Its exit code, once it ends.
    pub fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end; it said:\n{}", self.rest());
    }

    /// All of standard error so far; of a process that ended, all of it.
    pub fn rest(&mut self) -> String {
        let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        let patience = if has_ended { PATIENCE } else { Duration::from_millis(200) };
        while let Ok(line) = self.lines.recv_timeout(patience) {
            self.seen.push(line);
        }
        let mut all = self.seen.join("\n");
        if !all.is_empty() {
            all.push('\n');
        }
        all
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
