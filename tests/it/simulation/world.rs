//! The seeded scheduler: time goes on, sources send, the monitor takes, turns
//! and is answered, things fail, and between any two steps the process may die.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tocsin::daemon::deliver::Answered;
use tocsin::daemon::fallback::Stores;
use tocsin::daemon::intake::Intake;
use tocsin::daemon::ledger::Ledger;
use tocsin::daemon::monitor::{Monitor, Step};
use tocsin::daemon::picture::Picture;
use tocsin::engine::{Engine, saved};
use tocsin::model::{Snapshot, SourceId, Time};
use tocsin::store::{Claimed, Store};
use tokio::sync::watch;

use super::check::Published;
use super::ledger::{Crash, Faults, SimLedger};
use super::random::Random;
use super::receiver::{Flight, Receivers};
use super::script::{BEGAN, BOOT, Script};
use super::source::Sources;

/// After the script, long enough for every hold and staleness to speak.
const SETTLE: Duration = Duration::from_secs(45 * 60);

pub struct World<'a> {
    fresh: &'a Engine,
    script: &'a Script,
    random: Random,
    at: Time,
    faults: Rc<Faults>,
    disk_fails_until: Time,
    pub ledger: SimLedger,
    sources: Sources,
    pub receivers: Receivers,
    flights: Vec<Flight>,
    monitor: Option<Monitor<SimLedger>>,
    starts_at: Time,
    published: Published,
    /// When each source was lost, and until when.
    pub losses: Vec<(SourceId, Time, Time)>,
    pub crashes: u64,
}

