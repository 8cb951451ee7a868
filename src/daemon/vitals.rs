//! The watch on the monitor itself: its heartbeat and its watchdog.
//!
//! The heartbeat goes out, and systemd's watchdog is fed, only from the main
//! loop, so a stuck engine is noticed by both.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Command, service};
use crate::config::plan::HeartbeatPlan;
use crate::engine::Engine;
use crate::model::{Snapshot, Time};
use crate::transport;

/// A selector that has matched nothing for so long is said in the log, once.
const UNMATCHED: Duration = Duration::from_secs(60);

/// What is due, by the monotonic clock.
pub struct Vitals {
    heartbeat_at: Time,
    watchdog_every: Option<Duration>,
    watchdog_at: Time,
    unmatched_at: Option<Time>,
}

impl Vitals {
    /// At the start.
    pub fn new(monotonic: Time) -> Vitals {
        Vitals {
            heartbeat_at: Time::MIN,
            watchdog_every: sd_notify::watchdog_enabled().map(|every| every / 3),
            watchdog_at: Time::MIN,
            unmatched_at: Some(monotonic.plus(UNMATCHED)),
        }
    }

    /// Says once which selectors have matched nothing since the start: a unit
    /// or service may have been renamed.
    pub fn unmatched(&mut self, engine: &Engine, monotonic: Time) {
        if self.unmatched_at.is_none_or(|at| monotonic < at) {
            return;
        }
        self.unmatched_at = None;
        let named = engine.plan().sources.iter().zip(engine.sources());
        for (of, _) in named.filter(|(_, memory)| memory.is_live() && !memory.has_matched) {
            log::warn!("source {}: its selector has matched nothing since the start", of.name);
        }
    }

    /// Feeds systemd's watchdog.
    pub fn watchdog(&mut self, monotonic: Time) {
        if let Some(every) = self.watchdog_every
            && monotonic >= self.watchdog_at
        {
            self.watchdog_at = monotonic.plus(every);
            service::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// Sends the heartbeat if it is due and all is well with the monitor.
    pub fn heartbeat(
        &mut self,
        plan: &HeartbeatPlan,
        is_well: bool,
        monotonic: Time,
        (handle, commands): (&Handle, &mpsc::Sender<Command>),
    ) {
        if monotonic < self.heartbeat_at || !is_well {
            return;
        }
        self.heartbeat_at = monotonic.plus(plan.interval);
        let (plan, commands) = (plan.clone(), commands.clone());
        handle.spawn(async move {
            let answer = transport::ping(&plan.url, plan.body.as_deref(), &plan.http, plan.timeout).await;
            // The loop is gone only when the process ends.
            let _ = commands.send(Command::HeartbeatAnswered(answer)).await;
        });
    }
}

/// Commits reach the disk and every source is live.
pub fn is_well(snapshot: &Snapshot) -> bool {
    snapshot.is_durable && snapshot.sources.iter().all(|s| s.state == "live")
}

/// What there is to complain of in a heartbeat's answer.
pub fn heartbeat_error(answer: Result<u16, String>) -> Option<String> {
    let error = match answer {
        Ok(200..=299) => None,
        Ok(status) => Some(format!("HTTP {status}")),
        Err(why) => Some(why),
    };
    if let Some(error) = &error {
        log::warn!("the heartbeat was not taken: {error}");
    }
    error
}
