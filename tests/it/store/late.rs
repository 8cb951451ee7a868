//! What is told to a receiver that was away while something began and ended.

use std::time::Duration;

use tocsin::model::{End, Outgoing, OutgoingBody, Time};
use tocsin::store::{Claimed, LATE_AFTER, Store};

use super::{LEASE, at, claim, outgoing, put};

const LATE: i64 = LATE_AFTER.as_secs() as i64;

/// The end of a thread; `stands_alone` as people are told.
fn end(id: &str, receiver: &str, thread: &str, stands_alone: bool) -> (Outgoing, Time) {
    let (mut end, from) = outgoing(id, receiver, thread);
    end.end = Some(End { past: Some(words("past")), stands_alone });
    end.body = words("ended");
    (end, from)
}

fn words(text: &str) -> OutgoingBody {
    OutgoingBody::Http { content_type: "text/plain".to_owned(), headers: Vec::new(), body: text.to_owned() }
}

fn said(claimed: &Claimed) -> &str {
    match &claimed.outgoing.body {
        OutgoingBody::Http { body, .. } => body,
        OutgoingBody::Mail { .. } => panic!(),
    }
}

/// The one that is due.
#[track_caller]
fn one(store: &mut Store, now: Time) -> Claimed {
    let mut due = store.due(now, LEASE).unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    due.remove(0)
}

fn away(end: (Outgoing, Time)) -> Store {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("fire", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["fire"]);
    store.record_failed("fire", at(1), at(LATE + 5), "HTTP 503").unwrap();
    put(&mut store, &[outgoing("update", "ops", "t"), end]);
    store
}

#[test]
fn people_who_were_away_for_all_of_it_are_told_once_that_it_is_over() {
    let mut store = away(end("end", "ops", "t", true));
    assert_eq!(claim(&mut store, at(LATE + 4)), [""; 0], "the receiver's wait holds for its end too");
    let told = one(&mut store, at(LATE + 5));
    assert_eq!((told.outgoing.id.as_str(), said(&told)), ("end", "past"));
    assert_eq!(told.supersedes, ["fire", "update"]);
    // A late answer to an attempt of before changes nothing.
    assert!(!store.record_delivered("fire", at(LATE + 6)).unwrap());
    store.record_failed("end", at(LATE + 6), at(LATE + 7), "HTTP 503").unwrap();
    let again = one(&mut store, at(LATE + 7));
    assert_eq!((again.attempt, said(&again)), (2, "past"), "settled once");
    store.record_delivered("end", at(LATE + 8)).unwrap();
    assert_eq!(store.next_due(at(LATE + 8)).unwrap(), None);
    let outcomes = &store.outbox_views().unwrap()[0].outcomes;
    assert_eq!((outcomes["delivered"], outcomes["given_up"]), (1, 0));
}

#[test]
fn a_program_is_told_all_of_it_in_order_and_each_is_marked() {
    let mut store = away(end("end", "ops", "t", false));
    for id in ["fire", "update"] {
        let told = one(&mut store, at(LATE + 5));
        assert_eq!((told.outgoing.id.as_str(), told.is_over), (id, true));
        store.record_delivered(id, at(LATE + 5)).unwrap();
    }
    let told = one(&mut store, at(LATE + 6));
    assert_eq!((told.outgoing.id.as_str(), said(&told), told.is_over), ("end", "past", false));
}

#[test]
fn a_hiccup_of_a_receiver_is_no_absence() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("fire", "ops", "t"), end("end", "ops", "t", true)]);
    assert_eq!(claim(&mut store, at(0)), ["fire"]);
    store.record_failed("fire", at(1), at(2), "HTTP 503").unwrap();
    let told = one(&mut store, at(LATE - 1));
    assert_eq!((told.outgoing.id.as_str(), told.is_over), ("fire", false));
    store.record_delivered("fire", at(LATE - 1)).unwrap();
    assert_eq!(said(&one(&mut store, at(LATE - 1))), "ended");
}

#[test]
fn who_was_told_in_time_is_told_of_the_end_as_ever_and_not_of_what_came_between() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("fire", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["fire"]);
    store.record_delivered("fire", at(1)).unwrap();
    put(&mut store, &[outgoing("escalation", "ops", "t"), end("end", "ops", "t", true)]);
    let told = one(&mut store, at(LATE));
    assert_eq!((told.outgoing.id.as_str(), said(&told)), ("end", "ended"));
    assert_eq!(told.supersedes, ["escalation"]);
}

