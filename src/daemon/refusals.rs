//! What found no room in the memory that may be taken: said in the log once
//! for each kind, and as a complaint for as long as the process runs.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::engine::vitals::Refused;

/// What has been refused since the process began.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Counts as they were at the beginning.
    before: Option<BTreeMap<Refused, u64>>,
    said: BTreeMap<Refused, String>,
}

impl Refusals {
    /// Looks at the engine's counts and says what is new.
    pub fn look(&mut self, engine: &Engine) {
        let now = engine.refused();
        let before = self.before.get_or_insert_with(|| now.clone());
        for (what, count) in now {
            let is_more = count > before.get(&what).copied().unwrap_or(0);
            if is_more && !self.said.contains_key(&what) {
                let text = text(&what);
                log::warn!("{text}");
                self.said.insert(what, text);
            }
        }
    }

    /// For a person, a line each.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        self.said.values().cloned()
    }
}

fn text(what: &Refused) -> String {
    match what {
        Refused::Series(metric) => format!(
            "metric {metric} has as many series as it may: what is new counts as \"other\" \
             (label_values_max, [limits] memory)"
        ),
        Refused::Blocks => {
            "blocks found no room, they give no event: more are open than open_max or [limits] memory holds"
                .to_owned()
        }
        Refused::Streams => {
            "what was remembered of silent writers was forgotten to make room ([limits] memory)".to_owned()
        }
        Refused::Keys => "a rule is kept for as many keys as it may be, new ones are not watched \
             (keys_max, [limits] memory)"
            .to_owned(),
    }
}
