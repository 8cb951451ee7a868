//! Files that are cut, damaged, taken away or not to be read, and a machine
//! that gets another name: each is said, and none needs a restart of ours.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use tocsin::config::plan::{JournalPlan, Start};
use tocsin::model::SourceState;

use super::{Follow, as_nobody, mode_of_files, of_unit, plan, unit};
use crate::support::{JournaldRemote, journald_remote, journald_start};

/// All journals of a folder.
fn of_folder(folder: &Path) -> JournalPlan {
    JournalPlan { directory: Some(folder.to_owned()), ..JournalPlan::default() }
}

fn is_lost(follow: &Follow) -> bool {
    matches!(follow.states.last(), Some(SourceState::Lost { .. }))
}

/// Writes numbered entries whose text does not compress, one a second.
fn write(remote: &mut JournaldRemote, boot: u128, from: u64, to: u64) {
    for n in from..to {
        let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let noise: Vec<u8> = (0..60_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                b'a' + (state % 26) as u8
            })
            .collect();
        let text = [format!("{n} ").as_bytes(), &noise].concat();
        remote.entry(boot, 1_000 + n, &[("MESSAGE", &text), ("_PID", b"7")]);
    }
}

fn numbers(follow: &Follow) -> Vec<u64> {
    follow.texts().iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// Cuts a file in two and keeps the first half.
fn cut(file: &Path) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(size / 2).unwrap();
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_a_gap_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.journal");
    let Some(mut first) = journald_remote(&file) else { return };
    write(&mut first, 7, 0, 200);
    let plan = plan(of_folder(dir.path()), Start::Beginning);
    let mut follow = Follow::new(&plan, None);
    // The channel is full and the reader stands in the middle of the file.
    follow.until_some();
    let read = follow.lines.len();
    assert!(read < 100, "{read} were read before the cut");
    cut(&file);
    let Some(mut second) = journald_remote(&dir.path().join("b.journal")) else { return };
    write(&mut second, 8, 300, 302);
    follow.until("the other file", |f| numbers(f).ends_with(&[300, 301]));
    follow.until("the gap", |f| !f.gaps.is_empty());
    follow.until_live();
    let got = numbers(&follow);
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice: {got:?}");
    assert_eq!(follow.gaps.len(), 1, "{:?}", follow.gaps);
    // And what is known as damaged is not told again.
    let mut follow = follow.restart(&plan);
    write(&mut second, 8, 302, 303);
    follow.until("the next line", |f| numbers(f).ends_with(&[302]));
    follow.until_live();
    assert_eq!((follow.gaps.len(), numbers(&follow).len()), (1, got.len() + 1));
    follow.end();
}

#[test]
fn a_file_that_was_cut_while_we_were_down_is_a_gap_only_if_it_held_unread_entries() {
    for unread in [0, 5] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.journal");
        let Some(mut first) = journald_remote(&file) else { return };
        write(&mut first, 7, 0, 40);
        let plan = plan(of_folder(dir.path()), Start::Beginning);
        let mut follow = Follow::new(&plan, None);
        follow.until_live();
        assert_eq!(follow.lines.len(), 40);
        let follow = follow.end();
        write(&mut first, 7, 40, 40 + unread);
        drop(first);
        cut(&file);
        let Some(mut second) = journald_remote(&dir.path().join("b.journal")) else { return };
        write(&mut second, 8, 300, 302);
        let mut follow = Follow::new(&plan, follow.cursor);
        follow.until("the other file", |f| numbers(f).ends_with(&[300, 301]));
        follow.until_live();
        assert_eq!(numbers(&follow), [300, 301]);
        assert_eq!(follow.gaps.len(), usize::from(unread > 0), "{:?}", follow.gaps);
        follow.end();
    }
}

#[test]
fn a_new_file_that_may_not_be_read_is_lost_until_it_may_and_nothing_of_it_is_missing() {
    let Some(mut journald) = journald_start("RateLimitIntervalSec=0") else { return };
    let name = unit("later-rights");
    let mut writer = journald.writer(&name);
    writer.write(b"one\n");
    mode_of_files(&journald, 0o644);
    let plan = plan(of_unit(&journald.store, &name), Start::Beginning);
    let mut follow = as_nobody(plan);
    follow.until("the line", |f| f.texts() == ["one"]);
    follow.until_live();
    journald.rotate();
    mode_of_files(&journald, 0o600);
    writer.write(b"two\n");
    follow.until("lost", is_lost);
    let Some(SourceState::Lost { why }) = follow.states.last() else { unreachable!() };
    assert!(why.contains("group systemd-journal") && why.contains("/system"), "{why}");
    mode_of_files(&journald, 0o644);
    follow.until("the line", |f| f.texts() == ["one", "two"]);
    follow.until_live();
    assert_eq!(follow.gaps, []);
    follow.end();
}

#[test]
fn a_journal_whose_folder_is_deleted_is_lost_and_one_made_again_is_read_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("journal");
    let machine = store.join("0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&machine).unwrap();
    let Some(mut first) = journald_remote(&machine.join("system.journal")) else { return };
    write(&mut first, 7, 0, 3);
    let mut follow = Follow::new(&plan(of_folder(&store), Start::Beginning), None);
    follow.until("three lines", |f| f.lines.len() == 3);
    follow.until_live();
    fs::remove_dir_all(&store).unwrap();
    follow.until("lost", is_lost);
    fs::create_dir_all(&machine).unwrap();
    let Some(mut second) = journald_remote(&machine.join("system.journal")) else { return };
    write(&mut second, 7, 10, 13);
    follow.until("three more", |f| f.lines.len() == 6);
    follow.until_live();
    assert_eq!(numbers(&follow), [0, 1, 2, 10, 11, 12]);
    // What was read is gone, and what is there is younger: something may be missing.
    assert_eq!(follow.gaps.len(), 1, "{:?}", follow.gaps);
    follow.end();
}

#[test]
fn the_folder_of_a_new_machine_id_is_read_on_whether_the_old_one_stays_or_goes() {
    for stays in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let machine = |digit: &str| -> PathBuf { dir.path().join(digit.repeat(32)) };
        fs::create_dir(machine("1")).unwrap();
        let Some(mut old) = journald_remote(&machine("1").join("system.journal")) else { return };
        write(&mut old, 7, 0, 3);
        let plan = plan(of_folder(dir.path()), Start::Beginning);
        let mut follow = Follow::new(&plan, None);
        follow.until("three lines", |f| f.lines.len() == 3);
        follow.until_live();
        fs::create_dir(machine("2")).unwrap();
        let Some(mut new) = journald_remote(&machine("2").join("system.journal")) else { return };
        write(&mut new, 8, 10, 12);
        follow.until("the new machine's lines", |f| f.lines.len() == 5);
        if !stays {
            drop(old);
            fs::remove_dir_all(machine("1")).unwrap();
        }
        // With a restart while the old one's folder goes, too.
        let mut follow = follow.restart(&plan);
        write(&mut new, 8, 12, 14);
        follow.until("its next lines", |f| f.lines.len() == 7);
        follow.until_live();
        assert_eq!(numbers(&follow), [0, 1, 2, 10, 11, 12, 13]);
        assert_eq!(follow.gaps, [], "all of the old one was read");
        follow.end();
    }
}
