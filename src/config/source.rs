//! `[[source]]`: where lines come from.

use jiff::tz::TimeZone;

use super::ground::Ground;
use super::names::unique_names;
use super::plan::{DockerPlan, FileFormat, FilePlan, JournalPlan, SourceKind, SourcePlan, Start};
use super::problem::{Report, Spot, printable};
use super::reader::Table;
use super::units::parse_duration;

/// Default limit of a line.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The limit may be set between these.
const LINE_BYTES: (u64, u64) = (256, 256 << 20);

#[derive(Clone, Copy)]
enum Kind {
    Journal,
    Docker,
    File,
}

/// Reads all sources.
pub(super) fn read(ground: &Ground<'_>) -> Vec<SourcePlan> {
    let report = ground.report;
    let tables = ground.tables("source");
    let names = unique_names(report, "source", &tables, is_source_name, "letters, digits, _, . and -");
    let plans: Vec<SourcePlan> =
        tables.iter().zip(names).map(|(table, name)| one(ground, table, name)).collect();
    plans
}

fn one(ground: &Ground<'_>, table: &Table<'_>, name: String) -> SourcePlan {
    let words = [("journal", Kind::Journal), ("docker", Kind::Docker), ("file", Kind::File)];
    if !table.has("type") {
        table.missing("type", "expected one of journal, docker, file");
    }
    let kind = match table.choice("type", "source type", &words).map(|k| k.value) {
        Some(Kind::Journal) => Some(SourceKind::Journal(journal(ground, table))),
        Some(Kind::Docker) => Some(SourceKind::Docker(docker(table))),
        Some(Kind::File) => Some(SourceKind::File(file(ground, table))),
        None => None,
    };
    let start = table.text("start").and_then(|text| start(table.report, &text)).unwrap_or(Start::End);
    let line_bytes_max = table.size("line_bytes_max").map_or(LINE_BYTES_MAX, |size| {
        if !(LINE_BYTES.0..=LINE_BYTES.1).contains(&size.value) {
            table.report.error(&size.at, "\"line_bytes_max\" is out of range", "expected 256B to 256MiB");
        }
        size.value as usize
    });
    let timezone =
        table.text("timezone").and_then(|text| timezone(table.report, &text)).unwrap_or(TimeZone::UTC);
    // Without a type nobody can say which keys are right.
    let kind = match kind {
        Some(kind) => {
            table.finish();
            kind
        }
        None => SourceKind::File(FilePlan::default()),
    };
    SourcePlan { name, kind, start, line_bytes_max, timezone }
}

fn journal(ground: &Ground<'_>, table: &Table<'_>) -> JournalPlan {
    let report = table.report;
    let unit = table.need_unit();
    let mut matches = Vec::new();
    for text in table.texts("matches") {
        let is_valid = text.value.split_once('=').is_some_and(|(field, _)| {
            !field.is_empty()
                && field.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        });
        if !is_valid {
            report.error(
                &text.at,
                format!("\"{}\" is no match of a journal field", printable(text.value)),
                "expected FIELD=value, such as \"SYSLOG_IDENTIFIER=python\"",
            );
        }
        matches.push(text.value.to_owned());
    }
    let path = |text: Spot<&str>| ground.resolve(&text);
    let plan = JournalPlan {
        unit,
        matches,
        directory: table.text("directory").map(path),
        files: table.texts("files").into_iter().map(path).collect(),
        namespace: table.text("namespace").map(|t| t.value.to_owned()),
    };
    let places = [plan.directory.is_some(), !plan.files.is_empty(), plan.namespace.is_some()];
    if places.iter().filter(|given| **given).count() > 1 {
        report.error(
            &table.at,
            "more than one of \"directory\", \"files\" and \"namespace\"",
            "expected at most one of them",
        );
    }
    plan
}

impl Table<'_> {
    /// `unit`, completed as systemctl does.
    fn need_unit(&self) -> Option<String> {
        let text = self.text("unit")?;
        let unit = text.value;
        if unit.is_empty() || unit.contains(|c: char| c.is_whitespace() || "*?[/".contains(c)) {
            self.report.error(
                &text.at,
                format!("\"{}\" is no name of a unit", printable(unit)),
                "expected a unit such as \"nginx.service\"; for patterns use \"matches\"",
            );
            return None;
        }
        Some(if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") })
    }
}

fn docker(table: &Table<'_>) -> DockerPlan {
    let own = |key| table.text(key).map(|t| t.value.to_owned());
    let plan = DockerPlan {
        service: own("service"),
        project: own("project"),
        name: own("container"),
        labels: table.texts("labels").iter().map(|t| t.value.to_owned()).collect(),
        host: table.text("host").map(|text| {
            if !["unix://", "tcp://", "http://"].iter().any(|scheme| text.value.starts_with(scheme)) {
                table.report.error(
                    &text.at,
                    format!("\"{}\" is no address of a Docker engine", printable(text.value)),
                    "expected unix:///path or tcp://host:port",
                );
            }
            text.value.to_owned()
        }),
    };
    if plan.service.is_none() && plan.project.is_none() && plan.name.is_none() && plan.labels.is_empty() {
        table.report.error(
            &table.at,
            "nothing says which containers",
            "expected at least one of service, project, container, labels",
        );
    }
    plan
}

fn file(ground: &Ground<'_>, table: &Table<'_>) -> FilePlan {
    let texts = table.texts("paths");
    if texts.is_empty() {
        table.missing("paths", "expected one path or glob, or a list of them");
    }
    let formats = [("plain", FileFormat::Plain), ("docker-json", FileFormat::DockerJson)];
    let format = table.choice("format", "format", &formats).map(|f| f.value).unwrap_or_default();
    FilePlan {
        paths: texts.iter().map(|text| ground.resolve(text).to_string_lossy().into_owned()).collect(),
        format,
    }
}

fn start(report: &Report, text: &Spot<&str>) -> Option<Start> {
    match text.value {
        "end" => Some(Start::End),
        "beginning" => Some(Start::Beginning),
        span => match parse_duration(span) {
            Some(span) => Some(Start::Ago(span)),
            None => {
                report.error(
                    &text.at,
                    format!("\"{}\" is no start", printable(span)),
                    "expected \"end\", \"beginning\" or a span such as \"1h\"",
                );
                None
            }
        },
    }
}

/// A time zone by its name in the tz database.
pub(super) fn timezone(report: &Report, text: &Spot<&str>) -> Option<TimeZone> {
    if text.value.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    match TimeZone::get(text.value) {
        Ok(zone) => Some(zone),
        Err(_) => {
            report.error(
                &text.at,
                format!("unknown time zone \"{}\"", printable(text.value)),
                "expected a name such as \"UTC\" or \"Europe/Berlin\"",
            );
            None
        }
    }
}

/// `=` would end the name in `replay --input SOURCE=PATH`.
fn is_source_name(name: &str) -> bool {
    name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !name.starts_with('-')
}
