//! The state file: what a restart finds.

mod disk;
mod horizon;
mod killed;
mod late;
mod opening;
mod outbox;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tocsin::model::{
    Cursor, Incident, Outgoing, OutgoingBody, SavedRow, Severity, Time, Transition, TransitionState,
};
use tocsin::store::{self, Commit, Error, Store};

const LEASE: Duration = Duration::from_secs(30);
const KINDS: &[&str] = &["rule", "series"];

fn at(secs: i64) -> Time {
    Time::from_secs(1_770_000_000 + secs)
}

fn row(kind: &'static str, key: &str, value: Option<&str>) -> SavedRow {
    SavedRow { kind, key: key.to_owned(), value: value.map(str::to_owned) }
}

fn cursor(source: &str, position: &str) -> (String, Cursor) {
    (source.to_owned(), Cursor(position.to_owned()))
}

fn incident(number: u64, ended_at: Option<Time>) -> Incident {
    Incident {
        number,
        alert: "ExchangeAuthFailing".to_owned(),
        severity: Severity::Critical,
        labels: BTreeMap::from([("method".to_owned(), "private/get \"x\"\n".to_owned())]),
        started_at: at(number as i64),
        ended_at,
        end_reason: ended_at.map(|_| "cleared".to_owned()),
        value: 0.25,
        inhibited_by: None,
        annotations: BTreeMap::from([("summary".to_owned(), "3 in a row ü".to_owned())]),
    }
}

fn transition(incident: u64, state: TransitionState, value: f64) -> Transition {
    Transition {
        at: at(incident as i64),
        alert: "ExchangeAuthFailing".to_owned(),
        state,
        severity: Severity::Warning,
        labels: BTreeMap::new(),
        value,
        inhibited_by: Some("BackendCrashLooping".to_owned()),
        summary: "…".to_owned(),
        incident,
        reason: "condition".to_owned(),
    }
}

fn outgoing(id: &str, receiver: &str, thread: &str) -> (Outgoing, Time) {
    let body = OutgoingBody::Http {
        content_type: "application/json".to_owned(),
        headers: vec![("Idempotency-Key".to_owned(), id.to_owned())],
        body: format!("{{\"id\":\"{id}\"}}"),
    };
    let (id, receiver, thread) = (id.to_owned(), receiver.to_owned(), thread.to_owned());
    (Outgoing { id, receiver, thread, body, end: None }, at(0))
}

fn put(store: &mut Store, outgoings: &[(Outgoing, Time)]) {
    store.commit(Commit { outgoings, at: at(0), ..Commit::default() }).unwrap();
}

fn claim(store: &mut Store, now: Time) -> Vec<String> {
    store.due(now, LEASE).unwrap().into_iter().map(|claimed| claimed.outgoing.id).collect()
}

/// A state with something in every table, closed again.
fn filled(dir: &Path) -> PathBuf {
    let mut store = Store::open(dir).unwrap();
    let saved: Vec<SavedRow> =
        (0..500).map(|n| row("series", &format!("key {n}"), Some("[1,2,3,4,5,6,7,8]"))).collect();
    let commit = Commit {
        saved: &saved,
        cursors: &[cursor("a", "1")],
        incidents: &[incident(1, None)],
        transitions: &[transition(1, TransitionState::Firing, 3.0)],
        outgoings: &[outgoing("n1", "ops", "t")],
        at: at(0),
    };
    store.commit(commit).unwrap();
    dir.join("state.db")
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert!(store.is_new() && store.is_durable());
    let (key, instance) = (store.digest_key(), store.instance().to_owned());
    let incidents = [incident(1, Some(at(9))), incident(2, None)];
    let transitions = [
        transition(1, TransitionState::Firing, 3.0),
        transition(2, TransitionState::Firing, 0.5),
        transition(1, TransitionState::Resolved, f64::INFINITY),
    ];
    let first = Commit {
        saved: &[row("series", "a", Some("1")), row("rule", "r", Some("{}")), row("old", "o", Some("0"))],
        cursors: &[cursor("journal", "s=1"), cursor("docker", "x")],
        incidents: &incidents,
        transitions: &transitions,
        outgoings: &[outgoing("n1", "ops", "t1")],
        at: at(3),
    };
    store.commit(first).unwrap();
    let second = Commit {
        saved: &[row("series", "a", Some("2")), row("rule", "r", None), row("rule", "s", Some("[]"))],
        cursors: &[cursor("journal", "s=2")],
        at: at(4),
        ..Commit::default()
    };
    store.commit(second).unwrap();
    drop(store);

    let mut store = Store::open(dir.path()).unwrap();
    assert!(!store.is_new());
    assert_eq!((store.digest_key(), store.instance()), (key, instance.as_str()));
    let loaded = store.load(KINDS).unwrap();
    assert_eq!(loaded.saved, [row("rule", "s", Some("[]")), row("series", "a", Some("2"))]);
    assert_eq!(loaded.unknown_kinds, BTreeMap::from([("old".to_owned(), 1)]));
    assert_eq!(loaded.cursors, BTreeMap::from([cursor("docker", "x"), cursor("journal", "s=2")]));
    assert_eq!((loaded.last_incident, loaded.committed_at), (2, Some(at(4))));
    assert_eq!(loaded.open, incidents[1..]);
    assert_eq!(loaded.outbox[0].pending, 1);
    assert_eq!(store.past(10, None).unwrap(), incidents[..1]);
    assert_eq!(store.past(10, Some(1)).unwrap(), []);
    assert_eq!(store.transitions(1).unwrap(), [transitions[0].clone(), transitions[2].clone()]);
    let due = store.due(at(5), LEASE).unwrap();
    assert_eq!(due[0].outgoing, outgoing("n1", "ops", "t1").0);
    assert_eq!((due[0].attempt, due[0].created_at), (1, at(3)));
}

