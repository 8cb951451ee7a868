//! Which rows of the outbox may be sent now, and in which words.
//!
//! Everything is decided on the heads of the threads, the oldest pending row of
//! each; the promises are told in [`super::outbox`]. What is read here before
//! the transaction still holds within it: there is one writer.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction as Sql};

use super::history::parsed;
use super::outbox::{Claimed, IN_FLIGHT_MAX, LATE_AFTER, finish};
use crate::model::{Outgoing, Time};

/// The oldest pending row of a thread.
pub(super) struct Head {
    seq: i64,
    pub receiver: String,
    thread: String,
    next_attempt_at: Time,
    changed_at: Time,
    lease: Option<(Time, Time)>,
    created_at: Time,
    /// The receiver asked for time: when, and until when.
    held: Option<(Time, Time)>,
    /// It is the end of its thread itself.
    is_end: bool,
    /// The end waits behind it.
    has_end: bool,
    /// That end, where it says all there is to say.
    stands_alone: bool,
}

pub(super) enum Standing {
    InFlight(Time),
    Waiting(Time),
    Due,
}

impl Head {
    pub fn standing(&self, now: Time) -> Standing {
        let held = self.held.filter(|(from, until)| *from <= now && now < *until);
        match self.lease {
            Some((from, until)) if from <= now && now < until => Standing::InFlight(until),
            _ if self.changed_at <= now && now < self.next_attempt_at => Standing::Waiting(
                held.map_or(self.next_attempt_at, |(_, until)| until.max(self.next_attempt_at)),
            ),
            _ => held.map_or(Standing::Due, |(_, until)| Standing::Waiting(until)),
        }
    }

    /// Late, and the end of what it tells of waits behind it.
    fn is_over(&self, now: Time) -> bool {
        !self.is_end && self.has_end && now.since(self.created_at) >= LATE_AFTER
    }
}

/// Asked at every turn, so it must need the index alone. Beside a lone min(),
/// SQLite takes bare columns from the row it is of.
const HEADS: &str =
    "SELECT min(o.seq) AS head, o.receiver, o.thread, o.next_attempt_at, o.changed_at, o.leased_at,
        o.lease_until, o.created_at, o.ends > 0, total(o.ends > 0) > 0, total(o.ends = 2) > 0,
        d.held_at, d.held_until
    FROM outbox o LEFT JOIN deliveries d ON d.receiver = o.receiver
    WHERE o.state = 'pending' GROUP BY o.receiver, o.thread ORDER BY head";

/// In the order they were stored.
pub(super) fn heads(sql: &Connection) -> rusqlite::Result<Vec<Head>> {
    let mut select = sql.prepare_cached(HEADS)?;
    let time = |row: &Row<'_>, column| row.get::<_, Option<i64>>(column).map(|at| at.map(Time));
    let head = |row: &Row<'_>| {
        Ok(Head {
            seq: row.get(0)?,
            receiver: row.get(1)?,
            thread: row.get(2)?,
            next_attempt_at: Time(row.get(3)?),
            changed_at: Time(row.get(4)?),
            lease: time(row, 5)?.zip(time(row, 6)?),
            created_at: Time(row.get(7)?),
            is_end: row.get(8)?,
            has_end: row.get(9)?,
            stands_alone: row.get(10)?,
            held: time(row, 11)?.zip(time(row, 12)?),
        })
    };
    select.query_map((), head)?.collect()
}

pub(super) fn in_flight(heads: &[Head], now: Time) -> BTreeMap<&str, usize> {
    let mut busy = BTreeMap::new();
    for head in heads {
        if matches!(head.standing(now), Standing::InFlight(_)) {
            *busy.entry(head.receiver.as_str()).or_insert(0) += 1;
        }
    }
    busy
}

/// What may still burn goes before what is over: after hours away, nobody
/// should have to read to the end to learn what is wrong now.
pub(super) fn due(heads: &[Head], now: Time) -> Vec<&Head> {
    let mut busy = in_flight(heads, now);
    let mut due: Vec<&Head> =
        heads.iter().filter(|head| matches!(head.standing(now), Standing::Due)).collect();
    due.sort_by_key(|head| (head.is_end || head.has_end, head.seq));
    due.retain(|head| {
        let claims = busy.entry(&head.receiver).or_insert(0);
        *claims += 1;
        *claims <= IN_FLIGHT_MAX
    });
    due
}

