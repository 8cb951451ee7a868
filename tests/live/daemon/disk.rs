//! A state that is full, read-only, gone, damaged, too new or taken, and a
//! disk that is slow: what is watched goes on being watched and told, what is
//! not on the disk is said, and what comes back is counted exactly.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::hook::{Hook, Request};
use super::kit::{Daemon, Setup, until};
use super::pack::request_text;
use super::place::Place;
use super::trouble::{append, setup, terminate};

const REFUSED: &str = "crypto_exchange_http_responses_total{status=\"401\"}";
const FIRING: &str = "tocsin_alert_firing{alert=\"ExchangeAuthFailing\",severity=\"critical\"}";
const DURABLE: &str = "tocsin_state_durable";

/// Writes refused requests, and knows how many.
struct Refusals<'a> {
    setup: &'a Setup,
    written: usize,
}

impl Refusals<'_> {
    fn of(setup: &Setup) -> Refusals<'_> {
        Refusals { setup, written: 0 }
    }

    fn write(&mut self, count: usize) {
        append(self.setup, &request_text(false).repeat(count));
        self.written += count;
    }

    #[track_caller]
    fn until_counted(&self, daemon: &Daemon) {
        daemon.until_metric(REFUSED, self.written as f64);
    }

    /// Goes on until a commit finds that the disk takes nothing.
    #[track_caller]
    fn until_not_durable(&mut self, daemon: &Daemon) {
        until("the first commit that fails", || {
            self.write(1);
            self.until_counted(daemon);
            daemon.metric(DURABLE) == Some(0.0)
        });
    }

    /// What was not on the disk is told, shown and counted all the same.
    #[track_caller]
    fn until_told_in_memory(&mut self, daemon: &Daemon, hook: &Hook) {
        self.until_not_durable(daemon);
        self.write(3);
        hook.until("ExchangeAuthFailing firing");
        self.until_counted(daemon);
        assert!(daemon.said().contains("is not durable"), "{}", daemon.said());
        let (_, status) = daemon.get("/api/v1/status").unwrap();
        assert!(status.contains("the state is not durable"), "{status}");
        let (_, page) = daemon.get("/").unwrap();
        assert!(page.contains("the state is not durable"), "{page}");
    }

    /// After a kill, everything is as it was and nobody is told anew.
    #[track_caller]
    fn until_the_same_again(&self, daemon: &Daemon, hook: &Hook) {
        self.until_counted(daemon);
        daemon.until_metric(
            "crypto_exchange_auth_failure_streak{method=\"private/user-balance\"}",
            self.written as f64,
        );
        daemon.until_metric(FIRING, 1.0);
        daemon.until_metric(DURABLE, 1.0);
        let told = hook.of("ExchangeAuthFailing");
        let key = |r: &Request| r.header("idempotency-key").map(str::to_owned);
        assert!(told.iter().all(|r| key(r) == key(&told[0])), "told anew: {told:?}");
    }
}

fn start_in(setup: &Setup, place: &Place) -> Daemon {
    let daemon = setup.start_with(|command| place.enter(command));
    daemon.until_live();
    daemon
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost_once_there_is_room() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let Some(place) = Place::small(&setup.state(), 2_048) else { return };
    let daemon = start_in(&setup, &place);
    let mut refusals = Refusals::of(&setup);
    refusals.write(1);
    refusals.until_counted(&daemon);
    let ballast = place.path().join("ballast");
    place.shell("cat /dev/zero > \"$PLACE/ballast\" || true");
    refusals.until_told_in_memory(&daemon, &hook);
    fs::remove_file(ballast).unwrap();
    daemon.until_metric(DURABLE, 1.0);
    daemon.until_said("the state is on the disk again");
    daemon.kill();
    let daemon = start_in(&setup, &place);
    refusals.until_the_same_again(&daemon, &hook);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_state_that_may_not_be_written_is_said_and_caught_up_when_it_may() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let Some(place) = Place::ext4(&setup.state()) else { return };
    let daemon = start_in(&setup, &place);
    let mut refusals = Refusals::of(&setup);
    refusals.write(1);
    refusals.until_counted(&daemon);
    place.shell("chattr +i \"$PLACE\"/state.db*");
    refusals.until_told_in_memory(&daemon, &hook);
    place.shell("chattr -i \"$PLACE\"/state.db*");
    daemon.until_metric(DURABLE, 1.0);
    daemon.kill();
    let daemon = start_in(&setup, &place);
    refusals.until_the_same_again(&daemon, &hook);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_file_system_that_the_kernel_makes_read_only_costs_no_count() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let Some(place) = Place::ext4(&setup.state()) else { return };
    let daemon = start_in(&setup, &place);
    let mut refusals = Refusals::of(&setup);
    refusals.write(1);
    refusals.until_counted(&daemon);
    place.shell(
        "loop=$(findmnt -no SOURCE \"$PLACE\"); echo a test > /sys/fs/ext4/${loop#/dev/}/trigger_fs_error",
    );
    refusals.until_told_in_memory(&daemon, &hook);
    assert_eq!(terminate(daemon).code(), Some(0));
    assert!(setup.said().contains("what came since its last commit is read again"), "{}", setup.said());
    // Such a file system is repaired and mounted again.
    place.shell(
        "loop=$(findmnt -no SOURCE \"$PLACE\"); image=${PLACE%/}.img; umount \"$PLACE\"; \
         e2fsck -p -f \"$image\" || test $? -le 1; mount -o loop \"$image\" \"$PLACE\"",
    );
    let daemon = start_in(&setup, &place);
    refusals.until_the_same_again(&daemon, &hook);
    assert_eq!(terminate(daemon).code(), Some(0));
}

