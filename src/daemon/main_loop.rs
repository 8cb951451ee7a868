//! The loop: take a bounded batch, hand it to the engine, commit once, publish,
//! deliver. Always in that order.
//!
//! Failure story. A crash before the commit reads the same lines again and
//! counts the same, for nothing had been published; a crash after it loses
//! nothing. An alert that changes is committed at once, everything else after
//! 100 ms or 10,000 lines, and before a picture is published. When the disk takes no commit, the loop goes on in
//! memory, says so, and puts everything back when the disk takes writes again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::deliver::{Answered, Deliveries};
use super::intake::{Intake, Taken};
use super::pace::{self, Pace};
use super::vitals::Vitals;
use super::{Command, Load, service, with_causes};
use crate::clock;
use crate::config::Plan;
use crate::engine::{Engine, Input, Move, Output};
use crate::model::{Cursor, Incident, Outgoing, Reading, SavedRow, Snapshot, SourceId, Time, Transition};
use crate::notifier;
use crate::store::{Commit, Store};

/// Committed after so long at the latest.
const COMMIT_AFTER: Duration = Duration::from_millis(100);
/// Committed after so many lines at the latest.
const COMMIT_LINES: usize = 10_000;
/// Backlogs that are merged leave batches half taken; after so long, or so
/// many lines, they are taken to their end out of turn and committed.
const COMMIT_OVERDUE: Duration = Duration::from_secs(5);
/// See [`COMMIT_OVERDUE`].
const COMMIT_LINES_OVERDUE: usize = 200_000;
/// The loop looks around at least so often.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// What is under way to receivers may take so long at the end.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The disk is tried again so often while it takes no commit.
const DISK_AGAIN: Duration = Duration::from_secs(5);
/// History is pruned and the log checkpointed so often.
const UPKEEP: Duration = Duration::from_secs(60);

/// How the loop ended.
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// Another configuration is to be run.
    Reloaded(Arc<Plan>),
}

/// What waits for the next commit.
#[derive(Default)]
struct Pending {
    cursors: BTreeMap<String, Cursor>,
    rows: BTreeMap<(&'static str, String), Option<String>>,
    incidents: BTreeMap<u64, Incident>,
    transitions: Vec<Transition>,
    outgoings: Vec<(Outgoing, Time)>,
    lines: usize,
    since: Option<Time>,
    is_urgent: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.cursors.is_empty() && self.outgoings.is_empty()
    }

    fn commit_to(&self, store: &mut Store) -> Result<(), crate::store::Error> {
        let rows: Vec<SavedRow> = self
            .rows
            .iter()
            .map(|((kind, key), value)| SavedRow { kind, key: key.clone(), value: value.clone() })
            .collect();
        let cursors: Vec<(String, Cursor)> = self.cursors.clone().into_iter().collect();
        let incidents: Vec<Incident> = self.incidents.values().cloned().collect();
        let committed = store.commit(Commit {
            saved: &rows,
            cursors: &cursors,
            incidents: &incidents,
            transitions: &self.transitions,
            outgoings: &self.outgoings,
            at: clock::wall(),
        })?;
        for id in committed.refused {
            log::error!("notification {id} is given up: too many wait for its receiver");
        }
        Ok(())
    }

    /// Takes what came later; rows are absolute.
    fn add(&mut self, later: Pending) {
        self.cursors.extend(later.cursors);
        self.rows.extend(later.rows);
        self.incidents.extend(later.incidents);
        self.transitions.extend(later.transitions);
        self.outgoings.extend(later.outgoings);
    }
}

/// Where the state is kept.
pub struct Stores {
    /// In use.
    pub store: Store,
    /// The one on the disk while `store` is one in memory.
    pub disk: Option<Store>,
}

/// The loop and what it owns.
pub struct MainLoop {
    engine: Engine,
    store: Store,
    /// The store on the disk while `store` is one in memory.
    disk: Option<Store>,
    disk_again_at: Time,
    upkeep_at: Time,
    pending: Pending,
    /// What `disk` lacks, while `store` does not hold all that is on it.
    unsaved: Option<Pending>,
    published: watch::Sender<Arc<Snapshot>>,
    handle: Handle,
    plan: Arc<Plan>,
    pace: Pace,
    deliveries: Deliveries,
    vitals: Vitals,
    boot: Option<u128>,
    /// Wall time less monotonic time when the loop began: the process's own
    /// time steps for nobody.
    wall_offset: i64,
    is_announced: bool,
}

