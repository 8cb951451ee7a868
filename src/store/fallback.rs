//! Going on in memory while the file takes no commits, and back again.
//!
//! A disk that is full can still be read: [`Store::to_memory`] takes along
//! all that was committed, outbox and claims included, and the daemon commits
//! there and says that it is not durable. Once the file takes writes again,
//! [`Store::take_over`] puts the whole of it back in one transaction. Failure
//! story: a crash in between leaves the file at its last commit, cursors
//! included, so the lines since then are read again; what was told meanwhile
//! is told again, with the same ids.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::inspect::TABLES;
use super::{Error, Store, horizon};

impl Store {
    /// A store in memory with the same identity and everything that is in
    /// this one.
    pub fn to_memory(&self) -> Result<Store, Error> {
        let mut memory = Store::memory_as(self.identity.clone())?;
        memory.take_over(self)?;
        Ok(memory)
    }

    /// Replaces everything in this store by what is in `other`, in one
    /// transaction. The identity stays.
    pub fn take_over(&mut self, other: &Store) -> Result<(), Error> {
        self.write(|sql| {
            horizon::take_over(sql, &other.connection)?;
            TABLES.iter().try_for_each(|table| replace(&other.connection, sql, table))
        })
    }
}

fn replace(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<()> {
    to.execute(&format!("DELETE FROM {table}"), ())?;
    let mut select = from.prepare(&format!("SELECT * FROM {table}"))?;
    let width = select.column_count();
    let marks = vec!["?"; width].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} VALUES ({marks})"))?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let values = (0..width).map(|column| row.get::<_, Value>(column));
        insert.execute(params_from_iter(values.collect::<rusqlite::Result<Vec<_>>>()?))?;
    }
    Ok(())
}
