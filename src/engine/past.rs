//! What began and ended before anybody could be told, in one notice.
//!
//! After hours of downtime nobody wants a page for each thing that is over.
//! All of it, of every rule, is told to a receiver once, as past, when no
//! source has a backlog any more that should soon be read; what still burns is
//! told beside it by its own group. A source that stays behind for longer is
//! not waited for: what its rules hold is told when it is live.
//!
//! Ids hang on the first incident told of, so a decision that was lost before
//! its commit is made again with the same id.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AlertNotice, Notification};

use super::route::View;

/// Incidents told of in one notice; of more, the newest.
const TOLD_MAX: usize = 128;

/// Past incidents of all groups.
#[derive(Default)]
pub(super) struct Past {
    alerts: Vec<AlertNotice>,
}

impl Past {
    /// Takes in those of one group.
    pub fn add(&mut self, alerts: Vec<AlertNotice>) {
        self.alerts.extend(alerts);
    }

    /// One notification for each receiver, or none if nothing is past.
    pub fn tell(mut self, view: &View<'_>, out: &mut Vec<Notification>) {
        self.alerts.sort_by_key(|a| (a.starts_at, a.incident));
        let surplus = self.alerts.len().saturating_sub(TOLD_MAX);
        self.alerts.drain(..surplus);
        count_untold(&mut self.alerts, surplus as u64);
        let Some(first) = self.alerts.iter().map(|a| a.incident).min() else { return };
        let names: BTreeSet<&str> = self.alerts.iter().map(|a| a.alert.as_str()).collect();
        // Of one rule it belongs to that rule's group; of several, to none.
        let only = names.first().filter(|_| names.len() == 1);
        let group_labels: BTreeMap<String, String> =
            only.map(|name| ("alertname".to_owned(), (*name).to_owned())).into_iter().collect();
        let thread = format!("{}-{}-{first}", view.instance, only.unwrap_or(&"past"));
        for receiver in &view.plan.receivers {
            out.push(Notification {
                id: format!("{thread}-1-{}", receiver.name),
                receiver: receiver.name.clone(),
                group_labels: group_labels.clone(),
                is_firing: false,
                sequence: 1,
                thread: thread.clone(),
                decided_at: view.now,
                is_past: true,
                is_test: false,
                alerts: self.alerts.clone(),
            });
        }
    }
}

/// Says with the first how many came before it and are not told one by one.
pub(super) fn count_untold(alerts: &mut [AlertNotice], count: u64) {
    if let Some(first) = alerts.first_mut().filter(|_| count > 0) {
        let text = first.annotations.entry("description".to_owned()).or_default();
        text.push_str(&format!(" {count} more of these began and ended before."));
    }
}
