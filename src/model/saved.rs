//! One piece of the engine's memory, as it goes to and comes from the store.

/// A row of saved engine state. The engine alone knows what `value` means;
/// the store keeps it by `kind` and `key` in the transaction of the cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRow {
    /// What it belongs to: `source`, `series`, `rule`, `block`, …
    pub kind: &'static str,
    /// Unique within the kind.
    pub key: String,
    /// JSON text; `None` deletes the row.
    pub value: Option<String>,
}
