//! A group of alerts of one name: who is in it, what it tells and to whom.
//!
//! When it is time, is decided by [`super::route`]. What is told here is
//! remembered here: a decision that was lost before its commit is made again
//! with the same id, for ids hang on the first incident and on the number of
//! the notification alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{AlertNotice, Notification, Time};

use super::alert::OpenIncident;
use super::member::Member;
use super::past::count_untold;
use super::route::{Scope, View};

/// Members that were told and have ended, kept for the notice of the end; of
/// more, the oldest are let go once a notice has shown them as ended.
const ENDED_MAX: usize = 64;
/// Incidents of a backlog that are told as past; of more, the newest.
const PAST_MAX: usize = 32;

/// A group of alerts of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Stable over all notifications of this group's life.
    thread: String,
    /// Number of the last notification.
    sequence: u64,
    /// When anything was last told, on the process clock.
    sent_at: Option<Time>,
    /// Receivers that were told of a firing.
    told_to: BTreeSet<String>,
    /// By incident.
    pub(super) members: BTreeMap<u64, Member>,
    /// Past incidents that are only counted.
    past_dropped: u64,
}

/// What a notification says, and to which receivers.
struct Content<'a> {
    alerts: Vec<AlertNotice>,
    to: &'a BTreeSet<String>,
}

impl Group {
    /// Takes in what fired and what ended since the last step.
    pub(super) fn admit(&mut self, view: &View<'_>, scope: Scope<'_>, ended: &[OpenIncident]) {
        for open in view.alerts.open.values().filter(|o| o.rule == scope.name) {
            let at = if scope.is_behind { open.incident.started_at.min(scope.now) } else { scope.now };
            let number = open.incident.number;
            self.members.entry(number).or_insert_with(|| Member::new(open, view, (scope.rule, at)));
        }
        for open in ended.iter().filter(|o| o.rule == scope.name) {
            let at = open.incident.started_at.min(scope.now);
            let number = open.incident.number;
            let member =
                self.members.entry(number).or_insert_with(|| Member::new(open, view, (scope.rule, at)));
            member.ended = Some(notice(open));
        }
    }

    /// Joiners wait until then.
    pub(super) fn joins_at(&self, view: &View<'_>) -> Option<Time> {
        let is_active = self.members.values().any(|m| m.told.is_some());
        Some(self.sent_at.filter(|_| is_active)?.plus(view.plan.notify.group_interval))
    }

    /// When it is time to remind of what still fires.
    pub(super) fn reminds_at(&self, view: &View<'_>) -> Option<Time> {
        let every = view.plan.notify.repeat_interval;
        let is_firing = self.members.values().any(Member::is_told_firing);
        Some(self.sent_at.filter(|_| is_firing && !every.is_zero())?.plus(every))
    }

