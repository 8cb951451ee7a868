//! The backend in a real container of a real dockerd, through the real binary.

use super::hook::Hook;
use super::kit::Setup;
use crate::docker::engine::Engine;
use crate::support::journald_skip;

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
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\n\
         [[source]]\nname = \"backend\"\ntype = \"docker\"\nservice = \"backend\"\nhost = \"{}\"\n{}\
         [override.BackendCrashLooping]\nwindow = \"30s\"\nkeep_firing_for = \"1s\"\n",
        dir.path().join("none").display(),
        engine.socket(),
        hook.receiver("hook", "")
    );
    let setup = Setup::new(dir, &text);
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
