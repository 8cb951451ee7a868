//! The backend in a real container of a real dockerd, through the real binary.

use std::time::Duration;

use super::hook::Hook;
use super::kit::{Setup, rest, until};
use crate::docker::engine::Engine;
use crate::support::journald_skip;

/// The proxy's log stays empty; the backend is the containers of one engine.
fn setup(engine: &Engine, more: &str) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\n\
         [[source]]\nname = \"backend\"\ntype = \"docker\"\nservice = \"backend\"\nhost = \"{}\"\n{more}",
        dir.path().join("none").display(),
        engine.socket(),
    );
    Setup::new(dir, &text)
}

/// A boot that fails, as gunicorn's master tells it.
const FAILED: &str = "echo '[2026-03-16 17:02:41 +0000] [1] [ERROR] Worker failed to boot.'; \
                      echo '[2026-03-16 17:02:41 +0000] [1] [ERROR] Reason: Worker failed to boot.'";

#[test]
fn a_backend_that_fails_at_each_boot_is_told_through_new_containers_and_a_restart() {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return journald_skip(&why),
    };
    let hook = Hook::new();
    let short = "[override.BackendCrashLooping]\nwindow = \"30s\"\nkeep_firing_for = \"1s\"\n";
    let setup = setup(&engine, &(hook.receiver("hook", "") + short));
    let daemon = setup.start_live();
    engine.run("backend", &[], FAILED);
    daemon.until_metric("backend_failed_boots_total", 1.0);
    // The next one ends before anybody could follow it.
    engine.run("backend", &[], FAILED);
    engine.run("other", &[], FAILED);
    daemon.until_metric("backend_failed_boots_total", 2.0);
    daemon.kill();
    engine.run("backend", &[], FAILED);
    let daemon = setup.start_live();
    let fired = hook.until("BackendCrashLooping firing");
    let alert = &fired.json()["alerts"][0];
    assert_eq!(
        (&alert["labels"]["source"], &alert["labels"]["severity"]),
        (&"backend".into(), &"critical".into())
    );
    daemon.until_metric("backend_failed_boots_total", 3.0);
    daemon.until_metric("tocsin_source_lines_total{source=\"backend\"}", 6.0);
    daemon.until_metric("tocsin_log_gaps_total{source=\"backend\"}", 0.0);
    let resolved = hook.until("BackendCrashLooping resolved");
    assert_eq!(resolved.json()["alerts"][0]["fingerprint"], alert["fingerprint"]);
}

/// Both are killed wherever they are, and the engine is away for a while.
#[test]
fn kills_of_the_daemon_and_of_dockerd_lose_and_repeat_no_line_of_a_container_that_lives_on() {
    let engine = match Engine::with(&["--live-restore"], None) {
        Ok(engine) => engine,
        Err(why) => return journald_skip(&why),
    };
    let hook = Hook::new();
    let setup = setup(&engine, &(hook.receiver("hook", "") + "[builtin.SourceDown]\nafter = \"1s\"\n"));
    // The first start begins at the end of what there is: nothing.
    let mut daemon = setup.start_live();
    let script = "i=0; while :; do echo $i; echo e$i >&2; i=$((i+1)); usleep 3000; done";
    let id = engine.run("backend", &[], script);
    for round in 0..9u64 {
        rest(Duration::from_millis(100 + round * 37 % 90));
        match round % 3 {
            0 => engine.kill(),
            1 => engine.stop(),
            _ => {}
        }
        daemon.kill();
        daemon = setup.start();
        if round == 4 {
            hook.until("SourceDown firing");
        }
        if round % 3 != 2 {
            engine.start_again();
        }
    }
    engine.docker(&["kill", &id]);
    let truth = engine.truth(&id).len() as f64;
    until("the source to be live again", || daemon.said().contains("source backend: read to its end"));
    daemon.until_metric("tocsin_source_lines_total{source=\"backend\"}", truth);
    hook.until("SourceDown resolved");
    // A kill in the middle of an entry would be one; none is told without cause.
    daemon.until_metric("tocsin_log_gaps_total{source=\"backend\"}", 0.0);
    eprintln!("9 kills of the daemon, 3 of dockerd, 3 ends of dockerd: {truth} lines written and counted");
}
