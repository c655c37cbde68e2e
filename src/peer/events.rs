//! What a link tells and gives, and what that means for its transfer. The steps after a run of blocks has arrived are in
//! `pieces`.

use super::link::Link;
use super::links::{CALL_AGAIN, LARGEST_WINDOW, USUAL_REQUEST_QUEUE};
use super::shared::Shared;
use super::stock::BlockBuffer;
use super::transfer::{Parked, Phase, Source, State, Transfer};
use crate::swarm::{Arrival, LinkId, Run};
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::peer::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why two sides that fetch nothing end their line.
pub(super) const NOTHING_TO_FETCH: &str = "neither side fetches anything";

impl Transfer {
    /// The other side told of all its pieces.
    pub(super) fn has(&self, shared: &Shared, link: &Link, pieces: PieceSet) {
        let mut state = self.state();
        state.picker.has(link.id, pieces);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side told again of all it owns. Gives whether nothing is taken back; if something is, nothing changes.
    pub(super) fn has_more(&self, shared: &Shared, link: &Link, pieces: &PieceSet) -> bool {
        let mut state = self.state();
        let more = state.picker.has_more(link.id, pieces);
        self.follow_up(shared, &mut state, link);
        more
    }

    /// The other side owns a piece more.
    pub(super) fn have(&self, shared: &Shared, link: &Link, piece: PieceIndex) {
        let mut state = self.state();
        state.picker.have(link.id, piece);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side chokes us, or does so no more.
    pub(super) fn choked(&self, shared: &Shared, link: &Link, choked: bool) {
        let mut state = self.state();
        state.picker.choked(link.id, choked, !link.fast);
        if choked {
            state.choker.owes_nothing(link.id);
        }
        self.follow_up(shared, &mut state, link);
    }

    /// The other side will send a piece even while it chokes us.
    pub(super) fn allowed(&self, shared: &Shared, link: &Link, piece: PieceIndex) {
        let mut state = self.state();
        state.picker.allowed(link.id, piece);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side would like to send a piece before others.
    pub(super) fn suggested(&self, link: &Link, piece: PieceIndex) {
        self.state().picker.suggested(link.id, piece);
    }

    /// The other side will not send a block.
    pub(super) fn rejected(&self, shared: &Shared, link: &Link, range: BlockRange) {
        let mut state = self.state();
        state.picker.rejected(link.id, range);
        self.follow_up(shared, &mut state, link);
    }

    /// The other side told of itself.
    pub(super) fn told(&self, shared: &Shared, link: &Link, handshake: ExtensionHandshake) {
        link.told(handshake);
        let queue = link.request_queue().unwrap_or(USUAL_REQUEST_QUEUE);
        let now = shared.now();
        let mut state = self.state();
        if link
            .listens_at()
            .is_some_and(|address| state.candidates.is_barred(address, now))
        {
            return link.close("it sent bad data a while ago");
        }
        state
            .picker
            .limit_window(link.id, queue.clamp(1, LARGEST_WINDOW));
        if let Some(address) = link.listens_at() {
            state.candidates.add(address);
            state.candidates.linked(address);
        }
        self.follow_up(shared, &mut state, link);
    }

    /// A block arrived. Gives the buffer back if the block is not needed.
    ///
    /// # Errors
    /// When the block was not asked for.
    pub(super) fn block(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        link: &Link,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, ()> {
        let source = Source::Peer(link.shown_address());
        self.arrived(shared, link.id, &source, Some(link), range, buffer)
    }

    /// A block arrived from a source that blocks are asked of under that number.
    pub(super) fn arrived(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        id: LinkId,
        source: &Source,
        link: Option<&Link>,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, ()> {
        let now = shared.now();
        self.downloaded
            .fetch_add(range.length().into(), Ordering::Relaxed);
        let mut guard = self.state();
        let state = &mut *guard;
        let mut completed = None;
        let spare = match state.picker.arrived(id, range, now) {
            Arrival::Unasked => return Err(()),
            Arrival::Late => Some(buffer),
            // What still comes in after a download was ended is nobody's: its buffers were given back.
            Arrival::Fresh { .. } if state.phase != Phase::Active => Some(buffer),
            Arrival::Fresh {
                cancel,
                completed: run,
            } => {
                state.stalls.remove(&id);
                state.last_arrival = now;
                state.rate.add(now, range.length().into());
                if let Some(other) = cancel.and_then(|other| state.links.get(&other)) {
                    other.outbox.send([Message::Cancel(range.into())]);
                }
                let parked = Parked {
                    buffer,
                    source: source.clone(),
                };
                let key = Run::containing(self.info().lengths(), range);
                let blocks = state.parked.entry(key).or_insert_with(|| {
                    std::iter::repeat_with(|| None)
                        .take(key.blocks as usize)
                        .collect()
                });
                if let Some(place) = blocks.get_mut((range.number() - key.first_block()) as usize) {
                    *place = Some(parked);
                }
                if let Some(run) = run {
                    let blocks = state.parked.remove(&run).unwrap_or_default();
                    state.with_pool += run.blocks;
                    completed = Some((run, blocks.into_iter().flatten().collect::<Vec<_>>()));
                }
                None
            }
        };
        if let Some(link) = link {
            self.request(shared, state, link, now);
        }
        drop(guard);
        if let Some((run, blocks)) = completed {
            let (shared, transfer) = (Arc::clone(shared), Arc::clone(self));
            let pool = Arc::clone(&shared);
            pool.pool
                .submit(move || transfer.finish_run(&shared, run, blocks));
        }
        Ok(spare)
    }

    /// Interest and requests after whatever a link told.
    fn follow_up(&self, shared: &Shared, state: &mut State, link: &Link) {
        if state.phase == Phase::Complete && state.fetches_nothing(link) {
            if let Some(address) = link.listens_at() {
                state
                    .candidates
                    .released(address, shared.now() + CALL_AGAIN);
            }
            return link.close(NOTHING_TO_FETCH);
        }
        if state.picker.is_interesting(link.id) && state.interested.insert(link.id) {
            link.outbox.send([Message::Interested]);
        }
        self.request(shared, state, link, shared.now());
    }

    /// Asks a link for as many blocks as its window has room for.
    pub(super) fn request(&self, shared: &Shared, state: &mut State, link: &Link, now: Duration) {
        if state.phase != Phase::Active {
            return;
        }
        let mut blocks = Vec::new();
        let State {
            picker, reserved, ..
        } = state;
        let mut reserve = |count| shared.stock.reserve(reserved, count);
        picker.next_blocks(link.id, now, &mut reserve, &mut blocks);
        if !blocks.is_empty() {
            link.outbox.send(
                blocks
                    .into_iter()
                    .map(|block| Message::Request(block.into())),
            );
        }
    }
}
