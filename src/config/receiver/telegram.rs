//! The options of a Telegram receiver.
//!
//! `url` is the server's address without a path: the token, a secret of its
//! own, becomes part of the path where it is sent.

use crate::config::ground::Ground;
use crate::config::plan::{ChatId, TelegramPlan};
use crate::config::problem::printable;
use crate::config::reader::Table;
use crate::config::secrets::{TOKEN, need, url_or};
use crate::model::Secret;

const API: &str = "https://api.telegram.org";

pub(super) fn read(ground: &Ground<'_>, table: &Table<'_>) -> Option<TelegramPlan> {
    let api = url_or(ground, table, API);
    let token = need(ground, table, TOKEN, "the bot's token as @BotFather gave it");
    if let Some(token) = token.as_ref().filter(|_| ground.files.wants_secrets()) {
        check_token(table, token);
    }
    let chat_id = chat_id(table);
    let thread_id = table.count("thread_id", 1).and_then(|n| i64::try_from(n.value).ok());
    let modes = &[("html", true), ("plain", false)];
    let is_html = table.choice("format", "format", modes).is_none_or(|mode| mode.value);
    let is_silent = table.boolean("silent").unwrap_or(false);
    let http = super::http_options(ground, table);
    let (token, chat_id) = (token?, chat_id?);
    Some(TelegramPlan { api, token, chat_id, thread_id, is_html, is_silent, http })
}

/// A number, a colon and 35 characters, so far; only the shape that a URL's
/// path can carry is asked for.
fn check_token(table: &Table<'_>, token: &Secret) {
    let is_part = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let is_valid = token
        .expose()
        .split_once(':')
        .is_some_and(|(id, rest)| is_part(rest) && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    if !is_valid {
        let key = ["token", "token_file", "token_env", "token_credential"];
        let key = key.into_iter().find(|key| table.has(key)).unwrap_or("token");
        table.report.error(
            &table.key_at(key),
            "this gives no token of a bot",
            "expected digits, a colon and letters, as @BotFather gave them",
        );
    }
}

fn chat_id(table: &Table<'_>) -> Option<ChatId> {
    let expected = "expected the chat's number, or the \"@name\" of a channel or public group";
    let Some(value) = table.get("chat_id") else {
        table.missing("chat_id", expected);
        return None;
    };
    if let Some(number) = value.integer() {
        return Some(ChatId::Number(number));
    }
    let text = value.text()?;
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Ok(number) = text.value.parse() {
        return Some(ChatId::Number(number));
    }
    if text.value.strip_prefix('@').is_some_and(is_name) {
        return Some(ChatId::Name(text.value.to_owned()));
    }
    table.report.error(&text.at, format!("\"{}\" is no chat", printable(text.value)), expected);
    None
}
