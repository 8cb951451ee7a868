//! The daemon without its surroundings: takes what the sources sent, decides,
//! commits, publishes, and says what is to be sent. Always in that order.
//!
//! Must not look at a clock, wait, spawn or send: time is an argument, what is
//! claimed for sending is a return value, answers come back as an input. So a
//! simulation runs this very code, and the same inputs give the same outputs.
//!
//! Failure story. A crash before the commit reads the same lines again and
//! counts the same, for nothing had been published; a crash after it loses
//! nothing. An alert that changes is committed at once, everything else after
//! 100 ms or 10,000 lines, and before a picture is published. Nothing is
//! committed, and so nothing published, while a batch is half taken: its
//! cursor stands at its end, and its first lines would be counted twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::careful::Careful;
use super::deliver::Answered;
use super::fallback::{Fallback, Stores};
use super::gaps::Gaps;
use super::intake::{Intake, Taken};
use super::ledger::Ledger;
use super::pace::{self, Pace};
use super::pending::Pending;
use super::picture::Picture;
use super::{fault, with_causes};
use crate::clock::Now;
use crate::config::Plan;
use crate::engine::{Engine, Input, Move, Output, saved};
use crate::model::{Order, Reading, Refusal, SavedRow, Snapshot, SourceId, Time};
use crate::notifier;
use crate::store::{Claimed, Error};

/// Committed after so long at the latest.
const COMMIT_AFTER: Duration = Duration::from_millis(100);
/// Committed after so many lines at the latest.
const COMMIT_LINES: usize = 10_000;
/// Backlogs that are merged leave batches half taken; after so long, or so
/// many lines, they are taken to their end out of turn and committed.
const COMMIT_OVERDUE: Duration = Duration::from_secs(5);
/// See [`COMMIT_OVERDUE`].
const COMMIT_LINES_OVERDUE: usize = 200_000;
/// History is pruned so often.
const UPKEEP: Duration = Duration::from_secs(60);
/// An outbox that cannot be used is asked again after so long.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);
/// Longer than any attempt may take.
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(30);

/// What [`Monitor::take_next`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A reading, or a batch's end, was taken.
    Taken,
    /// There is nothing to take now.
    Nothing,
    /// First [`Monitor::turn`] is to commit.
    CommitIsDue,
}

/// Engine, memory and picture.
pub struct Monitor<L> {
    engine: Engine,
    intake: Intake,
    state: Fallback<L>,
    pending: Pending,
    careful: Careful,
    gaps: Gaps,
    published: watch::Sender<Arc<Snapshot>>,
    picture: Picture,
    plan: Arc<Plan>,
    pace: Pace,
    upkeep_at: Time,
    /// Until when the outbox, which could not be used, is left alone.
    claim_again_at: Option<Time>,
    boot: Option<u128>,
    /// Wall time less monotonic time when it began: the process's own time
    /// steps for nobody.
    wall_offset: i64,
}

impl<L: Ledger> Monitor<L> {
    /// Over an engine that was restored from the store; `boot` is the
    /// machine's.
    pub fn new(
        mut engine: Engine,
        intake: Intake,
        stores: Stores<L>,
        (published, mut picture): (watch::Sender<Arc<Snapshot>>, Picture),
        (now, boot): (Now, Option<u128>),
    ) -> Monitor<L> {
        let plan = engine.plan().clone();
        engine.begin();
        picture.look_for_refusals(&engine);
        // A wall clock that was set back while nobody ran must not hold the
        // process's time until it has caught up.
        let began = now.wall.max(engine.process_time());
        Monitor {
            pace: Pace::new(plan.sources.len()),
            engine,
            intake,
            state: Fallback::new(stores),
            pending: Pending::default(),
            careful: Careful::default(),
            gaps: Gaps::default(),
            published,
            picture,
            plan,
            upkeep_at: Time::MIN,
            claim_again_at: None,
            boot,
            wall_offset: began.0.saturating_sub(now.monotonic.0),
        }
    }

