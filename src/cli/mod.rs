//! Talks to a person; one file for each subcommand.
//!
//! Exit codes: 0 fine, 1 the thing asked was answered "no", 2 unusable input
//! or configuration, 3 a source or the state cannot be opened.

pub mod check;
pub mod demo;
pub mod files;
pub mod merge;
pub mod replay;
pub mod run;
pub mod send_test;
pub mod state;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The answer was "no".
pub const NO: u8 = 1;
/// Unusable input or configuration.
pub const UNUSABLE: u8 = 2;
/// A source or the state cannot be opened.
pub const CANNOT_OPEN: u8 = 3;

const EXAMPLES: &str = "\
Begin here:
  tocsin demo                                             an incident, played to the real daemon
  tocsin check  --config app.toml                         every mistake, with its line
  tocsin replay --config app.toml --input app=old.log     what would it have said?
  tocsin run    --config app.toml                         the daemon; SIGHUP reads FILE again

Exit codes:
  0  fine
  1  the answer is no: a receiver refused, the state is damaged
  2  the configuration, an input or the command line cannot be used
  3  a source or the state cannot be opened";

const RUN_HELP: &str = "\
Stop it with SIGTERM or Ctrl-C; SIGHUP (systemctl reload) reads the configuration again and
keeps the old one if the new one does not check. The status page stands where [http] listen says.

  tocsin run --config /etc/tocsin/config/tocsin.toml";

const CHECK_HELP: &str = "\
Mistakes go to standard error as FILE:LINE:COLUMN with the line shown; exit code 2 if there is one.

  tocsin check --config app.toml && systemctl reload tocsin";

const DEMO_HELP: &str = "\
Everything it writes lies in a folder under $TMPDIR, which goes when it ends.

  tocsin demo
  tocsin demo --listen 127.0.0.1:9651";

const SEND_TEST_HELP: &str = "\
The answer is printed; exit code 1 if the receiver refused or did not answer.

  tocsin send-test --config app.toml team-slack";

const STATE_HELP: &str = "\
Both work beside a running daemon and change nothing in its state.

  tocsin state check  /var/lib/tocsin
  tocsin state backup /var/lib/tocsin /root/tocsin-state.db";

/// A log-driven health monitor and alerter.
#[derive(Parser, Debug)]
#[command(name = "tocsin", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon.
    #[command(after_help = RUN_HELP)]
    Run {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Validate configuration, rules and receivers.
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run the same engine over old logs and print the alert timeline.
    Replay(replay::Arguments),
    /// Play a shipped incident to the real daemon; needs nothing set up.
    #[command(after_help = DEMO_HELP)]
    Demo {
        /// Where the status page and metrics are served; else 127.0.0.1:9650, or a free port if
        /// that is taken.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Send a marked test notification and print the receiver's answer.
    #[command(after_help = SEND_TEST_HELP)]
    SendTest {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Name of the receiver.
        receiver: String,
    },
    /// Check or copy the state.
    #[command(after_help = STATE_HELP)]
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
}

#[derive(Subcommand, Debug)]
enum StateCommand {
    /// Is the state whole?
    Check {
        /// The state's folder, or the file in it.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Write a consistent copy, also while the daemon runs.
    Backup {
        /// The state's folder, or the file in it.
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// The new file.
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
}

/// Runs the command line; returns the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { UNUSABLE } else { 0 };
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return code;
        }
    };
    match arguments.command {
        Command::Check { config } => {
            let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
            check::check(&config, &mut out, &mut err).unwrap_or(UNUSABLE)
        }
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Run { config } => run::run(&config),
        Command::Demo { listen } => demo::run(listen),
        Command::SendTest { config, receiver } => send_test::run(&config, &receiver),
        Command::State { command: StateCommand::Check { path } } => say(&state::check(&path)),
        Command::State { command: StateCommand::Backup { path, to } } => say(&state::backup(&path, &to)),
    }
}

fn say(answer: &state::Answer) -> u8 {
    if answer.exit_code == CANNOT_OPEN {
        eprintln!("{}", answer.text);
    } else {
        // A closed pipe is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{}", answer.text);
    }
    answer.exit_code
}

/// Prints why a configuration cannot be used; the exit code.
fn refuse(problems: &crate::config::Problems) -> u8 {
    for problem in &problems.0 {
        eprintln!("{problem}\n");
    }
    UNUSABLE
}
