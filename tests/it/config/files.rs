//! Several files, secrets, overrides, and how problems are shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tocsin::config::plan::Detector;
use tocsin::config::problem::Severity;
use tocsin::config::{self, Problems};
use tocsin::model;

use super::{BASE, Memory, plan_of, problems_of};

#[test]
fn names_defined_twice_point_at_the_first() {
    let source = "[[source]]\nname = \"app\"\ntype = \"file\"\npaths = \"/x\"\n";
    let problems = problems_of(&format!("{source}{BASE}"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].message, "the source \"app\" is defined twice");
    assert_eq!(problems[0].expected, "the first stands at etc/tocsin.toml:2");
    assert_eq!((problems[0].line, problems[0].column), (7, 8));
}

#[test]
fn all_problems_of_all_files_are_told_at_once_in_order() {
    let files = Memory::with(&[
        (
            "etc/tocsin.toml",
            "include = [\"b.toml\", \"d/*.toml\", \"none/*.toml\"]\nbogus = 1\n[http]\nlisten = 5",
        ),
        ("etc/b.toml", BASE),
        (
            "etc/d/c.toml",
            "[[rule]]\nname = \"X\"\nevent = \"requets\"\ntype = \"rate\"\n\n[[redact]]\nmatch = '('",
        ),
    ]);
    let Problems(problems) = files.compile().unwrap_err();
    let places: Vec<String> =
        problems.iter().map(|p| format!("{}:{}:{}", p.file.display(), p.line, p.column)).collect();
    let expected = [
        "etc/tocsin.toml:1:34",
        "etc/tocsin.toml:2:1",
        "etc/tocsin.toml:4:10",
        "etc/d/c.toml:3:9",
        "etc/d/c.toml:7:9",
    ];
    assert_eq!(places, expected, "{}", Problems(problems));
}

#[test]
fn a_problem_is_shown_with_its_line_a_caret_and_a_hint() {
    let text = format!("[http]\n  lisen\t= \"off\" # é\n{BASE}");
    let problems = problems_of(&text);
    let shown = problems[0].to_string();
    let expected = "etc/tocsin.toml:2:3: error: unknown key \"lisen\"\n  2 |   lisen\t= \"off\" # é\n    |   ^^^^^\n  \
        expected one of external_url, listen; did you mean \"listen\"?";
    assert_eq!(shown, expected);
}

#[test]
fn includes_are_read_once_and_circles_are_refused() {
    let once = Memory::with(&[
        ("etc/tocsin.toml", "include = [\"a.toml\", \"*.toml\", \"../common/x.toml\"]"),
        ("etc/a.toml", BASE),
        ("common/x.toml", "history_for = \"1d\""),
    ]);
    // The glob matches the main file too, which is a circle.
    let Problems(problems) = once.compile().unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("etc/tocsin.toml includes itself"), "{problems:?}");
    let fine = Memory::with(&[
        ("etc/tocsin.toml", "include = [\"a.toml\", \"a*.toml\", \"../common/x.toml\"]"),
        ("etc/a.toml", BASE),
        ("common/x.toml", "history_for = \"1d\""),
    ]);
    let loaded = fine.compile().unwrap();
    assert_eq!(loaded.plan.daemon.history_for, Duration::from_secs(86_400));
    let files: Vec<&str> = loaded.files.iter().filter_map(|p| p.to_str()).collect();
    assert_eq!(files, ["etc/tocsin.toml", "etc/a.toml", "common/x.toml"]);
}

#[test]
fn a_setting_that_stands_in_two_files_is_refused() {
    let files = Memory::with(&[
        ("etc/tocsin.toml", &format!("include = \"a.toml\"\nstate_dir = \"/x\"\n{BASE}")),
        ("etc/a.toml", "state_dir = \"/y\""),
    ]);
    let Problems(problems) = files.compile().unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "\"state_dir\" is set twice");
    assert_eq!(problems[0].expected, "the first stands at etc/tocsin.toml:2");
}

#[test]
fn fragments_of_the_own_file_go_before_those_of_others() {
    let files = Memory::with(&[
        (
            "etc/tocsin.toml",
            &format!("include = \"a.toml\"\n[fragments]\nx = 'main'\ny = '<{{{{x}}}}>'\n{BASE}"),
        ),
        ("etc/a.toml", "[fragments]\nx = 'own'\n[[change]]\nsays = \"x\"\nmatch = '{{x}} {{y}}'"),
    ]);
    let plan = files.compile().unwrap_or_else(|p| panic!("{p}")).plan;
    assert_eq!(plan.changes[0].patterns[0].regex.as_str(), "own <main>");
}

