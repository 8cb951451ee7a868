//! The journal source against a real journald and real journal files.

#![allow(clippy::disallowed_methods, reason = "the real component runs on the real clock")]

mod faults;
mod losing;
mod stored;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tocsin::config::plan::{JournalPlan, SourceKind, SourcePlan, Start};
use tocsin::model::{Batch, Cursor, Gap, Line, Reading, SourceState};
use tocsin::source::journal;

use crate::support::{Journald, journald_remote, journald_start, journald_until};

/// A followed source and everything it has said.
struct Follow {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    rx: tokio::sync::mpsc::Receiver<Batch>,
    lines: Vec<Line>,
    arrived: Vec<Instant>,
    gaps: Vec<Gap>,
    states: Vec<SourceState>,
    cursor: Option<Cursor>,
}

impl Follow {
    fn new(plan: &SourcePlan, cursor: Option<Cursor>) -> Follow {
        let (tx, rx) = tokio::sync::mpsc::channel(8);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = Some(journal::spawn(0, plan, cursor.clone(), tx, stop.clone()).unwrap());
        Follow { stop, thread, rx, lines: vec![], arrived: vec![], gaps: vec![], states: vec![], cursor }
    }

    fn take(&mut self) {
        while let Ok(batch) = self.rx.try_recv() {
            self.accept(batch);
        }
    }

    fn accept(&mut self, batch: Batch) {
        for reading in batch.readings {
            match reading {
                Reading::Line(line) => {
                    self.lines.push(line);
                    self.arrived.push(Instant::now());
                }
                Reading::Gap(gap) => self.gaps.push(gap),
                Reading::State(state) => self.states.push(state),
            }
        }
        self.cursor = batch.cursor.or(self.cursor.take());
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut ready: impl FnMut(&Follow) -> bool) {
        journald_until(what, || {
            self.take();
            ready(self)
        });
    }

    #[track_caller]
    fn until_live(&mut self) {
        self.until("live", |f| f.states.last() == Some(&SourceState::Live));
    }

    /// Waits for the first batch and takes it alone.
    #[track_caller]
    fn until_some(&mut self) {
        while self.lines.is_empty() {
            let batch = self.rx.blocking_recv().unwrap();
            self.accept(batch);
        }
    }

    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.text.as_str()).collect()
    }

    /// Ends it and gives what it said last; asserts that it ends promptly.
    fn end(mut self) -> Follow {
        self.stop.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        self.thread.take().unwrap().join().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "the thread ended late");
        self.take();
        self
    }
}

impl Follow {
    /// Ends it and follows on from its cursor.
    fn restart(self, plan: &SourcePlan) -> Follow {
        let ended = self.end();
        let mut next = Follow::new(plan, ended.cursor);
        (next.lines, next.gaps) = (ended.lines, ended.gaps);
        next
    }
}

fn plan(journal: JournalPlan, start: Start) -> SourcePlan {
    SourcePlan {
        name: "test".to_owned(),
        kind: SourceKind::Journal(journal),
        start,
        line_bytes_max: 1 << 20,
        timezone: jiff::tz::TimeZone::UTC,
    }
}

fn of_unit(store: &Path, unit: &str) -> JournalPlan {
    JournalPlan { unit: Some(unit.to_owned()), directory: Some(store.to_owned()), ..JournalPlan::default() }
}

fn of_file(file: &Path) -> JournalPlan {
    JournalPlan { files: vec![file.to_owned()], ..JournalPlan::default() }
}

fn unit(name: &str) -> String {
    format!("tocsin-test-{name}-{}.service", std::process::id())
}

#[test]
fn a_unit_that_never_logged_is_live_and_its_first_line_after_the_start_is_read() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("first");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    assert!(follow.cursor.is_some(), "the first position is saved before any line");
    let mut writer = journald.writer(&name);
    writer.write(b"hello\n");
    follow.until("the line", |f| !f.lines.is_empty());
    let line = &follow.lines[0];
    assert_eq!((line.text.as_str(), line.identifier.as_deref()), ("hello", Some("python")));
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(&*line.stream.writer, format!("{}@{}", writer.pid(), &boot[..8]));
    assert_eq!(format!("{:032x}", line.boot.unwrap().id), boot.trim().replace('-', ""));
    assert!(follow.gaps.is_empty());
    follow.end();
}

