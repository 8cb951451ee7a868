//! One journal entry, with only the fields that tocsin looks at, and which
//! entries belong to a source.
//!
//! [`Filter`] does what `journalctl -u UNIT FIELD=value…` does, on entries that
//! come from a dump. A dump may have been made with `--output-fields=`; so a
//! field that the dump does not show is not required, as long as nothing says
//! that the entry is complete (`_TRANSPORT` is in every entry).

use std::collections::BTreeSet;

use crate::config::plan::JournalPlan;
use crate::model::{Boot, Time};

use super::join::PieceEnd;

/// journald's notice that it dropped messages (`SD_MESSAGE_JOURNAL_DROPPED`).
pub const DROPPED_MESSAGE_ID: &str = "a596d6fe7bfa4994828e72309e95d61e";
/// systemd-coredump's message (`SD_MESSAGE_COREDUMP`).
pub const COREDUMP_MESSAGE_ID: &str = "fc2e22bc6ee647b6b90729ab34a250b1";

/// Further field matches a source can have; more are not looked at.
const MATCHES_MAX: usize = 64;

/// Which entries a journal source wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    unit: Option<String>,
    /// Each field with the values of which it must have one.
    matches: Vec<(String, Vec<String>)>,
}

impl Filter {
    /// That of a journal source.
    pub fn new(plan: &JournalPlan) -> Filter {
        let mut matches: Vec<(String, Vec<String>)> = Vec::new();
        for (field, value) in plan.matches.iter().filter_map(|m| m.split_once('=')) {
            match matches.iter().position(|(f, _)| f == field) {
                Some(i) => matches[i].1.push(value.to_owned()),
                None if matches.len() < MATCHES_MAX => {
                    matches.push((field.to_owned(), vec![value.to_owned()]))
                }
                None => {}
            }
        }
        Filter { unit: plan.unit.as_deref().map(unit_name), matches }
    }

    /// The unit's whole name, if the source has one.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Whether an entry belongs to the source.
    pub fn accepts(&self, entry: &Entry) -> bool {
        self.accepts_unit(entry) && (0..self.matches.len()).all(|i| self.accepts_match(entry, i))
    }

    /// Whether it must be learnt from which units the source's entries come:
    /// journald's notice of dropped messages says nothing else.
    pub(super) fn learns_units(&self) -> bool {
        self.unit.is_none() && !self.matches.is_empty() && self.matched_units().is_none()
    }

    /// Whether a notice of messages dropped from the unit `named` (empty: it
    /// does not say) can be about entries of the source; `seen` are the units
    /// that its entries came from.
    pub(super) fn concerns(&self, named: &[u8], seen: &BTreeSet<Vec<u8>>) -> bool {
        if named.is_empty() || (self.unit.is_none() && self.matches.is_empty()) {
            return true;
        }
        match (&self.unit, self.matched_units()) {
            (Some(unit), _) => unit.as_bytes() == named,
            (None, Some(units)) => units.iter().any(|unit| unit.as_bytes() == named),
            (None, None) => seen.contains(named),
        }
    }

    fn matched_units(&self) -> Option<&[String]> {
        let of_unit = self.matches.iter().find(|(field, _)| field == "_SYSTEMD_UNIT");
        of_unit.map(|(_, units)| units.as_slice())
    }

    fn accepts_unit(&self, entry: &Entry) -> bool {
        if self.unit.is_none() {
            return true;
        }
        let about = &entry.about;
        let is_root = about.is_root != Some(false);
        about.own
            || (about.unit && about.is_init != Some(false))
            || (about.object && is_root)
            || (about.coredump && is_root && entry.is_coredump)
            || (!about.has_any && !entry.is_complete)
    }

    fn accepts_match(&self, entry: &Entry, i: usize) -> bool {
        let bit = 1_u64 << i;
        entry.matched & bit != 0 || (entry.mentioned & bit == 0 && !entry.is_complete)
    }

    /// Notes in `entry` whether a field is one that the source asks for.
    fn note(&self, entry: &mut Entry, name: &[u8], value: &[u8]) {
        for (i, (field, values)) in self.matches.iter().enumerate() {
            if field.as_bytes() == name {
                entry.mentioned |= 1 << i;
                if values.iter().any(|v| v.as_bytes() == value) {
                    entry.matched |= 1 << i;
                }
            }
        }
        let Some(unit) = &self.unit else { return };
        let is_it = unit.as_bytes() == value;
        let about = &mut entry.about;
        match name {
            b"_SYSTEMD_UNIT" => about.own |= is_it,
            b"UNIT" => about.unit |= is_it,
            b"OBJECT_SYSTEMD_UNIT" => about.object |= is_it,
            b"COREDUMP_UNIT" => about.coredump |= is_it,
            _ => return,
        }
        about.has_any = true;
    }
}