#[test]
fn the_end_of_what_was_given_up_is_told_as_past() {
    for stands_alone in [true, false] {
        let mut store = Store::memory().unwrap();
        put(&mut store, &[outgoing("fire", "ops", "t")]);
        assert_eq!(claim(&mut store, at(0)), ["fire"]);
        store.record_given_up("fire", at(1), "HTTP 400").unwrap();
        put(&mut store, &[end("end", "ops", "t", stands_alone)]);
        let told = one(&mut store, at(2));
        assert_eq!((told.outgoing.id.as_str(), said(&told)), ("end", "past"));
    }
}

#[test]
fn an_end_does_not_pass_a_beginning_that_is_under_way() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("fire", "ops", "t")]);
    let lease = Duration::from_secs(3 * LATE as u64);
    assert_eq!(store.due(at(0), lease).unwrap().len(), 1);
    put(&mut store, &[end("end", "ops", "t", true)]);
    assert_eq!(claim(&mut store, at(2 * LATE)), [""; 0]);
    store.record_delivered("fire", at(2 * LATE)).unwrap();
    assert_eq!(said(&one(&mut store, at(2 * LATE))), "past", "it came late, and after its end was known");
}

#[test]
fn what_was_told_is_known_though_its_row_is_long_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[outgoing("fire", "ops", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["fire"]);
    store.record_delivered("fire", at(1)).unwrap();
    assert_eq!(store.prune(Duration::from_secs(90 * 86_400), at(5 * 86_400)).unwrap(), 1);
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    put(&mut store, &[end("end", "ops", "t", true)]);
    assert_eq!(said(&one(&mut store, at(5 * 86_400))), "ended");
}

#[test]
fn what_may_still_burn_is_sent_before_what_is_over() {
    let mut store = Store::memory().unwrap();
    for thread in ["a", "b", "c", "d", "e"] {
        put(&mut store, &[outgoing(&format!("{thread} fires"), "ops", thread)]);
        put(&mut store, &[end(&format!("{thread} ends"), "ops", thread, true)]);
    }
    put(&mut store, &[outgoing("it burns", "ops", "f")]);
    assert_eq!(claim(&mut store, at(LATE)), ["it burns", "a ends", "b ends", "c ends"]);
}

#[test]
fn a_receiver_that_asks_for_time_is_sent_nothing_until_then() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("1", "ops", "t"), outgoing("2", "mail", "t")]);
    assert_eq!(claim(&mut store, at(0)), ["1", "2"]);
    store.record_failed("1", at(0), at(1), "HTTP 429").unwrap();
    store.record_delivered("2", at(0)).unwrap();
    store.hold_receiver("ops", at(0), at(90)).unwrap();
    put(&mut store, &[outgoing("3", "ops", "u"), outgoing("4", "mail", "u")]);
    assert_eq!(claim(&mut store, at(89)), ["4"], "another receiver waits for nobody");
    store.record_delivered("4", at(89)).unwrap();
    assert_eq!(store.next_due(at(89)).unwrap(), Some(at(90)));
    assert_eq!(claim(&mut store, at(90)), ["1", "3"]);
    // Seen from a clock that has stepped back, the wait means nothing.
    put(&mut store, &[outgoing("5", "ops", "v")]);
    store.hold_receiver("ops", at(7_000), at(7_090)).unwrap();
    assert_eq!(claim(&mut store, at(91)), ["5"]);
}

#[test]
fn an_end_finds_room_where_its_beginning_did() {
    let mut store = Store::memory().unwrap();
    put(&mut store, &[outgoing("fire", "ops", "told")]);
    assert_eq!(claim(&mut store, at(0)), ["fire"]);
    store.record_delivered("fire", at(0)).unwrap();
    let many: Vec<_> = (0..tocsin::store::PENDING_MAX + 1)
        .map(|n| outgoing(&format!("{n}"), "ops", &format!("{n}")))
        .collect();
    put(&mut store, &many);
    let ends = [
        end("end of told", "ops", "told", true),
        end("end of 7", "ops", "7", true),
        end("end of what was refused", "ops", "10000", true),
    ];
    let commit = tocsin::store::Commit { outgoings: &ends, at: at(1), ..Default::default() };
    assert_eq!(store.commit(commit).unwrap().refused, ["end of what was refused"]);
}
