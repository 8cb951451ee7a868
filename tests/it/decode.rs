//! What `replay --input` takes, on real dumps and on broken ones.

use std::path::{Path, PathBuf};

use tocsin::config::plan::{DockerPlan, FilePlan, JournalPlan, SourceKind, SourcePlan, Start};
use tocsin::decode::{Decoder, Format, detect};
use tocsin::load::{Error, Opened, open};
use tocsin::model::{Channel, Gap, Line, Reading, Time};

fn source(kind: SourceKind) -> SourcePlan {
    SourcePlan {
        name: "it".into(),
        kind,
        start: Start::Beginning,
        line_bytes_max: 1 << 20,
        timezone: jiff::tz::TimeZone::UTC,
    }
}

fn journal() -> SourcePlan {
    source(SourceKind::Journal(JournalPlan {
        unit: Some("crypto-proxy.service".into()),
        ..JournalPlan::default()
    }))
}

fn docker() -> SourcePlan {
    source(SourceKind::Docker(DockerPlan { service: Some("backend".into()), ..DockerPlan::default() }))
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// Detects and decodes, in chunks of `step` bytes.
fn decode_in(bytes: &[u8], source: &SourcePlan, step: usize) -> (Vec<Reading>, u64) {
    let latest = Time::parse_rfc3339("2026-03-20T00:00:00Z").unwrap();
    let format = detect(&bytes[..bytes.len().min(64 << 10)]);
    let first = format
        .wrap()
        .and_then(|wrap| tocsin::decode::text::FirstStamp::new(source, wrap, latest).feed(bytes));
    let mut decoder = Decoder::new(format, source, latest, first).expect("no native journal");
    let mut out = Vec::new();
    for chunk in bytes.chunks(step) {
        decoder.feed(chunk, &mut out);
    }
    decoder.finish(&mut out);
    (out, decoder.problems())
}

fn decode(bytes: &[u8], source: &SourcePlan) -> (Vec<Reading>, u64) {
    decode_in(bytes, source, usize::MAX)
}

fn lines(readings: &[Reading]) -> Vec<&Line> {
    readings.iter().filter_map(|r| if let Reading::Line(line) = r { Some(line) } else { None }).collect()
}

fn gaps(readings: &[Reading]) -> Vec<&Gap> {
    readings.iter().filter_map(|r| if let Reading::Gap(gap) = r { Some(gap) } else { None }).collect()
}

fn texts(readings: &[Reading]) -> Vec<&str> {
    lines(readings).iter().map(|l| l.text.as_str()).collect()
}

#[test]
fn every_case_is_read_to_its_last_line() {
    let mut seen = 0;
    let folders =
        std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir());
    for folder in folders {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let (source, expected) = match path.extension().and_then(|e| e.to_str()) {
                Some("export") => (journal(), Format::Export),
                Some("docker") => (docker(), Format::Docker),
                Some("txt") => (docker(), Format::Compose),
                _ => continue,
            };
            let Opened::Readings(mut opened) = open(&path, &source).unwrap() else { panic!("{path:?}") };
            assert_eq!(opened.format(), expected, "{path:?}");
            let readings: Vec<Reading> = opened.by_ref().map(|r| r.unwrap()).collect();
            assert_eq!(opened.problems(), 0, "{path:?}");
            let bytes = std::fs::read(&path).unwrap();
            let entries = match expected {
                Format::Export => String::from_utf8_lossy(&bytes).matches("__CURSOR=").count(),
                _ => bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count(),
            };
            let other = String::from_utf8_lossy(&bytes)
                .lines()
                .filter(|l| expected == Format::Compose && !l.starts_with("backend-1 "))
                .count();
            assert_eq!(readings.len(), entries - other, "{path:?}");
            assert!(lines(&readings).iter().all(|l| !l.is_cut && !l.had_invalid_utf8), "{path:?}");
            assert_eq!(decode_in(&bytes, &source, 7).0, readings, "{path:?} in chunks of seven bytes");
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} files");
}

fn dump(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps").join(name)).unwrap()
}

