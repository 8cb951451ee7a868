//! What a person may get wrong, through the real binary: one clear error on
//! standard error with its place and a remedy, and the right exit code.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::program::{Running, Said, command, run};
use crate::scan::{regex, root};

/// Right; the cases below stand after it.
const HEAD: &str = "state_dir = \"state\"\nhttp = { listen = \"127.0.0.1:0\" }\n\
    source = [{ name = \"app\", type = \"file\", paths = \"app.log\" }]\n";
const EVENT: &str = "event = [{ name = \"fail\", match = 'FAIL' }]\n";
const RULE: &str = "[[rule]]\nname = \"Fails\"\ntype = \"rate\"\nseverity = \"critical\"\nevent = \"fail\"\n\
    count = 2\nwindow = \"1m\"\nsummary = \"it fails\"\n";

/// A folder with a right configuration, a state and a log.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &format!("{EVENT}{RULE}"));
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(folder.path().join("app.log"), "").unwrap();
    folder
}

fn configure(folder: &Path, text: &str) {
    fs::write(folder.join("app.toml"), format!("{HEAD}{text}")).unwrap();
}

fn assert_refused(said: &Said, code: i32, wanted: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert_eq!(said.out, "", "an error is no output");
    let errors = regex(r"(?m)^(\S+ )?error: ").find_iter(&said.err).count();
    assert_eq!(errors, 1, "one error: {}", said.err);
    for part in wanted {
        assert!(said.err.contains(part), "{part:?} is not in\n{}", said.err);
    }
    assert!(!said.err.contains("panicked") && !said.err.contains('\u{1b}'), "{}", said.err);
}

#[test]
fn a_wrong_configuration_is_one_error_with_its_place_and_a_remedy() {
    let cases: &[(&str, &[&str])] = &[
        ("event = [{ name = \"fail\", match = 'FAIL' }", &["app.toml:4:", "unclosed array", "expected `]`"]),
        (
            "event = [{ name = \"fail\", match = 'FAIL', lable = 1 }]",
            &["app.toml:4:43", "unknown key \"lable\""],
        ),
        (
            "event = [{ name = \"fail\", match = 'FAIL(' }]",
            &["app.toml:4:35", "does not compile", "unclosed group"],
        ),
        (
            "event = [{ name = \"fail\", match = '(\\w{900}){900}' }]",
            &["app.toml:4:35", "too large", "smaller repetition counts"],
        ),
        (
            "event = [{ name = \"fail\", match = 'FAIL (?P<code>\\d+)' }]",
            &["app.toml:4:45", "nothing uses the capture \"code\"", "(?:…)"],
        ),
        (
            "event = [{ name = \"fail\", match = 'FAIL' }]\nreceiver = [{ name = \"me\", type = \"slack\", url_file = \"secret\" }]",
            &["app.toml:5:55", "cannot read secret: there is no such file", "holds the secret"],
        ),
        (
            "event = [{ name = \"fail\", match = 'FAIL' }]\nreceiver = [{ name = \"me\", type = \"slack\" }]",
            &["app.toml:5:13", "missing key \"url\"", "url_file, url_credential, url_env"],
        ),
        (
            "event = [{ name = \"fail\", match = 'FAIL' }]\n[[metric]]\nname = \"fails_total\"\nhelp = \"Failures.\"\ntype = \"counter\"\n\
             event = \"fail\"\n[[metric]]\nname = \"fails_total\"\nhelp = \"Failures.\"\ntype = \"counter\"\nevent = \"fail\"\n",
            &["app.toml:11:8", "\"fails_total\" is defined twice", "the first stands at app.toml:6"],
        ),
    ];
    let folder = place();
    for (text, wanted) in cases {
        configure(folder.path(), text);
        for subcommand in ["check", "run"] {
            assert_refused(&run(folder.path(), &[subcommand, "--config", "app.toml"]), 2, wanted);
        }
    }
    configure(folder.path(), &format!("{EVENT}{}", RULE.replace("\"fail\"", "\"fali\"")));
    let said = run(folder.path(), &["replay", "--config", "app.toml"]);
    assert_refused(&said, 2, &["app.toml:9:9", "unknown event \"fali\"", "did you mean \"fail\"?"]);
}

