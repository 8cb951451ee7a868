//! The outbox of the simulated memory: claims, leases, waits and the order
//! within a thread, in plain words. What the store does beyond that (a notice
//! that an end stands in for, a receiver that asked for time) is the store's
//! alone, and runs where the real store is simulated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tocsin::model::{OutboxView, Outgoing, Time};
use tocsin::store::{Claimed, IN_FLIGHT_MAX};

#[derive(Clone, Default)]
pub struct Outbox {
    /// In the order they were stored.
    pub rows: Vec<Row>,
    views: BTreeMap<String, OutboxView>,
}

#[derive(Clone)]
pub struct Row {
    pub outgoing: Outgoing,
    pub is_pending: bool,
    attempts: u32,
    created_at: Time,
    next_attempt_at: Time,
    changed_at: Time,
    lease: Option<(Time, Time)>,
}

enum Standing {
    InFlight(Time),
    Waiting(Time),
    Due,
}

impl Row {
    fn standing(&self, now: Time) -> Standing {
        match self.lease {
            Some((from, until)) if from <= now && now < until => Standing::InFlight(until),
            _ if self.changed_at <= now && now < self.next_attempt_at => {
                Standing::Waiting(self.next_attempt_at)
            }
            _ => Standing::Due,
        }
    }
}

impl Outbox {
    pub fn store(&mut self, outgoings: &[(Outgoing, Time)], at: Time) {
        for (outgoing, from) in outgoings {
            if self.rows.iter().any(|row| row.outgoing.id == outgoing.id) {
                continue;
            }
            self.rows.push(Row {
                outgoing: outgoing.clone(),
                is_pending: true,
                attempts: 0,
                created_at: at,
                next_attempt_at: *from,
                changed_at: at,
                lease: None,
            });
        }
    }

    pub fn pending(&self) -> usize {
        self.rows.iter().filter(|row| row.is_pending).count()
    }

    pub fn release_leases(&mut self) {
        self.rows.iter_mut().filter(|row| row.is_pending).for_each(|row| row.lease = None);
    }

    pub fn has_due(&self, now: Time) -> bool {
        !self.due_rows(now).is_empty()
    }

    pub fn due(&mut self, now: Time, lease: Duration) -> Vec<Claimed> {
        let lease_until = now.plus(lease);
        let due = self.due_rows(now);
        let claim = |i: usize| {
            let row = &mut self.rows[i];
            row.attempts += 1;
            row.lease = Some((now, lease_until));
            let (outgoing, created_at) = (row.outgoing.clone(), row.created_at);
            Claimed {
                outgoing,
                attempt: row.attempts,
                created_at,
                lease_until,
                is_over: false,
                supersedes: Vec::new(),
            }
        };
        due.into_iter().map(claim).collect()
    }

    pub fn next_due(&self, now: Time) -> Option<Time> {
        let busy = self.in_flight(now);
        let is_full = |row: &Row| busy.get(&row.outgoing.receiver).copied() >= Some(IN_FLIGHT_MAX);
        let wakes = self.heads().into_iter().filter_map(|i| match self.rows[i].standing(now) {
            Standing::InFlight(until) => Some(until),
            _ if is_full(&self.rows[i]) => None,
            Standing::Waiting(until) => Some(until),
            Standing::Due => Some(now),
        });
        wakes.min()
    }

    pub fn finish(&mut self, id: &str, outcome: &str, error: Option<&str>) -> bool {
        let Some(row) = self.pending_row(id) else { return false };
        row.is_pending = false;
        row.lease = None;
        let receiver = row.outgoing.receiver.clone();
        self.count(&receiver, outcome, error);
        true
    }

    pub fn failed(&mut self, id: &str, at: Time, next: Time, why: &str) -> bool {
        let Some(row) = self.pending_row(id) else { return false };
        (row.changed_at, row.next_attempt_at, row.lease) = (at, next, None);
        let receiver = row.outgoing.receiver.clone();
        self.count(&receiver, "failed", Some(why));
        true
    }

    pub fn views(&self) -> Vec<OutboxView> {
        let mut views = self.views.clone();
        for row in self.rows.iter().filter(|row| row.is_pending) {
            let name = &row.outgoing.receiver;
            views.entry(name.clone()).or_insert_with(|| untried(name)).pending += 1;
        }
        views.into_values().collect()
    }

    fn pending_row(&mut self, id: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.is_pending && row.outgoing.id == id)
    }

    fn count(&mut self, receiver: &str, outcome: &str, error: Option<&str>) {
        let view = self.views.entry(receiver.to_owned()).or_insert_with(|| untried(receiver));
        *view.outcomes.entry(outcome.to_owned()).or_default() += 1;
        if let Some(error) = error {
            view.last_error = Some(error.to_owned());
        }
    }

    /// The oldest pending row of each thread of a receiver.
    fn heads(&self) -> Vec<usize> {
        let mut threads = BTreeSet::new();
        let pending = self.rows.iter().enumerate().filter(|(_, row)| row.is_pending);
        pending
            .filter(|(_, row)| threads.insert((&row.outgoing.receiver, &row.outgoing.thread)))
            .map(|(i, _)| i)
            .collect()
    }

    fn in_flight(&self, now: Time) -> BTreeMap<String, usize> {
        let mut busy = BTreeMap::new();
        for row in self.heads().into_iter().map(|i| &self.rows[i]) {
            if matches!(row.standing(now), Standing::InFlight(_)) {
                *busy.entry(row.outgoing.receiver.clone()).or_insert(0) += 1;
            }
        }
        busy
    }

    fn due_rows(&self, now: Time) -> Vec<usize> {
        let mut busy = self.in_flight(now);
        let mut due = Vec::new();
        for i in self.heads() {
            let row = &self.rows[i];
            let claims = busy.entry(row.outgoing.receiver.clone()).or_insert(0);
            if *claims < IN_FLIGHT_MAX && matches!(row.standing(now), Standing::Due) {
                *claims += 1;
                due.push(i);
            }
        }
        due
    }
}

fn untried(receiver: &str) -> OutboxView {
    let outcomes = ["delivered", "failed", "given_up"].map(|outcome| (outcome.to_owned(), 0));
    OutboxView { receiver: receiver.to_owned(), outcomes: outcomes.into(), ..OutboxView::default() }
}
