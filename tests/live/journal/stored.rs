//! Journal files with any stamps, written by systemd-journal-remote.

use std::ops::ControlFlow;
use std::time::Duration;

use tocsin::config::plan::{JournalPlan, Start};
use tocsin::decode::{Decoder, Format};
use tocsin::model::{Reading, Time};
use tocsin::source::journal;

use super::{Follow, of_file, plan};
use crate::support::{JournaldRemote, journald_remote};

const DROPPED: &[u8] = b"a596d6fe7bfa4994828e72309e95d61e";

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

fn piece<'a>(pid: &'a str, text: &'a str, ends: &'a str) -> Fields<'a> {
    let mut fields: Fields =
        vec![("MESSAGE", text.as_bytes()), ("_PID", pid.as_bytes()), ("_STREAM_ID", pid.as_bytes())];
    if !ends.is_empty() {
        fields.push(("_LINE_BREAK", ends.as_bytes()));
    }
    fields
}

#[test]
fn pieces_of_two_processes_are_joined_and_a_restart_after_each_entry_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    let entries = [
        ("1", "whole", ""),
        ("1", "one ", "line-max"),
        ("2", "two ", "line-max"),
        ("2", "goes ", "line-max"),
        ("3", "between", ""),
        ("1", "goes ", "nul"),
        ("2", "on", ""),
        ("2", "cut", "eof"),
        ("1", "on", ""),
        ("1", "after", ""),
    ];
    let expected = ["whole", "between", "two goes on", "cut", "one goes \0on", "after"];
    let plan = plan(of_file(&file), Start::Beginning);
    let (mut texts, mut cursor) = (Vec::new(), None);
    for (index, (pid, text, ends)) in entries.into_iter().enumerate() {
        remote.entry(7, 1_000 + index as u64, &piece(pid, text, ends));
        let mut follow = Follow::new(&plan, cursor);
        follow.until_live();
        let follow = follow.end();
        assert_eq!(follow.gaps, []);
        texts.extend(follow.lines.into_iter().map(|line| line.text));
        cursor = follow.cursor;
    }
    assert_eq!(texts, expected);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    assert_eq!(follow.texts(), expected, "the same without restarts");
    assert!(follow.lines[3].is_cut && !follow.lines[4].is_cut);
    follow.end();
}

#[test]
fn the_journal_itself_and_its_dump_give_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    let long = "x".repeat(48 << 10);
    let entries: [(u128, u64, Fields); 11] = [
        (7, 1_000, piece("1", "one ", "line-max")),
        (7, 1_001, piece("2", "between", "")),
        (7, 1_002, piece("1", "goes ", "nul")),
        (7, 1_003, piece("1", "on", "")),
        (7, 1_004, piece("3", "stuck", "line-max")),
        (7, 1_005, vec![("MESSAGE", b"native\n\xff\r\n"), ("_PID", b"4"), ("_TRANSPORT", b"journal")]),
        (7, 1_006, vec![("MESSAGE", long.as_bytes()), ("_PID", b"4"), ("_TRANSPORT", b"syslog")]),
        (7, 1_007, vec![("MESSAGE", b"of the kernel"), ("SYSLOG_IDENTIFIER", b"kernel")]),
        (7, 1_100, piece("2", "later", "")),
        (7, 1_101, piece("3", "its rest", "")),
        (8, 1_200, piece("3", "of another boot", "eof")),
    ];
    for (boot, secs, mut fields) in entries {
        if !fields.iter().any(|field| field.0 == "_TRANSPORT") {
            fields.push(("_TRANSPORT", b"stdout"));
        }
        remote.entry(boot << 96, secs, &fields);
    }
    let journal = of_file(&file);
    let plan = plan(journal.clone(), Start::End);
    let (mut read, mut decoded) = (Vec::new(), Vec::new());
    let each = &mut |reading| {
        read.push(reading);
        ControlFlow::Continue(())
    };
    journal::read(&plan, &journal, None, each).unwrap();
    let mut dump = std::process::Command::new("journalctl");
    let dump = dump.args(["-o", "export", "--file"]).arg(&file).output().unwrap().stdout;
    let mut decoder = Decoder::new(Format::Export, &plan, Time::default(), None).unwrap();
    decoder.feed(&dump, &mut decoded);
    decoder.finish(&mut decoded);
    assert_eq!(read, decoded);
    assert_eq!(read.len(), 8, "{read:?}");
}

