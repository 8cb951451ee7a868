//! What keeps a notice back without changing the alert: time intervals of the
//! route.
//!
//! Nothing here touches an alert's state. What is kept back is told as soon
//! as nothing keeps it back any more, if it still fires then.

use std::time::Duration;

use crate::config::plan::Plan;
use crate::model::Time;

/// Intervals begin and end at full minutes.
const MINUTE: i64 = 60_000_000_000;

/// If a route tells nobody at an instant: when to ask again.
pub fn by_route(plan: &Plan, route: usize, at: Time) -> Option<Time> {
    let route = &plan.routes[route];
    let is_in = |interval: &usize| plan.intervals[*interval].contains(at);
    let is_active = route.active.is_empty() || route.active.iter().any(is_in);
    (!is_active || route.mute.iter().any(is_in)).then(|| next_minute(at))
}

/// The full minute after an instant.
fn next_minute(at: Time) -> Time {
    Time(at.0.saturating_sub(at.0.rem_euclid(MINUTE))).plus(Duration::from_secs(60))
}
