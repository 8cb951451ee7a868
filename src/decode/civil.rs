//! The calendar, and the parts of which stamps are made.
//!
//! Only a zone that is not UTC needs the date library; every other stamp is
//! plain arithmetic, as it is read once for each line.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::Time;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// Which month an English name of three letters is.
pub(super) fn month(text: &[u8]) -> Option<i64> {
    let name = text.get(..3)?;
    MONTHS.iter().position(|m| &m[..] == name).map(|m| m as i64 + 1)
}

/// A date and time of day, not yet known to exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) nanos: i64,
}

impl Civil {
    /// As if it were UTC, in nanoseconds.
    fn nanos_utc(&self) -> Option<i64> {
        let Civil { year, month, day, hour, minute, second, nanos } = *self;
        let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        // 60 is a leap second, told as the one before.
        if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // Howard Hinnant's days_from_civil: years from March, eras of 400.
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let of_era = year - era * 400;
        let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let secs = days * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
        secs.checked_mul(1_000_000_000)?.checked_add(nanos)
    }

    pub(super) fn at_offset(&self, offset_secs: i64) -> Option<Time> {
        self.nanos_utc()?.checked_sub(offset_secs * 1_000_000_000).map(Time)
    }

    pub(super) fn in_zone(&self, zone: &TimeZone) -> Option<Time> {
        let nanos = self.nanos_utc()?;
        if *zone == TimeZone::UTC {
            return Some(Time(nanos));
        }
        let as_utc = jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
        let civil: DateTime = TimeZone::UTC.to_datetime(as_utc);
        let at = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        i64::try_from(at.as_nanosecond()).ok().map(Time)
    }
}

/// What is still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.0.get(..count)?;
        let mut number = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        self.0 = &self.0[count..];
        Some(number)
    }

    pub(super) fn byte(&mut self, is_it: impl Fn(u8) -> bool) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !is_it(*first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn clock(&mut self) -> Option<(i64, i64, i64)> {
        let hour = self.digits(2)?;
        self.byte(|b| b == b':')?;
        let minute = self.digits(2)?;
        self.byte(|b| b == b':')?;
        Some((hour, minute, self.digits(2)?))
    }

    /// Nanoseconds of `.123` or `,123`; digits beyond the ninth are dropped.
    pub(super) fn fraction(&mut self) -> i64 {
        let (Some(b'.' | b','), Some(b'0'..=b'9')) = (self.0.first(), self.0.get(1)) else {
            return 0;
        };
        self.0 = &self.0[1..];
        let (mut nanos, mut unit) = (0, 100_000_000);
        while let Some(digit @ b'0'..=b'9') = self.0.first() {
            nanos += i64::from(digit - b'0') * unit;
            unit /= 10;
            self.0 = &self.0[1..];
        }
        nanos
    }

    pub(super) fn iso_civil(&mut self, is_between: impl Fn(u8) -> bool) -> Option<Civil> {
        let year = self.digits(4)?;
        let dash = self.byte(|b| b == b'-' || b == b'/')?;
        let month = self.digits(2)?;
        self.byte(|b| b == dash)?;
        let day = self.digits(2)?;
        self.byte(is_between)?;
        let (hour, minute, second) = self.clock()?;
        Some(Civil { year, month, day, hour, minute, second, nanos: self.fraction() })
    }

    /// Seconds east of UTC: `Z`, `+hh:mm`, `+hhmm`, `+hh`; with a blank before
    /// (`may_be_apart`) also `UTC` and `GMT`, but not `+hh`, which is too
    /// easily a number of the text.
    pub(super) fn offset(&mut self, may_be_apart: bool) -> Option<i64> {
        let mut read = Reader(self.0);
        let is_apart = may_be_apart && read.byte(|b| b == b' ').is_some();
        let offset = match *read.0.first()? {
            b'Z' | b'z' => {
                read.0 = &read.0[1..];
                0
            }
            b'U' | b'G' if read.0.starts_with(b"UTC") || read.0.starts_with(b"GMT") => {
                read.0 = &read.0[3..];
                0
            }
            sign @ (b'+' | b'-') => {
                read.0 = &read.0[1..];
                let hours = read.digits(2)?;
                let has_colon = read.byte(|b| b == b':').is_some();
                let minutes = match read.digits(2) {
                    Some(minutes) => minutes,
                    None if has_colon || is_apart => return None,
                    None => 0,
                };
                if hours > 25 || minutes > 59 {
                    return None;
                }
                (hours * 3_600 + minutes * 60) * if sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        if read.0.first().is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        self.0 = read.0;
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stamp::rfc3339;
    use super::*;

    #[test]
    fn our_calendar_agrees_with_the_date_library() {
        for day in (0..60_000).step_by(17) {
            let at = Time::from_secs(day * 86_400 + 3_661);
            let text = at.to_rfc3339();
            assert_eq!(rfc3339(text.as_bytes()), Some((at, &b""[..])), "{text}");
        }
    }
}
