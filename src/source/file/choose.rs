//! Which files are read, and in what order: what the patterns find now, what a
//! rotation has put beside it, what another run left unfinished. Opens files
//! and reads their heads; their lines are the reader's.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cursor::{DoneFile, FilePosition, Position};
use super::reader::Reader;
use super::text::Decoder;
use super::{DONE_MAX, Follower, now, scan};
use crate::config::plan::Start;
use crate::decode::follow::{FileId, Follow, Head, Look, Mark, follow};

impl Follower {
    /// Goes on where another run stopped: finds each file again, wherever in
    /// its folder it is now.
    pub(super) fn resume(&mut self, position: Position) {
        self.done = position.done_by_path();
        self.known = position.patterns;
        self.sink.last_at = position.files.iter().filter_map(|file| file.memory.stamped).max();
        for file in position.files {
            if let Err(error) = self.resume_file(&file) {
                self.sink.gap(now(), format!("{}: {}", file.path, scan::why(&error)));
            }
        }
    }

    fn resume_file(&mut self, position: &FilePosition) -> io::Result<()> {
        if position.head == Head::default() {
            // It was empty: nothing is known of it, so it is as good as new.
            return Ok(());
        }
        let path = PathBuf::from(&position.path);
        let opened = self.open_as(position.id, &path, &path).or_else(|error| match &position.real {
            Some(real) => self.open_as(position.id, Path::new(real), &path),
            None => Err(error),
        });
        let Ok(mut reader) = opened else {
            return self.resume_elsewhere(position, &path);
        };
        let before =
            Mark { id: position.id, size: position.offset, offset: position.offset, head: position.head };
        let bytes = reader.head_bytes()?;
        match follow(&before, &Look { id: reader.id, size: reader.size(), head: &bytes }) {
            Follow::Continue => reader.resume(position),
            Follow::Restart | Follow::Reopen => {
                self.resume_elsewhere(position, &path)?;
                reader.order = self.order();
                if reader.path != path {
                    // The number was given to a file that has nothing to do with ours.
                    return Ok(());
                }
                let id = reader.id;
                reader.is_truncated = true;
                self.readers.push(reader);
                self.pass_over_copies(&path, position);
                self.begin_rotated(&path, Some(id));
                return Ok(());
            }
        }
        self.readers.push(reader);
        Ok(())
    }

    /// The file itself is gone: a copy beside its path serves as well.
    fn resume_elsewhere(&mut self, position: &FilePosition, path: &Path) -> io::Result<()> {
        match self.copy_of(path, position) {
            Some(mut copy) => {
                copy.resume(position);
                copy.retired_at = Some(Instant::now());
                self.readers.push(copy);
            }
            None if position.ended => {}
            None => self.sink.gap(
                now(),
                format!(
                    "{} was replaced while it was not followed, and what it held is gone or packed",
                    position.path
                ),
            ),
        }
        Ok(())
    }

    /// Looks at all paths: opens what is new, retires what has left.
    pub(super) fn rescan(&mut self) -> Vec<(PathBuf, usize)> {
        let scan = scan::scan(&self.files.paths);
        self.troubles.clear();
        if let Some(why) = scan.troubles.first() {
            self.troubles.insert(PathBuf::new(), why.clone());
        }
        let mut seen = vec![false; self.readers.len()];
        for (path, pattern) in &scan.found {
            let id = match std::fs::metadata(path) {
                Ok(meta) => scan::id_of(&meta),
                Err(_) => continue,
            };
            if let Some(at) = self.readers.iter().position(|r| r.id == id) {
                let reader = &mut self.readers[at];
                if let Some(seen) = seen.get_mut(at) {
                    *seen = true;
                }
                if reader.path != *path
                    && !scan.found.iter().any(|(p, _)| *p == reader.path && same_file(p, reader))
                {
                    reader.path.clone_from(path);
                    reader.real = path.canonicalize().unwrap_or_else(|_| path.clone());
                }
                reader.retired_at = None;
                reader.is_dirty = true;
                continue;
            }
            if let Err(error) = self.begin(path, *pattern)
                && !scan::is_absence(&error)
            {
                self.troubles.insert(path.clone(), format!("{}: {}", path.display(), scan::why(&error)));
            }
        }
        for pattern in self.files.paths.clone() {
            let path = Path::new(&pattern);
            let is_absent = !scan::is_glob(&pattern) && !scan.found.iter().any(|(found, _)| found == path);
            if is_absent && self.known.contains(&pattern) {
                // It may have come and been rotated between two looks.
                self.begin_rotated(path, None);
            }
        }
        let mut again = std::mem::take(&mut self.unsettled);
        again.append(&mut self.locked);
        for path in again {
            self.begin_rotated(&path, None);
        }
        for (reader, _) in self.readers.iter_mut().zip(seen).filter(|(_, seen)| !seen) {
            let is_replaced = scan.found.iter().any(|(path, _)| *path == reader.path);
            if reader.retired_at.is_none() && (is_replaced || scan.troubles.is_empty()) {
                reader.retired_at = Some(Instant::now());
                reader.is_dirty = true;
            }
        }
        self.remember_before_our_time(&scan.found);
        scan.found
    }

