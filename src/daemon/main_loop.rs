//! The loop: wait, take what has come, let the monitor decide, send what it
//! claimed. What is decided, and in which order, stands in `monitor`.
//!
//! Here are the clocks, the waiting, the commands and systemd; nothing here
//! may decide what is counted or told.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::deliver::{self, Deliveries};
use super::fallback::Stores;
use super::monitor::{Monitor, Step};
use super::resend::{self, Resending};
use super::vitals::{self, Vitals};
use super::{Command, Load, service, with_causes};
use crate::clock;
use crate::config::{Loaded, Plan};
use crate::store::Store;

/// The loop looks around at least so often.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// What is under way to receivers may take so long at the end.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How the loop ended.
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// Another configuration is to be run.
    Reloaded(Arc<Plan>),
}

/// The loop and what it owns.
pub struct MainLoop {
    monitor: Monitor<Store>,
    handle: Handle,
    deliveries: Deliveries,
    vitals: Vitals,
    resending: Resending,
    is_announced: bool,
}

impl MainLoop {
    /// Around a monitor; what it claims goes out by `deliveries`.
    pub fn new(monitor: Monitor<Store>, deliveries: Deliveries, handle: Handle) -> MainLoop {
        let vitals = Vitals::new(clock::monotonic());
        MainLoop { monitor, handle, deliveries, vitals, resending: Resending::default(), is_announced: false }
    }

    /// The stores, with everything on the disk that it takes.
    pub fn into_stores(self) -> Stores<Store> {
        self.monitor.into_stores(clock::now())
    }

    /// Runs until it is told to stop or to change its configuration.
    pub fn run(&mut self, inbox: &mut mpsc::Receiver<Command>, load: &Load) -> Outcome {
        let mut is_more_there = false;
        let mut are_all_over = false;
        // What was known before is shown from the first question on.
        self.monitor.publish(clock::now());
        loop {
            let woken = self.wait(inbox, is_more_there);
            if let Woken::Command(command) = woken
                && let Some(outcome) = self.command(command.unwrap_or(Command::Stop), load)
            {
                if matches!(outcome, Outcome::Stopped) {
                    self.drain(inbox);
                }
                self.monitor.finish(clock::now());
                return outcome;
            }
            is_more_there = self.take_waiting();
            let claimed = self.monitor.turn(clock::now());
            self.deliveries.send(&self.handle, claimed);
            self.resend();
            self.look_after_itself();
            if self.monitor.intake().is_over() && !are_all_over {
                log::error!("every source has ended; nothing is watched");
                are_all_over = true;
            }
        }
    }

    fn wait(&mut self, inbox: &mut mpsc::Receiver<Command>, is_more_there: bool) -> Woken {
        let now = clock::now();
        let wait = if is_more_there {
            Duration::ZERO
        } else {
            let until = self.monitor.next_wake(now).unwrap_or(now.monotonic.plus(LOOK_AROUND));
            until.since(now.monotonic).min(LOOK_AROUND)
        };
        let intake = self.monitor.intake();
        self.handle.block_on(async {
            tokio::select! {
                biased;
                command = inbox.recv() => Woken::Command(command),
                () = intake.arrival() => Woken::Lines,
                () = tokio::time::sleep(wait) => Woken::Time,
            }
        })
    }

    /// Takes what is there, up to a commit's worth; true if there may be more.
    fn take_waiting(&mut self) -> bool {
        loop {
            match self.monitor.take_next(clock::now()) {
                Step::Taken => {}
                Step::CommitIsDue => return true,
                Step::Nothing => return false,
            }
        }
    }

