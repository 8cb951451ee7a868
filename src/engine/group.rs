//! A group of alerts as one receiver is told of it: who is in it and what is
//! told.
//!
//! When it is time, is decided by [`super::route`]. What is told here is
//! remembered here: a decision that was lost before its commit is made again
//! with the same id, for ids hang on the first incident and on the number of
//! the notification alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::plan::{ROOT, RoutePlan};
use crate::model::{AlertNotice, Notification, Time};

use super::alert::OpenIncident;
use super::member::Member;
use super::past::count_untold;
use super::route::{Step, View};
use super::target::GroupKey;

/// Members that were told and have ended, kept for the notice of the end; of
/// more, the oldest are let go once a notice has shown them as ended.
const ENDED_MAX: usize = 64;
/// Incidents of a backlog that are told as past; of more, the newest.
const PAST_MAX: usize = 32;

/// A group of alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Stable over all notifications of this group's life.
    thread: String,
    /// Number of the last notification.
    sequence: u64,
    /// When anything was last told, on the process clock.
    sent_at: Option<Time>,
    /// By incident.
    pub(super) members: BTreeMap<u64, Member>,
    /// Past incidents that are only counted.
    past_dropped: u64,
}

impl Group {
    /// From when on a member's news may be told, and when they are, with
    /// those of its group; `None` while they may not.
    pub(super) fn due(&self, step: &Step<'_>, member: &Member) -> Option<(Time, Time)> {
        let scope = step.scope(&member.alert);
        let route = member.route_of(step.view.plan)?;
        let due = member.due(step.view.plan, scope.rule).filter(|_| !scope.is_held())?;
        Some((due, if member.is_urgent() { due } else { self.told_at(member, route, due) }))
    }

    /// The first of a group waits `group_wait`, joiners `group_interval`.
    fn told_at(&self, member: &Member, route: &RoutePlan, due: Time) -> Time {
        let is_active = self.members.values().any(|m| m.told.is_some());
        due.max(match self.sent_at.filter(|_| is_active) {
            Some(sent_at) => sent_at.plus(route.group_interval),
            None => member.fired_at.plus(route.group_wait),
        })
    }

    /// When it is time to remind of what still fires.
    pub(super) fn reminds_at(&self, step: &Step<'_>) -> Option<Time> {
        let is_seen_to = |number| step.view.alerts.open.get(number).is_some_and(OpenIncident::is_seen_to);
        let burning = self.members.iter().filter(|(_, m)| m.is_told_firing() && !m.is_muted());
        let burning = burning.filter(|(n, m)| !is_seen_to(n) && !step.scope(&m.alert).is_held());
        let intervals = burning.filter_map(|(_, m)| Some(m.route_of(step.view.plan)?.repeat_interval));
        let every = intervals.filter(|every: &Duration| !every.is_zero()).min()?;
        Some(self.sent_at?.plus(every))
    }

    /// Tells of everything that fires: who was told before and the news. What
    /// is muted meanwhile is left out.
    pub(super) fn tell(
        &mut self,
        step: &Step<'_>,
        key: &GroupKey,
        (news, is_reminder): (&[u64], bool),
        out: &mut Vec<Notification>,
    ) {
        let mut alerts = Vec::new();
        for (number, member) in &mut self.members {
            let Some(open) = step.view.alerts.open.get(number).filter(|_| member.ended.is_none()) else {
                continue;
            };
            let is_news = news.contains(number);
            if !is_news && (member.told.is_none() || member.is_muted()) {
                continue;
            }
            let before = member.told;
            let mut shown = fresh(step, open);
            if is_news {
                member.told = Some(open.incident.severity);
            } else if let Some(told) = before {
                // It escalated, but is inhibited.
                shown.severity = told;
            }
            let occasion = match before {
                Some(before) if is_news && before < open.incident.severity => {
                    Some(format!("escalated from {before}"))
                }
                _ if is_reminder => Some("reminder: it still fires".to_owned()),
                _ => None,
            };
            if let Some(occasion) = occasion {
                shown.annotations.insert("reason".to_owned(), occasion);
            }
            alerts.push(shown);
        }
        // What fires again under the same labels has not ended for anybody.
        let fires = |e: &AlertNotice| alerts.iter().any(|a| a.alert == e.alert && a.labels == e.labels);
        self.members.retain(|_, m| m.told.is_none() || m.ended.as_ref().is_none_or(|e| !fires(e)));
        alerts.extend(self.members.values().filter(|m| m.told.is_some()).filter_map(|m| m.ended.clone()));
        self.let_go_of_surplus();
        if self.thread.is_empty() {
            self.thread = thread(step.view, key, &alerts);
        }
        self.send(step.view, key, alerts, out);
    }

