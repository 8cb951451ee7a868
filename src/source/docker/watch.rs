//! Keeps the containers of a source in view and hands on what they write.
//!
//! Responsible for discovery, for batches and cursors, and for what the source
//! says of itself. Failure story:
//!
//! - Events are only a reason to list anew; the list decides. So an event that
//!   was missed costs a minute at most, and a lost stream of events nothing.
//! - A container that does not run is looked at once more after each `start`,
//!   so one that starts and dies between two lists is read too. Compose's habit
//!   of renaming the old container and creating a new one is two containers.
//! - More containers than are read at a time: those that run come first, and
//!   among them those that are read already. The others keep their marks for as
//!   long as they exist, so one whose turn comes is read on, not anew. Where
//!   there are too many marks, new containers are refused and no mark forgotten.
//! - dockerd gone: the followers are dropped with what they had read ahead, the
//!   marks stay, and reading goes on from them once it answers again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::stream::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;

use crate::model::{Batch, Cursor, Reading, SourceState, Time};

use super::client::{Client, Found, Trouble};
use super::cursor::{Mark, Saved};
use super::follow::Ending;
use super::scope::{Bounds, Scope};
use super::table::{Table, Tracked};

const LINES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;
/// Batches before events are looked at again.
const BATCHES_MAX: usize = 16;
const GATHER: Duration = Duration::from_millis(20);
/// What a container that is read up may keep the others waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events come in bursts.
const RELIST_SOON: Duration = Duration::from_millis(30);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// Between two followers of a container whose log breaks off.
const BREAK_MAX: Duration = Duration::from_secs(5);
/// A new or restarted container makes a live source `Behind` only after this.
const BEHIND_AFTER: Duration = Duration::from_secs(1);

/// Why a watch pauses or ends.
enum Stop {
    Trouble(Trouble),
    Over,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        Stop::Trouble(trouble)
    }
}

/// One source while the daemon runs.
pub struct Watch {
    scope: Scope,
    tx: Sender<Batch>,
    stop: watch::Receiver<bool>,
    table: Table,
    /// Marks of containers that are not read now: until the first list all of
    /// the stored cursor, then of those that exist. `None` on the first start of
    /// the source.
    saved: Option<BTreeMap<String, Mark>>,
    /// A list has shown which marks are of containers that exist.
    is_listed: bool,
    said: Option<SourceState>,
    behind_since: Option<Instant>,
    relist_at: Instant,
    has_warned_of_nothing: bool,
    has_warned_of_many: bool,
    has_warned_of_marks: bool,
}

impl Watch {
    /// A watch that resumes at a cursor, or begins.
    pub fn new(
        scope: Scope,
        cursor: Option<Cursor>,
        tx: Sender<Batch>,
        stop: watch::Receiver<bool>,
    ) -> Watch {
        let saved = cursor.and_then(|cursor| {
            let saved = Saved::read(&cursor);
            if saved.is_none() {
                log::warn!(
                    "source {}: the stored cursor is not one of Docker; beginning as on a first start",
                    scope.name
                );
            }
            saved.map(|saved| saved.containers)
        });
        Watch {
            scope,
            tx,
            stop,
            table: Table::default(),
            saved,
            is_listed: false,
            said: None,
            behind_since: None,
            relist_at: Instant::now(),
            has_warned_of_nothing: false,
            has_warned_of_many: false,
            has_warned_of_marks: false,
        }
    }