/// What `journalctl` of systemd 252 printed for one journal, in its forms.
#[test]
fn an_export_and_a_whole_json_dump_say_the_same() {
    let (export, problems) = decode(&dump("journal.export"), &journal());
    assert_eq!(problems, 0);
    let long = "x".repeat(5_000);
    assert_eq!(
        texts(&export),
        [
            "plain line",
            "two\nlines\n\n  indented",
            "bin\u{FFFD}\u{1}ary",
            "other process",
            "native between",
            "café tail",
            "nul\0nul tail",
            "cut of",
            &long,
            "no identifier",
        ]
    );
    let found = lines(&export);
    assert_eq!(found.iter().map(|l| l.is_cut).filter(|c| *c).count(), 1);
    assert!(found[7].is_cut, "its writer was cut off");
    assert!(found[2].had_invalid_utf8);
    assert_eq!(&*found[0].stream.writer, "77@296c5b87");
    assert_eq!(&*found[3].stream.writer, "78@296c5b87");
    assert_eq!(found[0].identifier.as_deref(), Some("python"));
    assert_eq!(found[9].identifier, None);
    assert_eq!(found[5].at.to_rfc3339(), "2026-03-14T09:00:00.004Z", "the time of the first piece");
    let boot = found[0].boot.unwrap();
    assert_eq!((boot.id, boot.monotonic), (0x296c_5b87_0450_27ab_eaab_18f2_e9ae_94cd, 1_000_000));
    assert_eq!(gaps(&export)[0].lines, Some(42));
    assert_eq!(decode(&dump("journal-all.json"), &journal()).0, export);
}

#[test]
fn a_message_that_journalctl_left_out_is_a_cut_line() {
    let (readings, problems) = decode(&dump("journal.json"), &journal());
    assert_eq!((readings.len(), problems), (11, 0));
    let left_out = lines(&readings)[8];
    assert_eq!((left_out.text.as_str(), left_out.is_cut), ("", true));
}

#[test]
fn short_iso_keeps_messages_of_several_lines_together() {
    let (readings, problems) = decode(&dump("journal.short-iso"), &journal());
    assert_eq!(problems, 0);
    let found = lines(&readings);
    assert_eq!(found[1].text, "two\nlines\n\n  indented");
    assert_eq!((found[2].text.as_str(), found[2].is_cut), ("", true), "[8B blob data]");
    assert_eq!(&*found[0].stream.writer, "77");
    assert_eq!(found[0].identifier.as_deref(), Some("python"));
    assert_eq!(gaps(&readings)[0].lines, Some(42));
    let (precise, _) = decode(&dump("journal.short-iso-precise"), &journal());
    assert_eq!(precise.len(), readings.len());
    assert_eq!(lines(&precise)[6].at.to_rfc3339(), "2026-03-14T09:00:00.007Z");
    assert!(lines(&precise)[2].had_invalid_utf8);
}

#[test]
fn an_offset_may_have_a_colon() {
    for offset in ["+0100", "+01:00"] {
        let text = format!("2026-03-14T10:00:00{offset} host python[7]: INFO:     text: more\r\n");
        let (readings, _) = decode(text.as_bytes(), &journal());
        let line = lines(&readings)[0];
        assert_eq!(
            (line.text.as_str(), line.at.to_rfc3339().as_str()),
            ("INFO:     text: more", "2026-03-14T09:00:00.000Z")
        );
    }
}

#[test]
fn a_line_that_journald_cut_is_joined_in_text_too() {
    let (readings, _) = decode(&dump("longline.short-iso"), &journal());
    assert_eq!(readings.len(), 9);
    let long = lines(&readings)[2];
    assert!(
        long.text.len() > 49_152 && long.text.starts_with("INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] params={")
    );
    assert!(long.text.ends_with("}") && !long.is_cut);
}

#[test]
fn a_boot_ends_the_processes_before_it() {
    let text = "2026-03-14T10:00:00+0000 h a[7]: x\n-- Boot 296c5b87045027abeaab18f2e9ae94cd --\n2026-03-14T11:00:00+0000 h a[7]: y\n";
    let (readings, _) = decode(text.as_bytes(), &journal());
    let writers: Vec<&str> = lines(&readings).iter().map(|l| &*l.stream.writer).collect();
    assert_eq!(writers, ["7", "7@296c5b87"]);
}

fn entry(at: u64, message: &str) -> Vec<u8> {
    format!("__CURSOR=x\n__REALTIME_TIMESTAMP={at}\n_PID=1\nMESSAGE={message}\n\n").into_bytes()
}

