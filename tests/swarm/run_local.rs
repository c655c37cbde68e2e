//! `run_local.sh` as typed, with the binary under test instead of one it builds.

use crate::support::{Sandbox, wait_for_end};
use std::path::Path;
use std::process::Command;

pub fn run_local(argument: &Path, settings: &[(&str, &str)]) -> crate::support::Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/run_local.sh"));
    command
        .arg(argument)
        .env("PIECEFUL", env!("CARGO_BIN_EXE_pieceful"))
        .envs(settings.iter().copied());
    wait_for_end(command)
}

#[test]
fn a_file_of_ones_own_ends_on_four_peers() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("it's a file", 7_000_001, 1);
    let output = run_local(&file, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        output.stdout.matches("SHA-1").count(),
        5,
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("21000003 bytes moved"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_file_that_is_missing_is_told() {
    let output = run_local(Path::new("/no/such/file"), &[]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("/no/such/file"), "{output:?}");
}
