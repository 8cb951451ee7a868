//! Lines that dockerd sends twice in one stream.
//!
//! When a json-file log is rotated under a follower, dockerd (measured: 20.10)
//! begins again a few lines before the rotation: each rotation repeats up to
//! some dozen lines. Stamps have nanoseconds and are taken line by line, so the
//! same stamp and text on the same output is the same line. Not for journald,
//! whose stamps are coarser and whose reader does not repeat.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::model::Line;

use super::lines::lane;

/// How far back a repeat is known.
const LINES_MAX: usize = 4_096;

/// The last lines of one stream.
#[derive(Debug, Default)]
pub struct Repeats {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Repeats {
    /// This stream has given this line before.
    pub fn has_seen(&mut self, line: &Line) -> bool {
        let key = self.hasher.hash_one((lane(line.stream.channel), line.at, &line.text));
        if !self.known.insert(key) {
            return true;
        }
        self.order.push_back(key);
        if self.order.len() > LINES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, Stream, Time};

    fn line(channel: Channel, at: i64, text: &str) -> Line {
        Line {
            stream: Stream { writer: "c".into(), channel },
            at: Time(at),
            boot: None,
            identifier: None,
            text: text.to_owned(),
            is_cut: false,
            had_invalid_utf8: false,
        }
    }

    #[test]
    fn only_the_same_stamp_text_and_output_is_a_repeat() {
        let mut repeats = Repeats::default();
        assert!(!repeats.has_seen(&line(Channel::Out, 1, "a")));
        assert!(!repeats.has_seen(&line(Channel::Out, 2, "a")));
        assert!(!repeats.has_seen(&line(Channel::Err, 1, "a")));
        assert!(!repeats.has_seen(&line(Channel::Out, 1, "b")));
        assert!(repeats.has_seen(&line(Channel::Out, 1, "a")));
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::default();
        for at in 0..3 * LINES_MAX as i64 {
            assert!(!repeats.has_seen(&line(Channel::Out, at, "")));
        }
        assert_eq!((repeats.order.len(), repeats.known.len()), (LINES_MAX, LINES_MAX));
    }
}