impl MainLoop {
    /// Over an engine that was restored from the store.
    pub fn new(
        mut engine: Engine,
        Stores { store, disk }: Stores,
        published: watch::Sender<Arc<Snapshot>>,
        handle: Handle,
        (deliveries, mut vitals): (Deliveries, Vitals),
    ) -> MainLoop {
        let plan = engine.plan().clone();
        engine.begin();
        if disk.is_some() {
            vitals.disk_error(Some("it was not before the reload".to_owned()));
        }
        // A wall clock that was set back while nobody ran must not hold the
        // process's time until it has caught up.
        let began = clock::wall().max(engine.process_time());
        MainLoop {
            pace: Pace::new(plan.sources.len()),
            engine,
            store,
            disk,
            disk_again_at: Time::MIN,
            upkeep_at: Time::MIN,
            pending: Pending::default(),
            unsaved: None,
            published,
            handle,
            plan,
            deliveries,
            vitals,
            boot: clock::boot_id(),
            wall_offset: began.0.saturating_sub(clock::monotonic().0),
            is_announced: false,
        }
    }

    /// The stores, with everything on the disk that it takes.
    pub fn into_stores(mut self) -> Stores {
        self.disk_again_at = Time::MIN;
        self.try_disk();
        match (self.disk, self.unsaved) {
            // What memory holds is not all there is: the disk's last commit
            // is where to go on from, the lines since are read again.
            (Some(disk), Some(_)) => Stores { store: disk, disk: None },
            (disk, _) => Stores { store: self.store, disk },
        }
    }

    /// Runs until it is told to stop or to change its configuration.
    pub fn run(&mut self, mut intake: Intake, inbox: &mut mpsc::Receiver<Command>, load: &Load) -> Outcome {
        let mut is_more_there = false;
        let mut are_all_over = false;
        loop {
            let woken = self.wait(&mut intake, inbox, is_more_there);
            if let Woken::Command(command) = woken
                && let Some(outcome) = self.command(command.unwrap_or(Command::Stop), load)
            {
                if matches!(outcome, Outcome::Stopped) {
                    self.drain(inbox);
                }
                self.finish_halves(&mut intake);
                self.commit();
                self.publish();
                return outcome;
            }
            is_more_there = self.take_waiting(&mut intake);
            self.tick();
            if self.may_commit(&intake) {
                self.finish_halves(&mut intake);
                self.commit();
            }
            self.deliver();
            self.look_after_itself();
            if intake.is_over() && !are_all_over {
                log::error!("every source has ended; nothing is watched");
                are_all_over = true;
            }
        }
    }

    fn wait(&self, intake: &mut Intake, inbox: &mut mpsc::Receiver<Command>, is_more_there: bool) -> Woken {
        let monotonic = clock::monotonic();
        let held = intake.look_again(monotonic).unwrap_or(monotonic.plus(LOOK_AROUND));
        let wait = if is_more_there {
            Duration::ZERO
        } else {
            self.next_wake().min(held).since(monotonic).min(LOOK_AROUND)
        };
        self.handle.block_on(async {
            tokio::select! {
                biased;
                command = inbox.recv() => Woken::Command(command),
                () = intake.arrival() => Woken::Lines,
                () = tokio::time::sleep(wait) => Woken::Time,
            }
        })
    }

    /// Takes what is there, up to a commit's worth; true if there may be more.
    fn take_waiting(&mut self, intake: &mut Intake) -> bool {
        loop {
            let monotonic = clock::monotonic();
            intake.gather(monotonic);
            let Some(taken) = intake.next(monotonic) else { return false };
            self.take(taken);
            if self.may_commit(intake) {
                return true;
            }
        }
    }

    /// Nothing may be committed while a batch is half taken.
    fn finish_halves(&mut self, intake: &mut Intake) {
        while let Some(taken) = intake.next_of_halves(clock::monotonic()) {
            self.take(taken);
        }
    }

