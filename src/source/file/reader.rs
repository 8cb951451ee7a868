//! One open file: reads on, cuts it into lines, notices that it was replaced
//! from within. Only whole lines leave it; its memory is bounded whatever the
//! file holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cursor::{DoneFile, FilePosition};
use super::scan::{changed, head_bytes, id_of};
use super::text::{Decoder, Raw};
use crate::decode::follow::{FileId, Follow, Head, Look, Mark, follow};
use crate::model::{Gap, Line, Reading, Time};

/// Bytes taken from the file at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// A batch is sent when it holds so many lines …
const BATCH_LINES_MAX: usize = 1_000;
/// … or so many bytes of text.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A reading that gives no lines (they are passed over) pauses after so much.
const TURN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The batch that is being filled.
#[derive(Default)]
pub(super) struct Sink {
    /// In order.
    pub readings: Vec<Reading>,
    bytes: usize,
    /// The latest time of a line.
    pub last_at: Option<Time>,
}

impl Sink {
    pub fn line(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.last_at = self.last_at.max(Some(line.at));
        self.readings.push(Reading::Line(line));
    }

    /// A gap at the time of the last line: the lines that are still to come may
    /// be hours old, and the time of reading would bring their clock to now.
    pub fn gap(&mut self, now: Time, why: String) {
        let at = self.last_at.unwrap_or(now);
        self.readings.push(Reading::Gap(Gap { at, boot: None, lines: None, why }));
    }

    pub fn is_full(&self) -> bool {
        self.readings.len() >= BATCH_LINES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// What it holds; it is empty afterwards.
    pub fn take(&mut self) -> Vec<Reading> {
        self.bytes = 0;
        std::mem::take(&mut self.readings)
    }
}

/// How reading on went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Read to its end.
    AtEnd,
    /// The batch is full; there may be more.
    More,
    /// The file begins again; nothing was read.
    Restarted,
}

/// A file that is being read.
pub(super) struct Reader {
    /// The path it was found under first.
    pub writer: Arc<str>,
    /// Where it was seen last.
    pub path: PathBuf,
    /// The same without links, as its folder announces it.
    pub real: PathBuf,
    /// Which file.
    pub id: FileId,
    /// Files of one writer are read in this order.
    pub order: u64,
    /// Since when no pattern finds it.
    pub retired_at: Option<Instant>,
    /// When it last gave bytes.
    pub grown_at: Instant,
    /// Something may have been written.
    pub is_dirty: bool,
    /// The last reading came to its end.
    pub is_at_end: bool,
    /// It was truncated in place, and may be again.
    pub is_truncated: bool,
    pub decoder: Decoder,
    file: File,
    size: u64,
    changed: i64,
    head: Head,
    /// The bytes behind `head`. What was read itself extends them: a position
    /// whose head is older than its offset would fit a file that was replaced.
    first: Vec<u8>,
    /// First byte not taken; `buffer` begins there.
    offset: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold no newline.
    searched: usize,
    /// The rest of the present line is passed over.
    skips: bool,
}

