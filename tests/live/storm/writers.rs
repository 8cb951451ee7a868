//! The three writers of the storm: a unit of a real journald, a container of a
//! real dockerd and a file that is rotated. Each writes on a thread of its own,
//! in pieces that end anywhere, and keeps count of what it wrote.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::model::{Model, Turn};
use crate::daemon::kit::rest;
use crate::daemon::pack::{docker_time, now, refresh, request};
use crate::support::{Journald, JournaldWriter};

/// Upper bounds of both histograms.
pub const BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Exact in binary, so that sums are exact in any order.
const DURATIONS: &[f64] = &[0.0, 0.00390625, 0.125, 0.25, 0.5, 1.0, 4.0, 16.0];
const METHODS: [&str; 3] = ["private/user-balance", "private/create-order", "private/get-open-orders"];
/// A file is renamed after so many lines, and this many old ones are kept.
const ROTATE_LINES: u64 = 1_500;
const ROTATED_MAX: u32 = 60;
/// Longer than what dockerd and journald take as one piece.
const LONG: usize = 70_000;

/// Numbers that are the same for the same seed (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// Where a writer's bytes go.
enum Door {
    Journal(JournaldWriter),
    /// The pipe a container copies to its output.
    Container(File),
    File {
        file: File,
        path: PathBuf,
        lines: u64,
    },
}

/// A writer and its count.
struct Writer {
    door: Door,
    dice: Dice,
    model: Model,
    /// Pieces to come without a pause.
    burst: u64,
    /// What is left of a run of failures or successes, by kind.
    runs: [(u64, bool); 3],
}

/// A writer at work.
pub struct Writing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Model>>,
}

