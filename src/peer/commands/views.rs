//! What a person sees of a running peer: its downloads, links and trackers.

use crate::peer::{
    AutomaticStatus, DownloadStatus, LinkStatus, Peer, Status, SwarmEntry, TrackerStatus,
    VersionCounts, announce,
};
use std::time::Duration;

impl Peer {
    /// All downloads, the oldest first.
    pub fn downloads(&self) -> Vec<DownloadStatus> {
        let entries = self.transfers.sorted().into_iter();
        let downloads = entries.filter_map(|entry| match entry {
            SwarmEntry::Search(search) => Some(search.status()),
            SwarmEntry::Transfer(transfer) => (transfer.plan.is_download()
                && !transfer.plan.is_of_closed_run)
                .then(|| transfer.download_status()),
        });
        let counts = self.version_counts();
        downloads.map(|download| download.marked(&counts)).collect()
    }

    /// The number of versions that this peer has of each share of a group.
    fn version_counts(&self) -> VersionCounts {
        let transfers = self.transfers.of_groups();
        VersionCounts::of(
            transfers
                .iter()
                .filter_map(|transfer| transfer.group_status()),
        )
    }

    /// All links.
    pub fn links(&self) -> Vec<LinkStatus> {
        let transfers = self.transfers.sorted().into_iter();
        let transfers = transfers.filter_map(SwarmEntry::into_transfer);
        transfers
            .flat_map(|transfer| transfer.link_statuses())
            .collect()
    }

    /// The status of the whole peer.
    pub fn status(&self) -> Status {
        let transfers = self.transfers.sorted().into_iter();
        let shares = transfers.filter_map(|entry| entry.into_transfer()?.share_status());
        let counts = self.version_counts();
        Status {
            address: self.address(),
            name: self.context.identity.name.clone(),
            user: self.account().shown_user(),
            machine: self.account().machine(),
            login_expires: self.account().login_expires(),
            login_end: self.account().login_end(),
            shares: shares.map(|share| share.marked(&counts)).collect(),
            downloads: self.downloads(),
            trackers: self.trackers(),
            links: self.links().len(),
            damaged: self.damaged(),
            automatic: AutomaticStatus {
                hooks: self.services.hooks.status(),
                mirrors: self.mirrors.status(self.account().user().as_ref()),
            },
        }
    }

    /// First the trackers of TRACKER_INFO, in the order of the file: each of them is asked for its
    /// status now. Then the other trackers that this peer announces to.
    fn trackers(&self) -> Vec<TrackerStatus> {
        let mut announced = self.services.announcer.status();
        let listed = self.account().trackers().into_iter().map(|control| {
            let url = announce::url_of(&control.tracker);
            let at = announced.iter().position(|status| status.url == url);
            let status = at.map(|at| announced.remove(at));
            TrackerStatus {
                url,
                control: Some(control),
                ..status.unwrap_or_default()
            }
        });
        let mut trackers: Vec<_> = listed.collect();
        trackers.append(&mut announced);
        trackers
    }

    /// The number of state changes of transfers so far; see [`Peer::wait_for_change`].
    pub fn change_count(&self) -> u64 {
        self.context.changes.count()
    }

    /// Waits until the number of changes exceeds `change_count`, or until `limit` has passed.
    pub fn wait_for_change(&self, change_count: u64, limit: Duration) {
        self.context.changes.wait(change_count, limit);
    }
}
