//! The cluster's trackers, as the TRACKER_INFO file lists them.

use crate::wire::TrackerInfo;
use std::path::Path;

/// The announce URLs of the trackers in a TRACKER_INFO file; none if it cannot be read.
pub(crate) fn tracker_urls(tracker_info: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(tracker_info).unwrap_or_default();
    let info: TrackerInfo = text.parse().unwrap_or_default();
    info.addresses
        .iter()
        .map(|address| url_of(&address.to_string()))
        .collect()
}

/// The announce URL of a cluster's tracker at `HOST:PORT`.
pub(crate) fn url_of(tracker: &str) -> String {
    format!("http://{tracker}/announce")
}

/// The error text for a command that needs a tracker when the file names none.
pub(crate) fn no_tracker(tracker_info: &Path) -> String {
    let path = tracker_info.display();
    match std::fs::read_to_string(tracker_info) {
        Err(error) => format!(
            "no tracker is known: {path}: {error}; write a line HOST:PORT for each tracker into it"
        ),
        Ok(text) => match text.parse::<TrackerInfo>() {
            Err(error) => format!("no tracker is known: {path}: {error}"),
            Ok(_) => format!(
                "no tracker is known: {path} names none; write a line HOST:PORT for each tracker into it"
            ),
        },
    }
}
