//! How late it is taken to be when old rows are forgotten.
//!
//! Must not believe a single reading of the wall clock: one that stands years
//! ahead until it is set would empty the history. So from one pruning to the
//! next time goes on by [`STEP_MAX`] at most, over restarts too; further only
//! as far as costs no row. A clock that stood ahead for an hour has cost the
//! oldest ten hours. After a long rest old rows stay for a few days longer.
//! The very first pruning of a state believes the clock.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction as Sql};

use crate::model::Time;

/// From one pruning to the next, which come every minute.
const STEP_MAX: Duration = Duration::from_secs(600);
/// Time may go on at once until the oldest row is this far from being
/// forgotten: that costs none. From there it goes on by steps.
const DAY: Duration = Duration::from_secs(86_400);
const KEY: &str = "pruned_at";

/// The time to prune by; not later than `now`.
pub(super) fn believed(sql: &Sql<'_>, history_for: Duration, now: Time) -> rusqlite::Result<Time> {
    let Some(last) = last(sql)? else {
        put(sql, now)?;
        return Ok(now);
    };
    let harmless = harmless(sql, history_for)?.unwrap_or(now);
    let believed = now.min(harmless.max(last.plus(STEP_MAX)));
    // An idle minute costs no write.
    if believed < last || believed >= last.plus(STEP_MAX) {
        put(sql, believed)?;
    }
    Ok(believed)
}

/// Goes on from where `other` was.
pub(super) fn take_over(sql: &Connection, other: &Connection) -> rusqlite::Result<()> {
    last(other)?.map_or(Ok(()), |last| put(sql, last))
}

/// Until then nothing is old enough to go; `None`: there is nothing.
fn harmless(sql: &Connection, history_for: Duration) -> rusqlite::Result<Option<Time>> {
    let least = |select| sql.query_row(select, (), |row| row.get::<_, Option<i64>>(0));
    let ended =
        least("SELECT min(ended_at) FROM incidents WHERE number < (SELECT max(number) FROM incidents)")?;
    let begun = least("SELECT min(begun_at) FROM threads")?;
    let oldest = ended.into_iter().chain(begun).min();
    let sent = least("SELECT min(finished_at) FROM outbox WHERE state <> 'pending'")?.map(Time);
    let history = oldest.map(|oldest| Time(oldest).minus(DAY).plus(history_for));
    Ok(history.into_iter().chain(sent).min())
}

fn last(sql: &Connection) -> rusqlite::Result<Option<Time>> {
    let bytes: Option<Vec<u8>> =
        sql.query_row("SELECT value FROM meta WHERE key = ?1", (KEY,), |row| row.get(0)).optional()?;
    Ok(bytes.and_then(|bytes| Some(Time(i64::from_be_bytes(bytes.try_into().ok()?)))))
}

fn put(sql: &Connection, at: Time) -> rusqlite::Result<()> {
    let value = at.0.to_be_bytes();
    sql.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (KEY, value.as_slice())).map(drop)
}
