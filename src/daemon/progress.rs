//! How far a source that is behind has caught up, by the time of its lines.
//!
//! Nobody knows how many lines are left in a journal or a container's log, but
//! what time they reach from and to is known for every kind of source. Where a
//! source stood when it was first seen behind is remembered for as long as it
//! is; a restart measures anew.

use std::collections::BTreeMap;

use crate::model::Time;

/// By source: where it stood when it fell behind.
#[derive(Debug, Default)]
pub struct Progress(BTreeMap<String, Time>);

impl Progress {
    /// The share of the backlog that is read: 1 at the end, 0 at the start and
    /// while nothing is known.
    pub fn share(&mut self, name: &str, is_at_end: bool, last_line_at: Option<Time>, now: Time) -> f64 {
        if is_at_end {
            self.0.remove(name);
            return 1.0;
        }
        let Some(at) = last_line_at else { return 0.0 };
        let from = *self.0.entry(name.to_owned()).or_insert(at);
        let whole = now.since(from).as_secs_f64();
        if whole == 0.0 { 0.0 } else { (at.since(from).as_secs_f64() / whole).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_measured_from_where_it_began() {
        let mut progress = Progress::default();
        let mut share = |is_at_end, at: i64| {
            progress.share("a", is_at_end, Some(Time::from_secs(at)), Time::from_secs(1_000))
        };
        assert_eq!(share(false, 600), 0.0);
        assert_eq!(share(false, 700), 0.25);
        assert_eq!(share(false, 1_100), 1.0, "times of lines may be ahead of ours");
        assert_eq!(share(true, 1_000), 1.0);
        assert_eq!(share(false, 800), 0.0, "another backlog");
        assert_eq!(progress.share("b", false, None, Time::from_secs(1_000)), 0.0);
    }
}
