//! What is due, and when: the engine's deadlines against its clocks.
//!
//! Deadlines fire in the order of wall time, each stamped with the time it was
//! due, while the clocks are moved on to where an input brings them. Must not
//! look at the input itself.

use std::time::Duration;

use crate::model::{SourceId, Time};

use super::alert::Moment;
use super::assemble::{Findings, Scene, When};
use super::{Engine, Move};

/// A wall clock that moves against the source's own by more was set; less is
/// its being trimmed.
pub(super) const WALL_STEP: Duration = Duration::from_secs(1);

impl Engine {
    /// Fires what is due on the way to the sources' new times, in the order of
    /// wall time, then stands there.
    pub(super) fn settle(&mut self, targets: &[(SourceId, Time)], now: Time) {
        loop {
            let block = targets.iter().filter_map(|(s, to)| self.due_block(*s, *to)).min_by_key(|d| d.0);
            let rule = self.due_rule(targets, now);
            match (block, rule) {
                (Some((at, source, clock)), rule) if rule.as_ref().is_none_or(|r| at <= r.0) => {
                    self.clocks.sources[source].move_to(clock);
                    self.sources[source].is_dirty = true;
                    let mut found = Findings::default();
                    let scene =
                        Scene { plan: &self.plan, judge: &self.judge, source, when: When { clock, at } };
                    self.assembler.expire(scene, &mut found);
                    self.found(found);
                }
                (_, Some((at, rule, clock))) => {
                    for source in &self.plan.rules[rule].sources {
                        if let Some((_, to)) = targets.iter().find(|t| t.0 == *source) {
                            self.clocks.sources[*source].move_to(clock.min(*to));
                            self.sources[*source].is_dirty = true;
                        }
                    }
                    self.run_rule(rule, clock, at);
                }
                _ => break,
            }
        }
        for (source, to) in targets {
            if self.clocks.sources[*source].now().is_some_and(|was| was < *to) {
                self.clocks.sources[*source].move_to(*to);
                self.sources[*source].is_dirty = true;
            }
        }
        self.clocks.process = now;
    }

    /// What hangs on the wall is asked again.
    pub(super) fn wall_was_set(&mut self, source: SourceId) {
        for rule in self.alerts.order() {
            let plan = &self.plan.rules[rule];
            if plan.is_about_silence() && plan.sources.contains(&source) {
                let now = self.clocks.process;
                let at = self.clocks.of_rule(plan).map_or(now, |clock| self.clocks.wall(plan, clock));
                self.with_moment(rule, at, |alerts, moment| alerts.wall_was_set(moment, rule));
            }
        }
    }

    pub(super) fn target(&self, m: &Move) -> Option<(SourceId, Time)> {
        let clock = &self.clocks.sources[m.source];
        let to = clock.at_wall(m.to)?;
        Some((m.source, m.next.map_or(to, |next| to.min(clock.at_line(&next)))))
    }

    fn due_block(&self, source: SourceId, to: Time) -> Option<(Time, SourceId, Time)> {
        if self.sources[source].has_ended {
            return None;
        }
        let due = self.assembler.next_due(source).filter(|due| *due <= to)?;
        Some((self.clocks.sources[source].wall(due), source, due))
    }

    fn due_rule(&self, targets: &[(SourceId, Time)], now: Time) -> Option<(Time, usize, Time)> {
        let mut first: Option<(Time, usize, Time)> = None;
        for rule in self.alerts.order() {
            let plan = &self.plan.rules[rule];
            let Some(due) = self.alerts.next_due(rule) else { continue };
            let reach = if plan.is_on_process_clock() {
                Some(now)
            } else {
                let moved = targets.iter().filter(|t| plan.sources.contains(&t.0)).map(|t| t.1);
                moved.chain(self.clocks.of_rule(plan)).max()
            };
            if reach.is_some_and(|reach| due <= reach) {
                let wall = self.clocks.wall(plan, due);
                if first.as_ref().is_none_or(|f| wall < f.0) {
                    first = Some((wall, rule, due));
                }
            }
        }
        first
    }

    fn run_rule(&mut self, rule: usize, clock: Time, at: Time) {
        let plan = self.plan.clone();
        let changes = self.changes.before(at);
        let is_live = self.is_live(rule);
        let (clocks, digest_key) = (&self.clocks, &self.digest_key);
        let moment = Moment { plan: &plan, clocks, clock, at, changes: &changes, digest_key, is_live };
        let forgotten = self.alerts.run_due(moment, rule);
        for key in forgotten {
            self.registry.rule_value(&self.plan, rule, &key, 0.0);
        }
    }

    /// When the shell must call again at the latest, on the process clock,
    /// for what no line will wake.
    pub fn next_process_due(&self) -> Option<Time> {
        let rules = self.plan.rules.iter().enumerate().filter(|(_, r)| r.is_on_process_clock());
        rules.filter_map(|(i, _)| self.alerts.next_due(i)).chain(self.router.next_due()).min()
    }

    /// The next wall time at which something is due on a source's own clock.
    pub fn next_source_due(&self, source: SourceId) -> Option<Time> {
        let clock = &self.clocks.sources[source];
        let rules = self.plan.rules.iter().enumerate();
        let of_source = rules.filter(|(_, r)| !r.is_on_process_clock() && r.sources.contains(&source));
        let due = of_source.filter_map(|(i, _)| self.alerts.next_due(i));
        due.chain(self.assembler.next_due(source)).min().map(|due| clock.wall(due))
    }

    /// What time it is on a source's clock.
    pub fn source_clock(&self, source: SourceId) -> Option<Time> {
        self.clocks.sources[source].now()
    }

    /// The same as wall time.
    pub(super) fn source_time(&self, source: SourceId) -> Option<Time> {
        self.source_clock(source).map(|clock| self.source_wall(source, clock))
    }

    /// The wall time of an instant of a source's clock.
    pub fn source_wall(&self, source: SourceId, clock: Time) -> Time {
        self.clocks.sources[source].wall(clock)
    }

    /// Where a move would bring the source's clock; `None` before its start.
    pub fn reach(&self, m: &Move) -> Option<Time> {
        self.target(m).map(|(_, clock)| clock)
    }

    /// The process's own time, as far as it is known.
    pub fn process_time(&self) -> Time {
        self.clocks.process
    }
}
