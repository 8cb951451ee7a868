//! The binary's entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tocsin::cli::main())
}
