//! What the sources have sent and the engine has not taken yet.
//!
//! Live sources are taken as they come, a whole batch at once. While any
//! source is catching up, readings are merged as a replay merges them: by each
//! source's running maximum of transport time, at equal times in the order of
//! the configuration; and a source that has come to its end is not called live
//! before the others have, or for [`HOLD_MAX`]. So a backlog of several sources
//! is concluded as it would have been live.
//!
//! Failure story. A cursor stands at the end of a batch, so nothing may be
//! committed while a batch is half taken. Merging leaves such halves; the loop
//! waits for a moment without, and where none comes it takes the halves to
//! their end out of turn ([`Intake::next_of_halves`]). A crash before that
//! reads the same batches again.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock;
use crate::engine::clocks::Stamp;
use crate::model::{Batch, Cursor, Reading, SourceId, SourceState, Time};

/// Batches of one source that wait here; beyond it the source waits.
const WAITING_MAX: usize = 4;
/// A source that is catching up and sends nothing is waited for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// A source at its end is held back so long for those that are not.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// One step of the intake.
#[derive(Debug)]
pub enum Taken {
    /// The next reading of a source.
    Reading(SourceId, Reading),
    /// A batch was taken to its end; resume behind it.
    End(SourceId, Option<Cursor>),
}

/// Everything that waits.
#[derive(Debug)]
pub struct Intake {
    lanes: Vec<Lane>,
}

/// What waits of one source.
#[derive(Debug)]
struct Lane {
    receiver: mpsc::Receiver<Batch>,
    is_closed: bool,
    waiting: VecDeque<Half>,
    /// As the engine was last told; `None` before its first word.
    state: Option<SourceState>,
    /// Running maximum of transport time.
    key: Time,
    /// When anything last came (monotonic).
    heard_at: Time,
    /// Since when its `Live` is held back (monotonic).
    held_since: Option<Time>,
}

/// A batch, perhaps half taken.
#[derive(Debug)]
struct Half {
    readings: std::vec::IntoIter<Reading>,
    cursor: Option<Cursor>,
    is_begun: bool,
}

impl Intake {
    /// Of sources in the order of the configuration, at `now` (monotonic).
    pub fn new(receivers: Vec<mpsc::Receiver<Batch>>, now: Time) -> Intake {
        let lane = |receiver| Lane {
            receiver,
            is_closed: false,
            waiting: VecDeque::new(),
            state: None,
            key: Time::MIN,
            heard_at: now,
            held_since: None,
        };
        Intake { lanes: receivers.into_iter().map(lane).collect() }
    }

    /// Waits until a source has sent something that has room here. Loses
    /// nothing when dropped.
    pub async fn arrival(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }

    /// Takes in what has been sent, as far as there is room.
    pub fn gather(&mut self, now: Time) {
        for lane in &mut self.lanes {
            while lane.waiting.len() < WAITING_MAX {
                let Ok(batch) = lane.receiver.try_recv() else { break };
                lane.put(batch, now);
            }
        }
    }

    /// The next step, or `None` where it is better to wait.
    pub fn next(&mut self, now: Time) -> Option<Taken> {
        if let Some(lane) = self.lanes.iter().position(Lane::is_at_end) {
            return self.take(lane, now);
        }
        if let Some(lane) = self.lanes.iter().position(Lane::has_bad_news) {
            return self.take(lane, now);
        }
        let is_catching_up = self.lanes.iter().any(Lane::is_catching_up);
        if is_catching_up && self.lanes.iter().any(|lane| lane.is_waited_for(now)) {
            return None;
        }
        let first = if is_catching_up { self.first_by_time(now) } else { self.first_live() };
        first.and_then(|lane| self.take(lane, now))
    }

    /// The next step of the batches that are half taken.
    pub fn next_of_halves(&mut self, now: Time) -> Option<Taken> {
        let lane = self.lanes.iter().position(Lane::is_half_taken)?;
        self.take(lane, now)
    }