    /// Begins a file that was not read before, after those that were rotated
    /// away from its path unread.
    fn begin(&mut self, path: &Path, pattern: usize) -> io::Result<()> {
        let is_first = !self.known.contains(&self.files.paths[pattern]);
        let opened = self.open(path, path);
        if opened.is_err()
            && is_first
            && let Ok(meta) = std::fs::metadata(path)
            && self.blocked.len() < scan::FILES_MAX
        {
            self.blocked.insert(path.to_owned(), (scan::id_of(&meta), meta.len()));
        }
        let mut reader = opened?;
        let id = reader.id;
        if self.readers.iter().any(|r| r.id == id) {
            // Renamed to this path between the look and the opening.
            return Ok(());
        }
        let blocked = self.blocked.remove(path).filter(|(id, _)| *id == reader.id);
        if is_first || blocked.is_some() {
            match self.plan.start {
                Start::End => reader.stand_at(blocked.map_or(reader.size(), |(_, size)| size))?,
                Start::Beginning => {}
                Start::Ago(span) if reader.has_times() => reader.decoder.only_from(now().minus(span)),
                Start::Ago(_) => {}
            }
        }
        self.readers.push(reader);
        if !is_first {
            self.begin_rotated(path, Some(id));
        }
        Ok(())
    }

    /// Files beside the path that came and were rotated between two looks. They
    /// go before `newest`, the file just begun, unless it was rotated itself
    /// meanwhile and they came after it.
    pub(super) fn begin_rotated(&mut self, path: &Path, newest: Option<FileId>) {
        // A copy that copytruncate left must be known as one first.
        for at in 0..self.readers.len() {
            let reader = &mut self.readers[at];
            if Path::new(&*reader.writer) == path
                && reader.look().is_ok_and(|verdict| verdict == Follow::Restart)
            {
                self.restart(at, now());
            }
        }
        let (siblings, is_settled) = scan::siblings(path);
        if !is_settled {
            self.unsettled.insert(path.to_owned());
        }
        if let (true, Some(done)) = (is_settled, self.done.get_mut(path)) {
            done.retain(|d| siblings.iter().any(|s| s.id == d.id));
        }
        let is_rotated = siblings.iter().any(|s| newest == Some(s.id));
        for sibling in siblings {
            if newest == Some(sibling.id) {
                self.move_back(newest);
            }
            if self.readers.iter().any(|r| r.id == sibling.id) {
                continue;
            }
            let mut reader = match self.open_as(sibling.id, &sibling.path, path) {
                Ok(reader) => reader,
                Err(error) => {
                    self.note_closed(path, &sibling, &error);
                    continue;
                }
            };
            // Where files are truncated, a copy may be under way.
            let is_copied = |r: &Reader| r.is_truncated && Path::new(&*r.writer) == path;
            let is_copy = self.readers.iter().any(|r| is_copied(r) && r.begins_as(&reader));
            if !is_copy && !self.is_done(path, &reader) {
                reader.retired_at = Some(Instant::now());
                self.readers.push(reader);
            }
        }
        if !is_rotated {
            self.move_back(newest);
        }
    }

    /// A rotated file that cannot be opened: it has moved, or it is not to be
    /// read, which is a trouble unless it is done with.
    fn note_closed(&mut self, path: &Path, sibling: &scan::Sibling, error: &io::Error) {
        if scan::is_absence(error) {
            self.unsettled.insert(path.to_owned());
        } else if !self.done.get(path).is_some_and(|done| done.iter().any(|d| d.id == sibling.id)) {
            self.locked.insert(path.to_owned());
            let why = format!("{}: {}", sibling.path.display(), scan::why(error));
            self.troubles.insert(sibling.path.clone(), why);
        }
    }

