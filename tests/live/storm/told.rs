//! Every incident that was written was told: its beginning and its end, or both
//! in one notice where it was over before anybody could be told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::daemon::hook::{Answer, Hook};

/// What came of the notices.
#[derive(Debug, Default)]
pub struct Told {
    /// Notices with a key of their own that the receiver took.
    pub notices: usize,
    /// Requests that were a notice's second attempt or later.
    pub repeats: usize,
    /// Incidents told as they fired.
    pub fired: Incidents,
    /// Told to have ended, after their beginning.
    pub ended: Incidents,
    /// Told once, when they were past.
    pub past: Incidents,
    /// Past ones that a notice only counts: it names the newest of many.
    pub counted: usize,
}

/// How many incidents of an alert began at an instant: a burst may hold several
/// within a millisecond, which is what a notice says.
pub type Incidents = BTreeMap<(String, String), usize>;

pub fn add(incidents: &mut Incidents, alert: &Value, at: &Value) -> usize {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let count = incidents.entry((text(alert), text(at))).or_default();
    *count += 1;
    *count
}

impl Told {
    /// All that were told from beginning to end.
    pub fn whole(&self) -> Incidents {
        let mut all = self.ended.clone();
        for (incident, count) in &self.past {
            *all.entry(incident.clone()).or_default() += count;
        }
        all
    }
}

/// Goes through all that the receiver got; fails on two texts under one key and
/// on an end before its beginning.
pub fn told(hook: &Hook) -> Told {
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut all = Told::default();
    for request in hook.seen() {
        let key = request.header("idempotency-key").unwrap().to_owned();
        if let Some(before) = bodies.insert(key.clone(), request.body.clone()) {
            assert_eq!(before, request.body, "an attempt made again says the same");
            all.repeats += 1;
        }
        let is_taken = matches!(request.answer, Answer::Status(200) | Answer::Slow(_));
        if !is_taken || !taken.insert(key) {
            continue;
        }
        for notice in request.json()["alerts"].as_array().unwrap() {
            let text = notice["annotations"]["description"].as_str().unwrap_or_default();
            let before = text.split_once(" more of these began and ended before").map(|(before, _)| before);
            let number = before.and_then(|before| before.rsplit(' ').next());
            all.counted += number.map_or(0, |number| number.parse().unwrap());
            let (alert, at) = (&notice["labels"]["alertname"], &notice["startsAt"]);
            let incident = (alert.as_str().unwrap().to_owned(), at.as_str().unwrap().to_owned());
            let count = |of: &Incidents| of.get(&incident).copied().unwrap_or(0);
            if notice["status"] == "firing" {
                add(&mut all.fired, alert, at);
            } else if count(&all.fired) > count(&all.ended) {
                add(&mut all.ended, alert, at);
            } else {
                assert!(notice["annotations"]["notice"].is_string(), "an end without a beginning: {notice}");
                add(&mut all.past, alert, at);
            }
        }
    }
    assert_eq!(all.fired, all.ended, "who was told of a firing is told of its end");
    all.notices = taken.len();
    all
}
