//! Rotation, vacuum, crashes and drops: nothing is lost without being told,
//! nothing comes twice.

use std::thread::JoinHandle;
use std::time::Instant;

use tocsin::config::plan::{SourceKind, Start};

use super::{Follow, count, of_unit, plan, unit};
use crate::support::{JournaldWriter, journald_start, journald_until};

#[test]
fn rotation_while_lines_flow_loses_and_repeats_nothing() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("rotate");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut writer = journald.writer(&name);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    for round in 0..12 {
        let lines: String = (0..250).map(|n| format!("line {}\n", round * 250 + n)).collect();
        writer.write(lines.as_bytes());
        if round % 3 == 1 {
            journald.rotate();
        }
        if round % 4 == 2 {
            follow = follow.restart(&plan);
        }
        follow.take();
    }
    follow.until("all lines", |f| f.lines.len() >= 3_000);
    let expected: Vec<String> = (0..3_000).map(|n| format!("line {n}")).collect();
    assert!(follow.texts() == expected);
    assert_eq!(follow.gaps, []);
    follow.end();
}

/// Writes `count` numbered lines, as fast as journald takes them.
fn write_numbers(mut writer: JournaldWriter, count: usize) -> JoinHandle<JournaldWriter> {
    std::thread::spawn(move || {
        for start in (0..count).step_by(1_000) {
            let lines: String = (start..start + 1_000).map(|n| format!("{n} {}\n", "x".repeat(60))).collect();
            writer.write(lines.as_bytes());
        }
        writer
    })
}

fn numbers(follow: &Follow) -> Vec<usize> {
    follow.texts().iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn under_load_every_line_comes_once_and_in_order_over_many_files() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0\nSystemMaxFileSize=8M") else {
        return;
    };
    let name = unit("load");
    let writer = journald.writer(&name);
    let mut follow = Follow::new(&plan(of_unit(&journald.store, &name), Start::End), None);
    follow.until_live();
    let (began, count) = (Instant::now(), 100_000);
    let writing = write_numbers(writer, count);
    follow.until("all lines", |f| f.lines.len() >= count);
    eprintln!("{count} lines followed in {:?}", began.elapsed());
    assert!(numbers(&follow).into_iter().eq(0..count));
    assert_eq!(follow.end().gaps, []);
    drop(writing.join());
}

#[test]
fn entries_that_were_vacuumed_while_the_reader_could_not_go_on_are_a_gap() {
    let limits = "RateLimitIntervalSec=0\nSystemMaxFileSize=2M\nSystemMaxUse=8M";
    let Some(mut journald) = journald_start(limits) else {
        return;
    };
    let name = unit("slow");
    let writer = journald.writer(&name);
    let mut follow = Follow::new(&plan(of_unit(&journald.store, &name), Start::End), None);
    follow.until_live();
    // Nobody takes anything until all is written: the reader stands still.
    let count = 60_000;
    let mut writer = write_numbers(writer, count).join().unwrap();
    writer.write(format!("{count} last\n").as_bytes());
    journald_until("the last line", || self::count(&journald.store, &format!("{count} last")) == 1);
    follow.until("the last line", |f| f.texts().last().is_some_and(|text| text.ends_with("last")));
    let numbers = numbers(&follow);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert!(numbers.len() < count, "the journal was too small for all: {}", numbers.len());
    let holes = numbers.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
    assert_eq!(follow.gaps.len(), holes);
    follow.end();
}

#[test]
fn a_killed_journald_and_its_successor_are_read_without_loss_or_repetition() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("killed");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    for round in 0..3 {
        let mut writer = journald.writer(&name);
        writer.write(format!("{round} a\n{round} b\n").as_bytes());
        if round == 1 {
            // Once with a restart of the reader between.
            journald_until("the lines", || count(&journald.store, "1 b") == 1);
            follow = follow.restart(&plan);
        }
        follow.until("the lines", |f| f.lines.len() >= 2 * round + 2);
        writer.end();
        journald = journald.crash();
    }
    let mut writer = journald.writer(&name);
    writer.write(b"end\n");
    follow.until("the last line", |f| f.texts().last() == Some(&"end"));
    assert_eq!(follow.texts(), ["0 a", "0 b", "1 a", "1 b", "2 a", "2 b", "end"]);
    assert_eq!(follow.gaps, []);
    follow.end();
}

