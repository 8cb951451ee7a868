//! What changed lately: a restart, another address, another key.
//!
//! Values are compared by keyed digest and never kept as text.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::plan::Plan;
use crate::model::{Line, SourceId, Time};

use super::event::head;
use super::matcher::{self, Hits, Matcher};

/// Changes told beside an incident are at most this old.
const LATELY: Duration = Duration::from_secs(30 * 60);
/// Changes kept.
const CHANGES_MAX: usize = 32;

/// What is remembered of changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Digest of the last value, by what it says.
    digests: BTreeMap<String, String>,
    /// The last changes: wall time, source and text.
    recent: VecDeque<(Time, SourceId, String)>,
    #[serde(skip)]
    pub(super) is_dirty: bool,
}

impl Changes {
    /// Looks at a line.
    pub fn line(
        &mut self,
        plan: &Plan,
        source: SourceId,
        key: &[u8; 32],
        matcher: &Matcher,
        hits: &Hits,
        line: &Line,
    ) {
        for (i, slot) in &matcher.changes {
            let change = &plan.changes[*i];
            let is_ours = match (&change.identifier, &line.identifier) {
                (Some(wanted), Some(got)) => **wanted == **got,
                _ => true,
            };
            let Some(pattern) = matcher::first(&change.patterns, *slot, hits, line) else { continue };
            if !is_ours {
                continue;
            }
            if let Some(group) = change.value_group {
                let captures = pattern.regex.captures(head(&line.text, matcher::MATCH_BYTES_MAX));
                let Some(value) = captures.as_ref().and_then(|c| c.get(group)) else { continue };
                let digest = digest(key, value.as_str());
                let before = self.digests.insert(change.says.clone(), digest.clone());
                self.is_dirty |= before.as_ref() != Some(&digest);
                if before.is_none_or(|before| before == digest) {
                    continue;
                }
            }
            self.is_dirty = true;
            if self.recent.len() >= CHANGES_MAX {
                // Rather a repetition than the only word of something else.
                let same = self.recent.iter().position(|c| c.2 == change.says);
                self.recent.remove(same.unwrap_or(0));
            }
            self.recent.push_back((line.at, source, change.says.clone()));
        }
    }

    /// Lines for a person: what changed shortly before `at`.
    pub fn before(&self, at: Time) -> Vec<String> {
        let is_recent = |when: Time| when <= at && at.since(when) <= LATELY;
        let recent: Vec<&(Time, SourceId, String)> = self.recent.iter().filter(|c| is_recent(c.0)).collect();
        let mut lines: Vec<String> = Vec::new();
        for (i, (when, _, says)) in recent.iter().enumerate() {
            if recent[i + 1..].iter().any(|later| later.2 == *says) {
                continue;
            }
            // A crash loop is one line, or it would push out what caused it.
            let times = recent.iter().filter(|c| c.2 == *says).count();
            let first = recent.iter().find(|c| c.2 == *says).map_or(*when, |c| c.0);
            lines.push(match times {
                1 => format!("{} {says}", when.to_clock()),
                _ => format!("{} {says}, {times} times since {}", when.to_clock(), first.to_clock()),
            });
        }
        let surplus = lines.len().saturating_sub(8);
        lines.drain(..surplus);
        lines
    }
}

/// HMAC-SHA-256 in hex, half of it: enough to tell values apart.
pub(super) fn digest(key: &[u8; 32], value: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(value.as_bytes());
    mac.finalize().into_bytes().iter().take(16).map(|b| format!("{b:02x}")).collect()
}
