//! The command `wait`: which downloads it covers, and its result.
//!
//! In scope: the rule (downloads that run when `wait` starts, or ended since the last `wait` or the
//! start of the peer) and the result. Out of scope: the display of progress (`progress`).

use super::command_error::CommandError;
use super::output::Output;
use super::progress::{DownloadProgress, is_running};
use super::render;
use crate::peer::{DamagedRecord, DownloadState, DownloadStatus, Peer};
use crate::system::lock;
use crate::torrent::InfoHash;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest time between two checks whether the downloads have ended or the command was
/// interrupted.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The ended downloads that the next `wait` leaves out: those that an earlier `wait` has reported,
/// and those that were complete before this process started.
#[derive(Clone, Debug)]
pub(super) struct WaitExclusions {
    left_out: HashSet<InfoHash>,
    /// The same for users who attach later: what a `wait` of anybody has reported.
    of_all_users: Arc<Mutex<HashSet<InfoHash>>>,
}

impl WaitExclusions {
    /// `complete` are the downloads that the start of the peer found complete and unchanged. The
    /// next `wait` covers all others, even those that a check in the background then finds
    /// complete: what a `wait` covers must not depend on how far these checks are.
    pub(super) fn new(complete: HashSet<InfoHash>) -> Self {
        Self {
            of_all_users: Arc::new(Mutex::new(complete.clone())),
            left_out: complete,
        }
    }

    /// The exclusions of a user who attaches now.
    pub(super) fn for_another_user(&self) -> Self {
        Self {
            left_out: lock(&self.of_all_users).clone(),
            of_all_users: Arc::clone(&self.of_all_users),
        }
    }

    /// Notes that a download was started. The next `wait` covers it, even if an earlier download of
    /// the same share was reported.
    pub(super) fn on_started(&mut self, info_hash: InfoHash) {
        self.left_out.remove(&info_hash);
        lock(&self.of_all_users).remove(&info_hash);
    }

    /// Whether the download has failed and the next `wait` leaves it out.
    pub(super) fn has_reported_failure(&self, download: &DownloadStatus) -> bool {
        let has_failed = matches!(download.state, DownloadState::Failed(_));
        has_failed && self.left_out.contains(&download.info_hash)
    }

    /// The downloads that a `wait` covers if it starts now.
    fn covered(&self, downloads: &[DownloadStatus]) -> HashSet<InfoHash> {
        let covered = downloads.iter().filter(|download| {
            is_running(download) || !self.left_out.contains(&download.info_hash)
        });
        covered.map(|download| download.info_hash).collect()
    }

    /// Returns the result of a `wait` that covers these downloads and ends now. The next `wait`
    /// leaves out the downloads that have ended, and those that this one reports as lost. `damaged`
    /// are the files in the state folder that the peer could not use at its start.
    fn finish(
        &mut self,
        covered: &[DownloadStatus],
        damaged: &[DamagedRecord],
    ) -> Result<Vec<DownloadStatus>, CommandError> {
        let mut complete = Vec::new();
        let (mut failed, mut late) = (Vec::new(), Vec::new());
        for lost in damaged.iter().filter(|damaged| damaged.may_lose_download) {
            if lost
                .info_hash
                .is_some_and(|hash| self.left_out.insert(hash))
            {
                lock(&self.of_all_users).extend(lost.info_hash);
                failed.push(lost.message.clone());
            }
        }
        for download in covered {
            let name = &download.shown_name();
            match &download.state {
                DownloadState::Complete => complete.push(download.clone()),
                DownloadState::Failed(reason) => failed.push(format!("{name}: {reason}")),
                DownloadState::Checking(percent) => {
                    late.push(format!("{name}: not complete, checking {percent}%"));
                }
                DownloadState::Downloading => {
                    let trouble = download.trouble.as_deref().unwrap_or("still running");
                    late.push(format!(
                        "{name}: not complete, {}%: {trouble}",
                        render::percent(download)
                    ));
                }
            }
            if !is_running(download) {
                self.left_out.insert(download.info_hash);
                lock(&self.of_all_users).insert(download.info_hash);
            }
        }
        match (failed.is_empty(), late.is_empty()) {
            (true, true) => Ok(complete),
            (true, false) => Err(CommandError::NotComplete(late)),
            (false, _) => {
                failed.append(&mut late);
                Err(CommandError::DownloadFailed(failed))
            }
        }
    }
}