#[test]
fn a_unit_comes_with_what_systemd_says_about_it_and_nothing_else() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("about");
    let mut writer = journald.writer(&name);
    let mut other = journald.writer(&unit("other"));
    writer.write(b"own line\n");
    other.write(b"of another unit\n");
    let about = name.as_bytes();
    journald
        .native(1, &[("MESSAGE", b"Failed with result"), ("UNIT", about), ("SYSLOG_IDENTIFIER", b"systemd")]);
    journald.native(
        1,
        &[("MESSAGE", b"about another"), ("UNIT", b"x.service"), ("SYSLOG_IDENTIFIER", b"systemd")],
    );
    journald.native(other.pid(), &[("MESSAGE", b"forged"), ("UNIT", about)]);
    journald.native(other.pid(), &[("MESSAGE", b"by a daemon of root"), ("OBJECT_SYSTEMD_UNIT", about)]);
    let core = b"fc2e22bc6ee647b6b90729ab34a250b1";
    journald
        .native(other.pid(), &[("MESSAGE", b"dumped core"), ("MESSAGE_ID", core), ("COREDUMP_UNIT", about)]);
    let mut all = plan(of_unit(&journald.store, &name), Start::Beginning);
    let mut follow = Follow::new(&all, None);
    follow.until("four lines", |f| f.lines.len() >= 4);
    let mut texts = follow.texts();
    texts.sort();
    assert_eq!(texts, ["Failed with result", "by a daemon of root", "dumped core", "own line"]);
    let journalctl = std::process::Command::new("journalctl")
        .args(["-o", "cat", "-u", &name, "-D", journald.store.to_str().unwrap()])
        .output()
        .unwrap();
    let shown = String::from_utf8(journalctl.stdout).unwrap();
    assert_eq!(follow.texts(), shown.lines().collect::<Vec<_>>(), "what journalctl -u shows");
    follow.end();
    if let SourceKind::Journal(journal) = &mut all.kind {
        journal.matches = vec!["SYSLOG_IDENTIFIER=systemd".to_owned(), "_PID=1".to_owned()];
    }
    let mut follow = Follow::new(&all, None);
    follow.until_live();
    assert_eq!(follow.texts(), ["Failed with result"], "further matches must hold as well");
    follow.end();
}

#[test]
fn the_default_journal_and_a_namespace_are_read_where_journald_keeps_them() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else { return };
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap();
    let space = journald.store.join(format!("{}.apart", machine.trim()));
    std::fs::create_dir(&space).unwrap();
    let Some(mut remote) = journald_remote(&space.join("system.journal")) else { return };
    remote.entry(7, 1_000, &[("MESSAGE", b"apart"), ("SYSLOG_IDENTIFIER", b"python")]);
    let mut writer = journald.writer(&unit("default"));
    writer.write(b"together\n");
    let matches = vec!["SYSLOG_IDENTIFIER=python".to_owned()];
    for (namespace, expected) in [(None, "together"), (Some("apart".to_owned()), "apart")] {
        let journal = JournalPlan { namespace, matches: matches.clone(), ..JournalPlan::default() };
        let plan = plan(journal, Start::Beginning);
        let mut follow = journald.inside(|| Follow::new(&plan, None));
        follow.until("the line", |f| !f.lines.is_empty());
        follow.until_live();
        assert_eq!(follow.texts(), [expected]);
        follow.end();
    }
}

