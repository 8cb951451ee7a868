//! Bytes to lines: the formats of journal, Docker and text, without IO.
//!
//! [`detect()`] tells a dump's format, a [`Decoder`] turns its bytes, in chunks of
//! any size, into readings; the same bytes give the same readings however they
//! are split. Nothing here fails: what is broken is passed over and counted.
//!
//! The live sources use the parts: [`journal::Assembler`] and
//! [`journal::write_writer`] (journal), [`docker::Pieces`] and
//! [`docker::split_timestamp`] (containers), [`frame::Framer`],
//! [`docker::DockerJson`] and [`stamp::of_application`] (files).
//!
//! Memory is bounded by `line_bytes_max` a line, by [`join::Joiner`]'s limits
//! for half-joined ones, and by 64 MiB for one entry of `-o json`.

mod civil;
pub mod clean;
pub mod compose;
pub mod detect;
pub mod docker;
pub mod follow;
pub mod entry;
pub mod export;
pub mod frame;
pub mod join;
pub mod journal;
pub mod journal_json;
pub mod short_iso;
pub mod stamp;
pub mod text;

pub use detect::{Format, detect};

use crate::config::plan::SourcePlan;
use crate::model::{Reading, Time};

/// Reads one dump.
#[derive(Clone, Debug)]
pub enum Decoder {
    /// `journalctl -o export`.
    Export(Box<export::Export>),
    /// `journalctl -o json`.
    JournalJson(Box<journal_json::JournalJson>),
    /// `journalctl -o short-iso`.
    ShortIso(Box<short_iso::ShortIso>),
    /// Docker's `*-json.log`.
    DockerJson(Box<docker::DockerJson>),
    /// Text of containers and files.
    Text(Box<text::Text>),
}

impl Decoder {
    /// A decoder of `format` for `source`. `latest` is when the file was
    /// modified, `first` the first stamp in a text, if it has one. `None` for a
    /// native journal, which libsystemd reads.
    pub fn new(format: Format, source: &SourcePlan, latest: Time, first: Option<Time>) -> Option<Decoder> {
        let boxed =
            |wrap| Decoder::Text(Box::new(text::Text::new(source, wrap, latest, first.unwrap_or(latest))));
        Some(match format {
            Format::NativeJournal => return None,
            Format::Export => Decoder::Export(Box::new(export::Export::new(source))),
            Format::JournalJson => Decoder::JournalJson(Box::new(journal_json::JournalJson::new(source))),
            Format::ShortIso => Decoder::ShortIso(Box::new(short_iso::ShortIso::new(source))),
            Format::DockerJson => Decoder::DockerJson(Box::new(docker::DockerJson::new(source))),
            Format::Docker | Format::Compose | Format::Plain => boxed(format.wrap()?),
        })
    }

    /// Takes the next bytes and appends what they complete.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        match self {
            Decoder::Export(d) => d.feed(chunk, out),
            Decoder::JournalJson(d) => d.feed(chunk, out),
            Decoder::ShortIso(d) => d.feed(chunk, out),
            Decoder::DockerJson(d) => d.feed(chunk, out),
            Decoder::Text(d) => d.feed(chunk, out),
        }
    }

    /// Takes the end of the input and appends what was still open.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        match self {
            Decoder::Export(d) => d.finish(out),
            Decoder::JournalJson(d) => d.finish(out),
            Decoder::ShortIso(d) => d.finish(out),
            Decoder::DockerJson(d) => d.finish(out),
            Decoder::Text(d) => d.finish(out),
        }
    }

    /// Entries and lines passed over because they were broken.
    pub fn problems(&self) -> u64 {
        match self {
            Decoder::Export(d) => d.problems(),
            Decoder::JournalJson(d) => d.problems(),
            Decoder::ShortIso(d) => d.problems(),
            Decoder::DockerJson(d) => d.problems(),
            Decoder::Text(_) => 0,
        }
    }
}

impl Format {
    /// How the lines of a text form are wrapped; `None` for other forms.
    pub fn wrap(self) -> Option<text::Wrap> {
        match self {
            Format::Docker => Some(text::Wrap::Docker),
            Format::Compose => Some(text::Wrap::Compose),
            Format::Plain => Some(text::Wrap::Plain),
            _ => None,
        }
    }
}
