//! What the binary is made of: licences, origins and crates that must not come
//! in. Asked of cargo itself, for this platform, without the network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::scan::root;

/// Licences that ask for no more than to be named.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The bindings of libsystemd. The exception lets others link them.
const LINKED_LGPL: &[&str] = &["systemd", "libsystemd-sys"];
const LGPL: &str = "LGPL-2.1-or-later WITH GCC-exception-2.0";

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls: no C library of the host decides what we trust"),
    ("openssl", "TLS is rustls: no C library of the host decides what we trust"),
    ("native-tls", "TLS is rustls: no C library of the host decides what we trust"),
    ("aws-lc-sys", "one crypto provider (ring); a second doubles the build time"),
    ("chrono", "the date library is jiff"),
    ("time", "the date library is jiff"),
    ("serde_yaml", "archived by its author"),
];

/// Crates of which one version is enough: two would not understand each other.
const ONCE: &[&str] =
    &["tokio", "hyper", "http", "rustls", "serde", "regex", "jiff", "log", "axum", "reqwest"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One package: name, version, licence, source.
struct Package {
    name: String,
    version: String,
    licence: String,
    source: Option<String>,
}

fn metadata() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    whole["packages"].as_array().unwrap().iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Package {
        name: text("name"),
        version: text("version"),
        licence: text("license"),
        source: value["source"].as_str().map(str::to_owned),
    }
}

/// True if an SPDX expression (or the old `A/B`) can be met by the list: all of
/// an AND, one of an OR.
fn is_permissive(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let verdict = any_of(&tokens, &mut at);
    verdict && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut verdict = all_of(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= all_of(tokens, at);
    }
    verdict
}

fn all_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut verdict = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(tokens, at);
    }
    verdict
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    let Some(&token) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if token == "(" {
        let verdict = any_of(tokens, at);
        *at += 1;
        return verdict;
    }
    let mut name = token.to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        name = format!("{token} WITH {}", tokens.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    PERMISSIVE.contains(&name.as_str())
}

fn complaints(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, licence, source } = package;
        versions.entry(name).or_default().insert(version);
        let may_be_linked = LINKED_LGPL.contains(&name.as_str()) && licence == LGPL;
        if !may_be_linked && !is_permissive(licence) {
            found.push(format!("{name} {version}: licence `{licence}` is not on the list"));
        }
        if source.as_deref().is_some_and(|s| s != CRATES_IO) || (source.is_none() && name != "tocsin") {
            found.push(format!("{name} {version}: comes from {source:?}, not from crates.io"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
            found.push(format!("{name} {version}: {why}"));
        }
    }
    for name in ONCE {
        if let Some(several) = versions.get(name).filter(|v| v.len() > 1) {
            found.push(format!("{name}: {} versions ({several:?}), one is enough", several.len()));
        }
    }
    found
}

#[test]
fn every_crate_has_a_licence_and_an_origin_we_can_stand_behind() {
    let packages = metadata();
    assert!(packages.len() > 50, "cargo named only {} packages", packages.len());
    let found = complaints(&packages);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_crate_is_found() {
    let found = |name: &str, licence: &str, source: &str| {
        let package = |version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.to_owned(),
            source: Some(source.to_owned()),
        };
        complaints(&[package("1.0.0"), package("2.0.0")]).len()
    };
    assert_eq!(found("fine", "MIT/Apache-2.0", CRATES_IO), 0);
    assert_eq!(found("fine", "(MIT OR GPL-3.0) AND Unicode-3.0", CRATES_IO), 0);
    assert_eq!(found("copyleft", "GPL-3.0-or-later", CRATES_IO), 2);
    assert_eq!(found("both", "MIT AND GPL-3.0", CRATES_IO), 2);
    assert_eq!(found("none", "", CRATES_IO), 2);
    assert_eq!(found("other", LGPL, CRATES_IO), 2);
    assert_eq!(found("systemd", LGPL, CRATES_IO), 0);
    assert_eq!(found("forked", "MIT", "git+https://example.org/forked"), 2);
    assert_eq!(found("openssl-sys", "MIT", CRATES_IO), 2);
    assert_eq!(found("tokio", "MIT", CRATES_IO), 1);
}
