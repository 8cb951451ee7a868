//! The Docker source against a real dockerd, with a data root, socket and
//! containerd of its own. What a container wrote is known from the engine's
//! own log files, not from its API.

pub mod engine;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use tocsin::config::plan::{DockerPlan, SourceKind, SourcePlan, Start};
use tocsin::model::{Batch, Channel, Cursor, Line, Reading, SourceState, Time};
use tocsin::source::docker;
use tocsin::source::docker::client::Client;
use tocsin::source::docker::cursor::Mark;
use tocsin::source::docker::follow::{Follower, Item};

use engine::{Engine, Proxy};

const DEADLINE: Duration = Duration::from_secs(30);

/// A source's life: what was handed on up to the last batch that was taken.
struct Reader {
    plan: SourcePlan,
    cursor: Option<Cursor>,
    lines: Vec<Line>,
    gaps: usize,
    states: Vec<SourceState>,
    sitting: Option<Sitting>,
}

struct Sitting {
    rx: mpsc::Receiver<Batch>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Reader {
    fn new(engine: &Engine, service: &str, start: Start) -> Reader {
        Reader {
            plan: plan(engine.socket(), service, start),
            cursor: None,
            lines: Vec::new(),
            gaps: 0,
            states: Vec::new(),
            sitting: None,
        }
    }

    fn sit(&mut self) {
        let (tx, rx) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(false);
        let task = docker::spawn(0, &self.plan, self.cursor.clone(), tx, stopped);
        self.sitting = Some(Sitting { rx, stop, task });
    }

    /// Drops the source with all that it has read ahead, as a crash would.
    fn crash(&mut self) {
        let sitting = self.sitting.take().expect("it sits");
        sitting.task.abort();
    }

    async fn leave(&mut self) {
        let sitting = self.sitting.take().expect("it sits");
        sitting.stop.send(true).expect("it listens");
        tokio::time::timeout(DEADLINE, sitting.task).await.expect("it stops").expect("it does not panic");
    }

    async fn batch(&mut self, what: &str) {
        let sitting = self.sitting.as_mut().expect("it sits");
        let batch = match tokio::time::timeout(DEADLINE, sitting.rx.recv()).await {
            Ok(batch) => batch.expect("the source does not end by itself"),
            Err(_) => panic!(
                "{what}: nothing comes; {} lines, {} gaps, states {:?}, cursor {:?}",
                self.lines.len(),
                self.gaps,
                self.states,
                self.cursor
            ),
        };
        for reading in batch.readings {
            match reading {
                Reading::Line(line) => self.lines.push(line),
                Reading::Gap(_) => self.gaps += 1,
                Reading::State(state) => self.states.push(state),
            }
        }
        self.cursor = batch.cursor.or(self.cursor.take());
    }

    async fn until(&mut self, what: &str, is_met: impl Fn(&Reader) -> bool) {
        while !is_met(self) {
            self.batch(what).await;
        }
    }

    async fn until_live(&mut self) {
        self.until("live", |r| r.states.last() == Some(&SourceState::Live)).await;
    }

    fn of(&self, id: &str, channel: Channel) -> Vec<&str> {
        let is_its = |l: &&Line| id.starts_with(&*l.stream.writer) && l.stream.channel == channel;
        self.lines.iter().filter(is_its).map(|l| l.text.as_str()).collect()
    }

    /// Each output of the container is what it wrote: nothing lost, twice or out of order.
    fn assert_exact(&self, id: &str, truth: &[(Channel, String)]) {
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
                differs.map(|i| (got[i].len(), wrote[i].len()))
            );
        }
    }
}

