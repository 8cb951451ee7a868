//! The commands that talk to a running daemon: `status`, `silence`, `ack`,
//! `close`, `reload`. They say what the daemon answered, nothing of their own.
//!
//! Exit codes: 0 done, 1 the daemon refused, 2 the command line cannot be
//! used, 3 no daemon answers.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{CANNOT_OPEN, NO, UNUSABLE, files};
use crate::config::FileSource;
use crate::transport::ask::ask;

/// Which daemon.
#[derive(Args, Debug)]
pub struct Daemon {
    /// Its configuration, which says where it listens.
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Its address, such as http://127.0.0.1:9650.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// What `silence add` asks for.
#[derive(Args, Debug)]
pub struct NewSilence {
    #[command(flatten)]
    pub daemon: Daemon,
    /// Alerts it is for, such as severity="warning" or 'method=~"private/.*"'; all must fit.
    #[arg(required = true, value_name = "MATCHER")]
    matchers: Vec<String>,
    /// How long, such as 2h or "1d 12h".
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "end", conflicts_with = "end")]
    lasts: Option<String>,
    /// From when on, as RFC 3339; else from now.
    #[arg(long, value_name = "INSTANT")]
    start: Option<String>,
    /// Until when, as RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    end: Option<String>,
    /// Who asks; else $USER.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// What a daemon said, or the exit code for want of it.
type Said = Result<Value, u8>;

/// `silence add`.
pub fn add_silence(new: &NewSilence) -> u8 {
    let Some(by) = author(new.by.as_ref()) else { return UNUSABLE };
    let body = json!({
        "matchers": new.matchers,
        "startsAt": new.start,
        "endsAt": new.end,
        "duration": new.lasts,
        "createdBy": by,
        "comment": new.comment,
    });
    done(new.daemon.ask("POST", "api/v1/silences", Some(&body)), |said| format!("silence {}", said["number"]))
}

/// `silence list`.
pub fn list_silences(daemon: &Daemon, all: bool, is_json: bool) -> u8 {
    done(daemon.ask("GET", "api/v1/silences", None), |said| {
        let silences = said.as_array().cloned().unwrap_or_default();
        let shown: Vec<Value> = silences.into_iter().filter(|s| all || s["state"] != "expired").collect();
        if is_json {
            return json!(shown).to_string();
        }
        let line = |s: &Value| {
            format!(
                "{} {} {} from {} until {} by {}: {}",
                s["number"],
                text(&s["state"]),
                text(&s["matchers"]),
                text(&s["startsAt"]),
                text(&s["endsAt"]),
                text(&s["createdBy"]),
                text(&s["comment"])
            )
        };
        if shown.is_empty() { "none".to_owned() } else { lines(shown.iter().map(line)) }
    })
}

/// `silence expire`.
pub fn expire_silence(daemon: &Daemon, number: u64) -> u8 {
    let said = daemon.ask("DELETE", &format!("api/v1/silences/{number}"), None);
    done(said, |_| format!("silence {number} is over"))
}

/// `ack`.
pub fn acknowledge(daemon: &Daemon, incident: u64, by: Option<&String>, comment: &str) -> u8 {
    let Some(by) = author(by) else { return UNUSABLE };
    let body = json!({ "by": by, "comment": comment });
    let said = daemon.ask("POST", &format!("api/v1/incidents/{incident}/ack"), Some(&body));
    done(said, |_| format!("incident {incident} is acknowledged by {by}"))
}

/// `close`.
pub fn close(daemon: &Daemon, incident: u64, reason: &str) -> u8 {
    let body = json!({ "reason": reason });
    let said = daemon.ask("POST", &format!("api/v1/incidents/{incident}/close"), Some(&body));
    done(said, |_| format!("incident {incident} is closed"))
}

/// `reload`.
pub fn reload(daemon: &Daemon) -> u8 {
    done(daemon.ask("POST", "-/reload", None), |said| text(said).trim_end().to_owned())
}

