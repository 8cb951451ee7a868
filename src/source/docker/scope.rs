//! What one source reads: which containers, where each begins, and the putting
//! of followers on them. The decisions of a list are here, its loop is
//! [`super::watch`]'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::plan::{DockerPlan, SourceKind, SourcePlan, Start};
use crate::model::{SourceId, Time};

use super::client::{ANSWER_MAX, Client, Found, Trouble};
use super::cursor::Mark;
use super::follow::{Follower, SILENCE};
use super::table::Tracked;

/// Vectors of items a follower may be ahead.
const AHEAD_MAX: usize = 2;

/// How long a source waits; one that is quiet is not one that hangs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For an answer of the engine.
    pub answer: Duration,
    /// For a word of a follow stream that is at its end, before it is checked.
    pub silence: Duration,
    /// For the next list of containers, when no event asks for one.
    pub relist: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { answer: ANSWER_MAX, silence: SILENCE, relist: Duration::from_secs(60) }
    }
}

/// How many containers a source reads and remembers.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Read at the same time, stopped ones included.
    pub containers: usize,
    /// Remembered by their place, of all that exist; a mark takes about 250
    /// bytes of every cursor.
    pub marks: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { containers: 256, marks: 2_048 }
    }
}

/// Names the source, and how it reads.
pub struct Scope {
    /// Whose batches.
    pub source: SourceId,
    /// Its name, for the log.
    pub name: String,
    /// Which containers.
    pub docker: DockerPlan,
    /// Told by every follower after each send.
    pub wake: Arc<Notify>,
    /// How long it waits.
    pub pace: Pace,
    /// How much it reads at a time.
    pub bounds: Bounds,
    start: Start,
    line_bytes_max: usize,
}

impl Scope {
    /// Of a source of kind Docker.
    pub fn new(source: SourceId, plan: &SourcePlan) -> Scope {
        let docker = match &plan.kind {
            SourceKind::Docker(docker) => docker.clone(),
            // Nobody asks for it; a selector of everything is the harmless answer.
            SourceKind::Journal(_) | SourceKind::File(_) => DockerPlan::default(),
        };
        Scope {
            source,
            name: plan.name.clone(),
            docker,
            wake: Arc::default(),
            pace: Pace::default(),
            bounds: Bounds::default(),
            start: plan.start,
            line_bytes_max: plan.line_bytes_max,
        }
    }

    /// Where a container that was there before the source begins.
    pub async fn first_mark(&self, client: &Client, id: &str) -> Result<Mark, Trouble> {
        Ok(match self.start {
            Start::Beginning => Mark::from(Time(0)),
            Start::Ago(span) => Mark::from(now().minus(span)),
            // After its last line, not now: the engine's clock may be another.
            Start::End => match newest(client, id).await {
                Ok(newest) => newest.map_or(Mark::from(Time(0)), Mark::after),
                Err(trouble @ Trouble::Unreachable(_)) => return Err(trouble),
                // What is wrong with it its follower will tell.
                Err(_) => Mark::from(now()),
            },
        })
    }

    /// Follows a listed container if it has to be; returns when to look again
    /// if it must wait.
    pub fn see_to(&self, client: &Client, found: &Found, tracked: &mut Tracked) -> Option<Instant> {
        let is_wanted = found.is_running || tracked.needs_look;
        if tracked.is_followed() || tracked.unreadable.is_some() || found.is_fresh || !is_wanted {
            return None;
        }
        let retry_at = tracked.retry_at.filter(|at| *at > Instant::now());
        if retry_at.is_none() {
            tracked.retry_at = None;
            self.follow(client, &found.id, tracked, true);
        }
        retry_at
    }

    /// Puts a follower on a container, from its mark; without `follow` it reads
    /// what is there and ends.
    pub fn follow(&self, client: &Client, id: &str, tracked: &mut Tracked, follow: bool) {
        let (outbox, inbox) = tokio::sync::mpsc::channel(AHEAD_MAX);
        let follower = Follower {
            client: client.clone(),
            id: id.to_owned(),
            mark: tracked.mark.clone(),
            line_bytes_max: self.line_bytes_max,
            silence: self.pace.silence,
            follow,
            outbox,
            wake: self.wake.clone(),
        };
        tracked.attach(tokio::spawn(follower.run()), inbox);
    }
}

async fn newest(client: &Client, id: &str) -> Result<Option<Time>, Trouble> {
    let traits = client.inspect(id).await?;
    client.newest(id, traits.is_tty).await
}

/// The wall clock of this machine.
pub fn now() -> Time {
    let now = std::time::SystemTime::now();
    Time(0).plus(now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}
