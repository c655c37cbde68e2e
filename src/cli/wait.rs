//! `wait`: which downloads it covers, and how it ends.
//!
//! In scope: the rule (downloads that run when it starts or ended since the last `wait`) and its result. Out of scope:
//! how progress looks (`progress`).

use super::failure::Failure;
use super::output::Output;
use super::progress::{Progress, is_running};
use super::render;
use crate::net::Stop;
use crate::peer::{DownloadState, DownloadStatus, Peer};
use crate::torrent::InfoHash;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The longest time between two looks at the downloads: how soon a wish to stop is heard.
const LOOK: Duration = Duration::from_millis(100);

/// Which ended downloads an earlier `wait` told of, or ended before this run.
#[derive(Debug)]
pub(super) struct Covered {
    told: HashSet<InfoHash>,
}

impl Covered {
    /// At the start of a run, when these downloads were taken up again.
    pub(super) fn new(downloads: &[DownloadStatus]) -> Self {
        let ended = downloads.iter().filter(|download| !is_running(download));
        Self {
            told: ended.map(|download| download.info_hash).collect(),
        }
    }

    /// A download was started, perhaps one that had ended before.
    pub(super) fn started(&mut self, info_hash: InfoHash) {
        self.told.remove(&info_hash);
    }

    /// The downloads that a `wait` which starts now covers.
    fn covers(&self, downloads: &[DownloadStatus]) -> HashSet<InfoHash> {
        let covered = downloads
            .iter()
            .filter(|download| is_running(download) || !self.told.contains(&download.info_hash));
        covered.map(|download| download.info_hash).collect()
    }

    /// How a `wait` that covers these downloads ends, as they are now.
    fn end(&mut self, covered: &[DownloadStatus]) -> Result<Vec<DownloadStatus>, Failure> {
        let mut complete = Vec::new();
        let (mut failed, mut late) = (Vec::new(), Vec::new());
        for download in covered {
            let name = &download.name;
            match &download.state {
                DownloadState::Complete => complete.push(download.clone()),
                DownloadState::Failed(reason) => failed.push(format!("{name}: {reason}")),
                DownloadState::Checking | DownloadState::Downloading => {
                    let trouble = download.trouble.as_deref().unwrap_or("still running");
                    late.push(format!(
                        "{name}: not complete, {}%: {trouble}",
                        render::percent(download)
                    ));
                }
            }
            if !is_running(download) {
                self.told.insert(download.info_hash);
            }
        }
        match (failed.is_empty(), late.is_empty()) {
            (true, true) => Ok(complete),
            (true, false) => Err(Failure::NotComplete(late)),
            (false, _) => {
                failed.append(&mut late);
                Err(Failure::DownloadFailed(failed))
            }
        }
    }
}

/// Waits until every download it covers has ended, `limit` at most, and returns the complete ones.
///
/// # Errors
/// When one failed, was not complete in time, or `stop` was raised.
pub(super) fn wait(
    peer: &Peer,
    covered: &mut Covered,
    limit: Option<Duration>,
    stop: &Stop,
    output: &Output,
) -> Result<Vec<DownloadStatus>, Failure> {
    let started = Instant::now();
    let covers = covered.covers(&peer.downloads());
    let mut progress = Progress::new(output);
    loop {
        let seen = peer.changes();
        let mut downloads = peer.downloads();
        downloads.retain(|download| covers.contains(&download.info_hash));
        let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) || !downloads.iter().any(is_running) {
            drop(progress);
            return covered.end(&downloads);
        }
        if stop.is_stopped() {
            return Err(Failure::cut_short("wait"));
        }
        progress.show(&downloads);
        peer.wait_for_change(seen, left.map_or(LOOK, |left| left.min(LOOK)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::running;
    use super::*;

    fn download(number: u8, state: DownloadState) -> DownloadStatus {
        let mut download = running(&format!("file-{number}"));
        download.info_hash = InfoHash([number; 20]);
        download.state = state;
        download
    }

    fn numbers(covered: &Covered, downloads: &[DownloadStatus]) -> Vec<u8> {
        let mut numbers: Vec<u8> = covered
            .covers(downloads)
            .iter()
            .map(|hash| hash.0[0])
            .collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_wait_covers_what_runs_or_ended_since_the_last() {
        let failed = || DownloadState::Failed("disk full".into());
        let old = [
            download(1, DownloadState::Complete),
            download(2, failed()),
            download(3, DownloadState::Checking),
        ];
        let mut covered = Covered::new(&old);
        let mut now = vec![
            download(1, DownloadState::Complete),
            download(2, failed()),
            download(3, DownloadState::Complete),
            download(4, DownloadState::Complete),
            download(5, DownloadState::Downloading),
        ];
        assert_eq!(numbers(&covered, &now), [3, 4, 5]);
        now[4].state = DownloadState::Complete;
        assert_eq!(covered.end(&now[2..]).unwrap().len(), 3);
        assert!(numbers(&covered, &now).is_empty());
        covered.started(now[1].info_hash);
        assert_eq!(numbers(&covered, &now), [2]);
    }

    #[test]
    fn a_wait_that_fails_names_each_download_and_why() {
        let mut covered = Covered::new(&[]);
        let mut stuck = download(2, DownloadState::Downloading);
        let late = covered.end(std::slice::from_ref(&stuck)).unwrap_err();
        assert_eq!(late.lines(), ["file-2: not complete, 42%: still running"]);
        stuck.trouble = Some("no owner".into());
        let failed = download(1, DownloadState::Failed("disk full".into()));
        let failure = covered
            .end(&[
                stuck.clone(),
                failed.clone(),
                download(3, DownloadState::Complete),
            ])
            .unwrap_err();
        assert_eq!(failure.kind(), "download-failed");
        assert_eq!(
            failure.lines(),
            ["file-1: disk full", "file-2: not complete, 42%: no owner"]
        );
        assert_eq!(failure.to_string(), failure.lines().join("; "));
        let late = covered.end(std::slice::from_ref(&stuck)).unwrap_err();
        assert_eq!(late.kind(), "not-complete");
        assert_eq!(numbers(&covered, &[stuck, failed]), [2]);
    }
}
