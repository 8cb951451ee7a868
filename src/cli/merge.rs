//! Merges the readings of several inputs into what the engine takes.
//!
//! Inputs are merged by each one's running maximum of transport time; at equal
//! times the source that stands first in the configuration goes first. Each
//! entry moves the other sources on, but none past what its own next entry
//! will say. Opens nothing and prints nothing.

use std::time::Duration;

use crate::engine::clocks::Stamp;
use crate::engine::{Engine, Input, Move, Output};
use crate::model::{Reading, SourceId, Time};

/// The readings of one input.
pub type Readings = Box<dyn Iterator<Item = anyhow::Result<Reading>>>;

/// Where the clock runs on to.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// This time; what is later is dropped.
    At(Time),
    /// So long after the last entry.
    After(Duration),
}

/// One input on its way through the merge.
struct Lane {
    source: SourceId,
    readings: Readings,
    next: Option<Reading>,
    /// Running maximum of transport time.
    key: Time,
    /// Its last entry that was handed out.
    last: Option<Stamp>,
}

/// What the engine is to be handed next.
#[derive(Debug)]
pub struct Step {
    /// The entry and its source; `None`: only clocks are moved on.
    pub entry: Option<(SourceId, Reading)>,
    /// Other sources, moved on with it.
    pub moves: Vec<Move>,
    /// The time of the replay.
    pub now: Time,
    /// It was the last entry of its source.
    pub is_last: bool,
}

/// Where the merge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Entries,
    Done,
}

/// The merge.
pub struct Merge {
    lanes: Vec<Lane>,
    since: Option<Time>,
    until: Option<Until>,
    stage: Stage,
    last: Time,
    failed: Option<anyhow::Error>,
}

impl Merge {
    /// Of these inputs; a source may have several.
    pub fn new(inputs: Vec<(SourceId, Readings)>, since: Option<Time>, until: Option<Until>) -> Merge {
        let lane = |(source, readings)| Lane { source, readings, next: None, key: Time::MIN, last: None };
        let mut lanes: Vec<Lane> = inputs.into_iter().map(lane).collect();
        lanes.sort_by_key(|lane| lane.source);
        Merge { lanes, since, until, stage: Stage::Begin, last: Time::MIN, failed: None }
    }

    /// Why an input could not be read to its end, if one could not.
    pub fn failed(&self) -> Option<&anyhow::Error> {
        self.failed.as_ref()
    }

    /// What comes next; `None` at the end.
    pub fn step(&mut self) -> Option<Step> {
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Entries;
                for i in 0..self.lanes.len() {
                    self.fill(i);
                }
                self.last = self.since.unwrap_or(Time::MIN);
                match self.since {
                    Some(since) => Some(self.advance(since, true)),
                    None => self.step(),
                }
            }
            Stage::Entries => match self.first() {
                Some(i) => self.entry(i),
                None => {
                    self.stage = Stage::Done;
                    self.run_on()
                }
            },
            Stage::Done => None,
        }
    }

    /// The lane whose entry comes first.
    fn first(&self) -> Option<usize> {
        let waiting = self.lanes.iter().enumerate().filter(|(_, lane)| lane.next.is_some());
        waiting.min_by_key(|(_, lane)| (lane.key, lane.source)).map(|(i, _)| i)
    }

    /// One entry, with the others moved on to its time.
    fn entry(&mut self, i: usize) -> Option<Step> {
        let now = self.last.max(self.lanes[i].key);
        self.last = now;
        let reading = self.lanes[i].next.take()?;
        let source = self.lanes[i].source;
        self.lanes[i].last = stamp(&reading);
        self.fill(i);
        // Its own wall time, not the running maximum: after a backward step of
        // the wall clock the maximum is in the others' future.
        let to = self.lanes[i].last.map_or(now, |s| s.at);
        let others = self.lanes.iter().filter(|lane| lane.source != source);
        let moves = others
            .map(|lane| Move {
                source: lane.source,
                to,
                next: lane.next.as_ref().and_then(stamp),
                starts: false,
            })
            .collect();
        let is_last = !self.lanes.iter().any(|lane| lane.source == source && lane.next.is_some());
        Some(Step { entry: Some((source, reading)), moves, now, is_last })
    }

    /// Lets the clocks run on to `until`. Without it they stand where the last
    /// entry brought them.
    fn run_on(&mut self) -> Option<Step> {
        if self.last == Time::MIN {
            return None;
        }
        let step = match self.until? {
            Until::At(at) => self.advance(at, false),
            Until::After(span) => {
                let mut step = self.advance(self.last.plus(span), false);
                // The last line of a journal whose wall clock went back is not
                // the latest; its clock does not show the maximum.
                let journals =
                    self.lanes.iter().filter_map(|l| Some((l.source, l.last.filter(|s| s.boot.is_some())?)));
                for (source, last) in journals {
                    let others = self.lanes.iter().filter(|l| l.source != source).filter_map(|l| l.last);
                    let to = others.map(|s| s.at).fold(last.at, Time::max).plus(span);
                    step.moves.iter_mut().filter(|m| m.source == source).for_each(|m| m.to = to);
                }
                step
            }
        };
        Some(step)
    }

    fn advance(&self, to: Time, starts: bool) -> Step {
        let each = |lane: &Lane| Move { source: lane.source, to, next: None, starts };
        Step { entry: None, moves: self.lanes.iter().map(each).collect(), now: to, is_last: false }
    }

    /// Fetches a lane's next entry, without what is before `since` or after `until`.
    fn fill(&mut self, i: usize) {
        let lane = &mut self.lanes[i];
        loop {
            match lane.readings.next() {
                None => return,
                Some(Err(error)) => {
                    self.failed.get_or_insert(error);
                    return;
                }
                Some(Ok(reading)) => {
                    let Some(at) = stamp(&reading).map(|s| s.at) else { continue };
                    if self.since.is_some_and(|since| at < since) {
                        continue;
                    }
                    if matches!(self.until, Some(Until::At(until)) if at.max(lane.key) > until) {
                        // For the engine the input ends here.
                        lane.readings = Box::new(std::iter::empty());
                        return;
                    }
                    lane.key = lane.key.max(at);
                    lane.next = Some(reading);
                    return;
                }
            }
        }
    }
}

impl Step {
    /// Hands it to the engine.
    pub fn run(&self, engine: &mut Engine) -> Output {
        let output = match &self.entry {
            Some((source, Reading::Line(line))) => {
                engine.handle(Input::Line(*source, line), &self.moves, self.now)
            }
            Some((source, Reading::Gap(gap))) => {
                engine.handle(Input::Gap(*source, gap), &self.moves, self.now)
            }
            Some((_, Reading::State(_))) => Output::default(),
            None => engine.handle(Input::Advance, &self.moves, self.now),
        };
        if let (true, Some((source, _))) = (self.is_last, &self.entry) {
            engine.handle(Input::Ended(*source), &[], self.now);
        }
        output
    }
}

fn stamp(reading: &Reading) -> Option<Stamp> {
    match reading {
        Reading::Line(line) => Some(Stamp { at: line.at, boot: line.boot }),
        Reading::Gap(gap) => Some(Stamp { at: gap.at, boot: gap.boot }),
        Reading::State(_) => None,
    }
}
