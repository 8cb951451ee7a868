//! One incident told in every way: a Slack message, a webhook and an e-mail
//! when it begins, and again when it is over.

use std::path::Path;

use super::hook::Hook;
use super::kit::{Setup, until};
use super::pack::request_text;
use crate::mail::MailServer;

#[test]
fn slack_webhook_and_mail_are_told_of_an_incident_and_of_its_end() {
    let Some(mut mail) = MailServer::start("plain", Path::new("/")) else {
        return crate::mail::skip("python3-aiosmtpd is not installed");
    };
    let (webhook, slack) = (Hook::new(), Hook::new());
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("proxy.log");
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\nstart = \"beginning\"\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n\
         {}{}\
         [[receiver]]\nname = \"mail\"\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"tocsin@example.org\"\nto = [\"oncall@example.org\"]\n\
         [override.ExchangeAuthFailing]\nkeep_firing_for = \"0s\"\n",
        log.display(),
        dir.path().join("backend.log").display(),
        webhook.receiver("webhook", ""),
        slack.receiver("slack", "").replace("\"webhook\"", "\"slack\""),
        mail.port,
    );
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    std::fs::write(&log, request_text(false).repeat(3)).unwrap();

    let fired = webhook.until("ExchangeAuthFailing firing").json();
    until("the Slack message", || slack.seen().len() == 1);
    let message = &slack.seen()[0];
    let shown = message.body.as_str();
    assert!(message.json()["text"].as_str().unwrap().contains("ExchangeAuthFailing"), "{shown}");
    assert!(message.json()["attachments"][0]["color"].is_string(), "{shown}");
    assert!(shown.contains("allow-list"), "the likely causes are told: {shown}");
    let first = mail.mail();
    assert!(first["headers"]["subject"].as_str().unwrap().contains("FIRING"), "{first}");
    assert_eq!(first["headers"]["auto-submitted"], "auto-generated");
    assert!(first["parts"]["text/plain"].as_str().unwrap().contains("40101"), "{first}");

    std::fs::write(&log, request_text(false).repeat(3) + &request_text(true)).unwrap();
    let ended = webhook.until("ExchangeAuthFailing resolved").json();
    assert_eq!(ended["alerts"][0]["fingerprint"], fired["alerts"][0]["fingerprint"]);
    assert_eq!(ended["alerts"][0]["startsAt"], fired["alerts"][0]["startsAt"]);
    until("the Slack message of the end", || slack.seen().len() == 2);
    let last = mail.mail();
    assert!(last["headers"]["subject"].as_str().unwrap().contains("RESOLVED"), "{last}");
    assert_eq!(last["headers"]["in-reply-to"], first["headers"]["message-id"]);

    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn the_heartbeat_goes_out_while_all_is_well_and_stops_when_a_source_is_lost() {
    let beats = Hook::new();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let log = folder.join("proxy.log");
    let url = beats.receiver("beat", "");
    let url = url.lines().find(|line| line.starts_with("url")).unwrap();
    let text = format!(
        "[[source]]\nname = \"crypto-proxy\"\ntype = \"file\"\npaths = [\"{}\"]\n\
         [[source]]\nname = \"backend\"\ntype = \"file\"\npaths = [\"{}\"]\n\
         [heartbeat]\n{url}\ninterval = \"1s\"\n",
        log.display(),
        dir.path().join("backend.log").display(),
    );
    let setup = Setup::new(dir, &text);
    let daemon = setup.start_live();
    until("two heartbeats", || beats.seen().len() >= 2);
    // A folder in the file's place cannot be read.
    std::fs::create_dir(&log).unwrap();
    daemon.until_metric("tocsin_source_up{source=\"crypto-proxy\"}", 0.0);
    let seen = beats.seen().len();
    super::kit::rest(std::time::Duration::from_secs(3));
    assert!(
        beats.seen().len() <= seen + 1,
        "{} heartbeats beside a source that is lost",
        beats.seen().len() - seen
    );
    std::fs::remove_dir(&log).unwrap();
    until("a heartbeat again", || beats.seen().len() > seen + 1);
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}
