//! Containers of a Docker engine, through its API.
//!
//! Responsible for every line of every container that a selector matches, each
//! once and in order, over restarts of the container, of dockerd and of tocsin.
//! It must not look into a line, and it never writes to the engine: it asks for
//! the list, an inspection, the events and the logs.
//!
//! | file | does |
//! | --- | --- |
//! | [`client`] | asks the engine |
//! | [`frames`] | bytes to pieces |
//! | [`lines`] | pieces to lines |
//! | [`repeats`] | what dockerd says twice |
//! | [`cursor`] | how to go on exactly |
//! | [`search`] | finds the place where `since` does not do |
//! | [`follow`] | reads one container |
//! | [`table`] | merges containers by time |
//! | [`scope`] | which containers, and from where |
//! | [`watch`] | finds containers, sends batches |
//!
//! The surprising decision: a resume asks for lines that were read and counts
//! them off, because the API's only position is a time stamp and stamps repeat
//! and run out of order by microseconds. What that cannot mend: an old dockerd
//! (seen: 20.10) filters every line by `since`. If the clock stepped back while
//! nobody read, has passed the place since, and more than 32,768 lines came
//! meanwhile, those in between are withheld and nothing shows it.

#![expect(
    clippy::disallowed_methods,
    reason = "pauses, watchdogs and `start` are measured here, and DOCKER_HOST is what every client of the engine reads"
)]

pub mod client;
pub mod cursor;
pub mod follow;
pub mod frames;
pub mod lines;
pub mod repeats;
pub mod scope;
pub mod search;
pub mod table;
pub mod watch;

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch as signal;
use tokio::task::JoinHandle;

use crate::config::plan::SourcePlan;
use crate::model::{Batch, Cursor, Reading, SourceId, SourceState, Time};

use client::{Client, Trouble};
use cursor::Mark;
use follow::Ending;
use scope::Scope;
use table::{Table, Tracked};
use watch::Watch;

/// Lines in a batch of [`read`].
const READ_LINES_MAX: usize = 1_000;
/// Bytes in a batch of [`read`].
const READ_BYTES_MAX: usize = 1 << 20;

/// Follows the source's containers from `cursor` on, or as on a first start
/// without one, until `stop` turns true, its sender is gone or `tx` is closed.
/// Every batch carries the cursor after it, but for those sent before dockerd
/// first answered.
pub fn spawn(
    source: SourceId,
    plan: &SourcePlan,
    cursor: Option<Cursor>,
    tx: Sender<Batch>,
    stop: signal::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(Watch::new(Scope::new(source, plan), cursor, tx, stop).run())
}

/// Reads the logs of all matching containers as they are now, from `since` on
/// (their beginning without it), merged by time, and ends. Batches carry no
/// cursor. A container whose log driver cannot be read is passed over with a
/// warning; the last reading is `State(Live)`.
///
/// # Errors
///
/// The engine does not answer or breaks off, or no matching container can be
/// read; the text says which, for a person.
pub async fn read(
    source: SourceId,
    plan: &SourcePlan,
    since: Option<Time>,
    tx: Sender<Batch>,
) -> Result<(), Trouble> {
    let scope = Scope::new(source, plan);
    let client = Client::connect(&scope.docker, scope.pace.answer).await?;
    let mut table = Table::default();
    let mut found = client.list(&scope.docker).await?;
    if found.is_empty() {
        log::warn!("source {}: no container matches its selector", scope.name);
    }
    found.sort_by_key(|c| (!c.is_running, std::cmp::Reverse(c.created)));
    for container in found.iter().filter(|c| !c.is_fresh).take(scope.bounds.containers) {
        let mut tracked = Tracked::new(Mark::from(since.unwrap_or(Time(0))));
        scope.follow(&client, &container.id, &mut tracked, false);
        table.containers.insert(container.id.clone(), tracked);
    }
    let mut readings = Vec::new();
    let mut bytes = 0;
    let (mut unreadable, all) = (0, table.containers.len());
    loop {
        while let Some(reading) = table.next(Duration::MAX) {
            if let Reading::Line(line) = &reading {
                bytes += line.text.len();
            }
            readings.push(reading);
            if readings.len() >= READ_LINES_MAX || bytes >= READ_BYTES_MAX {
                bytes = 0;
                let full = std::mem::take(&mut readings);
                if tx.send(Batch { source, readings: full, cursor: None }).await.is_err() {
                    return Ok(());
                }
            }
        }
        for (id, ending) in std::mem::take(&mut table.endings) {
            match ending {
                Ending::Ended | Ending::Gone => {}
                Ending::Broken(why) => return Err(Trouble::Unreachable(why)),
                Ending::Unreadable(driver) => {
                    unreadable += 1;
                    let short: String = id.chars().take(12).collect();
                    log::warn!(
                        "source {}: the log driver `{driver}` of container {short} cannot be read",
                        scope.name
                    );
                }
            }
        }
        if !table.is_followed() {
            break;
        }
        scope.wake.notified().await;
    }
    if all > 0 && unreadable == all {
        return Err(Trouble::Unreadable);
    }
    readings.push(Reading::State(SourceState::Live));
    // A receiver that is gone has heard enough.
    let _ = tx.send(Batch { source, readings, cursor: None }).await;
    Ok(())
}