fn plan(host: String, service: &str, start: Start) -> SourcePlan {
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

#[test]
fn every_line_of_every_container_is_read_once() {
    let mut engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => {
            assert!(std::env::var("CI").is_err(), "dockerd is not to be had: {why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        timed("forms of lines", forms_of_lines(&engine)).await;
        timed("replay", a_replay_is_merged_by_time(&engine)).await;
        timed("recreation", a_recreated_container_is_found_and_read_from_its_beginning(&engine)).await;
        timed("drivers", drivers_and_engines_that_cannot_be_read_are_lost(&engine)).await;
        timed("crash loop", a_crash_loop_is_read_to_its_last_word(&engine)).await;
        timed("rotation", rotation_while_nobody_reads_is_a_gap(&engine)).await;
        timed("emptied", an_emptied_log_is_a_gap(&engine)).await;
        timed("hanging", a_follow_stream_that_hangs_is_noticed(&engine)).await;
        timed("live rotation", rotation_under_a_follower_loses_nothing(&engine)).await;
        timed("chaos", stops_kills_crashes_and_restarts_lose_and_repeat_nothing(&mut engine)).await;
    });
}

async fn timed(name: &str, scenario: impl Future<Output = ()>) {
    let began = Instant::now();
    scenario.await;
    eprintln!("docker: {name}: {:.1} s", began.elapsed().as_secs_f64());
}

/// Long lines, both outputs, a terminal, last words, in each readable driver.
async fn forms_of_lines(engine: &Engine) {
    let script =
        "echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; echo after; printf tail";
    let cases: [(&str, &[&str], bool); 3] = [
        ("json", &["--log-driver", "json-file"], false),
        ("local", &["--log-driver", "local"], false),
        ("tty", &["-t"], true),
    ];
    for (service, options, is_tty) in cases {
        let mut reader = Reader::new(engine, service, Start::Beginning);
        reader.sit();
        reader.until_live().await;
        let id = engine.run(service, options, script);
        let all = 5;
        reader.until(service, |r| r.lines.len() >= all).await;
        reader.leave().await;
        let long = "x".repeat(40_000);
        if is_tty {
            assert_eq!(reader.of(&id, Channel::Any), ["out", "err", &long, "after", "tail"]);
        } else {
            assert_eq!(reader.of(&id, Channel::Out), ["out", &long, "after", "tail"], "{service}");
            assert_eq!(reader.of(&id, Channel::Err), ["err"], "{service}");
        }
        // The same again with a smaller limit, and again from the cursor: nothing.
        let mut again = Reader::new(engine, service, Start::Beginning);
        again.plan.line_bytes_max = 20_000;
        again.sit();
        again.until(service, |r| r.lines.len() >= all).await;
        again.until_live().await;
        let cut: Vec<usize> = again.lines.iter().filter(|l| l.is_cut).map(|l| l.text.len()).collect();
        assert_eq!(cut, [20_000], "{service}");
        again.leave().await;
        let lines = std::mem::take(&mut again.lines).len();
        again.states.clear();
        again.sit();
        again.until_live().await;
        assert_eq!((lines, again.lines.len(), again.gaps), (5, 0, 0), "{service}");
        again.leave().await;
        engine.docker(&["rm", "-f", &id]);
    }
}

async fn a_replay_is_merged_by_time(engine: &Engine) {
    let script = "for i in $(seq 20); do echo $i; usleep 3000; done";
    let ids = [engine.run("merge", &[], script), engine.run("merge", &[], script)];
    engine.docker(&["wait", &ids[0], &ids[1]]);
    let plan = plan(engine.socket(), "merge", Start::End);
    let read = async |since: Option<Time>| {
        let (tx, mut rx) = mpsc::channel(4);
        let reading = docker::read(0, &plan, since, tx);
        let collecting = async {
            let mut lines = Vec::new();
            while let Some(batch) = rx.recv().await {
                lines.extend(batch.readings.into_iter().filter_map(|r| match r {
                    Reading::Line(line) => Some(line.at),
                    _ => None,
                }));
            }
            lines
        };
        let (read, lines) = tokio::join!(reading, collecting);
        read.expect("it can be read");
        lines
    };
    let all = read(None).await;
    assert_eq!(all.len(), 40);
    assert!(all.is_sorted(), "the earliest goes first");
    assert_eq!(read(Some(all[25])).await, all[25..], "since is inclusive, to the nanosecond");
    engine.docker(&["rm", "-f", &ids[0], &ids[1]]);
}

async fn a_recreated_container_is_found_and_read_from_its_beginning(engine: &Engine) {
    let script = |n: u32| format!("for i in $(seq {n}); do echo {n}.$i; done; sleep 1000");
    let old = engine.run("again", &["--name", "again-1"], &script(50));
    let mut reader = Reader::new(engine, "again", Start::End);
    let until = Instant::now() + DEADLINE;
    while engine.truth(&old).len() < 50 {
        assert!(Instant::now() < until, "the container writes");
        tokio::task::yield_now().await;
    }
    reader.sit();
    reader.until_live().await;
    assert_eq!(reader.lines.len(), 0, "a first start begins at the end");
    engine.docker(&["exec", &old, "sh", "-c", "echo late >/proc/1/fd/1"]);
    reader.until("the late line", |r| r.lines.len() == 1).await;
    // As Compose does it: rename, create, stop, start, remove.
    engine.docker(&["rename", "again-1", "f00_again-1"]);
    engine.docker(&["rm", "-f", &old]);
    let new = engine.run("again", &["--name", "again-1"], &script(60));
    reader.until("the new container", |r| r.lines.len() >= 61).await;
    assert_eq!(reader.of(&old, Channel::Out), ["late"]);
    assert_eq!(reader.of(&new, Channel::Out).len(), 60);
    // One that comes and goes while nobody reads is read from its beginning too.
    reader.leave().await;
    let brief = engine.run("again", &[], "echo brief; echo words >&2");
    engine.docker(&["wait", &brief]);
    reader.sit();
    reader.until("the brief container", |r| r.lines.len() >= 63).await;
    assert_eq!(reader.of(&brief, Channel::Out), ["brief"]);
    engine.docker(&["rm", "-f", &brief]);
    engine.docker(&["rm", "-f", &new]);
    reader.leave().await;
    assert_eq!((reader.lines.len(), reader.gaps), (63, 0));
}

async fn a_crash_loop_is_read_to_its_last_word(engine: &Engine) {
    let mut reader = Reader::new(engine, "loop", Start::End);
    reader.sit();
    reader.until_live().await;
    let script = "echo boot; echo failed >&2; printf 'last words'; exit 3";
    let id = engine.run("loop", &["--restart", "on-failure:3"], script);
    reader.until("four boots", |r| r.lines.len() >= 12).await;
    assert_eq!(reader.of(&id, Channel::Out), ["boot", "last words"].repeat(4));
    assert_eq!(reader.of(&id, Channel::Err), ["failed"].repeat(4));
    engine.docker(&["rm", "-f", &id]);
    reader.leave().await;
    assert_eq!((reader.lines.len(), reader.gaps), (12, 0));
}

async fn drivers_and_engines_that_cannot_be_read_are_lost(engine: &Engine) {
    let mute = engine.run("mute", &["--log-driver", "none"], "echo never seen; sleep 1000");
    let mut reader = Reader::new(engine, "mute", Start::Beginning);
    reader.sit();
    let is_lost = |r: &Reader, part: &str| matches!(r.states.last(), Some(SourceState::Lost { why }) if why.contains(part));
    reader.until("lost", |r| is_lost(r, "`none`")).await;
    // One container that can be read is enough to be believed.
    let loud = engine.run("mute", &[], "echo seen; sleep 1000");
    reader.until("live", |r| r.lines.len() == 1 && r.states.last() == Some(&SourceState::Live)).await;
    reader.leave().await;
    engine.docker(&["rm", "-f", &mute, &loud]);

    let mut reader = Reader::new(engine, "mute", Start::Beginning);
    reader.plan = plan("unix:///nowhere/docker.sock".to_owned(), "mute", Start::End);
    reader.sit();
    reader.until("lost", |r| is_lost(r, "is dockerd running?")).await;
    assert_eq!(reader.cursor, None, "nothing is known, so nothing is saved");
    reader.leave().await;
}

async fn rotation_while_nobody_reads_is_a_gap(engine: &Engine) {
    let options = ["--log-driver", "json-file", "--log-opt", "max-size=20k", "--log-opt", "max-file=2"];
    let id = engine.run("rotate", &options, "for i in $(seq 50); do echo a$i; done; sleep 1000");
    let mut reader = Reader::new(engine, "rotate", Start::Beginning);
    reader.sit();
    reader.until("the first lines", |r| r.lines.len() == 50).await;
    reader.leave().await;
    engine.docker(&["exec", &id, "sh", "-c", "for i in $(seq 2000); do echo b$i >/proc/1/fd/1; done"]);
    reader.sit();
    reader.until("the last line", |r| r.lines.last().is_some_and(|l| l.text == "b2000")).await;
    assert_eq!(reader.gaps, 1);
    assert!(reader.lines.len() < 1500 && reader.of(&id, Channel::Out)[50] != "b1", "it did rotate");
    let numbers: Vec<u32> = reader.lines[50..].iter().map(|l| l.text[1..].parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "what is left is whole and in order");
    reader.leave().await;
    reader.sit();
    engine.docker(&["exec", &id, "sh", "-c", "echo end >/proc/1/fd/1"]);
    reader.until("one more line", |r| r.lines.last().is_some_and(|l| l.text == "end")).await;
    assert_eq!((reader.gaps, numbers.len() + 51), (1, reader.lines.len()), "told once");
    reader.leave().await;
    engine.docker(&["rm", "-f", &id]);
}

async fn an_emptied_log_is_a_gap(engine: &Engine) {
    let id = engine.run("empty", &[], "echo one; echo two; sleep 1000");
    let mut reader = Reader::new(engine, "empty", Start::Beginning);
    reader.sit();
    reader.until("two lines", |r| r.lines.len() == 2).await;
    reader.leave().await;
    std::fs::File::options().write(true).open(engine.log_file(&id)).unwrap().set_len(0).unwrap();
    reader.sit();
    reader.until("the gap", |r| r.gaps == 1).await;
    engine.docker(&["exec", &id, "sh", "-c", "echo three >/proc/1/fd/1"]);
    reader.until("a third line", |r| r.lines.len() == 3).await;
    reader.leave().await;
    engine.docker(&["rm", "-f", &id]);
}

/// Known of dockerd after rotations; here a proxy swallows the stream.
async fn a_follow_stream_that_hangs_is_noticed(engine: &Engine) {
    let id = engine.run("hang", &[], "for i in $(seq 100); do echo $i; done; sleep 1000");
    let proxy = Proxy::before(engine);
    let host = proxy.socket.clone();
    let docker = DockerPlan { host: Some(host), ..DockerPlan::default() };
    let (outbox, mut inbox) = mpsc::channel(2);
    let follower = Follower {
        client: Client::connect(&docker).await.expect("it answers"),
        id: id.clone(),
        mark: Mark::from(Time(0)),
        line_bytes_max: 1 << 20,
        silence: Duration::from_millis(300),
        follow: true,
        outbox,
        wake: Arc::default(),
    };
    let task = tokio::spawn(follower.run());
    let mut lines = Vec::new();
    let mut gaps = 0;
    while lines.last().is_none_or(|line| line != "after") {
        let items = tokio::time::timeout(DEADLINE, inbox.recv()).await;
        for item in items.expect("the follower wakes up").expect("it goes on") {
            match item {
                Item::Line(line) => lines.push(line.text),
                Item::Gap(_) => gaps += 1,
                _ => {}
            }
        }
        if lines.len() == 100 && !proxy.swallows.swap(true, Ordering::Relaxed) {
            engine.docker(&["exec", &id, "sh", "-c", "echo after >/proc/1/fd/1"]);
        }
    }
    assert_eq!((lines.len(), gaps), (101, 0));
    task.abort();
    engine.docker(&["rm", "-f", &id]);
}

async fn rotation_under_a_follower_loses_nothing(engine: &Engine) {
    let options = ["--log-opt", "max-size=50k", "--log-opt", "max-file=3"];
    let script = "for i in $(seq 6000); do echo $i; [ $((i % 10)) = 0 ] && usleep 1000; done; sleep 1000";
    let mut reader = Reader::new(engine, "turn", Start::Beginning);
    reader.sit();
    reader.until_live().await;
    let id = engine.run("turn", &options, script);
    reader.until("the last line", |r| r.lines.last().is_some_and(|l| l.text == "6000")).await;
    let want: Vec<String> = (1..=6000).map(|i| i.to_string()).collect();
    let got = reader.of(&id, Channel::Out);
    assert!(got == want, "{} of 6000, {} gaps", got.len(), reader.gaps);
    reader.leave().await;
    engine.docker(&["rm", "-f", &id]);
}

async fn stops_kills_crashes_and_restarts_lose_and_repeat_nothing(engine: &mut Engine) {
    // Both outputs at once, from two processes, so that stamps come out of
    // order; now and then a line of three pieces.
    let script = "x=$(head -c 40000 /dev/zero | tr '\\0' x); \
                  p() { i=0; while :; do echo $1 $i; [ $((i % 40)) = 0 ] && echo $1 $i $x; \
                  i=$((i+1)); usleep 500; done; }; p err >&2 & p out";
    let id = engine.run("chaos", &[], script);
    let mut reader = Reader::new(engine, "chaos", Start::Beginning);
    for round in 0..20 {
        reader.sit();
        for _ in 0..1 + round % 4 {
            reader.batch("crashes").await;
        }
        reader.crash();
    }
    reader.sit();
    let mut turns: VecDeque<&[&str]> = VecDeque::from([
        &["restart", "-t", "0"][..],
        &["kill"],
        &["start"],
        &["stop", "-t", "0"],
        &["start"],
        &["<dockerd>"],
        &["start"],
        &["pause"],
        &["unpause"],
    ]);
    for round in 0usize.. {
        for _ in 0..1 + round % 4 {
            if engine_writes(engine, &id) || round == 0 {
                reader.batch("chaos").await;
            }
        }
        reader.crash();
        let Some(turn) = turns.pop_front() else { break };
        if round % 2 == 0 {
            reader.sit();
        }
        match turn {
            ["<dockerd>"] => engine.restart(),
            turn => drop(engine.docker(&[turn, &[&id]].concat())),
        }
        if reader.sitting.is_none() {
            reader.sit();
        }
    }
    // dockerd goes and comes back under a source that stays.
    reader.sit();
    reader.until_live().await;
    engine.docker(&["kill", &id]);
    let written = engine.truth(&id).len();
    reader.until("all before the restart", |r| r.lines.len() >= written).await;
    engine.restart();
    engine.docker(&["start", &id]);
    let count = reader.lines.len();
    reader.until("lines after the restart", |r| r.lines.len() > count + 100).await;
    engine.docker(&["kill", &id]);
    let truth = engine.truth(&id);
    assert!(truth.len() > 1_000, "it wrote {} lines", truth.len());
    reader.until("all lines", |r| r.lines.len() >= truth.len()).await;
    reader.until_live().await;
    reader.leave().await;
    assert_eq!(reader.gaps, 0);
    reader.assert_exact(&id, &truth);
    engine.docker(&["rm", "-f", &id]);
}

/// The container runs unpaused, so a batch will come.
fn engine_writes(engine: &Engine, id: &str) -> bool {
    engine.docker(&["inspect", "-f", "{{.State.Status}}", id]) == "running"
}
