//! Who is told what, and when: groups, joiners, escalations, reminders, ends.
//!
//! Alerts of one name form a group. Its first member is told at once, joiners
//! together every `group_interval`, an escalation at once, the end once, when
//! the last has ended. Who was told of a firing is told of its end, whatever
//! inhibits it meanwhile. A rule that can be inhibited waits a moment for its
//! inhibitor. What a source that is behind tells is held until the source is
//! live: what began and ended meanwhile is told once, as past. A symptom also
//! waits, for a while, until the source of its inhibitor is read. A receiver that
//! is configured while a group burns is told of it, and of no end before that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::plan::Plan;
use crate::model::{Notification, Time};

use super::alert::{Alerts, OpenIncident};
use super::clocks::Clocks;
use super::group::Group;
use super::member::Member;
use super::past::Past;

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
    /// By source: it is behind.
    pub behind: &'a [bool],
    /// By source: it is behind, but should soon be read to its end.
    pub catching_up: &'a [bool],
    /// Now, on the process clock; also the wall time to show.
    pub now: Time,
    /// Makes ids of this state unique.
    pub instance: &'a str,
}

/// A group's place in the view.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub name: &'a str,
    pub rule: Option<usize>,
    /// One of its sources has more to read.
    pub is_behind: bool,
    /// What may inhibit it is still to be read.
    pub awaits_inhibitor: bool,
    /// The group's time: the process's, or the source's while it is behind.
    pub now: Time,
}

/// All groups, by alert name.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) dirty: BTreeSet<String>,
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
        let fired = view.alerts.open.values();
        let names: BTreeSet<String> =
            self.groups.keys().cloned().chain(fired.chain(ended).map(|o| o.rule.clone())).collect();
        let mut out = Vec::new();
        let mut past = Past::default();
        let is_catching_up = view.catching_up.contains(&true);
        for name in &names {
            let before = self.groups.remove(name);
            let mut group = before.clone().unwrap_or_default();
            let scope = Scope::of(view, name);
            group.admit(view, scope, ended);
            self.group(view, scope, &mut group, &mut out);
            if !scope.is_held() && !is_catching_up {
                past.add(group.take_past());
            } else if is_catching_up && group.members.values().any(Member::is_past) {
                self.wake(view.now.plus(LOOK_AGAIN));
            }
            let after = (!group.members.is_empty()).then_some(group);
            if after != before {
                self.dirty.insert(name.clone());
            }
            if let Some(group) = after {
                self.groups.insert(name.clone(), group);
            }
        }
        past.tell(view, &mut out);
        out
    }

    fn group(&mut self, view: &View<'_>, scope: Scope<'_>, group: &mut Group, out: &mut Vec<Notification>) {
        for (number, member) in &mut group.members {
            if let Some(at) = member.look(view, *number, (scope.rule, scope.now)) {
                self.wake(at);
            }
        }
        if scope.awaits_inhibitor {
            self.wake(view.now.plus(LOOK_AGAIN));
        }
        // Before anything is told: what is told now is no reason why what ended
        // before it would have had to wait.
        group.let_go_of_untold(view, scope);
        if !scope.is_held() {
            self.tell_news(view, scope, group, out);
        }
        group.end(view, scope, out);
    }

    /// Tells first members, joiners, escalations; reminds; tells new receivers.
    fn tell_news(
        &mut self,
        view: &View<'_>,
        scope: Scope<'_>,
        group: &mut Group,
        out: &mut Vec<Notification>,
    ) {
        let mut ready = Vec::new();
        let mut is_time = false;
        for (number, member) in group.members.iter().filter(|(_, m)| m.has_news()) {
            let Some(due) = member.due(view.plan, scope.rule) else { continue };
            let due_in_group =
                if member.is_urgent() { due } else { group.joins_at(view).map_or(due, |at| due.max(at)) };
            if due <= view.now {
                ready.push(*number);
            }
            is_time |= due_in_group <= view.now;
            if due_in_group > view.now {
                self.wake(due_in_group);
            }
        }
        let reminds_at = group.reminds_at(view);
        let is_reminder = reminds_at.is_some_and(|at| at <= view.now);
        if is_time || is_reminder {
            let news = if is_time { ready } else { Vec::new() };
            group.tell(view, scope, (&news, is_reminder && !is_time), out);
        } else if group.members.values().any(Member::is_told_firing) {
            group.tell_newcomers(view, scope, out);
        }
        if let Some(at) = group.reminds_at(view) {
            self.wake(at);
        }
        if is_time {
            // Who is left waits from this notice on.
            let left = group.members.values().filter(|m| m.has_news() && !m.is_urgent());
            let dues = left.filter_map(|m| Some(m.due(view.plan, scope.rule)?.max(group.joins_at(view)?)));
            dues.for_each(|at| self.wake(at));
        }
    }
}

impl<'a> Scope<'a> {
    /// What it would tell may still turn out to be over, or a symptom.
    fn is_held(&self) -> bool {
        self.is_behind || self.awaits_inhibitor
    }

    fn of(view: &View<'_>, name: &'a str) -> Scope<'a> {
        let rule = view.plan.rules.iter().position(|r| r.name == name);
        let Some(plan) = rule.map(|r| &view.plan.rules[r]) else {
            return Scope { name, rule, is_behind: false, awaits_inhibitor: false, now: view.now };
        };
        // What the daemon itself says is as it is, whatever is to be read.
        let is_behind = !plan.is_built_in() && plan.sources.iter().any(|s| view.behind[*s]);
        let of_source = view.clocks.of_rule(plan).map(|clock| view.clocks.wall(plan, clock));
        let now = of_source.filter(|_| is_behind).map_or(view.now, |at| at.min(view.now));
        let inhibitors =
            view.plan.inhibitions.iter().filter(|i| rule.is_some_and(|r| i.targets.contains(&r)));
        let mut their_sources = inhibitors.flat_map(|i| &view.plan.rules[i.source].sources);
        let awaits_inhibitor = their_sources.any(|s| view.catching_up[*s]);
        Scope { name, rule, is_behind, awaits_inhibitor, now }
    }
}