#[test]
fn two_states_have_different_keys_and_names() {
    let (one, other) = (Store::memory().unwrap(), Store::memory().unwrap());
    assert_ne!(one.digest_key(), other.digest_key());
    assert_ne!(one.instance(), other.instance());
    let same = Store::memory_as(one.identity().clone()).unwrap();
    assert_eq!((same.digest_key(), same.instance()), (one.digest_key(), one.instance()));
    assert!(!same.is_durable());
    assert!(!format!("{:?}", one.identity()).contains("digest_key"));
}

#[test]
fn a_value_that_is_no_number_does_not_fail_the_commit() {
    let mut store = Store::memory().unwrap();
    let incidents = [Incident { value: f64::NAN, ..incident(1, None) }];
    store.commit(Commit { incidents: &incidents, ..Commit::default() }).unwrap();
    assert!(store.open_incidents().unwrap()[0].value.is_nan());
}

#[test]
fn pruning_keeps_what_burns_what_waits_and_the_newest_number() {
    let mut store = Store::memory().unwrap();
    let incidents =
        [incident(1, None), incident(2, Some(at(5))), incident(3, Some(at(500))), incident(4, Some(at(6)))];
    let transitions: Vec<Transition> =
        (1..=4).map(|number| transition(number, TransitionState::Firing, 1.0)).collect();
    let commit = Commit {
        incidents: &incidents,
        transitions: &transitions,
        outgoings: &[outgoing("1", "ops", "t")],
        ..Commit::default()
    };
    store.commit(commit).unwrap();
    assert_eq!(store.prune(Duration::from_secs(100), at(550)).unwrap(), 2);
    let left: Vec<u64> = store.past(10, None).unwrap().iter().map(|past| past.number).collect();
    assert_eq!(left, [4, 3]);
    assert_eq!(store.open_incidents().unwrap().len(), 1);
    assert_eq!(store.transitions(2).unwrap(), []);
    assert_eq!(store.transitions(1).unwrap().len(), 1);
    assert_eq!(store.pending_by_receiver().unwrap()["ops"], 1);
    assert_eq!(store.load(KINDS).unwrap().last_incident, 4);
}

#[test]
fn an_inspection_counts_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path());
    let found = store::inspect(&path).unwrap();
    assert_eq!(found.rows["saved"], 500);
    assert_eq!((found.open_incidents, found.outbox_pending), (1, 1));
    assert!(found.bytes > 20_000);
    let store = Store::open(dir.path()).unwrap();
    let same = store.integrity().unwrap();
    assert_eq!((same.rows, same.faults), (found.rows, found.faults));
    assert!(store.state_bytes().unwrap() > 20_000);
    assert!(matches!(store::inspect(&dir.path().join("none.db")), Err(Error::Absent { .. })));
}

#[test]
fn a_checkpointer_moves_the_log_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let beside = store.checkpointer().unwrap();
    store.commit(Commit { cursors: &[cursor("a", "1")], ..Commit::default() }).unwrap();
    let log = beside.run().unwrap();
    assert!(log.pages > 0 && log.moved == log.pages, "{log:?}");
    assert!(Store::memory().unwrap().checkpointer().is_none());
}

