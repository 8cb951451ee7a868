//! Where lines come from. IO.
//!
//! Each source runs on its own, sends [`crate::model::Batch`]es through a
//! bounded channel and ends when it is told to or nobody listens any more. A
//! full channel makes a source read later; nothing is dropped. Sources do not
//! decide what a line means and do not see each other.

pub mod docker;
pub mod file;
pub mod journal;

/// The door to the engine: bounded, so that a slow daemon slows the reading.
pub type Sender = tokio::sync::mpsc::Sender<crate::model::Batch>;