    /// With the care that what became of the process before asks for.
    pub fn carefully(self, careful: Careful) -> Monitor<L> {
        Monitor { careful, ..self }
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the sources have sent.
    pub fn intake(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// What it knows of itself.
    pub fn picture(&mut self) -> &mut Picture {
        &mut self.picture
    }

    /// Commits reach the disk now, whatever the last picture says.
    pub fn is_durable(&self) -> bool {
        self.state.is_durable()
    }

    /// Everything that was decided is kept.
    pub fn is_committed(&self) -> bool {
        self.pending.since.is_none()
    }

    /// The picture as last published.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.borrow().clone()
    }

    /// Takes one step of what has come.
    pub fn take_next(&mut self, now: Now) -> Step {
        if self.may_commit(now) {
            return Step::CommitIsDue;
        }
        self.intake.gather(now.monotonic);
        let Some(taken) = self.intake.next(now.monotonic) else { return Step::Nothing };
        self.take(taken, now);
        Step::Taken
    }

    /// Lets time pass, commits and publishes what is due, and claims what is
    /// to be sent: each claim is to be answered by [`Monitor::answered`].
    pub fn turn(&mut self, now: Now) -> Vec<Claimed> {
        self.tick(now);
        if self.may_commit(now) {
            self.finish_halves(now);
            self.commit(now);
        }
        // First the disk: it may hold what goes before what memory holds.
        if self.state.try_disk(now) {
            self.publish(now);
        }
        let claimed = self.claim(now);
        if now.monotonic >= self.upkeep_at {
            self.upkeep_at = now.monotonic.plus(UPKEEP);
            let history_for = self.plan.daemon.history_for;
            if let Err(error) = self.state.prune(history_for, now) {
                log::warn!("the history was not pruned: {}", with_causes(&error));
            }
            for (source, count) in self.gaps.sum_up() {
                let name = &self.plan.sources[source].name;
                log::warn!("source {name}: lines are missing: {count} more gaps of late");
            }
        }
        if self.picture.is_due(now.monotonic) {
            self.publish(now);
        }
        claimed
    }

    /// What came of an attempt.
    pub fn answered(&mut self, answered: &Answered, now: Now) {
        let plan = self.plan.clone();
        let recorded = self.state.write(now, |store| answered.record(&plan, store, now));
        if let Err(error) = recorded {
            log::error!("a delivery cannot be recorded, it will be made again: {}", with_causes(&error));
        }
        self.publish(now);
    }

    /// Carries out what a person asks for; committed and published when this
    /// returns, so what is answered is not lost.
    pub fn order(&mut self, order: &Order, now: Now) -> Result<u64, Refusal> {
        let mut output = self.engine.handle(Input::Order(order), &[], self.own_time(now));
        let answer = output.answer.take();
        self.keep(output, now);
        if let Some(Ok(_)) = answer {
            self.pending.since.get_or_insert(now.monotonic);
            self.finish_halves(now);
            self.commit(now);
            self.publish(now);
        }
        answer.unwrap_or_else(|| Err(Refusal::Wrong("it was not understood".to_owned())))
    }

    /// Commits and publishes all there is, batches that are half taken
    /// included.
    pub fn finish(&mut self, now: Now) {
        self.finish_halves(now);
        self.commit(now);
        self.publish(now);
        self.careful.rest();
    }

    /// The state's file was found to be damaged.
    pub fn condemn(&mut self, error: &Error, now: Now) {
        self.state.condemn(error, now);
        self.publish(now);
    }

    /// The state can be gone on from, as a reload does.
    pub fn check_state(&self) -> Result<(), Error> {
        self.state.check(saved::KINDS)
    }

    /// Gives the stores back, with everything on the disk that it takes.
    pub fn into_stores(self, now: Now) -> Stores<L> {
        self.state.into_stores(now)
    }

    /// What is published has been committed: what was seen before a crash is
    /// not counted down by it. While a batch is half taken the picture waits.
    pub fn publish(&mut self, now: Now) {
        if self.pending.since.is_some() {
            if !self.intake.is_whole() {
                self.picture.has_changed();
                return;
            }
            self.save(now);
        }
        let snapshot = self.picture.snapshot(&self.engine, &self.state, now);
        self.published.send_replace(Arc::new(snapshot));
    }

    /// The monotonic time at which [`Monitor::turn`] has something to do;
    /// `None` while only lines and answers can bring it something.
    pub fn next_wake(&self, now: Now) -> Option<Time> {
        // Nothing is committed nor shown while a batch is half taken.
        let is_whole = self.intake.is_whole();
        let commit_after = if is_whole { COMMIT_AFTER } else { COMMIT_OVERDUE };
        let commit = self.pending.since.map(|since| since.plus(commit_after));
        let picture = self.picture.next_due().filter(|_| is_whole);
        let process = self.engine.next_process_due().map(|due| due.shifted(-self.wall_offset));
        let delivery = self.state.store().next_due(now.wall).ok().flatten();
        let delivery = delivery.map(|due| now.monotonic.plus(due.since(now.wall)));
        let delivery = delivery.map(|due| due.max(self.claim_again_at.unwrap_or(due)));
        let held = self.intake.look_again(now.monotonic);
        let all = [commit, process, delivery, held, self.pace.next_due(&self.engine), picture];
        all.into_iter().flatten().min()
    }

    /// Nothing may be committed while a batch is half taken.
    fn finish_halves(&mut self, now: Now) {
        while let Some(taken) = self.intake.next_of_halves(now.monotonic) {
            self.take(taken, now);
        }
    }

    /// A commit is due, and possible or long overdue.
    fn may_commit(&self, now: Now) -> bool {
        self.must_commit(now) && (self.intake.is_whole() || self.is_overdue(now))
    }

    fn must_commit(&self, now: Now) -> bool {
        let is_old = |since: Time| now.monotonic >= since.plus(COMMIT_AFTER);
        self.pending.is_urgent || self.pending.lines >= COMMIT_LINES || self.pending.since.is_some_and(is_old)
    }

    fn is_overdue(&self, now: Now) -> bool {
        let is_old = |since: Time| now.monotonic >= since.plus(COMMIT_OVERDUE);
        self.pending.lines >= COMMIT_LINES_OVERDUE || self.pending.since.is_some_and(is_old)
    }

    fn take(&mut self, taken: Taken, now: Now) {
        self.pending.since.get_or_insert(now.monotonic);
        match taken {
            Taken::Reading(source, reading) => self.reading(source, &reading, now),
            Taken::End(source, cursor) => {
                if let Some(at) = self.engine.source_clock(source) {
                    self.pace.line(source, at, now.monotonic);
                }
                if let Some(cursor) = cursor {
                    self.pending.cursors.insert(self.plan.sources[source].name.clone(), cursor);
                }
            }
        }
    }

    fn reading(&mut self, source: SourceId, reading: &Reading, now: Now) {
        let name = &self.plan.sources[source].name;
        let own = self.own_time(now);
        let output = match reading {
            Reading::Line(line) => {
                self.pending.lines += 1;
                if let Some(gap) = self.careful.enter(name, line) {
                    log::error!("source {name}: lines are missing: {}", gap.why);
                    self.picture.skipped(name);
                    self.engine.handle(Input::Skipped(source, &gap), &[], own)
                } else {
                    fault::at_line(&line.text);
                    self.engine.handle(Input::Line(source, line), &[], own)
                }
            }
            Reading::Gap(gap) => {
                if self.gaps.came(source) {
                    log::warn!("source {name}: lines are missing: {}", gap.why);
                }
                self.engine.handle(Input::Gap(source, gap), &[], own)
            }
            Reading::State(state) => {
                self.picture.source_state(name, state);
                let read = pace::Reading { wall: now.wall, boot: self.boot, monotonic: now.monotonic };
                let to_now = self.pace.state(&self.engine, source, state, read);
                let moves: Vec<Move> = to_now.map(|to_now| self.not_past_lines(to_now)).into_iter().collect();
                let moved = self.engine.handle(Input::Advance, &moves, own);
                self.keep(moved, now);
                self.engine.handle(Input::State(source, state), &[], own)
            }
        };
        self.keep(output, now);
        if matches!(reading, Reading::Line(_)) {
            self.careful.leave();
        }
    }

    /// Moves live sources on and lets what is due happen.
    fn tick(&mut self, now: Now) {
        // What has come meanwhile is to be known, or time would pass it by.
        self.intake.gather(now.monotonic);
        let moves = self.pace.moves(&self.engine, now.monotonic);
        let moves: Vec<Move> = moves.into_iter().map(|paced| self.not_past_lines(paced)).collect();
        let output = self.engine.handle(Input::Advance, &moves, self.own_time(now));
        self.keep(output, now);
        if self.engine.has_unsaved() {
            // Time alone ended a block or a streak.
            self.pending.since.get_or_insert(now.monotonic);
        }
    }

    /// A clock must not run past a line that has come and was not taken: a
    /// slow disk, or a wait for another source, is no silence.
    fn not_past_lines(&self, wanted: Move) -> Move {
        let Some(stamp) = self.intake.next_stamp(wanted.source) else { return wanted };
        let bounded = Move { next: Some(stamp), ..wanted };
        if self.engine.reach(&bounded) < self.engine.reach(&wanted) { bounded } else { wanted }
    }

    /// Keeps what came of an input for the next commit; notifications are
    /// rendered here, once.
    fn keep(&mut self, output: Output, now: Now) {
        if output.transitions.is_empty() && output.notifications.is_empty() && output.incidents.is_empty() {
            return;
        }
        self.pending.since.get_or_insert(now.monotonic);
        self.pending.is_urgent = true;
        for transition in &output.transitions {
            log::info!("{}", crate::timeline::text_line(transition));
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
                self.pending.outgoings.push((outgoing, now.wall));
            }
        }
    }

