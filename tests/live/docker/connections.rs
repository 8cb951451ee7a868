//! Connections that break, hang or are refused, between the source and an engine
//! that is well; and an engine that hangs.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tocsin::config::plan::Start;

use super::proxy::{CUTS, Proxy};
use super::reader::{DEADLINE, Reader};
use super::{on_own, on_shared};

#[test]
fn streams_cut_in_the_middle_of_frames_lose_and_repeat_nothing() {
    on_shared(async |engine| {
        let script = "x=$(head -c 40000 /dev/zero | tr '\\0' x); \
                      for i in $(seq 400); do echo $i; echo e$i >&2; [ $((i % 50)) = 0 ] && echo $x; usleep 5000; done; \
                      sleep 1000";
        for (service, options) in [("cut", &[][..]), ("cut-tty", &["-t"])] {
            let proxy = Proxy::before(engine);
            proxy.fault.cut_after.store(900, Ordering::SeqCst);
            let mut reader = Reader::new(engine, service, Start::Beginning).at(&proxy.host).hasty();
            reader.sit();
            reader.until_live().await;
            let id = engine.run(service, options, script);
            reader.until("all lines", |r| r.lines.len() >= 808).await;
            reader.until_live().await;
            reader.leave().await;
            assert_eq!(proxy.fault.cuts.load(Ordering::SeqCst), CUTS);
            assert_eq!((reader.lines.len(), reader.gaps.len()), (808, 0), "{service}");
            if options.is_empty() {
                reader.assert_exact(&id, &engine.truth(&id));
            } else {
                let lines: Vec<&str> =
                    reader.texts().into_iter().filter(|t| !t.contains(['x', 'e'])).collect();
                let want: Vec<String> = (1..=400).map(|i| i.to_string()).collect();
                assert!(lines == want);
            }
            engine.docker(&["rm", "-f", &id]);
        }
    });
}

