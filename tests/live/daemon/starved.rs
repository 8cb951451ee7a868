//! What the machine runs out of: time at the disk, file descriptors. The
//! daemon is slower or silent meanwhile, never wrong, and never busy.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::hook::Hook;
use super::kit::{Daemon, rest, until, value_of};
use super::pack::request_text;
use super::trouble::{append, setup, terminate};

const REFUSED: &str = "crypto_exchange_http_responses_total{status=\"401\"}";

/// Syncs take two seconds while the file named by `SLOW_WHILE` is there.
const SLOW: &str = r#"
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void wait_for_it(void) {
    const char *name = getenv("SLOW_WHILE");
    if (name && access(name, F_OK) == 0) usleep(2000000);
}
int fsync(int fd) { wait_for_it(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_for_it(); return syscall(SYS_fdatasync, fd); }
"#;

fn compiled(dir: &Path) -> Option<std::path::PathBuf> {
    let (source, library) = (dir.join("slow.c"), dir.join("slow.so"));
    fs::write(&source, SLOW).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if made.is_ok_and(|made| made.success()) {
        return Some(library);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run here: no C compiler");
    eprintln!("skipped: no C compiler");
    None
}

/// Every time that systemd's watchdog was fed.
fn fed(socket: UnixDatagram) -> mpsc::Receiver<Instant> {
    let (sender, fed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length) = socket.recv(&mut bytes) {
            if bytes[..length].starts_with(b"WATCHDOG=1") && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    fed
}

#[test]
fn a_slow_disk_delays_and_loses_nothing() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let Some(library) = compiled(setup.path()) else { return };
    let slow = setup.path().join("slow");
    let service = setup.path().join("notify");
    let fed = fed(UnixDatagram::bind(&service).unwrap());
    let limit = Duration::from_secs(30);
    let daemon = setup.start_with(|command| {
        command.env("LD_PRELOAD", &library).env("SLOW_WHILE", &slow);
        command.env("NOTIFY_SOCKET", &service).env("WATCHDOG_USEC", limit.as_micros().to_string());
    });
    daemon.until_live();
    fs::write(&slow, "").unwrap();
    let mut answered = 0;
    let mut feeds = vec![fed.recv_timeout(limit).unwrap()];
    for count in 1..=4 {
        append(&setup, &request_text(false));
        // The window shows what was committed, and answers while it is being.
        until("the count", || {
            answered += 1;
            value_of(&daemon.metrics(), REFUSED) == Some(f64::from(count))
        });
    }
    hook.until("ExchangeAuthFailing firing");
    while feeds.len() < 3 {
        feeds.push(fed.recv_timeout(limit).expect("the watchdog is starved"));
        append(&setup, "INFO: nothing\n");
    }
    let longest = feeds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    eprintln!("syncs of 2 s: {answered} answers during 4 commits, watchdog fed every {longest:?} at most");
    assert!(longest < limit, "{longest:?}");
    assert!(answered > 8, "{answered} answers: the window waits for the disk");
    daemon.until_metric("tocsin_state_durable", 1.0);
    fs::remove_file(&slow).unwrap();
    daemon.kill();
    let daemon = setup.start_live();
    daemon.until_metric(REFUSED, 4.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}

/// Lets the daemon have so many descriptors; gives the limit before.
fn descriptors(daemon: &Daemon, limit: u64) -> u64 {
    let new = libc::rlimit { rlim_cur: limit, rlim_max: 4096 };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both structures live until the call returns; it is our child.
    let done = unsafe { libc::prlimit(daemon.pid() as i32, libc::RLIMIT_NOFILE, &new, &mut old) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    old.rlim_cur
}

/// The number that its next descriptor would have.
fn first_free(daemon: &Daemon) -> u64 {
    let open = format!("/proc/{}/fd", daemon.pid());
    (0..).find(|number| fs::symlink_metadata(format!("{open}/{number}")).is_err()).unwrap()
}

/// Processor time that it has used.
fn used(daemon: &Daemon) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // SAFETY: asks for a number.
    Duration::from_millis(ticks * 1000 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64)
}

#[test]
fn without_file_descriptors_it_goes_on_and_recovers_when_there_are_some() {
    let hook = Hook::new();
    let setup = setup(&hook.receiver("hook", ""));
    let daemon = setup.start_live();
    append(&setup, &request_text(false).repeat(2));
    daemon.until_metric(REFUSED, 2.0);
    let mut limit = u64::MAX;
    until("the last one to be taken", || {
        limit = limit.min(first_free(&daemon));
        descriptors(&daemon, limit);
        TcpStream::connect(daemon.address()).is_ok_and(|_| daemon.said().contains("takes no connection"))
    });
    // One that was in use for a moment, by a connection that is being closed,
    // must not be there again.
    for _ in 0..100 {
        rest(Duration::from_millis(10));
        limit = limit.min(first_free(&daemon));
    }
    descriptors(&daemon, limit);
    append(&setup, &request_text(false));
    daemon.until_said("to hook failed (attempt 1");
    let before = (used(&daemon), Instant::now());
    rest(Duration::from_secs(3));
    let (work, elapsed) = (used(&daemon) - before.0, before.1.elapsed());
    eprintln!("without descriptors: {work:?} of work in {elapsed:?}");
    assert!(work < elapsed / 2, "{work:?} of work in {elapsed:?}");
    descriptors(&daemon, 1024);
    hook.until("ExchangeAuthFailing firing");
    daemon.until_metric(REFUSED, 3.0);
    daemon.until_metric("tocsin_state_durable", 1.0);
    assert_eq!(terminate(daemon).code(), Some(0));
}