    /// Tells of everything that fires: who was told before and the news.
    pub(super) fn tell(
        &mut self,
        view: &View<'_>,
        scope: Scope<'_>,
        (news, is_reminder): (&[u64], bool),
        out: &mut Vec<Notification>,
    ) {
        let mut alerts = Vec::new();
        for (number, member) in &mut self.members {
            let Some(open) = view.alerts.open.get(number).filter(|_| member.ended.is_none()) else {
                continue;
            };
            let is_news = news.contains(number);
            if member.told.is_none() && !is_news {
                continue;
            }
            let before = member.told;
            let mut shown = fresh(view, scope, open);
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
        let fires = |labels: &BTreeMap<String, String>| alerts.iter().any(|a| a.labels == *labels);
        self.members.retain(|_, m| m.told.is_none() || m.ended.as_ref().is_none_or(|e| !fires(&e.labels)));
        alerts.extend(self.members.values().filter(|m| m.told.is_some()).filter_map(|m| m.ended.clone()));
        self.let_go_of_surplus();
        if self.thread.is_empty() {
            self.thread = thread(view, scope, &alerts);
        }
        let to: BTreeSet<String> = view.plan.receivers.iter().map(|r| r.name.clone()).collect();
        self.send(view, scope, Content { alerts, to: &to }, out);
        self.told_to.extend(to);
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

    /// Tells receivers that were configured since of what burns.
    pub(super) fn tell_newcomers(&mut self, view: &View<'_>, scope: Scope<'_>, out: &mut Vec<Notification>) {
        let names = view.plan.receivers.iter().map(|r| r.name.clone());
        let to: BTreeSet<String> = names.filter(|name| !self.told_to.contains(name)).collect();
        if to.is_empty() {
            return;
        }
        let firing = self.members.iter().filter(|(_, m)| m.is_told_firing());
        let alerts = firing.filter_map(|(n, _)| Some(fresh(view, scope, view.alerts.open.get(n)?))).collect();
        let sent_at = self.sent_at;
        self.send(view, scope, Content { alerts, to: &to }, out);
        self.sent_at = sent_at;
        self.told_to.extend(to);
    }

    /// Tells the end when the last has ended.
    pub(super) fn end(&mut self, view: &View<'_>, scope: Scope<'_>, out: &mut Vec<Notification>) {
        let is_told = self.members.values().any(|m| m.told.is_some());
        let waits = |m: &Member| m.ended.is_none() && (m.told.is_some() || !m.is_quiet());
        if !is_told || self.members.values().any(waits) {
            return;
        }
        let told = self.members.values().filter(|m| m.told.is_some());
        let alerts: Vec<AlertNotice> = told.filter_map(|m| m.ended.clone()).collect();
        let to = std::mem::take(&mut self.told_to);
        self.send(view, scope, Content { alerts, to: &to }, out);
        self.members.retain(|_, m| m.told.is_none());
        self.thread.clear();
        self.sequence = 0;
        self.sent_at = None;
    }

    /// Of what ended untold, keeps what would have been told if its source
    /// had not been behind.
    pub(super) fn let_go_of_untold(&mut self, view: &View<'_>, scope: Scope<'_>) {
        let joins_at = self.joins_at(view);
        let would_be_told = |m: &Member| {
            let ended_at = m.ended.as_ref().filter(|_| m.is_free())?.ends_at?;
            let due = m.due(view.plan, scope.rule)?;
            Some(joins_at.map_or(due, |at| due.max(at)) <= ended_at)
        };
        for member in self.members.values_mut().filter(|m| m.is_past() && !m.is_missed) {
            member.is_missed = would_be_told(member) == Some(true);
        }
        self.members.retain(|_, m| !m.is_past() || m.is_missed);
        let past: Vec<u64> = self.members.iter().filter(|(_, m)| m.is_past()).map(|(n, _)| *n).collect();
        for number in &past[..past.len().saturating_sub(PAST_MAX)] {
            self.members.remove(number);
            self.past_dropped += 1;
        }
    }

    /// What began and ended untold, oldest first; it leaves the group.
    pub(super) fn take_past(&mut self) -> Vec<AlertNotice> {
        let past = self.members.values().filter(|m| m.is_past());
        let mut alerts: Vec<AlertNotice> = past.filter_map(|m| m.ended.clone()).collect();
        self.members.retain(|_, m| !m.is_past());
        count_untold(&mut alerts, std::mem::take(&mut self.past_dropped));
        alerts
    }

    fn send(&mut self, view: &View<'_>, scope: Scope<'_>, content: Content<'_>, out: &mut Vec<Notification>) {
        let Content { mut alerts, to } = content;
        alerts.sort_by_key(|a| (!a.is_firing, a.starts_at, a.incident));
        self.sequence += 1;
        self.sent_at = Some(view.now);
        for receiver in view.plan.receivers.iter().filter(|r| to.contains(&r.name)) {
            out.push(Notification {
                id: format!("{}-{}-{}", self.thread, self.sequence, receiver.name),
                receiver: receiver.name.clone(),
                group_labels: BTreeMap::from([("alertname".to_owned(), scope.name.to_owned())]),
                is_firing: alerts.iter().any(|a| a.is_firing),
                sequence: self.sequence,
                thread: self.thread.clone(),
                decided_at: view.now,
                is_past: false,
                is_test: false,
                alerts: alerts.clone(),
            });
        }
    }
}

/// Named by the first incident told in it, so no two are alike.
fn thread(view: &View<'_>, scope: Scope<'_>, alerts: &[AlertNotice]) -> String {
    let first = alerts.iter().map(|a| a.incident).min().unwrap_or_default();
    format!("{}-{}-{first}", view.instance, scope.name)
}

/// A burning alert as it is now, not as it was when it last changed.
fn fresh(view: &View<'_>, scope: Scope<'_>, open: &OpenIncident) -> AlertNotice {
    let mut open = open.clone();
    if let Some(rule) = scope.rule {
        view.alerts.refresh(view.plan, view.clocks, rule, &mut open);
    }
    notice(&open)
}

/// The alert as it last changed.
fn notice(open: &OpenIncident) -> AlertNotice {
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
