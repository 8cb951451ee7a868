//! Rotation, by renaming and by copying: nothing is lost, nothing comes twice.

use super::*;

#[test]
fn rotation_by_renaming_under_a_fast_writer_loses_and_repeats_nothing() {
    let (folder, log) = folder();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    const LINES: usize = 40_000;
    let writer = std::thread::spawn(move || {
        let rotated = |n: usize| folder.path().join(format!("app.log.{n}"));
        let mut file = File::create(&log).unwrap();
        for n in 0..LINES {
            writeln!(file, "line {n}").unwrap();
            if n % 2_000 == 1_999 {
                for older in (1..6).rev() {
                    let _ = fs::rename(rotated(older), rotated(older + 1));
                }
                fs::rename(&log, rotated(1)).unwrap();
                file = File::create(&log).unwrap();
                // A rotation is not faster than a reader's look for ever.
                std::thread::park_timeout(Duration::from_millis(if n % 4_000 == 1_999 { 0 } else { 30 }));
            }
        }
        folder
    });
    source.until_lines(LINES);
    let _folder = writer.join().unwrap();
    assert_eq!(source.texts(), numbers(0, LINES));
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
}

#[test]
fn a_writer_that_is_slow_to_open_the_new_file_is_still_heard() {
    let (folder, log) = folder();
    let mut old = File::create(&log).unwrap();
    writeln!(old, "one").unwrap();
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    append(&log, "three\n");
    source.until_lines(2);
    writeln!(old, "two, late").unwrap();
    source.until_lines(3);
    assert_eq!(source.texts(), ["one", "three", "two, late"]);
}

#[test]
fn copytruncate_is_read_on_in_the_copy() {
    let (folder, log) = folder();
    append(&log, "one\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    let cursor = source.stop();
    append(&log, "two\n");
    fs::copy(&log, folder.path().join("app.log.1")).unwrap();
    File::create(&log).unwrap();
    append(&log, "three\nfour\nfive\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["two", "three", "four", "five"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    // And while it runs, at its end.
    fs::copy(&log, folder.path().join("app.log.2")).unwrap();
    File::create(&log).unwrap();
    append(&log, "six is longer than everything before it was, by far\n");
    source.until_lines(5);
    assert_eq!(source.texts()[4], "six is longer than everything before it was, by far");
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
}

#[test]
fn truncation_without_a_copy_is_a_gap_if_something_was_unread() {
    let (_folder, log) = folder();
    append(&log, "one\nunfinished");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    File::create(&log).unwrap();
    append(&log, "two\n");
    source.until_lines(2);
    assert_eq!(source.texts(), ["one", "two"]);
    assert_eq!(source.gaps.len(), 1, "{:?}", source.gaps);
    let cursor = source.stop();
    File::create(&log).unwrap();
    append(&log, "all new\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["all new"]);
    assert_eq!(source.gaps.len(), 1, "{:?}", source.gaps);
}

#[test]
fn rotated_while_down_is_finished_then_the_generations_between_then_the_new_file() {
    let (folder, log) = folder();
    let rotated = |n: usize| folder.path().join(format!("app.log.{n}"));
    append(&rotated(1), "before our time\n");
    append(&log, "one\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    let cursor = source.stop();
    append(&log, "two\n");
    fs::rename(rotated(1), rotated(3)).unwrap();
    fs::rename(&log, rotated(2)).unwrap();
    append(&rotated(1), "three\n");
    append(&log, "four\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["two", "three", "four"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    let cursor = source.stop();
    // Nothing is read twice by a third run.
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), [""; 0]);
    let cursor = source.stop();
    // Gone is a gap.
    for path in [rotated(3), rotated(2), rotated(1), log.clone()] {
        fs::remove_file(path).unwrap();
    }
    append(&rotated(9), "its number may have been taken\n");
    append(&log, "five\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert!(!source.gaps.is_empty());
    assert_eq!(source.texts().last(), Some(&"five"));
}

#[test]
fn rotations_that_are_faster_than_any_look_lose_and_repeat_nothing() {
    let (folder, log) = folder();
    append(&log, "line 0\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    // As many files as are looked at beside a path.
    const ROTATIONS: usize = 60;
    let mut written = 1;
    for round in 1..=ROTATIONS {
        for older in (1..round).rev() {
            let rotated = |n: usize| folder.path().join(format!("app.log.{n}"));
            fs::rename(rotated(older), rotated(older + 1)).unwrap();
        }
        fs::rename(&log, folder.path().join("app.log.1")).unwrap();
        let count = 1 + round % 3;
        append(&log, &numbers(written, written + count).iter().map(|l| format!("{l}\n")).collect::<String>());
        written += count;
    }
    source.until_lines(written);
    append(&log, "end\n");
    source.until("the end", |r| r.texts().last() == Some(&"end"));
    let (mut got, mut expected) = (source.texts(), numbers(0, written));
    assert_eq!(got.pop(), Some("end"));
    assert_eq!(source.gaps, []);
    // In their order, too, unless a file was not found at the first look.
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[test]
fn a_file_copied_and_truncated_twice_between_two_looks_is_read_in_both_copies() {
    let (folder, log) = folder();
    append(&log, "one\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(1);
    let cursor = source.stop();
    append(&log, "two\n");
    fs::copy(&log, folder.path().join("app.log.2")).unwrap();
    File::create(&log).unwrap();
    append(&log, "three\nfour\n");
    fs::copy(&log, folder.path().join("app.log.1")).unwrap();
    File::create(&log).unwrap();
    append(&log, "five\n");
    let mut source = Running::start(&plan(&[&log]), cursor);
    source.until_live();
    assert_eq!(source.texts(), ["two", "three", "four", "five"]);
    assert!(source.gaps.is_empty(), "{:?}", source.gaps);
    let cursor = source.stop();
    let mut source = Running::start(&plan(&[&log]), cursor);
    append(&log, "six\n");
    source.until_lines(1);
    assert_eq!(source.texts(), ["six"], "nothing twice");
}