#[test]
fn what_journald_cut_is_joined_and_long_or_binary_messages_come_whole() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("long");
    let mut plan = plan(of_unit(&journald.store, &name), Start::End);
    plan.line_bytes_max = 16 << 20;
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let mut writer = journald.writer(&name);
    let long = format!("{}ä{}", "x".repeat(49_151), "y".repeat(150_000));
    writer.write(format!("{long}\nwith\0nul\n").as_bytes());
    follow.until("the long line", |f| f.lines.len() >= 2);
    assert!(follow.lines[0].text == long && !follow.lines[0].is_cut && !follow.lines[0].had_invalid_utf8);
    assert_eq!(follow.lines[1].text, "with\0nul");
    let pid = writer.pid();
    journald.native(pid, &[("MESSAGE", b"two\nlines\n")]);
    journald.native(pid, &[("MESSAGE", b"\xff\0\x1b[31m")]);
    let huge: Vec<u8> =
        (0..10_000_000u32).map(|n| b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26).collect();
    journald.native(pid, &[("MESSAGE", &huge)]);
    follow.until("the native messages", |f| f.lines.len() >= 5);
    assert_eq!(follow.lines[2].text, "two\nlines");
    assert_eq!(
        (follow.lines[3].text.as_str(), follow.lines[3].had_invalid_utf8),
        ("\u{fffd}\0\u{1b}[31m", true)
    );
    assert!(follow.lines[4].text.as_bytes() == huge && !follow.lines[4].is_cut);
    writer.write(b"no end");
    writer.end();
    follow.until("the unfinished line", |f| f.lines.len() >= 6);
    assert_eq!((follow.lines[5].text.as_str(), follow.lines[5].is_cut), ("no end", true));
    follow.end();
    plan.line_bytes_max = 1_000;
    plan.start = Start::Beginning;
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let cut: Vec<(usize, bool)> = follow.lines.iter().map(|line| (line.text.len(), line.is_cut)).collect();
    assert_eq!((cut[0], cut[1], cut[4]), ((1_000, true), (8, false), (1_000, true)));
    follow.end();
}

/// Looks again while a file is taken away or written under the reader.
fn count(store: &Path, text: &str) -> usize {
    let journal = JournalPlan { directory: Some(store.to_owned()), ..JournalPlan::default() };
    let mut last = None;
    for _ in 0..50 {
        let mut found = 0;
        let each = &mut |reading| {
            found += usize::from(matches!(reading, Reading::Line(line) if line.text == text));
            ControlFlow::Continue(())
        };
        match journal::read(&plan(journal.clone(), Start::Beginning), &journal, None, each) {
            Ok(()) => return found,
            Err(error) => last = Some(error),
        }
    }
    panic!("the journal cannot be counted: {last:?}");
}

#[test]
fn the_own_log_is_never_read() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let all = JournalPlan { directory: Some(journald.store.clone()), ..JournalPlan::default() };
    let plan = plan(all, Start::End);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let mut writer = journald.writer(&unit("own"));
    journald.native(std::process::id(), &[("MESSAGE", b"our own")]);
    writer.write(b"not ours\n");
    follow.until("the line", |f| f.texts().contains(&"not ours"));
    assert!(!follow.texts().contains(&"our own"));
    follow.end();
}

#[test]
fn lines_arrive_within_a_second_from_idle_and_within_a_tenth_while_they_flow() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("latency");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut writer = journald.writer(&name);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let mut measure = |pause: Duration, rounds: usize| {
        let mut taken: Vec<Duration> = Vec::new();
        for round in 0..rounds {
            // From idle, no two lines meet the reader at the same point of its wait.
            let rested = Instant::now() + pause + pause.mul_f64(0.043 * (round % 10) as f64);
            follow.until("idleness", |_| Instant::now() >= rested);
            let before = follow.lines.len();
            let written = Instant::now();
            writer.write(format!("line {round}\n").as_bytes());
            while follow.lines.len() == before {
                assert!(written.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_micros(500));
                follow.take();
            }
            taken.push(follow.arrived[before] - written);
        }
        taken.sort();
        (taken[taken.len() / 2], taken[(taken.len() * 99).div_ceil(100) - 1], taken[taken.len() - 1])
    };
    let flowing = measure(Duration::from_millis(7), 300);
    let idle = measure(Duration::from_millis(2_300), 10);
    eprintln!("latency (median, 99 %, most): flowing {flowing:?}, from idle {idle:?}");
    assert!(flowing.1 < Duration::from_millis(100), "flowing: {flowing:?}");
    assert!(idle.2 < Duration::from_secs(1), "from idle: {idle:?}");
    follow.end();
}

