//! `tocsin state check|backup`: is the state whole, and a copy of it.
//!
//! Both work beside a running daemon and change nothing in its state.

use std::path::Path;

use crate::daemon;
use crate::store::{self, Error, Inspection};

/// What a subcommand says and ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output, or standard error if `exit_code` is 3; ends
    /// without a line end.
    pub text: String,
    /// 0 fine, 1 the state is damaged, 3 it cannot be opened (or the copy not
    /// written).
    pub exit_code: u8,
}

/// Checks the state at `path`: the state folder or the file in it.
pub fn check(path: &Path) -> Answer {
    match store::inspect(path) {
        Ok(found) => Answer { text: words(path, &found), exit_code: u8::from(!found.is_sound()) },
        Err(error) => failed(&error),
    }
}

/// Copies the state at `path` (the state folder or the file in it) to the new
/// file `to`, consistent whatever the daemon does meanwhile.
pub fn backup(path: &Path, to: &Path) -> Answer {
    match store::backup(path, to) {
        Ok(bytes) => {
            let text = format!(
                "{}: a checked copy, {bytes} bytes. To use it: stop tocsin, move the old state.db* \
                 away, put it in their place as state.db",
                to.display()
            );
            Answer { text, exit_code: 0 }
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Answer {
    let exit_code = if matches!(error, Error::Damaged { .. }) { 1 } else { 3 };
    Answer { text: format!("error: {}", daemon::with_causes(error)), exit_code }
}

fn words(path: &Path, found: &Inspection) -> String {
    let mut lines = Vec::new();
    let verdict = if found.is_sound() { "sound" } else { "NOT SOUND" };
    lines.push(format!("{}: {verdict}", path.display()));
    lines.extend(found.faults.iter().map(|fault| format!("  fault: {fault}")));
    if let Some(instance) = &found.instance {
        lines.push(format!("  instance {instance}, schema {} of {}", found.version, found.version_known));
        lines.push(format!(
            "  {} bytes, {} open incidents, {} notifications waiting",
            found.bytes, found.open_incidents, found.outbox_pending
        ));
        let rows: Vec<String> = found.rows.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
        lines.push(format!("  rows: {}", rows.join(", ")));
    }
    if !found.is_sound() {
        lines.push(
            "  what to do: stop tocsin, move state.db* away, and put a copy from `tocsin state backup` \
             in their place as state.db; without one tocsin starts anew"
                .to_owned(),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::fs;

    #[test]
    fn a_sound_state_is_said_to_be_and_its_copy_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let answer = check(dir.path());
        assert_eq!(answer.exit_code, 0, "{answer:?}");
        assert!(answer.text.contains("sound") && answer.text.contains(store.instance()), "{answer:?}");
        let to = dir.path().join("copy.db");
        assert_eq!(backup(dir.path(), &to).exit_code, 0);
        assert_eq!(check(&to).exit_code, 0);
        let again = backup(dir.path(), &to);
        assert!(again.exit_code == 3 && again.text.contains("exists already"), "{again:?}");
    }

    #[test]
    fn a_damaged_state_is_answered_with_1_and_one_that_is_not_there_with_3() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let path = dir.path().join("state.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let answer = check(dir.path());
        assert!(answer.exit_code == 1 && answer.text.contains("fault: "), "{answer:?}");
        assert_eq!(backup(dir.path(), &dir.path().join("copy.db")).exit_code, 1);
        assert!(!dir.path().join("copy.db").exists() && !dir.path().join("copy.db.new").exists());
        assert_eq!(check(&dir.path().join("none")).exit_code, 3);
    }
}