    fn commit(&mut self, now: Now) {
        if self.save(now) {
            self.publish(now);
        } else {
            self.picture.has_changed();
        }
    }

    /// Commits all there is; true if an alert changed in it.
    fn save(&mut self, now: Now) -> bool {
        for SavedRow { kind, key, value } in self.engine.take_changes() {
            self.pending.rows.insert((kind, key), value);
        }
        let pending = std::mem::take(&mut self.pending);
        let is_urgent = pending.is_urgent;
        if !pending.is_empty() {
            self.state.commit(pending, now);
            if self.state.is_durable() {
                self.picture.pulse().committed(now.wall);
            }
        }
        if self.state.is_durable() {
            self.careful.committed(!self.engine.sources().iter().any(|source| source.is_behind()));
        }
        is_urgent
    }

    fn claim(&mut self, now: Now) -> Vec<Claimed> {
        if self.claim_again_at.is_some_and(|at| now.monotonic < at) {
            return Vec::new();
        }
        let longest = self.plan.receivers.iter().map(|r| r.timeout).max().unwrap_or_default();
        let lease = longest + LEASE_BEYOND_TIMEOUT;
        let mut claimed = match self.state.write(now, |store| store.due(now.wall, lease)) {
            Ok(claimed) => {
                if self.claim_again_at.take().is_some() {
                    log::info!("the outbox can be used again");
                }
                claimed
            }
            Err(error) => {
                // When it is due can be known all the same: without a pause
                // the loop would ask without end.
                let again_at = now.monotonic.plus(CLAIM_AGAIN);
                if self.claim_again_at.replace(again_at).is_none() {
                    log::error!("the outbox cannot be used: {}", with_causes(&error));
                }
                return Vec::new();
            }
        };
        let plan = self.plan.clone();
        let is_known = |claim: &Claimed| plan.receivers.iter().any(|r| r.name == claim.outgoing.receiver);
        for claim in claimed.extract_if(.., |claim| !is_known(claim)) {
            let (id, why) = (&claim.outgoing.id, "the receiver is no longer configured");
            log::warn!("notification {id} to {} is given up: {why}", claim.outgoing.receiver);
            if let Err(error) = self.state.write(now, |store| store.record_given_up(id, now.wall, why)) {
                log::error!("a delivery cannot be recorded: {}", with_causes(&error));
            }
        }
        claimed
    }

    /// The process's own time: the wall time it began at and the monotonic
    /// time since.
    fn own_time(&self, now: Now) -> Time {
        now.monotonic.shifted(self.wall_offset)
    }
}
