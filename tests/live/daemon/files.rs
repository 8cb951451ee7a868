//! What can happen to a log file, with SIGKILLs between: each line is counted
//! once, on a disk of its own that can be full.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::kit::{Daemon, Setup};
use super::pack::{docker_time, now};
use crate::support::journald_skip;

const LINES: &str = "tocsin_source_lines_total{source=\"backend\"}";
const GAPS: &str = "tocsin_log_gaps_total{source=\"backend\"}";

/// Runs `work` on a thread that alone sees a small disk at `at`; false where
/// that is impossible.
fn with_small_disk(at: &Path, work: impl FnOnce() + Send) -> bool {
    let path = std::ffi::CString::new(at.to_str().unwrap()).unwrap();
    let mount = move || {
        // SAFETY: plain system calls on the calling thread's own view.
        unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(
                    c"tmpfs".as_ptr(),
                    path.as_ptr(),
                    c"tmpfs".as_ptr(),
                    0,
                    c"size=256k".as_ptr().cast(),
                ) == 0
        }
    };
    std::thread::scope(|scope| {
        let run = || {
            let is_there = mount();
            if is_there {
                work();
            }
            is_there
        };
        scope.spawn(run).join().unwrap()
    })
}

/// A log and what was written to it.
struct Log {
    path: PathBuf,
    written: usize,
}

impl Log {
    fn lines(&mut self, count: usize) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        for _ in 0..count {
            writeln!(file, "{} line {}", docker_time(now().0 * 1_000), self.written).unwrap();
            self.written += 1;
        }
    }

    fn rotated(&self, number: usize) -> PathBuf {
        self.path.with_file_name(format!("app.log.{number}"))
    }

    #[track_caller]
    fn until_counted(&self, daemon: &Daemon) {
        daemon.until_metric(LINES, self.written as f64);
    }
}

/// Fills the disk, begins a line on it, and gives what did not fit.
fn fill_up(folder: &Path, log: &Path, line: &[u8]) -> usize {
    let mut ballast = File::create(folder.join("ballast")).unwrap();
    while ballast.write_all(&[0; 512]).is_ok() {}
    let mut file = OpenOptions::new().append(true).open(log).unwrap();
    let mut taken = 0;
    while taken < line.len() {
        match file.write(&line[taken..]) {
            Ok(bytes) => taken += bytes,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
                return taken;
            }
        }
    }
    panic!("the disk is not full");
}

fn story(setup: &Setup, folder: &Path) {
    let mut log = Log { path: folder.join("logs/app.log"), written: 0 };
    fs::create_dir(folder.join("logs")).unwrap();
    log.lines(100);
    let daemon = setup.start_live();
    log.until_counted(&daemon);

    // Renamed, then copied and truncated, while nobody looks.
    daemon.kill();
    log.lines(50);
    fs::rename(&log.path, log.rotated(1)).unwrap();
    log.lines(50);
    let daemon = setup.start_live();
    log.until_counted(&daemon);
    daemon.kill();
    log.lines(30);
    fs::copy(&log.path, log.rotated(0)).unwrap();
    File::create(&log.path).unwrap();
    log.lines(30);
    let daemon = setup.start_live();
    log.until_counted(&daemon);

    // A full disk: half a line, a kill, and the rest of it later.
    let line = [b"begun on a full disk ".as_slice(), &[b'x'; 9_000], b" and ended\n"].concat();
    let taken = fill_up(folder, &log.path, &line);
    assert!(taken > 0, "nothing of the line fitted");
    daemon.kill();
    let daemon = setup.start_live();
    fs::remove_file(folder.join("ballast")).unwrap();
    let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
    file.write_all(&line[taken..]).unwrap();
    log.written += 1;
    log.lines(5);
    log.until_counted(&daemon);

    // The folder goes and comes again, and goes elsewhere with a writer.
    fs::remove_dir_all(folder.join("logs")).unwrap();
    fs::create_dir(folder.join("logs")).unwrap();
    log.lines(40);
    log.until_counted(&daemon);
    daemon.kill();
    let daemon = setup.start_live();
    fs::rename(folder.join("logs"), folder.join("moved")).unwrap();
    let late = Log { path: folder.join("moved/app.log"), written: log.written };
    fs::create_dir(folder.join("logs")).unwrap();
    log.lines(20);
    log.until_counted(&daemon);
    let mut late = late;
    late.lines(5);
    log.written += 5;
    log.until_counted(&daemon);

    // What is counted is committed.
    daemon.kill();
    let daemon = setup.start_live();
    log.lines(1);
    log.until_counted(&daemon);
    assert_eq!(daemon.metric(GAPS), Some(0.0));
    eprintln!("files: {} lines written, {} counted, 5 kills", log.written, daemon.metric(LINES).unwrap());
}

#[test]
fn lines_of_a_file_are_counted_once_whatever_happens_to_it_between_kills() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let source = |name: &str, path: &Path| {
        let path = path.display();
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{path}\"]\nstart = \"beginning\"\n"
        )
    };
    let none = dir.path().join("none.log");
    let text = source("crypto-proxy", &none) + &source("backend", &folder.join("logs/app.log"));
    let setup = Setup::new(dir, &text);
    if !with_small_disk(&folder, || story(&setup, &folder)) {
        journald_skip("a disk cannot be mounted in a namespace of its own (needs root)");
    }
}
