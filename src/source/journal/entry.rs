//! Takes one journal entry, as single fields, and turns it into readings.
//!
//! Never reads whole entries (a field may be huge) and never our own: entries
//! whose `_PID` and boot are this process's are passed over, or a source that
//! selects everything would feed on its own log. What the fields mean, and how
//! pieces are joined, is the business of `decode`.

use std::ffi::CStr;
use std::io::ErrorKind;

use systemd::Journal;
use systemd::id128::Id128;

use crate::config::plan::JournalPlan;
use crate::decode::entry::Entry;
use crate::decode::journal::Assembler;
use crate::model::{Boot, Gap, Reading, Time};

use super::position::OpenLine;

/// Turns entries into readings.
pub(super) struct Intake {
    /// Lines that are not whole yet, each with what to read again.
    pub assembler: Assembler<OpenLine>,
    entry: Entry,
    own: (u32, u128),
    last_at: Time,
    told: Vec<Reading>,
}

impl Intake {
    /// For a source that selects what `plan` says.
    pub fn new(plan: &JournalPlan, line_bytes_max: usize) -> Intake {
        let boot = Id128::from_boot().map(|id| u128::from_be_bytes(*id.as_bytes())).unwrap_or(0);
        Intake {
            assembler: Assembler::selected(plan, line_bytes_max),
            entry: Entry::default(),
            own: (std::process::id(), boot),
            last_at: Time::default(),
            told: Vec::new(),
        }
    }

    /// Takes the entry on which `journal` stands and gives its readings to
    /// `each`: mostly one, none for a piece or our own, several when stuck
    /// lines are told. A damaged entry is a gap of one line, never a place to
    /// stand still.
    pub fn take(&mut self, journal: &mut Journal, each: &mut dyn FnMut(Reading)) -> systemd::Result<()> {
        let taken = self.take_whole(journal);
        self.told.drain(..).for_each(&mut *each);
        match taken {
            Err(error) if is_damage(&error) => {
                let at = journal.timestamp_usec().map_or(self.last_at, |us| Time::from_micros(us as i64));
                let why = format!("an entry of the journal is damaged: {error}");
                each(Reading::Gap(Gap { at, boot: None, lines: Some(1), why }));
                Ok(())
            }
            taken => taken,
        }
    }

    fn take_whole(&mut self, journal: &mut Journal) -> systemd::Result<()> {
        let at = Time::from_micros(i64::try_from(journal.timestamp_usec()?).unwrap_or(i64::MAX));
        self.last_at = at;
        let boot = boot_of(journal)?;
        let id = boot.map_or(0, |boot| boot.id);
        self.entry.clear();
        self.entry.stamp(at, boot);
        let pid = field(journal, c"_PID")?;
        let number = pid.as_deref().and_then(|pid| std::str::from_utf8(pid).ok()?.parse::<u32>().ok());
        if number == Some(self.own.0) && id == self.own.1 {
            return Ok(());
        }
        match pid {
            Some(pid) => self.entry.set(b"_PID", &pid, self.assembler.filter()),
            None => drop(self.copy(journal, c"SYSLOG_PID")?),
        }
        if !self.copy(journal, c"SYSLOG_IDENTIFIER")? {
            self.copy(journal, c"_COMM")?;
        }
        if self.entry.is_of("systemd-journald") && self.copy(journal, c"MESSAGE_ID")? {
            for name in [c"_TRANSPORT", c"OBJECT_SYSTEMD_UNIT", c"UNIT", c"N_DROPPED"] {
                self.copy(journal, name)?;
            }
        }
        if self.assembler.learns_units() {
            self.copy(journal, c"_SYSTEMD_UNIT")?;
        }
        if !self.copy_message(journal)? {
            return Ok(());
        }
        self.copy(journal, c"_LINE_BREAK")?;
        if self.entry.has_line_break() || !self.assembler.joiner().is_empty() {
            self.copy(journal, c"_TRANSPORT")?;
            self.copy(journal, c"_STREAM_ID")?;
        }
        let entry = &self.entry;
        let place = || OpenLine {
            pid: number,
            boot: format!("{id:032x}"),
            stream: entry.stream().to_owned(),
            first: journal.cursor().ok(),
        };
        self.assembler.take_at(entry, place, &mut self.told);
        Ok(())
    }

    /// Copies a field; false if the entry has none.
    fn copy(&mut self, journal: &mut Journal, name: &CStr) -> systemd::Result<bool> {
        let Some(value) = field(journal, name)? else { return Ok(false) };
        self.entry.set(name.to_bytes(), &value, self.assembler.filter());
        Ok(true)
    }

    /// Copies the text up to the limit.
    fn copy_message(&mut self, journal: &mut Journal) -> systemd::Result<bool> {
        let limit = self.assembler.line_bytes_max();
        found(journal.get_data(c"MESSAGE")).map(|field| {
            let Some(field) = field else { return false };
            let value = field.value().unwrap_or_default();
            self.entry.set_message(&value[..value.len().min(limit)], value.len() > limit);
            true
        })
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

/// A short field's value; `None` if the entry has none.
fn field(journal: &mut Journal, name: &CStr) -> systemd::Result<Option<Vec<u8>>> {
    let field = found(journal.get_data(name))?;
    Ok(field.map(|field| {
        let value = field.value().unwrap_or_default();
        value[..value.len().min(512)].to_vec()
    }))
}

fn found<T>(got: systemd::Result<Option<T>>) -> systemd::Result<Option<T>> {
    match got {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        got => got,
    }
}
