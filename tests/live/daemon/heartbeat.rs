//! The heartbeat goes out while all is well, and only then.

use super::hook::{Answer, Hook};
use super::kit::{Daemon, until, until_or};
use super::pack::request_text;
use super::trouble::{append, setup};

const TAKEN: &str = "tocsin_heartbeat_last_success_timestamp_seconds";
const MADE: &str = "tocsin_picture_timestamp_seconds";

/// Waits until the loop has gone on for so many seconds.
fn seconds_pass(daemon: &Daemon, seconds: f64) {
    let from = daemon.metric(MADE).unwrap();
    until("the picture's time", || daemon.metric(MADE).unwrap() > from + seconds);
}

#[test]
fn the_heartbeat_is_posted_while_all_is_well_and_held_back_while_a_notice_waits() {
    let (dead_man, receiver) = (Hook::new(), Hook::new());
    let beat = format!(
        "[heartbeat]\nurl = \"{}\"\nbody = \"tocsin is well\"\ninterval = \"1s\"\nstuck_after = \"2s\"\n",
        dead_man.url()
    );
    let setup = setup(&(receiver.receiver("hook", "") + &beat));
    let daemon = setup.start_live();
    until("three heartbeats", || dead_man.seen().len() >= 3);
    assert!(dead_man.seen().iter().all(|beat| beat.body == "tocsin is well"));
    until("the metric", || daemon.metric(TAKEN).is_some());

    receiver.set(Answer::Status(503));
    append(&setup, &request_text(false).repeat(3));
    let oldest = "tocsin_outbox_oldest_timestamp_seconds{receiver=\"hook\"}";
    until("a notice that waits", || daemon.metric(oldest).is_some());
    let committed = daemon.metric("tocsin_last_commit_timestamp_seconds").unwrap();
    assert!(committed <= daemon.metric(MADE).unwrap());
    until("the complaint", || {
        daemon.get("/api/v1/status").unwrap().1.contains("notifications have been waiting")
    });
    // One may have been under way.
    seconds_pass(&daemon, 1.0);
    let (before, taken) = (dead_man.seen().len(), daemon.metric(TAKEN));
    seconds_pass(&daemon, 6.0);
    assert_eq!((dead_man.seen().len(), daemon.metric(TAKEN)), (before, taken));

    receiver.set(Answer::Status(200));
    receiver.until("ExchangeAuthFailing firing");
    until_or(|| daemon.said(), &mut || dead_man.seen().len() > before + 1);
    until("the outbox to be empty", || daemon.metric(oldest).is_none());
}

#[test]
fn a_heartbeat_that_is_refused_is_said_and_tried_again() {
    let dead_man = Hook::new();
    dead_man.set(Answer::Status(404));
    let setup = setup(&format!("[heartbeat]\nurl = \"{}\"\ninterval = \"1s\"\n", dead_man.url()));
    let daemon = setup.start_live();
    daemon.until_said("the heartbeat was not taken: HTTP 404");
    assert_eq!(daemon.metric(TAKEN), None);
    assert!(dead_man.seen().iter().all(|beat| beat.body.is_empty()));
    dead_man.set(Answer::Status(200));
    until("the metric", || daemon.metric(TAKEN).is_some());
}
