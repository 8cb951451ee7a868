//! Opens a log file given to `replay` and says what it is.
//!
//! It reads in large blocks and hands bytes to a decoder; it knows no format
//! itself. A native journal is only recognised here: libsystemd reads it. A
//! plain text is looked through for its first stamp before it is read, if it
//! can be read twice (a pipe cannot: there the first block must do).

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::config::plan::{SourceKind, SourcePlan};
use crate::decode::detect::HEAD_BYTES;
use crate::decode::text::FirstStamp;
use crate::decode::{Decoder, Format, detect};
use crate::model::{Reading, Time};

/// Read at once.
const BLOCK_BYTES: usize = 256 << 10;
/// Journal files of a folder, those in the folders of machines included.
const JOURNAL_FILES_MAX: usize = 4_096;

/// What is behind a path.
#[derive(Debug)]
pub enum Opened {
    /// Readings, in the order of the file.
    Readings(Box<Readings>),
    /// Journal files for libsystemd, sorted by name.
    NativeJournal(Vec<PathBuf>),
}

/// Why a path cannot be used, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("{}: there is no such file; give the path of a log, of a journal file or of a folder of journal files", .0.display())]
    Missing(PathBuf),
    /// Not ours to read.
    #[error("{}: permission denied; make it readable, or run as a user who may read it (group systemd-journal or adm for a journal)", .0.display())]
    Denied(PathBuf),
    /// A folder with nothing for us.
    #[error("{}: this folder holds no journal files (*.journal); give a single file instead", .0.display())]
    NoJournal(PathBuf),
    /// Anything else.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn new(path: &Path, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
            io::ErrorKind::PermissionDenied => Error::Denied(path.to_owned()),
            _ => Error::Io { path: path.to_owned(), source },
        }
    }
}

/// Opens `path` as input of `source`.
pub fn open(path: &Path, source: &SourcePlan) -> Result<Opened, Error> {
    let fail = |e| Error::new(path, e);
    let meta = std::fs::metadata(path).map_err(fail)?;
    if meta.is_dir() {
        return journal_files(path).map(Opened::NativeJournal);
    }
    let mut file = File::open(path).map_err(fail)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(fail)?;
    let format = as_source_sees_it(detect(&head), source);
    let latest = modified(&meta);
    let first = match format.wrap() {
        Some(wrap) => {
            let search = FirstStamp::new(source, wrap, latest);
            first_stamp(&mut file, &head, meta.is_file(), search).map_err(fail)?
        }
        None => None,
    };
    match Decoder::new(format, source, latest, first) {
        Some(decoder) => Ok(Opened::Readings(Box::new(Readings::new(file, head, decoder, format)))),
        None => Ok(Opened::NativeJournal(vec![path.to_owned()])),
    }
}

/// rsyslog writes files that look just like `journalctl -o short-iso`. Of a
/// file source they are lines as they stand, as the daemon reads them.
fn as_source_sees_it(format: Format, source: &SourcePlan) -> Format {
    match (format, &source.kind) {
        (Format::ShortIso, SourceKind::File(_)) => Format::Plain,
        _ => format,
    }
}

fn modified(meta: &Metadata) -> Time {
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(Time(0), |since| Time(0).plus(since))
}

/// The first stamp of a text; leaves the file behind the head.
fn first_stamp(
    file: &mut File,
    head: &[u8],
    can_seek: bool,
    mut search: FirstStamp,
) -> io::Result<Option<Time>> {
    if let Some(at) = search.feed(head) {
        return Ok(Some(at));
    }
    if !can_seek {
        return Ok(search.finish());
    }
    let mut block = vec![0; BLOCK_BYTES];
    let found = loop {
        match read_some(file, &mut block)? {
            0 => break search.finish(),
            n => {
                if let Some(at) = search.feed(&block[..n]) {
                    break Some(at);
                }
            }
        }
    };
    file.seek(SeekFrom::Start(head.len() as u64))?;
    Ok(found)
}

fn read_some(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(block) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The journal files of a folder and of the machines' folders in it.
fn journal_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in listing(folder)? {
        if path.is_dir() {
            // Another machine's folder may be closed to us; ours is what counts.
            files.extend(listing(&path).unwrap_or_default().into_iter().filter(|p| is_journal(p)));
        } else if is_journal(&path) {
            files.push(path);
        }
    }
    files.truncate(JOURNAL_FILES_MAX);
    if files.is_empty() { Err(Error::NoJournal(folder.to_owned())) } else { Ok(files) }
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |e| Error::new(folder, e);
    let mut paths = Vec::new();
    for item in std::fs::read_dir(folder).map_err(fail)?.take(JOURNAL_FILES_MAX * 4) {
        paths.push(item.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// By content; a name only spares the look at what cannot be one.
fn is_journal(path: &Path) -> bool {
    let is_named_so = path.extension().is_some_and(|e| e == "journal" || e == "journal~");
    let mut magic = [0; 8];
    is_named_so
        && path.is_file()
        && File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok()
        && &magic == b"LPKSHHRH"
}

/// The readings of one file. After an error there are none.
pub struct Readings {
    file: File,
    block: Vec<u8>,
    decoder: Decoder,
    format: Format,
    decoded: Vec<Reading>,
    ready: VecDeque<Reading>,
    is_at_end: bool,
}

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Readings {
    fn new(file: File, head: Vec<u8>, mut decoder: Decoder, format: Format) -> Readings {
        let mut decoded = Vec::new();
        // Editors on Windows put a byte order mark before the first line.
        decoder.feed(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head), &mut decoded);
        let ready = decoded.drain(..).collect();
        Readings { file, block: vec![0; BLOCK_BYTES], decoder, format, decoded, ready, is_at_end: false }
    }

    /// What the file was taken for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Broken entries and lines passed over so far.
    pub fn problems(&self) -> u64 {
        self.decoder.problems()
    }
}

impl Iterator for Readings {
    type Item = io::Result<Reading>;

    fn next(&mut self) -> Option<io::Result<Reading>> {
        loop {
            if let Some(reading) = self.ready.pop_front() {
                return Some(Ok(reading));
            }
            if self.is_at_end {
                return None;
            }
            match read_some(&mut self.file, &mut self.block) {
                Ok(0) => {
                    self.is_at_end = true;
                    self.decoder.finish(&mut self.decoded);
                }
                Ok(n) => self.decoder.feed(&self.block[..n], &mut self.decoded),
                Err(e) => {
                    self.is_at_end = true;
                    return Some(Err(e));
                }
            }
            self.ready.extend(self.decoded.drain(..));
        }
    }
}
