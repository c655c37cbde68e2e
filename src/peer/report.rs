//! What a transfer tells of itself to whoever asks.

use super::magnet::LOOKING;
use super::shared::Shared;
use super::status::{DownloadState, DownloadStatus, LinkStatus, ShareStatus};
use super::transfer::{Kind, Phase, State, Transfer};
use std::path::PathBuf;

/// The source of bytes that were here at the start and that nobody is known to have sent.
const DISK: &str = "disk";

impl Transfer {
    /// The state of a download.
    pub(super) fn download_status(&self, shared: &Shared) -> DownloadStatus {
        let tracker_trouble = if self.listed {
            match &self.group {
                Some(_) => shared.group_announcer.trouble(self.info_hash()),
                None => shared.announcer.trouble(self.info_hash()),
            }
        } else {
            None
        };
        let suspended = self.suspended(shared);
        let now = shared.now();
        let state = self.state();
        let elapsed = state.ended.unwrap_or(now).saturating_sub(state.started);
        let done = state.verified_bytes;
        let fetched = done - state.sources.get(DISK).copied().unwrap_or(0).min(done);
        let mut from: Vec<(String, u64)> = state
            .sources
            .iter()
            .map(|(source, bytes)| (source.clone(), *bytes))
            .collect();
        from.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
        let rate = match state.phase {
            Phase::Active | Phase::Finishing => state.rate.bytes_per_second(now),
            _ if elapsed.is_zero() => 0,
            _ => (fetched as f64 / elapsed.as_secs_f64()) as u64,
        };
        DownloadStatus {
            info_hash: self.info_hash(),
            name: self.name().to_owned(),
            group: self.group.as_ref().map(|group| group.label.to_string()),
            state: match &state.phase {
                Phase::Checking => DownloadState::Checking,
                Phase::Seeking | Phase::Active | Phase::Finishing => DownloadState::Downloading,
                Phase::Complete => DownloadState::Complete,
                Phase::Lost(reason) | Phase::Failed(reason) => {
                    DownloadState::Failed(reason.clone())
                }
            },
            bytes_done: done,
            bytes_total: self.selection.bytes(),
            elapsed,
            rate,
            peers: state.links.len(),
            from,
            path: self.path(),
            trouble: suspended.or_else(|| match state.phase {
                Phase::Seeking => Some(state.why_no_metadata(tracker_trouble)),
                _ => state.why_nothing_comes(tracker_trouble),
            }),
        }
    }

    /// What is served of it; `None` for a download that was never complete.
    pub(super) fn share_status(&self, shared: &Shared) -> Option<ShareStatus> {
        let suspended = self.suspended(shared);
        let state = self.state();
        let trouble = match &state.phase {
            Phase::Failed(reason) if !self.is_download() => Some(reason.clone()),
            Phase::Checking if !self.is_download() => Some("being checked".to_owned()),
            Phase::Lost(reason) => Some(reason.clone()),
            Phase::Complete => state.trouble.clone().or(suspended),
            _ => return None,
        };
        Some(ShareStatus {
            info_hash: self.info_hash(),
            name: self.name().to_owned(),
            length: self.info().lengths().total(),
            uploaded: self.uploaded_bytes(),
            peers: state.links.len(),
            trouble,
        })
    }

    /// Why it rests, if it is of a group and its user is not logged in here.
    fn suspended(&self, shared: &Shared) -> Option<String> {
        let user = &self.group.as_ref()?.user;
        let is_here = shared.account.user().as_ref() == Some(user);
        let ended = matches!(self.state().phase, Phase::Failed(_));
        (!is_here && !ended).then(|| format!("suspended until {user} is logged in here"))
    }

    pub(super) fn link_statuses(&self) -> Vec<LinkStatus> {
        let state = self.state();
        let mut links: Vec<LinkStatus> = state
            .links
            .values()
            .map(|link| link.status(self, state.picker.pieces_of(link.id)))
            .collect();
        links.sort_by_key(|link| link.address);
        links
    }

    /// Where its file or folder stands or will stand.
    pub(super) fn path(&self) -> PathBuf {
        match &self.kind {
            Kind::Share(path) => path.clone(),
            Kind::Download(place) => place.path(),
            Kind::Magnet(sought) => sought.destination.clone(),
        }
    }
}

impl State {
    /// Bytes that were found here and are not known to come from a peer count as from disk, so that all sources add up
    /// to what is verified.
    pub(super) fn account_for_disk(&mut self) {
        let known: u64 = self.sources.values().sum();
        if known > self.verified_bytes {
            self.sources.clear();
        }
        let known: u64 = self.sources.values().sum();
        if self.verified_bytes > known {
            *self.sources.entry(DISK.to_owned()).or_default() += self.verified_bytes - known;
        }
    }

    fn why_no_metadata(&self, tracker_trouble: Option<String>) -> String {
        let trouble = match self.candidates.known().next() {
            Some(_) => self.unreached.clone(),
            None => tracker_trouble,
        };
        match trouble {
            Some(trouble) => format!("{LOOKING}; {trouble}"),
            None => LOOKING.to_owned(),
        }
    }

    fn why_nothing_comes(&self, tracker_trouble: Option<String>) -> Option<String> {
        if self.phase != Phase::Active {
            return self.trouble.clone();
        }
        let known = self.candidates.known().count();
        let interesting = self.links.keys().any(|id| self.picker.is_interesting(*id));
        match (interesting, self.links.is_empty(), known) {
            _ if !self.servers.is_empty() => self.trouble.clone(),
            (true, ..) => self.trouble.clone(),
            (false, false, _) => Some("no connected peer has the missing pieces".to_owned()),
            (false, true, 0) if self.barred => {
                Some("every owner sent bad data and is left alone for some minutes".to_owned())
            }
            (false, true, 0) => {
                tracker_trouble.or_else(|| Some("no owner is known yet".to_owned()))
            }
            (false, true, _) => {
                let mut told = "no owner can be reached".to_owned();
                for (between, why) in [(": ", &self.unreached), ("; ", &tracker_trouble)] {
                    why.iter()
                        .for_each(|why| told += &format!("{between}{why}"));
                }
                Some(told)
            }
        }
    }
}
