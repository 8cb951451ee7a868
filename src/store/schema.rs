//! The shape of the state file, as the list of steps that lead to it.
//!
//! `user_version` is the number of steps taken. A step that was released is
//! never changed: a new one is added at the end. All missing steps run in one
//! transaction, so a crash leaves either the old shape or the new one.
//! `application_id` tells our files from other people's databases.

use rusqlite::{Connection, OptionalExtension};

/// `tcsn`, in the header of every state file.
pub(super) const APPLICATION_ID: i64 = 0x7463_736e;

/// The highest schema version known here.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT;

    -- The engine's memory, opaque here.
    CREATE TABLE saved (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT;

    CREATE TABLE cursors (
        source TEXT PRIMARY KEY,
        cursor TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT;

    -- Instants are nanoseconds since the epoch everywhere. A value that is no
    -- number is NULL, for SQLite has no NaN.
    CREATE TABLE incidents (
        number INTEGER PRIMARY KEY,
        alert TEXT NOT NULL,
        severity TEXT NOT NULL,
        labels TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        reason TEXT,
        value REAL,
        annotations TEXT NOT NULL,
        inhibited_by TEXT
    ) STRICT;
    CREATE INDEX incidents_open ON incidents (number) WHERE ended_at IS NULL;
    CREATE INDEX incidents_ended ON incidents (ended_at) WHERE ended_at IS NOT NULL;

    CREATE TABLE transitions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        alert TEXT NOT NULL,
        state TEXT NOT NULL,
        severity TEXT NOT NULL,
        labels TEXT NOT NULL,
        value REAL,
        inhibited_by TEXT,
        summary TEXT NOT NULL,
        incident INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX transitions_incident ON transitions (incident, seq);

    -- `changed_at` is when `next_attempt_at` was written: a clock that reads
    -- earlier has stepped back, and the wait means nothing.
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        receiver TEXT NOT NULL,
        thread TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        leased_at INTEGER,
        lease_until INTEGER,
        state TEXT NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'delivered', 'given_up')),
        last_error TEXT,
        finished_at INTEGER
    ) STRICT;
    CREATE INDEX outbox_pending ON outbox (receiver, thread, seq) WHERE state = 'pending';
    CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'pending';

    -- Attempts by outcome; outlives the rows they were made for.
    CREATE TABLE deliveries (
        receiver TEXT PRIMARY KEY,
        delivered INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        given_up INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        last_error_at INTEGER
    ) STRICT;
",
    "
    -- Ends: 0 none, 1 the end of its thread, 2 an end that stands alone.
    CREATE TABLE outbox_of_2 (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        receiver TEXT NOT NULL,
        thread TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        leased_at INTEGER,
        lease_until INTEGER,
        state TEXT NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'delivered', 'given_up', 'superseded')),
        last_error TEXT,
        finished_at INTEGER,
        ends INTEGER NOT NULL DEFAULT 0,
        past_body TEXT
    ) STRICT;
    INSERT INTO outbox_of_2 SELECT *, 0, NULL FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE outbox_of_2 RENAME TO outbox;
    CREATE INDEX outbox_pending ON outbox (receiver, thread, seq) WHERE state = 'pending';
    CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'pending';

    -- Threads whose end is still to come: what a receiver knows of them
    -- outlives the rows that told it.
    CREATE TABLE threads (
        receiver TEXT NOT NULL,
        thread TEXT NOT NULL,
        begun_at INTEGER NOT NULL,
        told_at INTEGER,
        PRIMARY KEY (receiver, thread)
    ) STRICT;

    -- A receiver that asked for time.
    ALTER TABLE deliveries ADD COLUMN held_at INTEGER;
    ALTER TABLE deliveries ADD COLUMN held_until INTEGER;
",
    "
    -- All that the heads of the threads are decided on, without the rows: their
    -- columns stand behind texts of many pages.
    DROP INDEX outbox_pending;
    CREATE INDEX outbox_pending ON outbox (
        receiver, thread, seq, next_attempt_at, changed_at, leased_at, lease_until, created_at, ends
    ) WHERE state = 'pending';
",
];

/// Brings the database to [`VERSION`]; a new one gets its identity too.
pub(super) fn migrate(connection: &mut Connection, identity: Option<&Identity>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let found = usize::try_from(version(&transaction)?).unwrap_or(usize::MAX);
    for step in MIGRATIONS.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    if found < MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    if let Some(identity) = identity {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let mut insert = transaction.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
        insert.execute(("digest_key", identity.digest_key.as_slice()))?;
        insert.execute(("instance", identity.instance.as_bytes()))?;
    }
    transaction.commit()
}

/// The number of steps that the file has seen.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", (), |row| row.get(0))
}

/// The file's application id.
pub(super) fn application_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA application_id", (), |row| row.get(0))
}

/// What makes one state itself, made once with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Key of the digests that stand for addresses and key previews.
    pub digest_key: [u8; 32],
    /// Names this state among others; part of notification ids.
    pub instance: String,
}

impl Identity {
    /// From the system's randomness.
    pub(super) fn random() -> Result<Identity, getrandom::Error> {
        let mut digest_key = [0; 32];
        let mut instance = [0; 8];
        getrandom::fill(&mut digest_key)?;
        getrandom::fill(&mut instance)?;
        let instance = instance.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Identity { digest_key, instance })
    }

    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Identity>> {
        let read = |key: &str| {
            connection
                .query_row("SELECT value FROM meta WHERE key = ?1", (key,), |row| row.get::<_, Vec<u8>>(0))
                .optional()
        };
        let (Some(digest_key), Some(instance)) = (read("digest_key")?, read("instance")?) else {
            return Ok(None);
        };
        let digest_key = <[u8; 32]>::try_from(digest_key).ok();
        let instance = String::from_utf8(instance).ok();
        Ok(digest_key.zip(instance).map(|(digest_key, instance)| Identity { digest_key, instance }))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("instance", &self.instance).finish_non_exhaustive()
    }
}
