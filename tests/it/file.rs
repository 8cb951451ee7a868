//! The file source, on real files: what is written is delivered once and in
//! order, whatever happens to the file meanwhile.

mod faults;
mod following;
mod lines;
mod rotating;
mod scripts;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
