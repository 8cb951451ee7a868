//! What keeps a notice back without changing the alert: time intervals of the
//! route, maintenance, silences.
//!
//! Nothing here touches an alert's state. What is kept back is told as soon
//! as nothing keeps it back any more, if it still fires then.

use std::time::Duration;

use crate::config::plan::{Labelled, Plan};
use crate::model::Time;

use super::silence::Silences;

/// Intervals begin and end at full minutes.
const MINUTE: i64 = 60_000_000_000;

/// If an alert that a route leads to is not told at an instant: when to ask
/// again.
pub fn until(
    plan: &Plan,
    silences: &Silences,
    route: Option<usize>,
    (alert, at): (Labelled<'_>, Time),
) -> Option<Time> {
    let by_route = route.filter(|route| is_closed(plan, *route, at)).map(|_| next_minute(at));
    let is_maintained = plan.maintenance.iter().any(|m| m.holds(plan, alert, at));
    let by_maintenance = is_maintained.then(|| next_minute(at));
    let by_silence = silences.of(alert, at).map(|silence| silence.ends_at).min();
    by_route.into_iter().chain(by_maintenance).chain(by_silence).min()
}

/// A route tells nobody at an instant.
fn is_closed(plan: &Plan, route: usize, at: Time) -> bool {
    let route = &plan.routes[route];
    let is_in = |interval: &usize| plan.intervals[*interval].contains(at);
    let is_active = route.active.is_empty() || route.active.iter().any(is_in);
    !is_active || route.mute.iter().any(is_in)
}

/// The full minute after an instant.
fn next_minute(at: Time) -> Time {
    Time(at.0.saturating_sub(at.0.rem_euclid(MINUTE))).plus(Duration::from_secs(60))
}
