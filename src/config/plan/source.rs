//! Where lines come from, as meant.

use std::path::PathBuf;
use std::time::Duration;

/// A source.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Unique; the `source` label.
    pub name: String,
    /// Where it reads.
    pub kind: SourceKind,
    /// Where its first start begins.
    pub start: Start,
    /// Lines longer than this many bytes are cut and counted.
    pub line_bytes_max: usize,
    /// Zone of times written without one; UTC unless set.
    pub timezone: jiff::tz::TimeZone,
}

/// Where a source reads.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// The systemd journal.
    Journal(JournalPlan),
    /// Containers of a Docker engine.
    Docker(DockerPlan),
    /// Files.
    File(FilePlan),
}

/// Options of a journal source.
#[derive(Clone, Debug, Default)]
pub struct JournalPlan {
    /// A unit, with what `journalctl -u` adds: systemd's lines about it.
    pub unit: Option<String>,
    /// `FIELD=value` matches; different fields all, the same field any.
    pub matches: Vec<String>,
    /// Another journal directory.
    pub directory: Option<PathBuf>,
    /// Journal files by name.
    pub files: Vec<PathBuf>,
    /// A journal namespace.
    pub namespace: Option<String>,
}

/// Options of a Docker source. What is given must all hold.
#[derive(Clone, Debug, Default)]
pub struct DockerPlan {
    /// Compose service label.
    pub service: Option<String>,
    /// Compose project label.
    pub project: Option<String>,
    /// Container name.
    pub name: Option<String>,
    /// `key=value` or `key` labels.
    pub labels: Vec<String>,
    /// `unix:///path` or `tcp://host:port`; `DOCKER_HOST` or the usual socket
    /// when absent.
    pub host: Option<String>,
}

/// Options of a file source.
#[derive(Clone, Debug, Default)]
pub struct FilePlan {
    /// Paths; `*`, `?` and `[…]` are globs.
    pub paths: Vec<String>,
    /// How lines are wrapped.
    pub format: FileFormat,
}

/// How a followed file wraps its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// One line a line; the application's own time if it has one.
    #[default]
    Plain,
    /// Docker's `*-json.log`.
    DockerJson,
}

/// Where a source's first start begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its end.
    End,
    /// At its beginning.
    Beginning,
    /// So long before now.
    Ago(Duration),
}
