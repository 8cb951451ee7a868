//! What a line is: its end, its length, its time, its pieces.

use super::*;

#[test]
fn long_lines_are_cut_once_and_hostile_bytes_do_no_harm() {
    let (_folder, log) = folder();
    let mut plan = plan(&[&log]);
    plan.line_bytes_max = 10;
    let mut file = File::create(&log).unwrap();
    file.write_all(b"0123456789\n0123456789x\nshort\r\n012345678\xC3\xA9\n\xFF\xFE\n\0\0\x1b[2J\n").unwrap();
    let mut source = Running::start(&plan, None);
    source.until_live();
    assert_eq!(
        source.texts(),
        ["0123456789", "0123456789", "short", "012345678", "\u{FFFD}\u{FFFD}", "\0\0\u{1b}[2J"]
    );
    let cut: Vec<bool> = source.lines.iter().map(|l| l.is_cut).collect();
    assert_eq!(cut, [false, true, false, true, false, false]);
    let invalid: Vec<bool> = source.lines.iter().map(|l| l.had_invalid_utf8).collect();
    assert_eq!(invalid, [false, false, false, false, true, false]);
    // A line without an end is given when it is over the limit, and its rest
    // is passed over, also by another run.
    file.write_all(&vec![b'z'; 3_000_000]).unwrap();
    source.until_lines(7);
    source.until("the rest taken", |r| r.cursor.as_ref().is_some_and(|c| c.0.contains("\"offset\":3000")));
    let cursor = source.stop();
    file.write_all(b"zzz\nnext\n").unwrap();
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), ["next"]);
}

#[test]
fn a_line_of_a_gigabyte_is_cut_and_what_follows_is_read() {
    let (_folder, log) = folder();
    let file = File::create(&log).unwrap();
    // A hole reads as NULs and takes no place on the disk.
    file.set_len(1 << 30).unwrap();
    append(&log, "\nnext\n");
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_lines(2);
    assert_eq!((source.lines[0].text.len(), source.lines[0].is_cut), (1024 * 1024, true));
    assert_eq!(source.lines[1].text, "next");
}

#[test]
fn lines_take_their_own_time_and_those_without_the_time_before() {
    let (_folder, log) = folder();
    append(
        &log,
        "2026-01-08 01:19:43,943 [ERROR] app: x\nTraceback\n[2026-01-12 15:46:07,540] y\n\
         [2026-03-17 10:00:00 +0000] [1] [INFO] z\n2026-03-17T12:00:00.5+02:00 w\n\
         2026-03-18T00:00:00.123456789Z 2026-01-08 01:19:43,943 [INFO] from docker\n",
    );
    let mut source = Running::start(&plan(&[&log]), None);
    source.until_live();
    let times: Vec<String> = source.lines.iter().map(|l| l.at.to_rfc3339()).collect();
    assert_eq!(
        times,
        [
            "2026-01-08T01:19:43.943Z",
            "2026-01-08T01:19:43.943Z",
            "2026-01-12T15:46:07.540Z",
            "2026-03-17T10:00:00.000Z",
            "2026-03-17T10:00:00.500Z",
            "2026-03-18T00:00:00.123Z",
        ]
    );
    assert_eq!(source.lines[5].text, "2026-01-08 01:19:43,943 [INFO] from docker");
}

#[test]
fn lines_without_any_time_take_that_of_reading_and_never_run_backwards() {
    let (_folder, log) = folder();
    let mut source = Running::start(&plan(&[&log]), None);
    let before = jiff::Timestamp::now().as_nanosecond() as i64;
    for n in 0..20 {
        append(&log, &format!("line {n}\n"));
        source.until_lines(n + 1);
    }
    let times: Vec<Time> = source.lines.iter().map(|l| l.at).collect();
    assert!(times.is_sorted() && times[0].0 >= before);
}

fn piece(log: &str, stream: &str, second: usize) -> String {
    let log = serde_json::to_string(log).unwrap();
    format!(
        "{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-03-14T09:12:{second:02}.000000001Z\"}}\n"
    )
}

#[test]
fn dockers_pieces_are_joined_for_each_output_and_read_again_after_a_restart() {
    let (_folder, log) = folder();
    let long = "x".repeat(16 * 1024);
    append(
        &log,
        &(piece(&long, "stdout", 1) + &piece("warning\n", "stderr", 1) + &piece("half ", "stderr", 2)),
    );
    let plan = docker(plan(&[&log]));
    let mut source = Running::start(&plan, None);
    source.until_live();
    assert_eq!(source.texts(), ["warning"]);
    assert_eq!(source.lines[0].stream.channel, Channel::Err);
    let cursor = source.stop();
    let stored = cursor.clone().unwrap().0;
    assert!(!stored.contains("xxx") && !stored.contains("half"), "no unfinished line is stored: {stored}");
    append(&log, &(piece("y\r\n", "stdout", 1) + "torn{\n" + &piece("done\n", "stderr", 2)));
    let mut source = Running::start(&plan, cursor);
    source.until_live();
    assert_eq!(source.texts(), [&*format!("{long}y"), "torn{", "half done"]);
    assert_eq!(source.lines[0].stream.channel, Channel::Out);
    assert_eq!(source.lines[0].at, Time::parse_rfc3339("2026-03-14T09:12:01.000000001Z").unwrap());
    assert!(source.lines[1].is_cut);
}
