//! Incidents and the changes of state that made them.
//!
//! Decides nothing; an incident is replaced by number, a transition appended.
//! Bounded in time by the caller and in number by [`ROWS_MAX`]: pruning never
//! takes an incident that still burns, nor the newest number, so that numbers
//! are not given twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction as Sql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Store, horizon};
use crate::model::{Incident, Severity, Time, Transition, TransitionState};

/// Ended incidents, and transitions, kept at most; the oldest go first.
const ROWS_MAX: i64 = 20_000;

const INCIDENT: &str = "number, alert, severity, labels, started_at, ended_at, reason, value, \
                        annotations, inhibited_by";

impl Store {
    /// Incidents without an end, oldest first.
    pub fn open_incidents(&self) -> Result<Vec<Incident>, Error> {
        self.read(open)
    }

    /// Ended incidents, newest first, at most `limit`; with `before` only
    /// those of a lower number (the last of the page before).
    pub fn past(&self, limit: usize, before: Option<u64>) -> Result<Vec<Incident>, Error> {
        self.read(|sql| {
            let mut select = sql.prepare_cached(&format!(
                "SELECT {INCIDENT} FROM incidents WHERE ended_at IS NOT NULL AND number < ?1
                 ORDER BY number DESC LIMIT ?2"
            ))?;
            let before = before.map_or(i64::MAX, integer);
            select.query_map((before, integer(limit as u64)), incident)?.collect()
        })
    }

    /// The incident of that number.
    pub fn incident(&self, number: u64) -> Result<Option<Incident>, Error> {
        self.read(|sql| {
            let select = format!("SELECT {INCIDENT} FROM incidents WHERE number = ?1");
            sql.query_row(&select, (integer(number),), incident).optional()
        })
    }

    /// The changes of one incident's state, in order.
    pub fn transitions(&self, number: u64) -> Result<Vec<Transition>, Error> {
        self.read(|sql| {
            let mut select = sql.prepare_cached(
                "SELECT at, alert, state, severity, labels, value, inhibited_by, summary, incident,
                 reason FROM transitions WHERE incident = ?1 ORDER BY seq",
            )?;
            select.query_map((integer(number),), transition)?.collect()
        })
    }

    /// Forgets what ended more than `history_for` before `now`, and what is
    /// over the limits in number; what that leaves empty in the file is given
    /// back to the disk bit by bit. Gives the number of rows that went. A
    /// `now` far ahead of the last is believed only step by step.
    pub fn prune(&mut self, history_for: Duration, now: Time) -> Result<usize, Error> {
        self.write(|sql| {
            let now = horizon::believed(sql, history_for, now)?;
            let gone = prune(sql, now.minus(history_for))? + super::outbox::trim(sql, history_for, now)?;
            super::upkeep::shrink(sql)?;
            Ok(gone)
        })
    }
}

pub(super) fn store_incidents(sql: &Sql<'_>, incidents: &[Incident]) -> rusqlite::Result<()> {
    let mut put = sql.prepare_cached(&format!(
        "INSERT OR REPLACE INTO incidents ({INCIDENT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    ))?;
    for incident in incidents {
        put.execute((
            integer(incident.number),
            &incident.alert,
            incident.severity.as_str(),
            json(&incident.labels)?,
            incident.started_at.0,
            incident.ended_at.map(|at| at.0),
            &incident.end_reason,
            incident.value,
            json(&incident.annotations)?,
            &incident.inhibited_by,
        ))?;
    }
    Ok(())
}

pub(super) fn append(sql: &Sql<'_>, transitions: &[Transition]) -> rusqlite::Result<()> {
    let mut put = sql.prepare_cached(
        "INSERT INTO transitions (at, alert, state, severity, labels, value, inhibited_by, summary,
         incident, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for transition in transitions {
        put.execute((
            transition.at.0,
            &transition.alert,
            state_name(transition.state),
            transition.severity.as_str(),
            json(&transition.labels)?,
            transition.value,
            &transition.inhibited_by,
            &transition.summary,
            integer(transition.incident),
            &transition.reason,
        ))?;
    }
    Ok(())
}

pub(super) fn open(sql: &Connection) -> rusqlite::Result<Vec<Incident>> {
    let mut select = sql.prepare_cached(&format!(
        "SELECT {INCIDENT} FROM incidents WHERE ended_at IS NULL ORDER BY number"
    ))?;
    select.query_map((), incident)?.collect()
}

pub(super) fn last_number(sql: &Connection) -> rusqlite::Result<u64> {
    let last: Option<i64> = sql.query_row("SELECT max(number) FROM incidents", (), |row| row.get(0))?;
    Ok(last.map_or(0, |number| u64::try_from(number).unwrap_or(0)))
}

fn prune(sql: &Sql<'_>, before: Time) -> rusqlite::Result<usize> {
    let old = sql.execute(
        "DELETE FROM incidents WHERE ended_at < ?1 AND number < (SELECT max(number) FROM incidents)",
        (before.0,),
    )?;
    let many = sql.execute(
        "DELETE FROM incidents WHERE ended_at IS NOT NULL AND number <= (
            SELECT number FROM incidents WHERE ended_at IS NOT NULL
            ORDER BY number DESC LIMIT 1 OFFSET ?1)",
        (ROWS_MAX,),
    )?;
    let told = sql.execute(
        "DELETE FROM transitions WHERE at < ?1 AND incident NOT IN (SELECT number FROM incidents)",
        (before.0,),
    )?;
    let telling = sql.execute(
        "DELETE FROM transitions WHERE seq <= (
            SELECT seq FROM transitions ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        (ROWS_MAX,),
    )?;
    Ok(old + many + told + telling)
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    Ok(Incident {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        alert: row.get(1)?,
        severity: severity(row, 2)?,
        labels: parsed::<BTreeMap<_, _>>(row, 3)?,
        started_at: Time(row.get(4)?),
        ended_at: row.get::<_, Option<i64>>(5)?.map(Time),
        end_reason: row.get(6)?,
        value: row.get::<_, Option<f64>>(7)?.unwrap_or(f64::NAN),
        annotations: parsed(row, 8)?,
        inhibited_by: row.get(9)?,
    })
}

fn transition(row: &Row<'_>) -> rusqlite::Result<Transition> {
    Ok(Transition {
        at: Time(row.get(0)?),
        alert: row.get(1)?,
        state: state(row, 2)?,
        severity: severity(row, 3)?,
        labels: parsed(row, 4)?,
        value: row.get::<_, Option<f64>>(5)?.unwrap_or(f64::NAN),
        inhibited_by: row.get(6)?,
        summary: row.get(7)?,
        incident: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
        reason: row.get(9)?,
    })
}

fn severity(row: &Row<'_>, column: usize) -> rusqlite::Result<Severity> {
    let name: String = row.get(column)?;
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    all.into_iter().find(|known| known.as_str() == name).ok_or_else(|| unreadable(column, "severity"))
}

fn state_name(state: TransitionState) -> &'static str {
    match state {
        TransitionState::Pending => "pending",
        TransitionState::Firing => "firing",
        TransitionState::Resolved => "resolved",
    }
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<TransitionState> {
    let name: String = row.get(column)?;
    let all = [TransitionState::Pending, TransitionState::Firing, TransitionState::Resolved];
    all.into_iter().find(|known| state_name(*known) == name).ok_or_else(|| unreadable(column, "state"))
}

fn unreadable(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("unknown {what}").into())
}

/// A count as SQLite keeps it.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}
