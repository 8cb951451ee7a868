//! `[[receiver]]`: who is told.

mod alertmanager;
mod pagerduty;
mod telegram;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use alertmanager::tell_each_instance;

use super::ground::Ground;
use super::names::unique_names;
use super::plan::{EmailPlan, HttpOptions, MailTls, ReceiverKind, ReceiverPlan};
use super::problem::{Spot, printable};
use super::reader::Table;
use super::secrets::{HEADER, PASSWORD, PROXY, SIGNING, check_url, is_written, secret, url};
use crate::model::Secret;

/// Limit of one attempt.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// A mail server may greet slowly on purpose.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum Kind {
    Console,
    Webhook,
    Slack,
    Email,
    Telegram,
    PagerDuty,
    Alertmanager,
}

const KINDS: &[(&str, Kind)] = &[
    ("slack", Kind::Slack),
    ("telegram", Kind::Telegram),
    ("pagerduty", Kind::PagerDuty),
    ("alertmanager", Kind::Alertmanager),
    ("webhook", Kind::Webhook),
    ("email", Kind::Email),
    ("console", Kind::Console),
];

/// Reads all receivers.
pub(super) fn read(ground: &Ground<'_>) -> Vec<ReceiverPlan> {
    let tables = ground.tables("receiver");
    let names =
        unique_names(ground.report, "receiver", &tables, is_receiver_name, "letters, digits, _, . and -");
    tables.iter().zip(names).filter_map(|(table, name)| one(ground, table, name)).collect()
}

fn one(ground: &Ground<'_>, table: &Table<'_>, name: String) -> Option<ReceiverPlan> {
    if !table.has("type") {
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        table.missing("type", &format!("expected one of {}", names.join(", ")));
    }
    let kind = table.choice("type", "receiver type", KINDS)?.value;
    let limit = if matches!(kind, Kind::Email) { MAIL_TIMEOUT } else { HTTP_TIMEOUT };
    let timeout = table.positive_duration("timeout").map_or(limit, |d| d.value);
    let kind = match kind {
        Kind::Console => Some(ReceiverKind::Console),
        Kind::Slack => {
            let http = http_options(ground, table);
            url(ground, table).map(|url| ReceiverKind::Slack { url, http })
        }
        Kind::Webhook => {
            let secret = secret(ground, table, SIGNING);
            let headers = headers(ground, table);
            let http = http_options(ground, table);
            url(ground, table).map(|url| ReceiverKind::Webhook { url, secret, headers, http })
        }
        Kind::Email => email(ground, table).map(|plan| ReceiverKind::Email(Box::new(plan))),
        Kind::Telegram => telegram::read(ground, table).map(|plan| ReceiverKind::Telegram(Box::new(plan))),
        Kind::Alertmanager => {
            alertmanager::read(ground, table).map(|plan| ReceiverKind::Alertmanager(Box::new(plan)))
        }
        Kind::PagerDuty => pagerduty::read(ground, table).map(|plan| ReceiverKind::PagerDuty(Box::new(plan))),
    };
    table.finish();
    Some(ReceiverPlan { name, kind: kind?, timeout })
}

fn email(ground: &Ground<'_>, table: &Table<'_>) -> Option<EmailPlan> {
    let host = table.need_text("host", "expected the mail server's name");
    let tls = table
        .choice(
            "tls",
            "encryption",
            &[("starttls", MailTls::StartTls), ("tls", MailTls::Tls), ("none", MailTls::None)],
        )
        .map_or(MailTls::StartTls, |t| t.value);
    let port = port(table, tls);
    let (username, password) = login(ground, table, tls);
    let from =
        table.need_text("from", "expected the sender's address").and_then(|text| address(table, &text));
    if !table.has("to") {
        table.missing("to", "expected one address or a list of them");
    }
    let to: Vec<String> = table.texts("to").iter().filter_map(|text| address(table, text)).collect();
    if table.get("to").is_some_and(|v| v.items().is_empty()) {
        table.report.error(&table.key_at("to"), "nobody to send to", "expected at least one address");
    }
    let ca_file = ca_file(ground, table);
    Some(EmailPlan { host: host?.value.to_owned(), port, tls, username, password, from: from?, to, ca_file })
}

fn port(table: &Table<'_>, tls: MailTls) -> u16 {
    let usual = match tls {
        MailTls::StartTls => 587,
        MailTls::Tls => 465,
        MailTls::None => 25,
    };
    table.count("port", 1).map_or(usual, |port| {
        u16::try_from(port.value).unwrap_or_else(|_| {
            table.report.error(&port.at, format!("{} is no port", port.value), "expected 1 to 65535");
            usual
        })
    })
}

fn login(ground: &Ground<'_>, table: &Table<'_>, tls: MailTls) -> (Option<String>, Option<Secret>) {
    let username = table.text("username").map(|t| t.value.to_owned());
    let password = secret(ground, table, PASSWORD);
    if username.is_some() && password.is_none() && !is_written(table, PASSWORD) {
        table.missing(
            "password",
            "expected one of password_file, password_credential, password_env, password beside a username",
        );
    }
    if password.is_some() && username.is_none() {
        table.missing("username", "expected the login that the password belongs to");
    }
    if tls == MailTls::None && password.is_some() {
        table.report.warning(
            &table.key_at("tls"),
            "the password goes over the network in clear text",
            "expected tls = \"starttls\" or \"tls\"",
        );
    }
    (username, password)
}

fn address(table: &Table<'_>, text: &Spot<&str>) -> Option<String> {
    let bare = match text.value.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text.value,
    };
    let is_valid = bare
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !bare.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_valid {
        table.report.error(
            &text.at,
            format!("\"{}\" is no mail address", printable(text.value)),
            "expected name@host or Name <name@host>",
        );
        return None;
    }
    Some(text.value.to_owned())
}

/// `proxy` and `ca_file`.
pub(super) fn http_options(ground: &Ground<'_>, table: &Table<'_>) -> HttpOptions {
    let proxy = secret(ground, table, PROXY);
    if let Some(proxy) = &proxy {
        check_url(ground, table, PROXY, proxy);
    }
    HttpOptions { proxy, ca_file: ca_file(ground, table) }
}

fn ca_file(ground: &Ground<'_>, table: &Table<'_>) -> Option<PathBuf> {
    let text = table.text("ca_file")?;
    let path = ground.resolve(&text);
    if !ground.files.wants_secrets() {
        return Some(path);
    }
    match ground.files.read(&path) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => {}
        Ok(_) => table.report.error(
            &text.at,
            format!("{} holds no certificate", path.display()),
            "expected a PEM file",
        ),
        Err(why) => table.report.error(
            &text.at,
            format!("cannot read {}: {why}", path.display()),
            "expected the PEM file of the CA",
        ),
    }
    Some(path)
}

fn headers(ground: &Ground<'_>, table: &Table<'_>) -> Vec<(String, Secret)> {
    let Some(child) = table.child("headers") else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (name, value) in child.pairs() {
        let is_token = !name.value.is_empty()
            && name.value.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        if !is_token {
            table.report.error(
                &name.at,
                format!("\"{}\" is no header name", name.value),
                "expected letters, digits and -",
            );
        }
        let secret = if value.is_table() {
            value.table().and_then(|t| {
                let found = secret(ground, &t, HEADER);
                t.finish();
                found
            })
        } else {
            value.text().map(|t| Secret::new(t.value))
        };
        out.extend(secret.map(|s| (name.value.to_owned(), s)));
    }
    out
}

fn is_receiver_name(name: &str) -> bool {
    name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
