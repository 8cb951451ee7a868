//! Containers that come, go, pause and come again under the same service.

use std::time::Instant;

use tocsin::config::plan::Start;
use tocsin::model::{Channel, SourceState};
use tocsin::source::docker::scope::Bounds;

use super::on_shared;
use super::reader::{DEADLINE, Reader};

#[test]
fn a_recreated_container_is_found_and_read_from_its_beginning() {
    on_shared(async |engine| {
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
        assert_eq!((reader.lines.len(), reader.gaps.len()), (63, 0));
    });
}

#[test]
fn a_crash_loop_is_read_to_its_last_word() {
    on_shared(async |engine| {
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
        assert_eq!((reader.lines.len(), reader.gaps.len()), (12, 0));
    });
}

#[test]
fn drivers_and_engines_that_cannot_be_read_are_lost() {
    on_shared(async |engine| {
        let mute = engine.run("mute", &["--log-driver", "none"], "echo never seen; sleep 1000");
        let mut reader = Reader::new(engine, "mute", Start::Beginning);
        reader.sit();
        reader.until_lost("`none`").await;
        // One container that can be read is enough to be believed.
        let loud = engine.run("mute", &[], "echo seen; sleep 1000");
        reader.until("live", |r| r.lines.len() == 1 && r.states.last() == Some(&SourceState::Live)).await;
        reader.leave().await;
        engine.docker(&["rm", "-f", &mute, &loud]);

        let mut reader = Reader::new(engine, "mute", Start::End).at("unix:///nowhere/docker.sock");
        reader.sit();
        reader.until_lost("is dockerd running?").await;
        assert_eq!(reader.cursor, None, "nothing is known, so nothing is saved");
        reader.leave().await;
    });
}

#[test]
fn a_stopped_sibling_does_not_hide_that_the_running_one_cannot_be_read() {
    on_shared(async |engine| {
        let old = engine.run("half", &[], "echo old");
        engine.docker(&["wait", &old]);
        let mut reader = Reader::new(engine, "half", Start::Beginning);
        reader.sit();
        reader.until_line("old").await;
        reader.until_live().await;
        let mute = engine.run("half", &["--log-driver", "none"], "sleep 1000");
        reader.until_lost("use json-file, local or journald").await;
        engine.docker(&["rm", "-f", &mute]);
        let new = engine.run("half", &[], "echo new; sleep 1000");
        reader.until_line("new").await;
        reader.until_live().await;
        assert_eq!((reader.texts(), reader.gaps.len()), (vec!["old", "new"], 0));
        engine.docker(&["rm", "-f", &old, &new]);
    });
}

#[test]
fn a_container_that_pauses_restarts_and_is_replaced_is_read_once() {
    on_shared(async |engine| {
        let script = "echo boot $$; i=0; while :; do echo $i; i=$((i+1)); usleep 2000; done";
        let id = engine.run("turns", &["--name", "turns-1"], script);
        let mut reader = Reader::new(engine, "turns", Start::Beginning);
        reader.sit();
        for turn in [&["pause"][..], &["unpause"], &["restart", "-t", "0"], &["kill"], &["start"]] {
            engine.docker(&[turn, &[&id]].concat());
            let written = engine.truth(&id).len();
            reader.until("what was written", |r| r.lines.len() >= written).await;
        }
        engine.docker(&["rename", "turns-1", "old_turns-1"]);
        let new = engine.run("turns", &["--name", "turns-1"], script);
        engine.docker(&["stop", "-t", "0", &id]);
        let truth = engine.truth(&id);
        reader.until("the last words", |r| r.of(&id, Channel::Out).len() >= truth.len()).await;
        engine.docker(&["rm", &id]);
        engine.docker(&["stop", "-t", "0", &new]);
        let new_truth = engine.truth(&new);
        reader.until("the new one", |r| r.lines.len() >= truth.len() + new_truth.len()).await;
        reader.until_live().await;
        reader.assert_exact(&id, &truth);
        reader.assert_exact(&new, &new_truth);
        assert_eq!(reader.gaps.len(), 0);
        engine.docker(&["rm", "-f", &new]);
    });
}

#[test]
fn a_container_that_loses_its_turn_keeps_its_place() {
    on_shared(async |engine| {
        let run = |word: &str| engine.run("turn", &[], &format!("echo {word}; sleep 1000"));
        let old = run("old");
        let mut reader = Reader::new(engine, "turn", Start::Beginning).hasty();
        reader.bounds = Bounds { containers: 1, marks: 2 };
        reader.sit();
        reader.until_line("old").await;
        for is_restarted in [false, true] {
            let new = run("new");
            engine.docker(&["kill", &old]);
            // It is not running, so the other one has its turn now.
            reader.until_line("new").await;
            reader.until_live().await;
            if is_restarted {
                reader.leave().await;
                reader.sit();
            }
            engine.docker(&["rm", "-f", &new]);
            engine.docker(&["start", &old]);
            engine.say(&old, "echo more");
            reader.until_line("more").await;
            reader.assert_exact(&old, &engine.truth(&old));
        }

        let ended = run("ended");
        engine.docker(&["kill", &old]);
        reader.until_line("ended").await;
        engine.docker(&["kill", &ended]);
        // Both places are kept, so there is none for another.
        let refused = run("refused");
        engine.docker(&["start", &old]);
        engine.say(&old, "echo last");
        reader.until_line("last").await;
        reader.assert_exact(&old, &engine.truth(&old));
        engine.docker(&["rm", "-f", &ended]);
        engine.docker(&["kill", &old]);
        reader.until_line("refused").await;
        assert_eq!(reader.of(&refused, Channel::Out), ["refused"]);
        assert_eq!(reader.gaps.len(), 0);
        reader.leave().await;
        engine.docker(&["rm", "-f", &old, &refused]);
    });
}