#[test]
fn a_broken_entry_costs_only_itself() {
    let absurd = [&b"__CURSOR=x\n__REALTIME_TIMESTAMP=2\nMESSAGE\n"[..], &[0xFF; 8], b"junk\n\n"].concat();
    let no_end =
        [&b"__CURSOR=x\n__REALTIME_TIMESTAMP=2\nMESSAGE\n"[..], &3_u64.to_le_bytes(), b"abcdef\n\n"].concat();
    let no_time = b"__CURSOR=x\nMESSAGE=lost\n\n".to_vec();
    let no_name = b"__CURSOR=x\n__REALTIME_TIMESTAMP=2\nnot a field\nMESSAGE=lost\n\n".to_vec();
    for broken in [absurd, no_end, no_time, no_name] {
        let bytes = [entry(1, "before"), broken.clone(), entry(3, "after")].concat();
        let (readings, problems) = decode(&bytes, &journal());
        let shown = String::from_utf8_lossy(&broken);
        assert_eq!((texts(&readings), problems), (vec!["before", "after"], 1), "{shown}");
    }
    let cut = [entry(1, "whole"), b"__CURSOR=x\n__REALTIME_TIMESTAMP=2\nMESSAGE=ha".to_vec()].concat();
    let (readings, _) = decode(&cut, &journal());
    assert_eq!((lines(&readings)[1].text.as_str(), lines(&readings)[1].is_cut), ("ha", true));
    let json = b"{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"a\"}\n{\"MESSAGE\":\n[1]\n{\"__REALTIME_TIMESTAMP\":\"2\",\"MESSAGE\":\"b\"}\n";
    let (readings, problems) = decode(json, &journal());
    assert_eq!((texts(&readings), problems), (vec!["a", "b"], 2));
}

#[test]
fn long_messages_are_cut_in_every_form() {
    let mut source = journal();
    source.line_bytes_max = 10;
    let long = "é".repeat(1 << 20);
    let json = format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"{long}\"}}\n").into_bytes();
    let binary = [
        b"__REALTIME_TIMESTAMP=1\nMESSAGE\n",
        &(long.len() as u64).to_le_bytes()[..],
        long.as_bytes(),
        b"\n\n",
    ]
    .concat();
    let short = format!("2026-03-14T10:00:00+0000 h a[7]: {long}\n").into_bytes();
    let stamped = format!("2026-03-14T10:00:00.000000000Z {long}\n").into_bytes();
    let record =
        format!("{{\"log\":\"{long}\\n\",\"stream\":\"stdout\",\"time\":\"2026-03-14T10:00:00Z\"}}\n")
            .into_bytes();
    for bytes in [entry(1, &long), json, binary, short, stamped, long.clone().into_bytes()] {
        let (readings, problems) = decode(&bytes, &source);
        let line = lines(&readings)[0];
        assert_eq!((readings.len(), problems), (1, 0));
        assert_eq!((line.text.as_str(), line.is_cut, line.had_invalid_utf8), ("ééééé", true, false));
    }
    // Longer than any line that dockerd writes.
    assert_eq!(decode(&record, &source), (vec![], 1));
}

#[test]
fn docker_stamps_inside_a_long_line_are_taken_out() {
    let stamp = "2026-03-14T09:00:01.000000000Z ";
    let body = "0123456789abcdef".repeat(2_500);
    let mut text = String::new();
    for piece in body.as_bytes().chunks(16_384) {
        text.push_str(stamp);
        text.push_str(std::str::from_utf8(piece).unwrap());
    }
    for prefix in ["", "backend-1  | "] {
        let dump = format!("{prefix}{text}\n{prefix}{stamp}next\n");
        let (readings, _) = decode(dump.as_bytes(), &docker());
        assert_eq!(texts(&readings), [body.as_str(), "next"]);
    }
}

