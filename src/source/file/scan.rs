//! What is on the disk: the files that the patterns match, and the rotated
//! files beside them. Opens a file only to read its head.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::decode::follow::{FileId, Head};

/// Files of one source; more than that are not read, and that is said.
pub(super) const FILES_MAX: usize = 512;
/// Rotated files looked at beside one path.
const SIBLINGS_MAX: usize = 64;
/// A folder in which files move is read so often at most.
const LISTINGS_MAX: usize = 8;
/// Files that are packed; a glob passes them over.
const PACKED: [&str; 7] = ["gz", "bz2", "xz", "zst", "lz4", "zip", "Z"];

const GLOBBING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What the patterns match now.
#[derive(Default)]
pub(super) struct Scan {
    /// Regular files: path and the pattern's position, in a stable order.
    pub found: Vec<(PathBuf, usize)>,
    /// What cannot be read, for a person; without it, absence is absence.
    pub troubles: Vec<String>,
}

/// A rotated file.
pub(super) struct Sibling {
    pub path: PathBuf,
    pub id: FileId,
    pub size: u64,
    pub changed: i64,
}

/// The number of a file.
pub(super) fn id_of(meta: &Metadata) -> FileId {
    FileId { dev: meta.dev(), ino: meta.ino() }
}

/// The time of the last change of its content, in nanoseconds.
pub(super) fn changed(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// The first bytes of a file.
pub(super) fn head_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; Head::BYTES_MAX];
    let mut len = 0;
    while len < head.len() {
        match file.read_at(&mut head[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(len);
    Ok(head)
}

/// Whether a configured path is a glob.
pub(super) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Whether a path is one that the pattern names or matches.
pub(super) fn fits(pattern: &str, path: &Path) -> bool {
    if !is_glob(pattern) {
        return Path::new(pattern) == path;
    }
    glob::Pattern::new(pattern).is_ok_and(|p| p.matches_path_with(path, GLOBBING))
}

/// Looks for everything that the patterns match.
pub(super) fn scan(patterns: &[String]) -> Scan {
    let mut scan = Scan::default();
    for (position, pattern) in patterns.iter().enumerate() {
        if is_glob(pattern) {
            scan_glob(pattern, position, &mut scan);
        } else {
            let path = Path::new(pattern);
            match fs::metadata(path) {
                Ok(meta) if meta.is_file() => scan.found.push((path.to_owned(), position)),
                Ok(meta) if meta.is_dir() => {
                    scan.troubles.push(format!("{pattern} is a directory, not a file"));
                }
                Ok(_) => scan.troubles.push(format!("{pattern} is not a regular file")),
                Err(error) if is_absence(&error) => {}
                Err(error) => scan.troubles.push(format!("{pattern}: {}", why(&error))),
            }
        }
    }
    if scan.found.len() > FILES_MAX {
        scan.troubles.push(format!("{} files match, only the first {FILES_MAX} are read", scan.found.len()));
        scan.found.truncate(FILES_MAX);
    }
    scan
}

fn scan_glob(pattern: &str, position: usize, scan: &mut Scan) {
    let paths = match glob::glob_with(pattern, GLOBBING) {
        Ok(paths) => paths,
        Err(error) => return scan.troubles.push(format!("{pattern}: {error}")),
    };
    for entry in paths.take(FILES_MAX * 4) {
        match entry {
            Ok(path) => {
                let is_packed = path.extension().is_some_and(|e| PACKED.iter().any(|p| e == *p));
                if !is_packed && fs::metadata(&path).is_ok_and(|m| m.is_file()) {
                    scan.found.push((path, position));
                }
            }
            Err(error) if is_absence(error.error()) => {}
            Err(error) => {
                scan.troubles.push(format!("{}: {}", error.path().display(), why(error.error())));
            }
        }
    }
}

/// No such file, or a part of its path is a file.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// An error with its remedy where one is known.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied; the user that runs tocsin must be allowed to read it (group adm, or an ACL)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// The files that rotation has left beside a path, or beside what a link there
/// leads to (`name.1`, `name-20260101`, `name.old`; none that are packed), oldest
/// first; and whether nothing moved meanwhile. A folder that is read while files
/// are renamed in it may show one of them twice, or not at all.
pub(super) fn siblings(path: &Path) -> (Vec<Sibling>, bool) {
    let mut before = list(path);
    for _ in 0..LISTINGS_MAX {
        let now = list(path);
        let is_same = before.iter().map(|s| (s.id, &s.path)).eq(now.iter().map(|s| (s.id, &s.path)));
        if is_same {
            return (now, true);
        }
        before = now;
    }
    (before, false)
}

fn list(path: &Path) -> Vec<Sibling> {
    let mut found = list_beside(path);
    if let Ok(real) = path.canonicalize()
        && real != path
    {
        found.extend(list_beside(&real));
    }
    found.sort_by(|a, b| (a.changed, age(b)).cmp(&(b.changed, age(a))));
    let mut seen = BTreeSet::new();
    found.retain(|sibling| seen.insert(sibling.id));
    let surplus = found.len().saturating_sub(SIBLINGS_MAX);
    found.drain(..surplus);
    found
}

fn list_beside(path: &Path) -> Vec<Sibling> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let mut found: Vec<Sibling> = Vec::new();
    for entry in fs::read_dir(folder_of(folder)).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let is_rotated = other.to_str().and_then(|o| o.strip_prefix(name)).is_some_and(is_rotation_suffix);
        if is_rotated
            && let Ok(meta) = entry.metadata()
            && meta.is_file()
        {
            let sibling =
                Sibling { path: entry.path(), id: id_of(&meta), size: meta.len(), changed: changed(&meta) };
            found.push(sibling);
        }
    }
    found
}

