//! Progress of downloads during `wait`: bars on a terminal, otherwise a line from time to time.
//! Progress of `wait_for`: one line.

use super::output::Output;
use super::render;
use crate::base::escape;
use crate::peer::{DownloadState, DownloadStatus};
use crate::torrent::InfoHash;
use console::{Alignment, pad_str, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Interval between two plain lines of a download.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The largest number of bars at a time, so that they fit on a terminal.
const MAX_BARS: usize = 20;
/// The width of a name before a bar, in columns.
const NAME_WIDTH: usize = 20;

/// Shows the progress of downloads. Dropping it clears the bars.
#[derive(Debug)]
pub(super) struct DownloadProgress<'a> {
    output: &'a Output,
    bars: Option<Bars>,
    last_lines: Instant,
    troubles: LastTroubles,
}

/// The trouble that each download had when its last line was written.
#[derive(Debug, Default)]
struct LastTroubles(HashMap<InfoHash, String>);

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    by_download: HashMap<InfoHash, ProgressBar>,
}

impl<'a> DownloadProgress<'a> {
    /// Shows nothing until [`show`](Self::show) is called.
    pub(super) fn new(output: &'a Output) -> Self {
        let bars = output.shows_bars().then(|| Bars {
            all: MultiProgress::with_draw_target(output.bars()),
            by_download: HashMap::new(),
        });
        Self {
            output,
            bars,
            last_lines: Instant::now(),
            troubles: LastTroubles::default(),
        }
    }

    /// Updates the bars, or writes lines if [`LINE_INTERVAL`] has passed.
    pub(super) fn show(&mut self, downloads: &[DownloadStatus]) {
        if let Some(bars) = &mut self.bars {
            bars.show(downloads);
        } else if !self.output.is_json() && self.last_lines.elapsed() >= LINE_INTERVAL {
            self.last_lines = Instant::now();
            for download in downloads.iter().filter(|download| is_running(download)) {
                self.output.note(&self.troubles.line(download));
            }
        }
    }
}

impl LastTroubles {
    /// The next line of a download. It shows why the download makes no progress, unless the reason
    /// is the same as in the line before.
    fn line(&mut self, download: &DownloadStatus) -> String {
        let former = match &download.trouble {
            Some(trouble) => self.0.insert(download.info_hash, trouble.clone()),
            None => self.0.remove(&download.info_hash),
        };
        match former == download.trouble {
            true => render::download_line(download),
            false => render::download_line_with_trouble(download),
        }
    }
}

/// Shows a line about a state: on a terminal in place of the former one, otherwise when it has
/// changed, from time to time. Dropping it clears the line on a terminal.
#[derive(Debug)]
pub(super) struct StateProgress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    /// When a plain line was written, and the line.
    last: Option<(Instant, String)>,
}

impl<'a> StateProgress<'a> {
    /// Shows nothing until [`show`](Self::show) is called.
    pub(super) fn new(output: &'a Output) -> Self {
        let bar = output.shows_bars().then(|| {
            let bar = ProgressBar::with_draw_target(None, output.bars());
            let style = ProgressStyle::with_template("{wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self {
            output,
            bar,
            last: None,
        }
    }

    /// Shows this line.
    pub(super) fn show(&mut self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(escape(line).into_owned());
            bar.tick();
            return;
        }
        let is_due = self
            .last
            .as_ref()
            .is_none_or(|(at, last)| last != line && at.elapsed() >= LINE_INTERVAL);
        if is_due && !self.output.is_json() {
            self.output.note(line);
            self.last = Some((Instant::now(), line.to_owned()));
        }
    }
}

impl Drop for StateProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether a download has not ended.
pub(super) fn is_running(download: &DownloadStatus) -> bool {
    matches!(
        download.state,
        DownloadState::Checking(_) | DownloadState::Downloading
    )
}

impl Drop for DownloadProgress<'_> {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // Fails only if the terminal was closed.
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn show(&mut self, downloads: &[DownloadStatus]) {
        for download in downloads {
            if !is_running(download) {
                if let Some(bar) = self.by_download.remove(&download.info_hash) {
                    bar.finish_and_clear();
                }
                continue;
            }
            let has_bar = self.by_download.contains_key(&download.info_hash);
            if !has_bar && self.by_download.len() >= MAX_BARS {
                continue;
            }
            let all = &self.all;
            let bar = self
                .by_download
                .entry(download.info_hash)
                .or_insert_with(|| all.add(new_bar(&download.name, download.bytes_total)));
            bar.set_position(position(download));
            bar.set_message(bar_message(download));
        }
    }
}

