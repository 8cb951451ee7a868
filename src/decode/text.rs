//! Text of containers and files: `docker logs` and `docker compose logs`, with
//! or without `-t`, and plain files.
//!
//! A line's time is Docker's where it is printed, else the application's own,
//! else that of the line before (of the same container); lines before the first
//! stamp have the first stamp's. As the first stamp may be far down, whoever
//! feeds the bytes finds it beforehand with [`FirstStamp`].

use std::sync::Arc;

use crate::config::plan::SourcePlan;
use crate::model::{Channel, Reading, Stream, Time};

use super::clean::without_return;
use super::compose::{Wanted, split_prefix};
use super::docker::{PIECE_BYTES, split_printed_timestamp, without_inner_stamps};
use super::frame::{Framed, Framer};
use super::join::{Head, line};
use super::stamp::{Local, of_application};

/// Containers of a dump whose times are kept apart; further ones share theirs.
const CONTAINERS_MAX: usize = 1_024;

/// How lines are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// Not at all.
    Plain,
    /// `docker logs -t`.
    Docker,
    /// `docker compose logs`, with or without `-t`.
    Compose,
}

/// A line taken out of its wrapping.
struct Bare<'a> {
    container: &'a [u8],
    /// Docker's time.
    at: Option<Time>,
    text: &'a [u8],
}

impl Wrap {
    fn unwrap_line(self, bytes: &[u8]) -> Bare<'_> {
        let (container, text) = match self {
            Wrap::Compose => split_prefix(bytes).unwrap_or((b"", bytes)),
            Wrap::Plain | Wrap::Docker => (&b""[..], bytes),
        };
        match split_printed_timestamp(text).filter(|_| self != Wrap::Plain) {
            Some((at, text)) => Bare { container, at: Some(at), text },
            None => Bare { container, at: None, text },
        }
    }
}

/// Reads such text.
#[derive(Clone, Debug)]
pub struct Text {
    framer: Framer,
    lines: Lines,
}

#[derive(Clone, Debug)]
struct Lines {
    wrap: Wrap,
    wanted: Wanted,
    local: Local,
    line_bytes_max: usize,
    /// Docker prints its time on these lines, so the application's is not it.
    has_transport_time: bool,
    last_at: Time,
    containers: Vec<(Arc<str>, Time)>,
    nobody: Arc<str>,
}

impl Text {
    /// For a source. `latest` is the file's modification time, `first` the
    /// first stamp in it (else `latest`).
    pub fn new(source: &SourcePlan, wrap: Wrap, latest: Time, first: Time) -> Text {
        let line_bytes_max = source.line_bytes_max;
        let stamps = (line_bytes_max / PIECE_BYTES + 1).saturating_mul(64);
        let lines = Lines {
            wrap,
            wanted: Wanted::new(source),
            local: Local { zone: source.timezone.clone(), latest },
            line_bytes_max,
            has_transport_time: wrap == Wrap::Docker,
            last_at: first,
            containers: Vec::new(),
            nobody: "".into(),
        };
        Text { framer: Framer::new(line_bytes_max.saturating_add(stamps).saturating_add(1_024)), lines }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        let lines = &mut self.lines;
        self.framer.feed(chunk, |framed| out.extend(lines.take(framed)));
    }

    /// Takes the end of the input.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        let lines = &mut self.lines;
        self.framer.finish(|framed| out.extend(lines.take(framed)));
    }
}

impl Lines {
    fn take(&mut self, framed: Framed<'_>) -> Option<Reading> {
        let bytes = if framed.is_cut { framed.bytes } else { without_return(framed.bytes) };
        let bare = self.wrap.unwrap_line(bytes);
        if !bare.container.is_empty() && !self.wanted.accepts(bare.container) {
            return None;
        }
        self.has_transport_time |= bare.at.is_some();
        let own = || {
            if self.has_transport_time { None } else { of_application(bare.text, &self.local) }
        };
        let at = bare.at.or_else(own);
        let (writer, at) = self.place(bare.container, at);
        let text = match bare.at {
            Some(_) => without_inner_stamps(bare.text),
            None => bare.text.into(),
        };
        let stream = Stream { writer, channel: Channel::Any };
        let head = Head { stream, at, boot: None, identifier: None };
        Some(Reading::Line(line(head, &text, framed.is_cut, self.line_bytes_max)))
    }

    /// The writer, and the line's time or else that of the line before.
    fn place(&mut self, container: &[u8], at: Option<Time>) -> (Arc<str>, Time) {
        if container.is_empty() {
            self.last_at = at.unwrap_or(self.last_at);
            return (self.nobody.clone(), self.last_at);
        }
        let known = self.containers.iter().position(|(name, _)| name.as_bytes() == container);
        let at = at.unwrap_or_else(|| known.map_or(self.last_at, |i| self.containers[i].1));
        self.last_at = at;
        if let Some(i) = known {
            self.containers[i].1 = at;
            return (self.containers[i].0.clone(), at);
        }
        let name: Arc<str> = String::from_utf8_lossy(container).into();
        if self.containers.len() < CONTAINERS_MAX {
            self.containers.push((name.clone(), at));
        }
        (name, at)
    }
}

/// Looks for the first stamp of a text.
#[derive(Clone, Debug)]
pub struct FirstStamp {
    framer: Framer,
    wrap: Wrap,
    wanted: Wanted,
    local: Local,
    found: Option<Time>,
}

impl FirstStamp {
    /// As for [`Text::new`].
    pub fn new(source: &SourcePlan, wrap: Wrap, latest: Time) -> FirstStamp {
        let local = Local { zone: source.timezone.clone(), latest };
        FirstStamp { framer: Framer::new(4_096), wrap, wanted: Wanted::new(source), local, found: None }
    }

    /// Takes the next bytes; gives the stamp once it is found.
    pub fn feed(&mut self, chunk: &[u8]) -> Option<Time> {
        let FirstStamp { framer, wrap, wanted, local, found } = self;
        framer.feed(chunk, |l| look(*wrap, wanted, local, found, l.bytes));
        *found
    }

    /// Takes the end of the input.
    pub fn finish(&mut self) -> Option<Time> {
        let FirstStamp { framer, wrap, wanted, local, found } = self;
        framer.finish(|l| look(*wrap, wanted, local, found, l.bytes));
        *found
    }
}

fn look(wrap: Wrap, wanted: &Wanted, local: &Local, found: &mut Option<Time>, bytes: &[u8]) {
    if found.is_none() {
        let bare = wrap.unwrap_line(bytes);
        if bare.container.is_empty() || wanted.accepts(bare.container) {
            let own = || {
                if wrap == Wrap::Docker { None } else { of_application(bare.text, local) }
            };
            *found = bare.at.or_else(own);
        }
    }
}
