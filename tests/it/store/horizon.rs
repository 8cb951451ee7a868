//! What a wall clock that stands wrong for a while does to the history.

use super::*;

const HISTORY: Duration = Duration::from_secs(90 * 86_400);

fn left(store: &Store) -> (usize, u64) {
    let past = store.past(10, None).unwrap().len();
    (past, store.integrity().unwrap().rows["threads"])
}

#[test]
fn a_clock_that_stands_years_ahead_for_an_hour_costs_no_history() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let incidents = [1, 2, 3].map(|number| incident(number, Some(at(number as i64 * 86_400))));
    store.commit(Commit { incidents: &incidents, ..Commit::default() }).unwrap();
    put(&mut store, &[outgoing("1", "ops", "t")]);
    claim(&mut store, at(0));
    store.record_delivered("1", at(1)).unwrap();
    store.prune(HISTORY, at(4 * 86_400)).unwrap();
    assert_eq!(left(&store), (3, 1));
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    let ahead = at(4 * 86_400 + 10 * 365 * 86_400);
    for _ in 0..30 {
        store.prune(HISTORY, ahead).unwrap();
    }
    // A full disk takes nothing away from it.
    let mut memory = store.to_memory().unwrap();
    for _ in 0..30 {
        memory.prune(HISTORY, ahead).unwrap();
    }
    store.take_over(&memory).unwrap();
    assert_eq!(left(&store), (3, 1));
    // Set right, time goes on; what is old goes, the newest number stays.
    for _ in 0..1_000 {
        store.prune(HISTORY, at(200 * 86_400)).unwrap();
    }
    assert_eq!(left(&store), (1, 0));
}