#[test]
fn what_pruning_frees_is_given_back_to_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let beside = store.checkpointer().unwrap();
    let long = |number| Incident {
        annotations: BTreeMap::from([("description".to_owned(), "x".repeat(2_000))]),
        ..incident(number, Some(at(5)))
    };
    let incidents: Vec<Incident> = (1..=5_000).map(long).collect();
    store.commit(Commit { incidents: &incidents, ..Commit::default() }).unwrap();
    beside.run().unwrap();
    let file = || std::fs::metadata(dir.path().join("state.db")).unwrap().len();
    let before = file();
    assert!(before > 10_000_000, "{before}");
    // Bit by bit: each step is a write that a commit waits for.
    for _ in 0..5 {
        store.prune(Duration::from_secs(1), at(1_000)).unwrap();
        beside.run().unwrap();
    }
    assert!(file() < 2_000_000, "{} of {before}", file());
    assert!(store.integrity().unwrap().is_sound());
}

#[test]
fn damage_that_the_writer_does_not_see_is_found_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path());
    let mut store = Store::open(dir.path()).unwrap();
    let beside = store.checkpointer().unwrap();
    beside.check().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 2..file.metadata().unwrap().len() / 4096 {
        std::os::unix::fs::FileExt::write_at(&file, &[0xa5; 512], page * 4096).unwrap();
    }
    let found = beside.check();
    assert!(matches!(found, Err(Error::Damaged { .. })), "{found:?}");
    let damaged = std::fs::read(&path).unwrap();
    store.commit(Commit { cursors: &[cursor("a", "2")], ..Commit::default() }).unwrap();
    beside.run().unwrap();
    assert!(std::fs::read(&path).unwrap() == damaged, "its log was moved into it");
}

#[test]
fn a_state_that_was_removed_is_made_anew_only_where_nothing_stands() {
    for with_folder in [true, false] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        std::fs::create_dir(&dir).unwrap();
        filled(&dir);
        let mut store = Store::open(&dir).unwrap();
        let memory = store.to_memory().unwrap();
        store.remake().unwrap();
        store.commit(Commit::default()).unwrap();
        if with_folder {
            std::fs::remove_dir_all(&dir).unwrap();
            assert!(matches!(store.remake(), Err(Error::Missing { .. })));
            std::fs::create_dir(&dir).unwrap();
        } else {
            std::fs::remove_file(dir.join("state.db")).unwrap();
            assert!(matches!(store.remake(), Err(Error::Gone { .. })), "its log is there yet");
            std::fs::remove_file(dir.join("state.db-wal")).unwrap();
        }
        store.remake().unwrap();
        store.take_over(&memory).unwrap();
        assert!(matches!(Store::open(&dir), Err(Error::InUse { .. })), "the lock is held");
        let (key, rows) = (memory.digest_key(), memory.load(KINDS).unwrap().saved);
        drop(store);
        let again = Store::open(&dir).unwrap();
        assert_eq!((again.digest_key(), again.load(KINDS).unwrap().saved), (key, rows));
        assert!(again.integrity().unwrap().is_sound());
    }
}

#[test]
fn going_on_in_memory_and_back_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(claim(&mut store, at(0)), ["n1"]);
    store.record_failed("n1", at(0), at(10), "HTTP 503").unwrap();
    let mut memory = store.to_memory().unwrap();
    assert_eq!(memory.load(KINDS).unwrap().saved, store.load(KINDS).unwrap().saved);
    assert_eq!(claim(&mut memory, at(10)), ["n1"]);
    assert!(memory.record_delivered("n1", at(10)).unwrap());
    let commit = Commit {
        saved: &[row("series", "key 1", None)],
        cursors: &[cursor("a", "2")],
        transitions: &[transition(1, TransitionState::Resolved, 3.0)],
        incidents: &[incident(1, Some(at(11)))],
        outgoings: &[outgoing("n2", "ops", "t")],
        at: at(11),
    };
    memory.commit(commit).unwrap();
    store.take_over(&memory).unwrap();
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    let loaded = store.load(KINDS).unwrap();
    assert_eq!((loaded.saved.len(), loaded.cursors["a"].0.as_str()), (499, "2"));
    assert_eq!(store.past(9, None).unwrap(), [incident(1, Some(at(11)))]);
    assert_eq!(store.transitions(1).unwrap(), memory.transitions(1).unwrap());
    assert_eq!(loaded.outbox[0].outcomes["delivered"], 1);
    assert_eq!(claim(&mut store, at(12)), ["n2"]);
    assert!(store.integrity().unwrap().is_sound());
}
