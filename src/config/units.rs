//! Lengths of time and sizes as people write them.

use std::time::Duration;

/// `500ms`, `90s`, `8m`, `1h 30m`, `1.5h`, `90d`, `2w`, `0`; at most ten years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const LIMIT_SECS: f64 = 3650.0 * 86_400.0;
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    let mut last_unit = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return None,
        };
        // Each unit once, the largest first: `1m 1m` is a slip.
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        total += number * unit;
        rest = after[letters..].trim_start();
    }
    (!text.is_empty() && total <= LIMIT_SECS).then(|| Duration::from_millis((total * 1_000.0).round() as u64))
}

/// `512`, `64KiB`, `1MB`, `2 GiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("8m", 480_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("90d", 7_776_000_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "5 minutes", "-5m", "1m1m", "1m 2h", "99999d", "1.2.3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(parse_size("32MiB"), Some(32 << 20));
        assert_eq!(parse_size("1 MB"), Some(1_000_000));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("1XB"), None);
        assert_eq!(parse_size("99999999999999GiB"), None);
    }
}
