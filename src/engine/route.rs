//! Who is told what, and when: groups, joiners, escalations, reminders, ends.
//!
//! An alert goes down the tree of routes to its groups, one for each receiver
//! (`target`); without a tree alerts of one name form a group for everybody.
//! A group's first member is told at once, joiners together every
//! `group_interval`, an escalation at once, the end once, when the last has
//! ended. Who was told of a firing is told of its end, whatever inhibits,
//! mutes or reroutes it meanwhile: an alert that was told stays in its group.
//! A rule that can be inhibited waits a moment for its inhibitor. What a source
//! that is behind tells is held until the source is live: what began and ended
//! meanwhile is told once, as past. A symptom also waits, for a while, until
//! the source of its inhibitor is read. A receiver that is configured while an
//! alert burns is told of it, and of no end before that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::plan::{Labelled, Plan};
use crate::model::{AlertNotice, Notification, Severity, Time};

use super::alert::{Alerts, OpenIncident};
use super::clocks::Clocks;
use super::group::{Group, notice};
use super::member::Member;
use super::past::Past;
use super::silence::Silences;
use super::target::{GroupKey, Target, targets};

/// While a source catches up, it is looked at again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the router looks at.
pub struct View<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The alerts.
    pub alerts: &'a Alerts,
    /// The clocks.
    pub clocks: &'a Clocks,
    /// What is silenced.
    pub silences: &'a Silences,
    /// By source: it is behind.
    pub behind: &'a [bool],
    /// By source: it is behind, but should soon be read to its end.
    pub catching_up: &'a [bool],
    /// Now, on the process clock; also the wall time to show.
    pub now: Time,
    /// Makes ids of this state unique.
    pub instance: &'a str,
}

/// How a rule's alerts stand in the view.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub rule: Option<usize>,
    /// One of its sources has more to read.
    pub is_behind: bool,
    /// What may inhibit it is still to be read.
    pub awaits_inhibitor: bool,
    /// Its time: the process's, or the source's while it is behind.
    pub now: Time,
}

impl Scope {
    /// Nothing is told of it yet.
    pub fn is_held(self) -> bool {
        self.is_behind || self.awaits_inhibitor
    }
}

/// The view of one step.
pub(super) struct Step<'a> {
    pub view: &'a View<'a>,
    scopes: BTreeMap<&'a str, Scope>,
}

impl Step<'_> {
    /// How the alerts of a name stand; those of a rule that is gone are free.
    pub fn scope(&self, alert: &str) -> Scope {
        let unknown = Scope { rule: None, is_behind: false, awaits_inhibitor: false, now: self.view.now };
        self.scopes.get(alert).copied().unwrap_or(unknown)
    }
}

/// All groups.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) groups: BTreeMap<GroupKey, Group>,
    pub(super) dirty: BTreeSet<GroupKey>,
    /// Open incidents that stand in their groups, as of this severity.
    placed: BTreeMap<u64, Severity>,
    next_due: Option<Time>,
}

impl Router {
    /// When the router has something to decide without a change of an alert.
    pub fn next_due(&self) -> Option<Time> {
        self.next_due
    }

    /// Makes the next step look at everything, whatever changed.
    pub fn wake(&mut self, at: Time) {
        self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
    }

    /// Decides what is to be told now.
    pub fn step(&mut self, view: &View<'_>, ended: &[OpenIncident]) -> Vec<Notification> {
        self.next_due = None;
        let names = view.plan.rules.iter().enumerate();
        let scopes = names.map(|(rule, plan)| (plan.name.as_str(), scope_of(view, rule))).collect();
        let step = Step { view, scopes };
        let before = self.groups.clone();
        for open in view.alerts.open.values() {
            if self.placed.get(&open.incident.number) != Some(&open.incident.severity) {
                self.placed.insert(open.incident.number, open.incident.severity);
                self.place(&step, open);
            }
        }
        for open in ended {
            self.placed.remove(&open.incident.number);
            self.place(&step, open);
        }
        let mut out = Vec::new();
        let mut past = Past::default();
        let is_catching_up = view.catching_up.contains(&true);
        for (key, mut group) in std::mem::take(&mut self.groups) {
            self.group(&step, &key, &mut group, &mut out);
            if !is_catching_up {
                past.add(&key.receiver, group.take_past(&step));
            } else if group.members.values().any(Member::is_past) {
                self.wake(view.now.plus(LOOK_AGAIN));
            }
            if before.get(&key) != Some(&group) {
                self.dirty.insert(key.clone());
            }
            if !group.members.is_empty() {
                self.groups.insert(key, group);
            }
        }
        past.tell(view, &mut out);
        out
    }

