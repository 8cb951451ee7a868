//! A field with another value than before: another version, another address.
//!
//! True for the moment of the event that says so; how long it is shown is the
//! rule's `keep_firing_for`. Of the value only a keyed digest is kept, so that
//! one may watch what must not be stored. The first value is learned.

use serde::{Deserialize, Serialize};

use crate::model::Time;

use super::Counted;

/// The value of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Keyed digest of the last value.
    pub digest: Option<String>,
    /// When it last changed, on the rule's clock.
    pub at: Option<Time>,
}

impl Changed {
    /// Takes the digest of a value.
    pub fn take(&mut self, digest: String, now: Time) -> Counted {
        let before = self.digest.replace(digest);
        if before.is_none() || before == self.digest {
            return Counted::Good;
        }
        self.at = Some(now);
        Counted::Bad
    }

    /// It changed at this moment.
    pub fn is_now(&self, now: Time) -> bool {
        self.at.is_some_and(|at| now <= at)
    }

    /// The moment after the change.
    pub fn over_at(&self, now: Time) -> Option<Time> {
        self.at.map(|at| at.shifted(1)).filter(|over| *over > now)
    }
}
