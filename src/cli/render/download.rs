//! The line of a download.

use crate::base::escape;
use crate::cli::commands::OPEN_SWARMS;
use crate::cli::units::{counted, duration, size};
use crate::peer::{DownloadState, DownloadStatus};
use std::time::Duration;

/// The line of a download in `show_downloads`, without the reason why it makes no progress. Scripts
/// rely on this format.
pub(in crate::cli) fn download_line(download: &DownloadStatus) -> String {
    let group = download.group.as_ref();
    let group = group.map_or(OPEN_SWARMS, |group| group.name.as_str());
    let shown = download.shown_name();
    let (group, name) = (escape(group), escape(&shown));
    match &download.state {
        DownloadState::Complete => format!(
            "[C] [{group}] {name}  {}  {}",
            size(download.bytes_total),
            escape(&download.path.to_string_lossy())
        ),
        DownloadState::Failed(reason) => format!("[F] [{group}] {name}  {}", escape(reason)),
        DownloadState::Checking(percent) => {
            format!("[V] [{group}] {name}  checking {percent}%")
        }
        DownloadState::Downloading => {
            format!(
                "[D] [{group}] {name}  {}%  {}",
                percent(download),
                pace(download)
            )
        }
    }
}

/// The line of a download. If the download makes no progress, the line ends with the reason.
pub(in crate::cli) fn download_line_with_trouble(download: &DownloadStatus) -> String {
    let trouble = in_parentheses(download.trouble.as_deref());
    format!("{}{trouble}", download_line(download))
}

/// A text in parentheses that ends a line.
pub(super) fn in_parentheses(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("  ({})", escape(text)))
}

/// The rate of a download, its number of peers, and the time left.
pub(in crate::cli) fn pace(download: &DownloadStatus) -> String {
    let missing = download.bytes_total.saturating_sub(download.bytes_done);
    let eta = match missing.checked_div(download.rate) {
        Some(seconds) => duration(Duration::from_secs(seconds)),
        None => "-".to_owned(),
    };
    format!(
        "{}/s  {}  eta {eta}",
        size(download.rate),
        counted(download.peers, "peer")
    )
}

/// The percentage of bytes that this peer has, rounded down: 100 only if it has all.
pub(in crate::cli) fn percent(download: &DownloadStatus) -> u64 {
    let done = u128::from(download.bytes_done) * 100;
    let percent = done.checked_div(download.bytes_total.into()).unwrap_or(0);
    u64::try_from(percent).unwrap_or(100).min(100)
}
