//! `tocsin demo`: the main job on an embedded default.
//!
//! Writes the shipped pack and configuration to a folder of its own, lets the
//! real daemon follow two log files there and plays the shipped incident into
//! them line by line, then goes on quietly until it is interrupted. Needs no
//! journal, Docker, root or account.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use super::{CANNOT_OPEN, files, own_log, run};
use crate::clock;

/// What the folder holds, as shipped.
const SHIPPED: &[(&str, &str)] = &[
    ("config/demo.toml", include_str!("../../config/demo.toml")),
    ("config/events/exchange_request.toml", include_str!("../../config/events/exchange_request.toml")),
    ("config/events/portfolio_sync.toml", include_str!("../../config/events/portfolio_sync.toml")),
    ("alerts/crypto.toml", include_str!("../../alerts/crypto.toml")),
];

/// The incident: which log, and what is written to it when.
const INCIDENT: &[(&str, &str)] = &[
    ("config/logs/crypto-proxy.log", include_str!("../../config/demo/incident-proxy.log")),
    ("config/logs/backend.log", include_str!("../../config/demo/incident-backend.log")),
];

/// Runs until interrupted; returns the exit code.
pub fn run(listen: Option<SocketAddr>) -> u8 {
    own_log::start(log::LevelFilter::Warn);
    let folder = std::env::temp_dir().join(format!("tocsin-demo-{}", std::process::id()));
    if let Err(error) = unpack(&folder) {
        eprintln!("error: cannot write to {}: {error}", folder.display());
        return CANNOT_OPEN;
    }
    let config = folder.join("config/demo.toml");
    let place = OnceLock::new();
    let load = move || {
        let mut loaded = files::load(&config)?;
        if let Some(wanted) = listen.or(loaded.plan.daemon.listen) {
            // A reload must not look for a place beside itself.
            let listen = *place.get_or_init(|| free(wanted, listen.is_none()));
            loaded.plan.daemon.listen = Some(listen);
            loaded.plan.notify.external_url = format!("http://{listen}/");
        }
        Ok(loaded)
    };
    let code = match load() {
        Err(problems) => super::refuse(&problems),
        Ok(loaded) => {
            greet(&folder, loaded.plan.daemon.listen);
            let players: Vec<_> =
                INCIDENT.iter().map(|(log, script)| play(folder.join(log), parse(script))).collect();
            let code = run::serve(loaded, Box::new(load));
            for (stop, thread) in players {
                drop(stop);
                // A player that failed has said so.
                let _ = thread.join();
            }
            code
        }
    };
    // What is left of a demo harms nobody.
    let _ = fs::remove_dir_all(&folder);
    code
}

/// An address that is known before the daemon opens it: the wanted one, or one
/// with a free port where it names none or, unless somebody asked for it, where
/// it is taken.
fn free(wanted: SocketAddr, may_move: bool) -> SocketAddr {
    let any = SocketAddr::new(wanted.ip(), 0);
    let bound = match TcpListener::bind(wanted) {
        Err(error) if may_move && error.kind() == std::io::ErrorKind::AddrInUse => TcpListener::bind(any),
        bound => bound,
    };
    // What else is wrong with it the daemon says.
    bound.and_then(|listener| listener.local_addr()).unwrap_or(wanted)
}

fn greet(folder: &Path, listen: Option<SocketAddr>) {
    let logs = folder.join("config/logs");
    let window = listen.map_or(String::new(), |listen| {
        format!("  status   http://{listen}/\n  metrics  http://{listen}/metrics\n")
    });
    let text = format!(
        "tocsin demo: the API key of a trading stack is replaced by a wrong one, and mended half a\n\
         minute later. Two logs are written and read; nothing leaves this machine.\n\n  \
         logs     {}\n{window}\n\
         The alert fires after about 15 s and is resolved some 20 s later; its symptoms are listed on\n\
         the status page and page nobody. Then all is quiet. Ctrl-C ends it.\n",
        logs.display()
    );
    // Nobody has to read it.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn unpack(folder: &Path) -> std::io::Result<()> {
    for (path, text) in SHIPPED {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    fs::create_dir_all(folder.join("config/state"))?;
    fs::create_dir_all(folder.join("config/logs"))
}

/// A log's story: lines with their offsets from the start, and those that
/// repeat for ever, each time `period` later.
struct Script {
    lines: Vec<(Duration, &'static str)>,
    repeated: Vec<(Duration, &'static str)>,
    period: Duration,
}

fn parse(text: &'static str) -> Script {
    let mut script = Script { lines: Vec::new(), repeated: Vec::new(), period: Duration::ZERO };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((first, rest)) = line.split_once(' ') else { continue };
        let Ok(seconds) = (if first == "@repeat" { rest } else { first }).parse::<f64>() else { continue };
        let span = Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
        if first == "@repeat" {
            script.period = span;
        } else if script.period.is_zero() {
            script.lines.push((span, rest));
        } else {
            script.repeated.push((span, rest));
        }
    }
    script
}

/// Writes the story on a thread of its own; dropping the sender ends it.
fn play(log: PathBuf, script: Script) -> (mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let Ok(mut file) = file.inspect_err(|e| eprintln!("error: {}: {e}", log.display())) else { return };
        let start = clock::monotonic();
        let rounds = (0..).map(|n| script.period * n);
        let again =
            rounds.flat_map(|later| script.repeated.iter().map(move |(at, text)| (*at + later, *text)));
        for (at, text) in script.lines.iter().copied().chain(again) {
            let wait = start.plus(at).since(clock::monotonic());
            if stopped.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            if let Err(error) = writeln!(file, "{text}") {
                eprintln!("error: {}: {error}", log.display());
                return;
            }
        }
    });
    (stop, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_incident_begins_fails_and_goes_on_quietly() {
        for (log, text) in INCIDENT {
            let script = parse(text);
            assert!(script.lines.len() > 50, "{log}");
            assert!(script.lines.is_sorted_by_key(|l| l.0), "{log}");
            assert!(!script.repeated.is_empty() && !script.period.is_zero(), "{log}");
        }
    }
}
