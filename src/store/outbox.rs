//! What is still to be told, and how the telling went.
//!
//! Order is kept within a thread of a receiver: only its oldest pending row
//! can be due. Nothing else waits for anything: not another thread, not
//! another receiver. The one exception: a receiver that asks for time
//! (`Retry-After`) is sent nothing at all until it is over.
//!
//! What is late is told as what it is. When a thread's end is decided while
//! what was told before it still waits, for [`LATE_AFTER`] or longer, then to
//! people the end alone is sent, in its wording for who knows nothing yet, and
//! the rest becomes `superseded`: nobody is paged at night for what was over
//! hours ago. Programs (webhooks) get every row in order; an attempt of one
//! whose end waits behind it is marked. If the beginning was given up, the end
//! is sent all the same, in that wording. Which wording it is, is settled at
//! the end's first attempt and stays.
//!
//! Failure story of a delivery, claim → send → record:
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

use rusqlite::{OptionalExtension, Row, Transaction as Sql};

use super::claims::{self, Standing};
use super::deliveries::{count, short};
use super::history::json;
use super::{Error, Store};
use crate::model::{Outgoing, Time};

/// Claims of one receiver at a time.
pub const IN_FLIGHT_MAX: usize = 4;
/// Of what waits for so long, only the end is told to people once it is over.
pub const LATE_AFTER: Duration = Duration::from_secs(60);
/// Waiting rows of one receiver; what comes beyond is given up at once, but
/// for the ends of what it was told or will be.
pub const PENDING_MAX: u64 = 10_000;
/// And their bytes.
pub const PENDING_BYTES_MAX: u64 = 64 << 20;
/// Finished rows are kept so long, for people who ask what was sent.
const FINISHED_FOR: Duration = Duration::from_secs(86_400);
const FINISHED_MAX: i64 = 5_000;
/// And so many bytes of them, of all receivers.
const FINISHED_BYTES_MAX: i64 = 64 << 20;

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
    /// It is late, and the end of what it tells of waits behind it.
    pub is_over: bool,
    /// What is not sent any more, for this one says it all.
    pub supersedes: Vec<String>,
}