/// A unit's whole name: `crypto-proxy` is `crypto-proxy.service`, as for
/// `journalctl -u`.
pub fn unit_name(unit: &str) -> String {
    const KINDS: [&str; 11] = [
        "service",
        "socket",
        "target",
        "device",
        "mount",
        "automount",
        "swap",
        "timer",
        "path",
        "slice",
        "scope",
    ];
    match unit.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => unit.to_owned(),
        _ => format!("{unit}.service"),
    }
}

/// What the fields of an entry say about the source's unit.
#[derive(Clone, Copy, Debug, Default)]
struct About {
    own: bool,
    unit: bool,
    object: bool,
    coredump: bool,
    has_any: bool,
    is_init: Option<bool>,
    is_root: Option<bool>,
}

/// The fields of one entry that matter; used again for the next one, so that
/// nothing is allocated for an entry.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub(super) realtime: Option<i64>,
    monotonic: Option<i64>,
    boot: Option<u128>,
    pid: Vec<u8>,
    syslog_pid: Vec<u8>,
    identifier: Vec<u8>,
    comm: Vec<u8>,
    stream: Vec<u8>,
    pub(super) message: Vec<u8>,
    pub(super) has_message: bool,
    /// `message` is not all of it.
    pub(super) is_cut: bool,
    line_break: PieceEnd,
    /// Not written to standard output or error, so never cut by journald.
    pub(super) is_native: bool,
    has_drop_id: bool,
    /// Not written by journald itself.
    is_from_others: bool,
    /// The unit that wrote it, and the one that it is about.
    pub(super) unit: Vec<u8>,
    pub(super) about_unit: Vec<u8>,
    is_coredump: bool,
    pub(super) dropped: Option<u64>,
    /// All fields are known: what was not set is not there.
    is_complete: bool,
    about: About,
    mentioned: u64,
    matched: u64,
}

impl Entry {
    /// Forgets the entry, keeping the memory.
    pub fn clear(&mut self) {
        let mut kept = std::mem::take(self);
        if kept.message.capacity() > 1 << 20 {
            kept.message = Vec::new();
        }
        for text in [
            &mut kept.pid,
            &mut kept.syslog_pid,
            &mut kept.identifier,
            &mut kept.comm,
            &mut kept.stream,
            &mut kept.message,
            &mut kept.unit,
            &mut kept.about_unit,
        ] {
            text.clear();
        }
        *self = Entry {
            pid: kept.pid,
            syslog_pid: kept.syslog_pid,
            identifier: kept.identifier,
            comm: kept.comm,
            stream: kept.stream,
            message: kept.message,
            unit: kept.unit,
            about_unit: kept.about_unit,
            ..Entry::default()
        };
    }

    /// Takes a field. Names that nothing asks for cost one comparison.
    pub fn set(&mut self, name: &[u8], value: &[u8], filter: &Filter) {
        match name {
            b"__REALTIME_TIMESTAMP" => self.realtime = number(value),
            b"__MONOTONIC_TIMESTAMP" => self.monotonic = number(value),
            b"_BOOT_ID" => self.boot = hex(value),
            b"_PID" => {
                short(&mut self.pid, value);
                self.about.is_init = Some(value == b"1");
            }
            b"SYSLOG_PID" => short(&mut self.syslog_pid, value),
            b"_UID" => self.about.is_root = Some(value == b"0"),
            b"SYSLOG_IDENTIFIER" => short(&mut self.identifier, value),
            b"_COMM" => short(&mut self.comm, value),
            b"_STREAM_ID" => short(&mut self.stream, value),
            b"_TRANSPORT" => {
                self.is_complete = true;
                self.is_native = value != b"stdout";
                self.is_from_others = value != b"driver";
            }
            b"MESSAGE" => self.set_message(value, false),
            b"MESSAGE_ID" => {
                self.has_drop_id = value == DROPPED_MESSAGE_ID.as_bytes();
                self.is_coredump = value == COREDUMP_MESSAGE_ID.as_bytes();
            }
            b"N_DROPPED" => self.dropped = number(value).and_then(|n| u64::try_from(n).ok()),
            b"_LINE_BREAK" => {
                self.line_break = match value {
                    b"line-max" => PieceEnd::GoesOn,
                    b"nul" => PieceEnd::GoesOnAfterNul,
                    // `eof`, `pid-change`, or one not known.
                    _ => PieceEnd::CutOff,
                }
            }
            b"_SYSTEMD_UNIT" => short(&mut self.unit, value),
            b"OBJECT_SYSTEMD_UNIT" => short(&mut self.about_unit, value),
            b"UNIT" if self.about_unit.is_empty() => short(&mut self.about_unit, value),
            _ => {}
        }
        filter.note(self, name, value);
    }

    /// Takes the stamps of an entry in the journal itself. Unlike a dump's, it
    /// has all its fields: what is not set is not there.
    pub fn stamp(&mut self, at: Time, boot: Option<Boot>) {
        self.realtime = Some(at.0.div_euclid(1_000));
        self.monotonic = boot.map(|boot| boot.monotonic.div_euclid(1_000));
        self.boot = boot.map(|boot| boot.id);
        self.is_complete = true;
    }

