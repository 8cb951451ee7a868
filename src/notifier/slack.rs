//! A message for a Slack incoming webhook: Block Kit within one attachment,
//! whose colour tells the severity.
//!
//! Log text is hostile here: `<!channel>`, `@here`, a link or a backtick in a
//! log line must stay text. Everything is therefore `plain_text`, but for the
//! evidence, which stands in a code fence, and links of our own; `&`, `<` and
//! `>` are escaped everywhere, as Slack asks, and backticks of a fence are
//! replaced, since nothing escapes them.
//!
//! Limits (Slack's Block Kit reference): 50 blocks, 150 characters in a
//! header, 3,000 in a section's text; of all blocks together about 13,000 are
//! taken (`msg_blocks_too_long`). Whatever does not fit is left out and said.

use serde_json::{Value, json};

use crate::model::{OutgoingBody, Severity};

use super::words::{Member, Wording};

const BLOCKS_MAX: usize = 50;
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FALLBACK_MAX: usize = 500;
/// Of all texts together; the last block says what was left out.
const MESSAGE_MAX: usize = 11_000;

/// The POST. Slack knows no idempotency key.
pub(super) fn body(wording: &Wording) -> OutgoingBody {
    let fallback = escape(&wording.headline, FALLBACK_MAX);
    let message = json!({
        "text": fallback,
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "attachments": [{
            "color": colour(wording),
            "fallback": fallback,
            "blocks": blocks(wording),
        }],
    });
    super::post("application/json", Vec::new(), message.to_string())
}

fn colour(wording: &Wording) -> &'static str {
    match wording.severity {
        _ if !wording.is_firing => "#2eb67d",
        Severity::Critical => "#d50200",
        Severity::Warning => "#de9e31",
        Severity::Info => "#439fe0",
    }
}

/// Blocks under Slack's limits.
struct Blocks {
    list: Vec<Value>,
    used: usize,
    is_full: bool,
}

impl Blocks {
    /// Adds a block whose text has `length`, or nothing any more: a later,
    /// shorter block must not stand where a longer one was left out.
    fn add(&mut self, block: Value, length: usize) {
        self.is_full |= self.list.len() + 2 > BLOCKS_MAX || self.used + length > MESSAGE_MAX;
        if !self.is_full {
            self.used += length;
            self.list.push(block);
        }
    }

    fn section(&mut self, text: &str) {
        if !text.is_empty() {
            let text = escape(text, SECTION_MAX);
            let length = units(&text);
            self.add(json!({"type": "section", "text": plain(text)}), length);
        }
    }

    fn markup(&mut self, kind: &str, text: String) {
        let length = units(&text);
        let text = json!({"type": "mrkdwn", "verbatim": true, "text": text});
        let block = match kind {
            "context" => json!({"type": "context", "elements": [text]}),
            _ => json!({"type": kind, "text": text}),
        };
        self.add(block, length);
    }
}

fn blocks(wording: &Wording) -> Vec<Value> {
    let mut blocks = Blocks { list: Vec::new(), used: 0, is_full: false };
    let header = escape(&wording.headline, HEADER_MAX);
    let length = units(&header);
    blocks.add(json!({"type": "header", "text": plain(header)}), length);
    blocks.section(&wording.notes.join("\n"));
    for (position, member) in wording.members.iter().enumerate() {
        if position > 0 {
            blocks.add(json!({"type": "divider"}), 0);
        }
        add_member(&mut blocks, member);
    }
    if wording.hidden > 0 {
        blocks.section(&format!("{} more alerts are not shown here.", wording.hidden));
    }
    if let Some(page) = &wording.status_page {
        blocks.markup("context", link(page, "Status page"));
    }
    if blocks.is_full {
        let text = plain("The rest did not fit; see the status page.".to_owned());
        blocks.list.push(json!({"type": "section", "text": text}));
    }
    blocks.list
}

fn add_member(blocks: &mut Blocks, member: &Member) {
    blocks.section(&format!("{}\n{}", member.title, member.summary));
    blocks.section(&member.description);
    let facts: Vec<String> = member.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    blocks.section(&facts.join("\n"));
    for (heading, items) in &member.lists {
        blocks.section(&format!("{heading}:\n• {}", items.join("\n• ")));
    }
    if !member.evidence.is_empty() {
        let lines = escape(&member.evidence.join("\n").replace('`', "'"), SECTION_MAX - 8);
        blocks.markup("section", format!("```\n{lines}\n```"));
    }
    if let Some(runbook) = &member.runbook {
        blocks.markup("context", link(runbook, "Runbook"));
    }
}

fn plain(text: String) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

/// A link; the address holds no `<`, `>` or `|` (see `Words::address`).
fn link(address: &str, text: &str) -> String {
    format!("<{}|{text}>", address.replace('&', "&amp;"))
}

/// Slack's three escapes, broken mentions, and at most `max` UTF-16 units
/// afterwards; never cut within an escape.
fn escape(text: &str, max: usize) -> String {
    let text = break_mentions(text);
    let mut out = String::new();
    let mut left = max;
    let total: usize = text.chars().map(|c| units(escaped(c, &mut [0; 4]))).sum();
    let reserve = usize::from(total > max);
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece = escaped(c, &mut buffer);
        if units(piece) + reserve > left {
            out.push('…');
            break;
        }
        left -= units(piece);
        out.push_str(piece);
    }
    out
}

fn escaped(c: char, buffer: &mut [u8; 4]) -> &str {
    match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        c => c.encode_utf8(buffer),
    }
}

/// Puts an invisible character after the `@` of a group mention.
fn break_mentions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        let is_mention = ["channel", "here", "everyone", "group"]
            .iter()
            .any(|word| after.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
        if is_mention {
            out.push('\u{2060}');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Length as Slack's own clients count it.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
