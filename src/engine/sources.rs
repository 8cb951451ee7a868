//! What the engine remembers of each source beside its clock: its state and
//! the counts of lines, cuts and gaps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Gap, Line, SourceState, Time};

/// Symptoms wait so long for the source of what may inhibit them.
const CATCH_UP_MAX: Duration = Duration::from_secs(120);

/// A source's state and counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceMemory {
    /// As it last said; a source that has said nothing (a replay's) is live.
    #[serde(skip)]
    pub state: Option<SourceState>,
    /// After a start nobody knows whether there is more to read until the
    /// source has said so.
    #[serde(skip)]
    pub awaits_word: bool,
    /// Since when it has more to read, on the process clock.
    #[serde(skip)]
    behind_since: Option<Time>,
    /// Since when it is lost, on the process clock.
    pub lost_since: Option<Time>,
    /// A replay's input has come to its end.
    #[serde(skip)]
    pub has_ended: bool,
    /// Lines taken.
    pub lines: u64,
    /// Any line came since the process started.
    #[serde(skip)]
    pub has_matched: bool,
    /// Gaps told of.
    pub gaps: u64,
    /// Lines lost in them, as far as known.
    pub gap_lines: u64,
    /// Lines passed over, each a gap too.
    #[serde(default)]
    pub skipped: u64,
    /// Lines cut.
    pub truncated: u64,
    /// Lines with invalid UTF-8.
    pub invalid_utf8: u64,
    /// Transport time of the last line.
    pub last_line_at: Option<Time>,
    /// Boot of the last line.
    boot: Option<u128>,
    /// Changed since the last save.
    #[serde(skip)]
    pub is_dirty: bool,
}

impl SourceMemory {
    /// Counts a line.
    pub fn count(&mut self, line: &Line) {
        self.lines += 1;
        self.has_matched = true;
        self.truncated += u64::from(line.is_cut);
        self.invalid_utf8 += u64::from(line.had_invalid_utf8);
        self.last_line_at = Some(line.at);
        self.is_dirty = true;
    }

    /// Counts a gap.
    pub fn count_gap(&mut self, gap: &Gap) {
        self.gaps += 1;
        // The number comes from a log.
        self.gap_lines = self.gap_lines.saturating_add(gap.lines.unwrap_or(0));
        self.is_dirty = true;
    }

    /// Takes the boot of a line; true if it is another than before.
    pub fn is_new_boot(&mut self, id: u128) -> bool {
        self.boot.replace(id).is_some_and(|before| before != id)
    }

    /// Takes the source's own word.
    pub fn set_state(&mut self, state: &SourceState, now: Time) {
        let is_lost = matches!(state, SourceState::Lost { .. });
        self.lost_since = if is_lost { self.lost_since.or(Some(now)) } else { None };
        let is_behind = matches!(state, SourceState::Behind);
        self.behind_since = if is_behind { self.behind_since.or(Some(now)) } else { None };
        self.state = Some(state.clone());
        self.is_dirty = true;
    }

    /// Silence of this source is silence.
    pub fn is_live(&self) -> bool {
        matches!(self.state, None | Some(SourceState::Live))
    }

    /// It has more to read, or may have.
    pub fn is_behind(&self) -> bool {
        matches!(self.state, Some(SourceState::Behind)) || (self.state.is_none() && self.awaits_word)
    }

    /// It is behind, but not for so long that others should not do without it.
    pub fn is_catching_up(&self, now: Time) -> bool {
        self.is_behind() && self.behind_since.is_none_or(|since| now < since.plus(CATCH_UP_MAX))
    }

    /// It cannot be read.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, Some(SourceState::Lost { .. }))
    }
}
