//! Opens a journal and says in words why it cannot be read.
//!
//! libsystemd opens a journal without complaint when it may read none of its
//! files, so the rights are looked at here: nothing readable is an error with
//! its remedy, an empty journal is merely quiet.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use systemd::Journal;
use systemd::journal::{OpenDirectoryOptions, OpenFilesOptions, OpenOptions};

use crate::config::plan::JournalPlan;
use crate::decode::entry::{COREDUMP_MESSAGE_ID, DROPPED_MESSAGE_ID, unit_name};

/// Where journald keeps its files.
const ROOTS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];
/// A file shrank under its reader.
pub(super) const CUT: &str = "a file of the journal was cut off while it was read";
/// Journal files looked at in one folder.
const FILES_MAX: usize = 10_000;

/// Opens the journal of a plan, without matches. `line_bytes_max` bounds what
/// libsystemd unpacks of a field: whole messages up to the limit, no more.
pub(super) fn open(plan: &JournalPlan, line_bytes_max: usize) -> Result<Journal, String> {
    may_read(plan)?;
    let opened = if !plan.files.is_empty() {
        let files: Vec<String> = plan.files.iter().map(|f| f.to_string_lossy().into_owned()).collect();
        OpenFilesOptions::default().open_files(files.iter())
    } else if let Some(directory) = &plan.directory {
        OpenDirectoryOptions::default().open_directory(directory.to_string_lossy().into_owned())
    } else if let Some(namespace) = &plan.namespace {
        OpenOptions::default().local_only(true).open_namespace(namespace)
    } else {
        OpenOptions::default().local_only(true).open()
    };
    let mut journal = opened.map_err(|error| format!("cannot open the journal: {error}"))?;
    let threshold = line_bytes_max.saturating_add(64);
    journal.set_data_threshold(threshold).map_err(|error| format!("cannot open the journal: {error}"))?;
    // Watches are set up now, before any position is taken, so that no file can
    // appear unseen.
    journal.fd().map_err(|error| format!("cannot watch the journal: {error}"))?;
    Ok(journal)
}

/// Adds what a plan selects. A unit's terms are those of `journalctl -u`: its
/// own entries, its core dumps, systemd's lines about it, and those of root's
/// daemons about it. Further matches must hold as well, but for journald's own
/// notice of dropped messages, which comes from journald and not from the unit.
pub(super) fn select(journal: &mut Journal, plan: &JournalPlan) -> Result<(), String> {
    let matches: Vec<(&str, &str)> = plan.matches.iter().filter_map(|m| m.split_once('=')).collect();
    if matches.len() != plan.matches.len() {
        return Err("a journal match is not of the form FIELD=value".to_owned());
    }
    add_terms(journal, plan, &matches).map_err(|error| format!("cannot select in the journal: {error}"))
}

fn add_terms(journal: &mut Journal, plan: &JournalPlan, matches: &[(&str, &str)]) -> systemd::Result<()> {
    if let Some(unit) = plan.unit.as_deref().map(unit_name) {
        let unit = unit.as_str();
        journal.match_add("_SYSTEMD_UNIT", unit)?.match_or()?;
        journal.match_add("MESSAGE_ID", COREDUMP_MESSAGE_ID)?.match_add("_UID", "0")?;
        journal.match_add("COREDUMP_UNIT", unit)?.match_or()?;
        journal.match_add("_PID", "1")?.match_add("UNIT", unit)?.match_or()?;
        journal.match_add("_UID", "0")?.match_add("OBJECT_SYSTEMD_UNIT", unit)?;
        if unit.ends_with(".slice") {
            journal.match_or()?.match_add("_SYSTEMD_SLICE", unit)?;
        }
        journal.match_and()?;
    }
    if matches.is_empty() {
        return Ok(());
    }
    for (field, value) in matches {
        journal.match_add(field, *value)?;
    }
    let named =
        matches.iter().filter(|(field, _)| *field == "_SYSTEMD_UNIT").map(|(_, unit)| (*unit).to_owned());
    journal.match_or()?.match_add("MESSAGE_ID", DROPPED_MESSAGE_ID)?;
    let units: Vec<String> = plan.unit.as_deref().map(unit_name).into_iter().chain(named).collect();
    // Without one, which units the entries come from shows as they are read.
    for unit in units {
        journal.match_add("OBJECT_SYSTEMD_UNIT", unit)?;
    }
    Ok(())
}

