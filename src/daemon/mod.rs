//! Wires the rooms, runs the loop, shuts down.
//!
//! The main loop owns the monitor on a thread of its own: sources hand it
//! batches through a bounded channel, delivery tasks hand it answers. A reload
//! stops the sources, keeps the store and starts again from what was
//! committed, so that a changed configuration and a restart are one path.

mod care;
pub mod careful;
pub mod deliver;
pub mod fallback;
mod fault;
mod gaps;
pub mod intake;
pub mod ledger;
mod main_loop;
pub mod monitor;
mod pace;
pub mod pending;
pub mod picture;
mod progress;
mod pulse;
pub mod resend;
mod refusals;
mod service;
mod vitals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::config::plan::SourceKind;
use crate::config::{Loaded, Plan, Problems};
use crate::engine::{Engine, saved};
use crate::model::{Batch, Cursor, Snapshot, SourceId};
use crate::store::{self, Store};
use crate::{clock, http, source};

use care::Care;
use careful::Careful;
use fallback::Stores;
use main_loop::{MainLoop, Outcome};
use monitor::Monitor;
use picture::Picture;

/// Batches of one source waiting for the main loop; each is at most some MiB.
const BATCHES_MAX: usize = 4;
/// Commands and answers waiting for the main loop.
const COMMANDS_MAX: usize = 1_024;
/// Sources have so long to end.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Reads the configuration, at the start and at each reload.
pub type Load = Box<dyn Fn() -> Result<Loaded, Problems> + Send>;

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The window cannot be opened.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A receiver cannot be set up.
    #[error("receiver {name}: {why}")]
    Receiver {
        /// Its name.
        name: String,
        /// Why, without secrets.
        why: String,
    },
    /// Threads or sockets cannot be had.
    #[error("cannot start")]
    Io(#[from] std::io::Error),
}

/// An error with all its causes, on one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What wakes the main loop beside lines.
#[derive(Debug)]
pub enum Command {
    /// An attempt has its answer.
    Answered(Box<deliver::Answered>),
    /// A round of what fires was taken by this receiver, or not.
    Resent(String, Result<(), String>),
    /// The heartbeat has its answer.
    HeartbeatAnswered(Result<u16, String>),
    /// The state's file is damaged.
    Damaged(store::Error),
    /// Read the configuration again; the answer says how it went.
    Reload(Option<tokio::sync::oneshot::Sender<Result<String, String>>>),
    /// A person asks for something; answered once it is committed.
    Order(http::OrderRequest),
    /// End in good order.
    Stop,
}

/// Runs until it is told to stop.
pub fn run(loaded: Loaded, load: Load) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut plan = Arc::new(loaded.plan);
    stop_at_panics();
    let mut stores = Stores { store: Store::open(&plan.daemon.state_dir)?, disk: None };
    let listener = plan.daemon.listen.map(|address| runtime.block_on(http::bind(address))).transpose()?;
    let opened = listener.as_ref().map(|listener| listener.local_addr()).transpose()?;
    let window_at = WindowAt { configured: plan.daemon.listen, opened };
    Arc::make_mut(&mut plan).daemon.listen = opened;
    let (commands, mut inbox) = mpsc::channel(COMMANDS_MAX);
    let started_at = clock::wall();
    let (published, snapshots) = watch::channel(Arc::new(Snapshot { started_at, ..Snapshot::default() }));
    let is_stopping = watch::channel(false);
    let window = listener.map(|listener| {
        let window = http::Window {
            snapshot: snapshots,
            reload: Some(forwarder(&runtime, &commands, |r: http::ReloadRequest| {
                Command::Reload(Some(r.answer))
            })),
            orders: Some(forwarder(&runtime, &commands, Command::Order)),
            hosts: hosts(&plan),
        };
        let mut stop = is_stopping.1.clone();
        let shutdown = async move {
            // Gone or told: both mean the end.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        runtime.spawn(http::serve(listener, window, shutdown))
    });
    service::on_signals(&runtime, &commands)?;
    loop {
        let senders = deliver::senders(&plan)?;
        let store = &stores.store;
        let memory = store.load(saved::KINDS)?;
        let engine = Engine::restore(plan.clone(), store.instance(), store.digest_key(), &memory.saved);
        let (batches, lines): (Vec<_>, Vec<_>) =
            plan.sources.iter().map(|_| mpsc::channel(BATCHES_MAX)).unzip();
        let intake = intake::Intake::new(lines, clock::monotonic());
        let sources = Sources::start(&runtime, &plan, &memory.cursors, batches)?;
        let care = Care::start(stores.disk.as_ref().unwrap_or(&stores.store), &commands)?;
        let deliveries = deliver::Deliveries::new(senders, commands.clone());
        let picture = (published.clone(), Picture::new(started_at));
        let careful = Careful::begin(&stores.store);
        let monitor = Monitor::new(engine, intake, stores, picture, (clock::now(), clock::boot_id()));
        let monitor = monitor.carefully(careful);
        let mut main_loop = MainLoop::new(monitor, deliveries, runtime.handle().clone());
        let outcome = main_loop.run(&mut inbox, &load);
        care.stop();
        stores = main_loop.into_stores();
        sources.stop(&runtime);
        match outcome {
            Outcome::Stopped => break,
            Outcome::Reloaded(new) => plan = window_at.keep(&plan, new),
        }
    }
    // Nobody waits for the window but a client that is being answered.
    let _ = is_stopping.0.send(true);
    if let Some(window) = window {
        let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(500), window).await });
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    match stores.disk {
        None => log::info!("stopped; the state is committed"),
        Some(_) => log::warn!(
            "stopped; the disk does not have the newest state: what came since its last commit is read again"
        ),
    }
    Ok(())
}