impl<'a> World<'a> {
    pub fn new(fresh: &'a Engine, script: &'a Script, random: Random, real: Option<Store>) -> World<'a> {
        let faults = Rc::new(Faults::default());
        World {
            ledger: SimLedger::new(real, faults.clone()),
            sources: Sources::new(script, fresh.plan().sources.len()),
            fresh,
            script,
            random,
            at: BEGAN,
            faults,
            disk_fails_until: Time::MIN,
            receivers: Receivers::default(),
            flights: Vec::new(),
            monitor: None,
            starts_at: BEGAN,
            published: Published::default(),
            losses: Vec::new(),
            crashes: 0,
        }
    }

    /// From the beginning until everything is told.
    pub fn run(&mut self) {
        // A source's time starts when it is first live; nothing fails before.
        while !self.sources_began() {
            self.step(Duration::from_millis(10));
        }
        while self.at < self.script.ends {
            self.trouble();
            let tick = self.random.span(Duration::from_millis(100), Duration::from_secs(90));
            self.step(tick);
            if self.monitor.is_some() && self.random.chance(12) {
                self.crash();
            } else if self.monitor.is_some() && self.random.chance(6) {
                self.reload();
            }
        }
        self.heal();
        let settled = self.at.max(self.starts_at).plus(SETTLE);
        let mut steps = 0;
        while self.at < settled || !self.is_all_told() {
            steps += 1;
            assert!(steps < 2_000, "it does not come to rest");
            let tick = if self.sources.are_done() { 300 } else { 1 };
            self.step(Duration::from_secs(tick));
        }
    }

    pub fn engine(&self) -> &Engine {
        self.monitor.as_ref().unwrap().engine()
    }

    pub fn at(&self) -> Time {
        self.at
    }

    fn sources_began(&self) -> bool {
        self.monitor
            .as_ref()
            .is_some_and(|m| m.engine().sources().iter().all(|s| s.state.is_some() && s.is_live()))
    }

    fn is_all_told(&self) -> bool {
        self.flights.is_empty() && self.ledger.disk.borrow().outbox.pending() == 0
    }

    /// One turn of the main loop, after at most `tick`.
    fn step(&mut self, tick: Duration) {
        self.advance(tick);
        if self.monitor.is_none() {
            if self.at < self.starts_at {
                return;
            }
            self.ledger.open_again();
            self.start(Stores { store: self.ledger.clone(), disk: None });
        }
        self.sources.deliver(self.script, &mut self.random, self.at);
        let (back, away) =
            std::mem::take(&mut self.flights).into_iter().partition(|f| f.answered_at <= self.at);
        self.flights = away;
        let back: Vec<Flight> = back;
        let now = self.script.wall.now(self.at);
        let turned = self.guarded(|monitor| {
            for Flight { claimed, answer, .. } in back {
                monitor.answered(&Answered { claimed, answer }, now);
            }
            while monitor.take_next(now) == Step::Taken {}
            monitor.turn(now)
        });
        self.look();
        match turned {
            // It dies between the claim and the sending.
            Some(claimed) if !claimed.is_empty() && self.random.chance(30) && self.at < self.script.ends => {
                self.crash();
            }
            Some(claimed) => self.send(claimed),
            None => self.crash(),
        }
        self.faults.dies_in.set(0);
    }

    fn send(&mut self, claimed: Vec<Claimed>) {
        let is_durable = self.monitor.as_ref().is_some_and(Monitor::is_durable);
        for claim in claimed {
            let flight = self.receivers.send(claim, is_durable, &mut self.random, self.at);
            self.flights.push(flight);
        }
    }

    /// `None` if the process died in it.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Monitor<SimLedger>) -> T) -> Option<T> {
        let monitor = self.monitor.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| run(monitor))) {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Crash>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    fn advance(&mut self, tick: Duration) {
        if self.monitor.is_none() {
            self.at = self.at.max(self.starts_at);
            return;
        }
        let entries = &self.script.entries;
        let next = entries.get(entries.partition_point(|entry| entry.at <= self.at)).map(|entry| entry.at);
        let answer = self.flights.iter().map(|flight| flight.answered_at).min();
        let until = [next, answer].into_iter().flatten().fold(self.at.plus(tick), Time::min);
        let late = match self.random.below(100) {
            // A slow disk, or a machine with much else to do.
            0 => Duration::from_millis(self.random.below(30_000)),
            1..=40 => Duration::from_millis(self.random.below(900)),
            _ => Duration::ZERO,
        };
        self.at = self.at.max(until).plus(late);
    }

    fn trouble(&mut self) {
        let random = &mut self.random;
        if random.chance(15)
            && let Some((which, until)) = self.sources.fail(random, self.at)
        {
            self.losses.push((which, self.at, until));
        }
        if random.chance(25) {
            let names = &self.fresh.plan().receivers;
            let name = random.one_of(names).name.clone();
            self.receivers.change(random, &name, self.at);
        }
        if random.chance(8) {
            self.disk_fails_until =
                self.at.plus(random.span(Duration::from_millis(1), Duration::from_secs(120)));
            self.faults.refuses_reads.set(random.chance(300));
        }
        let fails = self.at < self.disk_fails_until;
        self.faults.refuses_writes.set(fails);
        self.faults.refuses_reads.set(fails && self.faults.refuses_reads.get());
        if random.chance(25) {
            self.faults.dies_in.set(1 + random.below(6) as u32);
        }
    }

    fn heal(&mut self) {
        self.sources.heal();
        self.receivers.heal();
        self.faults.refuses_writes.set(false);
        self.faults.refuses_reads.set(false);
    }

    fn crash(&mut self) {
        self.monitor = None;
        self.flights.clear();
        self.faults.dies_in.set(0);
        self.crashes += 1;
        let longest = *self.random.one_of(&[1, 1, 30, 600, 7_200]);
        self.starts_at = self.at.plus(self.random.span(Duration::ZERO, Duration::from_secs(longest)));
    }

    fn reload(&mut self) {
        let now = self.script.wall.now(self.at);
        let finished = self.guarded(|monitor| monitor.finish(now));
        self.look();
        let (Some(()), Some(monitor)) = (finished, self.monitor.take()) else { return self.crash() };
        match catch_unwind(AssertUnwindSafe(|| monitor.into_stores(now))) {
            Ok(stores) => self.start(stores),
            Err(cause) if cause.is::<Crash>() => self.crash(),
            Err(cause) => resume_unwind(cause),
        }
    }

    fn start(&mut self, stores: Stores<SimLedger>) {
        let refuses = self.faults.refuses_reads.replace(false);
        let loaded = stores.store.load(saved::KINDS).unwrap();
        self.faults.refuses_reads.set(refuses);
        let engine = self.fresh.restored(&loaded.saved);
        self.published.began_again(&engine);
        let plan = engine.plan().clone();
        let names: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
        let now = self.script.wall.now(self.at);
        let intake = Intake::new(self.sources.start(&names, &loaded.cursors), now.monotonic);
        let picture = (watch::channel(Arc::new(Snapshot::default())).0, Picture::new(now.wall));
        self.monitor = Some(Monitor::new(engine, intake, stores, picture, (now, Some(BOOT))));
    }

    /// Whoever watches the window sees this.
    fn look(&mut self) {
        if let Some(monitor) = &self.monitor {
            self.published.look(&monitor.snapshot(), &self.ledger.disk.borrow());
        }
    }

    /// Incidents as they stand on the disk, by alert.
    pub fn incidents(&self) -> BTreeMap<String, Vec<tocsin::model::Incident>> {
        let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for incident in self.ledger.disk.borrow().incidents.values() {
            all.entry(incident.alert.clone()).or_default().push(incident.clone());
        }
        all
    }
}
