//! Incidents: how one begins, rises, gathers symptoms and ends.
//!
//! When, is decided by [`super::alert`]; here the record is kept and each
//! change becomes a transition with its texts rendered as of that moment.

use std::collections::BTreeMap;

use crate::config::Plan;
use crate::model::{Incident, Time, Transition, TransitionState, time::human};

use super::alert::{Alerts, Firing, KeyState, Moment, OpenIncident, RuleKey, Tally};
use super::clocks::Clocks;
use super::detect::Breach;
use super::words;

/// Symptoms listed in an incident.
const SYMPTOMS_MAX: usize = 16;

impl Alerts {
    /// The condition holds long enough: an incident begins.
    pub(super) fn fire(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey, breach: Breach) {
        let plan = &moment.plan.rules[rule];
        self.last_number += 1;
        let number = self.last_number;
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        state.firing = Some(Firing {
            incident: number,
            severity: breach.severity,
            clear_since: None,
            is_for_want_of_data: false,
        });
        let count = state.tally.count;
        let inhibitor = self.inhibitor(moment.plan, moment.clocks, rule, key);
        let incident = Incident {
            number,
            alert: plan.name.clone(),
            severity: breach.severity,
            labels: words::labels(moment.plan, plan, key),
            started_at: moment.at,
            ended_at: None,
            end_reason: None,
            value: breach.value,
            inhibited_by: inhibitor.as_ref().map(|(i, _)| moment.plan.rules[*i].name.clone()),
            annotations: BTreeMap::new(),
        };
        let open = OpenIncident {
            incident,
            rule: plan.name.clone(),
            key: key.clone(),
            symptoms: Vec::new(),
            count,
            acknowledged: None,
        };
        self.open.insert(number, open);
        self.note_symptom(moment.plan, number, inhibitor);
        self.note_symptoms_before(moment, rule);
        self.tell_transition(moment, rule, key, number, TransitionState::Firing, "condition");
    }

    /// A higher level is reached within the incident.
    pub(super) fn escalate(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey, breach: Breach) {
        let Some(firing) = self.keys[rule].get_mut(key).and_then(|s| s.firing.as_mut()) else { return };
        firing.severity = breach.severity;
        let number = firing.incident;
        let inhibitor = self.inhibitor(moment.plan, moment.clocks, rule, key);
        if let Some(open) = self.open.get_mut(&number) {
            open.incident.severity = breach.severity;
            open.incident.value = breach.value;
            open.incident.inhibited_by = inhibitor.as_ref().map(|(i, _)| moment.plan.rules[*i].name.clone());
        }
        self.note_symptom(moment.plan, number, inhibitor);
        self.tell_transition(moment, rule, key, number, TransitionState::Firing, "escalated");
    }

    /// The condition holds, not yet long enough.
    pub(super) fn pending(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey, breach: Breach) {
        let plan = &moment.plan.rules[rule];
        self.transitions.push(Transition {
            at: moment.at,
            alert: plan.name.clone(),
            state: TransitionState::Pending,
            severity: breach.severity,
            labels: words::labels(moment.plan, plan, key),
            value: breach.value,
            inhibited_by: None,
            summary: words::summary(moment, rule, key, breach.value, 0),
            incident: 0,
            reason: "condition".to_owned(),
        });
    }

    /// The condition has been clear long enough.
    pub(super) fn resolve(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey) {
        let Some(state) = self.keys[rule].get_mut(key) else { return };
        let Some(firing) = state.firing.take() else { return };
        state.pending_since = None;
        let reason = if firing.is_for_want_of_data { "no data" } else { "cleared" };
        self.close(moment, rule, key, firing.incident, reason);
    }

    /// Ends an incident for a reason other than its condition.
    pub fn end_by(&mut self, moment: Moment<'_>, number: u64, reason: &str) {
        let Some(open) = self.open.get(&number) else { return };
        let Some(rule) = moment.plan.rules.iter().position(|r| r.name == open.rule) else { return };
        let key = open.key.clone();
        if let Some(state) = self.keys[rule].get_mut(&key) {
            state.firing = None;
            self.forget_all(moment, rule, &key);
        }
        self.close(moment, rule, &key, number, reason);
        self.register(moment, rule, &key);
    }

    fn close(&mut self, moment: Moment<'_>, rule: usize, key: &RuleKey, number: u64, reason: &str) {
        if let Some(open) = self.open.get_mut(&number) {
            open.incident.ended_at = Some(moment.at.max(open.incident.started_at));
            open.incident.end_reason = Some(reason.to_owned());
            open.incident.inhibited_by = None;
        }
        self.tell_transition(moment, rule, key, number, TransitionState::Resolved, reason);
        if let Some(open) = self.open.remove(&number) {
            self.ended.push(open);
        }
        if let Some(state) = self.keys[rule].get_mut(key) {
            state.tally = Tally::default();
        }
    }

