//! Times as logs write them, read from bytes without allocating.
//!
//! It reads what an application or a daemon puts at the beginning of its lines;
//! a date somewhere inside a text is not the line's time. Stamps without a zone
//! are in the source's, stamps without a year in the latest year that is not
//! after the file's modification time.

use jiff::tz::TimeZone;
use memchr::memmem;

use crate::model::Time;

use super::civil::{Civil, Reader, month};

/// The time of day of an access log stands behind the client's address and
/// name, which are not longer than this.
const ACCESS_PREFIX_MAX: usize = 512;
/// What applications call the weight of a line.
pub(super) const LEVELS: [&[u8]; 12] = [
    b"TRACE",
    b"DEBUG",
    b"INFO",
    b"NOTICE",
    b"WARNING",
    b"WARN",
    b"ERROR",
    b"ERR",
    b"CRITICAL",
    b"FATAL",
    b"PANIC",
    b"SUCCESS",
];

/// What a stamp leaves open.
#[derive(Clone, Debug)]
pub struct Local {
    /// Zone of stamps that name none.
    pub zone: TimeZone,
    /// No stamp without a year is later than this.
    pub latest: Time,
}

/// Reads `YYYY-MM-DDThh:mm:ss[.fraction]` with `Z` or an offset (with or
/// without a colon) from the beginning; gives the time and what follows.
pub fn rfc3339(text: &[u8]) -> Option<(Time, &[u8])> {
    let mut read = Reader(text);
    let civil = read.iso_civil(|b| b == b'T' || b == b't')?;
    let offset = read.offset(false)?;
    Some((civil.at_offset(offset)?, read.0))
}

/// The time that the application itself wrote on a line, if it did.
pub fn of_application(line: &[u8], local: &Local) -> Option<Time> {
    let line = past_colours(line);
    match line.first()? {
        b'{' => return in_json(line, local),
        // `<34>`, the priority of a syslog packet.
        b'<' => {
            let end = line.iter().take(5).position(|b| *b == b'>')?;
            return of_application(line.get(end + 1..).filter(|l| l.first() != Some(&b'<'))?, local);
        }
        _ => {}
    }
    let bare = past_level(line);
    for key in [&b"time="[..], b"ts=", b"timestamp="] {
        if let Some(value) = bare.strip_prefix(key) {
            return leading(value.strip_prefix(b"\"").unwrap_or(value), local);
        }
    }
    leading(bare, local).or_else(|| access(line))
}

/// A stamp at the very beginning, in brackets or not.
fn leading(text: &[u8], local: &Local) -> Option<Time> {
    let text = past_colours(text);
    let text = text.strip_prefix(b"[").or_else(|| text.strip_prefix(b"(")).unwrap_or(text);
    match text.first()? {
        b'0'..=b'9' => {
            let mut read = Reader(text);
            let civil = read.iso_civil(|b| matches!(b, b'T' | b't' | b' '))?;
            match read.offset(true) {
                Some(offset) => civil.at_offset(offset),
                None => civil.in_zone(&local.zone),
            }
        }
        b'A'..=b'Z' => syslog(text, local),
        _ => None,
    }
}

/// `Oct 11 22:14:15`, also with a weekday before and a year behind.
fn syslog(text: &[u8], local: &Local) -> Option<Time> {
    let mut read = Reader(text);
    if month(read.0).is_none() && read.0.get(3) == Some(&b' ') {
        read.0 = &read.0[4..];
    }
    let month = month(read.0)?;
    read.0 = &read.0[3..];
    read.byte(|b| b == b' ')?;
    let day = if read.0.first() == Some(&b' ') {
        read.0 = &read.0[1..];
        read.digits(1)?
    } else {
        read.digits(2).or_else(|| read.digits(1))?
    };
    read.byte(|b| b == b' ')?;
    let (hour, minute, second) = read.clock()?;
    let nanos = read.fraction();
    let civil = |year| Civil { year, month, day, hour, minute, second, nanos };
    let mut behind = Reader(read.0);
    if behind.byte(|b| b == b' ').is_some() {
        let year = behind.digits(4).filter(|_| !behind.0.first().is_some_and(u8::is_ascii_digit));
        if let Some(year) = year.filter(|y| (1970..2200).contains(y)) {
            return civil(year).in_zone(&local.zone);
        }
    }
    let this_year = jiff::Timestamp::from_nanosecond(i128::from(local.latest.0))
        .map_or(1970, |t| local.zone.to_datetime(t).year());
    // Eight years back there is a 29th of February, whatever the century.
    (0..=8)
        .filter_map(|back| civil(i64::from(this_year) - back).in_zone(&local.zone))
        .find(|at| *at <= local.latest)
}

/// `[10/Oct/2000:13:55:36 -0700]` behind the client of an access log.
fn access(line: &[u8]) -> Option<Time> {
    let head = &line[..line.len().min(ACCESS_PREFIX_MAX)];
    memchr::memchr_iter(b'[', head).find_map(|at| {
        let mut read = Reader(&line[at + 1..]);
        let day = read.digits(2)?;
        read.byte(|b| b == b'/')?;
        let month = month(read.0)?;
        read.0 = &read.0[3..];
        read.byte(|b| b == b'/')?;
        let year = read.digits(4)?;
        read.byte(|b| b == b':')?;
        let (hour, minute, second) = read.clock()?;
        let nanos = read.fraction();
        let offset = read.offset(true)?;
        Civil { year, month, day, hour, minute, second, nanos }.at_offset(offset)
    })
}

