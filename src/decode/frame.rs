//! Cuts bytes that come in chunks of any size at line feeds.
//!
//! A line that lies within one chunk is handed out without a copy; only one
//! that straddles chunks is put together here. A line longer than the limit is
//! handed out up to the limit and said to be cut; what follows is dropped up to
//! its line feed, so that memory is bounded whatever comes.

use memchr::memchr;

/// One line without its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The bytes, at most the framer's limit.
    pub bytes: &'a [u8],
    /// There was more of it than the limit.
    pub is_cut: bool,
}

/// Keeps what a chunk left unfinished.
#[derive(Clone, Debug)]
pub struct Framer {
    limit: usize,
    carry: Vec<u8>,
    is_over: bool,
}

impl Framer {
    /// For lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Framer {
        Framer { limit, carry: Vec::new(), is_over: false }
    }

    /// Calls `each` for every line that `chunk` completes.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(Framed<'_>)) {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.carry.is_empty() && !self.is_over {
                let kept = &line[..line.len().min(self.limit)];
                each(Framed { bytes: kept, is_cut: line.len() > self.limit });
            } else {
                self.keep(line);
                each(Framed { bytes: &self.carry, is_cut: self.is_over });
                self.release();
            }
        }
        self.keep(rest);
    }

    /// Calls `each` for a last line that has no line feed.
    pub fn finish(&mut self, mut each: impl FnMut(Framed<'_>)) {
        if !self.carry.is_empty() || self.is_over {
            let line = std::mem::take(&mut self.carry);
            each(Framed { bytes: &line, is_cut: self.is_over });
            self.is_over = false;
        }
    }

    /// Forgets the line last handed out.
    fn release(&mut self) {
        // One huge line must not hold its memory for ever.
        if self.carry.capacity() > 1 << 20 {
            self.carry = Vec::new();
        }
        self.carry.clear();
        self.is_over = false;
    }

    fn keep(&mut self, part: &[u8]) {
        let room = self.limit.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&part[..part.len().min(room)]);
        self.is_over |= part.len() > room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut framer = Framer::new(limit);
        let mut seen = Vec::new();
        for chunk in chunks {
            framer.feed(chunk, |l| seen.push((l.bytes.to_vec(), l.is_cut)));
        }
        framer.finish(|l| seen.push((l.bytes.to_vec(), l.is_cut)));
        seen
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_are_split() {
        let whole: &[u8] = b"one\n\ntwo is longer\nrest";
        let expected = lines(5, &[whole]);
        assert_eq!(expected[2], (b"two i".to_vec(), true));
        assert_eq!(expected.len(), 4);
        for at in 0..=whole.len() {
            assert_eq!(lines(5, &[&whole[..at], &whole[at..]]), expected, "split at {at}");
        }
    }
}