#[test]
fn a_compose_dump_gives_the_lines_of_its_service_only() {
    let text = "\
db-1               | 2026-03-17 09:00:00 UTC LOG: x\n\
\x1b[36mbackend-1          | \x1b[0m2026-03-17 10:00:00,500 [INFO] app: a\n\
backend-aws-1      | 2026-03-17 10:00:01,000 [INFO] app: other\n\
postgres_hardened  | 2026-03-17 10:00:02,000 other\n\
backend-1          | no time\n\
backend-2          | [2026-03-17 10:00:03 +0000] b\n\
backend-1          | \n";
    let (readings, _) = decode(text.as_bytes(), &docker());
    let found: Vec<_> =
        lines(&readings).iter().map(|l| (&*l.stream.writer, l.text.as_str(), l.at.to_clock())).collect();
    let clock = |c: &str| c.to_owned();
    assert_eq!(
        found,
        [
            ("backend-1", "2026-03-17 10:00:00,500 [INFO] app: a", clock("10:00:00")),
            ("backend-1", "no time", clock("10:00:00")),
            ("backend-2", "[2026-03-17 10:00:03 +0000] b", clock("10:00:03")),
            ("backend-1", "", clock("10:00:00")),
        ]
    );
    let everything = source(SourceKind::File(FilePlan::default()));
    assert_eq!(decode(text.as_bytes(), &everything).0.len(), 7);
}

#[test]
fn a_json_file_joins_pieces_by_output() {
    let text = r#"{"log":"out one ","stream":"stdout","time":"2026-03-14T09:00:01.000000001Z"}
{"log":"err\n","stream":"stderr","time":"2026-03-14T09:00:01.000000002Z"}
{"log":"two\r\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-03-14T09:00:01.000000001Z"}
{"log":"the container's last word","stream":"stdout","time":"2026-03-14T09:00:02Z"}
{"log":"the next run\n","stream":"stdout","time":"2026-03-14T09:00:03Z"}
nonsense
{"log":"\u001b[31mend","stream":"stdout","time":"2026-03-14T09:00:04Z"}"#;
    let (readings, problems) = decode(text.as_bytes(), &docker());
    let found: Vec<_> =
        lines(&readings).iter().map(|l| (l.text.as_str(), l.stream.channel, l.is_cut)).collect();
    assert_eq!(
        found,
        [
            ("err", Channel::Err, false),
            ("out one two", Channel::Out, false),
            ("the container's last word", Channel::Out, false),
            ("the next run", Channel::Out, false),
            ("\u{1b}[31mend", Channel::Out, false),
        ]
    );
    assert_eq!(problems, 1);
    assert_eq!(lines(&readings)[1].at.0 % 1_000, 1);
}

#[test]
fn plain_text_has_the_times_of_the_application() {
    let text = "Traceback\n\n2026-01-08 01:19:43,943 [ERROR] a\n  more\n[2026-01-12 15:46:07,540] b\n";
    let mut source = docker();
    source.timezone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let (readings, _) = decode(text.as_bytes(), &source);
    let times: Vec<String> = lines(&readings).iter().map(|l| l.at.to_rfc3339()).collect();
    let first = "2026-01-08T00:19:43.943Z";
    assert_eq!(times, [first, first, first, first, "2026-01-12T14:46:07.540Z"]);
    assert_eq!(texts(&readings)[3], "  more", "nothing is taken off");
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    use std::io::Write;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_772_000_000);
    file.as_file().set_modified(at).unwrap();
    file
}

fn readings(path: &Path, source: &SourcePlan) -> Vec<Reading> {
    let Opened::Readings(opened) = open(path, source).unwrap() else { panic!("no native journal") };
    opened.map(|r| r.unwrap()).collect()
}

#[test]
fn a_file_without_any_time_has_its_modification_time() {
    let file = written(b"one\ntwo");
    let found = readings(file.path(), &docker());
    assert_eq!(texts(&found), ["one", "two"]);
    assert!(lines(&found).iter().all(|l| l.at == Time::from_secs(1_772_000_000)));
    let file = written(b"Dec 31 10:00:00 h sshd[1]: a\nJan  1 10:00:00 h sshd[1]: b\n");
    let found = readings(file.path(), &source(SourceKind::File(FilePlan::default())));
    let times: Vec<String> = lines(&found).iter().map(|l| l.at.to_rfc3339()).collect();
    assert_eq!(times, ["2025-12-31T10:00:00.000Z", "2026-01-01T10:00:00.000Z"]);
}

#[test]
fn the_first_stamp_is_found_however_far_down() {
    let text = format!("{}2026-01-08 01:19:43,943 x\n", "no time\n".repeat(200_000));
    let found = readings(written(text.as_bytes()).path(), &docker());
    assert_eq!(found.len(), 200_001);
    assert!(lines(&found).iter().all(|l| l.at.to_rfc3339() == "2026-01-08T01:19:43.943Z"));
}

