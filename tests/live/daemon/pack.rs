//! Lines of the watched stack, taken from the cases, at times of one's own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use jiff::Timestamp;

use super::kit::{root, until};

const JOURNAL_REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// One entry of `journalctl -o export`.
#[derive(Clone, Debug)]
pub struct Entry(pub Vec<(String, String)>);

impl Entry {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|f| f.0 == name).map(|f| f.1.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        if let Some(field) = self.0.iter_mut().find(|f| f.0 == name) {
            field.1 = value;
        }
    }

    /// Microseconds since the epoch.
    pub fn realtime(&self) -> i64 {
        self.get("__REALTIME_TIMESTAMP").unwrap().parse().unwrap()
    }

    /// The same entry at another time of this boot.
    pub fn at(mut self, (realtime, monotonic): (i64, i64), boot: Option<&str>) -> Entry {
        self.set("__REALTIME_TIMESTAMP", realtime.to_string());
        if let Some(boot) = boot {
            self.set("__MONOTONIC_TIMESTAMP", monotonic.to_string());
            self.set("_BOOT_ID", boot.to_owned());
        }
        self.0.retain(|f| f.0 != "__CURSOR");
        self
    }

    pub fn text(&self) -> String {
        let fields: String = self.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fields + "\n"
    }
}

/// The folder of a case.
pub fn case(name: &str) -> PathBuf {
    root().join("tests/cases").join(name)
}

/// What a case says must not leave the process.
pub fn forbidden(case: &Path) -> Vec<String> {
    let expect = fs::read_to_string(case.join("expect.json")).unwrap();
    let expect: serde_json::Value = serde_json::from_str(&expect).unwrap();
    let words = expect["forbidden"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
    let words: Vec<String> = words.collect();
    let inputs: Vec<Vec<u8>> = fs::read_dir(case)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| !p.ends_with("expect.json"))
        .map(|p| fs::read(p).unwrap())
        .collect();
    assert!(words.iter().all(|word| inputs.iter().any(|input| contains(input, word))), "{words:?}");
    words
}

pub fn contains(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(bytes, word.as_bytes()).is_some()
}

/// Which of the words stand in which of the places.
pub fn found(places: &[(String, Vec<u8>)], words: &[String]) -> Vec<String> {
    let each = places.iter().flat_map(|place| words.iter().map(move |word| (place, word)));
    let hits = each.filter(|((_, bytes), word)| contains(bytes, word));
    hits.map(|((place, _), word)| format!("\"{word}\" stands in {place}")).collect()
}

/// The entries of an export whose fields are all text.
pub fn entries(path: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path).unwrap();
    let entry = |block: &str| {
        let fields = block.lines().map(|line| line.split_once('=').unwrap());
        Entry(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(entry).collect()
}

/// Realtime and monotonic time now, in microseconds.
pub fn now() -> (i64, i64) {
    (tocsin::clock::wall().0 / 1_000, tocsin::clock::monotonic().0 / 1_000)
}

/// This boot as the journal writes it.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "")
}

/// Lines of one proxied request: refused with 40101, or answered.
pub fn request(is_good: bool) -> Vec<String> {
    let lines = entries(&case("s02-auth-40101").join("crypto-proxy.export"));
    let lines: Vec<String> = lines.iter().map(|e| e.get("MESSAGE").unwrap().to_owned()).collect();
    let begins = |line: &String| line.contains("CRYPTO_COM_OUTBOUND_IP");
    let status = if is_good { "response_status=200" } else { "response_status=401" };
    let at = lines.iter().position(|line| line.ends_with(status)).unwrap();
    let from = lines[..at].iter().rposition(begins).unwrap();
    let to = at + lines[at..].iter().position(|line| line.contains("PROXY REQUEST END")).unwrap();
    lines[from..=to].to_vec()
}

/// The same as one piece of text.
pub fn request_text(is_good: bool) -> String {
    request(is_good).iter().map(|line| format!("{line}\n")).collect()
}

/// Lines of one good refresh of the portfolio, in the form of `docker logs -t`
/// without their times.
pub fn refresh() -> Vec<String> {
    let text = fs::read_to_string(case("s01-healthy").join("backend.docker")).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let from = lines.iter().position(|line| line.contains("Starting portfolio cache update")).unwrap();
    let to =
        lines.iter().position(|line| line.contains("Portfolio cache updated successfully. Total")).unwrap();
    lines[from..=to].to_vec()
}

/// A time as `docker logs -t` writes it.
pub fn docker_time(nanos: i64) -> String {
    let at = Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// A journal file that systemd-journal-remote writes while it is read.
pub struct Journal {
    child: Child,
    stdin: Option<ChildStdin>,
    pub file: PathBuf,
}

impl Journal {
    /// `None`, and why, where that program is missing.
    pub fn new(file: PathBuf) -> Option<Journal> {
        if !Path::new(JOURNAL_REMOTE).exists() {
            crate::support::journald_skip("systemd-journal-remote is not installed");
            return None;
        }
        let mut command = Command::new(JOURNAL_REMOTE);
        command.arg("-o").arg(&file).arg("-").stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        until("the journal file", || file.exists());
        Some(Journal { child, stdin, file })
    }

    pub fn write(&mut self, entry: &Entry) {
        self.stdin.as_mut().unwrap().write_all(entry.text().as_bytes()).unwrap();
    }

    /// Entries as `journalctl -o export` writes them.
    pub fn write_text(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits until so many entries can be read.
    #[track_caller]
    pub fn until(&self, entries: usize) {
        let file = self.file.to_str().unwrap();
        until("the journal's entries", || {
            let Ok(mut journal) = systemd::journal::OpenFilesOptions::default().open_files([file]) else {
                return false;
            };
            let mut count = 0;
            while journal.next().is_ok_and(|moved| moved > 0) {
                count += 1;
            }
            count >= entries
        });
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}
