//! The file source, on real files: what is written is delivered once and in
//! order, whatever happens to the file meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tocsin::config::plan::{FileFormat, FilePlan, SourceKind, SourcePlan, Start};
use tocsin::model::{Batch, Channel, Cursor, Gap, Line, Reading, SourceState, Time};
use tocsin::source::file::spawn;
use tokio::sync::mpsc::{Receiver, channel, error::TryRecvError};

const PATIENCE: Duration = Duration::from_secs(60);

fn plan(paths: &[&Path]) -> SourcePlan {
    let paths = paths.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    SourcePlan {
        name: "files".to_owned(),
        kind: SourceKind::File(FilePlan { paths, format: FileFormat::Plain }),
        start: Start::Beginning,
        line_bytes_max: 1024 * 1024,
        timezone: jiff::tz::TimeZone::UTC,
    }
}

fn docker(mut plan: SourcePlan) -> SourcePlan {
    if let SourceKind::File(files) = &mut plan.kind {
        files.format = FileFormat::DockerJson;
    }
    plan
}

/// A running source and everything it said.
struct Running {
    batches: Receiver<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    lines: Vec<Line>,
    gaps: Vec<Gap>,
    states: Vec<SourceState>,
    cursor: Option<Cursor>,
}

impl Running {
    fn start(plan: &SourcePlan, cursor: Option<Cursor>) -> Running {
        let (tx, batches) = channel(4);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn(0, plan, cursor.clone(), tx, stop.clone()).unwrap();
        Running { batches, stop, thread: Some(thread), lines: vec![], gaps: vec![], states: vec![], cursor }
    }

    /// Takes batches until the condition holds.
    fn until(&mut self, what: &str, is_so: impl Fn(&Running) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            if !self.take_one() {
                assert!(Instant::now() < deadline, "{what}: never came; last lines {:?}", self.tail());
                std::thread::yield_now();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    fn take_one(&mut self) -> bool {
        match self.batches.try_recv() {
            Ok(batch) => {
                assert!(batch.readings.len() <= 1_100, "a batch of {} readings", batch.readings.len());
                for reading in batch.readings {
                    match reading {
                        Reading::Line(line) => self.lines.push(line),
                        Reading::Gap(gap) => self.gaps.push(gap),
                        Reading::State(state) => self.states.push(state),
                    }
                }
                self.cursor = batch.cursor.or(self.cursor.take());
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => panic!("the source ended by itself"),
        }
    }

    fn until_live(&mut self) {
        self.until("live", |r| r.states.last() == Some(&SourceState::Live));
    }

    fn until_lines(&mut self, count: usize) {
        self.until(&format!("{count} lines"), |r| r.lines.len() >= count);
    }

    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|l| l.text.as_str()).collect()
    }

    fn tail(&self) -> Vec<&str> {
        self.texts().into_iter().rev().take(3).collect()
    }

    /// Stops the thread; gives the cursor after the last batch taken.
    fn stop(mut self) -> Option<Cursor> {
        self.end();
        self.cursor.take()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let began = Instant::now();
            thread.join().unwrap();
            assert!(began.elapsed() < Duration::from_millis(500), "stopping took {:?}", began.elapsed());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    (folder, log)
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("line {n}")).collect()
}

#[test]
fn lines_come_whole_in_order_and_fast() {
    let (_folder, log) = folder();
    append(&log, "one\ntwo\nthr");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    assert_eq!(source.texts(), ["one", "two"]);
    let written = Instant::now();
    append(&log, "ee\n");
    source.until_lines(3);
    assert!(written.elapsed() < Duration::from_millis(500), "took {:?}", written.elapsed());
    assert_eq!(source.texts(), ["one", "two", "three"]);
    assert_eq!(&*source.lines[0].stream.writer, log.to_str().unwrap());
    assert!(source.gaps.is_empty());
    source.stop();
}

#[test]
fn the_first_start_obeys_its_option() {
    let (_folder, log) = folder();
    append(&log, "2020-01-01 00:00:00,000 old\n  its traceback\n");
    let near = Time::parse_rfc3339("2200-01-01T00:00:00Z").unwrap().to_rfc3339();
    append(&log, &format!("{near} new\n  its traceback\nunfinished"));

    let mut end = plan(&[&log]);
    end.start = Start::End;
    let mut source = Running::start(&end, None);
    source.until_live();
    append(&log, " line\n");
    source.until_lines(1);
    assert_eq!(source.texts(), ["unfinished line"]);
    source.stop();

    let mut ago = plan(&[&log]);
    ago.start = Start::Ago(Duration::from_secs(3600));
    let mut source = Running::start(&ago, None);
    source.until_live();
    assert_eq!(source.texts(), [&*format!("{near} new"), "  its traceback", "unfinished line"]);
    source.stop();

    let (_folder, bare) = folder();
    append(&bare, "no time\n");
    ago.kind = plan(&[&bare]).kind;
    let mut source = Running::start(&ago, None);
    source.until_live();
    assert_eq!(source.texts(), ["no time"]);
}

#[test]
fn the_first_batch_holds_the_position_so_that_nothing_is_skipped_by_a_restart() {
    let (_folder, log) = folder();
    append(&log, "before\n");
    let mut plan = plan(&[&log]);
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    let cursor = source.stop();
    append(&log, "meanwhile\n");
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), ["meanwhile"]);
}