impl Writing {
    /// Ends it; what it wrote.
    pub fn end(mut self) -> Model {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts the three writers.
pub fn start(journald: &mut Journald, pipe: &Path, file: &Path, seed: u64) -> Vec<Writing> {
    let doors = [
        Door::Journal(journald.writer("crypto-proxy.service")),
        Door::Container(OpenOptions::new().read(true).write(true).open(pipe).unwrap()),
        Door::File { file: create(file), path: file.to_owned(), lines: 0 },
    ];
    let start = |(number, door)| {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let dice = Dice::new(seed * 3 + number);
        let mut writer = Writer { door, dice, model: Model::default(), burst: 0, runs: [(0, false); 3] };
        let work = move || {
            while !is_over.load(Ordering::Relaxed) {
                writer.event(None);
            }
            writer.finish();
            writer.model
        };
        Writing { stop, thread: Some(std::thread::spawn(work)) }
    };
    (0..).zip(doors).map(start).collect()
}

fn create(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

impl Writer {
    /// One event, of the wanted kind or of the kind that is its turn.
    fn event(&mut self, is_bad: Option<bool>) {
        let turn = match self.door {
            Door::Journal(_) => self.request(is_bad),
            Door::Container(_) => match self.dice.below(3) {
                0 => self.refresh(),
                1 => self.read(),
                _ => self.job("container", is_bad),
            },
            Door::File { .. } => self.job("file", is_bad),
        };
        if turn == Turn::Changed {
            // Incidents are told apart by the millisecond they began, as far
            // as journald and dockerd take lines as they come.
            rest(Duration::from_millis(3));
        }
        if self.dice.below(150) == 0 {
            let length = self.dice.below(LONG as u64) as usize;
            self.line(&format!("noise {}", "x".repeat(length)));
        }
        if self.dice.below(120) == 0 {
            self.burst = self.dice.below(400);
        }
    }

    /// Ends what is under way; two failures in a row are left.
    fn finish(&mut self) {
        for is_bad in [false, true, true] {
            match self.door {
                Door::Journal(_) => drop(self.request_of(0, is_bad)),
                Door::Container(_) => drop(self.job("container", Some(is_bad))),
                Door::File { .. } => drop(self.job("file", Some(is_bad))),
            }
        }
        if matches!(self.door, Door::Container(_)) {
            self.refresh();
        }
        if let Door::Journal(writer) = &mut self.door {
            writer.end();
        }
    }

    /// Runs of failures and of successes, as they come in life.
    fn is_bad(&mut self, kind: usize) -> bool {
        let (left, is_bad) = &mut self.runs[kind];
        if *left == 0 {
            // One notice for what is past names no more than 32 of one rule.
            let often = if matches!(self.door, Door::Journal(_)) { 6 } else { 40 };
            let may_be_incident = self.dice.below(often) == 0;
            *left = 1 + self.dice.below(if may_be_incident { 9 } else { 2 });
            *is_bad = !*is_bad;
        }
        *left -= 1;
        *is_bad
    }

    fn request(&mut self, is_bad: Option<bool>) -> Turn {
        let method = if self.dice.below(3) == 0 { 1 + self.dice.below(2) as usize } else { 0 };
        let streak = format!("crypto_exchange_auth_failure_streak{{method=\"{}\"}}", METHODS[method]);
        // Only one method comes to an incident.
        let may_fail = method == 0 || self.model.streak_of(&streak) < 2;
        let is_bad = is_bad.unwrap_or_else(|| self.is_bad(method)) && may_fail;
        self.request_of(method, is_bad)
    }

    fn request_of(&mut self, method: usize, is_bad: bool) -> Turn {
        let name = METHODS[method];
        for line in request(!is_bad) {
            self.line(&line.replace(METHODS[0], name));
        }
        let (outcome, code, status) = if is_bad { ("auth_failed", 40101, 401) } else { ("ok", 0, 200) };
        self.model.count(&format!(
            "crypto_exchange_requests_total{{method=\"{name}\",outcome=\"{outcome}\",code=\"{code}\"}}"
        ));
        self.model.count(&format!("crypto_exchange_http_responses_total{{status=\"{status}\"}}"));
        let alert = (method == 0).then_some("ExchangeAuthFailing");
        self.model.streak(&format!("crypto_exchange_auth_failure_streak{{method=\"{name}\"}}"), alert, is_bad)
    }

    fn refresh(&mut self) -> Turn {
        let dollars = self.dice.below(1_000);
        for line in refresh() {
            self.line(&line.replace("$22,759.04", &format!("${dollars}.25")));
        }
        self.model.count("portfolio_syncs_total{outcome=\"ok\"}");
        self.model.set("portfolio_total_usd", dollars as f64 + 0.25);
        self.model.set("portfolio_balances", 16.0);
        Turn::None
    }

    fn read(&mut self) -> Turn {
        let seconds = self.duration();
        let (balances, priced) = (self.dice.below(30), self.dice.below(10));
        self.line(&format!(
            "2026-03-17 10:00:19,980 [INFO] app.services.portfolio_cache: Portfolio summary fetched in \
             {seconds}s: {balances} balances, {priced} with USD values, total_assets=$1.00"
        ));
        self.model.observe("portfolio_read_duration_seconds", BOUNDS, seconds);
        self.model.set("portfolio_read_balances", balances as f64);
        self.model.set("portfolio_read_priced_balances", priced as f64);
        Turn::None
    }

    fn job(&mut self, kind: &str, is_bad: Option<bool>) -> Turn {
        let is_bad = is_bad.unwrap_or_else(|| self.is_bad(0));
        let seconds = self.duration();
        let job = ["alpha", "beta", "gamma"][self.dice.below(3) as usize];
        let outcome = if is_bad { "failed" } else { "done" };
        let time = docker_time(now().0 * 1_000);
        self.line(&format!("{time} job={job} result={outcome} seconds={seconds} of {kind}"));
        self.model.count(&format!("storm_{kind}_jobs_total{{job=\"{job}\",outcome=\"{outcome}\"}}"));
        self.model.observe(&format!("storm_{kind}_job_seconds"), BOUNDS, seconds);
        let alert = if kind == "file" { "FileJobFailing" } else { "ContainerJobFailing" };
        self.model.streak(&format!("storm_{kind}_failure_streak"), Some(alert), is_bad)
    }

    fn duration(&mut self) -> f64 {
        DURATIONS[self.dice.below(DURATIONS.len() as u64) as usize]
    }

    /// One line, in pieces of any length.
    fn line(&mut self, text: &str) {
        let bytes = format!("{text}\n").into_bytes();
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            let most = if self.burst > 0 || bytes.len() > 4_096 { 16_384 } else { 200 };
            let length = (1 + self.dice.below(most) as usize).min(bytes.len());
            self.write(&bytes[..length]);
            bytes = &bytes[length..];
            if self.burst > 0 {
                self.burst -= 1;
            } else if self.dice.below(3) == 0 {
                rest(Duration::from_micros(self.dice.below(4_000)));
            }
        }
        let source = match self.door {
            Door::Journal(_) => "crypto-proxy",
            Door::Container(_) => "backend",
            Door::File { .. } => "jobs",
        };
        self.model.line(source);
        self.rotate();
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.door {
            Door::Journal(writer) => writer.write(bytes),
            Door::Container(pipe) => pipe.write_all(bytes).unwrap(),
            Door::File { file, .. } => file.write_all(bytes).unwrap(),
        }
    }

    /// Renames the file as logrotate does; its writer opens the new one a
    /// little later, so one more line stands in the old one.
    fn rotate(&mut self) {
        let Door::File { file, path, lines } = &mut self.door else { return };
        *lines += 1;
        let named = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
        if (*lines).is_multiple_of(ROTATE_LINES) {
            for number in (1..ROTATED_MAX).rev() {
                // Not that many yet.
                let _ = fs::rename(named(number), named(number + 1));
            }
            fs::rename(&*path, named(1)).unwrap();
        } else if *lines % ROTATE_LINES == 1 && *lines > 1 {
            *file = create(path);
        }
    }
}
