//! The examples of `docs/receivers.md`.

use tocsin::config::plan::ReceiverKind;

use super::{BASE, Memory};
use crate::scan::root;

#[test]
fn the_examples_of_the_guide_to_receivers_are_right() {
    let guide = std::fs::read_to_string(root().join("docs/receivers.md")).unwrap();
    let blocks: String =
        guide.split("```toml\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    let mut memory = Memory::with(&[
        ("etc/tocsin.toml", &format!("{blocks}{BASE}")),
        ("/etc/tocsin/slack-url", "https://hooks.slack.com/services/T/B/x"),
        ("/etc/tocsin/telegram-token", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\n"),
        ("/run/credentials/pagerduty-key", "0123456789abcdef0123456789ABCDEF"),
        ("/etc/tocsin/hook-secret", "s"),
        ("/etc/tocsin/smtp-password", "p"),
    ]);
    memory.env.insert("CREDENTIALS_DIRECTORY".to_owned(), "/run/credentials".to_owned());
    let loaded = memory.compile().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    let kinds: Vec<&str> = loaded.plan.receivers.iter().map(|r| r.kind.as_str()).collect();
    for kind in ["slack", "telegram", "pagerduty", "alertmanager", "webhook", "email", "console"] {
        assert!(kinds.contains(&kind), "no example of {kind}");
    }
    let token = loaded.plan.receivers.iter().find_map(|r| match &r.kind {
        ReceiverKind::Telegram(plan) => Some(plan.token.expose().to_owned()),
        _ => None,
    });
    assert!(token.unwrap().ends_with("PALDsaw"), "without the line end of its file");
}

#[test]
fn every_instance_of_an_alertmanager_is_a_receiver_and_routes_lead_to_all() {
    let text = format!(
        "[[receiver]]\nname = \"am\"\ntype = \"alertmanager\"\n\
         urls = [\"http://user:pass@a:9093/x\", \"https://b:9093\"]\n\
         [[receiver]]\nname = \"one\"\ntype = \"alertmanager\"\nurl = \"http://c:9093\"\n\
         [route]\nreceiver = [\"one\", \"am\"]\n{BASE}"
    );
    let plan = super::plan_of(&text);
    let names: Vec<&str> = plan.receivers.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["am/a:9093", "am/b:9093", "one"]);
    assert_eq!(plan.routes[0].receivers, ["one", "am/a:9093", "am/b:9093"]);
}
