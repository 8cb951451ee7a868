//! What can happen to a file beside rotation: gone, replaced, not to be read.

use std::os::unix::fs::OpenOptionsExt;

use super::*;

#[test]
fn a_path_that_is_not_there_is_quiet_and_read_from_its_beginning_when_it_comes() {
    let (folder, _) = folder();
    let log = folder.path().join("not/yet/app.log");
    let mut plan = plan(&[&log]);
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    for round in 0..3 {
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        append(&log, &format!("one {round}\ntwo {round}\n"));
        source.until_lines(2 + 2 * round);
        fs::remove_dir_all(folder.path().join("not")).unwrap();
    }
    assert_eq!(source.texts(), ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]);
    assert_eq!(source.states, [SourceState::Live]);
    assert!(source.gaps.is_empty());
}

#[test]
fn what_cannot_be_read_is_lost_with_its_reason_and_comes_back() {
    let (_folder, log) = folder();
    fs::create_dir(&log).unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until("lost", |r| matches!(r.states.last(), Some(SourceState::Lost { .. })));
    let Some(SourceState::Lost { why }) = source.states.last() else { unreachable!() };
    assert!(why.contains("app.log") && why.contains("directory"), "{why}");
    fs::remove_dir(&log).unwrap();
    append(&log, "one\n");
    source.until_lines(1);
    source.until_live();
}

#[test]
fn a_file_that_another_was_moved_over_is_read_to_its_end_and_then_the_other() {
    let (folder, log) = folder();
    let mut old = File::create(&log).unwrap();
    writeln!(old, "one").unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    for round in 0..3 {
        let other = folder.path().join("new");
        append(&other, &format!("first of {round}\n"));
        writeln!(old, "last before {round}").unwrap();
        fs::rename(&other, &log).unwrap();
        source.until_lines(3 + 2 * round);
        old = OpenOptions::new().append(true).open(&log).unwrap();
    }
    let expected = (0..3).flat_map(|n| [format!("last before {n}"), format!("first of {n}")]);
    assert_eq!(source.texts()[1..], expected.collect::<Vec<_>>());
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    // While nobody looks, the old one is gone with what it held.
    let cursor = source.stop();
    writeln!(old, "lost").unwrap();
    append(&folder.path().join("new"), "after\n");
    fs::rename(folder.path().join("new"), &log).unwrap();
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!((source.texts(), source.gaps.len()), (vec!["after"], 1));
}

