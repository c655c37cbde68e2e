//! How far downloads are, while somebody waits: bars on a terminal, a plain line now and then elsewhere.

use super::escape::escape;
use super::output::Output;
use super::render;
use crate::peer::{DownloadState, DownloadStatus};
use crate::torrent::InfoHash;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The time between two plain lines of a download.
const PAUSE: Duration = Duration::from_secs(5);
/// The most bars shown at once; a terminal is not higher than that in most cases.
const MOST_BARS: usize = 20;
/// Characters of a name that a bar shows.
const NAME_WIDTH: usize = 20;

/// What is shown of downloads; nothing is left of it when it is dropped.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    output: &'a Output,
    bars: Option<Bars>,
    last: Instant,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    each: HashMap<InfoHash, ProgressBar>,
}

impl<'a> Progress<'a> {
    /// Nothing shown so far.
    pub(super) fn new(output: &'a Output) -> Self {
        let bars = output.shows_bars().then(|| Bars {
            all: MultiProgress::new(),
            each: HashMap::new(),
        });
        Self {
            output,
            bars,
            last: Instant::now(),
        }
    }

    /// Shows how far each download is, if it is time.
    pub(super) fn show(&mut self, downloads: &[DownloadStatus]) {
        if let Some(bars) = &mut self.bars {
            bars.show(downloads);
        } else if !self.output.is_json() && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            for download in downloads.iter().filter(|download| is_running(download)) {
                self.output.note(&render::download(download));
            }
        }
    }
}

/// Whether a download has not ended.
pub(super) fn is_running(download: &DownloadStatus) -> bool {
    matches!(
        download.state,
        DownloadState::Checking | DownloadState::Downloading
    )
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // Nobody can be told if the terminal is gone.
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn show(&mut self, downloads: &[DownloadStatus]) {
        for download in downloads {
            if !is_running(download) {
                if let Some(bar) = self.each.remove(&download.info_hash) {
                    bar.finish_and_clear();
                }
                continue;
            }
            if self.each.len() >= MOST_BARS && !self.each.contains_key(&download.info_hash) {
                continue;
            }
            let all = &self.all;
            let bar = self
                .each
                .entry(download.info_hash)
                .or_insert_with(|| all.add(bar(&download.name, download.bytes_total)));
            bar.set_position(download.bytes_done);
            bar.set_message(message(download));
        }
    }
}

fn message(download: &DownloadStatus) -> String {
    let percent = render::percent(download);
    match (&download.state, &download.trouble) {
        (DownloadState::Checking, _) => format!("{percent:3}%  checking what is here"),
        (_, Some(trouble)) if download.rate == 0 => format!("{percent:3}%  {}", escape(trouble)),
        _ => format!("{percent:3}%  {}", render::pace(download)),
    }
}

/// Hidden until it is added to the others: alone it would draw where they do not know of it.
fn bar(name: &str, total: u64) -> ProgressBar {
    // Narrow enough that all of a pace stands in 80 columns.
    let style = ProgressStyle::with_template("{prefix} [{bar:14}] {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let name = escape(name);
    let mut shown: String = name.chars().take(NAME_WIDTH).collect();
    if shown.len() < name.len() {
        shown.pop();
        shown.push('…');
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(format!("{shown:NAME_WIDTH$}"));
    bar
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::running;
    use super::*;

    #[test]
    fn a_bar_tells_what_holds_a_download_up() {
        let mut download = running("x");
        assert_eq!(message(&download), " 42%  118.3 MiB/s  5 peers  eta 0s");
        download.trouble = Some("no\nowner".into());
        assert!(message(&download).contains("118.3"));
        download.rate = 0;
        assert_eq!(message(&download), " 42%  no\\nowner");
        download.state = DownloadState::Checking;
        assert_eq!(message(&download), " 42%  checking what is here");
    }

    #[test]
    fn long_and_odd_names_keep_the_bars_in_line() {
        let shown = bar(&"ü".repeat(40), 1).prefix();
        assert_eq!(shown, format!("{}…", "ü".repeat(19)));
        assert_eq!(bar("a\x1b", 1).prefix().trim_end(), "a\\u{1b}");
    }
}