/// `None` if its stored form does not read any more: it is given up alone.
pub(super) fn claim(
    sql: &Sql<'_>,
    head: &Head,
    now: Time,
    lease: Duration,
) -> rusqlite::Result<Option<Claimed>> {
    let is_over = head.is_over(now);
    let (seq, supersedes) =
        if is_over && head.stands_alone { supersede(sql, head, now)? } else { (head.seq, Vec::new()) };
    choose_words(sql, seq)?;
    let lease_until = now.plus(lease);
    let mut update = sql.prepare_cached(
        "UPDATE outbox SET attempts = attempts + 1, leased_at = ?2, lease_until = ?3
         WHERE seq = ?1 AND state = 'pending' RETURNING id, body, attempts, created_at",
    )?;
    let (id, read) = update.query_row((seq, now.0, lease_until.0), |row| {
        let id: String = row.get(0)?;
        let (attempt, created_at) = (row.get(2)?, Time(row.get(3)?));
        let (receiver, thread) = (head.receiver.clone(), head.thread.clone());
        let claimed = |body| Claimed {
            outgoing: Outgoing { id: id.clone(), receiver, thread, body, end: None },
            attempt,
            created_at,
            lease_until,
            is_over: is_over && !head.stands_alone,
            supersedes,
        };
        let read = parsed(row, 1).map(claimed);
        Ok((id, read))
    })?;
    match read {
        Ok(claimed) => Ok(Some(claimed)),
        Err(_) => {
            finish(sql, &id, "given_up", now, Some("its stored form does not read any more"))?;
            Ok(None)
        }
    }
}

/// Lets the thread's end stand for all that waits before it; gives the end,
/// and the ids of what is not sent any more.
fn supersede(sql: &Sql<'_>, head: &Head, now: Time) -> rusqlite::Result<(i64, Vec<String>)> {
    let end: i64 = sql
        .prepare_cached(
            "SELECT min(seq) FROM outbox WHERE state = 'pending' AND receiver = ?1 AND thread = ?2 AND ends = 2",
        )?
        .query_row((&head.receiver, &head.thread), |row| row.get(0))?;
    let mut update = sql.prepare_cached(
        "UPDATE outbox SET state = 'superseded', finished_at = ?4, leased_at = NULL, lease_until = NULL
         WHERE state = 'pending' AND receiver = ?1 AND thread = ?2 AND seq < ?3 RETURNING id",
    )?;
    let ids = update.query_map((&head.receiver, &head.thread, end, now.0), |row| row.get(0))?;
    Ok((end, ids.collect::<rusqlite::Result<_>>()?))
}

/// Settles once in which words an end is told: as the past if the beginning
/// was not told, or late and only after this end had been decided.
fn choose_words(sql: &Sql<'_>, seq: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE outbox SET past_body = NULL, body = iif(EXISTS (
             SELECT 1 FROM threads t WHERE t.receiver = outbox.receiver AND t.thread = outbox.thread
             AND (t.told_at IS NULL OR t.told_at > outbox.created_at AND t.told_at - t.begun_at >= ?2)
         ), past_body, body) WHERE seq = ?1 AND past_body NOT NULL",
    )?
    .execute((seq, LATE_AFTER.as_nanos() as i64))
    .map(|_| ())
}

/// Something is stored that its thread's end will follow.
pub(super) fn begin_thread(sql: &Sql<'_>, receiver: &str, thread: &str, at: Time) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO threads (receiver, thread, begun_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute((receiver, thread, at.0))
    .map(|_| ())
}

/// The receiver knows of the thread's beginning, or will be told of it.
pub(super) fn is_owed_an_end(sql: &Sql<'_>, receiver: &str, thread: &str) -> rusqlite::Result<bool> {
    sql.prepare_cached(
        "SELECT 1 FROM threads WHERE receiver = ?1 AND thread = ?2 AND told_at NOT NULL
         UNION SELECT 1 FROM outbox WHERE state = 'pending' AND receiver = ?1 AND thread = ?2 AND ends = 0",
    )?
    .query_row((receiver, thread), |_| Ok(()))
    .optional()
    .map(|found| found.is_some())
}

/// A row of the thread was delivered at `told_at`, or given up.
pub(super) fn note_finished(
    sql: &Sql<'_>,
    (receiver, thread): (&str, &str),
    is_end: bool,
    told_at: Option<Time>,
) -> rusqlite::Result<()> {
    if is_end {
        sql.prepare_cached("DELETE FROM threads WHERE receiver = ?1 AND thread = ?2")?
            .execute((receiver, thread))?;
    } else if let Some(at) = told_at {
        sql.prepare_cached(
            "UPDATE threads SET told_at = coalesce(told_at, ?3) WHERE receiver = ?1 AND thread = ?2",
        )?
        .execute((receiver, thread, at.0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heads_are_found_without_reading_the_rows_and_their_texts() {
        let mut sql = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut sql, None).unwrap();
        let mut explain = sql.prepare(&format!("EXPLAIN QUERY PLAN {HEADS}")).unwrap();
        let steps = explain.query_map((), |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>().unwrap();
        assert!(steps.iter().any(|s| s.contains("o USING COVERING INDEX outbox_pending")), "{steps:?}");
    }
}
