//! Secrets, from wherever they stand.
//!
//! A secret stands in the configuration (`url`), a file (`url_file`), the
//! environment (`url_env`) or a systemd credential (`url_credential`): exactly
//! one of them. Its value goes into a [`Secret`] at once and into no message.

use std::path::PathBuf;

use super::ground::Ground;
use super::problem::Spot;
use super::reader::Table;
use crate::model::Secret;

/// Stands in place of secrets that are not to be read.
const UNREAD: &str = "unread";

/// The four keys under which a secret may stand.
#[derive(Clone, Copy)]
pub(super) struct SecretKeys {
    plain: &'static str,
    file: &'static str,
    env: &'static str,
    credential: &'static str,
}

pub(super) const URL: SecretKeys =
    SecretKeys { plain: "url", file: "url_file", env: "url_env", credential: "url_credential" };
pub(super) const SIGNING: SecretKeys =
    SecretKeys { plain: "secret", file: "secret_file", env: "secret_env", credential: "secret_credential" };
pub(super) const PASSWORD: SecretKeys = SecretKeys {
    plain: "password",
    file: "password_file",
    env: "password_env",
    credential: "password_credential",
};
pub(super) const TOKEN: SecretKeys =
    SecretKeys { plain: "token", file: "token_file", env: "token_env", credential: "token_credential" };
pub(super) const ROUTING_KEY: SecretKeys = SecretKeys {
    plain: "routing_key",
    file: "routing_key_file",
    env: "routing_key_env",
    credential: "routing_key_credential",
};
pub(super) const PROXY: SecretKeys =
    SecretKeys { plain: "proxy", file: "proxy_file", env: "proxy_env", credential: "proxy_credential" };
pub(super) const HEADER: SecretKeys =
    SecretKeys { plain: "value", file: "file", env: "env", credential: "credential" };

/// The receiver's URL, which must be there.
pub(super) fn url(ground: &Ground<'_>, table: &Table<'_>) -> Option<Secret> {
    if !is_written(table, URL) {
        table.missing("url", "expected one of url_file, url_credential, url_env, url");
    }
    let url = secret(ground, table, URL)?;
    check_url(ground, table, URL, &url);
    Some(url)
}

/// The URL of a service that has a usual one.
pub(super) fn url_or(ground: &Ground<'_>, table: &Table<'_>, usual: &str) -> Secret {
    let Some(url) = secret(ground, table, URL) else { return Secret::new(usual) };
    check_url(ground, table, URL, &url);
    url
}

/// A secret that must be there; `expected` says what it is.
pub(super) fn need(
    ground: &Ground<'_>,
    table: &Table<'_>,
    keys: SecretKeys,
    expected: &str,
) -> Option<Secret> {
    if !is_written(table, keys) {
        let [plain, file, env, credential] = keys_of(keys);
        let expected = format!("expected one of {file}, {credential}, {env}, {plain}: {expected}");
        table.missing(plain, &expected);
    }
    secret(ground, table, keys)
}

/// Whether it is an HTTP URL.
pub(super) fn is_http_url(url: &Secret) -> bool {
    let rest = url.expose().strip_prefix("https://").or_else(|| url.expose().strip_prefix("http://"));
    rest.is_some_and(|r| !r.is_empty() && !r.starts_with('/'))
        && !url.expose().contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Reports a secret that is no HTTP URL.
pub(super) fn check_url(ground: &Ground<'_>, table: &Table<'_>, keys: SecretKeys, url: &Secret) {
    if !is_http_url(url) && ground.files.wants_secrets() {
        let key = keys_of(keys).into_iter().find(|key| table.has(key)).unwrap_or(keys.plain);
        table.report.error(
            &table.key_at(key),
            format!("\"{key}\" gives no URL"),
            "expected http://… or https://…",
        );
    }
}

fn keys_of(keys: SecretKeys) -> [&'static str; 4] {
    [keys.plain, keys.file, keys.env, keys.credential]
}

/// Whether any of its keys stands in the table.
pub(super) fn is_written(table: &Table<'_>, keys: SecretKeys) -> bool {
    keys_of(keys).iter().any(|key| table.has(key))
}

/// A secret from wherever it stands; `None` when it stands nowhere, or after
/// a problem.
pub(super) fn secret(ground: &Ground<'_>, table: &Table<'_>, keys: SecretKeys) -> Option<Secret> {
    let plain = table.text(keys.plain);
    let file = table.text(keys.file);
    let env = table.text(keys.env);
    let credential = table.text(keys.credential);
    let given: Vec<&str> = keys_of(keys).into_iter().filter(|key| table.has(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        table.report.error(
            &table.key_at(second),
            format!("both \"{first}\" and \"{second}\""),
            "expected exactly one of them",
        );
        return None;
    }
    if let Some(text) = plain {
        return accept(table, keys.plain, text.value);
    }
    if !ground.files.wants_secrets() {
        return (!given.is_empty()).then(|| Secret::new(UNREAD));
    }
    if let Some(name) = env {
        return match ground.files.env(name.value) {
            Some(value) => accept(table, keys.env, &value),
            None => {
                table.report.error(
                    &name.at,
                    format!("the environment variable {} is not set", name.value),
                    "",
                );
                None
            }
        };
    }
    if let Some(name) = credential {
        return from_credential(ground, table, keys, &name);
    }
    let text = file?;
    let path = ground.resolve(&text);
    match ground.files.read(&path) {
        Ok(value) => {
            if ground.files.is_world_readable(&path) {
                table.report.warning(
                    &text.at,
                    format!("everybody can read {}", path.display()),
                    "expected a secret file only its owner can read: chmod 600",
                );
            }
            accept(table, keys.file, &value)
        }
        Err(why) => {
            table.report.error(
                &text.at,
                format!("cannot read {}: {why}", path.display()),
                "expected a file that holds the secret",
            );
            None
        }
    }
}

fn from_credential(
    ground: &Ground<'_>,
    table: &Table<'_>,
    keys: SecretKeys,
    name: &Spot<&str>,
) -> Option<Secret> {
    if name.value.is_empty() || name.value.contains('/') || name.value.starts_with('.') {
        table.report.error(
            &name.at,
            format!("\"{}\" is no name of a credential", name.value),
            "expected the name given to LoadCredential=",
        );
        return None;
    }
    let Some(folder) = ground.files.env("CREDENTIALS_DIRECTORY") else {
        table.report.error(
            &name.at,
            "there is no $CREDENTIALS_DIRECTORY",
            format!("expected to run under systemd with LoadCredential={}:PATH", name.value),
        );
        return None;
    };
    let path = PathBuf::from(folder).join(name.value);
    match ground.files.read(&path) {
        Ok(value) => accept(table, keys.credential, &value),
        Err(why) => {
            table.report.error(
                &name.at,
                format!("cannot read the credential {}: {why}", name.value),
                format!("expected LoadCredential={}:PATH in the unit", name.value),
            );
            None
        }
    }
}

fn accept(table: &Table<'_>, key: &'static str, value: &str) -> Option<Secret> {
    let value = value.trim();
    if value.is_empty() {
        table.report.error(&table.key_at(key), format!("\"{key}\" gives an empty secret"), "");
        return None;
    }
    Some(Secret::new(value))
}
