//! What waits for the next commit.
//!
//! Rows and incidents are absolute: what comes later takes the place of what
//! was there, so a commit that failed may be made again with more in it.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use crate::model::{Cursor, Incident, Outgoing, SavedRow, Time, Transition};
use crate::store::{Commit, Error};

/// Incidents, and transitions, kept for a disk that does not take them.
const HISTORY_MAX: usize = 5_000;
/// Notices kept for it; memory's own outbox sends them meanwhile.
const NOTICES_MAX: usize = 1_000;

/// Removals of rows kept for it. Beyond it those of windows' pieces are
/// forgotten first: a piece that stays on the disk is out of its window, or
/// its key is gone, and the engine drops it when it is restored.
const REMOVALS_MAX: usize = 50_000;

/// Everything since the last commit.
#[derive(Default)]
pub struct Pending {
    /// Source name to where it resumes.
    pub cursors: BTreeMap<String, Cursor>,
    /// The engine's memory, by kind and key; `None` is to be removed.
    pub rows: BTreeMap<(&'static str, String), Option<String>>,
    /// By number.
    pub incidents: BTreeMap<u64, Incident>,
    /// In order.
    pub transitions: Vec<Transition>,
    /// To be told, and from when on (wall time).
    pub outgoings: Vec<(Outgoing, Time)>,
    /// Lines taken.
    pub lines: usize,
    /// The removals among the rows are counted when there are so many rows.
    count_at: usize,
    /// When the first of it came (monotonic).
    pub since: Option<Time>,
    /// An alert changed.
    pub is_urgent: bool,
}

impl Pending {
    /// There is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.cursors.is_empty() && self.outgoings.is_empty()
    }

    /// Commits all of it at `at` (wall time).
    pub fn commit_to(&self, ledger: &mut impl Ledger, at: Time) -> Result<(), Error> {
        let rows: Vec<SavedRow> = self
            .rows
            .iter()
            .map(|((kind, key), value)| SavedRow { kind, key: key.clone(), value: value.clone() })
            .collect();
        let cursors: Vec<(String, Cursor)> = self.cursors.clone().into_iter().collect();
        let incidents: Vec<Incident> = self.incidents.values().cloned().collect();
        let committed = ledger.commit(Commit {
            saved: &rows,
            cursors: &cursors,
            incidents: &incidents,
            transitions: &self.transitions,
            outgoings: &self.outgoings,
            at,
        })?;
        for id in committed.refused {
            log::error!("notification {id} is given up: too many wait for its receiver");
        }
        Ok(())
    }

    /// Takes what came later. While no disk takes it there is no end to that:
    /// of history and notices the newest are kept, as many as the state holds.
    pub fn add(&mut self, later: Pending) {
        self.cursors.extend(later.cursors);
        self.rows.extend(later.rows);
        self.incidents.extend(later.incidents);
        self.transitions.extend(later.transitions);
        self.outgoings.extend(later.outgoings);
        self.transitions.drain(..self.transitions.len().saturating_sub(HISTORY_MAX));
        self.outgoings.drain(..self.outgoings.len().saturating_sub(NOTICES_MAX));
        while self.incidents.len() > HISTORY_MAX {
            self.incidents.pop_first();
        }
        if self.rows.len() > self.count_at.max(REMOVALS_MAX) {
            self.forget_removals();
        }
    }

    /// Rows that are there are as many as the engine holds; those that are to
    /// be removed are as many as ever were.
    fn forget_removals(&mut self) {
        let removals = self.rows.values().filter(|value| value.is_none()).count();
        let mut surplus = removals.saturating_sub(REMOVALS_MAX / 2);
        for is_window in [true, false] {
            self.rows.retain(|(kind, _), value| {
                let goes = surplus > 0 && value.is_none() && (*kind == "window") == is_window;
                surplus -= usize::from(goes);
                !goes
            });
        }
        // Counted again after as many more: a count is of all rows.
        self.count_at = self.rows.len() + REMOVALS_MAX / 2;
    }
}
