//! How deliveries keep their order, and how they are counted.

use std::collections::BTreeMap;
use std::time::Duration;

use tocsin::model::OutgoingBody;
use tocsin::store::{self, Commit, Store};

use super::{LEASE, at, claim, outgoing, put};

#[test]
fn within_a_thread_the_next_waits_until_the_one_before_is_finished() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("2", "ops", "t"), outgoing("3", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["1"]);
    assert_eq!(claim(&mut store, at(1)), [""; 0]);
    assert!(store.record_failed("1", at(1), at(60), "HTTP 503").unwrap());
    assert_eq!(claim(&mut store, at(59)), [""; 0]);
    assert_eq!(store.next_due(at(59)).unwrap(), Some(at(60)));
    assert_eq!(claim(&mut store, at(60)), ["1"]);
    assert!(store.record_given_up("1", at(61), "HTTP 410").unwrap());
    assert_eq!(claim(&mut store, at(61)), ["2"]);
    assert!(store.record_delivered("2", at(62)).unwrap());
    assert_eq!(claim(&mut store, at(62)), ["3"]);
    assert!(store.record_delivered("3", at(62)).unwrap());
    assert_eq!(store.next_due(at(62)).unwrap(), None);
}

#[test]
fn other_threads_and_receivers_never_wait_for_one_that_fails() {
    let mut store = Store::memory().unwrap();
    let outgoings = [
        outgoing("1", "ops", "t"),
        outgoing("2", "ops", "t"),
        outgoing("3", "ops", "u"),
        outgoing("4", "mail", "t"),
    ];
    put(&mut store, &outgoings);
    assert_eq!(claim(&mut store, at(0)), ["1", "3", "4"]);
    store.record_failed("1", at(0), at(600), "no route").unwrap();
    store.record_delivered("3", at(0)).unwrap();
    put(&mut store, &[outgoing("5", "ops", "v"), outgoing("6", "ops", "u")]);
    assert_eq!(claim(&mut store, at(1)), ["5", "6"]);
}

#[test]
fn one_receiver_is_sent_a_few_at_a_time_and_hinders_no_other() {
    let mut store = Store::memory().unwrap();
    let mut outgoings: Vec<_> =
        (0..40).map(|n| outgoing(&format!("{n:02}"), "slow", &format!("{n}"))).collect();
    outgoings.push(outgoing("quick", "other", "t"));
    put(&mut store, &outgoings);
    assert_eq!(claim(&mut store, at(0)), ["00", "01", "02", "03", "quick"]);
    assert_eq!(claim(&mut store, at(0)), [""; 0]);
    store.record_delivered("quick", at(0)).unwrap();
    assert_eq!(store.next_due(at(0)).unwrap(), Some(at(0).plus(LEASE)), "no reason to look before");
    store.record_delivered("01", at(0)).unwrap();
    assert_eq!(store.next_due(at(0)).unwrap(), Some(at(0)));
    assert_eq!(claim(&mut store, at(0)), ["04"]);
}

#[test]
fn a_claim_that_nobody_records_is_made_again_when_its_lease_ends() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("1", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["1"]);
    assert_eq!(store.next_due(at(1)).unwrap(), Some(at(0).plus(LEASE)));
    assert_eq!(claim(&mut store, at(29)), [""; 0]);
    let again = store.due(at(30), LEASE).unwrap();
    assert_eq!((again[0].outgoing.id.as_str(), again[0].attempt), ("1", 2));
}

#[test]
fn a_restart_voids_the_claims_of_the_process_that_died() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[outgoing("1", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["1"]);
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(claim(&mut store, at(1)), ["1"]);
}

#[test]
fn a_clock_that_steps_back_does_not_prolong_waits_or_leases() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("2", "ops", "u")]);
    assert_eq!(claim(&mut store, at(7200)), ["1", "2"]);
    store.record_failed("1", at(7200), at(7230), "timeout").unwrap();
    assert_eq!(claim(&mut store, at(3600)), ["1", "2"]);
}