    /// Whether it has a field that says how its line goes on.
    pub fn has_line_break(&self) -> bool {
        self.line_break != PieceEnd::Whole
    }

    /// Whether its identifier is this one.
    pub fn is_of(&self, identifier: &str) -> bool {
        self.identifier() == identifier.as_bytes()
    }

    /// journald's id of the connection; empty if there is none.
    pub fn stream(&self) -> &str {
        std::str::from_utf8(&self.stream).unwrap_or("")
    }

    /// Whether it is journald's own notice of dropped messages. Anybody can
    /// write a MESSAGE_ID; only journald's transport is `driver`.
    pub(super) fn is_drop_notice(&self) -> bool {
        self.has_drop_id && !self.is_from_others
    }

    /// Takes the text; `is_cut` says that it is only the beginning. Of a field
    /// that is there more than once the first counts, as for `journalctl`.
    pub fn set_message(&mut self, value: &[u8], is_cut: bool) {
        if !self.has_message {
            self.message.clear();
            self.message.extend_from_slice(value);
            self.has_message = true;
            self.is_cut = is_cut;
        }
    }

    /// The transport time, once it is known.
    pub fn at(&self) -> Option<Time> {
        self.realtime.map(Time::from_micros)
    }

    /// The monotonic stamp.
    pub fn boot(&self) -> Option<Boot> {
        let monotonic = self.monotonic?.saturating_mul(1_000);
        Some(Boot { id: self.boot?, monotonic })
    }

    pub(super) fn boot_id(&self) -> Option<u128> {
        self.boot
    }

    pub(super) fn pid(&self) -> &[u8] {
        if self.pid.is_empty() { &self.syslog_pid } else { &self.pid }
    }

    pub(super) fn identifier(&self) -> &[u8] {
        if self.identifier.is_empty() { &self.comm } else { &self.identifier }
    }

    pub(super) fn end(&self) -> PieceEnd {
        match self.line_break {
            _ if self.is_native => PieceEnd::Whole,
            PieceEnd::Whole if !self.is_complete => super::journal::end_by_length(&self.message),
            end => end,
        }
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn hex(value: &[u8]) -> Option<u128> {
    u128::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

/// Ids and names are short; a huge one is hostile and only its beginning kept.
fn short(to: &mut Vec<u8>, value: &[u8]) {
    to.clear();
    to.extend_from_slice(&value[..value.len().min(256)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(fields: &[(&str, &str)]) -> bool {
        let plan = JournalPlan { unit: Some("proxy".into()), ..JournalPlan::default() };
        let filter = Filter::new(&plan);
        let mut entry = Entry::default();
        for (name, value) in fields {
            entry.set(name.as_bytes(), value.as_bytes(), &filter);
        }
        filter.accepts(&entry)
    }

    #[test]
    fn a_unit_is_filtered_as_journalctl_does() {
        let whole = ("_TRANSPORT", "journal");
        assert!(accepts(&[whole, ("_SYSTEMD_UNIT", "proxy.service")]));
        assert!(!accepts(&[whole, ("_SYSTEMD_UNIT", "other.service")]));
        assert!(!accepts(&[whole, ("MESSAGE", "from the kernel")]));
        assert!(accepts(&[whole, ("_PID", "1"), ("UNIT", "proxy.service")]));
        assert!(!accepts(&[whole, ("_PID", "77"), ("UNIT", "proxy.service")]));
        assert!(accepts(&[whole, ("_UID", "0"), ("OBJECT_SYSTEMD_UNIT", "proxy.service")]));
        assert!(!accepts(&[whole, ("_UID", "1000"), ("OBJECT_SYSTEMD_UNIT", "proxy.service")]));
        assert!(accepts(&[whole, ("MESSAGE_ID", COREDUMP_MESSAGE_ID), ("COREDUMP_UNIT", "proxy.service")]));
        assert!(!accepts(&[whole, ("MESSAGE_ID", "ff"), ("COREDUMP_UNIT", "proxy.service")]));
    }

    #[test]
    fn a_dump_without_the_fields_is_believed() {
        assert!(accepts(&[("MESSAGE", "from --output-fields=MESSAGE")]));
        assert!(!accepts(&[("_SYSTEMD_UNIT", "other.service")]));
    }

    #[test]
    fn matches_of_one_field_are_any_and_of_two_are_all() {
        let matches = ["A=1", "A=2", "B=3"].map(String::from).to_vec();
        let filter = Filter::new(&JournalPlan { matches, ..JournalPlan::default() });
        let mut entry = Entry::default();
        entry.set(b"_TRANSPORT", b"stdout", &filter);
        entry.set(b"A", b"2", &filter);
        assert!(!filter.accepts(&entry));
        entry.set(b"B", b"3", &filter);
        assert!(filter.accepts(&entry));
    }
}
