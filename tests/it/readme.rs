//! The README's examples, tried: its configuration, its commands, its links.

use std::fs;
use std::path::Path;

use crate::program::run;
use crate::scan::{regex, root};

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn blocks(kind: &str) -> Vec<String> {
    blocks_of(&readme(), kind)
}

/// The fenced blocks of a kind in a text; those without one where it is empty.
pub fn blocks_of(text: &str, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(opened)) => block = Some((opened.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(block.take()),
            (Some((_, text)), None) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block is not closed");
    found.into_iter().filter(|(opened, _)| opened == kind).map(|(_, text)| text).collect()
}

/// A folder with the README's configuration as `app.toml`, its secret and its
/// log in place.
fn place(toml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("slack-url");
    fs::write(&secret, "https://hooks.slack.example/services/T0/B0/x\n").unwrap();
    let toml = toml.replace("/etc/tocsin/slack-url", secret.to_str().unwrap());
    assert!(toml.contains(secret.to_str().unwrap()), "the secret has moved");
    fs::write(folder.path().join("app.toml"), toml).unwrap();
    let log = "2026-03-14T02:00:00Z backup finished: 812 files\n2026-03-14T02:00:01Z something else\n";
    fs::write(folder.path().join("old.log"), log).unwrap();
    folder
}

#[test]
fn the_readmes_configuration_is_ten_lines_and_does_what_it_says() {
    let blocks = blocks("toml");
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].lines().count(), 10, "it says ten lines");
    let folder = place(&blocks[0]);
    let said = run(folder.path(), &["check", "--config", "app.toml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let replay = ["replay", "--config", "app.toml", "--input", "app=old.log", "--until"];
    let quiet = run(folder.path(), &[&replay[..], &["+24h"]].concat());
    assert_eq!((quiet.code, quiet.out.as_str()), (Some(0), ""), "{quiet:?}");
    let late = run(folder.path(), &[&replay[..], &["+26h"]].concat());
    assert!(late.out.contains("BackupMissing") && late.out.contains("No backup for "), "{late:?}");
    assert!(late.out.starts_with("2026-03-15T03:00:00"), "{late:?}");
}

#[test]
fn the_readmes_commands_are_ones_that_exist() {
    let text = readme();
    let toml = &blocks("toml")[0];
    let mut seen = 0;
    let in_blocks = blocks("").concat();
    let lines = in_blocks.lines().filter_map(|line| line.split('#').next());
    for line in lines.filter(|line| line.starts_with("tocsin ")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let folder = place(toml);
        match words.as_slice() {
            // It would run for ever; that it takes these arguments is enough.
            ["run", rest @ ..] => {
                let said = run(folder.path(), &[&["run"], rest, &["--help"]].concat());
                assert_eq!(said.code, Some(0), "{line}: {said:?}");
            }
            // What is installed is the shipped configuration.
            ["check", "--config", "/etc/tocsin/config/tocsin.toml"] => {
                let shipped = root().join("config/tocsin.toml");
                let said = run(folder.path(), &["check", "--config", shipped.to_str().unwrap()]);
                assert_eq!(said.code, Some(0), "{line}: {said:?}");
            }
            words => assert_eq!(run(folder.path(), words).code, Some(0), "{line}"),
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} commands");
    let folder = tempfile::tempdir().unwrap();
    for command in regex(r"`tocsin ([a-z-]+)").captures_iter(&text) {
        let said = run(folder.path(), &[&command[1], "--help"]);
        assert_eq!(said.code, Some(0), "{}: {said:?}", &command[0]);
    }
}

#[test]
fn the_readmes_make_targets_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let text = readme();
    let mut seen = 0;
    for target in regex(r"(?m)(?:^|`)make ([a-z]+)").captures_iter(&text) {
        assert!(makefile.contains(&format!("\n{}: ##", &target[1])), "make {}", &target[1]);
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn the_readmes_links_lead_to_files_that_are_shipped() {
    let text = readme();
    let mut seen = 0;
    for link in regex(r"\]\(([^)]+)\)").captures_iter(&text) {
        if !link[1].contains("://") {
            assert!(root().join(&link[1]).exists(), "{}", &link[1]);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} links");
}

#[test]
fn every_shipped_configuration_checks_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for path in ["config/tocsin.toml", "config/demo.toml", "config/examples/web"] {
        let path = root().join(path);
        for path in mains(&path) {
            let said = run(folder.path(), &["check", "--config", path.to_str().unwrap()]);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3);
}

/// The file itself, or those of a folder that name a source.
fn mains(path: &Path) -> Vec<std::path::PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let all = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let is_main = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|e| e == "toml")
            && fs::read_to_string(path).unwrap().contains("[[source]]")
    };
    all.filter(is_main).collect()
}
