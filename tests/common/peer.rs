//! A running peer that takes commands and answers in JSON.

use super::process::Process;
use super::waiting::PATIENCE;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// A peer process under `--json`.
pub(crate) struct Peer {
    pub(crate) process: Process,
}

impl Peer {
    /// Runs a command and gives its object, which must say `ok`.
    pub(crate) fn run(&mut self, command: &str) -> Value {
        let object = self.try_run(command);
        assert_eq!(object["ok"], true, "{command}: {object}");
        object
    }

    /// Runs a command and gives its object.
    pub(crate) fn try_run(&mut self, command: &str) -> Value {
        self.process.write_line(command);
        let line = self.process.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {line:?}: {error}"))
    }

    /// The object of the download of that name in `show_downloads`.
    pub(crate) fn download(&mut self, name: &str) -> Value {
        let shown = self.run("show_downloads");
        let downloads = shown["downloads"].as_array().unwrap();
        downloads
            .iter()
            .find(|download| download["name"] == name)
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Asks until `holds` of the download of that name.
    pub(crate) fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let download = self.download(name);
            if holds(&download) {
                return download;
            }
            assert!(start.elapsed() < PATIENCE, "it never came true: {download}");
            // `wait` returns at once when nothing runs, so that this is no busy loop while something does.
            let _ = self.try_run("wait 0.05");
        }
    }
}

/// A path as a word of a command.
pub(crate) fn word(path: &Path) -> String {
    format!("'{}'", path.display())
}
