//! The binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    pieceful::cli::run(std::env::args_os())
}
