//! Gaps in logs, said in the own log: a source's first at once, those that
//! follow as a count, for a source that breaks off without end would fill it.

use std::collections::BTreeMap;

use crate::model::SourceId;

/// Gaps not said yet, of sources that had one of late.
#[derive(Debug, Default)]
pub struct Gaps(BTreeMap<SourceId, u64>);

impl Gaps {
    /// A gap came; true if it is to be said by itself.
    pub fn came(&mut self, source: SourceId) -> bool {
        let Some(unsaid) = self.0.get_mut(&source) else {
            self.0.insert(source, 0);
            return true;
        };
        *unsaid += 1;
        false
    }

    /// How many more came since the last time, to be said now. A source
    /// without is quiet again: its next one is said at once.
    pub fn sum_up(&mut self) -> Vec<(SourceId, u64)> {
        self.0.retain(|_, unsaid| *unsaid > 0);
        self.0.iter_mut().map(|(source, unsaid)| (*source, std::mem::take(unsaid))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_said_at_once_and_those_that_follow_as_a_count() {
        let mut gaps = Gaps::default();
        let said = (0..1_000).filter(|_| gaps.came(0)).count();
        assert_eq!((said, gaps.came(1)), (1, true));
        assert_eq!(gaps.sum_up(), [(0, 999)]);
        assert!(!gaps.came(0), "it is not quiet yet");
        assert_eq!(gaps.sum_up(), [(0, 1)]);
        assert_eq!(gaps.sum_up(), []);
        assert!(gaps.came(0), "a quiet source's next one is said at once");
    }
}
