//! Starts commands that attach.

use crate::common::process::{BINARY, KilledOnDrop, Output, command, run};
use crate::common::sandbox::Sandbox;
use serde_json::Value;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The arguments of a command that attaches to the peer called `name`.
pub(crate) fn arguments(sandbox: &Sandbox, name: &str, more: &[&str]) -> Vec<String> {
    let state = sandbox.state(name);
    let mut all = vec!["peer", "--dir", state.to_str().unwrap()];
    all.extend(more);
    all.into_iter().map(str::to_owned).collect()
}

fn slices(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// Runs a command that attaches to the peer called `name`, in the folder `at`.
pub(crate) fn attached(sandbox: &Sandbox, name: &str, at: &Path, more: &[&str]) -> Output {
    attached_with_input(sandbox, name, at, more, "")
}

/// Runs `status` attached to the peer called `nik`.
pub(crate) fn attached_status(sandbox: &Sandbox) -> Output {
    attached(sandbox, "nik", &sandbox.folder("client"), &["-c", "status"])
}

pub(crate) fn attached_with_input(
    sandbox: &Sandbox,
    name: &str,
    at: &Path,
    more: &[&str],
    input: &str,
) -> Output {
    run(at, &slices(&arguments(sandbox, name, more)), input)
}

/// Starts a command that attaches to the peer called `name`, with pipes.
pub(crate) fn start_attached(sandbox: &Sandbox, name: &str, more: &[&str]) -> KilledOnDrop {
    let all = arguments(sandbox, name, more);
    let mut command = command(&sandbox.folder("client"), &slices(&all));
    KilledOnDrop(command.stdin(Stdio::null()).spawn().unwrap())
}

/// The program of a terminal at which a command attaches to the peer called `name`.
pub(crate) fn terminal_program(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let mut program = vec![BINARY.to_owned()];
    program.extend(arguments(sandbox, name, &[]));
    program
}

/// The JSON objects of commands, without the first line.
pub(crate) fn objects(output: &Output) -> Vec<Value> {
    let lines = output.stdout.lines();
    let objects = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects
        .filter(|object| object.get("command").is_some())
        .collect()
}

pub(crate) fn signal(client: &KilledOnDrop, signal: &str) {
    let id = client.0.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Makes the peer `name` wait while it starts, until the returned writer is dropped: the peer reads
/// a FIFO in its state folder. Call it before the peer starts. The returned function waits until
/// the peer has opened the FIFO.
pub(crate) fn hold_start(sandbox: &Sandbox, name: &str) -> impl FnOnce() -> File {
    let state = sandbox.state(name);
    let magnets = state.join("magnets");
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&magnets)
        .unwrap();
    let fifo = magnets.join("00".repeat(20));
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    move || File::options().write(true).open(fifo).unwrap()
}
