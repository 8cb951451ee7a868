//! Tells Alertmanager again and again of what fires, and for a while of what
//! ended, as it needs: it forgets what it is not told of.
//!
//! Nothing of this is stored, and nothing waits in the outbox: a round that
//! fails is made up for by the next. What is resent is what the engine knows
//! was told to the receiver, so it stands as it was after a kill and goes on
//! with the first turn of the loop. That a label set ended is remembered here
//! and only here; the stored notice of the end does not depend on it, and what
//! nobody resends any more Alertmanager ends by itself. A round follows every
//! stored notice that was taken, so that an alert is believed until its
//! `endsAt` and not for a `resolve_timeout` that may be shorter than a round.
//! An answer that is late lets the next round wait.
//!
//! What was told and is inhibited or silenced here afterwards is resent all
//! the same: else Alertmanager would tell of an end that is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Command;
use super::deliver::Senders;
use crate::clock::Now;
use crate::config::Plan;
use crate::config::plan::ReceiverKind;
use crate::engine::Engine;
use crate::model::{AlertNotice, Outgoing, OutgoingBody, Time};
use crate::notifier::{self, Resent, Verdict};
use crate::transport::{Answer, Sender};

/// What ended is told of for so long, as Prometheus does.
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);
/// An alert is believed for so many intervals; rounds may fail meanwhile.
const INTERVALS_BELIEVED: u32 = 4;
/// Label sets that ended, remembered for one receiver; of more, the oldest go.
const ENDED_MAX: usize = 1_024;

/// What is resent, by receiver.
#[derive(Default)]
pub struct Resending {
    receivers: BTreeMap<String, Told>,
}

/// What one receiver was told.
#[derive(Default)]
struct Told {
    /// By alert, labels and severity.
    sets: BTreeMap<String, Resent>,
    /// The next round, on the monotonic clock.
    due_at: Option<Time>,
    is_under_way: bool,
    has_failed: bool,
}

impl Resending {
    /// A round of these receivers is due at once: they took a notice.
    pub fn wake(&mut self, receiver: &str) {
        if let Some(told) = self.receivers.get_mut(receiver) {
            told.due_at = None;
        }
    }

    /// What is to be sent now. The engine is asked only when a round is due.
    pub fn due(&mut self, plan: &Plan, engine: &Engine, now: Now) -> Vec<(String, Vec<OutgoingBody>)> {
        let mut out = Vec::new();
        for receiver in &plan.receivers {
            let ReceiverKind::Alertmanager(of) = &receiver.kind else { continue };
            let told = self.receivers.entry(receiver.name.clone()).or_default();
            if told.is_under_way || told.due_at.is_some_and(|at| now.monotonic < at) {
                continue;
            }
            told.due_at = Some(now.monotonic.plus(of.resend_every));
            told.take(engine.told(&receiver.name), now.wall, of.resend_every * INTERVALS_BELIEVED);
            let alerts: Vec<Resent> = told.sets.values().cloned().collect();
            if !alerts.is_empty() {
                told.is_under_way = true;
                out.push((receiver.name.clone(), notifier::resend(&alerts, &plan.notify, &plan.redactor)));
            }
        }
        out
    }

    /// How a round went; a change is said once.
    pub fn answered(&mut self, receiver: &str, result: &Result<(), String>) {
        let Some(told) = self.receivers.get_mut(receiver) else { return };
        told.is_under_way = false;
        match result {
            Err(why) if !told.has_failed => {
                log::warn!("{receiver} does not take what fires: {why}; it is told again and again");
            }
            Ok(()) if told.has_failed => log::info!("{receiver} takes what fires again"),
            _ => {}
        }
        told.has_failed = result.is_err();
    }
}

impl Told {
    /// Brings the label sets up to date; what is told no more has ended now.
    fn take(&mut self, alerts: Vec<AlertNotice>, now: Time, believed_for: Duration) {
        let current: BTreeMap<String, AlertNotice> = alerts.into_iter().map(|a| (set_of(&a), a)).collect();
        for (set, told) in &mut self.sets {
            if told.alert.is_firing && !current.contains_key(set) {
                told.alert.is_firing = false;
                told.ends_at = now;
            }
        }
        for (set, alert) in current {
            let ended_at = alert.ends_at.filter(|_| !alert.is_firing);
            let ends_at = ended_at.unwrap_or_else(|| now.plus(believed_for));
            self.sets.insert(set, Resent { alert, ends_at });
        }
        self.sets.retain(|_, told| told.alert.is_firing || now.since(told.ends_at) < ENDED_FOR);
        let mut ended: Vec<(Time, String)> = self
            .sets
            .iter()
            .filter(|(_, t)| !t.alert.is_firing)
            .map(|(s, t)| (t.ends_at, s.clone()))
            .collect();
        ended.sort();
        for (_, set) in &ended[..ended.len().saturating_sub(ENDED_MAX)] {
            self.sets.remove(set);
        }
    }
}

