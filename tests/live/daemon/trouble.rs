//! Receivers that hang or are down, sources that cannot be read, a state or a
//! port that is taken: each is said, none spreads.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::hook::{Answer, Hook, Request};
use super::kit::{Daemon, Setup, until};
use super::pack::request_text;

/// Both sources of the pack as files in the folder; what stands in them when
/// they appear is read.
fn sources(dir: &std::path::Path) -> String {
    let source = |name: &str| {
        let path = dir.join(name).with_extension("log");
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n",
            path.display()
        )
    };
    source("crypto-proxy") + &source("backend")
}

pub(super) const SHORT: &str = "[override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n";

pub(super) fn append(setup: &Setup, text: &str) {
    use std::io::Write;
    let path = setup.path().join("crypto-proxy.log");
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

pub(super) fn setup(more: &str) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let text = sources(dir.path()) + more + SHORT;
    Setup::new(dir, &text)
}

/// Asks it to end and gives its answer; it has five seconds.
#[track_caller]
pub(super) fn terminate(daemon: Daemon) -> ExitStatus {
    daemon.signal(libc::SIGTERM);
    let asked = Instant::now();
    let status = daemon.end();
    assert!(asked.elapsed() < Duration::from_secs(5), "it ended after {:?}", asked.elapsed());
    status
}

/// A journal's thread outlives a file that is cut off under it, by a handler.
#[test]
fn a_bus_error_that_is_none_of_a_journals_still_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\ndirectory = \"{0}/none\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{0}/backend.log\"]\n",
        dir.path().display()
    );
    let setup = Setup::new(dir, &text);
    let daemon = setup.start();
    daemon.until_said("source crypto-proxy: cannot be read");
    daemon.signal(libc::SIGBUS);
    assert_eq!(daemon.end().signal(), Some(libc::SIGBUS));
}

