//! Serving a swarm: who may ask, what of it is sent, how fast.
//!
//! In scope: what a choker's decisions do to links, requests of others, limits on the rates of the whole peer. The
//! decisions themselves are `swarm`'s.

use super::link::{Link, Queued};
use super::shared::Shared;
use super::transfer::{Phase, State, Transfer};
use crate::swarm::{Bucket, Seen, UploadSlots};
use crate::torrent::{BlockRange, PieceSet};
use crate::wire::peer::Message;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much a peer gives and takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many peers of one share are served at a time; by default as many as the rate allows, at least eight.
    pub upload_slots: Option<usize>,
    /// The most bytes of blocks a second that are sent, over all links.
    pub up: Option<u64>,
    /// The most bytes of blocks a second that are read, over all links.
    pub down: Option<u64>,
}

impl Limits {
    pub(super) fn slots(&self) -> UploadSlots {
        match self.upload_slots {
            Some(number) => UploadSlots::Fixed(number),
            None => UploadSlots::ByRate { limit: self.up },
        }
    }
}

/// A limit as threads wait for it. Its lock is held for a sum; whoever waits does so without it.
#[derive(Debug)]
pub(super) struct Throttle {
    epoch: Instant,
    bucket: Mutex<Bucket>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            epoch: Instant::now(),
            bucket: Mutex::new(Bucket::new(bytes_per_second)),
        }
    }

    /// Reserves up to a block; gives from when on it may move.
    pub(super) fn reserve(&self, bytes: u32) -> Instant {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoch + bucket.reserve(self.epoch.elapsed(), bytes)
    }
}

impl Transfer {
    /// The other side is interested in our pieces, or is so no more.
    pub(super) fn interested(&self, shared: &Shared, link: &Link, interested: bool) {
        let mut state = self.state();
        state.choker.interested(link.id, interested);
        state.serve(shared.now());
    }

    /// The other side asks for a block of a piece that is owned here.
    pub(super) fn queue(&self, link: &Link, range: BlockRange) -> Queued {
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
    pub(super) fn only_uploads(&self) -> bool {
        matches!(self.phase, Phase::Finishing | Phase::Complete)
    }

    /// Takes in what every link moved lately.
    pub(super) fn observe_links(&mut self, now: Duration) {
        for link in self.links.values() {
            let paused = link.is_paused();
            if paused {
                // What we do not read on purpose is late by no fault of theirs.
                self.picker.excuse(link.id, now);
                self.last_arrival = now;
            }
            let seen = Seen {
                gave: link.downloaded.load(Ordering::Relaxed),
                took: link.uploaded.load(Ordering::Relaxed),
                owes: !paused
                    && !self.picker.is_choked(link.id)
                    && self.picker.is_fetching(link.id),
            };
            self.choker.see(link.id, now, seen);
        }
    }

    /// Gives out upload slots as they are due, and tells those whose lot changed.
    pub(super) fn serve(&mut self, now: Duration) {
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
    pub(super) fn tell_upload_only(&self, transfer: &Transfer, shared: &Shared) {
        let payload = transfer.extension_handshake(shared, true).encode();
        for link in self.links.values().filter(|link| link.extensions) {
            let (id, payload) = (0, payload.as_slice());
            link.outbox.send([Message::Extended { id, payload }]);
        }
    }
}