/// `status`.
pub fn status(daemon: &Daemon, is_json: bool) -> u8 {
    done(
        daemon.ask("GET", "api/v1/status", None),
        |said| {
            if is_json { said.to_string() } else { status_text(said) }
        },
    )
}

impl Daemon {
    fn base(&self) -> Result<String, u8> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let Some(config) = &self.config else { return Err(UNUSABLE) };
        let plan = files::load_without_secrets(config).map_err(|problems| super::refuse(&problems))?.plan;
        let Some(mut listen) = plan.daemon.listen else {
            eprintln!("error: {} has [http] listen = \"off\": nobody can be asked", config.display());
            return Err(UNUSABLE);
        };
        if listen.ip().is_unspecified() {
            let is_v4 = listen.is_ipv4();
            listen.set_ip(if is_v4 { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        Ok(format!("http://{listen}"))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Said {
        let url = format!("{}/{path}", self.base()?);
        let asked = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
            .and_then(|runtime| runtime.block_on(ask(method, &url, body.map(Value::to_string))));
        match asked {
            Ok((200..=299, said)) => Ok(serde_json::from_str(&said).unwrap_or(Value::String(said))),
            Ok((status, said)) => {
                let why = serde_json::from_str::<Value>(&said).ok();
                let why = why.as_ref().and_then(|v| v["error"].as_str()).unwrap_or(said.trim()).to_owned();
                eprintln!("error: the daemon answered {status}: {why}");
                Err(NO)
            }
            Err(why) => {
                eprintln!("error: no daemon answers at {url}: {why}");
                Err(CANNOT_OPEN)
            }
        }
    }
}

fn done(said: Said, words: impl FnOnce(&Value) -> String) -> u8 {
    match said {
        Ok(said) => {
            // A closed pipe is no reason to fail.
            let _ = writeln!(std::io::stdout(), "{}", words(&said));
            0
        }
        Err(code) => code,
    }
}

fn author(by: Option<&String>) -> Option<String> {
    let user = || files::Disk { wants_secrets: false }.env("USER");
    let found = by.cloned().or_else(user).filter(|name| !name.trim().is_empty());
    if found.is_none() {
        eprintln!("error: who asks? $USER is not set; say --by NAME");
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("\n")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn status_text(said: &Value) -> String {
    let mut out = vec![format!(
        "tocsin {}, {} and {}, since {}",
        text(&said["version"]),
        if said["ready"] == true { "ready" } else { "not ready" },
        if said["durable"] == true { "durable" } else { "NOT durable" },
        text(&said["started_at"]),
    )];
    out.extend(list(said, "complaints").iter().map(|c| format!("complaint: {}", text(c))));
    for source in list(said, "sources") {
        let note = source["note"].as_str().map(|note| format!(": {note}")).unwrap_or_default();
        out.push(format!("source {} {}{note}", text(&source["name"]), text(&source["state"])));
    }
    for receiver in list(said, "outbox") {
        out.push(format!("receiver {}: {} waiting", text(&receiver["receiver"]), receiver["pending"]));
    }
    for incident in list(said, "open") {
        let summary = text(&incident["annotations"]["summary"]);
        let (severity, alert) = (text(&incident["severity"]), text(&incident["alert"]));
        let since = text(&incident["started_at"]);
        out.push(format!("incident {} {severity} {alert} since {since}: {summary}", incident["number"]));
        if let Some(by) = incident["annotations"]["acknowledged"].as_str() {
            out.push(format!("  acknowledged {by}"));
        }
        if let Some(by) = incident["inhibited_by"].as_str() {
            out.push(format!("  kept quiet by {by}"));
        }
        out.extend(list(incident, "silenced_by").iter().map(|by| format!("  kept quiet by {}", text(by))));
    }
    if list(said, "open").is_empty() {
        out.push("no open incident".to_owned());
    }
    out.join("\n")
}
