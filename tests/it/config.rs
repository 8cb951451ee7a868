//! The configuration: text to plan, and every mistake with its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tocsin::config::{self, FileSource, Loaded, Plan, Problem, Problems};

mod detectors;
mod files;
mod mistakes;
mod receivers;
mod routes;
mod shipped;

/// A right configuration; the cases below stand before it.
pub const BASE: &str = r#"
[[source]]
name = "app"
type = "file"
paths = "/var/log/app.log"
[[event]]
name = "request"
source = "app"
match = 'status=(?P<status>\d+)'
[event.fields]
status = "int"
[[event.outcome]]
name = "failed"
when = 'event.status >= 500'
[[event.outcome]]
name = "ok"
[[rule]]
name = "Failing"
type = "streak"
severity = "critical"
event = "request"
bad = ["failed"]
good = ["ok"]
count = 3
summary = "{{value}} in a row"
"#;

#[derive(Default)]
struct Memory {
    files: BTreeMap<PathBuf, String>,
    env: BTreeMap<String, String>,
    open_to_all: Vec<PathBuf>,
    is_offline: bool,
}

impl Memory {
    fn with(files: &[(&str, &str)]) -> Memory {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
        Memory { files: files.collect(), ..Memory::default() }
    }

    fn compile(&self) -> Result<Loaded, Problems> {
        config::compile(Path::new("etc/tocsin.toml"), self)
    }
}

impl FileSource for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
    fn list(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(&pattern.to_string_lossy()).map_err(|e| e.to_string())?;
        Ok(self.files.keys().filter(|path| pattern.matches_path(path)).cloned().collect())
    }
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
    fn is_world_readable(&self, path: &Path) -> bool {
        self.open_to_all.iter().any(|open| open == path)
    }
    fn wants_secrets(&self) -> bool {
        !self.is_offline
    }
}

fn shipped() -> Plan {
    let loaded = tocsin::cli::files::load(Path::new("config/tocsin.toml"));
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, [], "the shipped configuration has no warnings");
    loaded.plan
}

fn problems_of(text: &str) -> Vec<Problem> {
    match Memory::with(&[("etc/tocsin.toml", text)]).compile() {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.0,
    }
}

fn plan_of(text: &str) -> Plan {
    let loaded = Memory::with(&[("etc/tocsin.toml", text)]).compile();
    loaded.unwrap_or_else(|problems| panic!("{problems}")).plan
}