    /// Runs until it is stopped or nobody listens.
    pub async fn run(mut self) {
        let mut retry = RETRY_MIN;
        loop {
            let mut stop = self.stop.clone();
            let ended = tokio::select! {
                ended = self.sit(&mut retry) => ended,
                _ = stop.wait_for(|is_over| *is_over) => return,
            };
            let Err(Stop::Trouble(trouble)) = ended else {
                return;
            };
            self.table.detach_all();
            self.table.endings.clear();
            let why = trouble.to_string();
            if !matches!(self.said, Some(SourceState::Lost { .. })) {
                log::warn!("source {}: {why}", self.scope.name);
            }
            let told = tokio::select! {
                told = self.say(SourceState::Lost { why }) => told,
                _ = stop.wait_for(|is_over| *is_over) => return,
            };
            if told.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                _ = stop.wait_for(|is_over| *is_over) => return,
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// One connection to the engine, for as long as it answers.
    async fn sit(&mut self, retry: &mut Duration) -> Result<(), Stop> {
        loop {
            let client = Client::connect(&self.scope.docker, self.scope.pace.answer).await?;
            let mut events = client.events(&self.scope.docker);
            for tracked in self.table.containers.values_mut() {
                tracked.needs_look = true;
            }
            self.relist(&client).await?;
            *retry = RETRY_MIN;
            // The subscription to events begins when it is first polled, below:
            // what happens until then is found by a second list.
            self.relist_at = Instant::now() + Duration::from_millis(500);
            loop {
                self.hand_on().await?;
                self.see_endings();
                let wake = self.scope.wake.clone();
                let next_look = self.relist_at.min(Instant::now() + Duration::from_secs(1));
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep_until(next_look.into()) => {}
                    event = events.next() => match event {
                        Some(Ok((action, id))) => self.see_event(&action, &id),
                        Some(Err(_)) | None => break,
                    },
                }
                if Instant::now() >= self.relist_at {
                    self.relist(&client).await?;
                }
            }
            // The followers read on meanwhile, if the engine is still there.
            tokio::time::sleep(RETRY_MIN).await;
        }
    }

    fn see_event(&mut self, action: &str, id: &str) {
        if action == "start"
            && let Some(tracked) = self.table.containers.get_mut(id)
        {
            tracked.needs_look = true;
            tracked.unreadable = None;
        }
        self.relist_by(RELIST_SOON);
    }

    fn relist_by(&mut self, within: Duration) {
        self.relist_at = self.relist_at.min(Instant::now() + within);
    }

    fn see_endings(&mut self) {
        for (id, ending) in std::mem::take(&mut self.table.endings) {
            let Some(tracked) = self.table.containers.get_mut(&id) else {
                continue;
            };
            match ending {
                Ending::Ended => {}
                Ending::Gone => tracked.is_listed = false,
                Ending::Unreadable(driver) => {
                    let short: String = id.chars().take(12).collect();
                    let why = format!(
                        "container {short} uses the log driver `{driver}`, which cannot be read: \
                         use json-file, local or journald"
                    );
                    log::warn!("source {}: {why}", self.scope.name);
                    tracked.unreadable = Some(why);
                }
                Ending::Broken(why) => {
                    log::debug!("source {}: {why}; reading on from the cursor", self.scope.name);
                    tracked.needs_look = true;
                    tracked.breaks = tracked.breaks.saturating_add(1);
                    tracked.broken = Some(why);
                    let pause = RETRY_MIN.saturating_mul(1 << (tracked.breaks - 1).min(10)).min(BREAK_MAX);
                    tracked.retry_at = Some(Instant::now() + pause);
                    self.relist_at = self.relist_at.min(Instant::now() + RETRY_MIN);
                    continue;
                }
            }
            self.relist_at = self.relist_at.min(Instant::now() + RELIST_SOON);
        }
    }

    /// Compares the engine's containers with the table.
    async fn relist(&mut self, client: &Client) -> Result<(), Stop> {
        self.relist_at = Instant::now() + self.scope.pace.relist;
        let mut found = client.list(&self.scope.docker).await?;
        let ids: BTreeSet<String> = found.iter().map(|container| container.id.clone()).collect();
        let is_first_start = self.saved.is_none();
        let mut saved = match self.saved.take() {
            Some(saved) => saved,
            None => self.first_marks(client, &mut found).await?,
        };
        saved.retain(|id, _| ids.contains(id));
        self.bound(&mut found, &saved);
        for tracked in self.table.containers.values_mut() {
            tracked.is_listed = false;
        }
        for container in &found {
            let tracked =
                self.table.containers.entry(container.id.clone()).or_insert_with(|| {
                    Tracked::new(saved.remove(&container.id).unwrap_or(Mark::from(Time(0))))
                });
            tracked.is_listed = true;
            tracked.is_running = container.is_running;
            if let Some(again_at) = self.scope.see_to(client, container, tracked) {
                self.relist_at = self.relist_at.min(again_at);
            }
        }
        // What the list no longer shows is read out, then forgotten if it is gone.
        self.table.containers.retain(|id, tracked| {
            let stays = tracked.is_listed || tracked.is_followed();
            if !stays && ids.contains(id) {
                saved.insert(id.clone(), tracked.mark.clone());
            }
            stays
        });
        self.saved = Some(saved);
        self.is_listed = true;
        if found.is_empty() && !std::mem::replace(&mut self.has_warned_of_nothing, true) {
            log::warn!("source {}: no container matches its selector yet", self.scope.name);
        }
        if is_first_start || self.said.is_none() {
            self.begin().await?;
        }
        Ok(())
    }

    /// Saves where the source begins, so that a restart before the first line
    /// does not begin anew.
    async fn begin(&mut self) -> Result<(), Stop> {
        let state = self.table.state();
        self.say(state).await.map_err(|()| Stop::Over)
    }

    /// Where the containers begin that are there before the source.
    async fn first_marks(
        &self,
        client: &Client,
        found: &mut [Found],
    ) -> Result<BTreeMap<String, Mark>, Trouble> {
        found.sort_by_key(|c| (!c.is_running, std::cmp::Reverse(c.created)));
        let mut marks = BTreeMap::new();
        for container in found.iter().take(self.scope.bounds.marks) {
            marks.insert(container.id.clone(), self.scope.first_mark(client, &container.id).await?);
        }
        Ok(marks)
    }

    /// Leaves those that are read now; `saved` are the marks of those that exist
    /// and are not tracked.
    fn bound(&mut self, found: &mut Vec<Found>, saved: &BTreeMap<String, Mark>) {
        let Bounds { containers, marks } = self.scope.bounds;
        let (many, name) = (found.len(), &self.scope.name);
        let tracked = &self.table.containers;
        let is_followed = |c: &Found| tracked.get(&c.id).is_some_and(Tracked::is_followed);
        found.sort_by_key(|c| (!c.is_running, !is_followed(c), std::cmp::Reverse(c.created)));
        let mut room = marks.saturating_sub(tracked.len() + saved.len());
        found.retain(|c| {
            let is_known = tracked.contains_key(&c.id) || saved.contains_key(&c.id);
            let is_taken = is_known || room > 0;
            room -= usize::from(is_taken && !is_known);
            is_taken
        });
        if found.len() < many && !std::mem::replace(&mut self.has_warned_of_marks, true) {
            log::warn!(
                "source {name}: {many} containers match; the places in {marks} are kept and no new one is \
                 read: remove containers that have ended, or select fewer"
            );
        }
        if many > containers && !std::mem::replace(&mut self.has_warned_of_many, true) {
            log::warn!(
                "source {name}: {many} containers match; only {containers} are read at a time, those that \
                 run first"
            );
        }
        found.truncate(containers);
    }

    /// Sends what is at hand, in batches, and the state when it changes.
    async fn hand_on(&mut self) -> Result<(), Stop> {
        let mut is_full = true;
        for _ in 0..BATCHES_MAX {
            let readings;
            (readings, is_full) = self.gather().await;
            if !readings.is_empty() {
                self.send(readings).await.map_err(|()| Stop::Over)?;
            }
            if !is_full {
                break;
            }
        }
        if is_full {
            // The list and the events get their turn, then the rest.
            self.scope.wake.notify_one();
        }
        let state = self.table.state();
        let is_behind = state == SourceState::Behind;
        self.behind_since = is_behind.then(|| self.behind_since.unwrap_or_else(Instant::now));
        let is_hasty = self.said == Some(SourceState::Live)
            && self.behind_since.is_some_and(|since| since.elapsed() < BEHIND_AFTER);
        if !is_hasty && self.said.as_ref() != Some(&state) {
            self.say(state).await.map_err(|()| Stop::Over)?;
        }
        Ok(())
    }

    /// A batch's readings; true if it is full and there may be more.
    async fn gather(&mut self) -> (Vec<Reading>, bool) {
        let mut readings = Vec::new();
        let mut bytes = 0;
        let mut until = None;
        while readings.len() < LINES_MAX && bytes < BYTES_MAX {
            if let Some(reading) = self.table.next(PATIENCE) {
                if let Reading::Line(line) = &reading {
                    bytes += line.text.len();
                }
                readings.push(reading);
                continue;
            }
            if readings.is_empty() {
                return (readings, false);
            }
            let until = *until.get_or_insert_with(|| tokio::time::Instant::now() + GATHER);
            if tokio::time::timeout_at(until, self.scope.wake.notified()).await.is_err() {
                return (readings, false);
            }
        }
        (readings, true)
    }

    async fn say(&mut self, state: SourceState) -> Result<(), ()> {
        self.said = Some(state.clone());
        self.send(vec![Reading::State(state)]).await
    }

    async fn send(&mut self, readings: Vec<Reading>) -> Result<(), ()> {
        // Until the first list the marks are those of the stored cursor.
        let saved = self.saved.as_ref().filter(|_| self.is_listed);
        let cursor = saved.map(|saved| self.table.cursor(saved));
        self.tx.send(Batch { source: self.scope.source, readings, cursor }).await.map_err(drop)
    }
}
