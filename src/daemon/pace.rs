//! How the sources' clocks go on between lines.
//!
//! A source that has been read to its end is moved on at the pace of
//! CLOCK_MONOTONIC, two seconds behind for lines on their way. One that is
//! behind or lost is moved by its lines alone. What is kept is an instant of
//! the source's own clock: a step of the wall clock must not come in here,
//! neither when a source becomes live nor with a line that came late.

use std::time::Duration;

use crate::engine::clocks::Stamp;
use crate::engine::{Engine, Move};
use crate::model::{Boot, SourceId, SourceState, Time};

/// Lines may be this long on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(2);

/// Where each live source's time was last known.
#[derive(Debug)]
pub struct Pace {
    /// An instant of the source's clock and the monotonic time it was then.
    anchors: Vec<Option<(Time, Time)>>,
}

/// This machine's clocks, read at one time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Wall time.
    pub wall: Time,
    /// The boot, where the kernel tells.
    pub boot: Option<u128>,
    /// Time since that boot.
    pub monotonic: Time,
}

impl Pace {
    /// No source is live yet.
    pub fn new(sources: usize) -> Pace {
        Pace { anchors: vec![None; sources] }
    }

    /// Lines brought the source's clock to `clock`. One that came late brings
    /// it nowhere and must not hold it.
    pub fn line(&mut self, source: SourceId, clock: Time, monotonic: Time) {
        if let Some(anchor) = &mut self.anchors[source]
            && clock > paced(*anchor, monotonic)
        {
            *anchor = (clock, monotonic);
        }
    }

    /// The source changed its state. When it becomes live its time is now: the
    /// move that brings it there.
    pub fn state(
        &mut self,
        engine: &Engine,
        source: SourceId,
        state: &SourceState,
        read: Reading,
    ) -> Option<Move> {
        if *state != SourceState::Live {
            self.anchors[source] = None;
            return None;
        }
        if self.anchors[source].is_some() {
            return None;
        }
        let clock = engine.reach(&reaching(engine, to(source, read, Duration::ZERO))).unwrap_or(read.wall);
        self.anchors[source] = Some((clock, read.monotonic));
        Some(reaching(engine, to(source, read, ON_THEIR_WAY)))
    }

    /// Moves for all live sources at `monotonic`.
    pub fn moves(&self, engine: &Engine, monotonic: Time) -> Vec<Move> {
        self.live()
            .map(|(source, anchor)| Move {
                source,
                to: engine.source_wall(source, paced(anchor, monotonic)),
                next: None,
                starts: false,
            })
            .collect()
    }

    /// The monotonic time at which the next deadline of a live source is due.
    pub fn next_due(&self, engine: &Engine) -> Option<Time> {
        self.live()
            .filter_map(|(source, (clock, then))| {
                let due = engine.next_source_due(source)?;
                let at = engine.source_wall(source, clock);
                Some(then.shifted(due.0.saturating_sub(at.0)).plus(ON_THEIR_WAY))
            })
            .min()
    }

    fn live(&self) -> impl Iterator<Item = (SourceId, (Time, Time))> {
        self.anchors.iter().enumerate().filter_map(|(source, a)| a.map(|a| (source, a)))
    }
}

/// Where the clock is by its pace alone.
fn paced((clock, then): (Time, Time), monotonic: Time) -> Time {
    clock.plus(monotonic.since(then)).minus(ON_THEIR_WAY)
}

/// The move to `before` now.
fn to(source: SourceId, read: Reading, before: Duration) -> Move {
    let at = read.wall.minus(before);
    let boot = read.boot.map(|id| Boot { id, monotonic: read.monotonic.minus(before).0 });
    Move { source, to: at, next: boot.map(|boot| Stamp { at, boot: Some(boot) }), starts: true }
}

/// Once the source's time has started, its stamp alone says how far: the wall
/// clock may have been set back since the last line.
fn reaching(engine: &Engine, wanted: Move) -> Move {
    let has_begun = engine.source_clock(wanted.source).is_some();
    if has_begun && wanted.next.is_some() { Move { to: Time(i64::MAX), ..wanted } } else { wanted }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, FileSource};
    use crate::engine::Input;
    use crate::model::{Line, Stream};

    const BOOT: u128 = 7;
    const CONFIG: &str = r#"
[[source]]
name = "journal"
type = "journal"
unit = "a.service"
[[source]]
name = "file"
type = "file"
paths = "/var/log/a.log"
"#;

    struct Inline;

    impl FileSource for Inline {
        fn read(&self, _: &Path) -> Result<String, String> {
            Ok(CONFIG.to_owned())
        }
        fn list(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
            Ok(Vec::new())
        }
        fn env(&self, _: &str) -> Option<String> {
            None
        }
        fn is_world_readable(&self, _: &Path) -> bool {
            false
        }
    }

    fn engine() -> Engine {
        let loaded = config::compile(Path::new("/a.toml"), &Inline).unwrap();
        Engine::new(Arc::new(loaded.plan), "test", [0; 32])
    }

    fn line(wall: i64, boot: Option<i64>) -> Line {
        Line {
            stream: Stream { writer: Arc::from("1"), channel: Default::default() },
            at: Time::from_secs(wall),
            boot: boot.map(|secs| Boot { id: BOOT, monotonic: secs * 1_000_000_000 }),
            identifier: None,
            text: "x".to_owned(),
            is_cut: false,
            had_invalid_utf8: false,
        }
    }

    fn read(wall: i64, monotonic: i64) -> Reading {
        Reading { wall: Time::from_secs(wall), boot: Some(BOOT), monotonic: Time::from_secs(monotonic) }
    }

    fn advance(engine: &mut Engine, pace: &Pace, monotonic: i64) -> i64 {
        let moves = pace.moves(engine, Time::from_secs(monotonic));
        engine.handle(Input::Advance, &moves, Time::from_secs(1));
        engine.source_clock(0).unwrap().as_secs()
    }

    #[test]
    fn a_step_of_the_wall_clock_before_a_journal_is_live_does_not_come_in_with_the_next_tick() {
        let (mut engine, mut pace) = (engine(), Pace::new(2));
        engine.handle(Input::Line(0, &line(1_000, Some(100))), &[], Time::from_secs(1));
        // Stepped on by an hour, 20 s after the line.
        let live = pace.state(&engine, 0, &SourceState::Live, read(4_620, 120));
        engine.handle(Input::Advance, live.as_slice(), Time::from_secs(1));
        assert_eq!(engine.source_clock(0), Some(Time::from_secs(1_018)));
        assert_eq!(advance(&mut engine, &pace, 121), 1_019);
    }

    #[test]
    fn lines_that_come_late_do_not_hold_the_clock() {
        let (mut engine, mut pace) = (engine(), Pace::new(2));
        let live = pace.state(&engine, 1, &SourceState::Live, read(1_000, 100));
        engine.handle(Input::Advance, live.as_slice(), Time::from_secs(1));
        for second in 101..160 {
            let moves = pace.moves(&engine, Time::from_secs(second));
            engine.handle(Input::Line(1, &line(900 + second - 60, None)), &moves, Time::from_secs(1));
            pace.line(1, engine.source_clock(1).unwrap(), Time::from_secs(second));
        }
        let moves = pace.moves(&engine, Time::from_secs(160));
        engine.handle(Input::Advance, &moves, Time::from_secs(1));
        assert_eq!(engine.source_clock(1), Some(Time::from_secs(1_058)));
    }
}
