//! One incident of a group: whether it may be told, and from when on.
//!
//! Times here are the group's: the process's own, or the source's wall time
//! while a source is behind, so that a backlog that is read in a second is
//! judged as if it had been read when it was written.

use serde::{Deserialize, Serialize};

use crate::config::plan::{Plan, RoutePlan};
use crate::model::{AlertNotice, Severity, Time};

use super::alert::OpenIncident;
use super::group::notice;
use super::mute;
use super::route::{Scope, Step, View};

/// What inhibits an incident, as far as its telling goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Inhibition {
    /// Nothing did so far.
    Free,
    /// Something does.
    Inhibited,
    /// Nothing does any more, since then.
    Outlived(Time),
    /// It began inhibited and stays silent to its end.
    Silent,
}

/// What keeps its telling back beside an inhibition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Mute {
    /// Nothing did so far.
    Never,
    /// Something does.
    Muted,
    /// Nothing does any more, since then.
    Lifted(Time),
}

/// One incident of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    /// Name of its rule.
    pub alert: String,
    /// The route that leads here now; `None` if none does any more.
    #[serde(skip)]
    pub route: Option<usize>,
    /// When it came into the group.
    pub fired_at: Time,
    inhibition: Inhibition,
    mute: Mute,
    /// As last looked at.
    severity: Severity,
    /// When it escalated while nothing inhibited it.
    rose_at: Option<Time>,
    /// Severity it was told with.
    pub told: Option<Severity>,
    /// As it ended.
    pub ended: Option<AlertNotice>,
    /// It ended untold, and would have been told if its source had not been
    /// behind. Judged once: what is told of the group later changes nothing.
    #[serde(default)]
    pub is_missed: bool,
}

impl Member {
    /// Of an incident that fired since the last step.
    pub fn new(open: &OpenIncident, step: &Step<'_>, route: usize) -> Member {
        let (plan, scope) = (step.view.plan, step.scope(&open.rule));
        let by = open.incident.inhibited_by.as_ref();
        let by = by.and_then(|by| plan.rules.iter().position(|r| r.name == *by));
        let was_before = scope.is_behind || open.incident.ended_at.is_some();
        let fired_at = if was_before { open.incident.started_at.min(scope.now) } else { scope.now };
        let alert = (open.labelled(), fired_at);
        let is_muted = mute::until(plan, step.view.silences, Some(route), alert).is_some();
        Member {
            alert: open.rule.clone(),
            route: Some(route),
            fired_at,
            inhibition: match (scope.rule, by) {
                (Some(rule), Some(by)) if stays_silent(plan, by, rule) => Inhibition::Silent,
                (_, Some(_)) => Inhibition::Inhibited,
                (_, None) => Inhibition::Free,
            },
            mute: if is_muted { Mute::Muted } else { Mute::Never },
            severity: open.incident.severity,
            rose_at: None,
            told: None,
            ended: None,
            is_missed: false,
        }
    }

    /// Takes over its incident's end, if it has ended.
    pub fn end_as(&mut self, open: &OpenIncident) {
        if open.incident.ended_at.is_some() {
            self.ended = Some(notice(open));
        }
    }

    /// The route that leads here now.
    pub fn route_of<'p>(&self, plan: &'p Plan) -> Option<&'p RoutePlan> {
        plan.routes.get(self.route?)
    }

    /// Brings it up to date. While something keeps it back, returns when to
    /// look again, on the process clock: an inhibitor that falls silent, or an
    /// interval that ends, is no change of an alert.
    pub fn look(&mut self, view: &View<'_>, number: u64, scope: Scope) -> Option<Time> {
        let (rule, open) = (scope.rule?, view.alerts.open.get(&number)?);
        let now = scope.now;
        let unmuted_at = mute::until(view.plan, view.silences, self.route, (open.labelled(), now));
        match (unmuted_at, self.mute) {
            (Some(_), _) => self.mute = Mute::Muted,
            (None, Mute::Muted) => self.mute = Mute::Lifted(now),
            _ => {}
        }
        let inhibitor = view.alerts.inhibitor(view.plan, view.clocks, rule, &open.key);
        match &inhibitor {
            Some((by, _)) if self.inhibition != Inhibition::Silent => {
                let is_at_once = self.inhibition == Inhibition::Free
                    && now <= self.fired_at.plus(view.plan.notify.inhibit_wait);
                let is_silent = is_at_once && stays_silent(view.plan, *by, rule);
                self.inhibition = if is_silent { Inhibition::Silent } else { Inhibition::Inhibited };
                self.rose_at = None;
            }
            None if self.inhibition == Inhibition::Inhibited => self.inhibition = Inhibition::Outlived(now),
            _ => {}
        }
        if open.incident.severity > self.severity {
            self.severity = open.incident.severity;
            self.rose_at = (!self.is_quiet()).then_some(now);
        }
        let inhibited_for =
            inhibitor.map(|(by, key)| view.alerts.fresh_left(view.plan, view.clocks, (by, &key), rule));
        let muted_for = unmuted_at.map(|at| at.since(now));
        let soonest = inhibited_for.into_iter().chain(muted_for).min()?;
        Some(view.now.plus(soonest))
    }

    /// It fires and has something to tell that was not told yet.
    pub fn has_news(&self) -> bool {
        self.ended.is_none() && self.told.is_none_or(|told| self.severity > told)
    }

    /// It does not wait for its group: it escalated.
    pub fn is_urgent(&self) -> bool {
        self.rose_at.is_some() || self.told.is_some()
    }

    /// From when on its news may be told; `None` while they may not.
    pub fn due(&self, plan: &Plan, rule: Option<usize>) -> Option<Time> {
        let can_be_inhibited = rule.is_some_and(|r| plan.inhibitions.iter().any(|i| i.targets.contains(&r)));
        let due = match self.inhibition {
            Inhibition::Silent | Inhibition::Inhibited => None,
            _ if self.rose_at.is_some() => self.rose_at,
            Inhibition::Outlived(since) => Some(since.plus(plan.notify.outlive_wait)),
            Inhibition::Free if can_be_inhibited => Some(self.fired_at.plus(plan.notify.inhibit_wait)),
            Inhibition::Free => Some(self.fired_at),
        };
        match self.mute {
            Mute::Never => due,
            Mute::Muted => None,
            Mute::Lifted(at) => Some(due?.max(at)),
        }
    }

    /// Nobody waits for it: inhibited, silent to its end, muted, or led
    /// elsewhere.
    pub fn is_quiet(&self) -> bool {
        let is_inhibited = matches!(self.inhibition, Inhibition::Inhibited | Inhibition::Silent);
        is_inhibited || self.is_muted() || self.route.is_none()
    }

    /// A time interval, maintenance or a silence keeps it back.
    pub fn is_muted(&self) -> bool {
        self.mute == Mute::Muted
    }

    /// It ended and nobody knows of it.
    pub fn is_past(&self) -> bool {
        self.told.is_none() && self.ended.is_some()
    }

    /// Nothing ever inhibited it.
    pub fn is_free(&self) -> bool {
        self.inhibition == Inhibition::Free
    }

    /// It fires, and somebody knows.
    pub fn is_told_firing(&self) -> bool {
        self.told.is_some() && self.ended.is_none()
    }
}

/// What begins while `by` inhibits it is silent to its end.
fn stays_silent(plan: &Plan, by: usize, rule: usize) -> bool {
    plan.inhibitions.iter().any(|i| i.to_the_end && i.source == by && i.targets.contains(&rule))
}
