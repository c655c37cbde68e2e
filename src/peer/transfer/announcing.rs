//! How a transfer is announced: to the trackers of an open swarm, or to those of its group.

use super::transfer::Transfer;
use crate::certificate::Fingerprint;
use crate::peer::{Announced, Reading, Snapshot, group::GroupSwarm};
use crate::swarm::{Core, Phase};
use crate::torrent::InfoHash;
use crate::wire::Event;
use std::net::SocketAddr;
use std::time::Duration;

/// A download into which something came so lately gets what it needs.
const LATELY: Duration = Duration::from_secs(2);

impl Transfer {
    /// Announces it as soon as possible, and goes on announcing it.
    pub(crate) fn announce(&self, event: Option<Event>) {
        let (Some(shared), services) = (self.shared(), &self.services) else {
            return;
        };
        match &self.plan.group {
            Some(group) => services.group_announcer.announce(shared, group, event),
            None => services.announcer.announce(shared, event),
        }
    }

    /// The trackers hear that it ends here.
    pub(crate) fn leave(&self) {
        match &self.plan.group {
            Some(_) => self.services.group_announcer.leave(self.info_hash()),
            None => self.services.announcer.leave(self.info_hash()),
        }
    }

    /// The latest trouble with its trackers.
    pub(super) fn tracker_trouble(&self) -> Option<String> {
        let (info_hash, services) = (self.info_hash(), &self.services);
        match &self.plan.group {
            _ if !self.plan.listed => None,
            Some(_) => services.group_announcer.trouble(info_hash),
            None => services.announcer.trouble(info_hash),
        }
    }

    /// Whether trackers of an open swarm are to hear of it.
    pub(crate) fn is_to_be_announced(&self) -> bool {
        let is_open = self.plan.listed && self.plan.group.is_none();
        is_open && self.look(|core| core.phase().serves())
    }

    /// Its user may have it: if it was complete and could not be shared, it is from now on. Returns
    /// whether that is so.
    pub(crate) fn restore(&self) -> bool {
        let is_back = self.decide(|core, now| core.restore(now));
        if is_back {
            log::info!("{}: shared again", self.name());
            self.context.changes.notify();
        }
        is_back
    }

    /// It has what is wanted of it, and that is not all (BEP 21, "partial seeds").
    fn is_partial_seed<B: std::fmt::Debug>(&self, core: &Core<B>) -> bool {
        *core.phase() == Phase::Complete && !self.plan.selection.is_all()
    }
}

impl Announced for Transfer {
    fn info_hash(&self) -> InfoHash {
        self.info().info_hash()
    }

    fn name(&self) -> &str {
        self.plan.name()
    }

    fn tiers(&self) -> &[Vec<String>] {
        self.plan.metainfo.trackers()
    }

    fn reading(&self) -> Reading {
        match self.info().private() {
            true => Reading::One,
            false => Reading::InOrder,
        }
    }

    fn snapshot(&self, event: Option<Event>) -> Snapshot {
        let total = self.info().lengths().total();
        self.look(|core| Snapshot {
            uploaded: self.uploaded_bytes(),
            downloaded: core.progress().downloaded(),
            left: match core.phase() {
                Phase::Complete if self.plan.selection.is_all() => 0,
                _ => total.saturating_sub(core.progress().verified()),
            },
            event: match event {
                // A partial seed says so with each announce (BEP 21). The first time is a moment
                // before it becomes one.
                None | Some(Event::Paused) if self.is_partial_seed(core) => Some(Event::Paused),
                Some(Event::Paused) if *core.phase() != Phase::Finishing => None,
                event => event,
            },
        })
    }

    fn is_hungry(&self) -> bool {
        self.look(|core| core.phase().fetches() && !core.has_source())
    }

    fn starves(&self, now: Duration) -> bool {
        self.look(|core| core.phase().fetches() && core.progress().idle(now) >= LATELY)
    }

    fn found(&self, peers: Vec<SocketAddr>) {
        self.add_candidates(peers);
    }

    fn give_up_peers(&self, reason: &str) {
        self.decide(|core, now| core.give_up_peers(reason, now));
    }
}

impl GroupSwarm for Transfer {
    fn authority(&self) -> Option<Fingerprint> {
        self.authority()
    }

    fn close_links(&self, reason: &str) {
        self.close_links(reason);
    }

    fn may_be_shared(&self) {
        self.restore();
    }

    fn may_not_be_shared(&self, reason: &str) -> bool {
        match self.phase() {
            // These are not announced, and say why themselves.
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

    fn fail(&self, reason: &str) {
        self.fail(reason);
    }
}
