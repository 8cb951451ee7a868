//! What every part of the configuration is read from.

use std::path::PathBuf;

use super::document::{self, FileSource};
use super::problem::{Report, Spot};
use super::reader::Table;

/// Tables of which a configuration may have several.
const KINDS: &[&str] = &[
    "source",
    "event",
    "change",
    "metric",
    "redact",
    "rule",
    "inhibit",
    "receiver",
    "time_interval",
    "maintenance",
];

/// What every part of the configuration is read from.
pub(super) struct Ground<'a> {
    pub report: &'a Report,
    /// The top of each file.
    pub tops: Vec<Table<'a>>,
    pub files: &'a dyn FileSource,
}

impl<'a> Ground<'a> {
    /// Tables of one kind in all files, in order.
    pub fn tables(&self, kind: &'static str) -> Vec<Table<'a>> {
        self.tops.iter().flat_map(|top| top.children(kind)).collect()
    }

    /// The one file that has a key which may stand once.
    pub fn only(&self, key: &'static str) -> Option<&Table<'a>> {
        let mut having = self.tops.iter().filter(|top| top.has(key));
        let first = having.next()?;
        for again in having {
            let place = self.report.place(&first.key_at(key));
            self.report.error(
                &again.key_at(key),
                format!("\"{key}\" is set twice"),
                format!("the first stands at {place}"),
            );
        }
        Some(first)
    }

    /// A path as written, relative to its file.
    pub fn resolve(&self, text: &Spot<&str>) -> PathBuf {
        document::resolve(&self.report.files[text.at.file].path, text.value)
    }

    /// Reports unknown keys at the top of files.
    pub fn check_keys(&self) {
        for top in &self.tops {
            for kind in KINDS {
                top.get(kind);
            }
            for key in [
                "fragments",
                "builtin",
                "override",
                "http",
                "notify",
                "route",
                "heartbeat",
                "limits",
                "state_dir",
                "history_for",
            ] {
                top.get(key);
            }
            top.texts("include");
            top.finish();
        }
    }
}
