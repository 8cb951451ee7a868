//! A daemon without its doors: two sources, one engine, a clock that jumps to
//! whatever is due next, and a store that is a map.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tocsin::cli::files::Disk;
use tocsin::config::{self, FileSource, Plan};
use tocsin::engine::{Engine, Input, Move};
use tocsin::model::{
    Channel, Gap, Line, Notification, Order, Refusal, SavedRow, SourceState, Stream, Time, Transition,
};

pub const PROXY: usize = 0;
pub const BACKEND: usize = 1;
/// As the daemon's pace has it.
const ON_THEIR_WAY: Duration = Duration::from_secs(2);

/// The shipped events and rules under a main file of the test's own.
struct Shipped(String);

impl Shipped {
    fn main() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/routing-test.toml")
    }
}

impl FileSource for Shipped {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path == Shipped::main() {
            return Ok(self.0.clone());
        }
        Disk { wants_secrets: false }.read(path)
    }
    fn list(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        Disk { wants_secrets: false }.list(pattern)
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn is_world_readable(&self, _: &Path) -> bool {
        false
    }
    fn wants_secrets(&self) -> bool {
        false
    }
}

const MAIN: &str = r#"
state_dir = "state"
[[source]]
name = "crypto-proxy"
type = "file"
paths = ["proxy.log"]
[[source]]
name = "backend"
type = "file"
paths = ["backend.log"]
"#;
pub const RULES: &str = r#"include = ["events/*.toml", "../alerts/crypto.toml"]"#;

/// A plan with these console receivers and this beside it.
pub fn plan_of(head: &str, receivers: &[&str], tail: &str) -> Arc<Plan> {
    let receivers: String =
        receivers.iter().map(|r| format!("[[receiver]]\nname = \"{r}\"\ntype = \"console\"\n")).collect();
    let text = format!("{head}\n{MAIN}{receivers}{tail}");
    match config::compile(&Shipped::main(), &Shipped(text)) {
        Ok(loaded) => Arc::new(loaded.plan),
        Err(problems) => panic!("{problems}"),
    }
}

/// The shipped rules, told to `a` and `b`.
pub fn shipped() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| plan_of(RULES, &["a", "b"], "")).clone()
}

pub struct World {
    pub plan: Arc<Plan>,
    pub engine: Engine,
    pub now: Time,
    /// What `a` was told and not yet asked about.
    pub told: Vec<Notification>,
    /// What everybody was told, ever.
    pub all: Vec<Notification>,
    pub transitions: Vec<Transition>,
    rows: BTreeMap<(&'static str, String), String>,
    states: [SourceState; 2],
    /// A restart after every input.
    pub is_nervous: bool,
    /// Staleness is part of the story; else `told` is without it.
    pub hears_staleness: bool,
}

impl World {
    pub fn new() -> World {
        World::of(shipped())
    }

    pub fn of(plan: Arc<Plan>) -> World {
        let now = Time::parse_rfc3339("2026-03-14T09:00:00Z").unwrap();
        let engine = Engine::restore(plan.clone(), "i", [7; 32], &[]);
        let mut world = World {
            plan,
            engine,
            now,
            told: Vec::new(),
            all: Vec::new(),
            transitions: Vec::new(),
            rows: BTreeMap::new(),
            states: [SourceState::Live, SourceState::Live],
            is_nervous: false,
            hears_staleness: false,
        };
        world.live(PROXY);
        world.live(BACKEND);
        world
    }

    pub fn give(&mut self, input: Input<'_>, moves: &[Move]) -> Option<Result<u64, Refusal>> {
        let output = self.engine.handle(input, moves, self.now);
        let is_heard = |n: &&Notification| {
            n.receiver == "a" && (self.hears_staleness || group(n) != "PortfolioSyncStale")
        };
        self.told.extend(output.notifications.iter().filter(is_heard).cloned());
        self.all.extend(output.notifications);
        self.transitions.extend(output.transitions);
        self.commit();
        if self.is_nervous {
            self.is_nervous = false;
            self.restart();
            self.is_nervous = true;
        }
        output.answer
    }

    /// A person asks for something.
    pub fn order(&mut self, order: Order) -> Result<u64, Refusal> {
        self.give(Input::Order(&order), &[]).expect("an order is answered")
    }

    pub fn close(&mut self, incident: u64, reason: &str) {
        // Closed twice, it is refused.
        let _ = self.order(Order::Close { incident, reason: reason.to_owned() });
    }

    /// Keeps what changed, as the store does.
    fn commit(&mut self) {
        for SavedRow { kind, key, value } in self.engine.take_changes() {
            match value {
                Some(value) => self.rows.insert((kind, key), value),
                None => self.rows.remove(&(kind, key)),
            };
        }
    }

    pub fn rows(&self, of: &str) -> Vec<&String> {
        self.rows.iter().filter(|((kind, _), _)| *kind == of).map(|(_, value)| value).collect()
    }

    /// Alerts whose groups are remembered for `a`.
    pub fn groups(&self) -> Vec<String> {
        let keys = self.rows.keys().filter(|(kind, _)| *kind == "group");
        let keys = keys.map(|(_, key)| serde_json::from_str::<serde_json::Value>(key).unwrap());
        let names = keys.filter(|key| key["receiver"] == "a");
        let names = names.map(|key| key["labels"]["alertname"].as_str().unwrap_or("?").to_owned());
        names.filter(|name| name != "PortfolioSyncStale").collect()
    }

    /// The process ends and starts again, perhaps with another configuration;
    /// its sources are not read yet.
    pub fn stop_and_start(&mut self, plan: Arc<Plan>) {
        let rows: Vec<SavedRow> = self
            .rows
            .iter()
            .map(|((kind, key), value)| SavedRow { kind, key: key.clone(), value: Some(value.clone()) })
            .collect();
        self.plan = plan.clone();
        self.engine = Engine::restore(plan, "i", [7; 32], &rows);
    }

