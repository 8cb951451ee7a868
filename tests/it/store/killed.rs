//! What a SIGKILL leaves behind, and what is read beside a writer at work.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tocsin::model::TransitionState;
use tocsin::store::{self, Commit, Error, Store};

use super::{KINDS, at, claim, cursor, incident, outgoing, row, transition};

const CHILD: &str = "TOCSIN_TEST_STORE_CHILD";

#[test]
fn a_copy_made_while_the_writer_writes_is_whole_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Spawned::new(dir.path());
    child.wait_for(30);
    let copies = tempfile::tempdir().unwrap();
    let to = copies.path().join("state.db");
    assert!(store::backup(dir.path(), &to).unwrap() > 0);
    assert!(matches!(store::backup(dir.path(), &to), Err(Error::Exists { .. })));
    let looked = store::inspect(dir.path()).unwrap();
    assert!(looked.is_sound() && looked.instance.is_some(), "{looked:?}");
    let after = child.acknowledged();
    child.wait_for(after + 5);
    child.kill();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let count = counted(copies.path());
    assert!((30..=counted(dir.path())).contains(&count), "{count}");
    let original = Store::open(dir.path()).unwrap();
    assert_eq!(Store::open(copies.path()).unwrap().digest_key(), original.digest_key());
    let from_memory = copies.path().join("memory.db");
    Store::memory().unwrap().backup_to(&from_memory).unwrap();
    assert!(store::inspect(&from_memory).unwrap().is_sound());
}

#[test]
fn a_kill_at_any_moment_leaves_the_count_and_the_cursor_of_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=12 {
        let mut child = Spawned::new(dir.path());
        child.wait_for(last + round);
        last = child.kill();
        let found = counted(dir.path());
        assert!(found >= last, "{found} found, {last} were acknowledged");
        last = found;
    }
    assert!(last >= 12 * 13 / 2);
}

/// Opens the state that a child wrote and gives its count, after checking
/// that everything in it is of one commit.
fn counted(dir: &Path) -> u64 {
    let mut store = Store::open(dir).unwrap();
    let loaded = store.load(KINDS).unwrap();
    let count = &loaded.saved[0].value;
    assert_eq!(count.as_deref(), Some(loaded.cursors["a"].0.as_str()));
    let count: u64 = count.as_deref().unwrap().parse().unwrap();
    assert_eq!(loaded.last_incident, count);
    assert_eq!(store.transitions(count).unwrap().len(), 1);
    assert_eq!(store.transitions(count + 1).unwrap().len(), 0);
    assert_eq!(store.pending_by_receiver().unwrap()["ops"], count.min(store::PENDING_MAX));
    assert_eq!(claim(&mut store, at(0)), ["n1"]);
    count
}

/// This test binary once more, committing until it is killed.
pub struct Spawned {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    acknowledged: u64,
}

impl Spawned {
    pub fn new(dir: &Path) -> Spawned {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::killed::child_commits_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Spawned { child, lines, acknowledged: 0 }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn next(&mut self) -> bool {
        let mut line = String::new();
        if self.lines.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        if let Some(count) = line.trim().strip_prefix("committed ") {
            self.acknowledged = count.parse().unwrap();
        }
        true
    }

    pub fn wait_for(&mut self, count: u64) {
        while self.acknowledged < count {
            assert!(self.next(), "the child ended by itself");
        }
    }

    /// Gives the last commit that was acknowledged before the end.
    pub fn kill(&mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while self.next() {}
        self.acknowledged
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: the body of [`Spawned`].
#[test]
fn child_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let mut store = Store::open(Path::new(&dir)).unwrap();
    let loaded = store.load(KINDS).unwrap();
    let mut count = loaded.last_incident;
    loop {
        count += 1;
        let text = count.to_string();
        let commit = Commit {
            saved: &[row("series", "count", Some(&text))],
            cursors: &[cursor("a", &text)],
            incidents: &[incident(count, None)],
            transitions: &[transition(count, TransitionState::Firing, 1.0)],
            outgoings: &[outgoing(&format!("n{count}"), "ops", "t")],
            at: at(0),
        };
        store.commit(commit).unwrap();
        writeln!(std::io::stdout(), "committed {count}").unwrap();
    }
}
