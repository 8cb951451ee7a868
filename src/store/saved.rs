//! The engine's memory and the sources' cursors, as the engine gave them.
//!
//! Must not look into a value. A kind that the caller does not name is left
//! in the file and counted: a newer or older engine may know it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction as Sql};

use super::history;
use super::{Error, Store};
use crate::model::{Cursor, Incident, OutboxView, SavedRow, Time};

/// What a restart begins with.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Rows of the kinds asked for, by kind and key.
    pub saved: Vec<SavedRow>,
    /// Kinds found that were not asked for, with their number of rows.
    pub unknown_kinds: BTreeMap<String, u64>,
    /// Source name to where it resumes.
    pub cursors: BTreeMap<String, Cursor>,
    /// Incidents without an end, oldest first.
    pub open: Vec<Incident>,
    /// The highest number that any incident had; 0 before the first.
    pub last_incident: u64,
    /// Wall time of the last commit that moved a cursor.
    pub committed_at: Option<Time>,
    /// What waits and what was delivered, by receiver.
    pub outbox: Vec<OutboxView>,
}

impl Store {
    /// Everything that a restart begins with; `kinds` are the kinds of saved
    /// rows that the engine knows.
    pub fn load(&self, kinds: &[&'static str]) -> Result<Loaded, Error> {
        let outbox = self.outbox_views()?;
        self.read(|sql| {
            let (saved, unknown_kinds) = load_rows(sql, kinds)?;
            Ok(Loaded {
                saved,
                unknown_kinds,
                cursors: load_cursors(sql)?,
                open: history::open(sql)?,
                last_incident: history::last_number(sql)?,
                committed_at: sql
                    .query_row("SELECT max(at) FROM cursors", (), |row| row.get(0))
                    .map(|at: Option<i64>| at.map(Time))?,
                outbox,
            })
        })
    }
}

pub(super) fn store(sql: &Sql<'_>, rows: &[SavedRow]) -> rusqlite::Result<()> {
    let mut put = sql.prepare_cached(
        "INSERT INTO saved (kind, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
    )?;
    let mut remove = sql.prepare_cached("DELETE FROM saved WHERE kind = ?1 AND key = ?2")?;
    for row in rows {
        match &row.value {
            Some(value) => put.execute((row.kind, &row.key, value))?,
            None => remove.execute((row.kind, &row.key))?,
        };
    }
    Ok(())
}

pub(super) fn store_cursors(sql: &Sql<'_>, cursors: &[(String, Cursor)], at: Time) -> rusqlite::Result<()> {
    let mut put = sql.prepare_cached(
        "INSERT INTO cursors (source, cursor, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor, at = excluded.at",
    )?;
    for (source, Cursor(cursor)) in cursors {
        put.execute((source, cursor, at.0))?;
    }
    Ok(())
}

fn load_rows(
    sql: &Connection,
    kinds: &[&'static str],
) -> rusqlite::Result<(Vec<SavedRow>, BTreeMap<String, u64>)> {
    let mut saved = Vec::new();
    let mut unknown = BTreeMap::new();
    let mut found = sql.prepare("SELECT kind, count(*) FROM saved GROUP BY kind ORDER BY kind")?;
    let mut select = sql.prepare("SELECT key, value FROM saved WHERE kind = ?1 ORDER BY key")?;
    let found = found.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    for kind in found {
        let (kind, count) = kind?;
        let Some(kind) = kinds.iter().find(|known| **known == kind) else {
            unknown.insert(kind, u64::try_from(count).unwrap_or(0));
            continue;
        };
        let rows = select
            .query_map((kind,), |row| Ok(SavedRow { kind, key: row.get(0)?, value: Some(row.get(1)?) }))?;
        for row in rows {
            saved.push(row?);
        }
    }
    Ok((saved, unknown))
}

fn load_cursors(sql: &Connection) -> rusqlite::Result<BTreeMap<String, Cursor>> {
    let mut select = sql.prepare("SELECT source, cursor FROM cursors")?;
    let rows = select.query_map((), |row| Ok((row.get(0)?, Cursor(row.get(1)?))))?;
    rows.collect()
}
