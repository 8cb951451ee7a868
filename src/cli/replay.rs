//! `tocsin replay`: the same engine over old logs, on the logs' own clock.
//!
//! It opens the inputs, hands what [`super::merge`] makes of them to the engine
//! and prints what comes of it. Sends nothing, touches no state.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::merge::{Merge, Readings, Until};
use super::{CANNOT_OPEN, UNUSABLE, files};
use crate::config::Plan;
use crate::config::plan::{SourceKind, SourcePlan};
use crate::engine::{Engine, Output};
use crate::model::{SourceId, Time, TransitionState};
use crate::{http, load, source, timeline};

/// Readings waiting between a reader's thread and the merge.
const QUEUE_READINGS: usize = 4_096;

/// What `tocsin replay` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Inputs are told apart by content: a native journal file or folder, journalctl's
export, json, short-iso and short-iso-precise, docker logs -t, docker compose
logs, Docker's *-json.log and plain text.

  tocsin replay --config config/tocsin.toml --input NAME=app.log
  tocsin replay --config config/tocsin.toml --since 7d")]
pub struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A log and the source it belongs to; without any the configured sources
    /// themselves are read.
    #[arg(long = "input", value_name = "SOURCE=PATH")]
    inputs: Vec<String>,
    /// Drop what is earlier: a time, or a span before now such as 7d.
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Drop what is later, and let the clock run on until then: a time, or
    /// +20m after the last line.
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// How the timeline is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the final metrics there; - is standard output, after the timeline.
    #[arg(long, value_name = "PATH")]
    metrics: Option<PathBuf>,
    /// Show pending alerts too.
    #[arg(long)]
    verbose: bool,
}

/// How the timeline is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    Text,
    Json,
}

/// Runs it; returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    let loaded = match files::load_without_secrets(&arguments.config) {
        Ok(loaded) => loaded,
        Err(problems) => return super::refuse(&problems),
    };
    let plan = Arc::new(loaded.plan);
    let times = match times(arguments) {
        Ok(times) => times,
        Err(error) => {
            eprintln!("error: {error:#}");
            return UNUSABLE;
        }
    };
    let inputs = match inputs(arguments, &plan, times.0) {
        Ok(inputs) => inputs,
        Err((code, error)) => {
            eprintln!("error: {error:#}");
            return code;
        }
    };
    let engine = Engine::new(plan, "replay", [0; 32]).without_notices();
    let mut replay = Replay { engine, merge: Merge::new(inputs, times.0, times.1), arguments };
    match replay.run() {
        Ok(code) => code,
        // Nobody reads any more.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            eprintln!("error: cannot write: {error}");
            UNUSABLE
        }
    }
}

struct Replay<'a> {
    engine: Engine,
    merge: Merge,
    arguments: &'a Arguments,
}

impl Replay<'_> {
    fn run(&mut self) -> std::io::Result<u8> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        while let Some(step) = self.merge.step() {
            let output = step.run(&mut self.engine);
            self.print(&mut out, &output)?;
        }
        out.flush()?;
        if let Some(path) = &self.arguments.metrics {
            let text = http::exposition(&self.engine.families());
            if path.as_os_str() == "-" {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            } else if let Err(error) = std::fs::write(path, text) {
                eprintln!("error: cannot write {}: {error}", path.display());
                return Ok(UNUSABLE);
            }
        }
        if let Some(error) = self.merge.failed() {
            eprintln!("error: {}", self.engine.plan().redactor.redact(&format!("{error:#}")));
            return Ok(CANNOT_OPEN);
        }
        Ok(0)
    }

    fn print(&self, out: &mut impl Write, output: &Output) -> std::io::Result<()> {
        for transition in &output.transitions {
            if transition.state == TransitionState::Pending && !self.arguments.verbose {
                continue;
            }
            match self.arguments.format {
                Format::Json => writeln!(out, "{}", timeline::json_line(transition))?,
                Format::Text => writeln!(out, "{}", timeline::text_line(transition))?,
            }
        }
        Ok(())
    }
}

type Inputs = Result<Vec<(SourceId, Readings)>, (u8, anyhow::Error)>;