#[test]
fn a_new_boot_is_no_gap_and_another_writer() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    let plan = plan(of_file(&file), Start::Beginning);
    remote.entry(7 << 96, 1_000, &piece("1", "before", ""));
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let follow = follow.end();
    assert_eq!(&*follow.lines[0].stream.writer, "1@00000007");
    remote.entry(8 << 96, 2_000, &piece("1", "after", ""));
    let mut follow = Follow::new(&plan, follow.cursor);
    follow.until_live();
    assert_eq!((follow.texts(), follow.gaps.len()), (vec!["after"], 0));
    assert_eq!(&*follow.lines[0].stream.writer, "1@00000008");
    assert_eq!(follow.lines[0].at, Time::from_secs(2_000));
    follow.end();
}

#[test]
fn a_journal_that_was_removed_as_a_whole_is_a_gap_and_an_older_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let all = JournalPlan { directory: Some(dir.path().to_owned()), ..JournalPlan::default() };
    let plan = plan(all, Start::Beginning);
    let Some(mut remote) = journald_remote(&file) else { return };
    remote.entry(7, 1_000, &piece("1", "one", ""));
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let cursor = follow.end().cursor;
    drop(remote);
    std::fs::remove_file(&file).unwrap();
    let Some(mut remote) = journald_remote(&file) else { return };
    remote.entry(8, 2_000, &piece("1", "two", ""));
    let mut follow = Follow::new(&plan, cursor.clone());
    follow.until_live();
    assert_eq!((follow.texts(), follow.gaps.len()), (vec!["two"], 1));
    follow.end();
    let Some(mut older) = journald_remote(&dir.path().join("older.journal")) else { return };
    older.entry(6, 500, &piece("1", "long ago", ""));
    let mut follow = Follow::new(&plan, cursor);
    follow.until_live();
    assert_eq!((follow.texts(), follow.gaps.len()), (vec!["two"], 0), "what is older was kept");
    follow.end();
}

#[test]
fn a_boot_whose_clock_is_behind_is_read_once_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut old) = journald_remote(&dir.path().join("old.journal")) else {
        return;
    };
    for secs in [100_000, 200_000] {
        old.entry(7, secs, &piece("1", "old", ""));
    }
    let all = JournalPlan { directory: Some(dir.path().to_owned()), ..JournalPlan::default() };
    let plan = plan(all, Start::Beginning);
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    let follow = follow.end();
    assert_eq!(follow.lines.len(), 2);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
    let boot = u128::from_str_radix(&boot, 16).unwrap();
    let Some(mut new) = journald_remote(&dir.path().join("new.journal")) else {
        return;
    };
    let mut cursor = follow.cursor;
    for secs in [50_000, 60_000, 150_000, 250_000] {
        new.entry(boot, secs, &piece("1", &format!("new {secs}"), ""));
        let mut follow = Follow::new(&plan, cursor);
        follow.until_live();
        assert_eq!((follow.texts(), follow.gaps.len()), (vec![format!("new {secs}").as_str()], 0));
        cursor = follow.end().cursor;
    }
}

#[test]
fn a_drop_notice_is_a_gap_in_a_stored_journal_too_and_a_forged_one_is_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    let notice = |remote: &mut JournaldRemote, secs, transport: &[u8]| {
        remote.entry(
            7,
            secs,
            &[
                ("MESSAGE", b"Suppressed 12 messages from x.service"),
                ("MESSAGE_ID", DROPPED),
                ("N_DROPPED", b"12"),
                ("_TRANSPORT", transport),
                ("SYSLOG_IDENTIFIER", b"systemd-journald"),
                ("_UID", b"0"),
                ("OBJECT_SYSTEMD_UNIT", b"x.service"),
            ],
        );
    };
    notice(&mut remote, 1_000, b"driver");
    notice(&mut remote, 2_000, b"journal");
    let journal = JournalPlan { unit: Some("x".to_owned()), ..of_file(&file) };
    let mut readings = Vec::new();
    let each = &mut |reading| {
        readings.push(reading);
        ControlFlow::Continue(())
    };
    journal::read(&plan(journal.clone(), Start::End), &journal, None, each).unwrap();
    assert!(
        matches!(&readings[0], Reading::Gap(gap) if gap.lines == Some(12) && gap.at == Time::from_secs(1_000))
    );
    assert!(matches!(&readings[1], Reading::Line(_)));
    assert_eq!(readings.len(), 2);
}

