//! Logs that are rotated, while nobody reads and under a follower.

use tocsin::config::plan::Start;
use tocsin::model::Channel;

use super::on_shared;
use super::reader::Reader;

#[test]
fn rotation_while_nobody_reads_is_a_gap() {
    on_shared(async |engine| {
        let options = ["--log-driver", "json-file", "--log-opt", "max-size=20k", "--log-opt", "max-file=2"];
        let id = engine.run("rotate", &options, "for i in $(seq 50); do echo a$i; done; sleep 1000");
        let mut reader = Reader::new(engine, "rotate", Start::Beginning);
        reader.sit();
        reader.until("the first lines", |r| r.lines.len() == 50).await;
        reader.leave().await;
        engine.docker(&["exec", &id, "sh", "-c", "for i in $(seq 2000); do echo b$i >/proc/1/fd/1; done"]);
        reader.sit();
        reader.until("the last line", |r| r.lines.last().is_some_and(|l| l.text == "b2000")).await;
        assert_eq!(reader.gaps.len(), 1);
        assert!(reader.lines.len() < 1500 && reader.of(&id, Channel::Out)[50] != "b1", "it did rotate");
        let numbers: Vec<u32> = reader.lines[50..].iter().map(|l| l.text[1..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "what is left is whole and in order");
        reader.leave().await;
        reader.sit();
        engine.docker(&["exec", &id, "sh", "-c", "echo end >/proc/1/fd/1"]);
        reader.until("one more line", |r| r.lines.last().is_some_and(|l| l.text == "end")).await;
        assert_eq!((reader.gaps.len(), numbers.len() + 51), (1, reader.lines.len()), "told once");
        reader.leave().await;
        engine.docker(&["rm", "-f", &id]);
    });
}

#[test]
fn rotation_under_a_follower_loses_nothing() {
    on_shared(async |engine| {
        let options = ["--log-opt", "max-size=50k", "--log-opt", "max-file=3"];
        let script = "for i in $(seq 6000); do echo $i; [ $((i % 10)) = 0 ] && usleep 1000; done; sleep 1000";
        let mut reader = Reader::new(engine, "turn", Start::Beginning);
        reader.sit();
        reader.until_live().await;
        let id = engine.run("turn", &options, script);
        reader.until("the last line", |r| r.lines.last().is_some_and(|l| l.text == "6000")).await;
        let want: Vec<String> = (1..=6000).map(|i| i.to_string()).collect();
        let got = reader.of(&id, Channel::Out);
        assert!(got == want, "{} of 6000, {} gaps", got.len(), reader.gaps.len());
        reader.leave().await;
        engine.docker(&["rm", "-f", &id]);
    });
}

/// dockerd 20.10 itself passes over what it rotates away under its own reader
/// and shows no sign of it, so that what is missing cannot always be told.
#[test]
fn rotation_faster_than_anybody_reads_repeats_nothing_and_ends_live() {
    on_shared(async |engine| {
        let options = ["--log-opt", "max-size=60k", "--log-opt", "max-file=2"];
        let mut reader = Reader::new(engine, "fast", Start::Beginning).hasty();
        reader.sit();
        reader.until_live().await;
        let id = engine.run("fast", &options, "seq 1 60000; echo end; sleep 1000");
        reader.until_line("end").await;
        reader.until_live().await;
        reader.leave().await;
        let numbers: Vec<u32> = reader.lines.iter().filter_map(|l| l.text.parse().ok()).collect();
        let (mut missing, mut untold) = (0, 0);
        for (index, pair) in numbers.windows(2).enumerate() {
            assert!(pair[1] > pair[0], "{} comes after {}", pair[1], pair[0]);
            missing += pair[1] - pair[0] - 1;
            let is_told = reader.gaps.contains(&(index + 1));
            untold += if is_told { 0 } else { pair[1] - pair[0] - 1 };
        }
        eprintln!("60000 lines, {missing} gone before they were read, of {untold} nothing is told");
        engine.docker(&["rm", "-f", &id]);
    });
}
