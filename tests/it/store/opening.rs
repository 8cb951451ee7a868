//! Which states are opened, which are refused, and that a refused one is left
//! as it is.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use tocsin::store::{self, Commit, Error, Store};

use super::killed::Spawned;
use super::{at, claim, cursor, filled, outgoing, put};

fn open_error(dir: &Path) -> Error {
    match Store::open(dir) {
        Ok(_) => panic!("the state was opened"),
        Err(error) => error,
    }
}

#[test]
fn nobody_else_can_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let _store = Store::open(dir.path()).unwrap();
    for name in ["state.db", "state.db-wal", "state.db-shm", "state.lock"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_opening_is_refused_and_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages {
        file.write_at(&[0xa5; 512], page * 4096).unwrap();
    }
    let before = fs::read(&path).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("set it aside"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!store::inspect(dir.path()).unwrap().is_sound());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_file_with_a_log_keeps_both() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Spawned::new(dir.path());
    child.wait_for(20);
    child.kill();
    let (path, log) = (dir.path().join("state.db"), dir.path().join("state.db-wal"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
    // The second page of the file, which the log does not hold.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 1..file.metadata().unwrap().len() / 4096 {
        file.write_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let before = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    let error = open_error(dir.path());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!((fs::read(&path).unwrap(), fs::read(&log).unwrap()) == before);
}

#[test]
fn an_emptied_or_zeroed_file_is_damage_and_not_a_fresh_start() {
    for remains in [Vec::new(), vec![0; 8192]] {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        fs::write(&path, &remains).unwrap();
        let error = open_error(dir.path());
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), remains);
    }
}

#[test]
fn a_log_without_its_file_is_damage_and_not_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Spawned::new(dir.path());
    child.wait_for(5);
    child.kill();
    fs::remove_file(dir.path().join("state.db")).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(!dir.path().join("state.db").exists());
    assert!(dir.path().join("state.db-wal").exists());
}

#[test]
fn an_unfinished_first_start_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state.db.new"), b"half").unwrap();
    assert!(Store::open(dir.path()).unwrap().is_new());
    assert!(!dir.path().join("state.db.new").exists());
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("state.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    database.close().unwrap();
    let text = tempfile::tempdir().unwrap();
    fs::write(text.path().join("state.db"), "notes\n".repeat(100)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("state.db")).unwrap();
    for dir in [&other, &text, &folder] {
        let before = fs::read(dir.path().join("state.db")).ok();
        let error = open_error(dir.path());
        assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
        assert!(error.to_string().contains("state file that is not ours"), "{error}");
        assert!(matches!(store::inspect(dir.path()), Err(Error::NotOurs { .. })));
        assert_eq!(fs::read(dir.path().join("state.db")).ok(), before);
    }
}

#[test]
fn a_state_of_an_older_version_is_brought_up_with_all_that_waits() {
    let to_second = "DROP INDEX outbox_pending;
        CREATE INDEX outbox_pending ON outbox (receiver, thread, seq) WHERE state = 'pending';
        PRAGMA user_version = 2;";
    let to_first = "ALTER TABLE outbox DROP COLUMN ends; ALTER TABLE outbox DROP COLUMN past_body;
        DROP TABLE threads; ALTER TABLE deliveries DROP COLUMN held_at;
        ALTER TABLE deliveries DROP COLUMN held_until; PRAGMA user_version = 1;";
    for back in [to_second.to_owned(), format!("{to_second}{to_first}")] {
        let dir = tempfile::tempdir().unwrap();
        let database = rusqlite::Connection::open(filled(dir.path())).unwrap();
        database.execute_batch(&back).unwrap();
        database.close().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        assert_eq!(claim(&mut store, at(0)), ["n1"]);
        put(&mut store, &[outgoing("n2", "ops", "t")]);
        assert!(store.record_delivered("n1", at(0)).unwrap());
        assert_eq!(claim(&mut store, at(0)), ["n2"], "what comes later stands behind it");
        drop(store);
        assert!(store::inspect(dir.path()).unwrap().is_sound());
    }
}

#[test]
fn a_state_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    database.close().unwrap();
    let before = fs::read(&path).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, Error::Newer { found: 99, known: 3, .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!store::inspect(&path).unwrap().is_sound());
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = open_error(&dir.path().join("none"));
    assert!(matches!(missing, Error::Missing { .. }), "{missing:?}");
    assert!(missing.to_string().contains("create it"), "{missing}");
    // Nothing can be made there, not even by root.
    for place in [file.as_path(), Path::new("/proc/self"), &file.join("below")] {
        let error = open_error(place);
        assert!(matches!(error, Error::NotWritable { .. }), "{place:?}: {error:?}");
    }
}

#[test]
fn a_state_that_was_removed_or_replaced_takes_no_more_commits() {
    for name in ["state.db", "state.db-wal"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let commit = Commit { cursors: &[cursor("a", "1")], ..Commit::default() };
        store.commit(commit).unwrap();
        let path = dir.path().join(name);
        fs::rename(&path, dir.path().join("away")).unwrap();
        assert!(matches!(store.commit(commit), Err(Error::Gone { .. })), "{name}");
        fs::copy(dir.path().join("away"), &path).unwrap();
        assert!(matches!(store.commit(commit), Err(Error::Gone { .. })), "{name}");
        fs::rename(dir.path().join("away"), &path).unwrap();
        store.commit(commit).unwrap();
    }
}
