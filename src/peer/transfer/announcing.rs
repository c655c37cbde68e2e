//! How a transfer is announced: to the trackers of an open swarm, or to those of its group.

use super::{Phase, Transfer};
use crate::certificate::Fingerprint;
use crate::peer::{Announced, Reading, Snapshot, group::GroupSwarm};
use crate::torrent::{InfoHash, PieceSet};
use crate::wire::Event;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A download into which something came so lately gets what it needs.
const LATELY: Duration = Duration::from_secs(2);

impl Transfer {
    /// Announces it as soon as possible, and goes on announcing it.
    pub(crate) fn announce(self: &Arc<Self>, event: Option<Event>) {
        let services = &self.services;
        match &self.group {
            Some(group) => services
                .group_announcer
                .announce(self.clone(), group, event),
            None => services.announcer.announce(self.clone(), event),
        }
    }

    /// The trackers hear that it ends here.
    pub(crate) fn leave(&self) {
        match &self.group {
            Some(_) => self.services.group_announcer.leave(self.info_hash()),
            None => self.services.announcer.leave(self.info_hash()),
        }
    }

    /// The latest trouble with its trackers.
    pub(crate) fn tracker_trouble(&self) -> Option<String> {
        let (info_hash, services) = (self.info_hash(), &self.services);
        match &self.group {
            _ if !self.listed => None,
            Some(_) => services.group_announcer.trouble(info_hash),
            None => services.announcer.trouble(info_hash),
        }
    }

    /// Its user may have it: if it was complete and could not be shared, it is from now on. Returns
    /// whether that is so.
    pub(crate) fn comes_back(&self) -> bool {
        {
            let mut state = self.state();
            if state.retired || !std::mem::take(&mut state.out) {
                return false;
            }
            state.trouble = None;
            if state.phase != Phase::Complete {
                return false;
            }
            let whole = PieceSet::full(self.info().lengths());
            self.context.owned.insert(self.info_hash(), whole);
        }
        log::info!("{}: shared again", self.name());
        self.context.changes.notify();
        true
    }
}

impl Announced for Transfer {
    fn info_hash(&self) -> InfoHash {
        self.info().info_hash()
    }

    fn name(&self) -> &str {
        self.info().name().as_str()
    }

    fn tiers(&self) -> &[Vec<String>] {
        self.metainfo.trackers()
    }

    fn reading(&self) -> Reading {
        match self.info().private() {
            true => Reading::One,
            false => Reading::InOrder,
        }
    }

    fn snapshot(&self, event: Option<Event>) -> Snapshot {
        let state = self.state();
        let phase = &state.phase;
        Snapshot {
            uploaded: self.uploaded_bytes(),
            downloaded: self.downloaded_bytes(),
            left: self.bytes_left(&state),
            event: match event {
                // A partial seed says so with each announce (BEP 21). The first time is a moment
                // before it becomes one.
                None | Some(Event::Paused) if self.is_partial_seed(phase) => Some(Event::Paused),
                Some(Event::Paused) if *phase != Phase::Finishing => None,
                event => event,
            },
        }
    }

    fn is_hungry(&self) -> bool {
        let state = self.state();
        let asks = |id| state.picker.is_interesting(id);
        state.phase == Phase::Active && !state.links.keys().any(|id| asks(*id))
    }

    fn starves(&self, now: Duration) -> bool {
        let state = self.state();
        state.phase == Phase::Active && now.saturating_sub(state.last_arrival) >= LATELY
    }

    fn found(&self, peers: Vec<SocketAddr>) {
        self.add_candidates(peers);
    }

    fn give_up_peers(&self, reason: &str) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.contacts.candidates = state.contacts.candidates.barred_alone();
        let links: Vec<_> = state.links.values().cloned().collect();
        for link in links {
            self.detach(state, link.id);
            link.close(reason);
        }
        state.serve(self.context.now());
    }
}

impl GroupSwarm for Transfer {
    fn authority(&self) -> Option<Fingerprint> {
        self.authority
    }

    fn close_links(&self, reason: &str) {
        self.close_links(reason);
    }

    fn may_be_shared(&self) {
        self.comes_back();
    }

    fn may_not_be_shared(&self, reason: &str) -> bool {
        {
            let mut state = self.state();
            match state.phase {
                Phase::Complete if state.out => return true,
                Phase::Complete => state.out = true,
                // These are not announced, and say why themselves.
                Phase::Lost(_) | Phase::Failed(_) => return true,
                _ => return false,
            }
        }
        self.context.owned.remove(self.info_hash());
        self.close_links(reason);
        self.set_trouble(format!("not shared any more: {reason}"));
        self.context.changes.notify();
        true
    }

    fn fail(&self, reason: &str) {
        self.fail(reason);
    }
}
