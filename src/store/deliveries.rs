//! How the telling went, receiver by receiver: what waits, and the attempts by
//! outcome since the state began.
//!
//! The counts outlive the outbox's rows, for counters never go down; each is
//! moved in the transaction that records the attempt.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Transaction as Sql};

use super::{Error, Store};
use crate::model::{OutboxView, Time};

const ERROR_CHARS_MAX: usize = 500;

impl Store {
    /// Rows that wait, by receiver; a receiver without any is absent.
    pub fn pending_by_receiver(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.read(pending)
    }

    /// Every receiver that anything was stored for, by name: what waits,
    /// attempts by outcome since the state began, the last error.
    pub fn outbox_views(&self) -> Result<Vec<OutboxView>, Error> {
        self.read(|sql| {
            let mut views = BTreeMap::new();
            let mut select = sql
                .prepare_cached("SELECT receiver, delivered, failed, given_up, last_error FROM deliveries")?;
            for view in select.query_map((), view)? {
                let view = view?;
                views.insert(view.receiver.clone(), view);
            }
            for (receiver, pending) in pending(sql)? {
                views.entry(receiver).or_insert_with_key(|name| untried(name)).pending = pending;
            }
            for (receiver, oldest_at) in oldest(sql)? {
                views.entry(receiver).or_insert_with_key(|name| untried(name)).oldest_at = Some(oldest_at);
            }
            Ok(views.into_values().collect())
        })
    }
}

/// `outcome` is a column of the table, never a text from outside.
pub(super) fn count(
    sql: &Sql<'_>,
    receiver: &str,
    outcome: &str,
    at: Time,
    error: Option<&str>,
) -> rusqlite::Result<()> {
    let mut add = sql.prepare_cached(&format!(
        "INSERT INTO deliveries (receiver, {outcome}, last_error, last_error_at)
         VALUES (?1, 1, ?2, iif(?2 IS NULL, NULL, ?3))
         ON CONFLICT (receiver) DO UPDATE SET {outcome} = {outcome} + 1,
             last_error = coalesce(excluded.last_error, last_error),
             last_error_at = coalesce(excluded.last_error_at, last_error_at)"
    ))?;
    add.execute((receiver, error, at.0)).map(|_| ())
}

/// When the oldest that waits was decided, by receiver.
fn oldest(sql: &Connection) -> rusqlite::Result<BTreeMap<String, Time>> {
    let mut select = sql.prepare_cached(
        "SELECT receiver, min(created_at) FROM outbox WHERE state = 'pending' GROUP BY receiver",
    )?;
    select.query_map((), |row| Ok((row.get(0)?, Time(row.get(1)?))))?.collect()
}

fn pending(sql: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut select = sql
        .prepare_cached("SELECT receiver, count(*) FROM outbox WHERE state = 'pending' GROUP BY receiver")?;
    select.query_map((), |row| Ok((row.get(0)?, natural(row, 1)?)))?.collect()
}

fn view(row: &Row<'_>) -> rusqlite::Result<OutboxView> {
    let mut view = untried(&row.get::<_, String>(0)?);
    for (column, outcome) in ["delivered", "failed", "given_up"].into_iter().enumerate() {
        view.outcomes.insert(outcome.to_owned(), natural(row, column + 1)?);
    }
    view.last_error = row.get(4)?;
    Ok(view)
}

fn untried(receiver: &str) -> OutboxView {
    let outcomes = ["delivered", "failed", "given_up"].map(|outcome| (outcome.to_owned(), 0));
    OutboxView { receiver: receiver.to_owned(), outcomes: outcomes.into(), ..OutboxView::default() }
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

pub(super) fn short(error: &str) -> String {
    let line = error.chars().take(ERROR_CHARS_MAX);
    line.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
