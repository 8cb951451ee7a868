//! Talks to a person; one file for each subcommand.
//!
//! Exit codes: 0 fine, 1 the thing asked was answered "no", 2 unusable input
//! or configuration, 3 a source or the state cannot be opened.

pub mod ask;
pub mod check;
pub mod demo;
pub mod files;
pub mod merge;
mod own_log;
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

const SILENCE_HELP: &str = "\
A silence keeps notices back and changes no alert; who was told of a firing is told of its end.

  tocsin silence add --config app.toml --for 2h --by anna --comment upgrade severity=warning
  tocsin silence list --config app.toml
  tocsin silence expire --config app.toml 3";

const ACK_HELP: &str = "\
A higher severity and the end are told all the same. `tocsin status` shows the numbers.

  tocsin ack --config app.toml 17 --by anna --comment \"the key is being replaced\"";

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
    /// Ask the running daemon how things stand.
    Status {
        #[command(flatten)]
        daemon: ask::Daemon,
        /// How to print it.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Keep notices of alerts back for a time.
    #[command(after_help = SILENCE_HELP)]
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
    /// Say that you see to an incident: no more reminders of it.
    #[command(after_help = ACK_HELP)]
    Ack {
        #[command(flatten)]
        daemon: ask::Daemon,
        /// Number of the incident.
        incident: u64,
        /// Who; else $USER.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// What is being done.
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
    },
    /// End an incident by hand; it is told as resolved.
    Close {
        #[command(flatten)]
        daemon: ask::Daemon,
        /// Number of the incident.
        incident: u64,
        /// Why; stands in the notice of its end.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Make the running daemon read its configuration again.
    Reload {
        #[command(flatten)]
        daemon: ask::Daemon,
    },
    /// Check or copy the state.
    #[command(after_help = STATE_HELP)]
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
}

/// How an answer is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Subcommand, Debug)]
enum SilenceCommand {
    /// Begin one; prints its number.
    Add(ask::NewSilence),
    /// Those that are or will be in force.
    List {
        #[command(flatten)]
        daemon: ask::Daemon,
        /// Also those that are over.
        #[arg(long)]
        all: bool,
        /// How to print it.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// End one.
    Expire {
        #[command(flatten)]
        daemon: ask::Daemon,
        /// Its number.
        number: u64,
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
        Command::Status { daemon, format } => ask::status(&daemon, format == Format::Json),
        Command::Silence { command: SilenceCommand::Add(new) } => ask::add_silence(&new),
        Command::Silence { command: SilenceCommand::List { daemon, all, format } } => {
            ask::list_silences(&daemon, all, format == Format::Json)
        }
        Command::Silence { command: SilenceCommand::Expire { daemon, number } } => {
            ask::expire_silence(&daemon, number)
        }
        Command::Ack { daemon, incident, by, comment } => {
            ask::acknowledge(&daemon, incident, by.as_ref(), &comment)
        }
        Command::Close { daemon, incident, reason } => ask::close(&daemon, incident, &reason),
        Command::Reload { daemon } => ask::reload(&daemon),
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