#[test]
fn a_metric_with_two_types_is_refused_with_both_places() {
    let folder = place();
    let metric = |kind: &str| {
        format!("[[metric]]\nname = \"fails\"\nhelp = \"F.\"\ntype = \"{kind}\"\nevent = \"fail\"\n")
    };
    configure(folder.path(), &format!("{EVENT}{RULE}{}{}", metric("gauge"), metric("histogram")));
    let said = run(folder.path(), &["check", "--config", "app.toml"]);
    assert_eq!(said.code, Some(2));
    let wanted = "app.toml:19:8: error: the metric \"fails\" is defined twice, as gauge and as histogram";
    assert!(
        said.err.contains(wanted) && said.err.contains("the first stands at app.toml:14"),
        "{}",
        said.err
    );
}

#[test]
fn a_configuration_that_is_not_there_or_no_file_is_said() {
    let folder = place();
    for subcommand in ["check", "run", "replay"] {
        let said = run(folder.path(), &[subcommand, "--config", "none.toml"]);
        assert_refused(&said, 2, &["none.toml: error: cannot read the configuration: there is no such file"]);
        let said = run(folder.path(), &[subcommand, "--config", "state"]);
        assert_refused(&said, 2, &["state: error: cannot read the configuration: it is a directory"]);
    }
}

#[test]
fn a_mistyped_command_line_is_answered_with_what_was_meant() {
    let folder = place();
    let cases: &[(&[&str], &[&str])] = &[
        (&["chekc"], &["unrecognized subcommand 'chekc'", "'check'"]),
        (&["check", "--cofnig", "x"], &["unexpected argument '--cofnig'", "'--config'"]),
        (&["run"], &["--config <FILE>", "Usage: tocsin run"]),
        (&["state", "chek", "x"], &["unrecognized subcommand 'chek'", "'check'"]),
        (&["replay", "--config", "x", "--format", "xml"], &["'xml'", "text, json"]),
        (&["demo", "--listen", "here"], &["'here'", "--listen"]),
    ];
    for (arguments, wanted) in cases {
        assert_refused(&run(folder.path(), arguments), 2, wanted);
    }
}

