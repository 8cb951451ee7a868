//! Sources as the daemon meets them: they send batches that end at a cursor,
//! go on from it after a restart, fall behind, are lost and come back. One that
//! says that it is live has sent all that was written until then.

use std::collections::BTreeMap;
use std::time::Duration;

use tocsin::model::{Batch, Cursor, Reading, SourceId, SourceState, Time};
use tokio::sync::mpsc;

use super::random::Random;
use super::script::Script;

/// As many as the daemon lets wait.
const BATCHES_MAX: usize = 4;

pub struct Sources(Vec<Source>);

struct Source {
    id: SourceId,
    /// Its entries in the script.
    log: Vec<usize>,
    /// How many of them it has sent.
    sent: usize,
    out: Option<mpsc::Sender<Batch>>,
    said: Option<SourceState>,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Live,
    /// Until then it sends little or nothing.
    Behind(Time),
    Lost(Time),
}

impl Sources {
    pub fn new(script: &Script, count: usize) -> Sources {
        let of = |id| {
            let own = script.entries.iter().enumerate().filter(|(_, entry)| entry.source == id);
            let log = own.map(|(i, _)| i).collect();
            Source { id, log, sent: 0, out: None, said: None, mode: Mode::Behind(Time::MIN) }
        };
        Sources((0..count).map(of).collect())
    }

    /// Goes on from the cursors; gives the other ends.
    pub fn start(
        &mut self,
        names: &[&str],
        cursors: &BTreeMap<String, Cursor>,
    ) -> Vec<mpsc::Receiver<Batch>> {
        let start = |(source, name): (&mut Source, &&str)| {
            let (out, other_end) = mpsc::channel(BATCHES_MAX);
            source.out = Some(out);
            source.said = None;
            source.sent = cursors.get(*name).map_or(0, |cursor| cursor.0.parse().unwrap());
            if source.mode == Mode::Live {
                source.mode = Mode::Behind(Time::MIN);
            }
            other_end
        };
        self.0.iter_mut().zip(names).map(start).collect()
    }

    /// One of them fails for a while; gives which, and until when it is lost.
    pub fn fail(&mut self, random: &mut Random, at: Time) -> Option<(SourceId, Time)> {
        let which = random.below(self.0.len() as u64) as usize;
        let until = at.plus(random.span(Duration::from_secs(1), Duration::from_secs(1_500)));
        let is_lost = random.chance(500);
        self.0[which].mode = if is_lost { Mode::Lost(until) } else { Mode::Behind(until) };
        is_lost.then_some((which, until))
    }

    pub fn heal(&mut self) {
        for source in &mut self.0 {
            if source.mode != Mode::Live {
                source.mode = Mode::Behind(Time::MIN);
            }
        }
    }

    /// All is sent and said.
    pub fn are_done(&self) -> bool {
        self.0.iter().all(|s| s.sent == s.log.len() && s.said == Some(SourceState::Live))
    }

    pub fn deliver(&mut self, script: &Script, random: &mut Random, at: Time) {
        for source in &mut self.0 {
            source.deliver(script, random, at);
        }
    }
}

impl Source {
    fn deliver(&mut self, script: &Script, random: &mut Random, at: Time) {
        match self.mode {
            Mode::Lost(until) if at < until => {
                self.say(SourceState::Lost { why: "gone".to_owned() });
            }
            Mode::Lost(_) => self.mode = Mode::Behind(Time::MIN),
            Mode::Behind(until) if at < until => {
                if self.say(SourceState::Behind) && random.chance(200) {
                    let some = random.below(5) as usize;
                    self.send(script, random, (at, some));
                }
            }
            Mode::Behind(_) => {
                // Whoever has little to catch up with may not mention it.
                let is_told = self.said.is_none() && random.chance(300);
                if (is_told || self.say(SourceState::Behind))
                    && self.send(script, random, (at, usize::MAX))
                    && self.say(SourceState::Live)
                {
                    self.mode = Mode::Live;
                }
            }
            Mode::Live => {
                self.send(script, random, (at, usize::MAX));
            }
        }
    }

    /// True once it is said.
    fn say(&mut self, state: SourceState) -> bool {
        self.said.as_ref() == Some(&state) || {
            let is_sent = self.put(vec![Reading::State(state.clone())]);
            if is_sent {
                self.said = Some(state);
            }
            is_sent
        }
    }

    /// Sends at most `most` of what was written until `at`; true if all of it
    /// is sent.
    fn send(&mut self, script: &Script, random: &mut Random, (at, most): (Time, usize)) -> bool {
        let waiting = self.log[self.sent..].iter().take_while(|i| script.entries[**i].at <= at).count();
        let mut left = waiting.min(most);
        while left > 0 {
            let size = if random.chance(700) { left } else { 1 + random.below(left as u64) as usize };
            let entries = &self.log[self.sent..self.sent + size];
            let readings = entries.iter().map(|i| script.entries[*i].reading.clone()).collect();
            self.sent += size;
            if !self.put(readings) {
                self.sent -= size;
                return false;
            }
            left -= size;
        }
        waiting <= most
    }

    fn put(&mut self, readings: Vec<Reading>) -> bool {
        let cursor = Some(Cursor(self.sent.to_string()));
        let batch = Batch { source: self.id, readings, cursor };
        self.out.as_ref().is_some_and(|out| out.try_send(batch).is_ok())
    }
}
