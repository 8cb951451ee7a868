//! Writes a story's lines as the programs do that dump logs.

use serde_json::json;
use tocsin::model::Time;

use crate::story::{Entry, Writer};

/// How the proxy's journal is dumped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Journal {
    Export,
    Json,
    Precise,
    /// Its times are cut to seconds; the offset without a colon.
    Short,
    /// With a colon.
    ShortColon,
}

/// How the backend's lines are dumped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Container {
    Docker,
    DockerJson,
    Compose,
    ComposeStamped,
    Plain,
}

const UNIT: &str = "crypto-proxy.service";

fn is_journal(entry: &Entry) -> bool {
    !matches!(entry.writer, Writer::Backend(_))
}

/// Journal entries, in the order of the story.
pub fn journal(entries: &[Entry], form: Journal) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, entry) in entries.iter().filter(|e| is_journal(e)).enumerate() {
        match form {
            Journal::Export => export(&mut out, i, entry),
            Journal::Json => {
                let map: serde_json::Map<_, _> = fields(i, entry)
                    .into_iter()
                    .map(|(name, value)| {
                        let is_printable = !value.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
                        let value = if is_printable { json!(value) } else { json!(value.as_bytes()) };
                        (name.to_owned(), value)
                    })
                    .collect();
                out.extend(serde_json::to_vec(&map).unwrap());
                out.push(b'\n');
            }
            _ => short_iso(&mut out, form, entry),
        }
    }
    out
}

fn fields(i: usize, entry: &Entry) -> Vec<(&'static str, String)> {
    let (pid, identifier, transport) = match entry.writer {
        Writer::Systemd => (1, "systemd", "journal"),
        Writer::Journald => (311, "systemd-journald", "driver"),
        Writer::Proxy(pid) => (pid, "python", "stdout"),
        Writer::Backend(_) => unreachable!("not in the journal"),
    };
    let mut fields = vec![
        ("__CURSOR", format!("s=6db1;i={i:x};b={:032x}", entry.boot)),
        ("__REALTIME_TIMESTAMP", (entry.at.0 / 1_000).to_string()),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string()),
        ("_BOOT_ID", format!("{:032x}", u128::from(entry.boot) << 120)),
        ("_TRANSPORT", transport.to_owned()),
        ("PRIORITY", "6".to_owned()),
        ("SYSLOG_IDENTIFIER", identifier.to_owned()),
        ("_PID", pid.to_string()),
        ("_UID", if pid == 1 || pid == 311 { "0" } else { "1000" }.to_owned()),
        ("_HOSTNAME", "atp-host".to_owned()),
    ];
    match entry.writer {
        Writer::Systemd => {
            fields.push(("_SYSTEMD_UNIT", "init.scope".to_owned()));
            fields.push(("UNIT", UNIT.to_owned()));
        }
        Writer::Journald => {
            fields.push(("_SYSTEMD_UNIT", "systemd-journald.service".to_owned()));
            fields.push(("MESSAGE_ID", "a596d6fe7bfa4994828e72309e95d61e".to_owned()));
            let count = entry.text.split(' ').nth(1).unwrap_or_default();
            fields.push(("N_DROPPED", count.to_owned()));
            fields.push(("OBJECT_SYSTEMD_UNIT", UNIT.to_owned()));
        }
        _ => fields.push(("_SYSTEMD_UNIT", UNIT.to_owned())),
    }
    if let Some(line_break) = &entry.line_break {
        fields.push(("_LINE_BREAK", line_break.clone()));
    }
    fields.push(("MESSAGE", entry.text.clone()));
    fields
}

fn export(out: &mut Vec<u8>, i: usize, entry: &Entry) {
    for (name, value) in fields(i, entry) {
        let is_text = !value.chars().any(|c| c.is_control() && c != '\t');
        out.extend(name.as_bytes());
        if is_text {
            out.push(b'=');
        } else {
            out.push(b'\n');
            out.extend((value.len() as u64).to_le_bytes());
        }
        out.extend(value.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

fn short_iso(out: &mut Vec<u8>, form: Journal, entry: &Entry) {
    let stamp = match form {
        Journal::Precise => format!("{}+00:00", micros(entry.at)),
        Journal::Short => format!("{}+0000", &micros(entry.at)[..19]),
        _ => format!("{}+00:00", &micros(entry.at)[..19]),
    };
    let writer = match entry.writer {
        Writer::Systemd => "systemd[1]".to_owned(),
        Writer::Journald => "systemd-journald[311]".to_owned(),
        Writer::Proxy(pid) => format!("python[{pid}]"),
        Writer::Backend(_) => unreachable!("not in the journal"),
    };
    out.extend(format!("{stamp} atp-host {writer}: {}\n", entry.text).as_bytes());
}

fn micros(at: Time) -> String {
    let nanos = at.0.rem_euclid(1_000_000_000);
    let whole = Time(at.0 - nanos).to_rfc3339();
    format!("{}.{:06}", &whole[..19], nanos / 1_000)
}

/// The backend's lines, in the order of the story.
pub fn container(entries: &[Entry], form: Container) -> Vec<u8> {
    let mut out = String::new();
    for entry in entries {
        let Writer::Backend(number) = entry.writer else { continue };
        let stamp = format!("{}000Z", micros(entry.at));
        let text = &entry.text;
        match form {
            Container::Docker => out.push_str(&format!("{stamp} {text}\n")),
            Container::DockerJson => {
                let line = json!({"log": format!("{text}\n"), "stream": "stdout", "time": stamp});
                out.push_str(&format!("{line}\n"));
            }
            Container::Compose => {
                out.push_str(&format!("backend-{number}        | {text}\n"));
                out.push_str(OTHERS);
            }
            Container::ComposeStamped => {
                out.push_str(&format!("backend-{number}        | {stamp} {text}\n"));
                for other in OTHERS.lines() {
                    let (name, rest) = other.split_once("| ").unwrap();
                    out.push_str(&format!("{name}| {stamp} {rest}\n"));
                }
            }
            Container::Plain => out.push_str(&format!("{text}\n")),
        }
    }
    out.into_bytes()
}

/// Another service says the same things; they are not ours.
const OTHERS: &str = "\
backend-aws-1    | INFO app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $9.99
backend-aws-1    | Worker failed to boot.
postgres_hardened | ERROR app.services.portfolio_cache: No balance data received from Crypto.com
";
