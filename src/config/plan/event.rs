//! How lines become events, as meant: definitions, blocks, fields, outcomes.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::model::SourceId;

/// Index into [`EventPlan::fields`].
pub type FieldId = usize;

/// An event definition.
#[derive(Clone, Debug)]
pub struct EventPlan {
    /// Unique.
    pub name: String,
    /// The sources it looks at.
    pub sources: Vec<SourceId>,
    /// Only lines with this syslog identifier, where the transport has one.
    pub identifier: Option<String>,
    /// Line or block.
    pub shape: Shape,
    /// Its fields; the patterns' named groups refer to them.
    pub fields: Vec<FieldPlan>,
    /// Ordered; the first whose condition holds is the outcome. Empty: the
    /// event has none.
    pub outcomes: Vec<OutcomePlan>,
    /// A line that carries this and is matched by nothing else of the
    /// definition is a near miss.
    pub marker: Option<Pattern>,
}

impl EventPlan {
    /// Position of a field.
    pub fn field(&self, name: &str) -> Option<FieldId> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// Position of an outcome.
    pub fn outcome(&self, name: &str) -> Option<usize> {
        self.outcomes.iter().position(|o| o.name == name)
    }
}

/// A pattern: matches if `regex` does and `unless` does not.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the engine runs it, fragments filled in.
    pub regex: Regex,
    /// Lines this matches are passed over.
    pub unless: Option<Regex>,
    /// Named groups by field: `(group index, field)`.
    pub groups: Vec<(usize, FieldId)>,
    /// Also on lines that were cut short.
    pub allows_cut: bool,
}

/// The two shapes of events.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One line, any of the patterns.
    Line {
        /// Tried in order.
        patterns: Vec<Pattern>,
        /// Some of them are suppressed by what the writer wrote before.
        unless_seen: Option<UnlessSeen>,
    },
    /// Lines from a beginning to an end.
    Block(Box<BlockPlan>),
}

/// Lines that give no event once their writer has written another.
#[derive(Clone, Debug)]
pub struct UnlessSeen {
    /// What the writer must not have written before.
    pub seen: Pattern,
    /// The lines it suppresses.
    pub of: Regex,
}

/// A block event.
#[derive(Clone, Debug)]
pub struct BlockPlan {
    /// Opens a block.
    pub begin: Vec<Pattern>,
    /// Outside any block, opens one that gives an event only if it comes to a
    /// decision or to a document, and is closed by that.
    pub headless: Vec<Pattern>,
    /// What is looked for inside, in order.
    pub steps: Vec<StepPlan>,
    /// Lines of the same stream after which its process is gone.
    pub interrupt: Vec<Pattern>,
    /// Lines of any stream of the source after which every block is over;
    /// with the identifier they must have.
    pub interrupt_all: Vec<(Option<String>, Pattern)>,
    /// Several may be open in one stream; an ending line ends the oldest, and
    /// one that finds none open reaches back to the previous ending line.
    pub is_concurrent: bool,
    /// Kept apart by writer alone, not by its outputs.
    pub joins_channels: bool,
    /// A block that ends early gives an event (its outcome from what it has).
    pub tells_interrupted: bool,
    /// Limits of one block.
    pub limits: BlockLimits,
    /// Further endings soon after one are the same event.
    pub merge: Option<MergePlan>,
}

/// Limits of one block; past any of them it ends early.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// Lines.
    pub lines_max: u64,
    /// Bytes of text.
    pub bytes_max: u64,
    /// Time on the source's clock.
    pub duration_max: Duration,
    /// Blocks open in one stream (concurrent definitions).
    pub open_max: usize,
}

/// Endings that belong to the ending before them.
#[derive(Clone, Debug)]
pub struct MergePlan {
    /// So soon after it (inclusive), when no block is open.
    pub within: Duration,
    /// If both have one of these outcomes.
    pub outcomes: Vec<usize>,
}

/// One thing looked for inside a block.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// The line.
    pub pattern: Pattern,
    /// Fields set to constants when it matches.
    pub sets: Vec<(FieldId, FieldValue)>,
    /// What it does to the block.
    pub effect: StepEffect,
    /// It counts for every open block, not for the oldest that lacks it.
    pub is_for_all: bool,
    /// The capture named `json` begins a JSON document.
    pub json: Option<JsonPlan>,
}

/// What a step does to its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEffect {
    /// Picks up fields only.
    Pick,
    /// The verdict stands from now on; it is told when the block ends.
    Decide,
    /// The block ends; the event is decided now if it was not.
    End,
    /// The block ends without an event and counts as a near miss.
    Void,
}

/// A JSON document that begins on one line and may end on a later one.
#[derive(Clone, Debug)]
pub struct JsonPlan {
    /// Group index of the beginning of the document.
    pub group: usize,
    /// What is read from it.
    pub pointers: Vec<PointerPlan>,
    /// Text field that tells how far it came: `open`, `complete`, `invalid`
    /// (not JSON from its first line on), `broken` (JSON at first, then not:
    /// lines are missing).
    pub state_field: Option<FieldId>,
    /// A line like this is no part of a document: it breaks off there.
    pub stop: Option<Regex>,
    /// The event is decided when the document is complete or found invalid.
    pub decides: bool,
}

/// One value read from a JSON document.
#[derive(Clone, Debug)]
pub struct PointerPlan {
    /// Object keys from the top; `/code` is `["code"]`.
    pub path: Vec<String>,
    /// The field it fills; `null` leaves it absent.
    pub field: FieldId,
    /// The event is decided when it has been read.
    pub decides: bool,
}

/// A typed field.
#[derive(Clone, Debug)]
pub struct FieldPlan {
    /// Its name, as conditions (`event.NAME`) and labels use it.
    pub name: String,
    /// How its text is read.
    pub kind: FieldKind,
    /// What it is when nothing gave it.
    pub default: Option<FieldValue>,
    /// What it is when its text does not read as `kind`; without this such a
    /// text leaves it absent.
    pub otherwise: Option<String>,
}

/// How a field's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// As it stands (at most 1,024 bytes kept).
    Text,
    /// A whole number; JSON strings that hold one count.
    Int,
    /// A number.
    Float,
    /// A number with thousands commas: `-1,234.56`.
    Amount,
    /// True or false; only set by `sets`.
    Bool,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// True or false.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number; never NaN or infinite.
    Float(f64),
    /// Text.
    Text(String),
}

/// One row of the outcome table.
#[derive(Clone, Debug)]
pub struct OutcomePlan {
    /// Its name.
    pub name: String,
    /// CEL over `event`; `None` always holds. One that errs does not hold.
    pub when: Option<Condition>,
}

/// A compiled CEL condition.
#[derive(Clone)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// As run.
    pub program: Arc<cel::Program>,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Condition({:?})", self.text)
    }
}

/// A line that is worth telling of beside an incident.
#[derive(Clone, Debug)]
pub struct ChangePlan {
    /// What changed, for a person: `the outbound address changed`.
    pub says: String,
    /// The sources it looks at.
    pub sources: Vec<SourceId>,
    /// Only lines with this identifier.
    pub identifier: Option<String>,
    /// The line.
    pub patterns: Vec<Pattern>,
    /// Group whose value must differ from the one before; kept as a keyed
    /// digest only. Without it each line counts.
    pub value_group: Option<usize>,
}
