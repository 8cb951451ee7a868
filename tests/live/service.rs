//! The shipped unit under a real systemd: ready, watchdog, reload, stop, crash.

mod machine;
mod thread;

use crate::daemon::hook::Answer;
use crate::daemon::kit::{until, until_or};
use crate::daemon::pack::request_text;
use machine::Machine;
use thread::HeldThread;

const STREAK: &str = "crypto_exchange_auth_failure_streak{method=\"private/user-balance\"}";
const REFUSED: &str = "crypto_exchange_http_responses_total{status=\"401\"}";
const FIRING: &str = "tocsin_alert_firing{alert=\"ExchangeAuthFailing\",severity=\"critical\"}";

#[test]
fn systemd_starts_the_shipped_unit_when_it_watches_and_stops_it_in_good_order() {
    let Some(machine) = Machine::boot("") else { return };
    machine.log(&request_text(false).repeat(2));
    until("the lines in the journal", || {
        let lines = machine.journal(&["_SYSTEMD_UNIT=crypto-proxy.service"]);
        lines
            .iter()
            .filter(|line| line["MESSAGE"].as_str().is_some_and(|m| m.contains("REQUEST END")))
            .count()
            == 2
    });
    // `start` comes back with READY=1.
    machine.must(&["start", "tocsin"]);
    let (_, picture) = machine.get("/metrics").expect("the window is open once it is ready");
    assert!(picture.contains("tocsin_source_up{source=\"crypto-proxy\"} 1"), "{picture}");
    // That systemd's journal, as a user of its own.
    machine.until_metric(STREAK, 2.0);
    let process = machine.main_process();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert!(!field("Uid:").split_whitespace().any(|uid| uid == "0"), "{status}");
    assert!(field("Groups:").split_whitespace().any(|group| group == "190"), "{status}");
    assert_eq!(field("CapEff:").trim(), "0000000000000000");
    assert_eq!(field("Seccomp:").trim(), "2");
    // Its own log has priorities: what it watches is a notice, that it tells nobody a warning.
    let priority = |what: &str| {
        let entries = machine.journal(&["_SYSTEMD_UNIT=tocsin.service"]);
        let entry = entries.iter().find(|e| e["MESSAGE"].as_str().is_some_and(|m| m.contains(what)));
        entry.map(|e| e["PRIORITY"].as_str().unwrap_or("none").to_owned())
    };
    until("its own log", || priority("nobody is told").is_some());
    assert_eq!(priority("watches crypto-proxy, backend").as_deref(), Some("5"));
    assert_eq!(priority("nobody is told").as_deref(), Some("4"));
    assert!(machine.show("StatusText").starts_with("watches crypto-proxy, backend"));

    machine.must(&["stop", "tocsin"]);
    assert_eq!(machine.show("Result"), "success");
    assert_eq!(machine.show("ExecMainStatus"), "0");
    assert_eq!(machine.show("NRestarts"), "0");
    assert!(machine.said().contains("the state is committed"), "{}", machine.said());
    assert_eq!((machine.processes(), machine.zombies()), (vec![], vec![]));
    // What it knew is there at the next start, and one more makes three.
    machine.must(&["start", "tocsin"]);
    machine.until_metric(STREAK, 2.0);
    machine.log(&request_text(false));
    machine.until_metric(FIRING, 1.0);
    machine.until_metric(REFUSED, 3.0);
}

/// Two refusals are known; then whatever `harm` does, systemd starts it again,
/// it knows the same, and the third refusal fires.
fn comes_back_as_it_was(machine: &Machine, restarts: &str, harm: impl FnOnce(i32)) {
    machine.until_metric(STREAK, 2.0);
    let before = machine.knowledge();
    let process = machine.main_process();
    harm(process);
    machine.until_show("NRestarts", restarts);
    machine.until_show("ActiveState", "active");
    assert_ne!(machine.main_process(), process);
    until_or(|| format!("{before:#?}\nbut there is {:#?}", machine.knowledge()), &mut || {
        machine.knowledge() == before
    });
    assert_eq!(machine.zombies(), Vec::<String>::new());
}

#[test]
fn a_stuck_main_loop_is_killed_by_the_watchdog_and_goes_on_where_it_was() {
    let Some(machine) = Machine::boot("WatchdogSec=2\nRestartSec=100ms") else { return };
    machine.must(&["start", "tocsin"]);
    machine.log(&request_text(false).repeat(2));
    comes_back_as_it_was(&machine, "1", |process| {
        // The main loop runs on the first thread; the window and delivery on
        // others, which go on: only the watchdog can tell.
        let mut held = HeldThread::hold(process);
        assert_eq!(machine.get("/-/healthy").map(|answer| answer.0), Some(200), "only one thread is held");
        until_or(|| format!("its end by the watchdog: {}", machine.said()), &mut || held.is_gone());
    });
    let timeouts = || machine.said().matches("Watchdog timeout").count();
    assert_eq!(timeouts(), 1, "{}", machine.said());
    // The whole process stopped is the same.
    comes_back_as_it_was(&machine, "2", |process| {
        // SAFETY: a process of our own machine.
        assert_eq!(unsafe { libc::kill(process, libc::SIGSTOP) }, 0);
    });
    assert_eq!(timeouts(), 2, "{}", machine.said());
    machine.log(&request_text(false));
    machine.until_metric(FIRING, 1.0);
    machine.until_metric(REFUSED, 3.0);
}