/// Waits until all covered downloads have ended, at most for `limit`, and returns the complete
/// ones.
///
/// # Errors
/// A download failed or was not complete in time, or the command was interrupted.
pub(super) fn wait(
    peer: &Peer,
    exclusions: &mut WaitExclusions,
    limit: Option<Duration>,
    output: &Output,
) -> Result<Vec<DownloadStatus>, CommandError> {
    let started = Instant::now();
    let covered = exclusions.covered(&peer.downloads());
    let mut progress = DownloadProgress::new(output);
    loop {
        let change_count = peer.change_count();
        let mut downloads = peer.downloads();
        downloads.retain(|download| covered.contains(&download.info_hash));
        let time_left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
        if time_left.is_some_and(|time| time.is_zero()) || !downloads.iter().any(is_running) {
            drop(progress);
            return exclusions.finish(&downloads, &peer.damaged());
        }
        if peer.is_command_interrupted() {
            return Err(CommandError::cut_short("wait"));
        }
        progress.show(&downloads);
        peer.wait_for_change(
            change_count,
            time_left.map_or(CHECK_INTERVAL, |time| time.min(CHECK_INTERVAL)),
        );
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

    fn numbers(exclusions: &WaitExclusions, downloads: &[DownloadStatus]) -> Vec<u8> {
        let mut numbers: Vec<u8> = exclusions
            .covered(downloads)
            .iter()
            .map(|hash| hash.0[0])
            .collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_wait_covers_downloads_that_run_or_ended_since_the_last_wait() {
        let failed = || DownloadState::Failed("disk full".into());
        let mut exclusions = WaitExclusions::new(HashSet::from([InfoHash([1; 20])]));
        // The start of the peer found only the first complete. Then a check in the background found
        // that the second had failed and that the third was complete.
        let mut downloads = vec![
            download(1, DownloadState::Complete),
            download(2, failed()),
            download(3, DownloadState::Complete),
            download(4, DownloadState::Complete),
            download(5, DownloadState::Downloading),
        ];
        assert_eq!(numbers(&exclusions, &downloads), [2, 3, 4, 5]);
        assert!(!exclusions.has_reported_failure(&downloads[1]));
        assert_eq!(
            exclusions
                .finish(&downloads[1..2], &[])
                .unwrap_err()
                .lines(),
            ["file-2: disk full"]
        );
        assert!(exclusions.has_reported_failure(&downloads[1]));
        downloads[4].state = DownloadState::Complete;
        assert_eq!(exclusions.finish(&downloads[2..], &[]).unwrap().len(), 3);
        assert!(numbers(&exclusions, &downloads).is_empty());
        exclusions.on_started(downloads[1].info_hash);
        assert_eq!(numbers(&exclusions, &downloads), [2]);
    }

    #[test]
    fn what_a_wait_of_anybody_has_reported_is_left_out_for_users_who_come_later() {
        let mut own = WaitExclusions::new(HashSet::from([InfoHash([1; 20])]));
        let failed = || DownloadState::Failed("disk full".into());
        let downloads = [download(1, DownloadState::Complete), download(2, failed())];
        let early = own.for_another_user();
        let mut client = own.for_another_user();
        assert!(client.finish(&downloads[1..], &[]).is_err());
        // Those who were there before still get the failure.
        for user in [&early, &own] {
            assert_eq!(numbers(user, &downloads), [2]);
        }
        assert!(numbers(&own.for_another_user(), &downloads).is_empty());
        own.on_started(downloads[1].info_hash);
        assert_eq!(numbers(&own.for_another_user(), &downloads), [2]);
    }

    #[test]
    fn a_wait_that_fails_names_each_download_that_is_not_complete_and_why() {
        let mut exclusions = WaitExclusions::new(HashSet::new());
        let mut stuck = download(2, DownloadState::Downloading);
        let late = exclusions
            .finish(std::slice::from_ref(&stuck), &[])
            .unwrap_err();
        assert_eq!(late.lines(), ["file-2: not complete, 42%: still running"]);
        stuck.trouble = Some("no owner".into());
        let failed = download(1, DownloadState::Failed("disk full".into()));
        let covered = [
            stuck.clone(),
            failed.clone(),
            download(3, DownloadState::Complete),
        ];
        let failure = exclusions.finish(&covered, &[]).unwrap_err();
        assert_eq!(failure.kind(), "download-failed");
        assert_eq!(
            failure.lines(),
            ["file-1: disk full", "file-2: not complete, 42%: no owner"]
        );
        assert_eq!(failure.to_string(), failure.lines().join("; "));
        let late = exclusions
            .finish(std::slice::from_ref(&stuck), &[])
            .unwrap_err();
        assert_eq!(late.kind(), "not-complete");
        assert_eq!(numbers(&exclusions, &[stuck, failed]), [2]);
    }

    #[test]
    fn a_wait_reports_each_lost_download_once() {
        let damaged = |number: u8, may_lose_download| DamagedRecord {
            path: "/s/torrents/x".into(),
            info_hash: Some(InfoHash([number; 20])),
            may_lose_download,
            message: format!("file-{number} is not downloaded"),
        };
        let damaged = [damaged(1, true), damaged(2, false)];
        let mut exclusions = WaitExclusions::new(HashSet::new());
        let failure = exclusions.finish(&[], &damaged).unwrap_err();
        assert_eq!(failure.kind(), "download-failed");
        assert_eq!(failure.lines(), ["file-1 is not downloaded"]);
        assert!(exclusions.finish(&[], &damaged).unwrap().is_empty());
    }
}
