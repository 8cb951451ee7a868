//! The clock: wall, monotonic and boot time, read in one place.
//!
//! Floors 0 to 2 never read a clock; they are handed what is read here. The
//! monotonic reading is the one that journald stamps its entries with, so the
//! two can be compared within a boot; it stands still while the machine
//! sleeps, where [`boottime`] goes on.

use crate::model::Time;

/// Both clocks, read at one time; who decides takes this as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall time. May step in either direction.
    pub wall: Time,
    /// As [`monotonic`]: never goes back.
    pub monotonic: Time,
}

/// What time it is.
pub fn now() -> Now {
    Now { wall: wall(), monotonic: monotonic() }
}

/// Wall time (`CLOCK_REALTIME`). May step in either direction.
pub fn wall() -> Time {
    read(libc::CLOCK_REALTIME)
}

/// Time since boot without sleep (`CLOCK_MONOTONIC`), in nanoseconds. Never
/// goes back; not a date.
pub fn monotonic() -> Time {
    read(libc::CLOCK_MONOTONIC)
}

/// Time since boot with sleep (`CLOCK_BOOTTIME`), in nanoseconds. Never goes
/// back; it less [`monotonic`] is how long the machine has slept.
pub fn boottime() -> Time {
    read(libc::CLOCK_BOOTTIME)
}

/// The id of this boot, as journald stamps its entries with it; `None` where
/// the kernel does not tell.
pub fn boot_id() -> Option<u128> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

#[expect(clippy::disallowed_methods, reason = "the one place where clocks are read")]
fn read(clock: libc::clockid_t) -> Time {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid timespec that outlives the call. The call can
    // only fail for a clock that does not exist; these three do on any Linux
    // that runs systemd, and a failure would leave `spec` at zero.
    unsafe { libc::clock_gettime(clock, &mut spec) };
    Time::from_secs(spec.tv_sec).shifted(spec.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn wall_time_is_the_time_the_standard_library_reads() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        let read = wall();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!(before <= read.0 && read.0 <= after, "{before} {read:?} {after}");
    }

    #[test]
    fn monotonic_time_goes_on_and_boot_time_is_not_behind_it() {
        let first = monotonic();
        let mut next = monotonic();
        let end = first.plus(Duration::from_millis(1));
        while next < end {
            let read = monotonic();
            assert!(read >= next);
            next = read;
        }
        assert!(boottime() >= next);
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((boottime().as_secs_f64() - uptime).abs() < 5.0);
    }
}
