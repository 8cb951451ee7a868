//! Bytes of a log stream of the Engine's API into pieces.
//!
//! Responsible for the two wire forms and for the time stamp that every piece
//! begins with (the request always asks for `timestamps`). It must not join
//! pieces to lines ([`super::lines`]) and never holds more of a piece than the
//! limit on a line, however long a frame says it is.
//!
//! - Without a TTY: frames of an 8-byte header (output, three zeroes, length
//!   big-endian) and a payload `STAMP SPACE TEXT`. Output 3 is the daemon's own:
//!   it could not read its log, and the stream is of no more use.
//! - With a TTY: no frames, only `STAMP SPACE TEXT` after each other. The
//!   surprise: a long line has a stamp in its middle, after each 16 KiB, since
//!   dockerd stamps every piece. A last piece without a line end, followed by a
//!   restart of the container, cannot be told from text there.

use crate::model::{Channel, Time};

/// dockerd reads a container's output through a buffer of this size; a piece
/// without a line end that is shorter is the last its writer wrote.
pub const PIECE_BYTES: usize = 16 * 1024;

/// RFC 3339 with nanoseconds and an offset takes 35 bytes.
const STAMP_BYTES_MAX: usize = 40;

/// One message as dockerd stored it: a line, or 16 KiB of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which output; `Any` with a TTY.
    pub channel: Channel,
    /// dockerd's stamp; the pieces of one line share it.
    pub at: Time,
    /// Without the line end, and not more than the limit of a line.
    pub text: Vec<u8>,
    /// Length of the text before that limit was applied.
    pub text_bytes: usize,
    /// A line end followed.
    pub has_newline: bool,
}

/// What a log stream gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Piece(Piece),
    /// dockerd says that it cannot read the log, or the bytes are no log stream.
    Damaged,
}

/// Decodes one response. Any split of the bytes gives the same frames.
#[derive(Debug)]
pub struct Decoder {
    is_raw: bool,
    keep_bytes: usize,
    header: Vec<u8>,
    frame_left: Option<usize>,
    channel: Channel,
    stamp: Vec<u8>,
    at: Option<Time>,
    last_at: Option<Time>,
    text: Vec<u8>,
    text_bytes: usize,
    ends_in_newline: bool,
    is_damaged: bool,
}

impl Decoder {
    /// `is_raw` for a container with a TTY; at most `keep_bytes` of a text are kept.
    pub fn new(is_raw: bool, keep_bytes: usize) -> Decoder {
        Decoder {
            is_raw,
            keep_bytes,
            header: Vec::with_capacity(8),
            frame_left: None,
            channel: Channel::Any,
            stamp: Vec::with_capacity(STAMP_BYTES_MAX),
            at: None,
            last_at: None,
            text: Vec::new(),
            text_bytes: 0,
            ends_in_newline: false,
            is_damaged: false,
        }
    }