#[test]
fn the_flush_from_run_to_var_loses_and_repeats_nothing() {
    let Some(mut journald) = journald_start("Storage=auto\nRateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("flush");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut writer = journald.writer(&name);
    let (mut live, mut resumed) = (Follow::new(&plan, None), Follow::new(&plan, None));
    live.until_live();
    resumed.until_live();
    writer.write(b"one\n");
    live.until("the line", |f| f.lines.len() == 1);
    resumed.until("the line", |f| f.lines.len() == 1);
    let cursor = resumed.end().cursor;
    writer.write(b"two\n");
    live.until("the line", |f| f.lines.len() == 2);
    journald.flush();
    writer.write(b"three\n");
    live.until("the third line", |f| f.lines.len() >= 3);
    let mut resumed = Follow::new(&plan, cursor);
    resumed.until("the third line", |f| f.texts().contains(&"three"));
    assert_eq!((live.texts(), live.gaps.len()), (vec!["one", "two", "three"], 0));
    assert_eq!((resumed.texts(), resumed.gaps.len()), (vec!["two", "three"], 0));
    live.end();
    resumed.end();
}

#[test]
fn a_vacuum_is_a_gap_only_if_unread_entries_were_removed() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else {
        return;
    };
    let name = unit("vacuum");
    let plan = plan(of_unit(&journald.store, &name), Start::End);
    let mut writer = journald.writer(&name);
    let mut other = journald.writer(&unit("noise"));
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    writer.write(b"one\n");
    follow.until("the line", |f| f.lines.len() == 1);
    let before = follow.cursor.clone();
    // The unit falls silent; the position moves on with the others' entries.
    other.write(&b"noise\n".repeat(50));
    follow.until("a later position", |f| f.cursor != before);
    let mut follow = follow.end();
    journald.rotate();
    journald.vacuum();
    writer.write(b"two\n");
    let quiet = follow.cursor.take();
    let mut follow = Follow::new(&plan, quiet);
    follow.until("the second line", |f| f.lines.len() == 1);
    assert_eq!((follow.texts(), follow.gaps.clone()), (vec!["two"], vec![]), "nothing unread was removed");
    let mut follow = follow.end();
    writer.write(&b"unread\n".repeat(5));
    journald_until("the unread lines", || count(&journald.store, "unread") == 5);
    journald.rotate();
    journald.vacuum();
    writer.write(b"three\n");
    let mut follow = Follow::new(&plan, follow.cursor.take());
    follow.until("the third line", |f| f.lines.len() == 1);
    assert_eq!((follow.texts(), follow.gaps.len()), (vec!["three"], 1));
    assert_eq!(follow.gaps[0].lines, None);
    follow.end();
}

#[test]
fn messages_that_journald_dropped_are_a_gap_for_every_source_they_can_be_of() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=1s\nRateLimitBurst=20") else {
        return;
    };
    let name = unit("dropped");
    let by = |unit: Option<&str>, matched: &str| {
        let mut plan = plan(of_unit(&journald.store, &name), Start::End);
        if let SourceKind::Journal(journal) = &mut plan.kind {
            journal.unit = unit.map(str::to_owned);
            journal.matches = vec![matched.to_owned()];
        }
        plan
    };
    let plans = [
        by(Some(&name), "SYSLOG_IDENTIFIER=python"),
        by(None, "SYSLOG_IDENTIFIER=python"),
        by(None, &format!("_SYSTEMD_UNIT={name}")),
        by(None, "SYSLOG_IDENTIFIER=quiet"),
    ];
    let mut follows: Vec<Follow> = plans.iter().map(|plan| Follow::new(plan, None)).collect();
    follows.iter_mut().for_each(Follow::until_live);
    let mut writer = journald.writer(&name);
    let other = journald.writer(&unit("quiet"));
    journald.native(other.pid(), &[("MESSAGE", b"of another"), ("SYSLOG_IDENTIFIER", b"quiet")]);
    follows[3].until("its line", |f| f.lines.len() == 1);
    // What the entries' unit was is known after a restart, too.
    writer.write(b"before\n");
    follows[1].until("the line", |f| f.lines.len() == 1);
    let again = follows.remove(1).restart(&plans[1]);
    follows.insert(1, again);
    // The burst is multiplied by the free disk space: at most sixfold.
    writer.write(&b"a line\n".repeat(1_000));
    for follow in &mut follows[..3] {
        follow.until("the gap", |f| {
            writer.write(b"one more\n");
            !f.gaps.is_empty()
        });
        let lines = follow.gaps[0].lines.unwrap();
        let read = follow.texts().iter().filter(|text| **text == "a line").count() as u64;
        assert!(lines >= 1_000 - read, "{lines} dropped, {read} read");
        assert!(!follow.texts().iter().any(|text| text.contains("Suppressed")));
    }
    journald.native(other.pid(), &[("MESSAGE", b"its last"), ("SYSLOG_IDENTIFIER", b"quiet")]);
    follows[3].until("its last line", |f| f.lines.len() == 2);
    assert_eq!(follows[3].gaps, [], "drops of a unit that none of its lines came from");
    follows.into_iter().for_each(|follow| drop(follow.end()));
}
