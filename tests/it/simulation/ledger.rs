//! A memory of the store's interface, plain and fast, that outlives the
//! monitor as a disk does: what was committed is there after a crash, and
//! nothing else.
//!
//! Before and after each change it may be the end of the process. For a while
//! it may refuse changes, as a full disk does, or reading too. In some runs the
//! real store runs beside it and must answer the same, so that the model is
//! held against what it is a model of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tocsin::daemon::ledger::Ledger;
use tocsin::model::{Incident, OutboxView, SavedRow, Time, Transition};
use tocsin::store::{Claimed, Commit, Committed, Error, Loaded, Store};

use super::outbox::Outbox;

/// The process dies here; not a failure of the test.
pub struct Crash;

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    /// Dies at so many points from now; 0: does not.
    pub dies_in: Cell<u32>,
    pub refuses_writes: Cell<bool>,
    pub refuses_reads: Cell<bool>,
    /// Memory takes nothing either.
    pub refuses_memory: Cell<bool>,
    pub refuses_claims: Cell<bool>,
    /// Changes that were asked of the disk.
    pub asked: Cell<u32>,
}

impl Faults {
    fn point(&self) {
        let left = self.dies_in.get();
        self.dies_in.set(left.saturating_sub(1));
        if left == 1 {
            std::panic::resume_unwind(Box::new(Crash));
        }
    }
}

/// What is on it.
#[derive(Clone, Default)]
pub struct Disk {
    pub rows: BTreeMap<(&'static str, String), String>,
    pub cursors: BTreeMap<String, tocsin::model::Cursor>,
    pub incidents: BTreeMap<u64, Incident>,
    pub transitions: Vec<Transition>,
    pub outbox: Outbox,
}

/// A handle on a disk, or on its twin in memory.
#[derive(Clone)]
pub struct SimLedger {
    pub disk: Rc<RefCell<Disk>>,
    real: Option<Rc<RefCell<Store>>>,
    is_durable: bool,
    faults: Rc<Faults>,
}

impl SimLedger {
    /// Empty; `real` runs beside it.
    pub fn new(real: Option<Store>, faults: Rc<Faults>) -> SimLedger {
        let real = real.map(|store| Rc::new(RefCell::new(store)));
        SimLedger { disk: Rc::default(), real, is_durable: true, faults }
    }

    /// As the opening of a state does.
    pub fn open_again(&self) {
        self.disk.borrow_mut().outbox.release_leases();
        if let Some(real) = &self.real {
            real.borrow_mut().release_leases().unwrap();
        }
    }

    /// The changes of alerts are those of the real store.
    pub fn agrees(&self) {
        let Some(real) = &self.real else { return };
        let disk = self.disk.borrow();
        for number in disk.incidents.keys() {
            let known: Vec<_> = disk.transitions.iter().filter(|t| t.incident == *number).cloned().collect();
            assert_eq!(real.borrow().transitions(*number).unwrap(), known);
        }
    }

    fn full() -> Error {
        Error::Full { path: PathBuf::from("simulated") }
    }

