//! What somebody outside watches of the monitor: that it goes on, commits,
//! gets rid of its notices, and that its heartbeat is taken.
//!
//! Instants are wall time, as Prometheus compares them with its own. They are
//! shown as instants and not as ages: the window goes on showing its last
//! picture when the loop that makes it is stuck, and an age would then stand
//! still and look well.

use std::time::Duration;

use crate::config::plan::DaemonPlan;
use crate::model::{Family, FamilyKind, OutboxView, Sample, Series, Time};

/// A notice that waits longer says that the outbox does not move.
const OUTBOX_STUCK: Duration = Duration::from_secs(15 * 60);

/// The signs of life.
#[derive(Default)]
pub struct Pulse {
    committed_at: Option<Time>,
    taken_at: Option<Time>,
    error: Option<String>,
    oldest_at: Option<Time>,
}

impl Pulse {
    /// A commit reached the disk.
    pub fn committed(&mut self, now: Time) {
        self.committed_at = Some(now);
    }

    /// The last heartbeat was taken, or why not.
    pub fn heartbeat(&mut self, error: Option<String>, now: Time) {
        if error.is_none() {
            self.taken_at = Some(now);
        }
        self.error = error;
    }

    /// What there is to complain of in the last heartbeat.
    pub fn heartbeat_error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The outbox as it stands.
    pub fn waits(&mut self, outbox: &[OutboxView]) {
        self.oldest_at = outbox.iter().filter_map(|view| view.oldest_at).min();
    }

    /// For how long the oldest notice has been waiting, where that is so long
    /// that the outbox cannot be said to move.
    pub fn stuck_for(&self, plan: &DaemonPlan, now: Time) -> Option<Duration> {
        let limit = plan.heartbeat.as_ref().map_or(OUTBOX_STUCK, |heartbeat| heartbeat.stuck_after);
        self.oldest_at.map(|at| now.since(at)).filter(|age| *age > limit)
    }

    /// The metrics to alert on from outside.
    pub fn families(&self, made_at: Time, outbox: &[OutboxView]) -> Vec<Family> {
        let instant = |name: &str, help: &str, at: Option<Time>| Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind: FamilyKind::Gauge,
            series: at.map(|at| series(&[], at)).into_iter().collect(),
        };
        let oldest = outbox.iter().filter_map(|v| Some(series(&[("receiver", &v.receiver)], v.oldest_at?)));
        vec![
            instant(
                "tocsin_picture_timestamp_seconds",
                "When the main loop last made what is shown here; at most some seconds ago.",
                Some(made_at),
            ),
            instant(
                "tocsin_last_commit_timestamp_seconds",
                "When a commit last reached the disk; absent before the first since the start.",
                self.committed_at,
            ),
            instant(
                "tocsin_heartbeat_last_success_timestamp_seconds",
                "When a heartbeat was last taken; absent before the first since the start.",
                self.taken_at,
            ),
            Family {
                name: "tocsin_outbox_oldest_timestamp_seconds".to_owned(),
                help: "When the oldest notification that waits was decided; absent where none does."
                    .to_owned(),
                kind: FamilyKind::Gauge,
                series: oldest.collect(),
            },
        ]
    }
}

fn series(labels: &[(&str, &str)], at: Time) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { labels, sample: Sample::Number(at.as_secs_f64()) }
}