    /// No batch is half taken, so all that was taken may be committed.
    pub fn is_whole(&self) -> bool {
        !self.lanes.iter().any(Lane::is_half_taken)
    }

    /// Every source has ended and all it sent was taken.
    pub fn is_over(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_closed && lane.waiting.is_empty())
    }

    /// The stamp of the first line or gap that waits of a source.
    pub fn next_stamp(&self, source: SourceId) -> Option<Stamp> {
        let waiting = self.lanes[source].waiting.iter().flat_map(|half| half.readings.as_slice());
        waiting.into_iter().find_map(|reading| match reading {
            Reading::Line(line) => Some(Stamp { at: line.at, boot: line.boot }),
            Reading::Gap(gap) => Some(Stamp { at: gap.at, boot: gap.boot }),
            Reading::State(_) => None,
        })
    }

    /// Something waits that only time will let pass: when to look again.
    pub fn look_again(&self, now: Time) -> Option<Time> {
        let has_any = self.lanes.iter().any(|lane| !lane.waiting.is_empty());
        has_any.then(|| now.plus(PATIENCE / 10))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut has_come = false;
        for lane in &mut self.lanes {
            if lane.is_closed || lane.waiting.len() >= WAITING_MAX {
                continue;
            }
            match lane.receiver.poll_recv(context) {
                Poll::Ready(Some(batch)) => {
                    lane.put(batch, clock::monotonic());
                    has_come = true;
                }
                Poll::Ready(None) => lane.is_closed = true,
                Poll::Pending => {}
            }
        }
        if has_come { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The lane whose reading comes first; one that is held comes last.
    fn first_by_time(&mut self, now: Time) -> Option<usize> {
        let mut first: Option<(bool, Time, usize)> = None;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let Some(reading) = lane.front() else { continue };
            let is_word = matches!(reading, Reading::State(_));
            let key = time(reading).map_or(lane.key, |at| lane.key.max(at));
            if is_word {
                lane.held_since.get_or_insert(now);
            }
            let is_held = is_word && lane.held_since.is_some_and(|since| now.since(since) < HOLD_MAX);
            if first.is_none_or(|other| (is_held, key, i) < other) {
                first = Some((is_held, key, i));
            }
        }
        first.map(|(_, _, lane)| lane)
    }

    /// A batch that was begun goes on; else what came, in the order of the
    /// configuration.
    fn first_live(&self) -> Option<usize> {
        let begun = self.lanes.iter().position(Lane::is_half_taken);
        begun.or_else(|| self.lanes.iter().position(|lane| !lane.waiting.is_empty()))
    }

    fn take(&mut self, i: usize, now: Time) -> Option<Taken> {
        let lane = &mut self.lanes[i];
        let half = lane.waiting.front_mut()?;
        let Some(reading) = half.readings.next() else {
            let cursor = lane.waiting.pop_front().and_then(|half| half.cursor);
            lane.heard_at = now;
            return Some(Taken::End(i, cursor));
        };
        half.is_begun = true;
        if let Some(at) = time(&reading) {
            lane.key = lane.key.max(at);
        }
        if let Reading::State(state) = &reading {
            lane.state = Some(state.clone());
            lane.held_since = None;
        }
        Some(Taken::Reading(i, reading))
    }
}

impl Lane {
    fn put(&mut self, batch: Batch, now: Time) {
        let readings = batch.readings.into_iter();
        self.waiting.push_back(Half { readings, cursor: batch.cursor, is_begun: false });
        self.heard_at = now;
    }

    fn front(&self) -> Option<&Reading> {
        self.waiting.front()?.readings.as_slice().first()
    }

    /// All readings of its first batch are taken.
    fn is_at_end(&self) -> bool {
        self.waiting.front().is_some_and(|half| half.readings.as_slice().is_empty())
    }