/// The usual time fields of structured logs.
fn in_json(line: &[u8], local: &Local) -> Option<Time> {
    [&b"\"time\""[..], b"\"timestamp\"", b"\"@timestamp\"", b"\"ts\""].iter().find_map(|key| {
        let value = &line[memmem::find(line, key)? + key.len()..];
        let value = value.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        leading(value.strip_prefix(b"\"")?, local)
    })
}

/// Behind colour sequences (`ESC [ … m`).
pub(super) fn past_colours(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"\x1b[") {
        let end = rest.iter().take(32).position(|b| !(b.is_ascii_digit() || matches!(b, b';' | b':')));
        match end {
            Some(end) if rest[end] == b'm' => text = &rest[end + 1..],
            _ => break,
        }
    }
    text
}

/// Behind a level that stands before the time: `INFO: 2026-…`.
fn past_level(text: &[u8]) -> &[u8] {
    let bare = text.strip_prefix(b"[").unwrap_or(text);
    let Some(level) = LEVELS.iter().find(|l| bare.starts_with(l)) else {
        return text;
    };
    let rest = past_colours(&bare[level.len()..]);
    let rest = rest.strip_prefix(b"]").unwrap_or(rest);
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let behind = past_colours(rest).trim_ascii_start();
    if behind.len() == rest.len() { text } else { behind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<String> {
        read_in(line, TimeZone::UTC)
    }

    fn read_in(line: &str, zone: TimeZone) -> Option<String> {
        let latest = Time::parse_rfc3339("2026-03-20T00:00:00Z").unwrap();
        of_application(line.as_bytes(), &Local { zone, latest }).map(Time::to_rfc3339)
    }

    #[test]
    fn stamps_of_applications_are_read() {
        for (line, expected) in [
            ("2026-01-08 01:19:43,943 [ERROR] app", "2026-01-08T01:19:43.943Z"),
            ("[2026-01-12 15:46:07,540] [INFO] app", "2026-01-12T15:46:07.540Z"),
            ("[2026-03-17 10:00:00 +0000] [1] [INFO] x", "2026-03-17T10:00:00.000Z"),
            ("[2026-03-17 10:00:00 +0130] [1] [INFO] x", "2026-03-17T08:30:00.000Z"),
            ("2026-03-17 10:00:00 - app - ERROR - x", "2026-03-17T10:00:00.000Z"),
            ("2026-03-17 10:00:00 -12 is a number", "2026-03-17T10:00:00.000Z"),
            ("2026-03-17T10:00:00.25+02:00 x", "2026-03-17T08:00:00.250Z"),
            ("2026-03-17T10:00:00Z", "2026-03-17T10:00:00.000Z"),
            ("2026-03-17 10:00:00 UTC [12] LOG:  x", "2026-03-17T10:00:00.000Z"),
            ("2026/03/17 10:00:00 [error] 7#7: x", "2026-03-17T10:00:00.000Z"),
            ("INFO:     2026-03-17 10:00:00 x", "2026-03-17T10:00:00.000Z"),
            ("\x1b[32m2026-03-17 10:00:00\x1b[0m x", "2026-03-17T10:00:00.000Z"),
            ("time=\"2026-03-17T10:00:00Z\" level=info", "2026-03-17T10:00:00.000Z"),
            ("{\"level\":\"info\", \"ts\": \"2026-03-17T10:00:00Z\"}", "2026-03-17T10:00:00.000Z"),
            ("1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\"", "2000-10-10T20:55:36.000Z"),
            ("[::1]:80 - - [10/Oct/2000:13:55:36 +0000] \"GET /\"", "2000-10-10T13:55:36.000Z"),
            ("Mar  1 22:14:15 host sshd[1]: x", "2026-03-01T22:14:15.000Z"),
            ("Oct 11 22:14:15 host sshd[1]: x", "2025-10-11T22:14:15.000Z"),
            ("<34>Oct 11 22:14:15 host su: x", "2025-10-11T22:14:15.000Z"),
            ("Feb 29 22:14:15 host su: x", "2024-02-29T22:14:15.000Z"),
            ("[Wed Oct 11 14:32:52.5 2000] [error]", "2000-10-11T14:32:52.500Z"),
        ] {
            assert_eq!(read(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_date_inside_a_text_is_not_its_time() {
        for line in [
            "",
            "INFO:crypto_proxy:[X] server_time_utc=2025-11-28 12:00:00 UTC",
            "2026-13-01 00:00:00 x",
            "2026-02-29 00:00:00 x",
            "2026-01-01 24:00:00 x",
            "Error at 2026-01-01 00:00:00",
            "May I ask",
            "<<<<<<<<<",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_stamp_without_a_zone_is_in_the_zone_of_the_source() {
        let zone = TimeZone::get("America/New_York").unwrap();
        assert_eq!(read_in("2026-01-08 01:00:00 x", zone.clone()).unwrap(), "2026-01-08T06:00:00.000Z");
        assert_eq!(read_in("2026-01-08T01:00:00Z x", zone).unwrap(), "2026-01-08T01:00:00.000Z");
    }
}
