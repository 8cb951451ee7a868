//! Receivers that take, refuse, limit, hang, take and say nothing, or are away
//! for hours; and what they hold us to: the same key the same text, nothing
//! told anew under another key, order within an incident.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tocsin::model::{Outgoing, OutgoingBody, Time};
use tocsin::store::Claimed;
use tocsin::transport::Answer;

use super::random::Random;

/// An attempt under way.
pub struct Flight {
    pub claimed: Claimed,
    pub answer: Answer,
    pub answered_at: Time,
}

#[derive(Default)]
pub struct Receivers {
    moods: BTreeMap<String, (Mood, Time)>,
    got: BTreeMap<String, Got>,
    /// Deliveries of what was delivered before.
    pub repeats: u64,
}

#[derive(Default)]
struct Got {
    /// By idempotency key.
    texts: BTreeMap<String, String>,
    /// Texts to their keys.
    keys: BTreeMap<String, String>,
    /// The last notification of each thread.
    last: BTreeMap<String, u64>,
    /// Threads of what was sent while nothing was durable: after a crash it is
    /// concluded anew, and may be told in other words.
    fleeting: BTreeSet<String>,
    /// Alert, its start, and whether it fires.
    told: BTreeSet<(String, Time, bool)>,
    /// Alert and start of what was told by a state that lasts.
    owed: BTreeSet<(String, Time)>,
}

#[derive(Clone, Copy)]
enum Mood {
    Takes,
    Fails,
    Limits,
    TakesAndSaysNothing,
    Hangs,
    IsAway,
}

const MOODS: [Mood; 6] =
    [Mood::Takes, Mood::Fails, Mood::Limits, Mood::TakesAndSaysNothing, Mood::Hangs, Mood::IsAway];

impl Receivers {
    /// One of them changes its ways for a while.
    pub fn change(&mut self, random: &mut Random, name: &str, at: Time) {
        let mood = *random.one_of(&MOODS);
        let long = if matches!(mood, Mood::IsAway) { 10_800 } else { 400 };
        let until = at.plus(random.span(Duration::from_secs(5), Duration::from_secs(long)));
        self.moods.insert(name.to_owned(), (mood, until));
    }

    pub fn heal(&mut self) {
        self.moods.clear();
    }

    /// One attempt.
    pub fn send(&mut self, claimed: Claimed, is_durable: bool, random: &mut Random, at: Time) -> Flight {
        let is_durable = is_durable && !claimed.is_over && claimed.supersedes.is_empty();
        let mood = self.moods.get(&claimed.outgoing.receiver);
        let mood = mood.filter(|(_, until)| at < *until).map_or(Mood::Takes, |(mood, _)| *mood);
        if matches!(mood, Mood::Takes | Mood::TakesAndSaysNothing) {
            self.take(&claimed.outgoing, is_durable);
        }
        let status = |code, retry_after: Option<u64>| Answer::Status {
            code,
            retry_after: retry_after.map(|secs| secs.to_string()),
            excerpt: String::new(),
        };
        let soon = random.span(Duration::from_millis(5), Duration::from_secs(3));
        let limit = Duration::from_secs(10);
        let failed = |why: &str| Answer::Failed { why: why.to_owned() };
        let (answer, after) = match mood {
            Mood::Takes => (status(200, None), soon),
            Mood::Fails => (status(500, None), soon),
            Mood::Limits => (status(429, Some(random.below(4_000))), soon),
            Mood::TakesAndSaysNothing | Mood::Hangs => (failed("no answer in time"), limit),
            Mood::IsAway => (failed("connection refused"), Duration::from_millis(2)),
        };
        Flight { claimed, answer, answered_at: at.plus(after) }
    }

    fn take(&mut self, outgoing: &Outgoing, is_durable: bool) {
        let Outgoing { id, receiver, thread, body, .. } = outgoing;
        let text = serde_json::to_string(body).unwrap();
        let got = self.got.entry(receiver.clone()).or_default();
        if !is_durable {
            got.fleeting.insert(thread.clone());
        }
        if !got.fleeting.contains(thread) {
            if let Some(before) = got.texts.get(id) {
                assert_eq!(*before, text, "{id} is repeated with another text");
                self.repeats += 1;
                return;
            }
            let nameless = text.replace(id.as_str(), "");
            if let Some(other) = got.keys.insert(nameless, id.clone()) {
                panic!("{id} says what {other} said");
            }
            let sequence = sequence(id, receiver);
            let last = got.last.insert(thread.clone(), sequence);
            assert!(last.is_none_or(|last| last < sequence), "{id} came after {last:?} of its thread");
        }
        got.texts.insert(id.clone(), text);
        let OutgoingBody::Http { body, .. } = body else { return };
        let body: Value = serde_json::from_str(body).unwrap();
        for alert in body["alerts"].as_array().unwrap() {
            let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
            let at = Time::parse_rfc3339(alert["startsAt"].as_str().unwrap()).unwrap();
            let is_firing = alert["status"] == "firing";
            if is_firing && !got.fleeting.contains(thread) {
                got.owed.insert((name.clone(), at));
            }
            got.told.insert((name, at, is_firing));
        }
    }

    /// The receiver was told of the firing, and so is to be told of the end.
    pub fn is_owed_an_end(&self, receiver: &str, alert: &str, starts_at: Time) -> bool {
        let owed = |got: &Got| got.owed.contains(&(alert.to_owned(), shown(starts_at)));
        self.got.get(receiver).is_some_and(owed)
    }

    /// The receiver was told that this fires, or that it has ended.
    pub fn was_told(&self, receiver: &str, alert: &str, starts_at: Time, is_firing: bool) -> bool {
        let told = |got: &Got| got.told.contains(&(alert.to_owned(), shown(starts_at), is_firing));
        self.got.get(receiver).is_some_and(told)
    }
}

/// The number within its thread: `…-<number>-<receiver>`.
fn sequence(id: &str, receiver: &str) -> u64 {
    let head = id.strip_suffix(receiver).and_then(|head| head.strip_suffix('-')).unwrap();
    head.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap()
}

/// Texts have milliseconds.
fn shown(at: Time) -> Time {
    Time::parse_rfc3339(&at.to_rfc3339()).unwrap()
}