    fn is_half_taken(&self) -> bool {
        self.waiting.front().is_some_and(|half| half.is_begun)
    }

    /// Its next word is that it is behind or lost: that waits for nobody.
    fn has_bad_news(&self) -> bool {
        matches!(self.front(), Some(Reading::State(state)) if *state != SourceState::Live)
    }

    fn is_catching_up(&self) -> bool {
        matches!(self.state, None | Some(SourceState::Behind))
    }

    /// It is catching up and its next reading is on its way.
    fn is_waited_for(&self, now: Time) -> bool {
        self.is_catching_up()
            && !self.is_closed
            && self.waiting.is_empty()
            && now.since(self.heard_at) < PATIENCE
    }
}

fn time(reading: &Reading) -> Option<Time> {
    match reading {
        Reading::Line(line) => Some(line.at),
        Reading::Gap(gap) => Some(gap.at),
        Reading::State(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, Line, Stream};

    fn line(secs: i64) -> Reading {
        Reading::Line(Line {
            stream: Stream { writer: "w".into(), channel: Channel::Any },
            at: Time::from_secs(secs),
            boot: None,
            identifier: None,
            text: String::new(),
            is_cut: false,
            had_invalid_utf8: false,
        })
    }

    fn batch(source: SourceId, readings: Vec<Reading>) -> Batch {
        Batch { source, readings, cursor: Some(Cursor(source.to_string())) }
    }

    fn intake(batches: Vec<Batch>, sources: usize) -> (Intake, Vec<mpsc::Sender<Batch>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..sources).map(|_| mpsc::channel(8)).unzip();
        for batch in batches {
            senders[batch.source].try_send(batch).unwrap();
        }
        let mut intake = Intake::new(receivers, Time(0));
        intake.gather(Time(0));
        (intake, senders)
    }

    fn taken(intake: &mut Intake, now: Time) -> Vec<String> {
        std::iter::from_fn(|| intake.next(now))
            .filter_map(|taken| match taken {
                Taken::Reading(source, Reading::Line(line)) => {
                    Some(format!("{source}@{}", line.at.as_secs()))
                }
                Taken::Reading(source, Reading::State(SourceState::Live)) => Some(format!("{source} live")),
                _ => None,
            })
            .collect()
    }

    const LIVE: Reading = Reading::State(SourceState::Live);
    const BEHIND: Reading = Reading::State(SourceState::Behind);

    #[test]
    fn backlogs_are_merged_by_time_and_nobody_is_live_before_the_others() {
        let (mut intake, _senders) = intake(
            vec![
                batch(0, vec![BEHIND, line(1), line(4), LIVE]),
                batch(1, vec![BEHIND, line(2), line(3), line(9), LIVE]),
            ],
            2,
        );
        assert_eq!(taken(&mut intake, Time(0)), ["0@1", "1@2", "1@3", "0@4", "1@9", "0 live", "1 live"]);
        assert!(intake.is_whole());
    }

    #[test]
    fn a_source_that_says_nothing_is_waited_for_and_then_passed_over() {
        let (mut intake, _senders) = intake(vec![batch(0, vec![BEHIND, line(1), LIVE])], 2);
        assert_eq!(taken(&mut intake, Time(0)), [""; 0]);
        assert!(!intake.is_whole());
        let later = Time(0).plus(PATIENCE);
        assert_eq!(taken(&mut intake, later), ["0@1", "0 live"]);
    }

    #[test]
    fn a_half_taken_batch_can_be_taken_to_its_end() {
        let (mut intake, _senders) =
            intake(vec![batch(0, vec![BEHIND, line(1), line(9)]), batch(1, vec![BEHIND, line(2)])], 2);
        for _ in 0..3 {
            intake.next(Time(0));
        }
        assert!(!intake.is_whole());
        while intake.next_of_halves(Time(0)).is_some() {}
        assert!(intake.is_whole());
    }
}
