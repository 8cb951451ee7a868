//! A machine whose wall clock is set: what hangs on the wall is asked anew.

use std::sync::Arc;

use tocsin::engine::{Engine, Input};
use tocsin::model::{Boot, Channel, Line, Stream, Time, Transition};

use crate::detectors::plan_of;

const RULE: &str = r#"
[[rule]]
name = "Missing"
type = "schedule"
event = "check"
good = ["ok"]
cron = "0 3 * * *"
grace = "30m"
severity = "critical"
summary = "no good run"
"#;

/// A journal of one boot; each line says what the wall shows and how many
/// hours the boot is old.
struct Machine {
    engine: Engine,
    told: Vec<Transition>,
}

impl Machine {
    fn new() -> Machine {
        Machine { engine: Engine::new(plan_of(RULE), "test", [0; 32]), told: Vec::new() }
    }

    fn line(&mut self, wall: &str, hours: i64, text: &str) {
        let at = Time::parse_rfc3339(wall).unwrap();
        let line = Line {
            stream: Stream { writer: Arc::from("1"), channel: Channel::Any },
            at,
            boot: Some(Boot { id: 1, monotonic: hours * 3_600_000_000_000 }),
            identifier: None,
            text: format!("- {text}"),
            is_cut: false,
            had_invalid_utf8: false,
        };
        self.told.extend(self.engine.handle(Input::Line(0, &line), &[], at).transitions);
    }

    fn told(&self) -> Vec<(String, String)> {
        let told = |t: &Transition| (t.at.to_rfc3339(), format!("{:?}", t.state));
        self.told.iter().map(told).collect()
    }
}

#[test]
fn a_schedule_goes_by_the_wall_when_the_clock_is_set_forward() {
    let mut machine = Machine::new();
    machine.line("2026-03-14T04:00:00Z", 0, "check backup ok");
    machine.line("2026-03-15T09:00:00Z", 1, "some other line");
    assert_eq!(machine.told(), [("2026-03-15T09:00:00.000Z".to_owned(), "Firing".to_owned())]);
}

#[test]
fn a_clock_that_once_stood_in_another_year_hides_no_miss() {
    let mut machine = Machine::new();
    machine.line("2038-01-19T04:00:00Z", 0, "check backup ok");
    machine.line("2026-03-14T04:00:00Z", 1, "some other line");
    machine.line("2026-03-15T05:00:00Z", 26, "some other line");
    assert_eq!(machine.told(), [("2026-03-15T03:30:00.000Z".to_owned(), "Firing".to_owned())]);
}
