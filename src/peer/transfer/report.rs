//! The status of a transfer.

use super::transfer::Transfer;
use super::unfinished::left_text;
use crate::base::command_text;
use crate::peer::{
    BlockBuffer, DownloadState, DownloadStatus, GroupStatus, LinkStatus, ShareStatus, VersionStatus,
};
use crate::swarm::{Core, Phase, SourceStatus};
use crate::torrent::PieceSet;
use std::time::Duration;

/// The download state that is shown for a phase. `checked`: the checked part in percent.
pub(crate) fn download_state(phase: &Phase, checked: u64) -> DownloadState {
    match phase {
        Phase::Checking => DownloadState::Checking(checked),
        Phase::Waiting { .. } | Phase::Fetching { .. } | Phase::Finishing => {
            DownloadState::Downloading
        }
        Phase::Complete | Phase::Withdrawn { .. } => DownloadState::Complete,
        Phase::Lost { reason } | Phase::Failed { reason } => DownloadState::Failed(reason.clone()),
        Phase::Retired => DownloadState::Failed("another download has replaced it".to_owned()),
    }
}

impl Transfer {
    /// The status of this transfer as a download.
    pub(crate) fn download_status(&self) -> DownloadStatus {
        let tracker_trouble = self.tracker_trouble();
        let publisher_trouble = self.trackers.publisher_trouble(self.info_hash());
        let suspended = self.suspended();
        let left = self.left().map(|left| left_text(&left));
        let now = self.context.now();
        self.inspect(|core| {
            let (progress, elapsed) = (core.progress(), core.elapsed(now));
            let sources = progress.sources();
            let sources = sources.map(|(source, bytes)| (source.to_owned(), bytes));
            let mut from: Vec<(String, u64)> = sources.collect();
            from.sort_by(|(a, a_bytes), (b, b_bytes)| b_bytes.cmp(a_bytes).then_with(|| a.cmp(b)));
            let rate = match core.phase() {
                Phase::Waiting { .. } | Phase::Fetching { .. } | Phase::Finishing => {
                    progress.rate(now)
                }
                _ if elapsed.is_zero() => 0,
                _ => (progress.fetched() as f64 / elapsed.as_secs_f64()) as u64,
            };
            DownloadStatus {
                info_hash: self.info_hash(),
                name: self.name().to_owned(),
                group: self.group_status(),
                state: download_state(core.phase(), self.files.check.percent()),
                bytes_done: progress.verified(),
                bytes_total: self.plan.selection.bytes(),
                elapsed,
                rate,
                peers: core.links().len(),
                from,
                path: self.plan.path(),
                trouble: suspended
                    .or_else(|| trouble(core, publisher_trouble, tracker_trouble, now))
                    .or(left),
            }
        })
    }

    /// The status of this transfer as a share. `None` for an incomplete or retired transfer, and
    /// for a download that is being checked or has failed.
    pub(crate) fn share_status(&self) -> Option<ShareStatus> {
        let suspended = self.suspended();
        let is_own = !self.plan.is_download();
        let trouble = match self.phase() {
            Phase::Failed { reason } if is_own => Some(reason),
            Phase::Checking if is_own => {
                Some(format!("being checked, {}%", self.files.check.percent()))
            }
            Phase::Lost { reason } => Some(reason),
            Phase::Withdrawn { reason } => Some(withdrawn_text(&reason)),
            Phase::Complete => suspended.or_else(|| self.left().map(|left| left_text(&left))),
            _ => return None,
        };
        Some(ShareStatus {
            info_hash: self.info_hash(),
            name: self.name().to_owned(),
            length: self.info().lengths().total(),
            group: self.group_status(),
            uploaded: self.uploaded_bytes(),
            peers: self.inspect(|core| core.links().len()),
            trouble,
        })
    }

