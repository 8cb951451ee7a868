//! The Docker source against a real dockerd, with a data root, socket and
//! containerd of its own. What a container wrote is known from the engine's
//! own log files, not from its API.

pub mod engine;
mod proxy;
mod reader;

mod connections;
mod containers;
mod damage;
mod forms;
mod outages;
mod rotation;

use engine::Engine;

use crate::support::journald_skip;

/// Runs a test on an engine that others use meanwhile.
fn on_shared(test: impl AsyncFnOnce(&Engine)) {
    match Engine::shared() {
        Ok(engine) => block_on(test(&engine)),
        Err(why) => journald_skip(&why),
    }
}

/// Runs a test on an engine of its own, with these options.
fn on_own(options: &[&str], test: impl AsyncFnOnce(&Engine)) {
    match Engine::with(options, None) {
        Ok(engine) => block_on(test(&engine)),
        Err(why) => journald_skip(&why),
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
}