#[test]
fn empty_files_are_fine_and_journals_are_recognised() {
    assert_eq!(readings(written(b"").path(), &journal()), []);
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("0123");
    std::fs::create_dir(&machine).unwrap();
    assert!(matches!(open(folder.path(), &journal()), Err(Error::NoJournal(_))));
    std::fs::write(machine.join("system.journal"), b"LPKSHHRH and more").unwrap();
    std::fs::write(machine.join("b.journal"), b"not one").unwrap();
    let Ok(Opened::NativeJournal(files)) = open(folder.path(), &journal()) else { panic!() };
    assert_eq!(files, [machine.join("system.journal")]);
    let Ok(Opened::NativeJournal(files)) = open(&files[0], &journal()) else { panic!() };
    assert_eq!(files.len(), 1);
    let missing = open(&folder.path().join("nowhere"), &journal()).unwrap_err();
    assert!(matches!(missing, Error::Missing(_)));
    assert!(missing.to_string().contains("nowhere: there is no such file"));
}

#[test]
fn a_syslog_file_of_a_file_source_is_read_as_it_stands() {
    let text = "2026-03-14T10:00:00.5+00:00 host sshd[7]: Accepted\n";
    let file = written(text.as_bytes());
    let found = readings(file.path(), &source(SourceKind::File(FilePlan::default())));
    assert_eq!(texts(&found), [text.trim_end()]);
    assert_eq!(lines(&found)[0].at.to_rfc3339(), "2026-03-14T10:00:00.500Z");
}

/// Bytes that are nearly logs: parts of real ones, cut and thrown together.
fn nearly_a_log() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let words: Vec<&'static [u8]> = vec![
        b"__CURSOR=x\n__REALTIME_TIMESTAMP=5\n",
        b"MESSAGE=",
        b"MESSAGE\n\x03\0\0\0\0\0\0\0",
        b"abc",
        b"\n",
        b"\n\n",
        b"_PID=7\n",
        b"_LINE_BREAK=line-max\n",
        b"_LINE_BREAK=nul\n",
        b"2026-03-14T10:00:00+0000 h a[7]: ",
        b"2026-03-14T09:00:01.000000000Z ",
        b"backend-1  | ",
        b"other-1  | ",
        b"\x1b[36m",
        b"\xff",
        b"\r\n",
        "é".as_bytes(),
        b"{\"log\":\"a\",\"stream\":\"stdout\",\"time\":\"2026-03-14T09:00:01Z\"}\n",
        b"{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":[97,255],\"_LINE_BREAK\":\"line-max\"}\n",
        b"-- Boot ab --\n",
        b"2026-01-08 01:19:43,943 [ERROR] ",
        b"Oct 11 22:14:15 ",
        b"                                ",
        b"0123456789abcdefghij",
    ];
    let word = prop_oneof![
        9 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_readings(bytes in nearly_a_log(), step in 1..40_usize) {
        use proptest::prelude::*;
        let latest = Time::from_secs(1_772_000_000);
        let formats = [
            Format::Export, Format::JournalJson, Format::ShortIso, Format::DockerJson,
            Format::Docker, Format::Compose, Format::Plain,
        ];
        let _ = detect(&bytes);
        for (format, line_bytes_max) in formats.iter().flat_map(|f| [(f, 12), (f, 1 << 20)]) {
            let mut source = docker();
            source.line_bytes_max = line_bytes_max;
            let run = |step: usize| {
                let mut decoder = Decoder::new(*format, &source, latest, None).unwrap();
                let mut out = Vec::new();
                bytes.chunks(step).for_each(|chunk| decoder.feed(chunk, &mut out));
                decoder.finish(&mut out);
                (out, decoder.problems())
            };
            let whole = run(usize::MAX);
            prop_assert_eq!(run(step), whole.clone(), "{:?}", format);
            for line in lines(&whole.0) {
                prop_assert!(line.text.len() <= 3 * line_bytes_max);
                prop_assert!(!line.text.ends_with('\n') || !matches!(format, Format::Plain));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2_000)) {
        decode_in(&bytes, &journal(), 11);
    }
}
