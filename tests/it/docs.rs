//! The examples of the documentation, tried.

use std::fs;

use crate::config::BASE;
use crate::program::run;
use crate::readme::blocks_of;
use crate::scan::root;

/// What the page says that its examples stand beside.
const RECEIVERS: &str = "[[receiver]]\nname = \"chat\"\ntype = \"console\"\n\
                         [[receiver]]\nname = \"pager\"\ntype = \"console\"\n";

fn alerting() -> String {
    fs::read_to_string(root().join("docs/alerting.md")).unwrap()
}

#[test]
fn every_configuration_in_the_page_on_alerting_checks_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks_of(&alerting(), "toml");
    for block in &blocks {
        fs::write(folder.path().join("app.toml"), format!("{block}\n{RECEIVERS}{BASE}")).unwrap();
        let said = run(folder.path(), &["check", "--config", "app.toml"]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{block}");
    }
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
}

#[test]
fn the_commands_in_the_page_on_alerting_take_their_arguments() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.toml"), format!("[http]\nlisten = \"127.0.0.1:9\"\n{BASE}")).unwrap();
    let text = blocks_of(&alerting(), "").concat();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("tocsin ")).collect();
    for line in &lines {
        // As a shell splits it: every other piece stood in quotes.
        let pieces = line.split(['"', '\'']).enumerate();
        let words: Vec<&str> = pieces
            .flat_map(
                |(i, piece)| {
                    if i % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect::<Vec<_>>() }
                },
            )
            .skip(1)
            .collect();
        // Nobody listens there: what it asks for is understood, and not answered.
        let said = run(folder.path(), &words);
        assert!(said.code == Some(3) && said.err.contains("no daemon answers"), "{line}: {said:?}");
    }
    assert!(lines.len() >= 6);
}
