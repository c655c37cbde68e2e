//! Lines in the log of a process.

use super::waiting::wait_for;
use std::fs;
use std::path::Path;

/// Waits until the log has a line that contains all of `parts`, and returns that line.
pub(crate) fn wait_for_log_line(log: &Path, parts: &[&str]) -> String {
    wait_for(
        || log_line_with(log, parts),
        || {
            format!(
                "the log has no line with {parts:?}:\n{}",
                fs::read_to_string(log).unwrap_or_default()
            )
        },
    )
}

/// The first line of the log that contains all of `parts`.
pub(crate) fn log_line_with(log: &Path, parts: &[&str]) -> Option<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    // A line without its newline is still being written.
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    let line = whole
        .lines()
        .find(|line| parts.iter().all(|part| line.contains(part)));
    line.map(str::to_owned)
}
