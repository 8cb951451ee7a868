//! A disk that refuses for long, and memory that refuses with it, step by
//! step over the simulated ledger.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tocsin::clock::Now;
use tocsin::daemon::fallback::{Fallback, Stores};
use tocsin::daemon::intake::Intake;
use tocsin::daemon::ledger::Ledger;
use tocsin::daemon::monitor::Monitor;
use tocsin::daemon::pending::Pending;
use tocsin::daemon::picture::Picture;
use tocsin::engine::Engine;
use tocsin::model::{Cursor, Outgoing, OutgoingBody, Snapshot, Time};
use tocsin::store::Commit;
use tokio::sync::{mpsc, watch};

use super::ledger::{Faults, SimLedger};
use super::{identity, plan};

fn now(millis: u64) -> Now {
    let at = Time(0).plus(Duration::from_millis(millis));
    Now { wall: at, monotonic: at }
}

fn state() -> (SimLedger, Rc<Faults>, Fallback<SimLedger>) {
    let faults = Rc::new(Faults::default());
    let ledger = SimLedger::new(None, faults.clone());
    let state = Fallback::new(Stores { store: ledger.clone(), disk: None });
    (ledger, faults, state)
}

fn counted(key: &str, position: &str) -> Pending {
    let mut pending = Pending::default();
    pending.rows.insert(("series", key.to_owned()), Some("1".to_owned()));
    pending.cursors.insert("app".to_owned(), Cursor(position.to_owned()));
    pending
}

fn keys(ledger: &SimLedger) -> Vec<String> {
    ledger.disk.borrow().rows.keys().map(|(_, key)| key.clone()).collect()
}

#[test]
fn what_neither_disk_nor_memory_takes_is_in_the_commit_that_comes_after() {
    let (ledger, faults, mut state) = state();
    faults.refuses_writes.set(true);
    faults.refuses_memory.set(true);
    state.commit(counted("first", "1"), now(0));
    assert!(!state.is_durable() && keys(&ledger).is_empty());
    faults.refuses_writes.set(false);
    state.commit(counted("second", "2"), now(2_000));
    assert_eq!(keys(&ledger), ["first", "second"]);
    assert!(state.is_durable(), "{:?}", state.trouble());
}

#[test]
fn what_memory_refuses_later_is_on_the_disk_once_it_takes_writes_again() {
    for is_readable in [true, false] {
        let (ledger, faults, mut state) = state();
        faults.refuses_writes.set(true);
        faults.refuses_reads.set(!is_readable);
        state.commit(counted("first", "1"), now(0));
        faults.refuses_memory.set(true);
        state.commit(counted("second", "2"), now(200));
        faults.refuses_writes.set(false);
        assert!(state.try_disk(now(60_000)), "{:?}", state.trouble());
        assert_eq!(keys(&ledger), ["first", "second"]);
        assert_eq!(ledger.disk.borrow().cursors["app"], Cursor("2".to_owned()));
    }
}

#[test]
fn a_disk_that_stays_full_is_tried_ever_more_rarely() {
    let (_, faults, mut state) = state();
    faults.refuses_writes.set(true);
    state.commit(counted("first", "1"), now(0));
    faults.asked.set(0);
    for second in 0..600 {
        state.try_disk(now(second * 1_000));
    }
    let asked = faults.asked.get();
    assert!((5..=15).contains(&asked), "tried {asked} times in ten minutes");
    faults.refuses_writes.set(false);
    assert!(state.try_disk(now(700_000)));
}

#[test]
fn what_is_to_be_removed_from_a_disk_that_cannot_be_read_has_an_end() {
    let mut unsaved = counted("first", "1");
    for number in 0..300_000 {
        let mut later = Pending::default();
        later.rows.insert(("window", format!("{number:06}")), None);
        if number < 100 {
            later.rows.insert(("incident", number.to_string()), None);
        }
        unsaved.add(later);
    }
    assert!(unsaved.rows.len() < 80_000, "{} rows are kept", unsaved.rows.len());
    let of = |kind: &str| unsaved.rows.keys().filter(|(k, _)| *k == kind).count();
    assert_eq!((of("series"), of("incident")), (1, 100), "windows' pieces go first");
}

#[test]
fn an_outbox_that_cannot_be_used_is_asked_once_a_second() {
    let (mut ledger, faults, _) = state();
    let (content_type, headers, body) = ("text/plain".to_owned(), Vec::new(), "burns".to_owned());
    let outgoing = Outgoing {
        id: "1".to_owned(),
        receiver: "hook".to_owned(),
        thread: "t".to_owned(),
        body: OutgoingBody::Http { content_type, headers, body },
        end: None,
    };
    let commit = Commit { outgoings: &[(outgoing, Time(0))], ..Commit::default() };
    ledger.commit(commit).unwrap();
    let engine = Engine::new(plan(false), &identity().instance, [7; 32]);
    let picture = (watch::channel(Arc::new(Snapshot::default())).0, Picture::new(Time(0)));
    let (_senders, lanes) =
        engine.plan().sources.iter().map(|_| mpsc::channel(1)).unzip::<_, _, Vec<_>, Vec<_>>();
    let intake = Intake::new(lanes, Time(0));
    let stores = Stores { store: ledger, disk: None };
    let mut monitor = Monitor::new(engine, intake, stores, picture, (now(0), None));
    faults.refuses_claims.set(true);
    let (mut at, mut rounds) = (0, 0);
    while at < 20_000 {
        monitor.turn(now(at));
        let wake = monitor.next_wake(now(at)).map_or(60_000, |wake| wake.since(Time(0)).as_millis() as u64);
        rounds += 1;
        assert!(rounds < 200, "the loop turns without a pause");
        at = at.max(wake);
    }
    faults.refuses_claims.set(false);
    assert_eq!(monitor.turn(now(at + 1_000)).len(), 1);
}
