//! Being a service: signals, systemd's notifications and watchdog.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Command;

/// SIGTERM and SIGINT end the daemon, SIGHUP reads the configuration again.
pub fn on_signals(runtime: &Runtime, commands: &mpsc::Sender<Command>) -> std::io::Result<()> {
    let _inside = runtime.enter();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let commands = commands.clone();
    runtime.spawn(async move {
        loop {
            let command = tokio::select! {
                _ = term.recv() => Command::Stop,
                _ = int.recv() => Command::Stop,
                _ = hup.recv() => Command::Reload(None),
            };
            if commands.send(command).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Tells systemd; without it this is nothing.
pub fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("systemd was not notified: {error}");
    }
}

/// Tells systemd that it watches, and what.
pub fn ready(what: &str) {
    notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(what)]);
}

/// Ends a reload that was refused. `systemctl reload` comes back all the same,
/// so `systemctl status` shows the first problem, which names file and line.
pub fn refused(problems: &str) {
    let first = problems.lines().next().unwrap_or_default();
    ready(&format!("the old configuration is kept, the new one is invalid: {first}"));
}

/// Tells systemd that the configuration is being read again; `READY=1` ends it.
pub fn reloading() {
    match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[sd_notify::NotifyState::Reloading, now]),
        Err(error) => log::debug!("systemd was not notified: {error}"),
    }
}
