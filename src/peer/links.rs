//! The links of a transfer: whom it calls, who is let in, who has to go.

use super::link::{Ended, Link};
use super::shared::Shared;
use super::transfer::{State, Transfer};
use crate::swarm::{LinkId, MAX_CANDIDATES};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The most blocks asked of one link at a time: 8 MiB.
pub(super) const LARGEST_WINDOW: u32 = 512;
/// Requests kept by a program that does not say how many it keeps (what libtorrent and others take as given).
pub(super) const USUAL_REQUEST_QUEUE: u32 = 250;
/// After this long an address that turned out to be linked already, or a fellow seed, may be called again.
pub(super) const CALL_AGAIN: Duration = Duration::from_secs(60);
/// A link over which no block goes for this long may have to make room for another.
pub(super) const USELESS: Duration = Duration::from_secs(5);
/// A line over which nothing went for so long gives way to a new one of the same peer.
const LOST: Duration = Duration::from_secs(10);
/// A link that stood for so long was no failure.
const PROVED: Duration = Duration::from_secs(60);

/// Why a peer is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many links")]
    Full,
    #[error("linked already")]
    Linked,
    #[error("barred for bad data")]
    Barred,
    #[error("not served now")]
    NotServed,
    #[error("the tracker that named it has failed")]
    GivenUp,
}

impl Transfer {
    /// Addresses that a tracker or a person names; they are called at once.
    pub(super) fn add_candidates(
        &self,
        shared: &Shared,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) {
        let mut state = self.state();
        addresses
            .into_iter()
            .for_each(|address| state.candidates.add(address));
        drop(state);
        shared.tick_now();
    }

    /// Ends all links and forgets who could be called, but for who is not to be.
    pub(super) fn give_up_peers(&self, shared: &Shared, reason: &str) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.candidates = state.candidates.barred_alone();
        let links: Vec<Arc<Link>> = state.links.values().cloned().collect();
        for link in links {
            self.detach(state, link.id);
            link.close(reason);
        }
        state.serve(shared.now());
    }

    /// The address is this peer itself.
    pub(super) fn is_ourselves(&self, address: SocketAddr) {
        self.state().candidates.bar(address, Duration::MAX);
    }

    /// A call was answered.
    pub(super) fn reached(&self) {
        self.state().unreached = None;
    }

    /// A call came to nothing, for this reason.
    pub(super) fn unreached(&self, why: String) {
        self.state().unreached = Some(why);
    }

    /// Notes that the address hung up at our handshake; whether that is new. Not more are noted than can be called.
    pub(super) fn hung_up_first(&self, address: SocketAddr) -> bool {
        let mut state = self.state();
        state.hung_up.len() < MAX_CANDIDATES && state.hung_up.insert(address)
    }

    pub(super) fn call_failed(&self, shared: &Shared, address: SocketAddr) {
        self.state()
            .candidates
            .failed(address, shared.now(), &mut fastrand::Rng::new());
    }

    /// The thread that called the address ends; unless another link stands for the address, it may be called again.
    pub(super) fn call_ended(&self, shared: &Shared, address: SocketAddr) {
        let mut state = self.state();
        state.calls.remove(&address);
        let linked = state
            .links
            .values()
            .any(|link| link.listens_at() == Some(address));
        if !linked {
            state
                .candidates
                .released(address, shared.now() + CALL_AGAIN);
        }
    }

    /// Lets a link in. Two peers that call each other at once keep the call of the one with the lower id, on both sides.
    pub(super) fn admit(&self, shared: &Shared, link: &Arc<Link>) -> Result<(), Refusal> {
        let now = shared.now();
        let mut state = self.state();
        if !state.phase.serves() || state.out || shared.stop.is_stopped() {
            return Err(Refusal::NotServed);
        }
        if state.candidates.is_barred(link.address, now) {
            return Err(Refusal::Barred);
        }
        if link.outgoing && self.info().private() && !state.candidates.has(link.address) {
            // It was called at the word of a tracker that has failed since (BEP 27).
            return Err(Refusal::GivenUp);
        }
        let other = state
            .links
            .values()
            .find(|other| other.peer_id == link.peer_id)
            .cloned();
        if let Some(other) = other {
            let due = |outgoing: bool| outgoing == (shared.peer_id.0 < link.peer_id.0);
            // One that calls again by the same way has lost its former line, though we may not have noticed.
            let lost =
                other.outgoing == link.outgoing && now.saturating_sub(other.last_use()) > LOST;
            if !lost && (due(other.outgoing) || !due(link.outgoing)) {
                if link.outgoing {
                    state.candidates.released(link.address, now + CALL_AGAIN);
                }
                return Err(Refusal::Linked);
            }
            self.detach(&mut state, other.id);
            other.close("another line to the same peer takes its place");
        } else if state.links.len() >= shared.max_peers && !self.make_room(&mut state, now) {
            return Err(Refusal::Full);
        }
        if link.outgoing {
            state.candidates.linked(link.address);
        }
        let window = if link.extensions {
            LARGEST_WINDOW
        } else {
            USUAL_REQUEST_QUEUE
        };
        state.picker.add_link(link.id, window);
        state.choker.add(link.id);
        state.links.insert(link.id, Arc::clone(link));
        Ok(())
    }

    /// A link has ended.
    pub(super) fn dismiss(&self, shared: &Shared, link: &Link, ended: &Ended) {
        let now = shared.now();
        let mut state = self.state();
        if !self.detach(&mut state, link.id) {
            return;
        }
        state.serve(now);
        let Some(address) = link.listens_at() else {
            return;
        };
        // One that was of use and goes is called again soon; one that never was, later each time.
        if now.saturating_sub(link.since) > PROVED || link.moved_anything() {
            state.candidates.proved(address);
        }
        state
            .candidates
            .failed(address, now, &mut fastrand::Rng::new());
        if ended.is_breach() {
            log::warn!("{}: {address}: {ended}", self.name());
        }
    }

    /// When all places are taken, one over which no block went for a while is for another; first one that has nothing we
    /// want and wants nothing, and of those the one that was of no use for longest.
    pub(super) fn make_room(&self, state: &mut State, now: Duration) -> bool {
        let useless = state
            .links
            .values()
            .filter(|link| now.saturating_sub(link.last_use()) >= USELESS);
        let chosen = useless.min_by_key(|link| {
            let (id, last_use) = (link.id, link.last_use());
            (
                state.picker.is_interesting(id),
                state.choker.is_interested(id),
                last_use,
            )
        });
        let Some(link) = chosen.cloned() else {
            return false;
        };
        if let Some(address) = link.listens_at() {
            state.candidates.released(address, now + CALL_AGAIN);
        }
        self.detach(state, link.id);
        link.close("it makes room for another");
        true
    }

    pub(super) fn detach(&self, state: &mut State, id: LinkId) -> bool {
        state.picker.remove_link(id);
        state.choker.remove(id);
        state.interested.remove(&id);
        state.stalls.remove(&id);
        state.gossip.remove(&id);
        state.links.remove(&id).is_some()
    }
}
