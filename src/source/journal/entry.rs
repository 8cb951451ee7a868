//! Takes one journal entry, as single fields, and turns it into readings.
//!
//! Never reads whole entries (a field may be huge) and never our own: entries
//! whose `_PID` and boot are this process's are passed over, or a source that
//! selects everything would feed on its own log.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io::ErrorKind;
use std::sync::Arc;

use systemd::Journal;
use systemd::id128::Id128;

use crate::model::{Boot, Gap, Line, Reading, Stream, Time};

use super::handle::DROPPED_ID;
use super::join::{Break, Joiner, Key, Piece};

/// Names that are kept for sharing; beyond it the table starts anew.
const NAMES_MAX: usize = 4_096;

/// Turns entries into readings.
pub(super) struct Intake {
    /// Lines that are not whole yet.
    pub joiner: Joiner,
    unit: Option<String>,
    line_bytes_max: usize,
    own: (u32, u128),
    last_at: Time,
    writers: HashMap<(Option<u32>, u128), Arc<str>>,
    identifiers: HashMap<Vec<u8>, Arc<str>>,
}

impl Intake {
    /// For a source that selects `unit` (full name), if any.
    pub fn new(unit: Option<String>, line_bytes_max: usize) -> Intake {
        let boot = Id128::from_boot().map(|id| u128::from_be_bytes(*id.as_bytes())).unwrap_or(0);
        Intake {
            joiner: Joiner::new(line_bytes_max),
            unit,
            line_bytes_max,
            own: (std::process::id(), boot),
            last_at: Time::default(),
            writers: HashMap::new(),
            identifiers: HashMap::new(),
        }
    }

    /// Takes the entry on which `journal` stands and gives its readings to
    /// `each`: mostly one, none for a piece or our own, several when stuck
    /// lines are told. A damaged entry is a gap of one line, never a place to
    /// stand still.
    pub fn take(&mut self, journal: &mut Journal, each: &mut dyn FnMut(Reading)) -> systemd::Result<()> {
        match self.take_whole(journal, each) {
            Err(error) if is_damage(&error) => {
                let at = journal.timestamp_usec().map_or(self.last_at, |us| Time::from_micros(us as i64));
                let why = format!("an entry of the journal is damaged: {error}");
                each(Reading::Gap(Gap { at, boot: None, lines: Some(1), why }));
                Ok(())
            }
            taken => taken,
        }
    }

    fn take_whole(&mut self, journal: &mut Journal, each: &mut dyn FnMut(Reading)) -> systemd::Result<()> {
        let at = Time::from_micros(i64::try_from(journal.timestamp_usec()?).unwrap_or(i64::MAX));
        self.last_at = at;
        let boot = boot_of(journal)?;
        let id = boot.map_or(0, |boot| boot.id);
        let pid = number(journal, c"_PID")?.and_then(|pid| u32::try_from(pid).ok());
        if pid == Some(self.own.0) && id == self.own.1 {
            return Ok(());
        }
        if !self.joiner.is_empty() {
            self.joiner.overdue(at, boot).into_iter().for_each(|line| each(Reading::Line(line)));
        }
        let identifier = self.identifier(journal)?;
        if identifier.as_deref() == Some("systemd-journald")
            && let Some(gap) = self.drop_notice(journal, at, boot)?
        {
            each(Reading::Gap(gap));
            return Ok(());
        }
        let limit = self.line_bytes_max.saturating_add(1);
        let Some(bytes) = field(journal, c"MESSAGE", limit)? else {
            return Ok(());
        };
        let line = Line {
            stream: Stream { writer: self.writer(pid, id), channel: Default::default() },
            at,
            boot,
            identifier,
            text: String::new(),
            is_cut: false,
            had_invalid_utf8: false,
        };
        let ends = break_of(journal)?;
        let mut key = Key { pid, boot: id, stream: String::new() };
        if ends != Break::Whole || !self.joiner.is_empty() {
            key.stream = text(journal, c"_STREAM_ID")?.unwrap_or_default();
        }
        let is_over = bytes.len() > self.line_bytes_max;
        let piece = Piece { line, bytes, is_over, ends };
        let told = self.joiner.push(key, piece, || journal.cursor().ok());
        told.into_iter().for_each(|line| each(Reading::Line(line)));
        Ok(())
    }

