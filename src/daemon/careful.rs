//! A line that kills the process is found, skipped, counted and said.
//!
//! A panic, a stack that overflows, a watchdog's kill: whatever a line does to
//! the engine, it does again after the restart, for lines that were not
//! committed are read again. Failure story, told by the note beside the state
//! ([`Trial`]), which outlives the process:
//!
//! 1. Lines are noted as being handled before the first of them and as done
//!    after their commit; two writes for a commit, none is synced. A process
//!    that finds such a note died with lines in its hands. It takes them
//!    carefully: each is noted by its digest before it is handled.
//! 2. If it dies again, the note names the line: a suspect.
//! 3. A suspect that is handled whole is acquitted. After [`DEATHS_MAX`] deaths
//!    at it, and none survived, the line is guilty. The next process passes
//!    over it: a gap in the log, with a metric, a complaint and a line in the
//!    log, and goes on.
//!
//! A kill from outside looks the same and may hit at any moment, again and
//! again, and most often at the first lines, which take longest; so it takes
//! more deaths in a row than such kills come to. Equal lines of a stream are
//! told apart by how many of them came since the last commit, the same in
//! every life that begins there. The care ends, and with it every suspicion,
//! when all that there was to read is committed, or more than one batch can
//! hold. A torn note costs one more death. What dies outside a line (a
//! deadline, a commit) accuses none; what dies while a source decodes has not
//! become a line.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::with_causes;
use crate::model::{Gap, Line};
use crate::store::{Error, Mark, Remains, Store, Trial};

/// Deaths at a line, with none survived, after which it is passed over.
const DEATHS_MAX: u32 = 5;
/// The care ends after so many lines at the latest: more than may be under way
/// between two commits.
const LINES_MAX: usize = 500_000;

/// The care with which lines are taken.
#[derive(Debug, Default)]
pub struct Careful {
    trial: Option<Trial>,
    remains: Remains,
    key: [u8; 32],
    is_careful: bool,
    lines: usize,
    /// Lines of each digest since the last commit.
    equal: BTreeMap<u64, u64>,
    has_failed: bool,
}

impl Careful {
    /// After whatever became of the process before; a state in memory has no
    /// note, and nobody to read it.
    pub fn begin(store: &Store) -> Careful {
        let found = store.trial().unwrap_or_else(|error| {
            log::warn!("nothing can be noted beside the state: {}", with_causes(&error));
            None
        });
        let Some((trial, mut remains)) = found else { return Careful::default() };
        match remains.mark {
            Mark::Idle => {}
            Mark::Lines => log::warn!("the process ended while it took lines; they are taken one by one"),
            Mark::Line(digest) => {
                let deaths = remains.suspects.entry(digest).or_insert(0);
                *deaths = deaths.saturating_add(1);
                log::warn!("the process ended at a line ({deaths} of {DEATHS_MAX} before it is skipped)");
            }
        }
        let is_careful = remains.mark != Mark::Idle || !remains.suspects.is_empty();
        remains.mark = Mark::Idle;
        let key = store.digest_key();
        let mut careful = Careful { trial: Some(trial), remains, key, is_careful, ..Careful::default() };
        careful.write();
        careful
    }

    /// Before a line is handled; it is to be skipped if that gives a gap.
    pub fn enter(&mut self, source: &str, line: &Line) -> Option<Gap> {
        if !self.is_careful {
            self.mark(Mark::Lines);
            return None;
        }
        self.lines += 1;
        let mark = Mark::line(self.digest(source, line));
        if let Mark::Line(digest) = mark
            && self.remains.suspects.get(&digest).is_some_and(|deaths| *deaths >= DEATHS_MAX)
        {
            let why = format!("one was skipped, for the process ended {DEATHS_MAX} times when it came to it");
            return Some(Gap { at: line.at, boot: line.boot, lines: Some(1), why });
        }
        self.mark(mark);
        None
    }

    /// After a line was handled.
    pub fn leave(&mut self) {
        if !self.is_careful {
            return;
        }
        if let Mark::Line(digest) = self.remains.mark
            && self.remains.suspects.remove(&digest).is_some()
        {
            self.remains.mark = Mark::Idle;
            self.write();
        }
        self.mark(Mark::Idle);
    }

    /// All that was taken is on the disk; `is_all_read`: and there is no more
    /// to read.
    pub fn committed(&mut self, is_all_read: bool) {
        if self.is_careful && (is_all_read || self.lines > LINES_MAX) {
            log::info!("lines are taken as usual again");
            self.is_careful = false;
            self.remains = Remains::default();
            self.write();
        }
        self.equal.clear();
        self.rest();
    }

    /// The process is about to end, or to begin anew, of its own will.
    pub fn rest(&mut self) {
        self.mark(Mark::Idle);
    }

