//! Which files are followed, and from where.

use super::*;

#[test]
fn lines_come_whole_in_order_and_fast() {
    let (_folder, log) = folder();
    append(&log, "one\ntwo\nthr");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    assert_eq!(source.texts(), ["one", "two"]);
    let written = Instant::now();
    append(&log, "ee\n");
    source.until_lines(3);
    assert!(written.elapsed() < Duration::from_millis(500), "took {:?}", written.elapsed());
    assert_eq!(source.texts(), ["one", "two", "three"]);
    assert_eq!(&*source.lines[0].stream.writer, log.to_str().unwrap());
    assert!(source.gaps.is_empty());
    source.stop();
}

#[test]
fn the_first_start_obeys_its_option() {
    let (_folder, log) = folder();
    append(&log, "2020-01-01 00:00:00,000 old\n  its traceback\n");
    let near = Time::parse_rfc3339("2200-01-01T00:00:00Z").unwrap().to_rfc3339();
    append(&log, &format!("{near} new\n  its traceback\nunfinished"));

    let mut end = plan(&[&log]);
    end.start = Start::End;
    let mut source = Running::start(&end, None);
    source.until_live();
    append(&log, " line\n");
    source.until_lines(1);
    assert_eq!(source.texts(), ["unfinished line"]);
    source.stop();

    let mut ago = plan(&[&log]);
    ago.start = Start::Ago(Duration::from_secs(3600));
    let mut source = Running::start(&ago, None);
    source.until_live();
    assert_eq!(source.texts(), [&*format!("{near} new"), "  its traceback", "unfinished line"]);
    source.stop();

    let (_folder, bare) = folder();
    append(&bare, "no time\n");
    ago.kind = plan(&[&bare]).kind;
    let mut source = Running::start(&ago, None);
    source.until_live();
    assert_eq!(source.texts(), ["no time"]);
}

#[test]
fn the_first_batch_holds_the_position_so_that_nothing_is_skipped_by_a_restart() {
    let (_folder, log) = folder();
    append(&log, "before\n");
    let mut plan = plan(&[&log]);
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    let cursor = source.stop();
    append(&log, "meanwhile\n");
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), ["meanwhile"]);
}

#[test]
fn globs_find_what_comes_later_and_leave_packed_files_alone() {
    let (folder, log) = folder();
    append(&log, "a\n");
    let pattern = folder.path().join("*.log*");
    let mut source = Running::start(&plan(&[&pattern]), None);
    source.until_live();
    append(&folder.path().join("other.log"), "b\n");
    append(&folder.path().join("other.log.2.gz"), "packed\n");
    source.until_lines(2);
    // Renamed to another name that the glob matches: the same file, not a new one.
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    append(&log, "c\n");
    source.until_lines(3);
    append(&folder.path().join("app.log.1"), "d\n");
    source.until_lines(4);
    fs::create_dir(folder.path().join("sub.log")).unwrap();
    append(&log, "e\n");
    source.until_lines(5);
    assert_eq!(source.texts(), ["a", "b", "c", "d", "e"]);
    assert_eq!(source.states, [SourceState::Live]);
}

#[test]
fn globs_over_folders_find_new_folders() {
    let (folder, _) = folder();
    let pattern = folder.path().join("*/*-json.log");
    let mut plan = docker(plan(&[&pattern]));
    plan.start = Start::End;
    let mut source = Running::start(&plan, None);
    source.until_live();
    let container = folder.path().join("c0ffee");
    fs::create_dir(&container).unwrap();
    let log = container.join("c0ffee-json.log");
    append(&log, "{\"log\":\"up\\n\",\"stream\":\"stdout\",\"time\":\"2026-03-14T09:12:41.318Z\"}\n");
    source.until_lines(1);
    assert_eq!(source.texts(), ["up"]);
    assert_eq!(&*source.lines[0].stream.writer, log.to_str().unwrap());
}

#[test]
fn a_backlog_is_behind_before_it_is_live_and_comes_in_bounded_batches() {
    let (_folder, log) = folder();
    append(&log, &"a line of some length that stands many times in the file\n".repeat(20_000));
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    assert_eq!(source.lines.len(), 20_000);
    assert_eq!(source.states, [SourceState::Behind, SourceState::Live]);
}