    /// The command that ends this transfer at this peer only, as a person can type it.
    pub(crate) fn command_to_end(&self) -> String {
        let name = self.context.names.word(self.name(), self.info_hash());
        // A complete share that is resumed is in the phase `Checking` at first.
        let is_complete = self.plan.was_complete || self.phase().was_complete();
        if self.plan.is_download() && !is_complete {
            return command_text("cancel", &[&name], &[]);
        }
        match self.group_name() {
            // Without --here the share would end for all peers.
            Some(group) => command_text("stop_share", &[&group, &name], &["--here"]),
            None => command_text("stop_share", &["-", &name], &[]),
        }
    }

    /// The group and the version. The caller finds out whether this peer has other versions.
    pub(crate) fn group_status(&self) -> Option<GroupStatus> {
        Some(GroupStatus {
            name: self.group_name()?,
            version: self.version().map(|version| VersionStatus {
                share: version.share.clone(),
                number: version.number,
                is_only: true,
            }),
        })
    }

    pub(super) fn group_name(&self) -> Option<String> {
        self.membership()
            .map(|membership| membership.group.to_string())
    }

    /// Why the transfer is suspended: it belongs to a group, and its user is not logged in here.
    fn suspended(&self) -> Option<String> {
        let has_failed = matches!(self.phase(), Phase::Failed { .. });
        self.trackers.suspended().filter(|_| !has_failed)
    }

    /// The status of each link, sorted by address.
    pub(crate) fn link_statuses(&self) -> Vec<LinkStatus> {
        let total = self.info().lengths().pieces();
        let open = self.links();
        let mut statuses: Vec<LinkStatus> = self.inspect(|core| {
            let pairs = open
                .iter()
                .filter_map(|link| Some((link, core.link(link.id())?)));
            let statuses = pairs.map(|(link, in_core)| {
                let extension = in_core.handshake();
                let remote = in_core.remote();
                let user = link.member().map(|member| member.user.clone());
                let claimed_name = extension.name.clone();
                let pieces = core.picker().pieces_of(link.id());
                LinkStatus {
                    share: self.name().to_owned(),
                    address: in_core.shown_address(),
                    name: user.or_else(|| claimed_name.clone()),
                    claimed_name,
                    client: extension
                        .client
                        .clone()
                        .unwrap_or_else(|| remote.peer_id.client()),
                    outgoing: remote.outgoing,
                    pieces: (pieces.map_or(0, PieceSet::count), total),
                    downloaded: in_core.received(),
                    uploaded: link.activity(Duration::ZERO).sent,
                }
            });
            statuses.collect()
        });
        statuses.sort_by_key(|link| link.address);
        statuses
    }
}

fn withdrawn_text(reason: &str) -> String {
    format!("not shared any more: {reason}")
}

/// Why a download makes no progress, or why this peer does not serve what it has of a share.
fn trouble(
    core: &Core<BlockBuffer>,
    publisher_trouble: Option<String>,
    tracker_trouble: Option<String>,
    now: Duration,
) -> Option<String> {
    let serving_trouble = match core.phase() {
        Phase::Fetching { trouble } => trouble.clone(),
        Phase::Waiting { reason, .. } => return Some(format!("waits: {reason}")),
        Phase::Withdrawn { reason } => return Some(withdrawn_text(reason)),
        _ => return None,
    };
    let mut reason = match core.source_status(now) {
        SourceStatus::HasSource => return serving_trouble,
        SourceStatus::NoPeerKnown | SourceStatus::NoLink if publisher_trouble.is_some() => {
            return publisher_trouble;
        }
        SourceStatus::NoInterestingLink => "no connected peer has the missing pieces".to_owned(),
        SourceStatus::AllPeersBarred => {
            "every owner sent bad data and is barred for some minutes".to_owned()
        }
        SourceStatus::NoPeerKnown => {
            tracker_trouble.unwrap_or_else(|| "no owner is known yet".to_owned())
        }
        SourceStatus::NoLink => {
            let mut reason = "no owner can be reached".to_owned();
            let unreached = core.contacts().last_failure();
            for (separator, why) in [(": ", unreached), ("; ", tracker_trouble.as_deref())] {
                why.iter()
                    .for_each(|why| reason += &format!("{separator}{why}"));
            }
            reason
        }
    };
    if let Some(why) = core.web_seed_trouble() {
        reason += &format!("; {why}");
    }
    Some(reason)
}