    /// Lets what is under way to receivers come to its end: what is not
    /// recorded is sent again at the next start.
    fn drain(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let until = clock::monotonic().plus(DRAIN_MAX);
        while self.deliveries.under_way() > 0 {
            let left = until.since(clock::monotonic());
            let next = self.handle.block_on(async { tokio::time::timeout(left, inbox.recv()).await });
            match next {
                Ok(Some(Command::Answered(answered))) => self.answered(&answered),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn answered(&mut self, answered: &deliver::Answered) {
        self.deliveries.is_back();
        self.monitor.answered(answered, clock::now());
        self.resending.wake(&answered.claimed.outgoing.receiver);
    }

    fn command(&mut self, command: Command, load: &Load) -> Option<Outcome> {
        match command {
            Command::Stop => {
                service::notify(&[sd_notify::NotifyState::Stopping]);
                return Some(Outcome::Stopped);
            }
            Command::Answered(answered) => self.answered(&answered),
            Command::Resent(receiver, result) => self.resending.answered(&receiver, &result),
            Command::HeartbeatAnswered(answer) => {
                let error = vitals::heartbeat_error(answer);
                self.monitor.picture().pulse().heartbeat(error, clock::wall());
            }
            Command::Damaged(error) => self.monitor.condemn(&error, clock::now()),
            Command::Reload(answer) => return self.reload(answer, load),
            Command::Order(request) => {
                let answer = self.monitor.order(&request.order, clock::now());
                // Who asked may have gone.
                let _ = request.answer.send(answer);
            }
        }
        None
    }

    /// An invalid configuration keeps the old one and says so.
    fn reload(
        &mut self,
        answer: Option<tokio::sync::oneshot::Sender<Result<String, String>>>,
        load: &Load,
    ) -> Option<Outcome> {
        service::reloading();
        let result = self.load(load);
        let told = result.as_ref().map(|_| "the configuration was read again".to_owned());
        let told = told.map_err(|(_, why)| why.clone());
        if let Some(answer) = answer {
            // Who asked may have gone.
            let _ = answer.send(told);
        }
        match result {
            Ok(loaded) => {
                log::info!("the configuration was read again");
                Some(Outcome::Reloaded(Arc::new(loaded.plan)))
            }
            Err((what, why)) => {
                log::error!("{what}, the old one is kept:\n{why}");
                self.monitor.picture().reload_failed();
                self.monitor.publish(clock::now());
                service::refused(&why);
                None
            }
        }
    }

    /// The new configuration, or what is wrong and why.
    fn load(&self, load: &Load) -> Result<Loaded, (&'static str, String)> {
        let loaded = load().map_err(|problems| ("the configuration is invalid", problems.to_string()))?;
        deliver::senders(&loaded.plan).map_err(|e| ("the configuration is invalid", e.to_string()))?;
        // A new one goes on from the state; this one can do without.
        let state = self.monitor.check_state();
        state.map_err(|error| ("the configuration cannot be changed", with_causes(&error)))?;
        Ok(loaded)
    }

    /// Tells again of what fires, where it has to be told again.
    fn resend(&mut self) {
        // What is not committed would be decided again after a crash.
        if !self.monitor.is_committed() {
            return;
        }
        let plan = self.monitor.plan().clone();
        let due = self.resending.due(&plan, self.monitor.engine(), clock::now());
        for round in due {
            let way = (&self.handle, self.deliveries.commands());
            resend::send(round, (&plan, self.deliveries.senders()), way);
        }
    }

    /// Readiness, watchdog, heartbeat.
    fn look_after_itself(&mut self) {
        let monotonic = clock::monotonic();
        let snapshot = self.monitor.snapshot();
        if !self.is_announced && snapshot.is_watching() {
            self.is_announced = true;
            self.announce();
        }
        self.vitals.unmatched(self.monitor.engine(), monotonic);
        self.vitals.watchdog(monotonic);
        if let Some(plan) = self.monitor.plan().clone().daemon.heartbeat.as_ref() {
            let daemon = self.monitor.plan().clone();
            let stuck_for = self.monitor.picture().pulse().stuck_for(&daemon.daemon, clock::wall());
            let is_well = stuck_for.is_none() && vitals::is_well(&snapshot);
            self.vitals.heartbeat(plan, is_well, monotonic, (&self.handle, self.deliveries.commands()));
        }
    }

    fn announce(&self) {
        let plan = self.monitor.plan();
        let sources: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
        let window = plan.daemon.listen.map_or("off".to_owned(), |address| format!("http://{address}/"));
        let (version, sources) = (env!("CARGO_PKG_VERSION"), sources.join(", "));
        let watches = format!("watches {sources}; {} rules; status {window}", plan.rules.len());
        service::ready(&watches);
        log::info!("tocsin {version} {watches}");
        if plan.receivers.is_empty() {
            log::warn!("no [[receiver]] is configured: alerts are logged and shown, and nobody is told");
        }
    }
}

/// What woke the loop.
enum Woken {
    Command(Option<Command>),
    Lines,
    Time,
}
