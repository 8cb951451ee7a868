//! Which alert keeps which quiet now, and for how long without a word.
//!
//! Changes nothing: who is told of what is decided in `route` and `member`, a
//! symptom is listed in `incident`. On one entry an inhibitor goes before what
//! it inhibits, so rules are run in the order that is made here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::plan::{InhibitPlan, Labelled, Plan, RulePlan};
use crate::model::{Severity, Time};

use super::alert::{Alerts, KeyState, RuleKey};
use super::clocks::Clocks;
use super::words;

impl Alerts {
    /// The alert that inhibits this one now, the first in the order of the
    /// rules. One that begins only later by the time of this one's source is
    /// none: of two backlogs that are read, one may be hours ahead.
    pub fn inhibitor(
        &self,
        plan: &Plan,
        clocks: &Clocks,
        rule: usize,
        key: &RuleKey,
    ) -> Option<(usize, RuleKey)> {
        let mut found: Option<(usize, RuleKey)> = None;
        let there = clocks.of_rule(&plan.rules[rule]).map(|now| clocks.wall(&plan.rules[rule], now));
        let mut target = None;
        for inhibit in plan.inhibitions.iter().filter(|i| i.targets.contains(&rule)) {
            let Some(now) = clocks.of_rule(&plan.rules[inhibit.source]) else { continue };
            for (other, state) in &self.keys[inhibit.source] {
                let is_fresh = state.counted_at.is_some_and(|at| now < at.plus(inhibit.fresh_for));
                let is_first = found.as_ref().is_none_or(|(first, _)| inhibit.source < *first);
                let is_itself = inhibit.source == rule && other == key;
                if state.firing.is_none() || !is_fresh || !is_first || is_itself {
                    continue;
                }
                let is_to_come = there.is_some_and(|there| {
                    let said_at = state.counted_at.map(|at| clocks.wall(&plan.rules[inhibit.source], at));
                    self.begins_after(state, said_at, there.plus(inhibit.fresh_for))
                });
                let target = target.get_or_insert_with(|| self.seen(plan, rule, key));
                if !is_to_come && fits(inhibit, &self.seen(plan, inhibit.source, other), target) {
                    found = Some((inhibit.source, other.clone()));
                }
            }
        }
        found
    }

    /// By its start and by its last event: after a step of the wall clock only
    /// one of the two is to be believed.
    fn begins_after(&self, state: &KeyState, said_at: Option<Time>, then: Time) -> bool {
        let open = state.firing.as_ref().and_then(|firing| self.open.get(&firing.incident));
        open.is_some_and(|open| open.incident.started_at > then) && said_at.is_some_and(|at| at > then)
    }

    /// An alert as inhibitions see it.
    fn seen<'p>(&self, plan: &'p Plan, rule: usize, key: &RuleKey) -> Seen<'p> {
        let of = &plan.rules[rule];
        let firing = self.keys[rule].get(key).and_then(|s| s.firing.as_ref());
        let severity = firing.map_or(of.severity, |f| f.severity);
        Seen { rule: of, key: key.clone(), severity, labels: words::labels(plan, of, key) }
    }

    /// For how long an inhibitor of `rule` can go on inhibiting without an
    /// event, at least a second: its clock may stand still.
    pub fn fresh_left(
        &self,
        plan: &Plan,
        clocks: &Clocks,
        (by, key): (usize, &RuleKey),
        rule: usize,
    ) -> Duration {
        let of_pair = plan.inhibitions.iter().filter(|i| i.source == by && i.targets.contains(&rule));
        let until = of_pair
            .map(|i| i.fresh_for)
            .max()
            .zip(self.keys[by].get(key).and_then(|s| s.counted_at))
            .map(|(span, at)| at.plus(span));
        let left = until.zip(clocks.of_rule(&plan.rules[by])).map(|(until, now)| until.since(now));
        left.unwrap_or_default().max(Duration::from_secs(1))
    }
}

/// An alert as inhibitions see it.
struct Seen<'p> {
    rule: &'p RulePlan,
    key: RuleKey,
    severity: Severity,
    labels: BTreeMap<String, String>,
}

impl Seen<'_> {
    fn labelled(&self) -> Labelled<'_> {
        Labelled { alert: &self.rule.name, severity: self.severity, labels: &self.labels }
    }
}

/// Keys are compared as read: two that are redacted to the same text are two.
fn fits(inhibit: &InhibitPlan, source: &Seen<'_>, target: &Seen<'_>) -> bool {
    let is_equal = |label: &String| {
        let keys = (value_of(source.rule, &source.key, label), value_of(target.rule, &target.key, label));
        match keys {
            (Some(a), Some(b)) => a == b,
            _ => source.labelled().value(label) == target.labelled().value(label),
        }
    };
    inhibit.fits(source.labelled(), target.labelled()) && inhibit.equal.iter().all(is_equal)
}

fn value_of<'k>(rule: &RulePlan, key: &'k RuleKey, label: &str) -> Option<&'k String> {
    key.get(rule.by.iter().position(|(name, _)| name == label)?)
}

/// Rules so that each comes after all that inhibit it, else as configured.
pub(super) fn in_order(plan: &Plan) -> Vec<usize> {
    let mut order = Vec::with_capacity(plan.rules.len());
    let mut left: Vec<usize> = (0..plan.rules.len()).collect();
    while !left.is_empty() {
        let is_free = |rule: &usize| {
            let mut inhibitors =
                plan.inhibitions.iter().filter(|i| i.targets.contains(rule) && i.source != *rule);
            inhibitors.all(|i| order.contains(&i.source))
        };
        // A circle of inhibitions falls back to the order of the rules.
        let next = left.iter().position(is_free).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}
