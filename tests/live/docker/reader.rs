//! A source's life in a test: what it handed on, and how far.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use tocsin::config::plan::{DockerPlan, SourceKind, SourcePlan, Start};
use tocsin::model::{Batch, Channel, Cursor, Line, Reading, SourceState};
use tocsin::source::docker::scope::{Bounds, Pace, Scope};
use tocsin::source::docker::watch::Watch;

use super::engine::Engine;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// A source's life: what was handed on up to the last batch that was taken.
pub struct Reader {
    pub plan: SourcePlan,
    pub pace: Pace,
    pub bounds: Bounds,
    pub cursor: Option<Cursor>,
    pub lines: Vec<Line>,
    /// For each gap, how many lines were handed on before it.
    pub gaps: Vec<usize>,
    pub states: Vec<SourceState>,
    sitting: Option<Sitting>,
}

struct Sitting {
    rx: mpsc::Receiver<Batch>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Of a Compose service.
    pub fn new(engine: &Engine, service: &str, start: Start) -> Reader {
        Reader::of_plan(plan(engine.socket(), service, start))
    }

    pub fn of_plan(plan: SourcePlan) -> Reader {
        Reader {
            plan,
            pace: Pace::default(),
            bounds: Bounds::default(),
            cursor: None,
            lines: Vec::new(),
            gaps: Vec::new(),
            states: Vec::new(),
            sitting: None,
        }
    }

    /// Asks another host.
    pub fn at(mut self, host: &str) -> Reader {
        if let SourceKind::Docker(docker) = &mut self.plan.kind {
            docker.host = Some(host.to_owned());
        }
        self
    }

    /// Notices in a second what takes a minute otherwise.
    pub fn hasty(mut self) -> Reader {
        self.pace = Pace {
            answer: Duration::from_secs(2),
            silence: Duration::from_millis(300),
            relist: Duration::from_secs(1),
        };
        self
    }

    pub fn is_sitting(&self) -> bool {
        self.sitting.is_some()
    }

    pub fn sit(&mut self) {
        let (tx, rx) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(false);
        let mut scope = Scope::new(0, &self.plan);
        scope.pace = self.pace;
        scope.bounds = self.bounds;
        let task = tokio::spawn(Watch::new(scope, self.cursor.clone(), tx, stopped).run());
        self.sitting = Some(Sitting { rx, stop, task });
    }

    /// Drops the source with all that it has read ahead, as a crash would.
    pub fn crash(&mut self) {
        let sitting = self.sitting.take().expect("it sits");
        sitting.task.abort();
    }

    pub async fn leave(&mut self) {
        let sitting = self.sitting.take().expect("it sits");
        sitting.stop.send(true).expect("it listens");
        tokio::time::timeout(DEADLINE, sitting.task).await.expect("it stops").expect("it does not panic");
    }

    pub async fn batch(&mut self, what: &str) {
        let sitting = self.sitting.as_mut().expect("it sits");
        let batch = match tokio::time::timeout(DEADLINE, sitting.rx.recv()).await {
            Ok(batch) => batch.expect("the source does not end by itself"),
            Err(_) => panic!(
                "{what}: nothing comes; {} lines, {} gaps, states {:?}, cursor {:?}",
                self.lines.len(),
                self.gaps.len(),
                self.states,
                self.cursor
            ),
        };
        for reading in batch.readings {
            match reading {
                Reading::Line(line) => self.lines.push(line),
                Reading::Gap(_) => self.gaps.push(self.lines.len()),
                Reading::State(state) => self.states.push(state),
            }
        }
        self.cursor = batch.cursor.or(self.cursor.take());
    }

    pub async fn until(&mut self, what: &str, is_met: impl Fn(&Reader) -> bool) {
        while !is_met(self) {
            self.batch(what).await;
        }
    }

    pub async fn until_live(&mut self) {
        self.until("live", |r| r.states.last() == Some(&SourceState::Live)).await;
    }

    /// Until it says that it is lost, and why.
    pub async fn until_lost(&mut self, why: &str) {
        let is_lost = |s: Option<&SourceState>| matches!(s, Some(SourceState::Lost { why: said }) if said.contains(why));
        self.until(why, |r| is_lost(r.states.last())).await;
    }

    pub async fn until_line(&mut self, text: &str) {
        self.until(text, |r| r.lines.last().is_some_and(|l| l.text == text)).await;
    }

    pub fn of(&self, id: &str, channel: Channel) -> Vec<&str> {
        let is_its = |l: &&Line| id.starts_with(&*l.stream.writer) && l.stream.channel == channel;
        self.lines.iter().filter(is_its).map(|l| l.text.as_str()).collect()
    }

    pub fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|l| l.text.as_str()).collect()
    }

    /// Each output of the container is what it wrote: nothing lost, twice or out of order.
    #[track_caller]
    pub fn assert_exact(&self, id: &str, truth: &[(Channel, String)]) {
        for channel in [Channel::Out, Channel::Err] {
            let wrote: Vec<&str> =
                truth.iter().filter(|(c, _)| *c == channel).map(|(_, l)| l.as_str()).collect();
            let got = self.of(id, channel);
            let differs = got.iter().zip(&wrote).position(|(a, b)| a != b);
            assert!(
                got == wrote,
                "{channel:?}: read {} of {} lines; first difference at {differs:?}: {:?}",
                got.len(),
                wrote.len(),
                differs.map(|i| (short(got[i]), short(wrote[i])))
            );
        }
    }
}

fn short(text: &str) -> (usize, &str) {
    (text.len(), text.get(..60).unwrap_or(text))
}

pub fn plan(host: String, service: &str, start: Start) -> SourcePlan {
    SourcePlan {
        name: "backend".to_owned(),
        kind: SourceKind::Docker(DockerPlan {
            service: Some(service.to_owned()),
            host: Some(host),
            ..DockerPlan::default()
        }),
        start,
        line_bytes_max: 1 << 20,
        timezone: jiff::tz::TimeZone::UTC,
    }
}