    /// journald's own notice that it dropped messages, if it is about what is
    /// selected. Anybody can write a MESSAGE_ID; only journald's transport is
    /// `driver`.
    fn drop_notice(
        &self,
        journal: &mut Journal,
        at: Time,
        boot: Option<Boot>,
    ) -> systemd::Result<Option<Gap>> {
        if text(journal, c"MESSAGE_ID")?.as_deref() != Some(DROPPED_ID)
            || text(journal, c"_TRANSPORT")?.is_some_and(|transport| transport != "driver")
        {
            return Ok(None);
        }
        let mut about = None;
        for name in [c"OBJECT_SYSTEMD_UNIT", c"UNIT"] {
            if about.is_none() {
                about = text(journal, name)?;
            }
        }
        if self.unit.is_some() && about.is_some() && about != self.unit {
            return Ok(None);
        }
        let lines = number(journal, c"N_DROPPED")?;
        let why = "journald dropped messages: the writer was over its rate limit".to_owned();
        Ok(Some(Gap { at, boot, lines, why }))
    }

    fn identifier(&mut self, journal: &mut Journal) -> systemd::Result<Option<Arc<str>>> {
        for name in [c"SYSLOG_IDENTIFIER", c"_COMM"] {
            let Some(bytes) = field(journal, name, 256)? else {
                continue;
            };
            if let Some(known) = self.identifiers.get(&bytes) {
                return Ok(Some(known.clone()));
            }
            if self.identifiers.len() >= NAMES_MAX {
                self.identifiers.clear();
            }
            let shared: Arc<str> = String::from_utf8_lossy(&bytes).into();
            self.identifiers.insert(bytes, shared.clone());
            return Ok(Some(shared));
        }
        Ok(None)
    }

    fn writer(&mut self, pid: Option<u32>, boot: u128) -> Arc<str> {
        if self.writers.len() >= NAMES_MAX {
            self.writers.clear();
        }
        let name = self.writers.entry((pid, boot)).or_insert_with(|| match pid {
            Some(pid) if boot != 0 => format!("{pid}@{}", &format!("{boot:032x}")[..8]).into(),
            Some(pid) => pid.to_string().into(),
            None => "".into(),
        });
        name.clone()
    }
}

/// The entry is unreadable, the journal is not.
fn is_damage(error: &systemd::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADMSG | libc::E2BIG | libc::EPROTONOSUPPORT | libc::EIO | libc::ENOBUFS | libc::ENODATA)
    )
}

fn boot_of(journal: &Journal) -> systemd::Result<Option<Boot>> {
    let (monotonic, id) = journal.monotonic_timestamp()?;
    let id = u128::from_be_bytes(*id.as_bytes());
    let monotonic = i64::try_from(monotonic.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Ok((id != 0).then_some(Boot { id, monotonic }))
}

fn break_of(journal: &mut Journal) -> systemd::Result<Break> {
    Ok(match field(journal, c"_LINE_BREAK", 32)?.as_deref() {
        None => Break::Whole,
        Some(b"line-max") => Break::Continues,
        Some(b"nul") => Break::Nul,
        Some(_) => Break::Cut,
    })
}

fn number(journal: &mut Journal, name: &CStr) -> systemd::Result<Option<u64>> {
    Ok(text(journal, name)?.and_then(|text| text.parse().ok()))
}

fn text(journal: &mut Journal, name: &CStr) -> systemd::Result<Option<String>> {
    Ok(field(journal, name, 512)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A field's value, its first `limit` bytes; `None` if the entry has none.
fn field(journal: &mut Journal, name: &CStr, limit: usize) -> systemd::Result<Option<Vec<u8>>> {
    match journal.get_data(name) {
        Ok(found) => Ok(found.map(|field| {
            let value = field.value().unwrap_or_default();
            value[..value.len().min(limit)].to_vec()
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
