//! Every form that a log has: outputs, long lines, terminals, drivers, and the
//! merge of several containers.

use tokio::sync::mpsc;

use tocsin::config::plan::{DockerPlan, SourceKind, Start};
use tocsin::model::{Channel, Reading, Time};
use tocsin::source::docker;

use super::engine::Engine;
use super::reader::{Reader, plan};
use super::{block_on, on_shared};
use crate::support::{journald_skip, journald_start};

/// Long lines, both outputs, a terminal, last words, in each readable driver.
#[test]
fn long_lines_terminals_and_last_words_are_whole_in_each_readable_driver() {
    on_shared(async |engine| {
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
            assert_eq!((lines, again.lines.len(), again.gaps.len()), (5, 0, 0), "{service}");
            again.leave().await;
            engine.docker(&["rm", "-f", &id]);
        }
    });
}

#[test]
fn a_replay_of_two_containers_is_merged_by_time() {
    on_shared(async |engine| {
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
    });
}

#[test]
fn a_huge_line_cut_by_a_restart_is_two_lines() {
    on_shared(async |engine| {
        // Three whole pieces without an end, then death; the next life goes on.
        let script = "echo boot; head -c 49152 /dev/zero | tr '\\0' x; [ -e /again ] || { echo >/again; exit 1; }; \
                      echo; echo end; sleep 1000";
        let mut reader = Reader::new(engine, "huge", Start::Beginning);
        reader.sit();
        reader.until_live().await;
        let id = engine.run("huge", &["--restart", "always"], script);
        reader.until_line("end").await;
        let lengths: Vec<usize> = reader.of(&id, Channel::Out).iter().map(|line| line.len()).collect();
        assert_eq!((lengths, reader.gaps.len()), (vec![4, 49_152, 4, 49_152, 3], 0));
        // From the beginning, over a crash, it is the same.
        let mut again = Reader::new(engine, "huge", Start::Beginning);
        again.sit();
        again.until("two lines", |r| r.lines.len() >= 2).await;
        again.crash();
        again.sit();
        again.until("all lines", |r| r.lines.len() >= 5).await;
        again.until_live().await;
        assert_eq!((again.texts(), again.gaps.len()), (reader.texts(), 0));
        engine.docker(&["rm", "-f", &id]);
    });
}

#[test]
fn scaled_containers_are_chosen_by_service_by_a_bare_label_and_by_name() {
    on_shared(async |engine| {
        // As `docker compose up --scale web=2` labels and names them, and others.
        let compose = ["--label", "com.docker.compose.project=shop", "--label", "team.blue"];
        let script = "for i in $(seq 300); do echo $i; done; sleep 1000";
        let one = engine.run("web", &[&compose[..], &["--name", "shop-web-1"]].concat(), script);
        let two = engine.run("web", &[&compose[..], &["--name", "shop-web-2"]].concat(), script);
        let other = engine.run("web", &["--label", "com.docker.compose.project=else"], script);
        let red = engine.run("db", &["--name", "shop-web-10", "--label", "team.red"], script);
        let docker = |docker: DockerPlan| DockerPlan { host: Some(engine.socket()), ..docker };
        let (web, shop) = (Some("web".to_owned()), Some("shop".to_owned()));
        let cases = [
            (DockerPlan { service: web, project: shop, ..DockerPlan::default() }, vec![&one, &two]),
            (DockerPlan { labels: vec!["team.blue".to_owned()], ..DockerPlan::default() }, vec![&one, &two]),
            (DockerPlan { name: Some("shop-web-1".to_owned()), ..DockerPlan::default() }, vec![&one]),
        ];
        for (selector, ids) in cases {
            let mut plan = plan(engine.socket(), "", Start::Beginning);
            plan.kind = SourceKind::Docker(docker(selector.clone()));
            let mut reader = Reader::of_plan(plan);
            reader.sit();
            reader.until("all lines", |r| r.lines.len() >= 300 * ids.len()).await;
            reader.until_live().await;
            reader.leave().await;
            for id in &ids {
                reader.assert_exact(id, &engine.truth(id));
            }
            assert_eq!((reader.lines.len(), reader.gaps.len()), (300 * ids.len(), 0), "{selector:?}");
        }
        engine.docker(&["rm", "-f", &one, &two, &other, &red]);
    });
}

#[test]
fn the_journald_driver_is_read_through_dockerd() {
    let Some(journald) = journald_start("RateLimitBurst=0") else { return };
    let engine = match Engine::with(&[], Some(journald.pid())) {
        Ok(engine) => engine,
        Err(why) => return journald_skip(&why),
    };
    block_on(async {
        let mut reader = Reader::new(&engine, "journal", Start::Beginning);
        reader.sit();
        reader.until_live().await;
        let script = "echo first; head -c 40000 /dev/zero | tr '\\0' x; echo; for i in $(seq 500); do echo $i; done; \
                      sleep 1000";
        let id = engine.run("journal", &["--log-driver", "journald"], script);
        reader.until_line("500").await;
        reader.crash();
        engine.say(&id, "for i in $(seq 501 700); do echo $i; done");
        reader.sit();
        reader.until_line("700").await;
        reader.until_live().await;
        reader.leave().await;
        let want: Vec<String> = ["first".to_owned(), "x".repeat(40_000)]
            .into_iter()
            .chain((1..=700).map(|i| i.to_string()))
            .collect();
        assert!(reader.texts() == want, "{} of {}", reader.lines.len(), want.len());
        assert_eq!(reader.gaps.len(), 0);
    });
}