    /// Puts an alert that fired, escalated or ended into its groups. One that
    /// was told stays where it is; it is not told to the same receiver again
    /// because routes, or its severity, have changed.
    fn place(&mut self, step: &Step<'_>, open: &OpenIncident) {
        let number = open.incident.number;
        let targets = targets(step.view.plan, open.labelled());
        let mut stays: Vec<String> = Vec::new();
        for (key, group) in &mut self.groups {
            let Some(member) = group.members.get_mut(&number) else { continue };
            let is_target = targets.iter().any(|t| t.key == *key);
            if member.told.is_none() && !is_target {
                group.members.remove(&number);
                self.dirty.insert(key.clone());
                continue;
            }
            member.route = route_to(&targets, key);
            if !is_target {
                stays.push(key.receiver.clone());
            }
            member.end_as(open);
        }
        for target in targets.into_iter().filter(|t| !stays.contains(&t.key.receiver)) {
            let group = self.groups.entry(target.key).or_default();
            group.members.entry(number).or_insert_with(|| {
                let mut member = Member::new(open, step, target.route);
                member.end_as(open);
                member
            });
        }
    }

    /// What a receiver was told and stands in its groups still, with the
    /// severity it was told with.
    pub fn told(&self, alerts: &Alerts, receiver: &str) -> Vec<AlertNotice> {
        let groups = self.groups.iter().filter(|(key, _)| key.receiver == receiver);
        let members = groups.flat_map(|(_, group)| &group.members);
        let told = members.filter_map(|(number, member)| {
            let severity = member.told?;
            let open = || alerts.open.get(number).map(notice);
            Some(AlertNotice { severity, ..member.ended.clone().or_else(open)? })
        });
        told.collect()
    }

    /// Finds the routes of restored members that have ended; those of open
    /// incidents are found when they are placed.
    pub fn restore_routes(&mut self, plan: &Plan) {
        for (key, group) in &mut self.groups {
            for member in group.members.values_mut() {
                let Some(ended) = &member.ended else { continue };
                let alert = Labelled { alert: &ended.alert, severity: ended.severity, labels: &ended.labels };
                member.route = route_to(&targets(plan, alert), key);
            }
        }
    }

    fn group(&mut self, step: &Step<'_>, key: &GroupKey, group: &mut Group, out: &mut Vec<Notification>) {
        for (number, member) in &mut group.members {
            let scope = step.scope(&member.alert);
            if let Some(at) = member.look(step.view, *number, scope) {
                self.wake(at);
            }
            if scope.awaits_inhibitor {
                self.wake(step.view.now.plus(LOOK_AGAIN));
            }
        }
        // Before anything is told: what is told now is no reason why what ended
        // before it would have had to wait.
        group.let_go_of_untold(step);
        self.tell_news(step, key, group, out);
        group.end(step, key, out);
    }

    /// Tells first members, joiners, escalations; reminds.
    fn tell_news(&mut self, step: &Step<'_>, key: &GroupKey, group: &mut Group, out: &mut Vec<Notification>) {
        let now = step.view.now;
        let mut ready = Vec::new();
        let mut is_time = false;
        for (number, member) in group.members.iter().filter(|(_, m)| m.has_news()) {
            let Some((due, told_at)) = group.due(step, member) else { continue };
            if due <= now {
                ready.push(*number);
            }
            is_time |= told_at <= now;
            if told_at > now {
                self.wake(told_at);
            }
        }
        let is_reminder = group.reminds_at(step).is_some_and(|at| at <= now);
        if is_time || is_reminder {
            let news = if is_time { ready } else { Vec::new() };
            group.tell(step, key, (&news, is_reminder && !is_time), out);
        }
        if let Some(at) = group.reminds_at(step) {
            self.wake(at);
        }
        if is_time {
            // Who is left waits from this notice on.
            let left = group.members.values().filter(|m| m.has_news() && !m.is_urgent());
            let dues = left.filter_map(|m| Some(group.due(step, m)?.1));
            dues.for_each(|at| self.wake(at));
        }
    }
}

/// The route that leads to a group now, or at least to its receiver.
fn route_to(targets: &[Target], key: &GroupKey) -> Option<usize> {
    let same = targets.iter().find(|t| t.key == *key);
    same.or(targets.iter().find(|t| t.key.receiver == key.receiver)).map(|t| t.route)
}

fn scope_of(view: &View<'_>, rule: usize) -> Scope {
    let plan = &view.plan.rules[rule];
    // What the daemon itself says is as it is, whatever is to be read.
    let is_behind = !plan.is_built_in() && plan.sources.iter().any(|s| view.behind[*s]);
    let of_source = view.clocks.of_rule(plan).map(|clock| view.clocks.wall(plan, clock));
    let now = of_source.filter(|_| is_behind).map_or(view.now, |at| at.min(view.now));
    let inhibitors = view.plan.inhibitions.iter().filter(|i| i.targets.contains(&rule));
    let mut their_sources = inhibitors.flat_map(|i| &view.plan.rules[i.source].sources);
    let awaits_inhibitor = their_sources.any(|s| view.catching_up[*s]);
    Scope { rule: Some(rule), is_behind, awaits_inhibitor, now }
}