#[test]
fn a_receiver_that_hangs_delays_no_other_and_no_end() {
    let (hanging, other) = (Hook::new(), Hook::new());
    hanging.set(Answer::Hang);
    let setup = setup(&(hanging.receiver("hanging", "timeout = \"1h\"") + &other.receiver("other", "")));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    hanging.until("ExchangeAuthFailing firing");
    let mut last = Duration::ZERO;
    for round in 1..=5 {
        let begun = Instant::now();
        append(&setup, &request_text(true));
        other.until_nth("ExchangeAuthFailing resolved", round);
        append(&setup, &request_text(false).repeat(3));
        let told = other.until_nth("ExchangeAuthFailing firing", round + 1);
        last = last.max(told.at - begun);
    }
    eprintln!("beside a receiver that hangs: an end and a new incident told in {last:?} at most");
    let under_way = hanging.of("ExchangeAuthFailing");
    assert!(under_way.len() <= tocsin::store::IN_FLIGHT_MAX, "{} attempts under way", under_way.len());
    assert!(under_way.iter().all(|r| r.what().ends_with("firing")), "an end went before its beginning");
    daemon.until_metric("tocsin_outbox_pending{receiver=\"other\"}", 0.0);
    assert!(daemon.metric("tocsin_outbox_pending{receiver=\"hanging\"}").unwrap() > 1.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_receiver_that_stays_down_is_given_up_and_said_and_harms_no_other() {
    let (down, other) = (Hook::new(), Hook::new());
    down.set(Answer::Status(503));
    let notify = "[limits]\nmemory = \"160MiB\"\n[notify]\ngive_up_after = \"1s\"\n";
    let setup = setup(&(down.receiver("down", "") + &other.receiver("other", "") + notify));
    let daemon = setup.start_live();
    daemon.hold_to(160 << 20);
    let rounds = 25;
    for round in 1..=rounds {
        append(&setup, &request_text(false).repeat(3));
        other.until_nth("ExchangeAuthFailing firing", round);
        append(&setup, &request_text(true));
        other.until_nth("ExchangeAuthFailing resolved", round);
    }
    daemon.until_metric("tocsin_outbox_pending{receiver=\"down\"}", 0.0);
    let count = |outcome: &str| {
        daemon
            .metric(&format!("tocsin_notifications_total{{receiver=\"down\",outcome=\"{outcome}\"}}"))
            .unwrap()
    };
    let given_up = count("given_up");
    eprintln!("{given_up} given up, {} MiB resident at most", daemon.peak() >> 20);
    assert!(given_up >= rounds as f64 && count("delivered") == 0.0, "{given_up}");
    assert!(daemon.said().contains("to down is given up after"), "{}", daemon.said());
    let status = daemon.get("/api/v1/status").unwrap().1;
    assert!(status.contains("\"given_up\""), "{status}");
    let bytes = daemon.metric("tocsin_state_bytes").unwrap();
    assert!(bytes < (16 << 20) as f64, "the state takes {bytes} bytes");
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_receiver_that_was_down_is_told_all_in_order() {
    let hook = Hook::new();
    hook.set(Answer::Status(500));
    let setup = setup(&hook.receiver("hook", ""));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    until("two attempts", || hook.of("ExchangeAuthFailing").len() >= 2);
    append(&setup, &request_text(true));
    daemon.until_metric("tocsin_alert_firing{alert=\"ExchangeAuthFailing\",severity=\"critical\"}", 0.0);
    // A restart changes nothing of what waits.
    assert_eq!(terminate(daemon).code(), Some(0));
    let daemon = setup.start_live();
    let before = hook.of("ExchangeAuthFailing").len();
    until("an attempt of the next one", || hook.of("ExchangeAuthFailing").len() > before);
    hook.set(Answer::Status(200));
    let taken = || -> Vec<Request> {
        hook.of("ExchangeAuthFailing").into_iter().filter(|r| r.answer == Answer::Status(200)).collect()
    };
    until("both", || taken().len() == 2);
    let both: Vec<String> = taken().iter().map(Request::what).collect();
    assert_eq!(both, ["ExchangeAuthFailing firing", "ExchangeAuthFailing resolved"]);
    let refused: Vec<Request> =
        hook.of("ExchangeAuthFailing").into_iter().filter(|r| r.answer == Answer::Status(500)).collect();
    let first = &taken()[0];
    for attempt in &refused {
        assert_eq!(
            attempt.header("idempotency-key"),
            first.header("idempotency-key"),
            "the end waits for its firing"
        );
        assert_eq!(attempt.body, first.body);
    }
    daemon.until_metric(
        "tocsin_notifications_total{receiver=\"hook\",outcome=\"delivered\"}",
        taken().len() as f64,
    );
    daemon.until_metric(
        "tocsin_notifications_total{receiver=\"hook\",outcome=\"failed\"}",
        refused.len() as f64,
    );
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_receiver_whose_port_is_closed_is_told_when_it_opens() {
    let closed = super::kit::free_port();
    let receiver = format!(
        "[[receiver]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{closed}/hook\"\n"
    );
    let setup = setup(&receiver);
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(3));
    daemon.until_said("to hook failed (attempt 1");
    let hook = Hook::on(closed);
    hook.until("ExchangeAuthFailing firing");
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_source_that_cannot_be_read_is_told_and_so_is_its_return() {
    let hook = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"journal\"\ndirectory = \"{}\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n{}\
         [builtin.SourceDown]\nafter = \"2s\"\n",
        journal.display(),
        dir.path().join("backend.log").display(),
        hook.receiver("hook", "")
    );
    let setup = Setup::new(dir, &text);
    let begun = Instant::now();
    let daemon = setup.start();
    let fired = hook.until("SourceDown firing");
    assert!(fired.at - begun >= Duration::from_secs(2), "{:?}", fired.at - begun);
    let alert = &fired.json()["alerts"][0];
    assert_eq!(
        (&alert["labels"]["source"], &alert["labels"]["severity"]),
        (&"crypto-proxy".into(), &"critical".into())
    );
    daemon.until_metric("tocsin_source_up{source=\"crypto-proxy\"}", 0.0);
    daemon.until_metric("tocsin_source_up{source=\"backend\"}", 1.0);
    fs::create_dir(&journal).unwrap();
    let resolved = hook.until("SourceDown resolved");
    assert_eq!(resolved.json()["alerts"][0]["fingerprint"], alert["fingerprint"]);
    daemon.until_metric("tocsin_source_up{source=\"crypto-proxy\"}", 1.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let one = setup("");
    let daemon = one.start_live();
    let state = one.state();
    let two = setup("");
    let text = fs::read_to_string(two.config()).unwrap();
    fs::write(two.config(), text.replace(&two.state().display().to_string(), &state.display().to_string()))
        .unwrap();
    let refused = two.run(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains(&state.display().to_string()), "{said}");
    append(&one, &request_text(false));
    daemon.until_metric("crypto_exchange_http_responses_total{status=\"401\"}", 1.0);
    assert_eq!(terminate(daemon).code(), Some(0), "the first one goes on");
}

#[test]
fn a_port_that_is_taken_is_refused_by_name() {
    let setup = setup("");
    let _taken = TcpListener::bind(("127.0.0.1", setup.port)).unwrap();
    let refused = setup.run(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{}", setup.port)), "{said}");
}

#[test]
fn a_damaged_or_foreign_state_is_refused_and_left_as_it_is() {
    let setup = setup("");
    let path = setup.state().join("state.db");
    assert_eq!(terminate(setup.start_live()).code(), Some(0));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xa5);
    for damaged in [bytes, b"these are somebody's notes, no state at all".repeat(200)] {
        fs::write(&path, &damaged).unwrap();
        let refused = setup.run(&["run"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(said.contains("state.db"), "{said}");
        assert!(fs::read(&path).unwrap() == damaged, "it was changed");
    }
}

#[test]
fn a_first_start_that_is_told_to_end_at_once_ends() {
    let setup = setup("");
    let daemon = setup.start();
    until("the window", || daemon.get("/-/healthy").is_some());
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn what_began_and_ended_while_it_was_down_is_told_once_beside_what_still_fires() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let noise = "INFO:     192.0.2.1:44425 - \"GET /health HTTP/1.1\" 200 OK\n".repeat(20_000);
    let refused = request_text(false).repeat(3);
    // Enough of it that the source is behind when it starts.
    append(&setup, &noise);
    append(&setup, &(refused.clone() + &request_text(true)).repeat(2));
    append(&setup, &(noise + &refused));
    let daemon = setup.start_live();
    hook.until("ExchangeAuthFailing firing");
    hook.until("ExchangeAuthFailing resolved");
    let notices = hook.of("ExchangeAuthFailing");
    let status = |r: &Request| r.json()["status"].as_str().unwrap().to_owned();
    let past: Vec<&Request> = notices.iter().filter(|r| status(r) == "resolved").collect();
    let alerts = past[0].json()["alerts"].as_array().unwrap().clone();
    assert_eq!((notices.len(), past.len(), alerts.len()), (2, 1, 2), "both that are over are told at once");
    assert!(alerts.iter().all(|a| a["annotations"]["notice"].is_string()), "{alerts:?}");
    assert_eq!(setup.timeline().iter().filter(|t| t["alert"] == "ExchangeAuthFailing").count(), 5);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_reload_keeps_what_is_known_and_an_invalid_one_keeps_the_old_configuration() {
    let (hook, other) = (Hook::new(), Hook::new());
    let setup = setup(&hook.receiver("hook", ""));
    let text = fs::read_to_string(setup.config()).unwrap();
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(2));
    daemon.until_metric("crypto_exchange_auth_failure_streak{method=\"private/user-balance\"}", 2.0);
    fs::write(setup.config(), text.clone() + "[[rule]]\nname = 3\n").unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.until_said("the configuration is invalid, the old one is kept");
    daemon.until_metric("tocsin_config_last_reload_successful", 0.0);
    fs::write(setup.config(), text + &other.receiver("other", "")).unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.until_said("the configuration was read again");
    daemon.until_metric("tocsin_config_last_reload_successful", 1.0);
    daemon.until_metric("crypto_exchange_auth_failure_streak{method=\"private/user-balance\"}", 2.0);
    // The third one in a row, though the first two were before the reload.
    append(&setup, &request_text(false));
    hook.until("ExchangeAuthFailing firing");
    other.until("ExchangeAuthFailing firing");
    daemon.until_metric("crypto_exchange_http_responses_total{status=\"401\"}", 3.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}