/// How far the bar of a download is filled, in bytes.
fn position(download: &DownloadStatus) -> u64 {
    match download.state {
        DownloadState::Checking(percent) => download.bytes_total / 100 * percent,
        _ => download.bytes_done,
    }
}

fn bar_message(download: &DownloadStatus) -> String {
    let percent = render::percent(download);
    match (&download.state, &download.trouble) {
        (DownloadState::Checking(checked), _) => format!("{checked:3}%  checking"),
        (_, Some(trouble)) if download.rate == 0 => format!("{percent:3}%  {}", escape(trouble)),
        _ => format!("{percent:3}%  {}", render::pace(download)),
    }
}

/// A bar that is hidden until it is added to a [`MultiProgress`]: drawn alone, it would overwrite
/// the others.
fn new_bar(name: &str, total: u64) -> ProgressBar {
    // Narrow, so that the message fits into 80 columns.
    let style = ProgressStyle::with_template("{prefix} [{bar:14}] {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let name = escape(name);
    let name = truncate_str(&name, NAME_WIDTH, "…");
    let name = pad_str(&name, NAME_WIDTH, Alignment::Left, None);
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(name.into_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::running;
    use super::*;

    #[test]
    fn a_bar_shows_why_a_download_stalls() {
        let mut download = running("x");
        assert_eq!(bar_message(&download), " 42%  118.3 MiB/s  5 peers  eta 0s");
        download.trouble = Some("no\nowner".into());
        assert!(bar_message(&download).contains("118.3"));
        download.rate = 0;
        assert_eq!(bar_message(&download), " 42%  no\\nowner");
        download.state = DownloadState::Checking(7);
        assert_eq!(bar_message(&download), "  7%  checking");
        assert_eq!(position(&download), 70);
    }

    #[test]
    fn a_line_shows_why_a_download_stalls_unless_the_reason_is_the_same_as_before() {
        let mut troubles = LastTroubles::default();
        let mut download = running("x");
        let line = "[D] [-] x  42%  118.3 MiB/s  5 peers  eta 0s";
        let mut next = |trouble: Option<&str>| {
            download.trouble = trouble.map(str::to_owned);
            troubles.line(&download)
        };
        for (trouble, end) in [
            (None, ""),
            (Some("no\nowner"), "  (no\\nowner)"),
            (Some("no\nowner"), ""),
            (Some("refused"), "  (refused)"),
            (None, ""),
            (Some("refused"), "  (refused)"),
        ] {
            assert_eq!(next(trouble), format!("{line}{end}"));
        }
    }

    #[test]
    fn bars_are_aligned_for_long_and_unusual_names() {
        let prefix = new_bar(&"ü".repeat(40), 1).prefix();
        assert_eq!(prefix, format!("{}…", "ü".repeat(19)));
        // A wide character takes two columns.
        let wide = new_bar(&"界".repeat(40), 1).prefix();
        assert_eq!(wide, format!("{}… ", "界".repeat(9)));
        assert_eq!(new_bar("界", 1).prefix(), format!("界{}", " ".repeat(18)));
        assert_eq!(new_bar("a\x1b", 1).prefix().trim_end(), "a\\u{1b}");
    }
}
