//! Waits for changes: inotify on folders, and a clock for file systems that
//! announce nothing. Knows nothing of what the files mean.
//!
//! Folders are watched, not files: a file that is renamed, deleted or made
//! again is announced by the folder. A folder that goes takes its watch along;
//! it is watched again when it is there again.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

/// Folders watched at most; the rest is left to the clock.
const WATCHES_MAX: usize = 1_024;

/// What was announced.
#[derive(Default)]
pub(super) struct Wake {
    /// Paths whose content changed.
    pub written: Vec<PathBuf>,
    /// Paths that came, went or were made readable.
    pub changed: Vec<PathBuf>,
    /// Announcements were lost, or a folder changed: look at everything.
    pub is_blind: bool,
}

/// The watched folders.
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    by_path: BTreeMap<PathBuf, WatchDescriptor>,
    by_watch: HashMap<WatchDescriptor, PathBuf>,
    buffer: Vec<u8>,
}

impl Watcher {
    /// Without inotify (its limits are per user) only the clock is left.
    pub fn new() -> Watcher {
        let inotify = Inotify::init().map_err(|error| log::warn!("inotify: {error}; files are polled")).ok();
        Watcher { inotify, by_path: BTreeMap::new(), by_watch: HashMap::new(), buffer: vec![0; 32 * 1024] }
    }

    /// Watches these folders and no others. True if one is new: what happened
    /// in it before must be looked for.
    pub fn cover(&mut self, folders: &[PathBuf]) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut watches = inotify.watches();
        let gone: Vec<PathBuf> =
            self.by_path.keys().filter(|path| folders.binary_search(path).is_err()).cloned().collect();
        for path in gone {
            if let Some(watch) = self.by_path.remove(&path)
                && self.by_watch.get(&watch) == Some(&path)
            {
                self.by_watch.remove(&watch);
                // It may have gone with its folder.
                let _ = watches.remove(watch);
            }
        }
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::ATTRIB
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut is_new = false;
        for folder in folders.iter().take(WATCHES_MAX) {
            if self.by_path.contains_key(folder) {
                continue;
            }
            if let Ok(watch) = watches.add(folder, mask) {
                // Two paths of one folder share a watch; the first names it.
                self.by_watch.entry(watch.clone()).or_insert_with(|| folder.clone());
                self.by_path.insert(folder.clone(), watch);
                is_new = true;
            }
        }
        is_new
    }

    /// Waits for an announcement, at most so long.
    pub fn wait(&mut self, timeout: Duration) -> Wake {
        let mut wake = Wake::default();
        let Some(inotify) = &mut self.inotify else {
            std::thread::sleep(timeout);
            return wake;
        };
        let mut poll = libc::pollfd { fd: inotify.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, which outlives the call.
        if unsafe { libc::poll(&mut poll, 1, timeout.as_millis().min(60_000) as libc::c_int) } <= 0 {
            return wake;
        }
        let Ok(events) = inotify.read_events(&mut self.buffer) else { return wake };
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                wake.is_blind = true;
                continue;
            }
            let is_gone =
                event.mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF);
            if is_gone {
                self.by_watch.remove(&event.wd);
                self.by_path.retain(|_, watch| *watch != event.wd);
                if event.mask.contains(EventMask::MOVE_SELF) {
                    let _ = inotify.watches().remove(event.wd);
                }
                wake.is_blind = true;
                continue;
            }
            let (Some(folder), Some(name)) = (self.by_watch.get(&event.wd), event.name) else { continue };
            let path = if folder.as_os_str() == "." { PathBuf::from(name) } else { folder.join(name) };
            if event.mask.contains(EventMask::MODIFY) {
                if !wake.written.contains(&path) {
                    wake.written.push(path);
                }
            } else if event.mask.contains(EventMask::ISDIR) {
                wake.is_blind = true;
            } else if !wake.changed.contains(&path) {
                wake.changed.push(path);
            }
        }
        wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_made_again_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        let folders = vec![folder.clone()];
        let mut watcher = Watcher::new();
        for round in 0..3 {
            std::fs::create_dir(&folder).unwrap();
            assert!(watcher.cover(&folders), "it is new in round {round}");
            std::fs::write(folder.join("app.log"), "one\n").unwrap();
            let mut written = Vec::new();
            while written.is_empty() {
                written = watcher.wait(Duration::from_secs(60)).written;
            }
            assert_eq!(written, [folder.join("app.log")]);
            std::fs::remove_dir_all(&folder).unwrap();
            while !watcher.wait(Duration::from_secs(60)).is_blind {}
            assert!(!watcher.cover(&folders), "there is nothing to watch");
        }
    }
}
