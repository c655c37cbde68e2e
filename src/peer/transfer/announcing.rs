//! The announces of a transfer, the changes that its trackers may make to it, and its other
//! sources.

use super::transfer::Transfer;
use crate::swarm::Phase;
use crate::torrent::{Metainfo, NamedSources};
use crate::wire::AnnounceEvent;
use std::time::Instant;

impl Transfer {
    /// Announces the transfer as soon as possible, and regularly from then on.
    pub(crate) fn announce_soon(&self, event: Option<AnnounceEvent>) {
        if let Some(transfer) = self.to_arc() {
            self.trackers.announce(transfer, event);
        }
    }

    /// When the first announce is due, at `now` or later.
    pub(crate) fn first_announce(&self, now: Instant) -> Instant {
        match self.plan.was_complete {
            true => now.max(self.context.first_announces()),
            false => now,
        }
    }

    /// Reports to the trackers that the transfer ends at this peer.
    pub(crate) fn leave_swarm(&self) {
        self.trackers.leave(self.info_hash());
    }

    /// The latest error of the transfer's trackers.
    pub(super) fn tracker_trouble(&self) -> Option<String> {
        match self.plan.is_of_closed_run {
            true => None,
            false => self.trackers.trouble(self.info_hash()),
        }
    }

    /// Whether the transfer is announced to the trackers of an open swarm.
    pub(crate) fn is_to_be_announced(&self) -> bool {
        let is_open = !self.plan.is_of_closed_run && self.plan.group.is_none();
        is_open && self.inspect(|core| core.phase().serves())
    }

    /// Serves a withdrawn share again, because its user is allowed to share it again. Returns
    /// `false`, and does nothing, if the share is not withdrawn.
    pub(crate) fn serve_again(&self) -> bool {
        let is_back = self.decide(|core, now| core.restore(now));
        if is_back {
            log::info!("{}: shared again", self.name());
            self.context.changes.notify();
        }
        is_back
    }

    /// Stops serving the share, because its user is no longer a member of the group or the share is
    /// no longer in the catalogue. Returns `true` if the caller is to ask the trackers again later,
    /// so that a complete share can be served again. Returns `false`, and does nothing, while the
    /// share is being checked or downloaded: then the caller ends the transfer.
    pub(crate) fn withdraw(&self, reason: &str) -> bool {
        match self.phase() {
            // Nothing is announced in these phases, and each keeps the reason that it has.
            Phase::Lost { .. } | Phase::Failed { .. } | Phase::Withdrawn { .. } => return true,
            Phase::Complete => {}
            _ => return false,
        }
        if self.decide(|core, now| core.withdraw(reason, now)) {
            log::warn!("{}: not shared any more: {reason}", self.name());
            self.context.changes.notify();
        }
        true
    }

    /// Ends a complete share: it is no longer served, and its trackers receive `stopped`.
    pub(crate) fn end_sharing(&self, reason: &str) {
        // From now on, new links are refused.
        self.decide(|core, now| core.withdraw(reason, now));
        self.leave_swarm();
        self.close_files();
    }

    /// The trackers, web seeds and named peers of the transfer.
    pub(crate) fn sources(&self) -> NamedSources {
        self.sources.all()
    }

    /// The metainfo with all trackers and web seeds.
    pub(crate) fn metainfo(&self) -> Metainfo {
        let (metainfo, sources) = (self.plan.metainfo.clone(), self.sources());
        let metainfo = metainfo.with_trackers(sources.trackers);
        metainfo.with_web_seeds(sources.web_seeds)
    }

    /// Whether the transfer may use sources that another `.torrent` or magnet link of the share
    /// names. It may if it is in an open swarm and not private (BEP 27).
    pub(crate) fn accepts_sources(&self) -> bool {
        let is_open = self.plan.group.is_none() && !self.plan.is_of_closed_run;
        is_open && !self.info().private()
    }

    /// Records the sources of `more`, and also uses them from now on. Returns the sources that are
    /// new. The caller opens links to the new peers.
    pub(crate) fn add_sources(&self, more: &NamedSources) -> NamedSources {
        let added = self.sources.merge(more);
        if added.is_empty() {
            return added;
        }
        self.record_sources();
        if !added.trackers.is_empty() && self.is_to_be_announced() {
            self.announce_soon(None);
        }
        if self.fetches() {
            self.start_web_seeds(&added.web_seeds);
        }
        self.context.changes.notify();
        added
    }

    /// Asks the thread `tick` to start the threads of these web seeds.
    pub(super) fn start_web_seeds(&self, web_seeds: &[String]) {
        self.sources.add_due(web_seeds);
        self.context.ticks.include(self.info_hash());
        self.context.ticks.trigger();
    }

    /// The web seeds whose threads are to be started. Each is returned once.
    pub(crate) fn take_web_seeds_due(&self) -> Vec<String> {
        self.sources.take_due()
    }
}