impl Store {
    /// Claims what is due at `now`: what may still burn before what is over,
    /// then oldest first, at most [`IN_FLIGHT_MAX`] for a receiver; leases end
    /// `lease` later. Each is to be recorded as delivered, failed or given up.
    pub fn due(&mut self, now: Time, lease: Duration) -> Result<Vec<Claimed>, Error> {
        // An idle look costs no write.
        let heads = self.read(claims::heads)?;
        let due = claims::due(&heads, now);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|sql| {
            let claims = due.iter().map(|head| claims::claim(sql, head, now, lease));
            claims.filter_map(Result::transpose).collect()
        })
    }

    /// When [`Store::due`] is next worth asking; `None` while nothing is
    /// pending. Not later than `now` if something is due.
    pub fn next_due(&self, now: Time) -> Result<Option<Time>, Error> {
        let heads = self.read(claims::heads)?;
        let busy = claims::in_flight(&heads, now);
        let is_full = |head: &claims::Head| busy.get(head.receiver.as_str()).copied() >= Some(IN_FLIGHT_MAX);
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

    /// The receiver asked at `at` to be left alone until `until`.
    pub fn hold_receiver(&mut self, receiver: &str, at: Time, until: Time) -> Result<(), Error> {
        self.write(|sql| {
            sql.prepare_cached(
                "INSERT INTO deliveries (receiver, held_at, held_until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (receiver) DO UPDATE SET held_at = ?2, held_until = ?3",
            )?
            .execute((receiver, at.0, until.0))
            .map(|_| ())
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
    let mut waiting = waiting(sql)?;
    let mut put = sql.prepare_cached(
        "INSERT INTO outbox (id, receiver, thread, body, created_at, next_attempt_at, changed_at, ends, past_body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7, ?8) ON CONFLICT (id) DO NOTHING",
    )?;
    for (outgoing, from) in outgoings {
        let Outgoing { id, receiver, thread, body, end } = outgoing;
        let past = end.as_ref().and_then(|end| end.past.as_ref()).map(json).transpose()?;
        let ends = end.as_ref().map_or(0, |end| 1 + i64::from(end.stands_alone));
        let body = json(body)?;
        let bytes = (body.len() + past.as_ref().map_or(0, String::len)) as u64;
        let values = (id, receiver, thread, body, at.0, from.0, ends, past);
        if put.execute(values)? == 0 {
            continue;
        }
        if end.is_none() {
            claims::begin_thread(sql, receiver, thread, at)?;
        }
        let waiting = waiting.entry(receiver.clone()).or_default();
        let is_owed = end.is_some() && claims::is_owed_an_end(sql, receiver, thread)?;
        let is_full = waiting.0 >= PENDING_MAX || waiting.1 + bytes > PENDING_BYTES_MAX;
        if is_full && !is_owed {
            finish(sql, id, "given_up", at, Some("too many were waiting for this receiver"))?;
            refused.push(id.clone());
        } else {
            *waiting = (waiting.0 + 1, waiting.1 + bytes);
        }
    }
    Ok(refused)
}

/// Rows that wait and their bytes, by receiver. Lengths are in the rows'
/// headers: no text is read for them.
fn waiting(sql: &Sql<'_>) -> rusqlite::Result<BTreeMap<String, (u64, u64)>> {
    let mut select = sql.prepare_cached(
        "SELECT receiver, count(*), sum(octet_length(body) + coalesce(octet_length(past_body), 0))
         FROM outbox WHERE state = 'pending' GROUP BY receiver",
    )?;
    let natural = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
    select.query_map((), |row| Ok((row.get(0)?, (natural(row, 1)?, natural(row, 2)?))))?.collect()
}

pub(super) fn trim(sql: &Sql<'_>, history_for: Duration, now: Time) -> rusqlite::Result<usize> {
    let before = now.minus(history_for.min(FINISHED_FOR));
    let old = sql.execute("DELETE FROM outbox WHERE state <> 'pending' AND finished_at < ?1", (before.0,))?;
    let many = sql.execute(
        "DELETE FROM outbox WHERE state <> 'pending' AND seq <= (
            SELECT seq FROM outbox WHERE state <> 'pending' ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        (FINISHED_MAX,),
    )?;
    let large = sql.execute(
        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM (
            SELECT seq, sum(octet_length(body) + coalesce(octet_length(past_body), 0))
                OVER (ORDER BY seq DESC) AS bytes
            FROM outbox WHERE state <> 'pending') WHERE bytes > ?1)",
        (FINISHED_BYTES_MAX,),
    )?;
    // Their ends never came: the receiver is no longer told.
    let ended = sql.execute(
        "DELETE FROM threads WHERE begun_at < ?1 AND NOT EXISTS (SELECT 1 FROM outbox o
         WHERE o.state = 'pending' AND o.receiver = threads.receiver AND o.thread = threads.thread)",
        (now.minus(history_for.max(FINISHED_FOR)).0,),
    )?;
    Ok(old + many + large + ended)
}

pub(super) fn finish(
    sql: &Sql<'_>,
    id: &str,
    state: &str,
    at: Time,
    error: Option<&str>,
) -> rusqlite::Result<bool> {
    let error = error.map(short);
    let finished: Option<(String, String, bool)> = sql
        .prepare_cached(
            "UPDATE outbox SET state = ?2, finished_at = ?3, last_error = coalesce(?4, last_error),
             leased_at = NULL, lease_until = NULL
             WHERE id = ?1 AND state = 'pending' RETURNING receiver, thread, ends > 0",
        )?
        .query_row((id, state, at.0, &error), |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((receiver, thread, is_end)) = finished else { return Ok(false) };
    claims::note_finished(sql, (&receiver, &thread), is_end, (state == "delivered").then_some(at))?;
    count(sql, &receiver, state, at, error.as_deref()).map(|()| true)
}