#[test]
fn a_state_folder_that_was_removed_is_written_anew_when_it_is_there_again() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let daemon = setup.start_live();
    let mut refusals = Refusals::of(&setup);
    refusals.write(1);
    refusals.until_counted(&daemon);
    fs::remove_dir_all(setup.state()).unwrap();
    refusals.until_told_in_memory(&daemon, &hook);
    fs::create_dir(setup.state()).unwrap();
    daemon.until_metric(DURABLE, 1.0);
    let other = setup.run(&["run"]);
    assert_eq!(other.status.code(), Some(3), "the new folder is locked as well");
    daemon.kill();
    let daemon = setup.start_live();
    refusals.until_the_same_again(&daemon, &hook);
    assert_eq!(terminate(daemon).code(), Some(0));
}

/// Overwrites every page but the first few.
fn damage(state: &Path) -> Vec<u8> {
    let path = state.join("state.db");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 2..file.metadata().unwrap().len() / 4096 {
        file.write_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    fs::read(path).unwrap()
}

/// Does what the message says, to the letter.
#[track_caller]
fn set_aside(said: &str) {
    let from = said.find("mkdir ").expect("the message names the remedy");
    let command = &said[from..from + said[from..].find(" (counters").unwrap()];
    let done = std::process::Command::new("sh").args(["-e", "-c", command]).status().unwrap();
    assert!(done.success(), "{command}");
}

#[test]
fn a_damaged_state_is_refused_with_a_remedy_that_keeps_it() {
    let setup = setup("");
    let daemon = setup.start_live();
    let mut refusals = Refusals::of(&setup);
    refusals.write(2);
    refusals.until_counted(&daemon);
    assert_eq!(terminate(daemon).code(), Some(0));
    let damaged = damage(&setup.state());
    for _ in 0..2 {
        let refused = setup.run(&["run"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(said.contains("damaged") && said.contains("tocsin state check"), "{said}");
        assert!(fs::read(setup.state().join("state.db")).unwrap() == damaged, "it was changed");
    }
    let refused = setup.run(&["run"]);
    set_aside(&String::from_utf8_lossy(&refused.stderr));
    // Begun anew: both sources say where, and all that is there is read.
    let daemon = setup.start_live();
    refusals.until_counted(&daemon);
    assert_eq!(terminate(daemon).code(), Some(0));
    assert!(fs::read(setup.state().join("damaged/state.db")).unwrap() == damaged, "it was not kept");
}

#[test]
fn damage_under_the_running_daemon_is_found_and_never_written_to() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let daemon = setup.start_live();
    let mut refusals = Refusals::of(&setup);
    refusals.write(1);
    refusals.until_counted(&daemon);
    // So that it stands in the file and not in its log alone.
    assert_eq!(terminate(daemon).code(), Some(0));
    let daemon = setup.start_live();
    damage(&setup.state());
    // It is looked at every minute, and after each reading of the configuration.
    daemon.signal(libc::SIGHUP);
    daemon.until_metric(DURABLE, 0.0);
    // What was written until it was found out is no matter.
    let damaged = fs::read(setup.state().join("state.db")).unwrap();
    daemon.until_said("is damaged");
    refusals.until_told_in_memory(&daemon, &hook);
    // What is known stays known, though it cannot be read from the disk.
    daemon.signal(libc::SIGHUP);
    until("the second reading", || daemon.said().matches("the configuration was read again").count() == 2);
    refusals.write(1);
    refusals.until_counted(&daemon);
    daemon.until_metric(DURABLE, 0.0);
    assert!(fs::read(setup.state().join("state.db")).unwrap() == damaged, "it was changed");
    terminate(daemon);
    let refused = setup.run(&["run"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(fs::read(setup.state().join("state.db")).unwrap() == damaged, "it was changed");
}

#[test]
fn a_state_of_a_newer_version_is_refused_and_left_as_it_is() {
    let setup = setup("");
    assert_eq!(terminate(setup.start_live()).code(), Some(0));
    let path = setup.state().join("state.db");
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.pragma_update(None, "user_version", 99).unwrap();
    sql.close().unwrap();
    let before = fs::read(&path).unwrap();
    let refused = setup.run(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("schema 99") && said.contains("run the newer version"), "{said}");
    assert!(fs::read(&path).unwrap() == before, "it was changed");
}

#[test]
fn the_lock_dies_with_its_process() {
    let setup = setup("");
    let daemon = setup.start_live();
    let refused = setup.run(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("by process {}", daemon.pid())), "{said}");
    daemon.kill();
    let daemon = setup.start_live();
    assert_eq!(terminate(daemon).code(), Some(0));
}
