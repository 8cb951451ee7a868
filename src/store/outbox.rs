//! What is still to be told, and how the telling went.
//!
//! Order is kept within a thread of a receiver: only its oldest pending row
//! can be due. Nothing else waits for anything: not another thread, not
//! another receiver. Failure story of a delivery, claim → send → record:
//!
//! - [`Store::due`] claims by a short lease and commits before anything is
//!   sent. A crash after it leaves the row pending; the next
//!   [`Store::open`] voids the lease, and the row is sent again.
//! - A sender that never comes back loses its claim when the lease ends.
//! - A crash between the send and the record sends twice, with the same id.
//! - A late record of a row that is finished changes and counts nothing.
//! - A wait or lease written in the future, seen from a clock that has
//!   stepped back, is void: nothing waits for hours that did not pass.
//!
//! Bodies are sent as they were stored; one that does not read any more is
//! given up alone and stops nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction as Sql};

use super::deliveries::{count, pending, short};
use super::history::{json, parsed};
use super::{Error, Store};
use crate::model::{Outgoing, Time};

/// Claims of one receiver at a time.
pub const IN_FLIGHT_MAX: usize = 4;
/// Waiting rows of one receiver; what comes beyond is given up at once.
pub const PENDING_MAX: u64 = 10_000;
/// Finished rows are kept so long, for people who ask what was sent.
const FINISHED_FOR: Duration = Duration::from_secs(86_400);
const FINISHED_MAX: i64 = 5_000;

/// An outgoing that is to be sent now, and by nobody else until the lease
/// ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// What to send.
    pub outgoing: Outgoing,
    /// This attempt's number, from 1. A crashed attempt counts.
    pub attempt: u32,
    /// Wall time of the commit that stored it.
    pub created_at: Time,
    /// Until when it must be recorded.
    pub lease_until: Time,
}

impl Store {
    /// Claims what is due at `now`, oldest first, at most [`IN_FLIGHT_MAX`]
    /// for a receiver; leases end `lease` later. Each is to be recorded as
    /// delivered, failed or given up.
    pub fn due(&mut self, now: Time, lease: Duration) -> Result<Vec<Claimed>, Error> {
        // An idle look costs no write.
        let heads = self.read(heads)?;
        let due = due(&heads, now);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|sql| {
            let claims = due.iter().map(|seq| claim(sql, *seq, now, lease));
            claims.filter_map(Result::transpose).collect()
        })
    }

    /// When [`Store::due`] is next worth asking; `None` while nothing is
    /// pending. Not later than `now` if something is due.
    pub fn next_due(&self, now: Time) -> Result<Option<Time>, Error> {
        let heads = self.read(heads)?;
        let busy = in_flight(&heads, now);
        let is_full = |head: &Head| busy.get(head.receiver.as_str()).copied() >= Some(IN_FLIGHT_MAX);
        let wakes = heads.iter().filter_map(|head| match head.standing(now) {
            Standing::InFlight(until) => Some(until),
            _ if is_full(head) => None,
            Standing::Waiting(until) => Some(until),
            Standing::Due => Some(now),
        });
        Ok(wakes.min())
    }

    /// It was accepted. False if it was finished already.
    pub fn record_delivered(&mut self, id: &str, at: Time) -> Result<bool, Error> {
        self.write(|sql| finish(sql, id, "delivered", at, None))
    }

    /// An attempt failed at `at`; the next may be made at `next_attempt_at`.
    /// `error` is redacted text. False if it was finished already.
    pub fn record_failed(
        &mut self,
        id: &str,
        at: Time,
        next_attempt_at: Time,
        error: &str,
    ) -> Result<bool, Error> {
        self.write(|sql| {
            let error = short(error);
            let receiver = sql
                .prepare_cached(
                    "UPDATE outbox SET next_attempt_at = ?2, changed_at = ?3, last_error = ?4,
                     leased_at = NULL, lease_until = NULL
                     WHERE id = ?1 AND state = 'pending' RETURNING receiver",
                )?
                .query_row((id, next_attempt_at.0, at.0, &error), |row| row.get::<_, String>(0))
                .optional()?;
            match receiver {
                Some(receiver) => count(sql, &receiver, "failed", at, Some(&error)).map(|()| true),
                None => Ok(false),
            }
        })
    }

    /// It will not be tried again; `error` is redacted text. False if it was
    /// finished already.
    pub fn record_given_up(&mut self, id: &str, at: Time, error: &str) -> Result<bool, Error> {
        self.write(|sql| finish(sql, id, "given_up", at, Some(error)))
    }

    /// Voids every claim, as a restart does: whoever held one is gone.
    pub fn release_leases(&mut self) -> Result<usize, Error> {
        let held = "SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending' AND leased_at NOT NULL)";
        if !self.read(|sql| sql.query_row(held, (), |row| row.get(0)))? {
            return Ok(0);
        }
        self.write(|sql| {
            sql.execute(
                "UPDATE outbox SET leased_at = NULL, lease_until = NULL
                 WHERE state = 'pending' AND leased_at NOT NULL",
                (),
            )
        })
    }
}

