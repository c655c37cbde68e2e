//! A running peer that takes commands and answers each with one JSON object.

use super::process::{Process, command};
use super::waiting::PATIENCE;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A peer process with the option `--json`; killed when dropped.
pub(crate) struct Peer {
    pub(crate) process: Process,
    /// The path of its log.
    pub(crate) log: PathBuf,
}

impl Peer {
    /// Starts a peer in `folder` that listens at `address`. `info` is its TRACKER_INFO, `state` its
    /// state folder.
    pub(crate) fn start(
        folder: &Path,
        address: &str,
        info: &Path,
        state: &Path,
        arguments: &[&str],
    ) -> Self {
        Self::start_with(address, info, state, arguments, |all| command(folder, all))
    }

    /// Like [`Peer::start`]. `command` gets the arguments of the binary, and returns the command to
    /// spawn.
    pub(crate) fn start_with(
        address: &str,
        info: &Path,
        state: &Path,
        arguments: &[&str],
        command: impl Fn(&[&str]) -> Command,
    ) -> Self {
        let mut all = vec!["peer", address, info.to_str().unwrap(), "--json"];
        all.extend(["--dir", state.to_str().unwrap()]);
        all.extend(arguments);
        Self {
            process: Process::spawn(command(&all)),
            log: state.join("peer.log"),
        }
    }

    /// Runs a command that must succeed, and returns its JSON object.
    pub(crate) fn run(&mut self, command: &str) -> Value {
        let object = self.try_run(command);
        assert_eq!(object["ok"], true, "{command}: {object}");
        object
    }

    /// Runs a command and returns its JSON object.
    pub(crate) fn try_run(&mut self, command: &str) -> Value {
        self.process.write_line(command);
        let line = self.process.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {line:?}: {error}"))
    }

    /// Runs a command that must fail. Returns the kind and the message of its error, which must be
    /// one short line.
    pub(crate) fn error_of(&mut self, command: &str) -> (String, String) {
        let object = self.try_run(command);
        assert_eq!(object["ok"], false, "{command}: {object}");
        let text = |key: &str| object["error"][key].as_str().unwrap().to_owned();
        let message = text("message");
        assert!(
            !message.is_empty() && !message.contains('\n') && message.len() < 400,
            "{command}: {message}"
        );
        (text("kind"), message)
    }

    /// Runs a command that must fail with this kind. The message must contain `part`.
    pub(crate) fn assert_refused(&mut self, command: &str, kind: &str, part: &str) {
        let (found, message) = self.error_of(command);
        assert_eq!(found, kind, "{command:?}: {message}");
        assert!(
            message.contains(part),
            "{command:?}: {message:?} lacks {part:?}"
        );
    }

    /// The object of the download called `name` in `show_downloads`, or null.
    pub(crate) fn shown_download(&mut self, name: &str) -> Value {
        let list = self.run("show_downloads");
        let downloads = list["downloads"].as_array().unwrap();
        downloads
            .iter()
            .find(|download| download["name"] == name)
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Waits until `holds` is true of the download called `name`, and returns that download.
    pub(crate) fn wait_for_download(
        &mut self,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let download = self.shown_download(name);
            if holds(&download) {
                return download;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the download did not change as expected: {download}"
            );
            // `wait` pauses this loop while a download runs, and returns at once when none does.
            let _ = self.try_run("wait 0.05");
        }
    }

    /// Waits until the download called `name` is in this state, and returns that download.
    pub(crate) fn wait_for_state(&mut self, name: &str, state: &str) -> Value {
        self.wait_for_download(name, |download| download["state"] == state)
    }

    /// Closes standard input and waits for the end of the process, which must be a success.
    pub(crate) fn end(self) {
        let (status, errors) = self.process.wait();
        assert!(status.success(), "{status}: {errors}");
    }

    /// kill -9.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// A path in quotes, as one argument of a command.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