impl Reader {
    /// Takes an open file, from its beginning.
    pub fn new(
        file: File,
        path: &Path,
        writer: Arc<str>,
        order: u64,
        decoder: Decoder,
    ) -> io::Result<Reader> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let first = head_bytes(&file)?;
        Ok(Reader {
            writer,
            path: path.to_owned(),
            real: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            id: id_of(&meta),
            order,
            retired_at: None,
            grown_at: Instant::now(),
            is_dirty: true,
            is_at_end: false,
            is_truncated: false,
            decoder,
            head: Head::of(&first),
            first,
            file,
            size: meta.len(),
            changed: changed(&meta),
            offset: 0,
            buffer: Vec::new(),
            searched: 0,
            skips: false,
        })
    }

    /// Goes on where another run stopped. The file must be the same one.
    pub fn resume(&mut self, position: &FilePosition) {
        self.offset = self.decoder.resume(&position.memory, position.offset);
        self.skips = position.skips;
    }

    /// Stands at the beginning of the line that is not whole at `end`.
    pub fn stand_at(&mut self, end: u64) -> io::Result<()> {
        let wanted = end.min(self.size);
        let mut end = wanted;
        let floor = wanted.saturating_sub(self.decoder.raw_bytes_max() as u64);
        let mut chunk = vec![0; CHUNK_BYTES];
        while end > floor {
            let begin = end.saturating_sub(CHUNK_BYTES as u64).max(floor);
            let len = (end - begin) as usize;
            self.file.read_exact_at(&mut chunk[..len], begin)?;
            if let Some(at) = memchr::memrchr(b'\n', &chunk[..len]) {
                self.offset = begin + at as u64 + 1;
                return Ok(());
            }
            end = begin;
        }
        self.offset = floor;
        if floor > 0 {
            self.offset = wanted;
            self.skips = true;
        }
        Ok(())
    }

    /// Whether a line of the first bytes carries a time.
    pub fn has_times(&self) -> bool {
        let mut chunk = vec![0; CHUNK_BYTES];
        let len = self.file.read_at(&mut chunk, 0).unwrap_or(0);
        chunk[..len].split(|b| *b == b'\n').any(|line| self.decoder.has_time(line))
    }

    /// Where it stands, for the cursor.
    pub fn position(&self) -> FilePosition {
        FilePosition {
            path: self.writer.to_string(),
            real: (self.real != Path::new(&*self.writer)).then(|| self.real.to_string_lossy().into_owned()),
            id: self.id,
            offset: self.decoder.position(self.offset),
            head: self.head,
            changed: self.changed,
            skips: self.skips,
            ended: self.retired_at.is_some() && self.is_at_end,
            memory: self.decoder.memory(),
        }
    }

    /// Its mark among the files not to be read again.
    pub fn done(&self) -> DoneFile {
        DoneFile { id: self.id, head: self.head }
    }

    /// Its size at the last look.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The first bytes, as they are now.
    pub fn head_bytes(&self) -> io::Result<Vec<u8>> {
        head_bytes(&self.file)
    }

    /// Whether another file holds nothing but what this one begins with: a copy,
    /// maybe one that is not finished.
    pub fn begins_as(&self, copy: &Reader) -> bool {
        let from = copy.size.saturating_sub(CHUNK_BYTES as u64);
        let length = (copy.size - from) as usize;
        let (mut own, mut other) = (vec![0; length], vec![0; length]);
        copy.size > 0
            && self.head_bytes().is_ok_and(|bytes| copy.head.fits(&bytes))
            && self.file.read_exact_at(&mut own, from).is_ok()
            && copy.file.read_exact_at(&mut other, from).is_ok()
            && own == other
    }

    /// Bytes to be read before the end, as the file is now.
    pub fn backlog(&self) -> u64 {
        let size = if self.is_dirty { self.file.metadata().map_or(0, |meta| meta.len()) } else { self.size };
        size.saturating_sub(self.read_to())
    }

    /// Bytes seen and not taken.
    fn unread(&self) -> u64 {
        self.size.saturating_sub(self.read_to())
    }

    /// Something was begun and not delivered.
    pub fn has_rest(&self) -> bool {
        self.unread() > 0 || (!self.buffer.is_empty() && !self.skips) || self.decoder.is_holding()
    }

    /// Whether nothing links to it any more.
    pub fn is_unlinked(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Looks at the file again: its size, and whether it is still the same.
    pub fn look(&mut self) -> io::Result<Follow> {
        let meta = self.file.metadata()?;
        if meta.len() == self.size
            && changed(&meta) == self.changed
            && usize::from(self.head.len) == self.head_want()
        {
            return Ok(Follow::Continue);
        }
        let head = head_bytes(&self.file)?;
        let before = Mark { id: self.id, size: self.size, offset: self.read_to(), head: self.head };
        let verdict = follow(&before, &Look { id: id_of(&meta), size: meta.len(), head: &head });
        if verdict == Follow::Continue {
            if self.first.len() < head.len() {
                self.begins_with(head);
            }
            self.size = meta.len();
            self.changed = changed(&meta);
        }
        Ok(verdict)
    }

    /// Begins the file again at 0.
    pub fn restart(&mut self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        self.begins_with(head_bytes(&self.file)?);
        self.size = meta.len();
        self.changed = changed(&meta);
        self.offset = 0;
        self.buffer.clear();
        self.searched = 0;
        self.skips = false;
        self.is_at_end = false;
        self.is_truncated = true;
        self.decoder.restart();
        Ok(())
    }

    /// Reads on until its end or until the batch is full.
    pub fn pump(&mut self, now: Time, sink: &mut Sink) -> io::Result<Pumped> {
        if self.look()? != Follow::Continue {
            return Ok(Pumped::Restarted);
        }
        let mut turn = 0;
        loop {
            if !self.take_lines(now, sink) || turn > TURN_BYTES_MAX {
                self.is_at_end = false;
                return Ok(Pumped::More);
            }
            let filled = self.buffer.len();
            self.buffer.resize(filled + CHUNK_BYTES, 0);
            let read = self.file.read_at(&mut self.buffer[filled..], self.offset + filled as u64);
            self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) if !self.head.fits(&head_bytes(&self.file)?) => {
                    // Replaced between the look and the reading.
                    self.buffer.truncate(filled);
                    return Ok(Pumped::Restarted);
                }
                Ok(n) => {
                    turn += n;
                    self.extend_head(filled);
                    self.grown_at = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Read further than the last look: the size must not seem to shrink.
        self.size = self.size.max(self.read_to());
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        self.is_at_end = true;
        Ok(Pumped::AtEnd)
    }

    /// Gives the line that will have no end: the file has been left.
    pub fn finish(&mut self, now: Time, sink: &mut Sink) {
        if !self.buffer.is_empty() && !self.skips {
            let raw = Raw { bytes: &self.buffer, offset: self.offset, is_cut: true };
            self.decoder.take(&raw, now, &mut |line| sink.line(line));
        }
        self.decoder.finish(&mut |line| sink.line(line));
        self.offset = self.read_to();
        self.buffer = Vec::new();
        self.searched = 0;
    }

    fn read_to(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    fn begins_with(&mut self, first: Vec<u8>) {
        self.head = Head::of(&first);
        self.first = first;
    }

    /// Takes bytes of the buffer from `at` on into the head, if they follow it.
    fn extend_head(&mut self, at: usize) {
        let known = self.first.len();
        if known < Head::BYTES_MAX && self.offset + at as u64 == known as u64 {
            let wanted = Head::BYTES_MAX - known;
            let mut first = std::mem::take(&mut self.first);
            first.extend(self.buffer[at..].iter().take(wanted));
            self.begins_with(first);
        }
    }

    fn head_want(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX).min(Head::BYTES_MAX)
    }

    /// Takes the whole lines of the buffer; false if the batch is full before
    /// they are all taken.
    fn take_lines(&mut self, now: Time, sink: &mut Sink) -> bool {
        let bytes_max = self.decoder.raw_bytes_max();
        let mut taken = 0;
        let mut is_done = true;
        loop {
            if sink.is_full() {
                is_done = false;
                break;
            }
            let from = (taken + self.searched).min(self.buffer.len());
            let end = memchr::memchr(b'\n', &self.buffer[from..]).map(|at| from + at);
            let rest = &self.buffer[taken..end.unwrap_or(self.buffer.len())];
            let is_cut = rest.len() > bytes_max;
            if !self.skips && (is_cut || end.is_some()) {
                let bytes = if is_cut { cut(rest, bytes_max) } else { rest };
                let raw = Raw { bytes, offset: self.offset + taken as u64, is_cut };
                self.decoder.take(&raw, now, &mut |line| sink.line(line));
            }
            match end {
                Some(end) => {
                    self.skips = false;
                    self.searched = 0;
                    taken = end + 1;
                }
                None => {
                    self.skips |= is_cut;
                    if self.skips {
                        taken = self.buffer.len();
                    }
                    self.searched = self.buffer.len() - taken;
                    break;
                }
            }
        }
        self.buffer.drain(..taken);
        self.offset += taken as u64;
        is_done
    }
}

/// The first `max` bytes, less the beginning of a character at their end.
fn cut(bytes: &[u8], max: usize) -> &[u8] {
    let is_inside = |at: usize| bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80);
    let back = (0..4).find(|back| !is_inside(max.saturating_sub(*back))).unwrap_or(0);
    &bytes[..max.saturating_sub(back)]
}
