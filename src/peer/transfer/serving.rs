//! Serving a swarm: who may ask, what of it is sent, how fast.
//!
//! In scope: what a choker's decisions do to links, requests of others. The decisions themselves are
//! made in `swarm`.

use super::{Phase, State, Transfer};
use crate::peer::{Link, link::Queued};
use crate::swarm::Seen;
use crate::torrent::{BlockRange, PieceSet};
use crate::wire::peer::Message;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Transfer {
    /// The other side is interested in our pieces, or is so no more.
    pub(crate) fn on_interested(&self, link: &Link, interested: bool) {
        let mut state = self.state();
        state.choker.on_interested(link.id, interested);
        state.serve(self.context.now());
    }

    /// The other side asks for a block of a piece that is owned here.
    pub(crate) fn queue(&self, link: &Link, range: BlockRange) -> Queued {
        let queued = link.outbox.push_block(range);
        // Whoever owns as many pieces as are allowed has something to trade with, and can wait (BEP 6).
        if queued != Queued::Choked || !link.allowed_fast.contains(&range.piece()) {
            return queued;
        }
        let owned = self
            .state()
            .picker
            .pieces_of(link.id)
            .map_or(0, PieceSet::count);
        if owned as usize >= link.allowed_fast.len() {
            return Queued::Choked;
        }
        link.outbox.push_allowed(range)
    }
}

impl State {
    /// Whether nothing is fetched any more.
    pub(crate) fn only_uploads(&self) -> bool {
        matches!(self.phase, Phase::Finishing | Phase::Complete)
    }

    /// Takes in what every link moved lately.
    pub(crate) fn observe_links(&mut self, now: Duration) {
        for link in self.links.values() {
            let paused = link.traffic.paused.load(Ordering::Relaxed);
            if paused {
                // What we do not read on purpose is late by no fault of theirs.
                self.picker.excuse(link.id, now);
                self.last_arrival = now;
            }
            let seen = Seen {
                gave: link.downloaded(),
                took: link.uploaded(),
                owes: !paused
                    && !self.picker.is_choked(link.id)
                    && self.picker.is_fetching(link.id),
            };
            self.choker.observe(link.id, now, seen);
        }
    }

    /// Gives out upload slots as they are due, and tells those whose lot changed.
    pub(crate) fn serve(&mut self, now: Duration) {
        for change in self.choker.decide(now, self.only_uploads()) {
            if let Some(link) = self.links.get(&change.link) {
                if change.choked {
                    link.outbox.choke(link.fast, &link.allowed_fast);
                } else {
                    link.outbox.unchoke();
                }
            }
        }
    }

    /// Tells all that are left that we fetch no more (BEP 21).
    pub(crate) fn tell_upload_only(&self, transfer: &Transfer) {
        let payload = transfer.extension_handshake(true).encode();
        for link in self.links.values().filter(|link| link.extensions) {
            let (id, payload) = (0, payload.as_slice());
            link.outbox.send([Message::Extended { id, payload }]);
        }
    }
}
