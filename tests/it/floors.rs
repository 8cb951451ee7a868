//! Keeps the floors of the house: imports go down only, siblings on floors 2
//! and 3 are blind to each other, and floors 0 to 2 decide without touching the
//! world. `ARCHITECTURE.md` tells why; each message tells what to do instead.

use crate::scan::{SourceFile, regex, sources};

/// Rooms by floor, from the ground up.
const FLOORS: [&[&str]; 6] = [
    &["model"],
    &["config"],
    &["engine", "decode", "notifier", "timeline"],
    &["source", "transport", "store", "http", "clock", "load"],
    &["daemon"],
    &["cli"],
];

/// The highest floor that only decides.
const PURE_MAX: usize = 2;

/// What a pure room must not name, and what it does instead.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "take text or bytes as an argument; src/load.rs and src/source/ read files"),
    ("std::io::stdin", "take text as an argument; src/cli/ talks to a person"),
    ("std::io::stdout", "return text; src/cli/ talks to a person"),
    ("std::io::stderr", "return text; src/cli/ talks to a person"),
    ("std::net", "return what is to be sent; src/transport/ sends it"),
    ("std::os", "take the value as an argument"),
    ("std::process", "return a verdict; src/main.rs makes it an exit code"),
    ("std::env", "take the value as an argument; src/load.rs reads the environment"),
    ("std::thread", "return effects; src/daemon/ spawns"),
    ("std::time::Instant", "take `now` as an argument; src/clock.rs reads clocks"),
    ("std::time::SystemTime", "take `now` as an argument; src/clock.rs reads clocks"),
    ("tokio", "return effects; src/daemon/ waits and spawns"),
    ("log", "return a note; src/daemon/ says it"),
    ("rusqlite", "return effects; src/store/ commits them"),
    ("reqwest", "return what is to be sent; src/transport/ sends it"),
    ("axum", "fill the snapshot; src/http/ shows it"),
    ("bollard", "take lines; src/source/ reads them"),
    ("systemd", "take lines; src/source/ reads them"),
    ("inotify", "take lines; src/source/ reads them"),
    ("libc", "take the value as an argument"),
    ("getrandom", "take the random bytes as an argument; src/load.rs or src/daemon/ draws them"),
    ("glob", "take the paths as an argument; src/load.rs and src/source/ look at folders"),
    ("env_logger", "return a note; src/daemon/ says it"),
    ("jiff", "use `model::Time`; src/model/time.rs is the one file that knows the date library"),
];

/// Places that may name what their floor must not, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/model/time.rs", "jiff", "the one file that knows the date library"),
    ("src/config/plan/schedule.rs", "jiff", "a cron pattern is searched in a zone's calendar"),
    ("src/config/", "jiff::tz", "time zones are looked up once, when the plan is made"),
    ("src/config/", "std::net::SocketAddr", "a parsed address is a noun, not a connection"),
    ("src/config/", "std::net::IpAddr", "a parsed address is a noun, not a connection"),
    ("src/decode/", "jiff", "application stamps come in many forms and zones"),
];

/// The floor of a room, if it is one.
fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The path from the crate's top: `super::x` in `src/a/b.rs` is `a::x`.
fn absolute(path: &str, module: &[String]) -> Option<String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    match *parts.first()? {
        "crate" => {
            parts.remove(0);
            Some(parts.join("::"))
        }
        "super" => {
            let hops = parts.iter().take_while(|p| **p == "super").count();
            let kept = module.len().saturating_sub(hops);
            let mut whole: Vec<&str> = module[..kept].iter().map(String::as_str).collect();
            whole.extend(&parts[hops..]);
            Some(whole.join("::"))
        }
        _ => None,
    }
}