    pub fn reconfigure(&mut self, plan: Arc<Plan>) {
        self.stop_and_start(plan);
        for source in 0..2 {
            match self.states[source].clone() {
                SourceState::Live => self.live(source),
                state => self.state(source, state),
            }
        }
    }

    pub fn restart(&mut self) {
        self.reconfigure(self.plan.clone());
    }

    pub fn live(&mut self, source: usize) {
        let to = Move { source, to: self.now.minus(ON_THEIR_WAY), next: None, starts: true };
        self.give(Input::Advance, &[to]);
        self.state(source, SourceState::Live);
    }

    pub fn behind(&mut self, source: usize) {
        self.state(source, SourceState::Behind);
    }

    fn state(&mut self, source: usize, state: SourceState) {
        self.states[source] = state.clone();
        self.give(Input::State(source, &state), &[]);
    }

    fn is_live(&self, source: usize) -> bool {
        self.states[source] == SourceState::Live
    }

    /// Lets time pass as the daemon does: woken by what is due and nothing else.
    pub fn wait(&mut self, secs: u64) {
        let end = self.now.plus(Duration::from_secs(secs));
        let mut turns = 0;
        while self.now < end {
            let sources = (0..2).filter(|s| self.is_live(*s));
            let of_sources = sources.filter_map(|s| Some(self.engine.next_source_due(s)?.plus(ON_THEIR_WAY)));
            let due = of_sources.chain(self.engine.next_process_due()).min();
            self.now = due.map_or(end, |due| due.clamp(self.now, end));
            self.tick();
            turns += 1;
            assert!(turns < 200 + secs, "the engine asks to be woken again and again");
        }
    }

    pub fn tick(&mut self) {
        let to = self.now.minus(ON_THEIR_WAY);
        let live = (0..2).filter(|s| self.is_live(*s));
        let moves: Vec<Move> = live.map(|source| Move { source, to, next: None, starts: false }).collect();
        self.give(Input::Advance, &moves);
    }

    pub fn line_at(&mut self, source: usize, at: Time, text: &str) {
        let line = Line {
            stream: Stream { writer: Arc::from("1"), channel: Channel::Any },
            at,
            boot: None,
            identifier: None,
            text: text.to_owned(),
            is_cut: false,
            had_invalid_utf8: false,
        };
        self.give(Input::Line(source, &line), &[]);
    }

    pub fn line(&mut self, source: usize, text: &str) {
        self.line_at(source, self.now, text);
    }

    pub fn gap(&mut self, source: usize) {
        let gap = Gap { at: self.now, boot: None, lines: Some(5), why: "suppressed".to_owned() };
        self.give(Input::Gap(source, &gap), &[]);
    }

    pub fn request_at(&mut self, at: Time, method: &str, status: u16, code: i64) {
        let diag = "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG]";
        self.line_at(PROXY, at, &format!("{diag} === PROXY REQUEST START ==="));
        self.line_at(PROXY, at, &format!("{diag} method={method}"));
        self.line_at(PROXY, at, &format!("{diag} response_status={status}"));
        self.line_at(PROXY, at, &format!("{diag} response_body={{"));
        self.line_at(PROXY, at, &format!("  \"code\": {code},"));
        self.line_at(PROXY, at, "  \"message\": \"as it may be\"");
        self.line_at(PROXY, at, "}");
        self.line_at(PROXY, at, &format!("{diag} === PROXY REQUEST END ==="));
    }

    /// So many refused calls at this instant.
    pub fn refused(&mut self, method: &str, times: usize) {
        for _ in 0..times {
            self.request_at(self.now, method, 401, 40101);
        }
    }

    pub fn ok(&mut self, method: &str) {
        self.request_at(self.now, method, 200, 0);
    }

    pub fn sync_ok_at(&mut self, at: Time) {
        let cache = "INFO app.services.portfolio_cache:";
        self.line_at(BACKEND, at, &format!("{cache} Starting portfolio cache update"));
        self.line_at(
            BACKEND,
            at,
            &format!("{cache} Portfolio cache updated successfully. Total USD: $12.00"),
        );
    }

    pub fn sync_ok(&mut self) {
        self.sync_ok_at(self.now);
    }

    pub fn sync_failed(&mut self) {
        self.line(BACKEND, "INFO app.services.portfolio_cache: Starting portfolio cache update");
        self.line(BACKEND, "ERROR app.services.portfolio_cache: Error updating portfolio cache: refused");
    }

    /// What `a` was told since the last question, in short: state, alert and
    /// the methods or severities of its members.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).iter().map(short).collect()
    }
}

/// `firing ExchangeAuthFailing 1: +one -two`: what fires and what has ended.
pub fn short(n: &Notification) -> String {
    let state = match (n.is_firing, n.is_past) {
        (true, _) => "firing",
        (false, false) => "ended",
        (false, true) => "past",
    };
    let member = |a: &tocsin::model::AlertNotice| {
        let sign = if a.is_firing { '+' } else { '-' };
        let name = a.labels.get("method").cloned().unwrap_or_else(|| a.severity.to_string());
        format!(" {sign}{name}")
    };
    let members: String = n.alerts.iter().map(member).collect();
    format!("{state} {} {}:{members}", group(n), n.sequence)
}

/// The alert's name; nothing where it tells of several.
fn group(n: &Notification) -> &str {
    n.group_labels.get("alertname").map_or("", String::as_str)
}

pub fn text<'n>(n: &'n Notification, annotation: &str) -> &'n str {
    n.alerts[0].annotations.get(annotation).map_or("", String::as_str)
}