fn inputs(arguments: &Arguments, plan: &Arc<Plan>, since: Option<Time>) -> Inputs {
    let mut inputs = Vec::new();
    for input in &arguments.inputs {
        let (name, path) = input
            .split_once('=')
            .with_context(|| format!("--input {input}: expected SOURCE=PATH"))
            .map_err(|e| (UNUSABLE, e))?;
        let source =
            plan.source(name).with_context(|| unknown_source(plan, name)).map_err(|e| (UNUSABLE, e))?;
        let readings = opened(&PathBuf::from(path), plan, source).map_err(|e| (UNUSABLE, e))?;
        inputs.push((source, readings));
    }
    if arguments.inputs.is_empty() {
        for source in 0..plan.sources.len() {
            let readings = live(plan, source, since).map_err(|e| (CANNOT_OPEN, e))?;
            inputs.extend(readings.into_iter().map(|readings| (source, readings)));
        }
    }
    Ok(inputs)
}

fn unknown_source(plan: &Plan, name: &str) -> String {
    let names: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
    format!("--input {name}=…: no source has that name; there are: {}", names.join(", "))
}

fn opened(path: &std::path::Path, plan: &Arc<Plan>, source: SourceId) -> anyhow::Result<Readings> {
    match load::open(path, &plan.sources[source])? {
        load::Opened::Readings(readings) => {
            let path = path.to_owned();
            Ok(Box::new(
                readings.map(move |r| r.with_context(|| format!("{}: cannot be read on", path.display()))),
            ))
        }
        load::Opened::NativeJournal(files) => {
            let mut journal = match &plan.sources[source].kind {
                SourceKind::Journal(journal) => journal.clone(),
                _ => Default::default(),
            };
            (journal.directory, journal.namespace) = (None, None);
            journal.files = files;
            let what = format!("source {}: {}", plan.sources[source].name, path.display());
            Ok(threaded(plan.sources[source].clone(), journal, None, what))
        }
    }
}

/// The configured source itself, from `since`.
fn live(plan: &Arc<Plan>, source: SourceId, since: Option<Time>) -> anyhow::Result<Vec<Readings>> {
    let of = &plan.sources[source];
    match &of.kind {
        SourceKind::Journal(journal) => {
            Ok(vec![threaded(of.clone(), journal.clone(), since, format!("source {}", of.name))])
        }
        SourceKind::File(file) => {
            let mut all = Vec::new();
            for pattern in &file.paths {
                let found = glob::glob(pattern).with_context(|| format!("source {}: {pattern}", of.name))?;
                let paths: Vec<PathBuf> = found.flatten().collect();
                if paths.is_empty() {
                    return Err(anyhow!("source {}: there is no such file: {pattern}", of.name));
                }
                for path in paths {
                    all.push(opened(&path, plan, source)?);
                }
            }
            Ok(all)
        }
        SourceKind::Docker(_) => {
            Err(anyhow!("source {}: give its log with --input {}=PATH", of.name, of.name))
        }
    }
}

/// A journal read on a thread of its own: libsystemd pushes, the merge pulls.
/// `what` it is stands before its errors.
fn threaded(
    of: SourcePlan,
    journal: crate::config::plan::JournalPlan,
    since: Option<Time>,
    what: String,
) -> Readings {
    let (sender, receiver) = std::sync::mpsc::sync_channel(QUEUE_READINGS);
    std::thread::spawn(move || {
        let mut each = |reading| match sender.send(Ok(reading)) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        };
        if let Err(error) = source::journal::read(&of, &journal, since, &mut each) {
            let _ = sender.send(Err(anyhow!(error).context(what)));
        }
    });
    Box::new(receiver.into_iter())
}

fn times(arguments: &Arguments) -> anyhow::Result<(Option<Time>, Option<Until>)> {
    let since = arguments.since.as_deref().map(|text| match span(text) {
        Some(span) => Ok(crate::clock::wall().minus(span)),
        None => Time::parse_rfc3339(text).with_context(|| {
            format!("--since {text}: expected a time such as 2026-03-14T09:00:00Z or a span such as 7d")
        }),
    });
    let until = arguments.until.as_deref().map(|text| match text.strip_prefix('+').and_then(span) {
        Some(span) => Ok(Until::After(span)),
        None => Time::parse_rfc3339(text).map(Until::At).with_context(|| format!("--until {text}: expected a time such as 2026-03-14T09:00:00Z or a span after the last line such as +20m")),
    });
    Ok((since.transpose()?, until.transpose()?))
}

fn span(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    span.try_into().ok()
}