#[test]
fn an_idle_source_costs_next_to_nothing() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("idle");
    let mut plan = plan(of_unit(&journald.store, &name), Start::End);
    plan.name = "idle".to_owned();
    let mut writer = journald.writer(&name);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    writer.write(b"one\n");
    follow.until("the line", |f| f.lines.len() == 1);
    let thread = reader_thread();
    let cooled = Instant::now() + Duration::from_millis(2_500);
    follow.until("idleness", |_| Instant::now() >= cooled);
    let before = cpu_of(&thread);
    let watched = Instant::now() + Duration::from_secs(5);
    follow.until("some seconds", |_| Instant::now() >= watched);
    let spent = cpu_of(&thread) - before;
    eprintln!("idle: {spent:?} of processor time in 5 s");
    assert!(spent < Duration::from_millis(25), "{spent:?}");
    follow.end();
}

/// The directory of the thread that reads the source `idle`.
fn reader_thread() -> std::path::PathBuf {
    let mut tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let is_reader = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "journal idle\n")
    };
    tasks.find(is_reader).unwrap()
}

fn cpu_of(task: &Path) -> Duration {
    let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Who may read the journal's files from now on.
fn mode_of_files(journald: &Journald, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let id = std::fs::read_to_string("/etc/machine-id").unwrap();
    let _ = std::fs::set_permissions(journald.store.parent().unwrap(), PermissionsExt::from_mode(0o755));
    for file in std::fs::read_dir(journald.store.join(id.trim())).unwrap().flatten() {
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// Follows as a user without rights. Only a thread, and the reader that it
/// starts, give theirs up.
fn as_nobody(plan: SourcePlan) -> Follow {
    let start = std::thread::spawn(move || {
        // SAFETY: raw calls change the calling thread alone.
        unsafe {
            assert_eq!(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()), 0);
            assert_eq!(libc::syscall(libc::SYS_setresgid, 65_534, 65_534, 65_534), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534), 0);
        }
        Follow::new(&plan, None)
    });
    start.join().unwrap()
}

#[test]
fn a_journal_without_permission_is_lost_with_its_remedy_and_comes_back() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("rights");
    let mut writer = journald.writer(&name);
    writer.write(b"one\n");
    journald_until("the line", || count(&journald.store, "one") == 1);
    mode_of_files(&journald, 0o600);
    let mut follow = as_nobody(plan(of_unit(&journald.store, &name), Start::Beginning));
    follow.until("the state", |f| !f.states.is_empty());
    let SourceState::Lost { why } = &follow.states[0] else { panic!("{:?}", follow.states) };
    assert!(why.contains("group systemd-journal") && why.contains("system.journal"), "{why}");
    mode_of_files(&journald, 0o644);
    follow.until("the line", |f| f.texts() == ["one"]);
    assert_eq!(follow.states[1..], [SourceState::Behind, SourceState::Live]);
    follow.end();
}

#[test]
fn a_missing_directory_is_lost_and_an_empty_one_is_quiet_until_a_journal_appears() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let all = JournalPlan { directory: Some(store.clone()), ..JournalPlan::default() };
    let mut follow = Follow::new(&plan(all, Start::End), None);
    follow.until("the state", |f| !f.states.is_empty());
    assert!(
        matches!(&follow.states[0], SourceState::Lost { why } if why.contains("directory")),
        "{:?}",
        follow.states
    );
    std::fs::create_dir(&store).unwrap();
    follow.until_live();
    let Some(mut remote) = journald_remote(&store.join("a.journal")) else {
        return;
    };
    remote.entry(7, 1_000, &[("MESSAGE", b"first"), ("_PID", b"9")]);
    follow.until("the first line", |f| f.texts() == ["first"]);
    follow.end();
}

#[test]
fn a_source_ends_when_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let all = JournalPlan { directory: Some(dir.path().to_owned()), ..JournalPlan::default() };
    let mut follow = Follow::new(&plan(all, Start::End), None);
    follow.until_live();
    let thread = follow.thread.take().unwrap();
    drop(follow);
    let asked = Instant::now();
    thread.join().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1));
}
