//! Which groups of which receivers an alert belongs to: the way down the tree
//! of routes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::plan::{GroupBy, Labelled, Plan, ReceiverKind};

use super::saved::fnv1a;

/// What makes a group: alerts of one route that share labels, as one receiver
/// is told of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKey {
    /// The route's key.
    pub route: String,
    /// The labels and their shared values; without a value where an alert has
    /// none.
    pub labels: BTreeMap<String, String>,
    /// Who is told.
    pub receiver: String,
}

impl GroupKey {
    /// Tells groups apart where a short name is needed.
    pub fn digest(&self) -> u64 {
        fnv1a(&format!("{}{:?}", self.route, self.labels))
    }
}

/// A group and the route that leads to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The group.
    pub key: GroupKey,
    /// Position of the route.
    pub route: usize,
}

/// The groups an alert belongs to, in the order of the tree. Two routes that
/// lead to the same receiver and labels are one.
pub fn targets(plan: &Plan, alert: Labelled<'_>) -> Vec<Target> {
    let mut routes = Vec::new();
    if !plan.routes.is_empty() {
        descend(plan, 0, alert, &mut routes);
    }
    let mut out: Vec<Target> = Vec::new();
    for route in routes {
        let of = &plan.routes[route];
        for receiver in &of.receivers {
            // Alertmanager groups what it is told: each alert alone, at once.
            let group_by = if groups_itself(plan, receiver) { &GroupBy::All } else { &of.group_by };
            let labels = shared(group_by, alert);
            if !out.iter().any(|t| t.key.receiver == *receiver && t.key.labels == labels) {
                let key = GroupKey { route: of.key.clone(), labels, receiver: receiver.clone() };
                out.push(Target { key, route });
            }
        }
    }
    out
}

/// Collects the deepest routes that fit; false if this one does not.
fn descend(plan: &Plan, at: usize, alert: Labelled<'_>, out: &mut Vec<usize>) -> bool {
    let route = &plan.routes[at];
    if !route.matchers.fit(alert) {
        return false;
    }
    let mut is_taken = false;
    for child in &route.children {
        if descend(plan, *child, alert, out) {
            is_taken = true;
            if !plan.routes[*child].continues {
                break;
            }
        }
    }
    if !is_taken {
        out.push(at);
    }
    true
}

/// The receiver groups alerts by itself.
pub fn groups_itself(plan: &Plan, receiver: &str) -> bool {
    let named = plan.receivers.iter().find(|r| r.name == receiver);
    named.is_some_and(|r| matches!(r.kind, ReceiverKind::Alertmanager(_)))
}

fn shared(group_by: &GroupBy, alert: Labelled<'_>) -> BTreeMap<String, String> {
    match group_by {
        GroupBy::Labels(names) => {
            let values = names.iter().map(|name| (name.clone(), alert.value(name).to_owned()));
            values.filter(|(_, value)| !value.is_empty()).collect()
        }
        GroupBy::All => {
            let mut all = alert.labels.clone();
            all.insert("alertname".to_owned(), alert.alert.to_owned());
            all
        }
    }
}