#[test]
fn rotation_by_renaming_under_a_fast_writer_loses_and_repeats_nothing() {
    let (folder, log) = folder();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    const LINES: usize = 40_000;
    let writer = std::thread::spawn(move || {
        let rotated = |n: usize| folder.path().join(format!("app.log.{n}"));
        let mut file = File::create(&log).unwrap();
        for n in 0..LINES {
            writeln!(file, "line {n}").unwrap();
            if n % 2_000 == 1_999 {
                for older in (1..6).rev() {
                    let _ = fs::rename(rotated(older), rotated(older + 1));
                }
                fs::rename(&log, rotated(1)).unwrap();
                file = File::create(&log).unwrap();
                // A rotation is not faster than a reader's look for ever.
                std::thread::park_timeout(Duration::from_millis(if n % 4_000 == 1_999 { 0 } else { 30 }));
            }
        }
        folder
    });
    source.until_lines(LINES);
    let _folder = writer.join().unwrap();
    assert_eq!(source.texts(), numbers(0, LINES));
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
}

#[test]
fn a_writer_that_is_slow_to_open_the_new_file_is_still_heard() {
    let (folder, log) = folder();
    let mut old = File::create(&log).unwrap();
    writeln!(old, "one").unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    append(&log, "three\n");
    source.until_lines(2);
    writeln!(old, "two, late").unwrap();
    source.until_lines(3);
    assert_eq!(source.texts(), ["one", "three", "two, late"]);
}