#[test]
fn outcomes_are_counted_once_and_survive_their_rows_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("2", "ops", "u"), outgoing("3", "mail", "t")]);
    claim(&mut store, at(0));
    store.record_failed("1", at(0), at(0), "HTTP 500\nbody").unwrap();
    store.record_failed("1", at(0), at(0), &"x".repeat(5000)).unwrap();
    assert!(store.record_delivered("1", at(1)).unwrap());
    assert!(!store.record_delivered("1", at(2)).unwrap());
    assert!(!store.record_failed("1", at(2), at(3), "late").unwrap());
    assert!(!store.record_given_up("unknown", at(2), "late").unwrap());
    store.record_given_up("2", at(2), "HTTP 410").unwrap();
    // A known id is the same notification, finished or not.
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("3", "mail", "t")]);
    assert_eq!(store.pending_by_receiver().unwrap(), BTreeMap::from([("mail".to_owned(), 1)]));
    assert_eq!(store.prune(Duration::from_secs(60), at(1000)).unwrap(), 2);
    drop(store);
    let views = Store::open(dir.path()).unwrap().outbox_views().unwrap();
    assert_eq!((views[0].receiver.as_str(), views[0].pending), ("mail", 1));
    assert_eq!((views[1].receiver.as_str(), views[1].pending), ("ops", 0));
    let counts: Vec<u64> = views[1].outcomes.values().copied().collect();
    assert_eq!(counts, [1, 2, 1], "delivered, failed, given_up");
    assert_eq!(views[1].last_error.as_deref(), Some("HTTP 410"));
    assert!(views[0].outcomes.values().all(|count| *count == 0));
}

#[test]
fn a_receiver_that_is_away_for_ever_does_not_fill_the_state() {
    let mut store = Store::memory().unwrap();
    let many: Vec<_> = (0..store::PENDING_MAX + 2).map(|n| outgoing(&format!("{n}"), "away", "t")).collect();
    let commit = Commit { outgoings: &many, at: at(0), ..Commit::default() };
    let refused = store.commit(commit).unwrap().refused;
    assert_eq!(refused, ["10000", "10001"]);
    let views = store.outbox_views().unwrap();
    assert_eq!((views[0].pending, views[0].outcomes["given_up"]), (store::PENDING_MAX, 2));
    put(&mut store, &[outgoing("other", "here", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["0", "other"]);
}

#[test]
fn large_notices_to_a_receiver_that_is_away_do_not_fill_the_state_either() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let wide = "x".repeat(1 << 20);
    let large = |n: u64, receiver: &str| {
        let (mut one, from) = outgoing(&format!("{receiver}-{n}"), receiver, &n.to_string());
        if let OutgoingBody::Http { body, .. } = &mut one.body {
            body.push_str(&wide);
        }
        (one, from)
    };
    for round in 0..8 {
        let many: Vec<_> = (0..10).map(|n| large(10 * round + n, "away")).collect();
        store.commit(Commit { outgoings: &many, at: at(0), ..Commit::default() }).unwrap();
    }
    let view = |store: &Store| store.outbox_views().unwrap()[0].clone();
    assert_eq!((view(&store).pending, view(&store).outcomes["given_up"]), (63, 17));
    // What is finished is let go of as well, the oldest first.
    for n in 0..63 {
        assert!(store.record_delivered(&format!("away-{n}"), at(1)).unwrap());
    }
    assert!(store.prune(Duration::from_secs(3_600), at(2)).unwrap() >= 16);
    assert_eq!(view(&store).outcomes["delivered"], 63, "what was counted stays counted");
    put(&mut store, &[large(100, "away")]);
    assert_eq!(view(&store).pending, 1, "there is room again");
}

#[test]
fn a_stored_body_that_does_not_read_any_more_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("2", "ops", "t"), outgoing("3", "mail", "t")]);
    drop(store);
    let database = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    database.execute("UPDATE outbox SET body = '{\"Pigeon\":{}}' WHERE id = '1'", ()).unwrap();
    database.close().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(claim(&mut store, at(0)), ["3"]);
    assert_eq!(store.next_due(at(0)).unwrap(), Some(at(0)));
    assert_eq!(claim(&mut store, at(0)), ["2"]);
    assert_eq!(store.outbox_views().unwrap()[1].outcomes["given_up"], 1);
}