#[test]
fn a_gap_is_told_at_the_time_of_the_lines_around_it_and_not_of_the_reading() {
    let (_folder, log) = folder();
    append(&log, "2020-01-01T00:00:00Z one\n2020-01-01T00:00:01Z unfinished");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    let cursor = source.stop();
    File::create(&log).unwrap();
    append(&log, "2020-01-01T00:00:05Z two\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!((source.texts(), source.gaps.len()), (vec!["2020-01-01T00:00:05Z two"], 1));
    assert_eq!(source.gaps[0].at, Time::parse_rfc3339("2020-01-01T00:00:00Z").unwrap());
}

#[test]
fn a_folder_that_is_moved_is_read_on_there_and_the_new_one_in_its_place() {
    let (folder, _) = folder();
    let (here, there) = (folder.path().join("logs"), folder.path().join("moved"));
    fs::create_dir(&here).unwrap();
    let log = here.join("app.log");
    let mut old = File::create(&log).unwrap();
    writeln!(old, "one").unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    fs::rename(&here, &there).unwrap();
    writeln!(old, "two, from afar").unwrap();
    source.until_lines(2);
    fs::create_dir(&here).unwrap();
    append(&log, "three\n");
    source.until_lines(3);
    writeln!(old, "four, late").unwrap();
    source.until_lines(4);
    append(&log, "five\n");
    source.until_lines(5);
    assert_eq!(source.texts(), ["one", "two, from afar", "three", "four, late", "five"]);
    assert!(source.gaps.is_empty() && source.states == [SourceState::Live], "{:?}", source.gaps);
}

#[test]
fn a_link_that_is_switched_is_followed_and_what_it_led_to_is_finished_first() {
    let (folder, log) = folder();
    let of_day = |day: usize| folder.path().join(format!("files/{day}"));
    let switch = |day: usize| {
        let next = folder.path().join("next");
        std::os::unix::fs::symlink(of_day(day), &next).unwrap();
        fs::rename(next, &log).unwrap();
    };
    fs::create_dir(folder.path().join("files")).unwrap();
    append(&of_day(0), "one\n");
    switch(0);
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    append(&of_day(0), "two\n");
    append(&of_day(1), "three\n");
    switch(1);
    source.until_lines(3);
    append(&of_day(0), "four, late\n");
    source.until_lines(4);
    append(&of_day(1), "five\n");
    source.until_lines(5);
    // And while nobody looks.
    let cursor = source.stop();
    append(&of_day(1), "six\n");
    append(&of_day(2), "seven\n");
    switch(2);
    let mut next = Running::start(&plan(&[&log]), cursor);
    next.until_live();
    assert_eq!(next.texts(), ["six", "seven"]);
    assert!(next.gaps.is_empty(), "{:?}", next.gaps);
}

/// Starts a source as a user without rights, if we have any.
fn start_as_nobody(plan: &SourcePlan) -> Running {
    let start = || {
        // SAFETY: raw calls change the calling thread alone, and the reader
        // that it starts.
        unsafe {
            if libc::geteuid() == 0 {
                assert_eq!(libc::syscall(libc::SYS_setresgid, 65_534, 65_534, 65_534), 0);
                assert_eq!(libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534), 0);
            }
        }
        Running::start(plan, None)
    };
    std::thread::scope(|scope| scope.spawn(start).join().unwrap())
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_and_a_folder_that_may_not_be_read_are_lost_until_they_may() {
    let (folder, log) = folder();
    mode(folder.path(), 0o755);
    append(&log, "one\n");
    mode(&log, 0o644);
    let mut source = start_as_nobody(&plan(&[&log]));
    source.until_lines(1);
    let is_lost = |r: &Running| matches!(r.states.last(), Some(SourceState::Lost { why }) if why.contains("permission denied"));
    // The next one is made with other rights.
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    let mut next = OpenOptions::new().create_new(true).append(true).mode(0o000).open(&log).unwrap();
    next.write_all(b"two\n").unwrap();
    source.until("lost", is_lost);
    mode(&log, 0o644);
    source.until_lines(2);
    source.until_live();
    mode(folder.path(), 0o600);
    source.until("lost", is_lost);
    append(&log, "three\n");
    mode(folder.path(), 0o755);
    source.until_lines(3);
    source.until_live();
    assert_eq!(source.texts(), ["one", "two", "three"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
}

#[test]
fn a_rotated_file_that_may_not_be_read_is_told_and_read_when_it_may() {
    let (folder, log) = folder();
    mode(folder.path(), 0o755);
    let rotated = |n: u32| folder.path().join(format!("app.log.{n}"));
    // Not ours to read, so it does not matter that it may not be read.
    append(&rotated(3), "before us\n");
    mode(&rotated(3), 0o000);
    append(&log, "one\n");
    mode(&log, 0o644);
    let mut source = start_as_nobody(&plan(&[&log]));
    source.until_lines(1);
    source.until_live();

    // Two rotations that nobody sees between: the one in the middle is closed.
    let next = folder.path().join("next");
    append(&next, "three\n");
    mode(&next, 0o644);
    append(&rotated(1), "two\n");
    mode(&rotated(1), 0o000);
    fs::rename(&log, rotated(2)).unwrap();
    fs::rename(&next, &log).unwrap();
    source.until_lines(2);
    let is_told = |r: &Running| matches!(r.states.last(), Some(SourceState::Lost { why }) if why.contains("app.log.1: permission denied"));
    source.until("lost", is_told);
    mode(&rotated(1), 0o644);
    source.until_lines(3);
    source.until_live();
    assert_eq!(source.texts(), ["one", "three", "two"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    // Told once, and what was there before us not at all.
    append(&log, "four\n");
    source.until_lines(4);
    let lost = source.states.iter().filter(|state| matches!(state, SourceState::Lost { .. })).count();
    assert_eq!(lost, 1, "{:?}", source.states);
}