#[test]
fn every_help_has_an_example_and_fits_a_terminal() {
    let folder = place();
    for subcommand in ["", "run", "check", "replay", "demo", "send-test", "state"] {
        let arguments: Vec<&str> = [subcommand, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
        let said = run(folder.path(), &arguments);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{subcommand}");
        let example = format!("\n  tocsin {subcommand}");
        assert!(said.out.contains(&example), "{subcommand}: no example in\n{}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 100), "{}", said.out);
    }
}

#[test]
fn a_state_that_cannot_be_used_ends_the_start_with_3_and_a_remedy() {
    type Spoil = fn(&Path);
    let cases: &[(Spoil, &[&str])] = &[
        (|state| fs::remove_dir(state).unwrap(), &["state folder", "does not exist", "create it"]),
        (
            |state| {
                fs::remove_dir(state).unwrap();
                fs::write(state, "").unwrap();
            },
            &["cannot be written", "not a folder", "name another place"],
        ),
        (
            |state| fs::write(state.join("state.db"), "a letter\n".repeat(1_000)).unwrap(),
            &["state.db", "not ours", "name another folder in `state_dir`"],
        ),
        (
            |state| fs::write(state.join("state.db"), b"SQLite format 3\0cut").unwrap(),
            &["state.db is damaged", "it was left as it is", "tocsin state backup"],
        ),
    ];
    for (spoil, wanted) in cases {
        let folder = place();
        spoil(&folder.path().join("state"));
        assert_refused(&run(folder.path(), &["run", "--config", "app.toml"]), 3, wanted);
    }
    // Root may write everywhere but here.
    let folder = place();
    let text = fs::read_to_string(folder.path().join("app.toml")).unwrap();
    fs::write(folder.path().join("app.toml"), text.replace("\"state\"", "\"/proc/self\"")).unwrap();
    assert_refused(&run(folder.path(), &["run", "--config", "app.toml"]), 3, &["cannot be written"]);
}

#[test]
fn a_state_in_use_names_the_process_that_has_it() {
    let folder = place();
    let mut first = Running::start(&mut command(folder.path(), &["run", "--config", "app.toml"]));
    first.wait_for("watches app");
    let said = run(folder.path(), &["run", "--config", "app.toml"]);
    let process = format!("in use by process {}", first.child.id());
    assert_refused(&said, 3, &[&process, "stop that one first"]);
    // What looks at a state works beside its owner.
    assert_eq!(run(folder.path(), &["state", "check", "state"]).code, Some(0));
    assert_eq!(run(folder.path(), &["state", "backup", "state", "copy.db"]).code, Some(0));
    first.signal(libc::SIGTERM);
    assert_eq!(first.wait(), Some(0));
    assert!(first.rest().contains("stopped"));
}

#[test]
fn state_commands_say_what_is_wrong_and_what_to_do() {
    let folder = place();
    let said = run(folder.path(), &["state", "check", "nothing"]);
    assert_refused(&said, 3, &["there is no state at nothing", "name a state folder"]);
    let said = run(folder.path(), &["state", "backup", "state", "copy.db"]);
    assert_refused(&said, 3, &["there is no state"]);
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = place();
    for (listen, wanted) in [(address.as_str(), "is already taken"), ("192.0.2.1:9650", "Cannot assign")] {
        let text = format!("{HEAD}{EVENT}{RULE}").replace("127.0.0.1:0", listen);
        fs::write(folder.path().join("app.toml"), text).unwrap();
        let said = run(folder.path(), &["run", "--config", "app.toml"]);
        assert_refused(&said, 2, &[listen, wanted, "[http] listen"]);
    }
}

#[test]
fn a_source_that_cannot_be_read_is_said_and_the_daemon_goes_on() {
    let folder = place();
    fs::remove_file(folder.path().join("app.log")).unwrap();
    fs::create_dir(folder.path().join("app.log")).unwrap();
    let mut daemon = Running::start(&mut command(folder.path(), &["run", "--config", "app.toml"]));
    let line = daemon.wait_for("cannot be read");
    assert!(
        line.contains("ERROR") && line.contains("source app") && line.contains("is a directory"),
        "{line}"
    );
    daemon.wait_for("watches app");
    assert!(daemon.child.try_wait().unwrap().is_none());
    let said = run(folder.path(), &["replay", "--config", "app.toml"]);
    assert_refused(&said, 3, &["app.log"]);
}

#[test]
fn a_source_that_is_tried_again_and_again_says_why_once() {
    let folder = place();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let boxed = format!(
        "{{ name = \"box\", type = \"docker\", service = \"x\", host = \"unix://{}\" }}",
        socket.display()
    );
    let text = format!("{HEAD}{EVENT}{RULE}").replace("source = [", &format!("source = [{boxed}, "));
    fs::write(
        folder.path().join("app.toml"),
        text.replace("match = 'FAIL'", "match = 'FAIL', source = \"app\""),
    )
    .unwrap();
    let (attempts, made) = channel();
    std::thread::spawn(move || {
        while let Ok(attempt) = listener.accept() {
            if attempts.send(attempt).is_err() {
                return;
            }
        }
    });
    let mut daemon = Running::start(&mut command(folder.path(), &["run", "--config", "app.toml"]));
    // Each attempt is cut off at once; the fourth has those before it behind it.
    for _ in 0..4 {
        drop(made.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{}", daemon.rest())));
    }
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    let said = daemon.rest();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("source box: cannot be read")).collect();
    assert_eq!(lines.len(), 1, "{said}");
}

#[test]
fn wrong_inputs_of_a_replay_are_refused_with_what_was_expected() {
    let folder = place();
    let path = |name: &str| format!("app={name}");
    fs::write(folder.path().join("cut.journal"), [b"LPKSHHRH".as_slice(), &[0; 4096]].concat()).unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--input", "ap=app.log"], 2, &["--input ap=…", "no source has that name", "there are: app"]),
        (&["--input", "app.log"], 2, &["--input app.log", "expected SOURCE=PATH"]),
        (&["--input", &path("none.log")], 2, &["none.log: there is no such file", "give the path of a log"]),
        (&["--input", &path("empty")], 2, &["empty", "holds no journal files"]),
        (&["--input", &path("cut.journal")], 3, &["cannot open the journal", "cut.journal"]),
        (
            &["--input", &path("app.log"), "--since", "yesterday"],
            2,
            &["--since yesterday", "2026-03-14T09:00:00Z", "7d"],
        ),
        (&["--input", &path("app.log"), "--until", "20m"], 2, &["--until 20m", "+20m"]),
        (&["--input", &path("app.log"), "--metrics", "no/m.prom"], 2, &["cannot write no/m.prom"]),
    ];
    for (arguments, code, wanted) in cases {
        let all = [&["replay", "--config", "app.toml"], *arguments].concat();
        assert_refused(&run(folder.path(), &all), *code, wanted);
    }
    fs::remove_file(folder.path().join("app.log")).unwrap();
    let said = run(folder.path(), &["replay", "--config", "app.toml"]);
    assert_refused(&said, 3, &["source app", "app.log", "no such file"]);
}

/// A receiver that answers every request so.
fn answering(status: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while head.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        head.read_exact(&mut vec![0; length]).unwrap();
        let body = "who are you?";
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    (url, thread)
}

#[test]
fn send_test_prints_the_answer_and_says_no_with_1() {
    let folder = place();
    let said = run(folder.path(), &["send-test", "--config", "app.toml", "me"]);
    assert_refused(&said, 2, &["no receiver is named me", "app.toml has no [[receiver]]"]);
    for (status, code) in [("200 OK", 0), ("403 Forbidden", 1)] {
        let (url, thread) = answering(status);
        let receiver = format!("receiver = [{{ name = \"hook\", type = \"webhook\", url = \"{url}\" }}]\n");
        configure(folder.path(), &format!("{EVENT}{receiver}{RULE}"));
        let said = run(folder.path(), &["send-test", "--config", "app.toml", "hok"]);
        assert_refused(&said, 2, &["no receiver is named hok", "there are: hook"]);
        let said = run(folder.path(), &["send-test", "--config", "app.toml", "hook"]);
        thread.join().unwrap();
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.out.contains(&status[..3]), "{said:?}");
        assert_eq!(said.err.contains("error: it was not accepted"), code == 1, "{said:?}");
    }
    // Nobody is there any more.
    let said = run(folder.path(), &["send-test", "--config", "app.toml", "hook"]);
    assert_refused(&said, 1, &["hook did not answer", "refused"]);
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let folder = place();
    let shipped = root().join("config/tocsin.toml");
    let mut log = String::new();
    for n in 0..20_000 {
        log.push_str(&format!("2026-03-14T{:02}:{:02}:{:02}Z FAIL\n", n / 3600, n / 60 % 60, n % 60));
    }
    fs::write(folder.path().join("app.log"), log).unwrap();
    // Holds the pipe full and closed: many alerts, each of one second.
    let rule = RULE.replace("1m", "1s").replace("count = 2", "count = 1");
    configure(folder.path(), &format!("{EVENT}{rule}"));
    let replay: &[&str] = &["replay", "--config", "app.toml", "--input", "app=app.log", "--metrics", "-"];
    for arguments in [&["--help"], &["check", "--config", shipped.to_str().unwrap()][..], replay] {
        let mut running = Running::start(command(folder.path(), arguments).stdout(Stdio::piped()));
        drop(running.child.stdout.take());
        let code = running.wait();
        let err = running.rest();
        assert!(!err.contains("panicked") && !err.contains("error"), "{arguments:?}: {err}");
        assert_eq!(code, Some(0), "{arguments:?}");
    }
}

#[test]
fn colour_stays_away_where_nobody_wants_it() {
    let folder = place();
    fs::write(folder.path().join("app.log"), "FAIL\n").unwrap();
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut daemon =
            Running::start(command(folder.path(), &["run", "--config", "app.toml"]).env(name, value));
        let line = daemon.wait_for("watches app");
        assert!(!line.contains('\u{1b}') && line.starts_with("20") && line.contains("Z INFO "), "{line:?}");
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.wait(), Some(0));
    }
}
