//! What kind of log a file is, told from its first bytes, never from its name.
//!
//! Binary and structured forms announce themselves; text forms are told by what
//! most of the first lines look like. Anything else is plain text.

use memchr::memmem;

use super::clean::without_return;
use super::compose::split_prefix;
use super::docker::split_printed_timestamp;
use super::short_iso::{is_entry, is_remark};

/// So many bytes are enough.
pub const HEAD_BYTES: usize = 64 << 10;
/// So many lines are looked at.
const LINES_MAX: usize = 200;

/// The kinds that `replay` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A journal file, as journald writes it.
    NativeJournal,
    /// `journalctl -o export`.
    Export,
    /// `journalctl -o json`.
    JournalJson,
    /// `journalctl -o short-iso` or `short-iso-precise`.
    ShortIso,
    /// Docker's `*-json.log`.
    DockerJson,
    /// `docker logs -t`.
    Docker,
    /// `docker compose logs`, with or without `-t`.
    Compose,
    /// Anything else, nothing included.
    Plain,
}

/// Tells the kind from the first [`HEAD_BYTES`], or all there is.
pub fn detect(head: &[u8]) -> Format {
    if head.starts_with(b"LPKSHHRH") {
        return Format::NativeJournal;
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if is_export(head) {
        return Format::Export;
    }
    let first = head.trim_ascii_start();
    let first = first.strip_prefix(b"\x1e").or_else(|| first.strip_prefix(b"data: ")).unwrap_or(first);
    if first.starts_with(b"{")
        && let Some(format) = of_json(first)
    {
        return format;
    }
    of_lines(head)
}

/// Every entry has its time on a line of its own.
fn is_export(head: &[u8]) -> bool {
    let first = head.trim_ascii_start();
    let begins = [&b"__CURSOR="[..], b"__REALTIME_TIMESTAMP=", b"__MONOTONIC_TIMESTAMP=", b"__SEQNUM="];
    begins.iter().any(|b| first.starts_with(b)) || memmem::find(head, b"\n__REALTIME_TIMESTAMP=").is_some()
}

fn of_json(head: &[u8]) -> Option<Format> {
    // Only the keys of the first object, as far as it is here.
    let line = head.split(|b| *b == b'\n').next().unwrap_or(head);
    let has = |key: &[u8]| memmem::find(line, key).is_some();
    if has(b"\"__REALTIME_TIMESTAMP\"") || has(b"\"__CURSOR\"") || has(b"\"_BOOT_ID\"") {
        return Some(Format::JournalJson);
    }
    if line.starts_with(b"{\"log\":") || (has(b"\"log\":") && has(b"\"stream\":") && has(b"\"time\":")) {
        return Some(Format::DockerJson);
    }
    None
}

fn of_lines(head: &[u8]) -> Format {
    let (mut compose, mut docker, mut short_iso, mut others) = (0, 0, 0, 0);
    for line in head.split(|b| *b == b'\n').map(without_return).take(LINES_MAX) {
        // Blank and indented lines belong to what stands before them.
        if line.first().is_none_or(|b| b.is_ascii_whitespace()) || is_remark(line) {
        } else if split_printed_timestamp(line).is_some() {
            docker += 1;
        } else if is_entry(line) {
            short_iso += 1;
        } else if split_prefix(line).is_some() {
            compose += 1;
        } else {
            others += 1;
        }
    }
    let most = compose.max(docker).max(short_iso);
    if most == 0 || most < others {
        Format::Plain
    } else if most == short_iso {
        Format::ShortIso
    } else if most == docker {
        Format::Docker
    } else {
        Format::Compose
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_their_content() {
        for (text, expected) in [
            ("LPKSHHRH\0\0", Format::NativeJournal),
            ("__CURSOR=x\n__REALTIME_TIMESTAMP=1\n", Format::Export),
            ("_PID=7\nMESSAGE=the end of an entry\n\n__CURSOR=x\n__REALTIME_TIMESTAMP=1\n", Format::Export),
            ("{\"MESSAGE\":\"x\",\"__REALTIME_TIMESTAMP\":\"1\"}\n", Format::JournalJson),
            (
                "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-03-14T10:00:00Z\"}\n",
                Format::DockerJson,
            ),
            ("-- Journal begins at Sat --\n2026-03-14T10:00:00+0000 h python[7]: x\n", Format::ShortIso),
            ("2026-03-14T10:00:00.123456+00:00 h kernel: x\n    more\n", Format::ShortIso),
            ("2026-03-14T10:00:00.000000001Z x: y\n", Format::Docker),
            ("Attaching to backend-1\nbackend-1  | x\nbackend-1  | y\n", Format::Compose),
            ("backend-1  | 2026-03-14T10:00:00.000000001Z x\n", Format::Compose),
            ("", Format::Plain),
            ("\n\n", Format::Plain),
        ] {
            assert_eq!(detect(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_applications_write_is_plain_text() {
        for text in [
            "{\"level\":\"info\",\"msg\":\"x\"}\n",
            "2026-03-14T10:00:00.123456Z  INFO tocsin::source: reading\n",
            "2026-03-14T10:00:00Z INFO app: started\n",
            "2026-03-14T10:00:00+00:00 INFO app: started\n",
            "2026-03-14T10:00:00+00:00 the app has started: yes\n",
            "INFO  | started\nERROR | stopped\n",
            "2026-01-08 01:19:43.943 | INFO | app: x\n",
            "Oct 11 22:14:15 host sshd[1]: x\n",
            "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_status=200\n",
        ] {
            assert_eq!(detect(text.as_bytes()), Format::Plain, "{text}");
        }
    }
}