    fn mark(&mut self, mark: Mark) {
        if self.remains.mark != mark {
            self.remains.mark = mark;
            let done = self.trial.as_ref().map_or(Ok(()), |trial| trial.mark(mark));
            self.said(done);
        }
    }

    fn write(&mut self) {
        let done = self.trial.as_ref().map_or(Ok(()), |trial| trial.write(&self.remains));
        self.said(done);
    }

    /// A full disk is said elsewhere; that this fails is said once.
    fn said(&mut self, done: Result<(), Error>) {
        if let Err(error) = done
            && !std::mem::replace(&mut self.has_failed, true)
        {
            log::warn!("nothing can be noted beside the state: {}", with_causes(&error));
        }
    }

    /// Names a line among those since the last commit.
    fn digest(&mut self, source: &str, line: &Line) -> u64 {
        // Where no disk takes a commit, there is no other end to it.
        if self.equal.len() >= LINES_MAX {
            self.equal.clear();
        }
        let text = self.digest_of_text(source, line);
        let before = self.equal.entry(text).or_insert(0);
        *before += 1;
        text.wrapping_add((*before - 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn digest_of_text(&self, source: &str, line: &Line) -> u64 {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return 0 };
        for part in [source, &*line.stream.writer, &line.text] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let bytes = mac.finalize().into_bytes();
        bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, Stream, Time};

    fn line(text: &str) -> Line {
        Line {
            stream: Stream { writer: "w".into(), channel: Channel::Any },
            at: Time::from_secs(1),
            boot: None,
            identifier: None,
            text: text.to_owned(),
            is_cut: false,
            had_invalid_utf8: false,
        }
    }

    /// One life of the process: takes lines in turn, dies at `dies_at`, and
    /// says which it handled; a life that gets through commits at its end.
    fn life(store: &Store, lines: &[&str], dies_at: Option<usize>) -> Vec<String> {
        let mut careful = Careful::begin(store);
        let mut handled = Vec::new();
        for (i, text) in lines.iter().enumerate() {
            if careful.enter("s", &line(text)).is_some() {
                continue;
            }
            if dies_at == Some(i) {
                return handled;
            }
            handled.push((*text).to_owned());
            careful.leave();
        }
        careful.committed(true);
        handled
    }

    #[test]
    fn a_line_at_which_careful_lives_end_in_a_row_is_skipped_until_it_is_past() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lines = ["a", "bad", "c"];
        for _ in 0..=DEATHS_MAX {
            assert_eq!(life(&store, &lines, Some(1)), ["a"]);
        }
        assert_eq!(life(&store, &lines, Some(1)), ["a", "c"]);
        assert_eq!(life(&store, &lines, None), lines, "no suspicion outlives the commit");
    }

    #[test]
    fn a_line_that_was_survived_is_free_of_suspicion() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lines = ["a", "b", "c"];
        for _ in 0..4 * DEATHS_MAX {
            assert_eq!(life(&store, &lines, Some(1)), ["a"]);
            assert_eq!(life(&store, &lines, Some(2)), ["a", "b"]);
        }
        assert_eq!(life(&store, &lines, None), lines);
    }

    #[test]
    fn equal_lines_are_accused_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lines = ["}", "}", "}", "}"];
        for _ in 0..=DEATHS_MAX {
            assert_eq!(life(&store, &lines, Some(2)).len(), 2);
        }
        assert_eq!(life(&store, &lines, None).len(), 3, "the third, which no life survived");
    }

    #[test]
    fn what_is_counted_is_bounded_though_no_commit_comes() {
        let equal = (0..LINES_MAX as u64).map(|digest| (digest, 1)).collect();
        let mut careful = Careful { is_careful: true, equal, ..Careful::default() };
        careful.enter("s", &line("a"));
        assert_eq!(careful.equal.len(), 1);
    }

    #[test]
    fn kills_at_ever_other_lines_skip_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lines = ["a", "b", "c", "d", "e"];
        for kill in 0..5 {
            assert_eq!(life(&store, &lines, Some(kill)), lines[..kill]);
        }
        assert_eq!(life(&store, &lines, None), lines);
    }

    #[test]
    fn a_process_that_ends_of_its_own_will_leaves_no_suspicion() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut careful = Careful::begin(&store);
        careful.enter("s", &line("a"));
        careful.rest();
        assert!(!Careful::begin(&store).is_careful);
        Careful::begin(&store).enter("s", &line("a"));
        assert!(Careful::begin(&store).is_careful);
    }

    #[test]
    fn a_state_in_memory_is_taken_as_it_comes() {
        let store = Store::memory().unwrap();
        assert_eq!(life(&store, &["a", "b"], None), ["a", "b"]);
    }
}