    /// Takes the next bytes of the response.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Frame>) {
        while !bytes.is_empty() && !self.is_damaged {
            let used = if self.is_raw { self.feed_raw(bytes, out) } else { self.feed_framed(bytes, out) };
            bytes = &bytes[used..];
        }
    }

    /// The response ended as it should: with a TTY, what is held is the last
    /// piece. A frame cut in its middle is dropped, to be asked for again.
    pub fn finish(&mut self, out: &mut Vec<Frame>) {
        if self.is_raw && self.at.is_some() && !self.is_damaged {
            self.complete(out);
        }
    }

    fn feed_framed(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> usize {
        let Some(left) = self.frame_left else {
            let used = bytes.len().min(8 - self.header.len());
            self.header.extend_from_slice(&bytes[..used]);
            if let [output, _, _, _, a, b, c, d] = self.header[..] {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.header.clear();
                match output {
                    1 => self.channel = Channel::Out,
                    2 => self.channel = Channel::Err,
                    _ => return self.damage(used, out),
                }
                self.frame_left = Some(length);
                if length == 0 {
                    return self.damage(used, out);
                }
            }
            return used;
        };
        let used = bytes.len().min(left);
        let mut payload = &bytes[..used];
        if self.at.is_none() {
            let stamped = self.read_stamp(payload);
            payload = &payload[stamped..];
        }
        if self.at.is_some() {
            self.absorb(payload);
        } else if self.stamp.len() >= STAMP_BYTES_MAX || left == used {
            return self.damage(used, out);
        }
        self.frame_left = Some(left - used);
        if left == used {
            self.frame_left = None;
            self.complete(out);
        }
        used
    }

    fn feed_raw(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> usize {
        if self.at.is_none() {
            let used = self.read_stamp(bytes);
            if self.at.is_none() && (self.stamp.len() >= STAMP_BYTES_MAX || self.stamp.contains(&b'\n')) {
                // Logs written by a dockerd that did not cut lines into pieces:
                // what stands where a stamp was expected is more of the line.
                let Some(at) = self.last_at else {
                    return self.damage(used, out);
                };
                self.at = Some(at);
                let text = std::mem::take(&mut self.stamp);
                self.absorb(&text);
                if self.ends_in_newline {
                    self.complete(out);
                }
            }
            return used;
        }
        let reach = &bytes[..bytes.len().min(PIECE_BYTES.saturating_sub(self.text_bytes))];
        let end = memchr::memchr(b'\n', reach);
        let used = end.map_or(reach.len(), |at| at + 1);
        self.absorb(&bytes[..used]);
        if end.is_some() || self.text_bytes >= PIECE_BYTES {
            self.complete(out);
        }
        used
    }

    /// Collects the stamp; returns the bytes used. `self.at` is set once it is
    /// whole; one that does not parse fills the buffer to its limit.
    fn read_stamp(&mut self, bytes: &[u8]) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == b' ' && !self.stamp.is_empty() {
                let parsed = std::str::from_utf8(&self.stamp).ok().and_then(Time::parse_rfc3339);
                if parsed.is_some() {
                    self.at = parsed;
                    self.stamp.clear();
                    return index + 1;
                }
            }
            self.stamp.push(byte);
            if self.stamp.len() >= STAMP_BYTES_MAX || byte == b'\n' {
                return index + 1;
            }
        }
        bytes.len()
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.ends_in_newline = last == b'\n';
        self.text_bytes += bytes.len();
        let room = (self.keep_bytes + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn complete(&mut self, out: &mut Vec<Frame>) {
        let Some(at) = self.at.take() else { return };
        let mut text = std::mem::take(&mut self.text);
        let mut text_bytes = std::mem::take(&mut self.text_bytes);
        let has_newline = std::mem::take(&mut self.ends_in_newline);
        if has_newline {
            if text.len() == text_bytes {
                text.pop();
            }
            text_bytes -= 1;
        }
        text.truncate(self.keep_bytes);
        self.last_at = Some(at);
        out.push(Frame::Piece(Piece { channel: self.channel, at, text, text_bytes, has_newline }));
    }

    fn damage(&mut self, used: usize, out: &mut Vec<Frame>) -> usize {
        self.is_damaged = true;
        out.push(Frame::Damaged);
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: &str = "2026-11-23T23:38:48.668236226Z";

    fn framed(output: u8, text: &[u8]) -> Vec<u8> {
        let payload = [STAMP.as_bytes(), b" ", text].concat();
        let mut frame = vec![output, 0, 0, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn decode(is_raw: bool, keep: usize, chunks: &[&[u8]]) -> Vec<Frame> {
        let mut decoder = Decoder::new(is_raw, keep);
        let mut out = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    fn texts(frames: &[Frame]) -> Vec<(Channel, String, bool)> {
        frames
            .iter()
            .map(|frame| match frame {
                Frame::Piece(p) => (p.channel, String::from_utf8_lossy(&p.text).into_owned(), p.has_newline),
                Frame::Damaged => (Channel::Any, "<damaged>".to_owned(), false),
            })
            .collect()
    }

    #[test]
    fn frames_tell_the_output_and_the_line_end() {
        let bytes = [framed(1, b"out\n"), framed(2, b"err\n"), framed(1, b"tail"), framed(1, b"\n")].concat();
        let got = texts(&decode(false, 100, &[&bytes]));
        let want = [
            (Channel::Out, "out", true),
            (Channel::Err, "err", true),
            (Channel::Out, "tail", false),
            (Channel::Out, "", true),
        ];
        assert_eq!(got, want.map(|(c, t, n)| (c, t.to_owned(), n)));
    }

    #[test]
    fn a_raw_stream_has_a_stamp_after_each_sixteen_kib() {
        let text = format!("{STAMP} {}{STAMP} {}\r\n{STAMP} tail", "x".repeat(PIECE_BYTES), "y".repeat(10));
        let got = texts(&decode(true, 1 << 20, &[text.as_bytes()]));
        assert_eq!(got.len(), 3);
        assert_eq!((got[0].1.len(), got[0].2), (PIECE_BYTES, false));
        assert_eq!(got[1], (Channel::Any, "yyyyyyyyyy\r".to_owned(), true));
        assert_eq!(got[2], (Channel::Any, "tail".to_owned(), false));
    }

    #[test]
    fn a_frame_longer_than_the_limit_keeps_its_beginning_and_its_length() {
        let bytes = framed(1, &[vec![b'z'; 5000], b"\n".to_vec()].concat());
        match &decode(false, 10, &[&bytes])[..] {
            [Frame::Piece(p)] => assert_eq!((p.text.len(), p.text_bytes, p.has_newline), (10, 5000, true)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_daemons_own_error_frame_and_garbage_are_damage() {
        let mut error = vec![3, 0, 0, 0, 0, 0, 0, 5];
        error.extend(b"Error");
        assert_eq!(decode(false, 100, &[&error]), [Frame::Damaged]);
        assert_eq!(decode(false, 100, &[b"HTTP/1.1 200 OK\r\n"]), [Frame::Damaged]);
        let no_stamp = [&[1, 0, 0, 0, 0, 0, 0, 5][..], b"hello"].concat();
        assert_eq!(decode(false, 100, &[&no_stamp]), [Frame::Damaged]);
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_frames(cuts in proptest::collection::vec(0usize..40_000, 0..20), is_raw: bool) {
            let bytes = if is_raw {
                format!("{STAMP} {}{STAMP} y z\n{STAMP} \n{STAMP} tail", "x".repeat(PIECE_BYTES)).into_bytes()
            } else {
                [framed(1, b"a b\n"), framed(2, &[b'x'; 16_384]), framed(2, b"\n"), framed(1, b"")].concat()
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % bytes.len()).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(decode(is_raw, 100_000, &chunks), decode(is_raw, 100_000, &[&bytes]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_raw: bool) {
            decode(is_raw, 20, &[&bytes]);
        }
    }
}
