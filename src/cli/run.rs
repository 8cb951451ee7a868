//! `tocsin run`: the daemon.

use std::path::{Path, PathBuf};

use super::{CANNOT_OPEN, UNUSABLE, files, own_log};
use crate::config::{Loaded, Problems};
use crate::daemon::{self, Error};

/// Runs the daemon; returns the exit code.
pub fn run(config: &Path) -> u8 {
    own_log::start(log::LevelFilter::Info);
    let loaded = match files::load(config) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let path: PathBuf = config.to_owned();
    serve(loaded, Box::new(move || files::load(&path)))
}

/// Runs a loaded configuration until it is told to stop.
pub fn serve(loaded: Loaded, load: daemon::Load) -> u8 {
    match daemon::run(loaded, load) {
        Ok(()) => 0,
        Err(error) => {
            say(&daemon::with_causes(&error));
            match error {
                Error::Store(_) | Error::Io(_) => CANNOT_OPEN,
                Error::Http(_) | Error::Receiver { .. } => UNUSABLE,
            }
        }
    }
}

/// Under systemd the journal shows it as an error, and not as output.
fn refuse(problems: &Problems) -> u8 {
    if !systemd_journal_logger::connected_to_journal() {
        return super::refuse(problems);
    }
    for problem in &problems.0 {
        log::error!("{problem}");
    }
    UNUSABLE
}

/// Why there is no daemon, in the words of every other command.
fn say(why: &str) {
    if systemd_journal_logger::connected_to_journal() {
        log::error!("{why}");
    } else {
        eprintln!("error: {why}");
    }
}
