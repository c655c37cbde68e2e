//! What happens by the clock: requests that went stale, idle links, calls, lines nobody reads.

use super::links::USELESS;
use super::metadata::MOST_CALLS;
use super::shared::Shared;
use super::transfer::{Phase, State, Transfer};
use crate::wire::peer::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often the clock is looked at; new addresses are called at once.
const TICK: Duration = Duration::from_millis(100);
/// A download into which nothing came for this long lends its buffers to others.
const IDLE: Duration = Duration::from_secs(15);
/// How often it is seen whether TRACKER_INFO by now names a tracker for a transfer that has none, and whether those of a download
/// bring it anything.
const TRACKERS: Duration = Duration::from_secs(2);
/// How many calls of one swarm may be under way at once.
const MAX_CALLING: usize = 16;

/// Ticks until the peer stops. Runs on the thread `tick`.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut looked = shared.now();
    while shared.wait_for_tick(TICK) {
        let look = shared.now().saturating_sub(looked) >= TRACKERS;
        if look {
            looked = shared.now();
        }
        for transfer in shared.transfers() {
            if look && transfer.lacks_a_tracker(shared) {
                shared.announce(&transfer, None);
            } else if look {
                shared.announcer.look_at_need(shared, &transfer);
            }
            for address in transfer.tick(shared) {
                shared.spawn_call(&transfer, address);
            }
        }
    }
}

impl Transfer {
    fn lacks_a_tracker(&self, shared: &Shared) -> bool {
        let phase = self.state().phase.clone();
        let waits = phase.serves() || phase == Phase::Seeking;
        self.listed && self.group.is_none() && waits && !shared.announces(self.info_hash())
    }

    /// Does what is due and gives the addresses to call now.
    fn tick(&self, shared: &Shared) -> Vec<SocketAddr> {
        let now = shared.now();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.phase == Phase::Seeking {
            return state.call_some(0, MOST_CALLS, now);
        }
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
                if *stalls >= shared.deadlines.stalls {
                    link.close("it delivers nothing");
                }
            }
        }
        let links: Vec<_> = state.links.values().cloned().collect();
        for link in &links {
            if link.outbox.busy_for() > shared.deadlines.unread {
                link.close("it does not read what it is sent");
            }
            if state.interested.contains(&link.id) && !state.picker.is_interesting(link.id) {
                state.interested.remove(&link.id);
                link.outbox.send([Message::NotInterested]);
            }
            if !state.picker.is_fetching(link.id) {
                self.request(shared, state, link, now);
            }
        }
        // A web seed that is being read from may take long until it comes to what is wanted; it has limits of its own.
        let asks = state.servers.values().any(|server| server.asking);
        if state.picker.has_active()
            && !asks
            && state.with_pool == 0
            && now.saturating_sub(state.last_arrival) > IDLE
        {
            state.picker.abandon_active();
            state.drop_parked(shared);
        }
        // A download into which nothing comes calls others though all its places are taken: one will make room.
        let starves =
            state.phase == Phase::Active && now.saturating_sub(state.last_arrival) >= USELESS;
        let places = shared.max_peers + if starves { MAX_CALLING } else { 0 };
        state.call_some(state.links.len(), places, now)
    }
}

impl State {
    /// Addresses to call now, so that no more than `places` are taken, of which `taken` are.
    fn call_some(&mut self, taken: usize, places: usize, now: Duration) -> Vec<SocketAddr> {
        let mut calls = Vec::new();
        while taken + self.calling() < places
            && self.calling() < MAX_CALLING
            && let Some(address) = self.candidates.next(now, &mut fastrand::Rng::new())
        {
            self.calls.insert(address);
            calls.push(address);
        }
        calls
    }
}