    /// A commit is due, and possible or long overdue.
    fn may_commit(&self, intake: &Intake) -> bool {
        self.must_commit() && (intake.is_whole() || self.is_overdue())
    }

    fn is_overdue(&self) -> bool {
        let is_old = |since: Time| clock::monotonic() >= since.plus(COMMIT_OVERDUE);
        self.pending.lines >= COMMIT_LINES_OVERDUE || self.pending.since.is_some_and(is_old)
    }

    /// Lets what is under way to receivers come to its end: what is not
    /// recorded is sent again at the next start.
    fn drain(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let until = clock::monotonic().plus(DRAIN_MAX);
        while self.deliveries.under_way() > 0 {
            let left = until.since(clock::monotonic());
            let next = self.handle.block_on(async { tokio::time::timeout(left, inbox.recv()).await });
            match next {
                Ok(Some(Command::Answered(answered))) => self.record(&answered),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn take(&mut self, taken: Taken) {
        self.pending.since.get_or_insert(clock::monotonic());
        match taken {
            Taken::Reading(source, reading) => self.reading(source, &reading),
            Taken::End(source, cursor) => {
                if let Some(at) = self.engine.source_clock(source) {
                    self.pace.line(source, at, clock::monotonic());
                }
                if let Some(cursor) = cursor {
                    self.pending.cursors.insert(self.plan.sources[source].name.clone(), cursor);
                }
            }
        }
    }

    fn reading(&mut self, source: SourceId, reading: &Reading) {
        let name = &self.plan.sources[source].name;
        let now = self.now();
        let output = match reading {
            Reading::Line(line) => {
                self.pending.lines += 1;
                self.engine.handle(Input::Line(source, line), &[], now)
            }
            Reading::Gap(gap) => {
                log::warn!("source {name}: lines are missing: {}", gap.why);
                self.engine.handle(Input::Gap(source, gap), &[], now)
            }
            Reading::State(state) => {
                self.vitals.source_state(name, state);
                let read =
                    pace::Reading { wall: clock::wall(), boot: self.boot, monotonic: clock::monotonic() };
                let to_now = self.pace.state(&self.engine, source, state, read);
                let moved = self.engine.handle(Input::Advance, to_now.as_slice(), now);
                self.keep(moved);
                self.engine.handle(Input::State(source, state), &[], now)
            }
        };
        self.keep(output);
    }

    /// Moves live sources on and lets what is due happen.
    fn tick(&mut self) {
        let moves: Vec<Move> = self.pace.moves(&self.engine, clock::monotonic());
        let now = self.now();
        let output = self.engine.handle(Input::Advance, &moves, now);
        self.keep(output);
        if self.engine.has_unsaved() {
            // Time alone ended a block or a streak.
            self.pending.since.get_or_insert(clock::monotonic());
        }
    }

    /// Keeps what came of an input for the next commit; notifications are
    /// rendered here, once.
    fn keep(&mut self, output: Output) {
        if output.transitions.is_empty() && output.notifications.is_empty() && output.incidents.is_empty() {
            return;
        }
        self.pending.since.get_or_insert(clock::monotonic());
        self.pending.is_urgent = true;
        for transition in &output.transitions {
            self.vitals.transition(transition);
        }
        self.pending.transitions.extend(output.transitions);
        for incident in output.incidents {
            self.pending.incidents.insert(incident.number, incident);
        }
        for notification in &output.notifications {
            if let Some(receiver) = self.plan.receivers.iter().find(|r| r.name == notification.receiver) {
                let outgoing =
                    notifier::render(notification, receiver, &self.plan.notify, &self.plan.redactor);
                // Due on the wall clock, which is what the outbox goes by;
                // the process's time may be ahead of it.
                self.pending.outgoings.push((outgoing, clock::wall()));
            }
        }
    }

    fn must_commit(&self) -> bool {
        let is_old = |since: Time| clock::monotonic() >= since.plus(COMMIT_AFTER);
        self.pending.is_urgent || self.pending.lines >= COMMIT_LINES || self.pending.since.is_some_and(is_old)
    }

    fn commit(&mut self) {
        let is_urgent = self.save();
        if is_urgent {
            self.publish();
        } else {
            self.vitals.picture_changed();
        }
    }

    /// Commits all there is; true if an alert changed in it.
    fn save(&mut self) -> bool {
        for SavedRow { kind, key, value } in self.engine.take_changes() {
            self.pending.rows.insert((kind, key), value);
        }
        let pending = std::mem::take(&mut self.pending);
        let is_urgent = pending.is_urgent;
        if !pending.is_empty() {
            if let Err(error) = pending.commit_to(&mut self.store) {
                self.go_on_in_memory(&error);
                if let Err(error) = pending.commit_to(&mut self.store) {
                    log::error!("the state takes no commit: {}", with_causes(&error));
                }
            }
            if let Some(unsaved) = &mut self.unsaved {
                unsaved.add(pending);
            }
        }
        is_urgent
    }

    /// The disk takes nothing: the whole state goes to memory. Where it cannot
    /// even be read, memory begins empty, so that what fires is told all the
    /// same, and what the disk lacks is kept for it.
    fn go_on_in_memory(&mut self, error: &crate::store::Error) {
        if !self.store.is_durable() {
            return;
        }
        log::error!(
            "the state cannot be written; monitoring goes on in memory and is not durable: {}",
            with_causes(error)
        );
        self.vitals.disk_error(Some(with_causes(error)));
        let memory = self.store.to_memory().or_else(|error| {
            log::error!("nor can it be read: {}", with_causes(&error));
            self.unsaved = Some(Pending::default());
            Store::memory_as(self.store.identity().clone())
        });
        match memory {
            Ok(memory) => {
                self.disk = Some(std::mem::replace(&mut self.store, memory));
                self.disk_again_at = clock::monotonic().plus(DISK_AGAIN);
            }
            Err(error) => log::error!("no state in memory can be had: {}", with_causes(&error)),
        }
    }

    /// Puts everything back on the disk once it takes writes again.
    fn try_disk(&mut self) {
        if self.disk.is_none() || clock::monotonic() < self.disk_again_at {
            return;
        }
        self.disk_again_at = clock::monotonic().plus(DISK_AGAIN);
        let Some(mut disk) = self.disk.take() else { return };
        let tried = match &self.unsaved {
            None => disk.take_over(&self.store),
            Some(unsaved) => unsaved.commit_to(&mut disk),
        };
        match tried {
            Ok(()) => {
                log::info!("the state is on the disk again");
                self.store = disk;
                self.unsaved = None;
                self.vitals.disk_error(None);
                self.publish();
            }
            Err(_) => self.disk = Some(disk),
        }
    }

    fn deliver(&mut self) {
        let now = clock::wall();
        if let Err(error) = self.deliveries.start_due(&self.handle, &self.plan, &mut self.store, now) {
            // What cannot be claimed cannot be committed either.
            log::error!("the outbox cannot be used: {}", with_causes(&error));
            self.go_on_in_memory(&error);
        }
    }

    fn record(&mut self, answered: &Answered) {
        self.deliveries.is_back();
        let (now, jitter) = (clock::wall(), clock::monotonic().0 as u64);
        if let Err(error) = answered.record(&self.plan, &mut self.store, now, jitter) {
            self.go_on_in_memory(&error);
            if let Err(error) = answered.record(&self.plan, &mut self.store, now, jitter) {
                log::error!("a delivery cannot be recorded, it will be made again: {}", with_causes(&error));
            }
        }
    }

    fn command(&mut self, command: Command, load: &Load) -> Option<Outcome> {
        match command {
            Command::Stop => {
                service::notify(&[sd_notify::NotifyState::Stopping]);
                return Some(Outcome::Stopped);
            }
            Command::Answered(answered) => {
                self.record(&answered);
                self.publish();
            }
            Command::HeartbeatAnswered(answer) => self.vitals.heartbeat_answer(answer),
            Command::Reload(answer) => return self.reload(answer, load),
        }
        None
    }

    /// An invalid configuration keeps the old one and says so.
    fn reload(
        &mut self,
        answer: Option<tokio::sync::oneshot::Sender<Result<String, String>>>,
        load: &Load,
    ) -> Option<Outcome> {
        service::reloading();
        let result = load().map_err(|problems| problems.to_string()).and_then(|loaded| {
            super::deliver::senders(&loaded.plan).map_err(|e| e.to_string())?;
            Ok(loaded)
        });
        let told =
            result.as_ref().map(|_| "the configuration was read again".to_owned()).map_err(Clone::clone);
        if let Some(answer) = answer {
            // Who asked may have gone.
            let _ = answer.send(told);
        }
        match result {
            Ok(loaded) => {
                log::info!("the configuration was read again");
                Some(Outcome::Reloaded(Arc::new(loaded.plan)))
            }
            Err(problems) => {
                log::error!("the configuration is invalid, the old one is kept:\n{problems}");
                self.vitals.reload_failed();
                self.publish();
                service::notify(&[sd_notify::NotifyState::Ready]);
                None
            }
        }
    }

    /// Upkeep, watchdog, heartbeat, and a fresh picture.
    fn look_after_itself(&mut self) {
        let monotonic = clock::monotonic();
        self.try_disk();
        if monotonic >= self.upkeep_at {
            self.upkeep_at = monotonic.plus(UPKEEP);
            if let Err(error) = self.store.prune(self.plan.daemon.history_for, clock::wall()) {
                log::warn!("the history was not pruned: {}", with_causes(&error));
            }
            if let Err(error) = self.store.checkpoint_passive() {
                log::warn!("the state was not checkpointed: {}", with_causes(&error));
            }
        }
        if self.vitals.is_due(monotonic) {
            self.publish();
        }
        if !self.is_announced && self.published.borrow().is_watching() {
            self.is_announced = true;
            service::notify(&[sd_notify::NotifyState::Ready]);
            self.announce();
        }
        self.vitals.unmatched(&self.engine, monotonic);
        self.vitals.watchdog(monotonic);
        if let Some(plan) = &self.plan.daemon.heartbeat {
            let snapshot = self.published.borrow().clone();
            self.vitals.heartbeat(
                plan,
                &snapshot,
                (monotonic, clock::wall()),
                &self.handle,
                self.deliveries.commands(),
            );
        }
    }

    fn announce(&self) {
        let sources: Vec<&str> = self.plan.sources.iter().map(|s| s.name.as_str()).collect();
        let window = self.plan.daemon.listen.map_or("off".to_owned(), |address| format!("http://{address}/"));
        let (version, sources) = (env!("CARGO_PKG_VERSION"), sources.join(", "));
        log::info!("tocsin {version} watches {sources}; {} rules; status {window}", self.plan.rules.len());
        if self.plan.receivers.is_empty() {
            log::warn!("no [[receiver]] is configured: alerts are logged and shown, and nobody is told");
        }
    }

    /// What is published has been committed: what was seen before a crash is
    /// not counted down by it.
    fn publish(&mut self) {
        if self.pending.since.is_some() {
            self.save();
        }
        let snapshot = self.vitals.snapshot(&self.engine, &self.store, clock::wall());
        self.vitals.published(clock::monotonic());
        self.published.send_replace(Arc::new(snapshot));
    }

    fn next_wake(&self) -> Time {
        let monotonic = clock::monotonic();
        let commit = self.pending.since.map(|since| since.plus(COMMIT_AFTER));
        let process = self.engine.next_process_due().map(|due| due.shifted(-self.wall_offset));
        let delivery = self.store.next_due(clock::wall()).ok().flatten();
        let delivery = delivery.map(|due| monotonic.plus(due.since(clock::wall())));
        let all = [commit, process, delivery, self.pace.next_due(&self.engine), self.vitals.next_picture()];
        all.into_iter().flatten().min().unwrap_or(monotonic.plus(LOOK_AROUND))
    }

    /// The process's own time: the wall time it began at and the monotonic
    /// time since.
    fn now(&self) -> Time {
        clock::monotonic().shifted(self.wall_offset)
    }
}

/// What woke the loop.
enum Woken {
    Command(Option<Command>),
    Lines,
    Time,
}