    /// One change, in the model and in the real store: all of it or nothing.
    fn change<T: PartialEq + std::fmt::Debug>(
        &self,
        model: impl FnOnce(&mut Disk) -> T,
        real: impl FnOnce(&mut Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.is_durable {
            self.faults.point();
            self.faults.asked.set(self.faults.asked.get() + 1);
        }
        let faults = &self.faults;
        let refuses = if self.is_durable { &faults.refuses_writes } else { &faults.refuses_memory };
        if refuses.get() {
            return Err(Self::full());
        }
        let changed = model(&mut self.disk.borrow_mut());
        if let Some(store) = &self.real {
            assert_eq!(real(&mut store.borrow_mut())?, changed, "the model does not do as the store does");
        }
        if self.is_durable {
            self.faults.point();
        }
        Ok(changed)
    }

    /// A change of which the real store alone knows how it goes.
    fn real_change<T>(&self, change: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if self.is_durable {
            self.faults.point();
            if self.faults.refuses_writes.get() {
                return Err(Self::full());
            }
        }
        let changed = change()?;
        if self.is_durable {
            self.faults.point();
        }
        Ok(changed)
    }

    fn look<T: PartialEq + std::fmt::Debug>(
        &self,
        model: impl FnOnce(&Disk) -> T,
        real: impl FnOnce(&Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.is_durable && self.faults.refuses_reads.get() {
            return Err(Self::full());
        }
        let seen = model(&self.disk.borrow());
        if let Some(store) = &self.real {
            assert_eq!(real(&store.borrow())?, seen, "the model does not see what the store sees");
        }
        Ok(seen)
    }

    fn twin(&self, disk: Disk, real: Option<Result<Store, Error>>) -> Result<SimLedger, Error> {
        if self.faults.refuses_memory.get() {
            return Err(Self::full());
        }
        let real = real.transpose()?.map(|store| Rc::new(RefCell::new(store)));
        let disk = Rc::new(RefCell::new(disk));
        Ok(SimLedger { disk, real, is_durable: false, faults: self.faults.clone() })
    }
}

impl Disk {
    fn commit(&mut self, commit: Commit<'_>) -> Committed {
        for SavedRow { kind, key, value } in commit.saved {
            match value {
                Some(value) => self.rows.insert((kind, key.clone()), value.clone()),
                None => self.rows.remove(&(*kind, key.clone())),
            };
        }
        self.cursors.extend(commit.cursors.iter().cloned());
        self.incidents.extend(commit.incidents.iter().map(|i| (i.number, i.clone())));
        self.transitions.extend_from_slice(commit.transitions);
        self.outbox.store(commit.outgoings, commit.at);
        Committed::default()
    }

    fn past(&self, limit: usize, before: Option<u64>) -> Vec<Incident> {
        let older = self.incidents.range(..before.unwrap_or(u64::MAX));
        older.rev().map(|(_, i)| i).filter(|i| i.ended_at.is_some()).take(limit).cloned().collect()
    }

    pub fn saved(&self) -> Vec<SavedRow> {
        let row = |((kind, key), value): (&(&'static str, String), &String)| SavedRow {
            kind,
            key: key.clone(),
            value: Some(value.clone()),
        };
        self.rows.iter().map(row).collect()
    }
}

impl Ledger for SimLedger {
    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn load(&self, kinds: &[&'static str]) -> Result<Loaded, Error> {
        let model = |disk: &Disk| (disk.saved(), disk.cursors.clone());
        let (saved, cursors) = self.look(model, |store| {
            let Loaded { mut saved, cursors, .. } = store.load(kinds)?;
            saved.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
            Ok((saved, cursors))
        })?;
        Ok(Loaded { saved, cursors, ..Loaded::default() })
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<Committed, Error> {
        self.change(|disk| disk.commit(commit), |store| store.commit(commit))
    }

    fn due(&mut self, now: Time, lease: Duration) -> Result<Vec<Claimed>, Error> {
        if self.faults.refuses_claims.get() {
            self.faults.asked.set(self.faults.asked.get() + 1);
            return Err(Self::full());
        }
        let Some(store) = self.real.clone() else {
            if !self.disk.borrow().outbox.has_due(now) {
                return Ok(Vec::new());
            }
            return self.change(|disk| disk.outbox.due(now, lease), |_| Ok(Vec::new()));
        };
        self.real_change(|| store.borrow_mut().due(now, lease)).inspect(|claimed| {
            let gone = claimed.iter().flat_map(|claim| &claim.supersedes);
            gone.for_each(|id| {
                self.disk.borrow_mut().outbox.finish(id, "superseded", None);
            });
        })
    }

    fn next_due(&self, now: Time) -> Result<Option<Time>, Error> {
        match &self.real {
            Some(store) => store.borrow().next_due(now),
            None => Ok(self.disk.borrow().outbox.next_due(now)),
        }
    }

    fn record_delivered(&mut self, id: &str, at: Time) -> Result<bool, Error> {
        let model = |disk: &mut Disk| disk.outbox.finish(id, "delivered", None);
        self.change(model, |store| store.record_delivered(id, at))
    }

    fn record_failed(&mut self, id: &str, at: Time, next: Time, why: &str) -> Result<bool, Error> {
        let model = |disk: &mut Disk| disk.outbox.failed(id, at, next, why);
        self.change(model, |store| store.record_failed(id, at, next, why))
    }

    fn record_given_up(&mut self, id: &str, at: Time, why: &str) -> Result<bool, Error> {
        let model = |disk: &mut Disk| disk.outbox.finish(id, "given_up", Some(why));
        self.change(model, |store| store.record_given_up(id, at, why))
    }

    fn hold_receiver(&mut self, receiver: &str, at: Time, until: Time) -> Result<(), Error> {
        self.change(|_| (), |store| store.hold_receiver(receiver, at, until))
    }

    fn outbox_views(&self) -> Result<Vec<OutboxView>, Error> {
        match &self.real {
            Some(store) => store.borrow().outbox_views(),
            None => Ok(self.disk.borrow().outbox.views()),
        }
    }

    fn past(&self, limit: usize, before: Option<u64>) -> Result<Vec<Incident>, Error> {
        self.look(|disk| disk.past(limit, before), |store| store.past(limit, before))
    }

    fn prune(&mut self, _: Duration, _: Time) -> Result<usize, Error> {
        // A script is shorter than any history.
        self.change(|_| 0, |_| Ok(0))
    }

    fn to_memory(&self) -> Result<SimLedger, Error> {
        if self.faults.refuses_reads.get() {
            return Err(Self::full());
        }
        let real = self.real.as_ref().map(|store| store.borrow().to_memory());
        self.twin(self.disk.borrow().clone(), real)
    }

    fn to_empty_memory(&self) -> Result<SimLedger, Error> {
        let real = self.real.as_ref().map(|store| Store::memory_as(store.borrow().identity().clone()));
        self.twin(Disk::default(), real)
    }

    fn take_over(&mut self, other: &SimLedger) -> Result<(), Error> {
        let real = |store: &mut Store| match &other.real {
            Some(other) => store.take_over(&other.borrow()),
            None => Ok(()),
        };
        self.change(|disk| *disk = other.disk.borrow().clone(), real)
    }
}