#[test]
fn copytruncate_is_read_on_in_the_copy() {
    let (folder, log) = folder();
    append(&log, "one\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    let cursor = source.stop();
    append(&log, "two\n");
    fs::copy(&log, folder.path().join("app.log.1")).unwrap();
    File::create(&log).unwrap();
    append(&log, "three\nfour\nfive\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["two", "three", "four", "five"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    // And while it runs, at its end.
    fs::copy(&log, folder.path().join("app.log.2")).unwrap();
    File::create(&log).unwrap();
    append(&log, "six is longer than everything before it was, by far\n");
    source.until_lines(5);
    assert_eq!(source.texts()[4], "six is longer than everything before it was, by far");
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
}

#[test]
fn truncation_without_a_copy_is_a_gap_if_something_was_unread() {
    let (_folder, log) = folder();
    append(&log, "one\nunfinished");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    File::create(&log).unwrap();
    append(&log, "two\n");
    source.until_lines(2);
    assert_eq!(source.texts(), ["one", "two"]);
    assert_eq!(source.gaps.len(), 1, "{:?}", source.gaps);
    let cursor = source.stop();
    File::create(&log).unwrap();
    append(&log, "all new\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["all new"]);
    assert_eq!(source.gaps.len(), 1, "{:?}", source.gaps);
}

#[test]
fn globs_find_what_comes_later_and_leave_packed_files_alone() {
    let (folder, log) = folder();
    append(&log, "a\n");
    let pattern = folder.path().join("*.log*");
    let mut source = Running::start(&plan(&[&pattern]), None);
    source.until_live();
    append(&folder.path().join("other.log"), "b\n");
    append(&folder.path().join("other.log.2.gz"), "packed\n");
    source.until_lines(2);
    // Renamed to another name that the glob matches: the same file, not a new one.
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    append(&log, "c\n");
    source.until_lines(3);
    append(&folder.path().join("app.log.1"), "d\n");
    source.until_lines(4);
    fs::create_dir(folder.path().join("sub.log")).unwrap();
    append(&log, "e\n");
    source.until_lines(5);
    assert_eq!(source.texts(), ["a", "b", "c", "d", "e"]);
    assert_eq!(source.states, [SourceState::Live]);
}

#[test]
fn globs_over_folders_find_new_folders() {
    let (folder, _) = folder();
    let pattern = folder.path().join("*/*-json.log");
    let mut plan = docker(plan(&[&pattern]));
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    let container = folder.path().join("c0ffee");
    fs::create_dir(&container).unwrap();
    let log = container.join("c0ffee-json.log");
    append(&log, "{\"log\":\"up\\n\",\"stream\":\"stdout\",\"time\":\"2026-03-14T09:12:41.318Z\"}\n");
    source.until_lines(1);
    assert_eq!(source.texts(), ["up"]);
    assert_eq!(&*source.lines[0].stream.writer, log.to_str().unwrap());
}

#[test]
fn a_path_that_is_not_there_is_quiet_and_read_from_its_beginning_when_it_comes() {
    let (folder, _) = folder();
    let log = folder.path().join("not/yet/app.log");
    let mut plan = plan(&[&log]);
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    for round in 0..3 {
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        append(&log, &format!("one {round}\ntwo {round}\n"));
        source.until_lines(2 + 2 * round);
        fs::remove_dir_all(folder.path().join("not")).unwrap();
    }
    assert_eq!(source.texts(), ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]);
    assert_eq!(source.states, [SourceState::Live]);
    assert!(source.gaps.is_empty());
}

#[test]
fn what_cannot_be_read_is_lost_with_its_reason_and_comes_back() {
    let (_folder, log) = folder();
    fs::create_dir(&log).unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until("lost", |r| matches!(r.states.last(), Some(SourceState::Lost { .. })));
    let Some(SourceState::Lost { why }) = source.states.last() else { unreachable!() };
    assert!(why.contains("app.log") && why.contains("directory"), "{why}");
    fs::remove_dir(&log).unwrap();
    append(&log, "one\n");
    source.until_lines(1);
    source.until_live();
}

#[test]
fn rotated_while_down_is_finished_then_the_generations_between_then_the_new_file() {
    let (folder, log) = folder();
    let rotated = |n: usize| folder.path().join(format!("app.log.{n}"));
    append(&rotated(1), "before our time\n");
    append(&log, "one\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    let cursor = source.stop();
    append(&log, "two\n");
    fs::rename(rotated(1), rotated(3)).unwrap();
    fs::rename(&log, rotated(2)).unwrap();
    append(&rotated(1), "three\n");
    append(&log, "four\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["two", "three", "four"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    let cursor = source.stop();
    // Nothing is read twice by a third run.
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), [""; 0]);
    let cursor = source.stop();
    // Gone is a gap.
    for path in [rotated(3), rotated(2), rotated(1), log.clone()] {
        fs::remove_file(path).unwrap();
    }
    append(&rotated(9), "its number may have been taken\n");
    append(&log, "five\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert!(!source.gaps.is_empty());
    assert_eq!(source.texts().last(), Some(&"five"));
}

#[test]
fn long_lines_are_cut_once_and_hostile_bytes_do_no_harm() {
    let (_folder, log) = folder();
    let mut plan = plan(&[&log]);
    plan.line_bytes_max = 10;
    let mut file = File::create(&log).unwrap();
    file.write_all(b"0123456789\n0123456789x\nshort\r\n012345678\xC3\xA9\n\xFF\xFE\n\0\0\x1b[2J\n").unwrap();
    let mut source = Running::start(&plan, None);
    source.until_live();
    assert_eq!(
        source.texts(),
        ["0123456789", "0123456789", "short", "012345678", "\u{FFFD}\u{FFFD}", "\0\0\u{1b}[2J"]
    );
    let cut: Vec<bool> = source.lines.iter().map(|l| l.is_cut).collect();
    assert_eq!(cut, [false, true, false, true, false, false]);
    let invalid: Vec<bool> = source.lines.iter().map(|l| l.had_invalid_utf8).collect();
    assert_eq!(invalid, [false, false, false, false, true, false]);
    // A line without an end is given when it is over the limit, and its rest
    // is passed over, also by another run.
    file.write_all(&vec![b'z'; 3_000_000]).unwrap();
    source.until_lines(7);
    source.until("the rest taken", |r| r.cursor.as_ref().is_some_and(|c| c.0.contains("\"offset\":3000")));
    let cursor = source.stop();
    file.write_all(b"zzz\nnext\n").unwrap();
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), ["next"]);
}

#[test]
fn a_line_of_a_gigabyte_is_cut_and_what_follows_is_read() {
    let (_folder, log) = folder();
    let file = File::create(&log).unwrap();
    // A hole reads as NULs and takes no place on the disk.
    file.set_len(1 << 30).unwrap();
    append(&log, "\nnext\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(2);
    assert_eq!((source.lines[0].text.len(), source.lines[0].is_cut), (1024 * 1024, true));
    assert_eq!(source.lines[1].text, "next");
}

#[test]
fn lines_take_their_own_time_and_those_without_the_time_before() {
    let (_folder, log) = folder();
    append(
        &log,
        "2026-01-08 01:19:43,943 [ERROR] app: x\nTraceback\n[2026-01-12 15:46:07,540] y\n\
         [2026-03-17 10:00:00 +0000] [1] [INFO] z\n2026-03-17T12:00:00.5+02:00 w\n\
         2026-03-18T00:00:00.123456789Z 2026-01-08 01:19:43,943 [INFO] from docker\n",
    );
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    let times: Vec<String> = source.lines.iter().map(|l| l.at.to_rfc3339()).collect();
    assert_eq!(
        times,
        [
            "2026-01-08T01:19:43.943Z",
            "2026-01-08T01:19:43.943Z",
            "2026-01-12T15:46:07.540Z",
            "2026-03-17T10:00:00.000Z",
            "2026-03-17T10:00:00.500Z",
            "2026-03-18T00:00:00.123Z",
        ]
    );
    assert_eq!(source.lines[5].text, "2026-01-08 01:19:43,943 [INFO] from docker");
}

#[test]
fn lines_without_any_time_take_that_of_reading_and_never_run_backwards() {
    let (_folder, log) = folder();
    let mut source = Running::start(&plan(&[&log]), None);
    let before = jiff::Timestamp::now().as_nanosecond() as i64;
    for n in 0..20 {
        append(&log, &format!("line {n}\n"));
        source.until_lines(n + 1);
    }
    let times: Vec<Time> = source.lines.iter().map(|l| l.at).collect();
    assert!(times.is_sorted() && times[0].0 >= before);
}

fn piece(log: &str, stream: &str, second: usize) -> String {
    let log = serde_json::to_string(log).unwrap();
    format!(
        "{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-03-14T09:12:{second:02}.000000001Z\"}}\n"
    )
}

#[test]
fn dockers_pieces_are_joined_for_each_output_and_read_again_after_a_restart() {
    let (_folder, log) = folder();
    let long = "x".repeat(16 * 1024);
    append(
        &log,
        &(piece(&long, "stdout", 1) + &piece("warning\n", "stderr", 1) + &piece("half ", "stderr", 2)),
    );
    let plan = docker(plan(&[&log]));
    let mut source = Running::start(&plan, None);
    source.until_live();
    assert_eq!(source.texts(), ["warning"]);
    assert_eq!(source.lines[0].stream.channel, Channel::Err);
    let cursor = source.stop();
    let stored = cursor.clone().unwrap().0;
    assert!(!stored.contains("xxx") && !stored.contains("half"), "no unfinished line is stored: {stored}");
    append(&log, &(piece("y\r\n", "stdout", 1) + "torn{\n" + &piece("done\n", "stderr", 2)));
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), [&*format!("{long}y"), "torn{", "half done"]);
    assert_eq!(source.lines[0].stream.channel, Channel::Out);
    assert_eq!(source.lines[0].at, Time::parse_rfc3339("2026-03-14T09:12:01.000000001Z").unwrap());
    assert!(source.lines[1].is_cut);
}