/// What would make libsystemd's watches blind if it were replaced: the
/// directories, and the files that are named one by one, as `(device, inode)`.
pub(super) fn census(plan: &JournalPlan) -> BTreeSet<(PathBuf, u64, u64)> {
    let mut seen = BTreeSet::new();
    let mut note = |path: &Path| {
        if let Ok(meta) = fs::metadata(path) {
            seen.insert((path.to_owned(), meta.dev(), meta.ino()));
        }
    };
    plan.files.iter().for_each(|file| note(file));
    if plan.files.is_empty() {
        for root in roots(plan) {
            note(&root);
            folders(&root).iter().for_each(|folder| note(folder));
        }
    }
    seen
}

fn roots(plan: &JournalPlan) -> Vec<PathBuf> {
    match &plan.directory {
        Some(directory) => vec![directory.clone()],
        None => ROOTS.iter().map(PathBuf::from).collect(),
    }
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).take(1_024).collect()
}

/// Whether the plan's journal is there and may be read; says why not, with the
/// remedy.
pub(super) fn may_read(plan: &JournalPlan) -> Result<(), String> {
    for file in &plan.files {
        fs::File::open(file).map_err(|error| cannot_read(file, &error))?;
    }
    if !plan.files.is_empty() {
        return Ok(());
    }
    let roots = roots(plan);
    if let Some(directory) = &plan.directory {
        fs::read_dir(directory).map_err(|error| cannot_read(directory, &error))?;
    } else if roots.iter().all(|root| !root.exists()) {
        return Err("there is no journal on this machine (neither /run/log/journal nor /var/log/journal); \
                    is systemd-journald running? For another place set `directory`"
            .to_owned());
    }
    let mut readable = 0;
    let mut refused = None;
    for root in &roots {
        for folder in folders(root).iter().chain([root]) {
            match fs::read_dir(folder) {
                Ok(files) => {
                    let files = files.flatten().map(|file| file.path()).filter(|path| is_journal_file(path));
                    look_at(files, &mut readable, &mut refused)?;
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    refused = Some((folder.clone(), error))
                }
                Err(_) => {}
            }
        }
    }
    match refused {
        Some((path, error)) if readable == 0 => Err(cannot_read(&path, &error)),
        _ => Ok(()),
    }
}

/// Counts the files that may be read. A user sees his own journal without being
/// a member of anything, so one readable file proves little: the system's
/// own must be readable.
fn look_at(
    files: impl Iterator<Item = PathBuf>,
    readable: &mut usize,
    refused: &mut Option<(PathBuf, std::io::Error)>,
) -> Result<(), String> {
    for file in files.take(FILES_MAX) {
        match fs::File::open(&file) {
            Ok(_) => *readable += 1,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("system")) {
                    return Err(cannot_read(&file, &error));
                }
                *refused = Some((file, error));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// The plan's journal files, as they are on the disk.
pub(super) fn files(plan: &JournalPlan) -> Vec<PathBuf> {
    if !plan.files.is_empty() {
        return plan.files.clone();
    }
    let roots = roots(plan);
    let all = roots.iter().flat_map(|root| folders(root).into_iter().chain([root.clone()]));
    let files = all.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX));
    files.map(|file| file.path()).filter(|path| is_journal_file(path)).collect()
}

fn is_journal_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal" || extension == "journal~")
}

fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "; add the user of this process to the group systemd-journal",
        ErrorKind::NotFound => "; check the source's `directory` or `files`",
        _ => "",
    };
    format!("cannot read {}: {error}{remedy}", path.display())
}