#[test]
fn secrets_come_from_files_the_environment_and_credentials() {
    let receivers = "[[receiver]]\nname = \"a\"\ntype = \"slack\"\nurl_file = \"url\"\n\
        [[receiver]]\nname = \"b\"\ntype = \"webhook\"\nurl_env = \"HOOK\"\nsecret_credential = \"sign\"\n\
        headers = { \"X-Team\" = \"ops\", \"Authorization\" = { env = \"TOKEN\" } }\n";
    let mut files = Memory::with(&[
        ("etc/tocsin.toml", &format!("{receivers}{BASE}")),
        ("etc/url", "https://hooks.example/one\n"),
        ("/run/cred/sign", "key\n"),
    ]);
    for (name, value) in
        [("HOOK", "http://127.0.0.1:9/x"), ("TOKEN", "Bearer t"), ("CREDENTIALS_DIRECTORY", "/run/cred")]
    {
        files.env.insert(name.to_owned(), value.to_owned());
    }
    files.open_to_all.push(PathBuf::from("etc/url"));
    let loaded = files.compile().unwrap_or_else(|p| panic!("{p}"));
    use config::plan::ReceiverKind::{Slack, Webhook};
    let [a, b] = loaded.plan.receivers.as_slice() else { panic!("two receivers") };
    let Slack { url, .. } = &a.kind else { panic!("no slack") };
    assert_eq!(url.expose(), "https://hooks.example/one");
    assert_eq!(a.timeout, Duration::from_secs(10));
    let Webhook { url, secret, headers, .. } = &b.kind else { panic!("no webhook") };
    assert_eq!((url.expose(), secret.as_ref().unwrap().expose()), ("http://127.0.0.1:9/x", "key"));
    assert_eq!(headers[1].1.expose(), "Bearer t");
    // Anybody on the host can read the first secret.
    let [warning] = loaded.warnings.as_slice() else { panic!("one warning: {:?}", loaded.warnings) };
    assert_eq!((warning.severity, warning.line), (Severity::Warning, 4));
    assert!(warning.message.contains("everybody can read etc/url"), "{warning}");
}

#[test]
fn commands_that_send_nothing_need_no_secret() {
    let text = format!("[[receiver]]\nname = \"a\"\ntype = \"slack\"\nurl_file = \"gone\"\n{BASE}");
    let mut files = Memory::with(&[("etc/tocsin.toml", &text)]);
    assert!(files.compile().is_err());
    files.is_offline = true;
    assert_eq!(files.compile().unwrap().plan.receivers.len(), 1);
}

#[test]
fn systemds_state_directory_goes_first_and_paths_are_relative_to_their_file() {
    let text = format!("state_dir = \"state\"\n{BASE}");
    let mut files = Memory::with(&[("etc/tocsin.toml", &text)]);
    assert_eq!(files.compile().unwrap().plan.daemon.state_dir, Path::new("etc/state"));
    files.env.insert("STATE_DIRECTORY".to_owned(), "/var/lib/tocsin:/other".to_owned());
    assert_eq!(files.compile().unwrap().plan.daemon.state_dir, Path::new("/var/lib/tocsin"));
}

#[test]
fn a_rule_of_the_pack_and_a_built_in_one_can_be_changed_in_place() {
    let text = format!(
        "[override.Failing]\ncount = 5\nkeep_firing_for = \"1m\"\n[builtin.SourceDown]\nseverity = \"warning\"\nafter = \"5s\"\n{BASE}"
    );
    let plan = plan_of(&text);
    assert!(matches!(plan.rules[0].detector, Detector::Streak { count: 5, .. }));
    assert_eq!(plan.rules[0].keep_firing_for, Duration::from_secs(60));
    let Detector::SourceDown { after } = plan.rules[2].detector else { panic!("no source down") };
    assert_eq!((plan.rules[2].severity, after.as_secs()), (model::Severity::Warning, 5));
}

#[test]
fn what_nothing_uses_is_a_warning() {
    let text = format!(
        "[fragments]\nspare = 'x'\n[[source]]\nname = \"two\"\ntype = \"file\"\npaths = \"/y\"\n\
         [[event]]\nname = \"idle\"\nsource = \"app\"\nmatch = 'x'\n{BASE}"
    );
    let problems = problems_of(&text);
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    let expected = [
        "nothing uses the fragment \"spare\"",
        "no event looks at the source \"two\"",
        "no metric and no rule looks at the event \"idle\"",
    ];
    assert_eq!(messages, expected);
    assert!(problems.iter().all(|p| p.severity == Severity::Warning));
}

#[test]
fn a_main_file_that_is_no_text_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"a = 1\nb = \"\xe9\"\n").unwrap();
    let cases = [
        (folder.path().join("gone.toml"), "there is no such file"),
        (folder.path().to_owned(), "it is a directory"),
        (latin, "it is not UTF-8 (line 2)"),
        (PathBuf::from("/dev/zero"), "it is no regular file"),
    ];
    for (path, why) in cases {
        let mut out = Vec::new();
        let code = tocsin::cli::check::check(&path, &mut Vec::new(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(code, 2, "{text}");
        let first = format!("{}: error: cannot read the configuration: {why}\n", path.display());
        assert!(text.starts_with(&first), "{text}");
        assert!(text.ends_with(&format!("{}: 1 error\n", path.display())), "{text}");
    }
}
