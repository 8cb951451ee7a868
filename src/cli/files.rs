//! The disk and the environment as the configuration's [`FileSource`].
//!
//! The one place where a configuration meets the outside. Files are bounded
//! and read whole; a file that is no text, a folder and a device are errors
//! that say so.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{self, FileSource, Loaded, Problems};

/// A configuration file or secret is smaller.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The real thing.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// False for commands that send nothing.
    pub wants_secrets: bool,
}

/// Reads and compiles a configuration, secrets included.
///
/// # Errors
/// All problems, if any is an error.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    config::compile(path, &Disk { wants_secrets: true })
}

/// The same for commands that send nothing (`replay`, `explain`, `test`): the
/// secrets of receivers are placeholders and need not be readable.
///
/// # Errors
/// All problems, if any is an error.
pub fn load_without_secrets(path: &Path) -> Result<Loaded, Problems> {
    config::compile(path, &Disk { wants_secrets: false })
}

impl FileSource for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        let about = std::fs::metadata(path).map_err(|e| reason(&e))?;
        if about.is_dir() {
            return Err("it is a directory".to_owned());
        }
        // A pipe or device could be read for ever.
        if !about.is_file() {
            return Err("it is no regular file".to_owned());
        }
        let file = std::fs::File::open(path).map_err(|e| reason(&e))?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err("it is larger than 16 MiB".to_owned());
        }
        String::from_utf8(bytes).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
            format!("it is not UTF-8 (line {line})")
        })
    }

    fn list(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let pattern = pattern.to_str().ok_or("the path is not UTF-8")?;
        let found = glob::glob(pattern).map_err(|e| e.to_string())?;
        let mut paths: Vec<PathBuf> = found.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        paths.sort();
        Ok(paths)
    }

    #[expect(clippy::disallowed_methods, reason = "this is where a configuration is loaded")]
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn is_world_readable(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
    }

    fn wants_secrets(&self) -> bool {
        self.wants_secrets
    }
}

/// The system's words, without its number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
