//! The cluster's trackers, as the TRACKER_INFO file lists them.

use crate::system::cause;
use crate::wire::TrackerInfo;
use std::io::ErrorKind;
use std::path::Path;

/// The contents of a TRACKER_INFO file that lists at least one tracker.
///
/// # Errors
/// A text that says what is wrong with the file and what to write.
pub(crate) fn read_tracker_info(path: &Path) -> Result<TrackerInfo, String> {
    const ADVICE: &str = "write the address of each tracker into it, one HOST:PORT per line";
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("no tracker is known: {shown} does not exist; {ADVICE}")
        }
        _ => format!("no tracker is known: {shown}: {}", cause(&error)),
    })?;
    let info: TrackerInfo = text
        .parse()
        .map_err(|error| format!("no tracker is known: {shown}: {error}"))?;
    if info.addresses.is_empty() {
        return Err(format!("no tracker is known: {shown} lists none; {ADVICE}"));
    }
    Ok(info)
}

/// The announce URLs of the trackers in a TRACKER_INFO file; none if it cannot be read.
pub(crate) fn tracker_urls(tracker_info: &Path) -> Vec<String> {
    let info = read_tracker_info(tracker_info).unwrap_or_default();
    info.addresses
        .iter()
        .map(|address| url_of(&address.to_string()))
        .collect()
}

/// The announce URL of a cluster's tracker at `HOST:PORT`.
pub(crate) fn url_of(tracker: &str) -> String {
    format!("http://{tracker}/announce")
}
