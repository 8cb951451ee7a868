//! Logs that are not as they were: emptied, damaged, deleted, or written by a
//! clock that steps.

use std::io::Write;

use tocsin::config::plan::Start;
use tocsin::model::Time;

use super::engine::Engine;
use super::on_shared;
use super::reader::Reader;
use crate::daemon::kit::until;

const SECOND: i64 = 1_000_000_000;

#[test]
fn an_emptied_log_is_a_gap() {
    on_shared(async |engine| {
        let id = engine.run("empty", &[], "echo one; echo two; sleep 1000");
        let mut reader = Reader::new(engine, "empty", Start::Beginning);
        reader.sit();
        reader.until("two lines", |r| r.lines.len() == 2).await;
        reader.leave().await;
        std::fs::File::options().write(true).open(engine.log_file(&id)).unwrap().set_len(0).unwrap();
        reader.sit();
        reader.until("the gap", |r| r.gaps.len() == 1).await;
        engine.docker(&["exec", &id, "sh", "-c", "echo three >/proc/1/fd/1"]);
        reader.until("a third line", |r| r.lines.len() == 3).await;
        reader.leave().await;
        engine.docker(&["rm", "-f", &id]);
    });
}

/// dockerd was killed while it wrote, or the machine lost its power.
#[test]
fn a_damaged_entry_is_a_gap_and_what_follows_it_is_read() {
    on_shared(async |engine| {
        for (service, damage) in [("torn", &b"{\"log\":\"half"[..]), ("nulls", &[0; 300])] {
            let id = engine.run(service, &[], "echo one; echo two; sleep 1000");
            let mut reader = Reader::new(engine, service, Start::Beginning).hasty();
            reader.sit();
            reader.until_line("two").await;
            reader.leave().await;
            append(engine, &id, damage);
            engine.say(&id, "for i in $(seq 2000); do echo $i; done");
            reader.sit();
            reader.until_line("2000").await;
            // The first of them stands in one line with the damage.
            let want: Vec<String> = (2..=2000).map(|i| i.to_string()).collect();
            assert!(reader.texts()[2..] == want, "{service}: {:?}", &reader.texts()[..10]);
            assert_eq!(reader.gaps, [2], "{service}");
            // It stays in the log, and is not told again.
            reader.crash();
            engine.say(&id, "echo more");
            reader.sit();
            reader.until_line("more").await;
            reader.leave().await;
            assert_eq!((reader.lines.len(), reader.gaps.len()), (2002, 1), "{service}");
            engine.docker(&["rm", "-f", &id]);
        }
    });
}

#[test]
fn a_deleted_log_is_lost_until_the_container_writes_another() {
    on_shared(async |engine| {
        let id = engine.run("gone", &[], "echo boot; sleep 1000");
        let mut reader = Reader::new(engine, "gone", Start::Beginning).hasty();
        reader.sit();
        reader.until_line("boot").await;
        std::fs::remove_file(engine.log_file(&id)).unwrap();
        // dockerd goes on writing to the file without a name, and its stream shows it.
        engine.say(&id, "echo late");
        reader.until_line("late").await;
        reader.crash();
        reader.sit();
        reader.until_lost("recreate the container").await;
        assert_eq!(reader.gaps.len(), 0);
        engine.docker(&["restart", "-t", "0", &id]);
        reader.until("the next boot", |r| r.lines.len() == 3).await;
        reader.until_live().await;
        assert_eq!((reader.texts(), reader.gaps.clone()), (vec!["boot", "late", "boot"], vec![2]));
        engine.docker(&["rm", "-f", &id]);
    });
}

/// The stamps are written as dockerd would by a clock that steps; what dockerd
/// makes of them is its own.
#[test]
fn a_clock_that_steps_loses_and_repeats_nothing() {
    on_shared(async |engine| {
        let id = engine.run("clock", &[], "echo 0; sleep 1000");
        let mut reader = Reader::new(engine, "clock", Start::Beginning).hasty();
        reader.sit();
        reader.until_line("0").await;
        let mut clock = reader.lines[0].at.0;
        let mut written = 0;
        let hour = 3600 * SECOND;
        // Some while it is read, some while nobody does.
        let steps = [-3 * hour, 7 * hour, -2 * hour, SECOND, -2 * SECOND, -hour, 0, -hour, 5 * hour];
        for (round, step) in steps.into_iter().enumerate() {
            if round % 3 == 2 {
                reader.crash();
            }
            clock += step;
            for _ in 0..50 {
                written += 1;
                clock += SECOND / 20;
                entry(engine, &id, clock, written);
            }
            if !reader.is_sitting() {
                reader.sit();
            }
            reader.until_line(&written.to_string()).await;
        }
        reader.until_live().await;
        reader.leave().await;
        reader.sit();
        entry(engine, &id, clock - 2 * hour, written + 1);
        reader.until_line(&(written + 1).to_string()).await;
        reader.leave().await;
        let want: Vec<String> = (0..=written + 1).map(|i| i.to_string()).collect();
        assert!(reader.texts() == want, "{} of {}", reader.lines.len(), want.len());
        assert_eq!(reader.gaps.len(), 0);
        engine.docker(&["rm", "-f", &id]);
    });
}

/// The clock went back, and has passed the place again before anybody reads.
#[test]
fn lines_of_an_hour_that_came_twice_are_read_both_times() {
    on_shared(async |engine| {
        let id = engine.run("twice", &[], "echo 0; sleep 1000");
        until("the first line", || engine.truth(&id).len() == 1);
        let mut reader = Reader::new(engine, "twice", Start::End).hasty();
        reader.sit();
        reader.until_live().await;
        entry(engine, &id, 4_000_000_000 * SECOND, 1);
        reader.until_line("1").await;
        reader.leave().await;
        for second in 0..200 {
            entry(engine, &id, (3_999_999_900 + second) * SECOND + 1, 2 + second);
        }
        reader.sit();
        reader.until_line("201").await;
        reader.leave().await;
        let want: Vec<String> = (1..=201).map(|i| i.to_string()).collect();
        assert_eq!((reader.texts().len(), reader.gaps.len()), (201, 0));
        assert!(reader.texts() == want);
        engine.docker(&["rm", "-f", &id]);
    });
}

fn entry(engine: &Engine, id: &str, at: i64, number: i64) {
    let at = Time(at).to_rfc3339();
    append(
        engine,
        id,
        format!("{{\"log\":\"{number}\\n\",\"stream\":\"stdout\",\"time\":\"{at}\"}}\n").as_bytes(),
    );
}

fn append(engine: &Engine, id: &str, bytes: &[u8]) {
    let mut file = std::fs::File::options().append(true).open(engine.log_file(id)).unwrap();
    file.write_all(bytes).unwrap();
}
