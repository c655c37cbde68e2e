//! What happens in a transfer by the clock: requests that went stale, idle links, addresses to call,
//! links that are not read.

use super::{Phase, Transfer, links::USELESS};
use crate::peer::MAX_CALLING;
use crate::wire::peer::Message;
use std::net::SocketAddr;
use std::time::Duration;

/// A download into which nothing came for this long lends its buffers to others.
const IDLE: Duration = Duration::from_secs(15);

impl Transfer {
    /// Whether trackers of an open swarm are to hear of it.
    pub(crate) fn is_to_be_announced(&self) -> bool {
        self.listed && self.group.is_none() && self.state().phase.serves()
    }

    /// Does what is due and gives the addresses to call now.
    pub(crate) fn tick(&self) -> Vec<SocketAddr> {
        let now = self.context.now();
        let mut guard = self.state();
        let state = &mut *guard;
        if !state.phase.serves() {
            return Vec::new();
        }
        state.observe_links(now);
        state.serve(now);
        if self.allows_pex() {
            state.tell_contacts(now);
        }
        for (id, blocks) in state.picker.take_from_stalled(now) {
            let stalls = state.stalls.entry(id).or_default();
            *stalls += 1;
            if let Some(link) = state.links.get(&id) {
                let cancels = blocks
                    .into_iter()
                    .map(|block| Message::Cancel(block.into()));
                link.outbox.send(cancels);
                log::info!(
                    "{}: {} delivers nothing; others are asked",
                    self.name(),
                    link.shown_address()
                );
                if *stalls >= self.context.bounds.deadlines.stalls {
                    link.close("it delivers nothing");
                }
            }
        }
        let links: Vec<_> = state.links.values().cloned().collect();
        for link in &links {
            if link.outbox.busy_for() > self.context.bounds.deadlines.unread {
                link.close("it does not read what it is sent");
            }
            if state.interested.contains(&link.id) && !state.picker.is_interesting(link.id) {
                state.interested.remove(&link.id);
                link.outbox.send([Message::NotInterested]);
            }
            if !state.picker.is_fetching(link.id) {
                self.request(state, link, now);
            }
        }
        // A web seed that is being read from may take long until it comes to what is wanted; it has
        // limits of its own.
        let asks = state.servers.values().any(|server| server.asking);
        if state.picker.has_active()
            && !asks
            && state.with_pool == 0
            && now.saturating_sub(state.last_arrival) > IDLE
        {
            state.picker.abandon_active();
            state.drop_pending(&self.context.buffers);
        }
        // A download into which nothing comes calls others though all its places are taken: one
        // will make room.
        let starves =
            state.phase == Phase::Active && now.saturating_sub(state.last_arrival) >= USELESS;
        let places = self.context.bounds.max_peers + if starves { MAX_CALLING } else { 0 };
        let taken = (state.links.len(), state.linked_calls());
        state.contacts.next_calls(taken, places, now)
    }
}
