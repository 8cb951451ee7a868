//! The nouns of the house: plain values that every floor may hold.
//!
//! Nothing here decides, reads a clock or does IO. A type lives here when two
//! rooms that must not see each other (a source and the engine, the engine and
//! the store) hand it to one another.

pub mod alert;
pub mod line;
pub mod metric;
pub mod notification;
pub mod order;
pub mod saved;
pub mod secret;
pub mod snapshot;
pub mod time;

pub use alert::{Annotations, Incident, Severity, Transition, TransitionState};
pub use line::{Batch, Boot, Channel, Cursor, Gap, Line, Reading, SourceId, SourceState, Stream};
pub use metric::{Family, FamilyKind, Sample, Series};
pub use notification::{AlertNotice, End, Notification, Outgoing, OutgoingBody};
pub use order::{Acknowledgement, Order, Refusal, Silence, Until};
pub use saved::SavedRow;
pub use secret::Secret;
pub use snapshot::{IncidentView, OutboxView, Snapshot, SourceView};
pub use time::Time;
