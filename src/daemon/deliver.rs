//! Delivery: claim (a short lease), send, record.
//!
//! Never marked before it is sent, never deleted on a failure, no transaction
//! over the network. A crash in between sends again, with the same id and the
//! same text. Each receiver has attempts of its own under way, so one that
//! hangs delays nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::ledger::Ledger;
use super::{Command, Error, fault};
use crate::clock::{self, Now};
use crate::config::Plan;
use crate::model::Time;
use crate::notifier::{self, Verdict};
use crate::store::{self, Claimed};
use crate::transport::{Answer, Sender};

/// One attempt and what came of it. Recording it takes no clock: the time is
/// an argument.
#[derive(Debug)]
pub struct Answered {
    /// What was sent.
    pub claimed: Claimed,
    /// What came back.
    pub answer: Answer,
}

/// Transports by receiver.
pub type Senders = BTreeMap<String, Arc<Sender>>;

/// Sends what is due.
pub struct Deliveries {
    senders: Senders,
    commands: mpsc::Sender<Command>,
    /// Attempts under way.
    under_way: usize,
}

/// Prepares the way to every receiver.
pub fn senders(plan: &Plan) -> Result<Senders, Error> {
    plan.receivers
        .iter()
        .map(|receiver| match Sender::new(receiver) {
            Ok(sender) => Ok((receiver.name.clone(), Arc::new(sender))),
            Err(error) => Err(Error::Receiver { name: receiver.name.clone(), why: error.to_string() }),
        })
        .collect()
}

impl Deliveries {
    /// Answers go to `commands`.
    pub fn new(senders: Senders, commands: mpsc::Sender<Command>) -> Deliveries {
        Deliveries { senders, commands, under_way: 0 }
    }

    /// Transports by receiver.
    pub fn senders(&self) -> &Senders {
        &self.senders
    }

    /// Where answers go.
    pub fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    /// Attempts whose answer has not come.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// An answer came; after a reload it may be one to an attempt of before.
    pub fn is_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Sends off what was claimed.
    pub fn send(&mut self, handle: &tokio::runtime::Handle, claimed: Vec<Claimed>) {
        for mut claimed in claimed {
            if claimed.is_over {
                notifier::mark_as_over(&mut claimed.outgoing);
            }
            for id in &claimed.supersedes {
                let by = &claimed.outgoing.id;
                log::info!("notification {id} is not sent any more: its incident is over, as {by} tells");
            }
            let (commands, sender) =
                (self.commands.clone(), self.senders.get(&claimed.outgoing.receiver).cloned());
            self.under_way += 1;
            handle.spawn(async move {
                fault::in_delivery();
                let answer = match sender {
                    Some(sender) => sender.send(&claimed.outgoing, clock::wall().as_secs()).await,
                    None => Answer::Unsendable { why: "there is no way to this receiver".to_owned() },
                };
                // The main loop is gone only when the process ends; the lease
                // then ends with it.
                let _ = commands.send(Command::Answered(Box::new(Answered { claimed, answer }))).await;
            });
        }
    }
}

impl Answered {
    /// Records what came of the attempt.
    pub fn record(&self, plan: &Plan, store: &mut impl Ledger, now: Now) -> Result<(), store::Error> {
        // Any number will do that is not the same for all.
        let jitter = now.monotonic.0 as u64;
        let now = now.wall;
        let outgoing = &self.claimed.outgoing;
        let (id, receiver) = (&outgoing.id, &outgoing.receiver);
        match self.verdict(plan, now) {
            Verdict::Accepted => {
                log::info!("notification {id} was delivered to {receiver}");
                store.record_delivered(id, now)?;
            }
            Verdict::Never { why } => {
                log::error!("notification {id} to {receiver} is given up: {why}");
                store.record_given_up(id, now, &why)?;
            }
            Verdict::Later { after, why } => {
                if let Some(after) = after {
                    store.hold_receiver(receiver, now, now.plus(after))?;
                }
                let limit = self.claimed.created_at.plus(plan.notify.give_up_after);
                let next = notifier::next_attempt(self.claimed.attempt, after, now, jitter);
                if next > limit {
                    log::error!(
                        "notification {id} to {receiver} is given up after {} attempts: {why}",
                        self.claimed.attempt
                    );
                    store.record_given_up(id, now, &why)?;
                } else {
                    log::warn!(
                        "notification {id} to {receiver} failed (attempt {}), next at {}: {why}",
                        self.claimed.attempt,
                        next.to_rfc3339()
                    );
                    store.record_failed(id, now, next, &why)?;
                }
            }
        }
        Ok(())
    }

    fn verdict(&self, plan: &Plan, now: Time) -> Verdict {
        let receiver = plan.receivers.iter().find(|r| r.name == self.claimed.outgoing.receiver);
        match (&self.answer, receiver) {
            (Answer::Status { code, retry_after, excerpt }, Some(receiver)) => {
                notifier::classify(&receiver.kind, *code, retry_after.as_deref(), excerpt, now)
            }
            (Answer::Failed { why }, _) => Verdict::Later { after: None, why: why.clone() },
            (Answer::Unsendable { why }, _) => Verdict::Never { why: why.clone() },
            // It was told; that it is told no more is another matter.
            (Answer::Status { code: 200..=299, .. }, None) => Verdict::Accepted,
            (_, None) => Verdict::Never { why: "the receiver is no longer configured".to_owned() },
        }
    }
}
