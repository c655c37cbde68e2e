//! Runs `run_local.sh` as a user does. The script runs the binary under test and builds none.

use crate::common::process::{BINARY, run_command};
use crate::common::sandbox::Sandbox;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Runs `run_local.sh` with one argument, and with `settings` in its environment.
pub fn run_local(argument: &Path, settings: &[(&str, &str)]) -> crate::common::process::Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/run_local.sh"));
    command
        .arg(argument)
        .env("PIECEFUL", env!("CARGO_BIN_EXE_pieceful"))
        .envs(settings.iter().copied());
    run_command(command)
}

#[test]
fn three_peers_download_the_file_of_a_fourth() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("it's a file", 7_000_001, 1);
    let output = run_local(&file, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    // Two lines are for the original, and one is for each copy.
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
    for part in [
        "tracker 1 was killed",
        "was started again; both trackers are in step",
    ] {
        assert!(output.stdout.contains(part), "{}", output.stdout);
    }
}

#[test]
fn the_output_of_the_build_is_shown() {
    let sandbox = Sandbox::new();
    let (bin, target) = (sandbox.folder("bin"), sandbox.folder("target/release"));
    symlink(BINARY, target.join("pieceful")).unwrap();
    // A script in place of cargo. Like cargo, it shows nothing with `--quiet`.
    let cargo = format!(
        "#!/bin/sh\ncase $* in\n*--quiet*) ;;\nbuild*) echo '   Compiling it' >&2 ;;\n\
         metadata*) echo '{{\"target_directory\":\"{}\"}}' ;;\nesac\n",
        sandbox.path("target").display()
    );
    std::fs::write(bin.join("cargo"), cargo).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("cargo"), executable).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let settings = [("PIECEFUL", ""), ("PATH", path.as_str())];
    let output = run_local(&sandbox.file("f", 10, 1), &settings);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.starts_with("building; "), "{output:?}");
    assert!(output.stderr.contains("Compiling it"), "{output:?}");
}

#[test]
fn the_error_names_a_missing_file() {
    let output = run_local(Path::new("/no/such/file"), &[]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("/no/such/file"), "{output:?}");
}

#[test]
fn a_malformed_scenario_file_ends_the_run_at_once() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("scenario");
    std::fs::write(folder.join("in1.txt"), "0\n0\n").unwrap();
    std::fs::write(folder.join("in2.txt"), "none\n").unwrap();
    // This file is ignored: it is not called `inR.txt`.
    std::fs::write(folder.join("input.txt"), "any text").unwrap();
    let output = run_local(&folder, &[("WAIT", "3600")]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("in2.txt: line 1:"), "{output:?}");
    assert!(!output.stderr.contains("input.txt"), "{output:?}");
}

#[test]
fn an_empty_file_needs_no_transfer() {
    let sandbox = Sandbox::new();
    let output = run_local(&sandbox.file("empty", 0, 1), &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains("no bytes had to move"),
        "{}",
        output.stdout
    );
    assert!(!output.stdout.contains("from "), "{}", output.stdout);
}

#[test]
fn a_name_that_cannot_be_shared_is_reported_in_words_not_json() {
    let sandbox = Sandbox::new();
    let output = run_local(&sandbox.file("a\\b \"c\"", 10, 1), &[]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.starts_with("error: peer 1: cannot share /"),
        "{output:?}"
    );
    assert!(!output.stderr.contains("\"ok\""), "{output:?}");
}