/// True if `path` is `prefix` or lies below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every broken rule, one line each.
fn violations(files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let module = file.module();
        let Some(room) = module.first() else { continue };
        let Some(own) = floor(room) else {
            found.push(format!(
                "{}: the room `{room}` stands on no floor: give it one in tests/it/floors.rs and in ARCHITECTURE.md",
                file.path
            ));
            continue;
        };
        for (path, line) in file.paths() {
            if let Some(other) = absolute(&path, &module) {
                let other = other.split("::").next().unwrap_or_default().to_owned();
                if let Some(why) = bad_import(room, own, &other) {
                    found.push(format!("{}:{line}: {why}", file.path));
                }
            } else if own <= PURE_MAX {
                let hit = IMPURE.iter().find(|(banned, _)| is_below(&path, banned));
                let excused = EXCEPTIONS
                    .iter()
                    .any(|(place, name, _)| file.path.starts_with(place) && is_below(&path, name));
                if let (Some((banned, instead)), false) = (hit, excused) {
                    found.push(format!(
                        "{}:{line}: names `{banned}`, but floor {own} only decides: {instead}",
                        file.path
                    ));
                }
            }
        }
    }
    found
}

/// Why a room on floor `own` may not import `other`.
fn bad_import(room: &str, own: usize, other: &str) -> Option<String> {
    let theirs = floor(other)?;
    if other == room || theirs < own {
        return None;
    }
    Some(if theirs > own {
        format!(
            "`{room}` (floor {own}) imports `{other}` (floor {theirs}), but imports go down only: move the noun \
             down to `model`, or let the caller on the higher floor hand it in"
        )
    } else {
        format!(
            "`{room}` imports its sibling `{other}` on floor {own}, but siblings are blind to each other: whoever \
             needs both lives on floor 4, and what both need is a noun of `model`"
        )
    })
}

#[test]
fn imports_go_down_and_the_lower_floors_only_decide() {
    let found = violations(&sources());
    assert!(found.is_empty(), "{} broken:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_room_of_the_crate_stands_on_a_floor() {
    let lib = sources().into_iter().find(|f| f.path == "src/lib.rs").unwrap();
    for hit in regex(r"(?m)^pub mod (\w+);").captures_iter(&lib.code) {
        assert!(floor(&hit[1]).is_some(), "`{}` in src/lib.rs stands on no floor", &hit[1]);
    }
}

#[test]
fn a_planted_import_upwards_or_sideways_is_found() {
    let found = |path: &str, text: &str| violations(&[SourceFile::new(path, text)]).len();
    assert_eq!(found("src/engine/mod.rs", "use crate::{model::Time, config};"), 0);
    assert_eq!(found("src/engine/mod.rs", "use crate::store::Store;"), 1);
    assert_eq!(found("src/engine/mod.rs", "use super::decode;"), 1);
    assert_eq!(found("src/engine/event.rs", "use super::super::decode::json;"), 1);
    assert_eq!(found("src/engine/event.rs", "use super::detect; fn f() { crate::daemon::go() }"), 1);
    assert_eq!(found("src/source/file.rs", "use crate::decode::follow;"), 0);
    assert_eq!(found("src/source/file.rs", "use crate::{store::{self, Batch}, model::Line};"), 2);
    assert_eq!(found("src/clock.rs", "use super::load;"), 1);
    assert_eq!(found("src/cli/run.rs", "use crate::daemon; use crate::store;"), 0);
    assert_eq!(found("src/attic.rs", ""), 1);
}

#[test]
fn a_planted_reach_into_the_world_is_found() {
    let found = |path: &str, text: &str| violations(&[SourceFile::new(path, text)]).len();
    assert_eq!(found("src/engine/mod.rs", "use std::{fs, time::{Duration, Instant}};"), 2);
    assert_eq!(found("src/notifier/slack.rs", "fn f() { log::warn!(\"x\"); }"), 1);
    assert_eq!(found("src/decode/text.rs", "use jiff::civil::DateTime;"), 0);
    assert_eq!(found("src/model/alert.rs", "use jiff::Timestamp;"), 1);
    assert_eq!(found("src/config/plan.rs", "fn f(a: std::net::SocketAddr, s: std::net::TcpStream) {}"), 1);
    assert_eq!(found("src/source/file.rs", "use std::fs; use tokio::sync::mpsc;"), 0);
    assert_eq!(found("src/engine/mod.rs", "// std::fs\n#[cfg(test)] mod tests { use std::fs; }"), 0);
}
