//! A message by a Telegram bot: the Bot API's `sendMessage`
//! (<https://core.telegram.org/bots/api#sendmessage>).
//!
//! Log text is hostile here too: in HTML `&`, `<` and `>` are escaped
//! (<https://core.telegram.org/bots/api#html-style>), and in both formats a
//! `@name`, which would call a person, is broken by an invisible character;
//! within `<pre>` Telegram looks for none. Link previews are off, or Telegram
//! would fetch what a log names.
//!
//! Limits: 4,096 characters after the markup is read, counted here in UTF-16
//! units as Telegram counts lengths; at most 100 pieces of markup. What does
//! not fit is left out and said.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::plan::{ChatId, TelegramPlan};
use crate::model::OutgoingBody;

use super::escape_html as escape;
use super::words::{Member, Wording};

const TEXT_UNITS_MAX: usize = 4_096;
/// Further pieces are shown by Telegram as plain text.
const ENTITIES_MAX: usize = 90;
const LEFT_OUT: &str = "\nThe rest did not fit; see the status page.";

#[derive(Serialize)]
struct Message<'a> {
    chat_id: &'a ChatId,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<i64>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parse_mode: Option<&'static str>,
    link_preview_options: Value,
    disable_notification: bool,
}

/// The POST. Telegram knows no idempotency key.
pub(super) fn body(wording: &Wording, plan: &TelegramPlan) -> OutgoingBody {
    let message = Message {
        chat_id: &plan.chat_id,
        message_thread_id: plan.thread_id,
        text: text(wording, plan.is_html),
        parse_mode: plan.is_html.then_some("HTML"),
        link_preview_options: json!({"is_disabled": true}),
        disable_notification: plan.is_silent,
    };
    // A structure of texts and numbers always serializes.
    super::post("application/json", Vec::new(), serde_json::to_string(&message).unwrap_or_default())
}

/// How long a bot that sends too much is to wait. It stands in the answer's
/// body: `"parameters":{"retry_after":35}`
/// (<https://core.telegram.org/bots/api#responseparameters>).
pub(super) fn retry_after(answer: &str) -> Option<Duration> {
    let (_, rest) = answer.split_once("\"retry_after\":")?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    let seconds = if digits.is_empty() { return None } else { digits.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(seconds))
}

/// A text under Telegram's limits.
struct Text {
    out: String,
    is_html: bool,
    units: usize,
    entities: usize,
    is_full: bool,
}

fn text(wording: &Wording, is_html: bool) -> String {
    let mut text = Text { out: String::new(), is_html, units: 0, entities: 0, is_full: false };
    text.marked("b", &wording.headline);
    for note in &wording.notes {
        text.plain(&format!("\n{note}"));
    }
    wording.members.iter().for_each(|member| add_member(&mut text, member));
    if wording.hidden > 0 {
        text.plain(&format!("\n\n{} more alerts are not shown here.", wording.hidden));
    }
    if let Some(page) = &wording.status_page {
        text.plain("\n\n");
        text.link(page, "Status page");
    }
    if text.is_full {
        text.out.push_str(LEFT_OUT);
    }
    text.out
}

fn add_member(text: &mut Text, member: &Member) {
    text.plain("\n\n");
    text.marked("b", &member.title);
    text.plain(&format!("\n{}", member.summary));
    if !member.description.is_empty() {
        text.plain(&format!("\n{}", member.description));
    }
    for (name, value) in &member.facts {
        text.plain(&format!("\n{name}: {value}"));
    }
    for (heading, items) in &member.lists {
        text.plain(&format!("\n{heading}:"));
        items.iter().for_each(|item| text.plain(&format!("\n• {item}")));
    }
    if !member.evidence.is_empty() {
        text.plain("\n");
        text.marked("pre", &member.evidence.join("\n"));
    }
    if let Some(runbook) = &member.runbook {
        text.plain("\n");
        text.link(runbook, "Runbook");
    }
}

impl Text {
    fn plain(&mut self, text: &str) {
        let fitting = self.fitting(&break_names(text));
        self.push(&fitting);
    }

    /// Text between a pair of tags, where tags are read and there is room.
    fn marked(&mut self, tag: &str, text: &str) {
        if !self.is_html || self.entities == ENTITIES_MAX {
            return self.plain(text);
        }
        // Within `pre` nobody is called, and lines are copied from there.
        let text = if tag == "pre" { text.to_owned() } else { break_names(text) };
        let fitting = self.fitting(&text);
        if !fitting.trim().is_empty() {
            self.entities += 1;
            self.out.push_str(&format!("<{tag}>"));
            self.push(&fitting);
            self.out.push_str(&format!("</{tag}>"));
        }
    }

    /// Whole or not at all: half an address leads nowhere.
    fn link(&mut self, address: &str, name: &str) {
        let is_tag = self.is_html && self.entities < ENTITIES_MAX;
        let shown = if is_tag { name.to_owned() } else { format!("{name}: {address}") };
        if self.is_full || self.units + units(&shown) > self.room() {
            self.is_full = true;
        } else if is_tag {
            self.entities += 1;
            self.units += units(&shown);
            self.out.push_str(&format!("<a href=\"{}\">{name}</a>", escape(address)));
        } else {
            self.push(&shown);
        }
    }

    fn room(&self) -> usize {
        TEXT_UNITS_MAX - units(LEFT_OUT)
    }

    /// So much of a text as there is room for; nothing once something was
    /// left out.
    fn fitting(&mut self, text: &str) -> String {
        let left = if self.is_full { 0 } else { self.room().saturating_sub(self.units) };
        if self.is_full || units(text) <= left {
            return if self.is_full { String::new() } else { text.to_owned() };
        }
        self.is_full = true;
        let mut out = String::new();
        let mut used = 1;
        for c in text.chars() {
            used += c.len_utf16();
            if used > left {
                break;
            }
            out.push(c);
        }
        out + if left > 0 { "…" } else { "" }
    }

    fn push(&mut self, text: &str) {
        self.units += units(text);
        self.out.push_str(&if self.is_html { escape(text) } else { text.to_owned() });
    }
}

/// Puts an invisible character after an `@` that could begin a name.
fn break_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut all = text.chars().peekable();
    while let Some(c) = all.next() {
        out.push(c);
        if c == '@' && all.peek().is_some_and(char::is_ascii_alphanumeric) {
            out.push('\u{2060}');
        }
    }
    out
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_stands_in_the_body() {
        let answer = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#;
        assert_eq!(retry_after(answer), Some(Duration::from_secs(35)));
        assert_eq!(retry_after("{\"retry_after\": 7, \"x\""), Some(Duration::from_secs(7)));
        for none in ["", "Too Many Requests", "\"retry_after\":", "\"retry_after\":\"soon\""] {
            assert_eq!(retry_after(none), None, "{none}");
        }
    }
}
