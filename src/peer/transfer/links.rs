//! The links of a transfer: whom it calls, who is let in, who has to go.

use super::{State, Transfer};
use crate::peer::{Ended, LARGEST_WINDOW, Link, USUAL_REQUEST_QUEUE};
use crate::swarm::LinkId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A link over which no block goes for this long may have to make room for another.
pub(crate) const USELESS: Duration = Duration::from_secs(5);
/// A line over which nothing went for so long gives way to a new one of the same peer.
const LOST: Duration = Duration::from_secs(10);
/// A link that stood for so long was no failure.
const PROVED: Duration = Duration::from_secs(60);

/// Why a peer is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
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
    pub(crate) fn add_candidates(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut state = self.state();
        addresses
            .into_iter()
            .for_each(|address| state.contacts.candidates.add(address));
        drop(state);
        self.context.ticks.now();
    }

    /// The thread that called the address has ended; unless another link stands for the address, it
    /// may be called again.
    pub(crate) fn call_ended(&self, address: SocketAddr) {
        let now = self.context.now();
        let mut state = self.state();
        let mut links = state.links.values();
        let linked = links.any(|link| link.listens_at() == Some(address));
        state.contacts.call_ended(address, linked, now);
    }

    /// Lets a link in. Two peers that call each other at once keep the call of the one with the lower id, on both sides.
    pub(crate) fn admit(&self, link: &Arc<Link>) -> Result<(), Refusal> {
        let now = self.context.now();
        let mut state = self.state();
        if !state.phase.serves() || state.out || self.context.stop.is_stopped() {
            return Err(Refusal::NotServed);
        }
        if state.contacts.candidates.is_barred(link.address, now) {
            return Err(Refusal::Barred);
        }
        if link.outgoing && self.info().private() && !state.contacts.candidates.has(link.address) {
            // It was called at the word of a tracker that has failed since (BEP 27).
            return Err(Refusal::GivenUp);
        }
        let other = state
            .links
            .values()
            .find(|other| other.peer_id == link.peer_id)
            .cloned();
        if let Some(other) = other {
            let due =
                |outgoing: bool| outgoing == (self.context.identity.peer_id.0 < link.peer_id.0);
            // One that calls again by the same way has lost its former line, though we may not have noticed.
            let lost =
                other.outgoing == link.outgoing && now.saturating_sub(other.last_use()) > LOST;
            if !lost && (due(other.outgoing) || !due(link.outgoing)) {
                if link.outgoing {
                    state.contacts.released(link.address, now);
                }
                return Err(Refusal::Linked);
            }
            self.detach(&mut state, other.id);
            other.close("another line to the same peer takes its place");
        } else if state.links.len() >= self.context.bounds.max_peers
            && !self.make_room(&mut state, now)
        {
            return Err(Refusal::Full);
        }
        if link.outgoing {
            state.contacts.candidates.on_linked(link.address);
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
    pub(crate) fn dismiss(&self, link: &Link, ended: &Ended) {
        let now = self.context.now();
        let mut state = self.state();
        if !self.detach(&mut state, link.id) {
            return;
        }
        state.serve(now);
        let Some(address) = link.listens_at() else {
            return;
        };
        // One that was of use and goes is called again soon; one that never was, later each time.
        if now.saturating_sub(link.traffic.since) > PROVED || link.moved_anything() {
            state.contacts.candidates.on_proved(address);
        }
        state.contacts.call_failed(address, now);
        if ended.is_breach() {
            log::warn!("{}: {address}: {ended}", self.name());
        }
    }

    /// When all places are taken, one over which no block went for a while is for another; first one that has nothing we
    /// want and wants nothing, and of those the one that was of no use for longest.
    pub(crate) fn make_room(&self, state: &mut State, now: Duration) -> bool {
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
            state.contacts.released(address, now);
        }
        self.detach(state, link.id);
        link.close("it makes room for another");
        true
    }

    pub(crate) fn detach(&self, state: &mut State, id: LinkId) -> bool {
        state.picker.remove_link(id);
        state.choker.remove(id);
        state.interested.remove(&id);
        state.stalls.remove(&id);
        state.gossip.remove(&id);
        state.links.remove(&id).is_some()
    }
}
