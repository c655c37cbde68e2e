//! What a transfer tells of itself to whoever asks.

use super::{Phase, State, Transfer};
use crate::peer::{DownloadStatus, LinkStatus, ShareStatus};
use crate::storage::RecordKind;
use std::path::PathBuf;

/// The source of bytes that were here at the start and that nobody is known to have sent.
const DISK: &str = "disk";

impl Transfer {
    /// The state of a download.
    pub(crate) fn download_status(&self) -> DownloadStatus {
        let tracker_trouble = self.tracker_trouble();
        let suspended = self.suspended();
        let now = self.context.now();
        let state = self.state();
        let elapsed = state.ended.unwrap_or(now).saturating_sub(state.started);
        let done = state.verified_bytes;
        let fetched = done - state.sources.get(DISK).copied().unwrap_or(0).min(done);
        let mut from: Vec<(String, u64)> = state.sources.clone().into_iter().collect();
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
            state: state.phase.shown(),
            bytes_done: done,
            bytes_total: self.selection.bytes(),
            elapsed,
            rate,
            peers: state.links.len(),
            from,
            path: self.path(),
            trouble: suspended.or_else(|| state.why_nothing_comes(tracker_trouble)),
        }
    }

    /// What is served of it; `None` for a download that was never complete.
    pub(crate) fn share_status(&self) -> Option<ShareStatus> {
        let suspended = self.suspended();
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
    fn suspended(&self) -> Option<String> {
        let user = &self.group.as_ref()?.user;
        let is_here = self.services.account.user().as_ref() == Some(user);
        let ended = matches!(self.state().phase, Phase::Failed(_));
        (!is_here && !ended).then(|| format!("suspended until {user} is logged in here"))
    }

    pub(crate) fn link_statuses(&self) -> Vec<LinkStatus> {
        let total = self.info().lengths().pieces();
        let state = self.state();
        let mut links: Vec<LinkStatus> = state
            .links
            .values()
            .map(|link| link.status(self.name(), state.picker.pieces_of(link.id), total))
            .collect();
        links.sort_by_key(|link| link.address);
        links
    }

    /// Where its file or folder stands or will stand.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.kind {
            RecordKind::Share(path) => path.clone(),
            RecordKind::Download(place) => place.path(),
        }
    }
}

impl State {
    /// Bytes that were found here and are not known to come from a peer count as from disk, so that all sources add up
    /// to what is verified.
    pub(crate) fn account_for_disk(&mut self) {
        let known: u64 = self.sources.values().sum();
        if known > self.verified_bytes {
            self.sources.clear();
        }
        let known: u64 = self.sources.values().sum();
        if self.verified_bytes > known {
            *self.sources.entry(DISK.to_owned()).or_default() += self.verified_bytes - known;
        }
    }

    fn why_nothing_comes(&self, tracker_trouble: Option<String>) -> Option<String> {
        if self.phase != Phase::Active {
            return self.trouble.clone();
        }
        let known = self.contacts.candidates.known().count();
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
                let unreached = self.contacts.unreached.as_deref();
                for (between, why) in [(": ", unreached), ("; ", tracker_trouble.as_deref())] {
                    why.iter()
                        .for_each(|why| told += &format!("{between}{why}"));
                }
                Some(told)
            }
        }
    }
}
