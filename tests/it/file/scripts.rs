//! Any mixture of writing, rotating and restarting.

use proptest::prelude::*;

use super::*;

/// What happens to the files, and when the reader is stopped and started.
#[derive(Clone, Debug)]
enum Step {
    /// Whole lines.
    Lines(usize),
    /// The beginning of a line; the next write ends it.
    Half,
    Rename,
    /// After everything was read; the reader sees it before the next step.
    CopyTruncate,
    /// The same while no reader runs.
    CopyTruncateWhileDown,
    /// Stop after taking so many batches, start with the cursor of the last.
    Restart(usize),
    /// Wait until the reader has everything.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1usize..40).prop_map(Step::Lines),
        2 => Just(Step::Half),
        2 => Just(Step::Rename),
        1 => Just(Step::CopyTruncate),
        1 => Just(Step::CopyTruncateWhileDown),
        4 => (0usize..4).prop_map(Step::Restart),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Moves every rotated file one number up.
fn make_room(folder: &Path, rotations: &mut usize) {
    *rotations += 1;
    for older in (1..*rotations).rev() {
        let rotated = |n: usize| folder.join(format!("app.log.{n}"));
        fs::rename(rotated(older), rotated(older + 1)).unwrap();
    }
}

fn copy_and_truncate(folder: &Path, log: &Path, rotations: &mut usize) {
    make_room(folder, rotations);
    fs::copy(log, folder.join("app.log.1")).unwrap();
    File::create(log).unwrap();
}

/// Runs a script; gives what was written and what was delivered.
fn run_script(steps: &[Step], plan_of: impl Fn(&Path) -> SourcePlan) -> (Vec<String>, Vec<String>, Vec<Gap>) {
    let (folder, log) = folder();
    let plan = plan_of(&log);
    let (mut written, mut delivered, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_half = false;
    let mut rotations = 0;
    let mut source = Running::start(&plan, None);
    // Without a first position there is nothing to resume.
    source.until_live();
    let end_half = |is_half: &mut bool, written: &mut Vec<String>| {
        if std::mem::take(is_half) {
            append(&log, " end\n");
            written.push(format!("half {} end", written.len()));
        }
    };
    for step in steps.iter().chain([&Step::Settle]) {
        match step {
            Step::Lines(count) => {
                end_half(&mut is_half, &mut written);
                for _ in 0..*count {
                    let line = format!("line {} {}", written.len(), "-".repeat(written.len() * 7 % 90));
                    append(&log, &format!("{line}\n"));
                    written.push(line);
                }
            }
            Step::Half => {
                end_half(&mut is_half, &mut written);
                append(&log, &format!("half {}", written.len()));
                is_half = true;
            }
            Step::Rename => {
                end_half(&mut is_half, &mut written);
                if log.exists() {
                    make_room(folder.path(), &mut rotations);
                    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
                }
            }
            Step::CopyTruncate | Step::CopyTruncateWhileDown => {
                end_half(&mut is_half, &mut written);
                if !log.exists() {
                    continue;
                }
                let is_down = matches!(step, Step::CopyTruncateWhileDown);
                if is_down {
                    delivered.extend(source.texts().into_iter().map(str::to_owned));
                    gaps.append(&mut source.gaps);
                    let cursor = source.stop();
                    copy_and_truncate(folder.path(), &log, &mut rotations);
                    source = Running::start(&plan, cursor);
                } else {
                    let wanted = written.len() - delivered.len();
                    source.until("everything before the copy", |r| r.lines.len() >= wanted);
                    copy_and_truncate(folder.path(), &log, &mut rotations);
                }
                written.push(format!("truncated {}", written.len()));
                append(&log, &format!("truncated {}\n", written.len() - 1));
                let wanted = written.len() - delivered.len();
                source.until("the line after the copy", |r| r.lines.len() >= wanted);
            }
            Step::Restart(batches) => {
                for _ in 0..*batches {
                    source.take_one();
                }
                delivered.extend(source.texts().into_iter().map(str::to_owned));
                gaps.append(&mut source.gaps);
                let cursor = source.stop();
                source = Running::start(&plan, cursor);
            }
            Step::Settle => {
                let before = delivered.len();
                let wanted = written.len();
                source.until("everything written", |r| before + r.lines.len() >= wanted);
            }
        }
    }
    delivered.extend(source.texts().into_iter().map(str::to_owned));
    gaps.append(&mut source.gaps);
    source.end();
    (written, delivered, gaps)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 60,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_260_314),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_script_with_restarts_delivers_what_was_written(steps in steps()) {
        let (written, delivered, gaps) = run_script(&steps, |log| plan(&[log]));
        prop_assert_eq!(delivered, written);
        prop_assert!(gaps.is_empty(), "{:?}", gaps);
    }
}