/// Gives the ids that found no room.
pub(super) fn store(
    sql: &Sql<'_>,
    outgoings: &[(Outgoing, Time)],
    at: Time,
) -> rusqlite::Result<Vec<String>> {
    let mut refused = Vec::new();
    if outgoings.is_empty() {
        return Ok(refused);
    }
    let mut waiting = pending(sql)?;
    let mut put = sql.prepare_cached(
        "INSERT INTO outbox (id, receiver, thread, body, created_at, next_attempt_at, changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5) ON CONFLICT (id) DO NOTHING",
    )?;
    for (outgoing, from) in outgoings {
        let Outgoing { id, receiver, thread, body } = outgoing;
        if put.execute((id, receiver, thread, json(body)?, at.0, from.0))? == 0 {
            continue;
        }
        let waiting = waiting.entry(receiver.clone()).or_insert(0);
        if *waiting >= PENDING_MAX {
            finish(sql, id, "given_up", at, Some("too many were waiting for this receiver"))?;
            refused.push(id.clone());
        } else {
            *waiting += 1;
        }
    }
    Ok(refused)
}

pub(super) fn trim(sql: &Sql<'_>, history_for: Duration, now: Time) -> rusqlite::Result<usize> {
    let before = now.minus(history_for.min(FINISHED_FOR));
    let old = sql.execute("DELETE FROM outbox WHERE state <> 'pending' AND finished_at < ?1", (before.0,))?;
    let many = sql.execute(
        "DELETE FROM outbox WHERE state <> 'pending' AND seq <= (
            SELECT seq FROM outbox WHERE state <> 'pending' ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        (FINISHED_MAX,),
    )?;
    Ok(old + many)
}

/// The oldest pending row of a thread.
struct Head {
    seq: i64,
    receiver: String,
    next_attempt_at: Time,
    changed_at: Time,
    lease: Option<(Time, Time)>,
}

enum Standing {
    InFlight(Time),
    Waiting(Time),
    Due,
}

impl Head {
    fn standing(&self, now: Time) -> Standing {
        match self.lease {
            Some((from, until)) if from <= now && now < until => Standing::InFlight(until),
            _ if self.changed_at <= now && now < self.next_attempt_at => {
                Standing::Waiting(self.next_attempt_at)
            }
            _ => Standing::Due,
        }
    }
}

/// In the order they were stored.
fn heads(sql: &Connection) -> rusqlite::Result<Vec<Head>> {
    // Beside a lone min(), SQLite takes bare columns from the row it is of.
    let mut select = sql.prepare_cached(
        "SELECT min(seq) AS head, receiver, next_attempt_at, changed_at, leased_at, lease_until
         FROM outbox WHERE state = 'pending' GROUP BY receiver, thread ORDER BY head",
    )?;
    let head = |row: &Row<'_>| {
        let lease = row.get::<_, Option<i64>>(4)?.zip(row.get::<_, Option<i64>>(5)?);
        Ok(Head {
            seq: row.get(0)?,
            receiver: row.get(1)?,
            next_attempt_at: Time(row.get(2)?),
            changed_at: Time(row.get(3)?),
            lease: lease.map(|(from, until)| (Time(from), Time(until))),
        })
    };
    select.query_map((), head)?.collect()
}

fn in_flight(heads: &[Head], now: Time) -> BTreeMap<&str, usize> {
    let mut busy = BTreeMap::new();
    for head in heads {
        if matches!(head.standing(now), Standing::InFlight(_)) {
            *busy.entry(head.receiver.as_str()).or_insert(0) += 1;
        }
    }
    busy
}

fn due(heads: &[Head], now: Time) -> Vec<i64> {
    let mut busy = in_flight(heads, now);
    let mut due = Vec::new();
    for head in heads {
        let claims = busy.entry(&head.receiver).or_insert(0);
        if *claims < IN_FLIGHT_MAX && matches!(head.standing(now), Standing::Due) {
            *claims += 1;
            due.push(head.seq);
        }
    }
    due
}

fn claim(sql: &Sql<'_>, seq: i64, now: Time, lease: Duration) -> rusqlite::Result<Option<Claimed>> {
    let lease_until = now.plus(lease);
    let mut update = sql.prepare_cached(
        "UPDATE outbox SET attempts = attempts + 1, leased_at = ?2, lease_until = ?3
         WHERE seq = ?1 AND state = 'pending'
         RETURNING id, receiver, thread, body, attempts, created_at",
    )?;
    let (id, read) = update.query_row((seq, now.0, lease_until.0), |row| {
        let id: String = row.get(0)?;
        let body = parsed(row, 3);
        let (receiver, thread) = (row.get(1)?, row.get(2)?);
        let (attempt, created_at) = (row.get(4)?, Time(row.get(5)?));
        let claimed = |body| Claimed {
            outgoing: Outgoing { id: id.clone(), receiver, thread, body },
            attempt,
            created_at,
            lease_until,
        };
        let read = body.map(claimed);
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

fn finish(sql: &Sql<'_>, id: &str, state: &str, at: Time, error: Option<&str>) -> rusqlite::Result<bool> {
    let error = error.map(short);
    let receiver = sql
        .prepare_cached(
            "UPDATE outbox SET state = ?2, finished_at = ?3, last_error = coalesce(?4, last_error),
             leased_at = NULL, lease_until = NULL
             WHERE id = ?1 AND state = 'pending' RETURNING receiver",
        )?
        .query_row((id, state, at.0, &error), |row| row.get::<_, String>(0))
        .optional()?;
    match receiver {
        Some(receiver) => count(sql, &receiver, state, at, error.as_deref()).map(|()| true),
        None => Ok(false),
    }
}