/// Known of dockerd after rotations; here a proxy swallows the stream.
#[test]
fn a_follow_stream_that_hangs_is_noticed() {
    on_shared(async |engine| {
        let id = engine.run("hang", &[], "for i in $(seq 100); do echo $i; done; sleep 1000");
        let proxy = Proxy::before(engine);
        let mut reader = Reader::new(engine, "hang", Start::Beginning).at(&proxy.host).hasty();
        reader.sit();
        reader.until_line("100").await;
        reader.until_live().await;
        proxy.fault.swallows_first.store(true, Ordering::SeqCst);
        engine.say(&id, "echo after");
        reader.until_line("after").await;
        assert_eq!((reader.lines.len(), reader.gaps.len()), (101, 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

#[test]
fn a_stream_that_is_always_closed_at_once_is_asked_for_with_rests_and_loses_nothing() {
    on_shared(async |engine| {
        let id = engine.run("closing", &[], "echo 1; sleep 1000");
        let proxy = Proxy::before(engine);
        proxy.fault.closes.store(true, Ordering::SeqCst);
        let mut reader = Reader::new(engine, "closing", Start::Beginning).at(&proxy.host).hasty();
        reader.sit();
        reader.until_line("1").await;
        reader.until_live().await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        // Without rests it is hundreds; a loaded machine asks less often.
        assert!(proxy.fault.follows.load(Ordering::SeqCst) < 20);
        engine.say(&id, "echo 2");
        reader.until_line("2").await;
        assert_eq!((reader.texts(), reader.gaps.len()), (vec!["1", "2"], 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

#[test]
fn connections_that_are_open_and_say_nothing_are_lost_and_recovered() {
    on_shared(async |engine| {
        let id = engine.run("mum", &[], "echo 1; sleep 1000");
        let proxy = Proxy::before(engine);
        let mut reader = Reader::new(engine, "mum", Start::Beginning).at(&proxy.host).hasty();
        reader.sit();
        reader.until_line("1").await;
        reader.until_live().await;
        proxy.fault.swallows.store(true, Ordering::SeqCst);
        engine.say(&id, "echo 2");
        reader.until_lost("does not answer").await;
        assert_eq!(reader.lines.len(), 1);
        proxy.fault.swallows.store(false, Ordering::SeqCst);
        engine.say(&id, "echo 3");
        reader.until_line("3").await;
        reader.until_live().await;
        assert_eq!((reader.texts(), reader.gaps.len()), (vec!["1", "2", "3"], 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

#[test]
fn an_engine_that_refuses_for_a_while_is_lost_and_recovered() {
    on_shared(async |engine| {
        let id = engine.run("sick", &[], "echo 1; sleep 1000");
        let proxy = Proxy::before(engine);
        let mut reader = Reader::new(engine, "sick", Start::Beginning).at(&proxy.host).hasty();
        reader.sit();
        reader.until_line("1").await;
        reader.until_live().await;
        proxy.fault.refuses.store(true, Ordering::SeqCst);
        engine.say(&id, "echo 2");
        reader.until_lost("500").await;
        proxy.fault.refuses.store(false, Ordering::SeqCst);
        engine.say(&id, "echo 3");
        reader.until_line("3").await;
        reader.until_live().await;
        assert_eq!((reader.texts(), reader.gaps.len()), (vec!["1", "2", "3"], 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

/// So much is written between a question and the next that what was just seen
/// is not in the log's last pieces any more.
#[test]
fn a_log_that_grows_while_the_place_is_sought_is_no_damage() {
    on_shared(async |engine| {
        let id = engine.run("grows", &[], "for i in $(seq 100); do echo $i; done; sleep 1000");
        let proxy = Proxy::before(engine);
        let mut reader = Reader::new(engine, "grows", Start::Beginning).at(&proxy.host).hasty();
        // Nobody waits for an answer less long than this test holds it back.
        reader.pace.answer = DEADLINE;
        reader.sit();
        reader.until_line("100").await;
        let write = |lines: u32| engine.say(&id, &format!("seq {lines}"));
        for holds in [&proxy.fault.holds_looks, &proxy.fault.holds_follows] {
            // So slowly that the place to go on is near the end.
            engine.say(&id, "for i in 1 2 3 4; do echo $i; usleep 150000; done; echo slow");
            reader.until_line("slow").await;
            reader.leave().await;
            write(10);
            let held = proxy.fault.held.load(Ordering::SeqCst);
            holds.store(true, Ordering::SeqCst);
            reader.sit();
            let until = Instant::now() + DEADLINE;
            while proxy.fault.held.load(Ordering::SeqCst) == held {
                assert!(Instant::now() < until, "it asks");
                tokio::task::yield_now().await;
            }
            write(2000);
            holds.store(false, Ordering::SeqCst);
            // More follows, so that a silence does not end what is sought in vain.
            write(2000);
            reader.until("all lines", |r| r.lines.len() >= engine.truth(&id).len()).await;
        }
        reader.assert_exact(&id, &engine.truth(&id));
        assert_eq!((reader.lines.len(), reader.gaps.len()), (8130, 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

/// The socket takes connections, nobody serves them.
#[test]
fn a_dockerd_that_stands_still_is_lost_and_recovered() {
    on_own(&[], async |engine| {
        let script = "i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done";
        let id = engine.run("still", &[], script);
        let mut reader = Reader::new(engine, "still", Start::Beginning).hasty();
        reader.sit();
        reader.until("some lines", |r| r.lines.len() > 10).await;
        engine.signal(libc::SIGSTOP);
        reader.until_lost("does not answer").await;
        let before = reader.lines.len();
        engine.signal(libc::SIGCONT);
        reader.until("more lines", |r| r.lines.len() > before + 10).await;
        engine.docker(&["kill", &id]);
        let truth = engine.truth(&id);
        reader.until("all lines", |r| r.lines.len() >= truth.len()).await;
        reader.until_live().await;
        reader.assert_exact(&id, &truth);
        assert_eq!(reader.gaps.len(), 0);
    });
}
