//! What systemd asks of a service and the shipped unit promises it: ready,
//! watchdog, reload, stop.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::{Running, command, run};
use crate::scan::root;

const CONFIGURATION: &str = "state_dir = \"state\"\nhttp = { listen = \"127.0.0.1:0\" }\n\
    source = [{ name = \"app\", type = \"file\", paths = \"app.log\", start = \"beginning\" }]\n\
    event = [{ name = \"fail\", match = 'FAIL' }]\n\
    [[rule]]\nname = \"Fails\"\ntype = \"rate\"\nseverity = \"critical\"\nevent = \"fail\"\ncount = 2\nwindow = \"1h\"\n\
    summary = \"it fails\"\n";

/// A daemon under something that listens as systemd does.
struct Service {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
    daemon: Running,
}

impl Service {
    fn start(watchdog: Duration) -> Service {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.toml"), CONFIGURATION).unwrap();
        fs::write(folder.path().join("app.log"), "").unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut command = command(folder.path(), &["run", "--config", "app.toml"]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let daemon = Running::start(&mut command);
        Service { folder, socket, daemon }
    }

    /// Waits for a message; returns those before it too.
    fn told(&self, wanted: &str) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(20);
        let mut all = Vec::new();
        while !all.iter().any(|message: &String| message.lines().any(|line| line == wanted)) {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 4096];
            match self.socket.recv(&mut bytes) {
                Ok(length) => all.push(String::from_utf8_lossy(&bytes[..length]).into_owned()),
                Err(error) => panic!("{wanted} was never told ({error}), but {all:?}"),
            }
        }
        all
    }

    /// Systemd was told that a reload began, when, and that it is over with
    /// this status.
    fn told_a_reload(&self, status: &str) {
        let began = self.told("RELOADING=1").pop().unwrap();
        let at = began.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect(&began);
        let at: i64 = at.parse().unwrap();
        assert!((0..=tocsin::clock::monotonic().0 / 1_000).contains(&at), "{at}");
        let over = self.told("READY=1").pop().unwrap();
        assert!(over.lines().any(|line| line.starts_with(status)), "{over}");
    }

    fn log(&self, line: &str) {
        let path = self.folder.path().join("app.log");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }

    fn configure(&self, text: &str) {
        fs::write(self.folder.path().join("app.toml"), text).unwrap();
    }
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let mut service = Service::start(Duration::from_millis(600));
    service.told("READY=1");
    for _ in 0..3 {
        service.told("WATCHDOG=1");
    }
    service.daemon.signal(libc::SIGTERM);
    service.told("STOPPING=1");
    assert_eq!(service.daemon.wait(), Some(0));
    assert_eq!(run(service.folder.path(), &["state", "check", "state"]).code, Some(0));
}

#[test]
fn a_watchdog_that_is_not_asked_for_is_not_fed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.toml"), CONFIGURATION).unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = command(folder.path(), &["run", "--config", "app.toml"]);
    let daemon = Running::start(command.env("NOTIFY_SOCKET", &path));
    let mut service = Service { folder, socket, daemon };
    service.told("READY=1");
    service.daemon.signal(libc::SIGINT);
    let told = service.told("STOPPING=1");
    assert!(!told.concat().contains("WATCHDOG"), "{told:?}");
    assert_eq!(service.daemon.wait(), Some(0));
}

#[test]
fn a_reload_keeps_the_state_and_a_wrong_one_keeps_the_configuration() {
    let mut service = Service::start(Duration::from_secs(60));
    service.told("READY=1");
    // One failure before the reload, one after it: only together they fire.
    service.log("FAIL\n");
    service.configure(&CONFIGURATION.replace("it fails", "it fails a lot"));
    service.daemon.wait_for("watches app");
    service.daemon.signal(libc::SIGHUP);
    service.daemon.wait_for("the configuration was read again");
    service.daemon.wait_for("watches app");
    service.told_a_reload("STATUS=watches app; 3 rules");
    service.log("FAIL\n");
    let line = service.daemon.wait_for("firing");
    assert!(line.contains("Fails") && line.contains("it fails a lot"), "{line}");

    service.configure(&CONFIGURATION.replace("type = \"rate\"", "type = \"rat\""));
    service.daemon.signal(libc::SIGHUP);
    let line = service.daemon.wait_for("the old one is kept");
    assert!(line.contains("ERROR"), "{line}");
    let line = service.daemon.wait_for("error: ");
    assert!(line.starts_with("app.toml:7:8: error: unknown rule type"), "{line}");
    service.told_a_reload(
        "STATUS=the old configuration is kept, the new one is invalid: app.toml:7:8: error: unknown rule type",
    );

    service.configure(&CONFIGURATION.replace("127.0.0.1:0", "127.0.0.1:1"));
    service.daemon.signal(libc::SIGHUP);
    service.daemon.wait_for("[http] listen was changed; that takes a restart");
    service.daemon.wait_for("watches app");
    service.daemon.signal(libc::SIGTERM);
    assert_eq!(service.daemon.wait(), Some(0));
    // An alert that fires stays open over all of it, once.
    let said = run(service.folder.path(), &["state", "check", "state"]);
    assert!(said.out.contains("1 open incident"), "{said:?}");
}

#[test]
fn the_shipped_unit_promises_what_the_daemon_does() {
    let unit = fs::read_to_string(root().join("config/systemd/tocsin.service")).unwrap();
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "StateDirectory=tocsin",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    assert!(unit.lines().any(|l| l.starts_with("WatchdogSec=")));
    verify(&root().join("config/systemd/tocsin.service"));
}

/// systemd's own opinion, where it is installed: nothing but that the binary is
/// not there.
fn verify(unit: &Path) {
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(unit).output() else {
        eprintln!("systemd-analyze is not installed: the unit was not verified");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_it = |line: &&str| line.contains("tocsin.service") && !line.contains("is not executable");
    let faults: Vec<&str> = said.lines().filter(about_it).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