    /// Renders the incident's texts as of now and records the change.
    fn tell_transition(
        &mut self,
        moment: Moment<'_>,
        rule: usize,
        key: &RuleKey,
        number: u64,
        state: TransitionState,
        reason: &str,
    ) {
        let Some(keyed) = self.keys[rule].get(key) else { return };
        let Some(open) = self.open.get_mut(&number) else { return };
        bring_up_to_date(moment, rule, keyed, open);
        self.dirty_incidents.insert(number);
        self.transitions.push(Transition {
            at: moment.at,
            alert: open.incident.alert.clone(),
            state,
            severity: open.incident.severity,
            labels: open.incident.labels.clone(),
            value: open.incident.value,
            inhibited_by: open.incident.inhibited_by.clone(),
            summary: open.incident.annotations.get("summary").cloned().unwrap_or_default(),
            incident: number,
            reason: reason.to_owned(),
        });
    }

    /// Brings a copy of an open incident up to date: a notice tells how things
    /// are when it is decided, not how they were when the alert last changed.
    pub fn refresh(&self, plan: &Plan, clocks: &Clocks, rule: usize, open: &mut OpenIncident) {
        let Some(keyed) = self.keys[rule].get(&open.key) else { return };
        let Some(clock) = clocks.of_rule(&plan.rules[rule]) else { return };
        let at = clocks.wall(&plan.rules[rule], clock);
        bring_up_to_date(
            Moment { plan, clocks, clock, at, changes: &[], digest_key: &[0; 32], is_live: true },
            rule,
            keyed,
            open,
        );
    }

    /// Lists a symptom in the incident that inhibits it.
    fn note_symptom(&mut self, plan: &Plan, symptom: u64, inhibitor: Option<(usize, RuleKey)>) {
        let Some((by, by_key)) = inhibitor else { return };
        let Some(number) = self.keys[by].get(&by_key).and_then(|s| Some(s.firing.as_ref()?.incident)) else {
            return;
        };
        let Some(of) = self.open.get(&symptom) else { return };
        let key = if of.key.is_empty() {
            String::new()
        } else {
            format!(" ({})", words::shown(plan, &of.key.join(", ")))
        };
        let name = format!("{}{key} since ", of.rule);
        let text = format!("{name}{}", of.incident.started_at.to_clock());
        if let Some(open) = self.open.get_mut(&number)
            && open.symptoms.len() < SYMPTOMS_MAX
            && !open.symptoms.iter().any(|s| s.starts_with(&name))
        {
            open.symptoms.push(text);
            self.dirty_incidents.insert(number);
        }
    }

    /// Lists what fires already and is inhibited from now on.
    fn note_symptoms_before(&mut self, moment: Moment<'_>, rule: usize) {
        let plan = moment.plan;
        let targets = plan.inhibitions.iter().filter(|i| i.source == rule).flat_map(|i| &i.targets);
        let targets: Vec<usize> = targets.copied().collect();
        let firing = self.open.iter().filter_map(|(number, open)| {
            let of = targets.iter().find(|t| plan.rules[**t].name == open.rule)?;
            Some((*number, self.inhibitor(plan, moment.clocks, *of, &open.key)))
        });
        for (number, inhibitor) in firing.collect::<Vec<_>>() {
            self.note_symptom(plan, number, inhibitor);
        }
    }

    /// Ends an incident whose rule is no longer configured.
    pub fn orphan(&mut self, number: u64, at: Time) {
        let Some(mut open) = self.open.remove(&number) else { return };
        open.incident.ended_at = Some(at.max(open.incident.started_at));
        open.incident.end_reason = Some("rule removed".to_owned());
        let lasted = human(at.since(open.incident.started_at));
        open.incident.annotations.insert("lasted".to_owned(), lasted);
        open.incident.annotations.insert("reason".to_owned(), "rule removed".to_owned());
        self.dirty_incidents.insert(number);
        self.transitions.push(Transition {
            at,
            alert: open.incident.alert.clone(),
            state: TransitionState::Resolved,
            severity: open.incident.severity,
            labels: open.incident.labels.clone(),
            value: open.incident.value,
            inhibited_by: None,
            summary: open.incident.annotations.get("summary").cloned().unwrap_or_default(),
            incident: number,
            reason: "rule removed".to_owned(),
        });
        self.ended.push(open);
    }

    /// Incidents told of; those still open stay to be saved.
    pub fn mark_incidents(&mut self) {
        self.unsaved_incidents.append(&mut self.dirty_incidents);
    }
}

fn bring_up_to_date(moment: Moment<'_>, rule: usize, keyed: &KeyState, open: &mut OpenIncident) {
    open.count = keyed.tally.count.max(open.count);
    let plan = &moment.plan.rules[rule];
    if open.incident.ended_at.is_none()
        && let Some(breach) = keyed.memory.breach(plan, moment.now(plan), Some(open.incident.severity))
    {
        open.incident.value = breach.value;
    }
    open.incident.annotations = words::annotations(moment, rule, keyed, open);
    open.annotate();
}