/// A panic in any thread or task ends the process, in every build: a source
/// that died unnoticed would be silence. What a panic says is not told, for it
/// may quote a log; where it happened is.
fn stop_at_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}; the process ends and is to be started again");
        log::logger().flush();
        #[expect(clippy::disallowed_methods, reason = "a panic in a task would not travel to the process")]
        std::process::abort();
    }));
}

/// Where the window was opened, which a reload does not change.
struct WindowAt {
    configured: Option<SocketAddr>,
    /// With the port that port 0 became.
    opened: Option<SocketAddr>,
}

impl WindowAt {
    /// The new plan, with what takes a restart as it was.
    fn keep(&self, old: &Plan, mut new: Arc<Plan>) -> Arc<Plan> {
        if self.configured != new.daemon.listen {
            log::warn!("[http] listen was changed; that takes a restart");
        }
        if old.daemon.state_dir != new.daemon.state_dir {
            log::warn!("state_dir was changed; that takes a restart");
        }
        let daemon = &mut Arc::make_mut(&mut new).daemon;
        (daemon.listen, daemon.state_dir) = (self.opened, old.daemon.state_dir.clone());
        new
    }
}

/// Names the window answers to beside those of loopback.
fn hosts(plan: &Plan) -> Vec<String> {
    let url = &plan.notify.external_url;
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    host.filter(|host| !host.is_empty()).map(str::to_owned).into_iter().collect()
}

/// Turns the window's requests into commands.
fn forwarder<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    commands: &mpsc::Sender<Command>,
    command: impl Fn(T) -> Command + Send + 'static,
) -> mpsc::Sender<T> {
    let (sender, mut requests) = mpsc::channel::<T>(4);
    let commands = commands.clone();
    runtime.spawn(async move {
        while let Some(request) = requests.recv().await {
            if commands.send(command(request)).await.is_err() {
                return;
            }
        }
    });
    sender
}

/// The running sources.
struct Sources {
    flag: Arc<AtomicBool>,
    signal: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Sources {
    fn start(
        runtime: &tokio::runtime::Runtime,
        plan: &Plan,
        cursors: &std::collections::BTreeMap<String, Cursor>,
        batches: Vec<mpsc::Sender<Batch>>,
    ) -> Result<Sources, Error> {
        let _inside = runtime.enter();
        let flag = Arc::new(AtomicBool::new(false));
        let (signal, stop) = watch::channel(false);
        let mut sources = Sources { flag, signal, threads: Vec::new(), tasks: Vec::new() };
        for (id, of) in plan.sources.iter().enumerate() {
            let id: SourceId = id;
            let cursor = cursors.get(&of.name).cloned();
            let tx = batches[id].clone();
            match &of.kind {
                SourceKind::Journal(_) => {
                    sources.threads.push(source::journal::spawn(id, of, cursor, tx, sources.flag.clone())?);
                }
                SourceKind::File(_) => {
                    sources.threads.push(source::file::spawn(id, of, cursor, tx, sources.flag.clone())?);
                }
                SourceKind::Docker(_) => {
                    sources.tasks.push(source::docker::spawn(id, of, cursor, tx, stop.clone()));
                }
            }
        }
        Ok(sources)
    }

    /// Ends them all; their channel is gone already, so none can block.
    fn stop(self, runtime: &tokio::runtime::Runtime) {
        self.flag.store(true, Ordering::Relaxed);
        // Nobody listens any more if they have ended by themselves.
        let _ = self.signal.send(true);
        let all = async {
            for task in self.tasks {
                let _ = task.await;
            }
            let threads =
                tokio::task::spawn_blocking(move || self.threads.into_iter().for_each(|t| drop(t.join())));
            let _ = threads.await;
        };
        if runtime.block_on(async { tokio::time::timeout(STOP_MAX, all).await }).is_err() {
            log::warn!("a source did not end in {}s; it goes with the process", STOP_MAX.as_secs());
        }
    }
}
