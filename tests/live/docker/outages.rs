//! dockerd stopped, killed, upgraded and started again, with its containers
//! running on or ended with it.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;

use tocsin::config::plan::Start;

use super::engine::Engine;
use super::on_own;
use super::reader::Reader;

#[test]
fn stops_kills_crashes_and_restarts_lose_and_repeat_nothing() {
    on_own(&[], async |engine| {
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
            if !reader.is_sitting() {
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
        assert_eq!(reader.gaps.len(), 0);
        reader.assert_exact(&id, &truth);
        engine.docker(&["rm", "-f", &id]);
    });
}
/// The container runs unpaused, so a batch will come.
fn engine_writes(engine: &Engine, id: &str) -> bool {
    engine.docker(&["inspect", "-f", "{{.State.Status}}", id]) == "running"
}

/// Both outputs, and lines of three pieces.
const WRITER: &str = "x=$(head -c 40000 /dev/zero | tr '\\0' x); i=0; while :; do echo $i; echo e$i >&2; \
    [ $((i % 100)) = 0 ] && echo $x; i=$((i+1)); usleep 2000; done";

#[test]
fn dockerd_stopped_killed_and_upgraded_under_containers_that_live_on() {
    on_own(&["--live-restore"], async |engine| {
        let id = engine.run("lives", &[], WRITER);
        let mut reader = Reader::new(engine, "lives", Start::Beginning).hasty();
        reader.sit();
        reader.until("some lines", |r| r.lines.len() > 200).await;
        for round in 0..4 {
            let before = socket(engine);
            if round % 2 == 0 {
                engine.stop()
            } else {
                engine.kill()
            }
            reader.until_lost("is dockerd running?").await;
            engine.start_again();
            assert_ne!(socket(engine), before, "the socket is another one at the same path");
            let count = reader.lines.len();
            reader.until("what it writes then", |r| r.lines.len() > count + 200).await;
            assert!(engine_writes(engine, &id), "the container lived on");
        }
        engine.docker(&["kill", &id]);
        let truth = engine.truth(&id);
        reader.until("all lines", |r| r.lines.len() >= truth.len()).await;
        reader.until_live().await;
        reader.assert_exact(&id, &truth);
        assert_eq!(reader.gaps.len(), 0);
    });
}

#[test]
fn dockerd_killed_and_its_containers_with_it() {
    on_own(&[], async |engine| {
        let id = engine.run("dies", &["--restart", "always"], WRITER);
        let mut reader = Reader::new(engine, "dies", Start::Beginning).hasty();
        reader.sit();
        reader.until("some lines", |r| r.lines.len() > 200).await;
        for _ in 0..2 {
            engine.kill();
            reader.until_lost("is dockerd running?").await;
            engine.start_again();
            let count = reader.lines.len();
            reader.until("its next life", |r| r.lines.len() > count + 200).await;
        }
        engine.docker(&["kill", &id]);
        let truth = engine.truth(&id);
        reader.until("all lines", |r| r.lines.len() >= truth.len()).await;
        reader.until_live().await;
        reader.assert_exact(&id, &truth);
        assert_eq!(reader.gaps.len(), 0);
    });
}

#[test]
fn an_engine_on_a_tcp_port_is_read_over_its_restart() {
    let port = crate::daemon::kit::free_port();
    let host = format!("tcp://127.0.0.1:{port}");
    on_own(&["-H", &host, "--live-restore"], async |engine| {
        let id = engine.run("tcp", &[], WRITER);
        let mut reader = Reader::new(engine, "tcp", Start::Beginning).at(&host).hasty();
        reader.sit();
        reader.until("some lines", |r| r.lines.len() > 200).await;
        engine.stop();
        reader.until_lost("is dockerd running?").await;
        engine.start_again();
        let count = reader.lines.len();
        reader.until("lines after", |r| r.lines.len() > count + 200).await;
        engine.docker(&["kill", &id]);
        let truth = engine.truth(&id);
        reader.until("all lines", |r| r.lines.len() >= truth.len()).await;
        reader.until_live().await;
        reader.assert_exact(&id, &truth);
        assert_eq!(reader.gaps.len(), 0);
    });
}

/// Which file the socket is; a number alone may be used again.
fn socket(engine: &Engine) -> (u64, i64, i64) {
    let file = std::fs::metadata(engine.path().join("d.sock")).unwrap();
    (file.ino(), file.ctime(), file.ctime_nsec())
}