#[test]
fn a_backlog_is_behind_before_it_is_live_and_comes_in_bounded_batches() {
    let (_folder, log) = folder();
    append(&log, &"a line of some length that stands many times in the file\n".repeat(20_000));
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    assert_eq!(source.lines.len(), 20_000);
    assert_eq!(source.states, [SourceState::Behind, SourceState::Live]);
}

/// What happens to the files, and when the reader is stopped and started.
#[derive(Clone, Debug)]
enum Step {
    /// Whole lines.
    Lines(usize),
    /// The beginning of a line; the next write ends it.
    Half,
    Rename,
    /// After everything was read; the reader sees it before the next step.
    CopyTruncate,
    /// The same while no reader runs.
    CopyTruncateWhileDown,
    /// Stop after taking so many batches, start with the cursor of the last.
    Restart(usize),
    /// Wait until the reader has everything.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1usize..40).prop_map(Step::Lines),
        2 => Just(Step::Half),
        2 => Just(Step::Rename),
        1 => Just(Step::CopyTruncate),
        1 => Just(Step::CopyTruncateWhileDown),
        4 => (0usize..4).prop_map(Step::Restart),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Moves every rotated file one number up.
fn make_room(folder: &Path, rotations: &mut usize) {
    *rotations += 1;
    for older in (1..*rotations).rev() {
        let rotated = |n: usize| folder.join(format!("app.log.{n}"));
        fs::rename(rotated(older), rotated(older + 1)).unwrap();
    }
}

fn copy_and_truncate(folder: &Path, log: &Path, rotations: &mut usize) {
    make_room(folder, rotations);
    fs::copy(log, folder.join("app.log.1")).unwrap();
    File::create(log).unwrap();
}

/// Runs a script; gives what was written and what was delivered.
fn run_script(steps: &[Step], plan_of: impl Fn(&Path) -> SourcePlan) -> (Vec<String>, Vec<String>, Vec<Gap>) {
    let (folder, log) = folder();
    let plan = plan_of(&log);
    let (mut written, mut delivered, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_half = false;
    let mut rotations = 0;
    let mut source = Running::start(&plan, None);
    // Without a first position there is nothing to resume.
    source.until_live();
    let end_half = |is_half: &mut bool, written: &mut Vec<String>| {
        if std::mem::take(is_half) {
            append(&log, " end\n");
            written.push(format!("half {} end", written.len()));
        }
    };
    for step in steps.iter().chain([&Step::Settle]) {
        match step {
            Step::Lines(count) => {
                end_half(&mut is_half, &mut written);
                for _ in 0..*count {
                    let line = format!("line {} {}", written.len(), "-".repeat(written.len() * 7 % 90));
                    append(&log, &format!("{line}\n"));
                    written.push(line);
                }
            }
            Step::Half => {
                end_half(&mut is_half, &mut written);
                append(&log, &format!("half {}", written.len()));
                is_half = true;
            }
            Step::Rename => {
                end_half(&mut is_half, &mut written);
                if log.exists() {
                    make_room(folder.path(), &mut rotations);
                    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
                }
            }
            Step::CopyTruncate | Step::CopyTruncateWhileDown => {
                end_half(&mut is_half, &mut written);
                if !log.exists() {
                    continue;
                }
                let is_down = matches!(step, Step::CopyTruncateWhileDown);
                if is_down {
                    delivered.extend(source.texts().into_iter().map(str::to_owned));
                    gaps.append(&mut source.gaps);
                    let cursor = source.stop();
                    copy_and_truncate(folder.path(), &log, &mut rotations);
                    source = Running::start(&plan, cursor);
                } else {
                    let wanted = written.len() - delivered.len();
                    source.until("everything before the copy", |r| r.lines.len() >= wanted);
                    copy_and_truncate(folder.path(), &log, &mut rotations);
                }
                written.push(format!("truncated {}", written.len()));
                append(&log, &format!("truncated {}\n", written.len() - 1));
                let wanted = written.len() - delivered.len();
                source.until("the line after the copy", |r| r.lines.len() >= wanted);
            }
            Step::Restart(batches) => {
                for _ in 0..*batches {
                    source.take_one();
                }
                delivered.extend(source.texts().into_iter().map(str::to_owned));
                gaps.append(&mut source.gaps);
                let cursor = source.stop();
                source = Running::start(&plan, cursor);
            }
            Step::Settle => {
                let before = delivered.len();
                let wanted = written.len();
                source.until("everything written", |r| before + r.lines.len() >= wanted);
            }
        }
    }
    delivered.extend(source.texts().into_iter().map(str::to_owned));
    gaps.append(&mut source.gaps);
    source.end();
    (written, delivered, gaps)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 60,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_260_314),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_script_with_restarts_delivers_what_was_written(steps in steps()) {
        let (written, delivered, gaps) = run_script(&steps, |log| plan(&[log]));
        prop_assert_eq!(delivered, written);
        prop_assert!(gaps.is_empty(), "{:?}", gaps);
    }
}