    /// What was copied of a file up to its truncation, beside the copy that is
    /// read on, is not read again.
    pub(super) fn pass_over_copies(&mut self, path: &Path, position: &FilePosition) {
        if position.head == Head::default() {
            return;
        }
        for sibling in scan::siblings(path).0 {
            if !self.readers.iter().any(|r| r.id == sibling.id)
                && let Ok(reader) = self.open(&sibling.path, path)
                && reader.head_bytes().is_ok_and(|bytes| position.head.fits(&bytes))
            {
                self.remember(path, reader.done());
            }
        }
    }

    /// Puts a file after all others.
    fn move_back(&mut self, id: Option<FileId>) {
        let order = self.order();
        if let Some(reader) = self.readers.iter_mut().find(|r| id == Some(r.id)) {
            reader.order = order;
        }
    }

    /// Rotated files that are there at the first start are not ours to read.
    fn remember_before_our_time(&mut self, found: &[(PathBuf, usize)]) {
        let is_new = |pattern: &String| !self.known.contains(pattern);
        let literal = self.files.paths.iter().filter(|p| is_new(p) && !scan::is_glob(p)).map(PathBuf::from);
        let matched =
            found.iter().filter(|(_, at)| is_new(&self.files.paths[*at])).map(|(path, _)| path.clone());
        let paths: BTreeSet<PathBuf> = literal.chain(matched).collect();
        for path in paths {
            for sibling in scan::siblings(&path).0 {
                let done = match self.open(&sibling.path, &path) {
                    Ok(reader) => reader.done(),
                    // One that may not be read is known by its number alone.
                    Err(_) => DoneFile { id: sibling.id, head: Head::default() },
                };
                self.remember(&path, done);
            }
        }
        self.known.clone_from(&self.files.paths);
    }

    pub(super) fn remember(&mut self, path: &Path, file: DoneFile) {
        let done = self.done.entry(path.to_owned()).or_default();
        done.retain(|d| d.id != file.id);
        done.push(file);
        let surplus = done.len().saturating_sub(DONE_MAX);
        done.drain(..surplus);
        while self.done.len() > scan::FILES_MAX * 2 {
            let idle =
                self.done.keys().find(|path| !self.readers.iter().any(|r| Path::new(&*r.writer) == *path));
            let Some(idle) = idle.cloned() else { break };
            self.done.remove(&idle);
        }
    }

    fn is_done(&self, path: &Path, reader: &Reader) -> bool {
        let bytes = reader.head_bytes().unwrap_or_default();
        self.done.get(path).is_some_and(|done| done.iter().any(|d| d.id == reader.id && d.head.fits(&bytes)))
    }

    /// A copy that copytruncate left: another file of the same head, at least
    /// as long as what was taken, not older than it.
    pub(super) fn copy_of(&mut self, path: &Path, position: &FilePosition) -> Option<Reader> {
        if position.head == Head::default() {
            return None;
        }
        for sibling in scan::siblings(path).0.into_iter().rev() {
            let is_candidate = sibling.id != position.id
                && sibling.size >= position.offset
                && sibling.changed >= position.changed
                && !self.readers.iter().any(|r| r.id == sibling.id);
            if !is_candidate {
                continue;
            }
            if let Ok(reader) = self.open_as(sibling.id, &sibling.path, path)
                && reader.head_bytes().is_ok_and(|bytes| position.head.fits(&bytes))
                && !self.is_done(path, &reader)
            {
                return Some(reader);
            }
        }
        None
    }

    /// Opens the file of that number, at its path or wherever in its folder a
    /// rotation has just put it.
    fn open_as(&mut self, id: FileId, path: &Path, writer: &Path) -> io::Result<Reader> {
        if let Ok(reader) = self.open(path, writer)
            && reader.id == id
        {
            return Ok(reader);
        }
        let found = scan::find(path.parent().unwrap_or(Path::new("")), id);
        let reader = self.open(&found.ok_or(io::ErrorKind::NotFound)?, writer)?;
        if reader.id == id { Ok(reader) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Opens a file as one of the writer `writer`.
    fn open(&mut self, path: &Path, writer: &Path) -> io::Result<Reader> {
        let name: Arc<str> = writer.to_string_lossy().into();
        let plan = &self.plan;
        let decoder =
            Decoder::new(self.files.format, plan.timezone.clone(), plan.line_bytes_max.max(1), name.clone());
        // A pipe in the file's place would block the opening.
        let meta = std::fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let order = self.order();
        Reader::new(File::open(path)?, path, name, order, decoder)
    }

    pub(super) fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }
}

fn same_file(path: &Path, reader: &Reader) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| scan::id_of(&meta) == reader.id)
}