#[test]
fn a_stored_journal_is_read_from_a_time_on_and_can_be_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    for secs in [1_000, 2_000, 3_000] {
        remote.entry(7, secs, &piece("1", &secs.to_string(), ""));
    }
    remote.entry(7, 4_000, &piece("1", "open", "line-max"));
    let journal = of_file(&file);
    let plan = plan(journal.clone(), Start::End);
    let texts = |since: Option<Time>, limit: usize| {
        let mut texts = Vec::new();
        let each = &mut |reading| {
            if let Reading::Line(line) = reading {
                texts.push((line.text, line.is_cut));
            }
            if texts.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        journal::read(&plan, &journal, since, each).unwrap();
        texts
    };
    let line = |text: &str| (text.to_owned(), false);
    let open = ("open".to_owned(), true);
    assert_eq!(texts(None, 9), [line("1000"), line("2000"), line("3000"), open.clone()]);
    assert_eq!(texts(Some(Time::from_secs(2_000)), 9), [line("2000"), line("3000"), open]);
    assert_eq!(texts(None, 1), [line("1000")]);
    let missing = of_file(&dir.path().join("missing.journal"));
    let error = journal::read(&plan, &missing, None, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("missing.journal"), "{error}");
}

#[test]
fn a_file_named_by_its_path_is_followed_into_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut first) = journald_remote(&file) else {
        return;
    };
    first.entry(7, 1_000, &piece("1", "one", ""));
    let mut follow = Follow::new(&plan(of_file(&file), Start::Beginning), None);
    follow.until("the first line", |f| f.lines.len() == 1);
    drop(first);
    std::fs::rename(&file, dir.path().join("a@1.journal")).unwrap();
    let Some(mut second) = journald_remote(&file) else {
        return;
    };
    second.entry(7, 2_000, &piece("1", "two", ""));
    follow.until("the second line", |f| f.lines.len() == 2);
    assert_eq!(follow.texts(), ["one", "two"]);
    follow.end();
}

#[test]
fn a_span_before_now_is_where_a_first_start_may_begin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut remote) = journald_remote(&file) else {
        return;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    remote.entry(7, now - 7_200, &piece("1", "too old", ""));
    remote.entry(7, now - 600, &piece("1", "recent", ""));
    let plan = plan(of_file(&file), Start::Ago(Duration::from_secs(3_600)));
    let mut follow = Follow::new(&plan, None);
    follow.until_live();
    assert_eq!(follow.texts(), ["recent"]);
    follow.end();
}

#[test]
fn a_damaged_file_neither_stops_nor_hides_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut damaged) = journald_remote(&dir.path().join("a.journal")) else {
        return;
    };
    for n in 0..200 {
        damaged.entry(7, 1_000 + n, &piece("1", &format!("line {n}"), ""));
    }
    drop(damaged);
    let Some(mut whole) = journald_remote(&dir.path().join("b.journal")) else {
        return;
    };
    whole.entry(7, 5_000, &piece("1", "whole", ""));
    let file = dir.path().join("a.journal");
    let bytes = std::fs::read(&file).unwrap();
    let all = JournalPlan { directory: Some(dir.path().to_owned()), ..JournalPlan::default() };
    for seed in 1..40usize {
        let mut broken = bytes.clone();
        for n in 0..30 {
            let at = seed.wrapping_mul(7_919).wrapping_add(n * 104_729) % 200_000;
            broken[at] ^= 0x5a;
        }
        std::fs::write(&file, &broken).unwrap();
        let mut follow = Follow::new(&plan(all.clone(), Start::Beginning), None);
        follow.until("the whole file", |f| f.texts().contains(&"whole"));
        follow.until_live();
        follow.end();
    }
}