    fn let_go_of_surplus(&mut self) {
        let ended: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, m)| m.told.is_some() && m.ended.is_some())
            .map(|(n, _)| *n)
            .collect();
        let surplus = ended.len().saturating_sub(ENDED_MAX);
        for number in &ended[..surplus] {
            self.members.remove(number);
        }
    }

    /// Tells the end when the last has ended.
    pub(super) fn end(&mut self, step: &Step<'_>, key: &GroupKey, out: &mut Vec<Notification>) {
        let is_told = self.members.values().any(|m| m.told.is_some());
        let waits = |m: &Member| m.ended.is_none() && (m.told.is_some() || !m.is_quiet());
        if !is_told || self.members.values().any(waits) {
            return;
        }
        let told = self.members.values().filter(|m| m.told.is_some());
        let alerts: Vec<AlertNotice> = told.filter_map(|m| m.ended.clone()).collect();
        self.send(step.view, key, alerts, out);
        self.members.retain(|_, m| m.told.is_none());
        self.thread.clear();
        self.sequence = 0;
        self.sent_at = None;
    }

    /// Of what ended untold, keeps what would have been told if its source
    /// had not been behind.
    pub(super) fn let_go_of_untold(&mut self, step: &Step<'_>) {
        let would_be_told = |m: &Member| {
            let ended_at = m.ended.as_ref().filter(|_| m.is_free())?.ends_at?;
            let due = m.due(step.view.plan, step.scope(&m.alert).rule)?;
            Some(self.told_at(m, m.route_of(step.view.plan)?, due) <= ended_at)
        };
        let untold = self.members.iter().filter(|(_, m)| m.is_past() && !m.is_missed);
        let missed: Vec<u64> =
            untold.filter(|(_, m)| would_be_told(m) == Some(true)).map(|(n, _)| *n).collect();
        for number in missed {
            if let Some(member) = self.members.get_mut(&number) {
                member.is_missed = true;
            }
        }
        self.keep_joiners_that_ended(step);
        self.members.retain(|_, m| !m.is_past() || m.is_missed);
        let past: Vec<u64> = self.members.iter().filter(|(_, m)| m.is_past()).map(|(n, _)| *n).collect();
        for number in &past[..past.len().saturating_sub(PAST_MAX)] {
            self.members.remove(number);
            self.past_dropped += 1;
        }
    }

    /// A joiner that ended while it waited for its group is shown in the
    /// group's next notice, as one that is over.
    fn keep_joiners_that_ended(&mut self, step: &Step<'_>) {
        if !self.members.values().any(|m| m.told.is_some()) {
            return;
        }
        for member in self.members.values_mut().filter(|m| m.is_past() && !m.is_missed) {
            let scope = step.scope(&member.alert);
            let ended_at = member.ended.as_ref().and_then(|e| e.ends_at);
            let due = member.due(step.view.plan, scope.rule).filter(|_| !scope.is_held());
            let has_waited = ended_at.zip(due).is_some_and(|(ended_at, due)| due <= ended_at);
            if has_waited && member.is_free() && !member.is_quiet() {
                member.told = member.ended.as_ref().map(|e| e.severity);
            }
        }
    }

    /// What began and ended untold and need not be waited for, oldest first;
    /// it leaves the group.
    pub(super) fn take_past(&mut self, step: &Step<'_>) -> Vec<AlertNotice> {
        let is_taken = |m: &Member| m.is_past() && !step.scope(&m.alert).is_held();
        let past = self.members.values().filter(|m| is_taken(m));
        let mut alerts: Vec<AlertNotice> = past.filter_map(|m| m.ended.clone()).collect();
        self.members.retain(|_, m| !is_taken(m));
        if !alerts.is_empty() {
            count_untold(&mut alerts, std::mem::take(&mut self.past_dropped));
        }
        alerts
    }

    fn send(
        &mut self,
        view: &View<'_>,
        key: &GroupKey,
        mut alerts: Vec<AlertNotice>,
        out: &mut Vec<Notification>,
    ) {
        alerts.sort_by_key(|a| (!a.is_firing, a.starts_at, a.incident));
        self.sequence += 1;
        self.sent_at = Some(view.now);
        if !view.plan.receivers.iter().any(|r| r.name == key.receiver) {
            // It is no longer configured.
            return;
        }
        out.push(Notification {
            id: format!("{}-{}-{}", self.thread, self.sequence, key.receiver),
            receiver: key.receiver.clone(),
            route: key.route.clone(),
            group_labels: key.labels.clone(),
            is_firing: alerts.iter().any(|a| a.is_firing),
            sequence: self.sequence,
            thread: self.thread.clone(),
            decided_at: view.now,
            is_past: false,
            is_test: false,
            alerts,
        });
    }
}

/// Named by the first incident told in it, and below the root by the group,
/// for an alert may be told to one receiver in several groups.
fn thread(view: &View<'_>, key: &GroupKey, alerts: &[AlertNotice]) -> String {
    let Some(first) = alerts.iter().min_by_key(|a| a.incident) else { return String::new() };
    let group = if key.route == ROOT { String::new() } else { format!("-{:08x}", key.digest() as u32) };
    format!("{}-{}-{}{group}", view.instance, first.alert, first.incident)
}

/// A burning alert as it is now, not as it was when it last changed.
fn fresh(step: &Step<'_>, open: &OpenIncident) -> AlertNotice {
    let mut open = open.clone();
    if let Some(rule) = step.scope(&open.rule).rule {
        step.view.alerts.refresh(step.view.plan, step.view.clocks, rule, &mut open);
    }
    notice(&open)
}

/// The alert as it last changed.
pub(super) fn notice(open: &OpenIncident) -> AlertNotice {
    let incident = &open.incident;
    let mut annotations = incident.annotations.clone();
    if !open.symptoms.is_empty() {
        annotations.insert("symptoms".to_owned(), open.symptoms.join("\n"));
    }
    AlertNotice {
        alert: incident.alert.clone(),
        incident: incident.number,
        is_firing: incident.ended_at.is_none(),
        severity: incident.severity,
        labels: incident.labels.clone(),
        annotations,
        starts_at: incident.started_at,
        ends_at: incident.ended_at,
        value: incident.value,
    }
}
