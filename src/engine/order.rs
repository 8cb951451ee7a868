//! Orders of a person: silences, acknowledgements, closing by hand.
//!
//! They come in as inputs like lines and change nothing but what they say: an
//! acknowledgement and a silence change no alert, so neither timeline nor
//! metrics nor inhibition.

use crate::model::{Acknowledgement, Order, Refusal};

use super::Engine;
use super::alert::OpenIncident;
use super::silence;

impl Engine {
    /// Carries an order out; the number of the silence or incident.
    pub(super) fn order(&mut self, order: &Order) -> Result<u64, Refusal> {
        let now = self.clocks.process;
        let done = match order {
            Order::Silence { .. } => self.silences.add(order, &self.plan.redactor, now),
            Order::Expire(number) => self.silences.expire(*number, now),
            Order::Acknowledge { incident, by, comment } => self.acknowledge(*incident, by, comment),
            Order::Close { incident, reason } => self.close(*incident, reason),
        };
        if done.is_ok() {
            // What it keeps back, or no longer does, is decided at once.
            self.router.wake(now);
        }
        done
    }

    fn acknowledge(&mut self, number: u64, by: &str, comment: &str) -> Result<u64, Refusal> {
        let by = silence::name(&self.plan.redactor, by)?;
        let comment = silence::comment_of(&self.plan.redactor, comment);
        let at = self.clocks.process;
        let open = self.alerts.open.get_mut(&number).ok_or_else(|| not_open(number))?;
        let severity = open.incident.severity;
        open.acknowledged = Some(Acknowledgement { at, by, comment, severity });
        open.annotate();
        self.alerts.dirty_incidents.insert(number);
        Ok(number)
    }

    fn close(&mut self, number: u64, reason: &str) -> Result<u64, Refusal> {
        let open = self.alerts.open.get(&number).ok_or_else(|| not_open(number))?;
        let rule = self.plan.rules.iter().position(|r| r.name == open.rule);
        let rule = rule.ok_or_else(|| not_open(number))?;
        let reason = match silence::comment_of(&self.plan.redactor, reason) {
            why if why.is_empty() => "closed by hand".to_owned(),
            why => format!("closed by hand: {why}"),
        };
        let at = self.clocks.process;
        self.with_moment(rule, at, |alerts, moment| alerts.end_by(moment, number, &reason));
        Ok(number)
    }

    /// What keeps the notices of an open incident back now, a line each.
    pub fn silencers(&self, number: u64) -> Vec<String> {
        let Some(open) = self.alerts.open.get(&number) else { return Vec::new() };
        let now = self.clocks.process;
        let silences = self.silences.of(open.labelled(), now);
        let by_hand = silences
            .map(|s| format!("silence {} by {} until {}: {}", s.number, s.created_by, s.ends_at, s.comment));
        let maintenance = self.plan.maintenance.iter().filter(|m| m.holds(&self.plan, open.labelled(), now));
        by_hand.chain(maintenance.map(|m| format!("maintenance {}", m.name))).collect()
    }

    /// All silences, oldest first.
    pub fn silences(&self) -> Vec<crate::model::Silence> {
        self.silences.all().cloned().collect()
    }
}

impl OpenIncident {
    /// Whether reminders of it are called off: it is as it was when somebody
    /// said that he sees to it.
    pub fn is_seen_to(&self) -> bool {
        self.acknowledged.as_ref().is_some_and(|a| self.incident.severity <= a.severity)
    }

    /// Says in its annotations who sees to it.
    pub(super) fn annotate(&mut self) {
        if let Some(Acknowledgement { at, by, comment, .. }) = &self.acknowledged {
            let colon = if comment.is_empty() { "" } else { ": " };
            let text = format!("by {by} at {at}{colon}{comment}");
            self.incident.annotations.insert("acknowledged".to_owned(), text);
        }
    }
}

fn not_open(number: u64) -> Refusal {
    Refusal::Unknown(format!("there is no open incident {number}"))
}
