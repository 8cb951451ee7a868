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

use crate::config::plan::ROOT;
use crate::model::{AlertNotice, Notification};

use super::route::View;

/// Incidents told of in one notice; of more, the newest.
const TOLD_MAX: usize = 128;

/// Past incidents of all groups, by receiver.
#[derive(Default)]
pub(super) struct Past {
    receivers: BTreeMap<String, Vec<AlertNotice>>,
}

impl Past {
    /// Takes in those of one group.
    pub fn add(&mut self, receiver: &str, alerts: Vec<AlertNotice>) {
        if alerts.is_empty() {
            return;
        }
        let all = self.receivers.entry(receiver.to_owned()).or_default();
        for alert in alerts {
            // Routes may lead it to several groups of one receiver.
            if !all.iter().any(|known| known.incident == alert.incident) {
                all.push(alert);
            }
        }
    }

    /// One notification for each receiver that something past was for.
    pub fn tell(self, view: &View<'_>, out: &mut Vec<Notification>) {
        for (receiver, alerts) in self.receivers {
            if view.plan.receivers.iter().any(|r| r.name == receiver) {
                out.extend(notification(view, receiver, alerts));
            }
        }
    }
}

fn notification(view: &View<'_>, receiver: String, mut alerts: Vec<AlertNotice>) -> Option<Notification> {
    alerts.sort_by_key(|a| (a.starts_at, a.incident));
    let surplus = alerts.len().saturating_sub(TOLD_MAX);
    alerts.drain(..surplus);
    count_untold(&mut alerts, surplus as u64);
    let first = alerts.iter().map(|a| a.incident).min()?;
    let names: BTreeSet<&str> = alerts.iter().map(|a| a.alert.as_str()).collect();
    // Of one rule it belongs to that rule's group; of several, to none.
    let only = names.first().filter(|_| names.len() == 1);
    let group_labels: BTreeMap<String, String> =
        only.map(|name| ("alertname".to_owned(), (*name).to_owned())).into_iter().collect();
    let thread = format!("{}-{}-{first}", view.instance, only.unwrap_or(&"past"));
    Some(Notification {
        id: format!("{thread}-1-{receiver}"),
        receiver,
        route: ROOT.to_owned(),
        group_labels,
        is_firing: false,
        sequence: 1,
        thread,
        decided_at: view.now,
        is_past: true,
        is_test: false,
        alerts,
    })
}

/// Says with the first how many came before it and are not told one by one.
pub(super) fn count_untold(alerts: &mut [AlertNotice], count: u64) {
    if let Some(first) = alerts.first_mut().filter(|_| count > 0) {
        let text = first.annotations.entry("description".to_owned()).or_default();
        text.push_str(&format!(" {count} more of these began and ended before."));
    }
}