/// What makes an alert of its own at Alertmanager.
fn set_of(alert: &AlertNotice) -> String {
    format!("{:?}", (&alert.alert, alert.severity, &alert.labels))
}

/// Sends a round off; its answer comes to `commands`.
pub fn send(
    round: (String, Vec<OutgoingBody>),
    (plan, senders): (&Arc<Plan>, &Senders),
    (handle, commands): (&Handle, &mpsc::Sender<Command>),
) {
    let (receiver, bodies) = round;
    let (plan, sender, commands) = (plan.clone(), senders.get(&receiver).cloned(), commands.clone());
    handle.spawn(async move {
        let result = match sender {
            Some(sender) => round_trip(&plan, &sender, &receiver, bodies).await,
            None => Err("there is no way to it".to_owned()),
        };
        // The loop is gone only when the process ends.
        let _ = commands.send(Command::Resent(receiver, result)).await;
    });
}

async fn round_trip(
    plan: &Plan,
    sender: &Sender,
    receiver: &str,
    bodies: Vec<OutgoingBody>,
) -> Result<(), String> {
    let Some(of) = plan.receivers.iter().find(|r| r.name == receiver) else { return Ok(()) };
    for body in bodies {
        let (id, thread) = (String::new(), String::new());
        let outgoing = Outgoing { id, receiver: receiver.to_owned(), thread, body, end: None };
        let now = crate::clock::wall();
        match sender.send(&outgoing, now.as_secs()).await {
            Answer::Status { code, retry_after, excerpt } => {
                match notifier::classify(&of.kind, code, retry_after.as_deref(), &excerpt, now) {
                    Verdict::Accepted => {}
                    Verdict::Later { why, .. } | Verdict::Never { why } => return Err(why),
                }
            }
            Answer::Failed { why } | Answer::Unsendable { why } => return Err(why),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    const BELIEVED: Duration = Duration::from_secs(240);

    fn alert(severity: Severity) -> AlertNotice {
        AlertNotice {
            alert: "Failing".to_owned(),
            incident: 1,
            is_firing: true,
            severity,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            starts_at: Time::from_secs(1),
            ends_at: None,
            value: 0.0,
        }
    }

    fn sets(told: &Told) -> Vec<(Severity, bool, i64)> {
        let of = |r: &Resent| (r.alert.severity, r.alert.is_firing, r.ends_at.as_secs());
        told.sets.values().map(of).collect()
    }

    #[test]
    fn what_fires_ends_ahead_and_what_ended_is_told_for_a_quarter_of_an_hour() {
        let (mut told, at) = (Told::default(), Time::from_secs);
        told.take(vec![alert(Severity::Warning)], at(100), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Warning, true, 340)]);
        told.take(vec![alert(Severity::Critical)], at(160), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Critical, true, 400), (Severity::Warning, false, 160)]);
        told.take(Vec::new(), at(220), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Critical, false, 220), (Severity::Warning, false, 160)]);
        told.take(Vec::new(), at(160 + 900), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Critical, false, 220)]);
        told.take(vec![alert(Severity::Critical)], at(1_070), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Critical, true, 1_310)]);
        told.take(Vec::new(), at(1_080), BELIEVED);
        told.take(Vec::new(), at(1_980), BELIEVED);
        assert_eq!(sets(&told), []);
    }

    #[test]
    fn an_end_that_is_known_is_told_as_it_was() {
        let mut told = Told::default();
        let ended =
            AlertNotice { is_firing: false, ends_at: Some(Time::from_secs(90)), ..alert(Severity::Info) };
        told.take(vec![ended], Time::from_secs(100), BELIEVED);
        assert_eq!(sets(&told), [(Severity::Info, false, 90)]);
    }
}
