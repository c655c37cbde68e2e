//! What a link tells and gives, and what that means for its transfer. The steps after a run of blocks has arrived are in
//! `pieces`.

use super::{PendingBlock, Phase, Source, State, Transfer};
use crate::peer::{BlockBuffer, LARGEST_WINDOW, Link, USUAL_REQUEST_QUEUE};
use crate::swarm::{Arrival, LinkId, Run};
use crate::torrent::{BlockRange, PieceIndex};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::peer::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why two sides that fetch nothing end their link.
pub(crate) const NOTHING_TO_FETCH: &str = "neither side fetches anything";

/// A block came that was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unasked;

impl Transfer {
    /// The other side told something, which changes what `act` does and perhaps interest and requests.
    pub(crate) fn on_news<R>(&self, link: &Link, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = act(&mut state);
        self.follow_up(&mut state, link);
        result
    }

    /// The other side would like to send a piece before others.
    pub(crate) fn on_suggest(&self, link: &Link, piece: PieceIndex) {
        self.state().picker.on_suggest(link.id, piece);
    }

    /// The other side told of itself.
    pub(crate) fn on_extended_handshake(&self, link: &Link, handshake: ExtensionHandshake) {
        link.on_extended_handshake(handshake);
        let queue = link
            .told(|told| told.request_queue)
            .unwrap_or(USUAL_REQUEST_QUEUE);
        let now = self.context.now();
        let mut state = self.state();
        if link
            .listens_at()
            .is_some_and(|address| state.contacts.candidates.is_barred(address, now))
        {
            return link.close("it sent bad data a while ago");
        }
        state
            .picker
            .limit_window(link.id, queue.clamp(1, LARGEST_WINDOW));
        if let Some(address) = link.listens_at() {
            state.contacts.candidates.add(address);
            state.contacts.candidates.on_linked(address);
        }
        self.follow_up(&mut state, link);
    }

    /// A block arrived. Gives the buffer back if the block is not needed.
    ///
    /// # Errors
    /// When the block was not asked for.
    pub(crate) fn on_block(
        self: &Arc<Self>,
        link: &Link,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, Unasked> {
        let source = Source::Peer(link.shown_address());
        self.arrived(link.id, &source, Some(link), range, buffer)
    }

    /// A block arrived from a source that blocks are asked of under that number.
    pub(crate) fn arrived(
        self: &Arc<Self>,
        id: LinkId,
        source: &Source,
        link: Option<&Link>,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, Unasked> {
        let now = self.context.now();
        self.downloaded
            .fetch_add(range.length().into(), Ordering::Relaxed);
        let mut guard = self.state();
        let state = &mut *guard;
        let mut completed = None;
        let spare = match state.picker.on_block(id, range, now) {
            Arrival::Unasked => return Err(Unasked),
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
                let pending = PendingBlock {
                    buffer,
                    source: source.clone(),
                };
                let key = Run::containing(self.info().lengths(), range);
                let blocks = state.pending.entry(key).or_insert_with(|| {
                    std::iter::repeat_with(|| None)
                        .take(key.blocks as usize)
                        .collect()
                });
                if let Some(place) = blocks.get_mut((range.number() - key.first_block()) as usize) {
                    *place = Some(pending);
                }
                if let Some(run) = run {
                    let blocks = state.pending.remove(&run).unwrap_or_default();
                    state.with_pool += run.blocks;
                    completed = Some((run, blocks.into_iter().flatten().collect::<Vec<_>>()));
                }
                None
            }
        };
        if let Some(link) = link {
            self.request(state, link, now);
        }
        drop(guard);
        if let Some((run, blocks)) = completed {
            let transfer = Arc::clone(self);
            let tasks = &self.context.tasks;
            tasks.submit(move || transfer.finish_run(run, blocks));
        }
        Ok(spare)
    }

    /// Interest and requests after whatever a link told.
    fn follow_up(&self, state: &mut State, link: &Link) {
        if state.phase == Phase::Complete && state.fetches_nothing(link) {
            if let Some(address) = link.listens_at() {
                state.contacts.released(address, self.context.now());
            }
            return link.close(NOTHING_TO_FETCH);
        }
        if state.picker.is_interesting(link.id) && state.interested.insert(link.id) {
            link.outbox.send([Message::Interested]);
        }
        self.request(state, link, self.context.now());
    }

    /// Asks a link for as many blocks as its window has room for.
    pub(crate) fn request(&self, state: &mut State, link: &Link, now: Duration) {
        if state.phase != Phase::Active {
            return;
        }
        let mut blocks = Vec::new();
        let State {
            picker, reserved, ..
        } = state;
        let mut reserve = |count| self.context.buffers.reserve(reserved, count);
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