/// `name.2` is older than `name.1`; other endings have no number.
fn age(sibling: &Sibling) -> u64 {
    sibling
        .path
        .extension()
        .and_then(|e| e.to_str())
        .filter(|e| e.len() < 6)
        .and_then(|e| e.parse().ok())
        .unwrap_or(0)
}

fn is_rotation_suffix(suffix: &str) -> bool {
    let Some(rest) = suffix.strip_prefix(['.', '-', '_']) else { return false };
    rest == "old"
        || (rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_digit() || "-_.T:+Z".contains(c)))
}

/// The path of a file by its number, anywhere in a folder.
pub(super) fn find(folder: &Path, id: FileId) -> Option<PathBuf> {
    use std::os::unix::fs::DirEntryExt;
    fs::read_dir(folder_of(folder))
        .ok()?
        .flatten()
        .filter(|entry| entry.ino() == id.ino)
        .map(|entry| entry.path())
        .find(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && id_of(&meta) == id))
}

/// A relative path's empty parent is the present folder.
pub(super) fn folder_of(parent: &Path) -> &Path {
    if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
}

/// The folders whose changes matter to the patterns: those of the files, and
/// of what does not exist the nearest that does.
pub(super) fn folders(patterns: &[String], found: &[(PathBuf, usize)]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let parent = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let text = parent.to_string_lossy();
        if is_glob(&text) {
            let matched = glob::glob_with(&text, GLOBBING).into_iter().flatten().flatten();
            folders.extend(matched.take(FILES_MAX).filter(|path| path.is_dir()));
        }
        let fixed: PathBuf = parent.iter().take_while(|part| !is_glob(&part.to_string_lossy())).collect();
        let nearest = fixed.ancestors().map(folder_of).find(|folder| folder.is_dir());
        folders.extend(nearest.map(Path::to_owned));
    }
    for (path, _) in found {
        let real = path.canonicalize().ok();
        folders.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
        folders.extend(path.parent().map(|folder| folder_of(folder).to_owned()));
    }
    folders.sort();
    folders.dedup();
    folders
}