#[test]
fn a_crash_or_a_kill_by_hand_is_followed_by_a_start_that_knows_the_same() {
    let Some(machine) = Machine::boot("RestartSec=100ms") else { return };
    let hook = machine.hook();
    machine.configure(&hook.receiver("hook", ""));
    machine.must(&["start", "tocsin"]);
    machine.log(&request_text(false).repeat(2));
    for (signal, restarts) in [(libc::SIGKILL, "1"), (libc::SIGABRT, "2"), (libc::SIGTERM, "3")] {
        comes_back_as_it_was(&machine, restarts, |process| {
            // SAFETY: a process of our own machine.
            assert_eq!(unsafe { libc::kill(process, signal) }, 0);
        });
    }
    machine.log(&request_text(false));
    hook.until("ExchangeAuthFailing firing");
    machine.until_metric(REFUSED, 3.0);
}

/// Beside the pack, so that it can be taken away.
fn rule(summary: &str) -> String {
    format!(
        "[[rule]]\nname = \"Refusals\"\ntype = \"streak\"\nseverity = \"warning\"\nevent = \"exchange_request\"\n\
         bad = [\"auth_failed\"]\ngood = [\"ok\"]\ncount = 3\nsummary = \"{summary}\"\n"
    )
}

#[test]
fn systemctl_reload_keeps_what_is_known_and_says_what_is_wrong() {
    let Some(machine) = Machine::boot("") else { return };
    let hook = machine.hook();
    let receiver = hook.receiver("hook", "");
    machine.configure(&(receiver.clone() + &rule("first words")));
    machine.must(&["start", "tocsin"]);
    machine.log(&request_text(false).repeat(2));
    machine.until_metric(STREAK, 2.0);
    let (before, process) = (machine.knowledge(), machine.main_process());

    // An invalid one: the old one goes on, and `systemctl status` says so.
    machine.configure(&format!("{receiver}[[rule]]\nname = 3\n"));
    machine.must(&["reload", "tocsin"]);
    machine.until_metric("tocsin_config_last_reload_successful", 0.0);
    until_or(|| machine.show("StatusText"), &mut || {
        let said = machine.show("StatusText");
        said.contains("the old configuration is kept") && said.contains("tocsin.toml:")
    });
    assert_eq!(machine.show("ActiveState"), "active");
    assert_eq!(machine.knowledge(), before);

    // A valid one is in force when systemd is told, and nothing is forgotten.
    machine.configure(&(receiver.clone() + &rule("other words")));
    machine.must(&["reload", "tocsin"]);
    machine.until_metric("tocsin_config_last_reload_successful", 1.0);
    until_or(|| machine.show("StatusText"), &mut || machine.show("StatusText").starts_with("watches "));
    assert_eq!(machine.knowledge(), before);
    machine.log(&request_text(false));
    let fired = hook.until("Refusals firing");
    assert_eq!(fired.json()["alerts"][0]["annotations"]["summary"], "other words");

    // A rule that is gone while it fires ends, and says why.
    machine.configure(&receiver);
    machine.must(&["reload", "tocsin"]);
    let ended = hook.until("Refusals resolved");
    assert_eq!(ended.json()["alerts"][0]["annotations"]["reason"], "rule removed");
    machine.until_metric(FIRING, 1.0);
    machine.until_metric(REFUSED, 3.0);
    assert_eq!((machine.main_process(), machine.show("NRestarts").as_str()), (process, "0"));
}

#[test]
fn systemctl_stop_is_done_in_five_seconds_though_a_receiver_hangs() {
    // What takes longer is killed, and the result is `timeout`.
    let Some(machine) = Machine::boot("TimeoutStopSec=5") else { return };
    let hook = machine.hook();
    hook.set(Answer::Hang);
    machine.configure(&hook.receiver("hook", "timeout = \"1h\""));
    machine.must(&["start", "tocsin"]);
    machine.log(&request_text(false).repeat(3));
    let first = hook.until("ExchangeAuthFailing firing");
    machine.must(&["stop", "tocsin"]);
    assert_eq!((machine.show("Result").as_str(), machine.show("ExecMainStatus").as_str()), ("success", "0"));
    assert_eq!((machine.processes(), machine.zombies()), (vec![], vec![]));
    // It was never answered: it comes again, with the same key and body.
    hook.set(Answer::Status(200));
    machine.must(&["start", "tocsin"]);
    let again = hook.until_nth("ExchangeAuthFailing firing", 2);
    assert_eq!(again.header("idempotency-key"), first.header("idempotency-key"));
    assert_eq!(again.body, first.body);
}
