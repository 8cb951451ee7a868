//! Care for the state's file, on a thread of its own: what it costs no commit
//! waits for.
//!
//! Moves the log into the file and looks whether the file is still whole.
//! Decides nothing: damage is handed to the main loop. A slow disk makes the
//! log longer, not the loop slower. A thread that hangs in the disk goes with
//! the process; nobody waits for it for long.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Command, with_causes};
use crate::store::{Checkpointer, Error, Store};

/// The log is moved into the file so often.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// The file is looked through at every so many checkpoints, first at once.
const CHECK_EVERY: u32 = 6;
/// At the end it may take so long to come to its own.
const STOP_MAX: Duration = Duration::from_secs(1);

/// The running thread.
pub struct Care {
    stop: Sender<()>,
    /// Nothing is sent; it closes when the thread has ended.
    ended: Receiver<()>,
}

impl Care {
    /// For the file of `store`; for one in memory there is nothing to do.
    pub fn start(store: &Store, commands: &mpsc::Sender<Command>) -> std::io::Result<Care> {
        let (stop, stopped) = channel();
        let (ending, ended) = channel();
        if let Some(checkpointer) = store.checkpointer() {
            let commands = commands.clone();
            let body = move || {
                care(&checkpointer, &commands, &stopped);
                drop::<Sender<()>>(ending);
            };
            std::thread::Builder::new().name("care".to_owned()).spawn(body)?;
        }
        Ok(Care { stop, ended })
    }

    /// Ends it.
    pub fn stop(self) {
        drop(self.stop);
        if self.ended.recv_timeout(STOP_MAX) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the state's log is still being moved into its file; that goes with the process");
        }
    }
}

fn care(checkpointer: &Checkpointer, commands: &mpsc::Sender<Command>, stopped: &Receiver<()>) {
    for round in 0_u32.. {
        if round % CHECK_EVERY == 0
            && let Err(error @ Error::Damaged { .. }) = checkpointer.check()
            && commands.blocking_send(Command::Damaged(error)).is_err()
        {
            return;
        }
        // A file that is gone or full is the next commit's to say.
        if let Err(error) = checkpointer.run() {
            log::debug!("the state was not checkpointed: {}", with_causes(&error));
        }
        if stopped.recv_timeout(CHECKPOINT) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
