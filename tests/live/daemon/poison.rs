//! A line that kills the process, and a panic beside the main loop: what the
//! one before noted is what the next one goes by.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::hook::Hook;
use super::kit::{Setup, until};
use super::pack::{found, request_text};
use super::trouble::{append, setup, terminate};

const POISON: &str = "a line that no process survives";
const REFUSED: &str = "crypto_exchange_http_responses_total{status=\"401\"}";
const SKIPPED: &str = "tocsin_lines_skipped_total{source=\"crypto-proxy\"}";

/// Faults are built into debug builds only.
fn with_fault(fault: String) -> impl Fn(&mut Command) {
    move |command| {
        command.env("TOCSIN_FAULT", &fault);
    }
}

/// Starts it until one of them lives, and gives the number of deaths.
#[track_caller]
fn deaths(setup: &Setup, fault: impl Fn(&mut Command)) -> usize {
    for deaths in 0..9 {
        let mut daemon = setup.start_with(&fault);
        let mut ended = None;
        until("the end or the whole backlog", || {
            ended = daemon.has_ended();
            ended.is_some() || daemon.said().contains("watches crypto-proxy")
        });
        match ended {
            Some(status) => assert_eq!(status.signal(), Some(libc::SIGABRT), "{}", daemon.said()),
            None => {
                assert_eq!(terminate(daemon).code(), Some(0));
                return deaths;
            }
        }
    }
    panic!("it dies for ever:\n{}", setup.said());
}

#[test]
fn a_line_that_kills_the_process_again_and_again_is_skipped_counted_and_told() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build has no faults to ask for");
        return;
    }
    for fault in ["abort-at", "panic-at"] {
        let hook = Hook::new();
        let setup = setup(&hook.receiver("hook", ""));
        let fault = with_fault(format!("{fault} {POISON}"));
        let daemon = setup.start_with(&fault);
        daemon.until_live();
        append(&setup, &request_text(false).repeat(2));
        daemon.until_metric(REFUSED, 2.0);
        let before = daemon.metric("tocsin_source_lines_total{source=\"crypto-proxy\"}").unwrap();
        append(&setup, &(request_text(false) + &format!("INFO: {POISON}\n") + &request_text(false)));
        assert_eq!(daemon.end().signal(), Some(libc::SIGABRT));
        let more = deaths(&setup, &fault);
        eprintln!("died {} times before the line was skipped", more + 1);
        assert_eq!(more, 5, "once to know that lines kill, then as often as no chance is");
        let daemon = setup.start_with(&fault);
        daemon.until_live();
        daemon.until_metric(REFUSED, 4.0);
        daemon.until_metric(SKIPPED, 1.0);
        daemon.until_metric("tocsin_log_gaps_total{source=\"crypto-proxy\"}", 1.0);
        let lines = 2 * request_text(false).lines().count();
        daemon.until_metric("tocsin_source_lines_total{source=\"crypto-proxy\"}", before + lines as f64);
        hook.until("LogGap firing");
        hook.until("ExchangeAuthFailing firing");
        assert!(setup.said().contains("one was skipped"), "{}", setup.said());
        append(&setup, &request_text(false));
        daemon.until_metric(REFUSED, 5.0);
        assert_eq!(terminate(daemon).code(), Some(0));
        assert_eq!(found(&setup.written(), &[POISON.to_owned()]), [""; 0], "it stands somewhere");
    }
}

#[test]
fn a_panic_in_a_delivery_ends_the_process_and_the_next_one_tells() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build has no faults to ask for");
        return;
    }
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let daemon = setup.start_with(with_fault("panic-in-delivery".to_owned()));
    daemon.until_live();
    append(&setup, &request_text(false).repeat(3));
    assert_eq!(daemon.end().signal(), Some(libc::SIGABRT));
    assert!(setup.said().contains("panic at src/daemon/fault.rs"), "{}", setup.said());
    let daemon = setup.start_live();
    hook.until("ExchangeAuthFailing firing");
    daemon.until_metric(REFUSED, 3.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}
