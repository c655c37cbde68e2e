//! The fetching half of a core: requests to links and web seeds, and blocks that arrive.

use super::assembly::{Assembly, BlockOutcome, Budget, CompleteRun};
use super::block::{HashedPiece, PendingBlock, Source, Sources};
use super::effect::{CloseReason, Effect, OutgoingMessage};
use super::link::Link;
use super::message::UnrequestedBlock;
use super::progress::Progress;
use super::web_seeds::{WebSeedTrust, WebSeeds};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{BlockRun, LinkId, Picker, Verdict};
use crate::torrent::{BlockRange, Hasher, Lengths, PieceIndex, PieceSet, Sha1};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// A download that gets nothing for longer than this gives up its active pieces, so that other
/// downloads can use the buffers of these pieces.
const ABANDON_AFTER: Duration = Duration::from_secs(15);

/// A block that has just arrived over a link or from a web seed. `source` is `Some` for a web seed
/// only.
pub(super) struct IncomingBlock<'a, B> {
    pub(super) id: LinkId,
    pub(super) source: Option<&'a Source>,
    pub(super) range: BlockRange,
    pub(super) buffer: B,
}

/// The fetching half of a core.
#[derive(Debug)]
pub(super) struct Fetch<B> {
    assembly: Assembly<B>,
    web_seeds: WebSeeds,
    progress: Progress,
    lengths: Lengths,
    /// Reused for the blocks to request.
    blocks: Vec<BlockRange>,
}

impl<B: Debug> Fetch<B> {
    /// Nothing has been requested yet.
    pub(super) fn new(
        picker: Picker,
        lengths: Lengths,
        budget: Box<dyn Budget>,
        now: Duration,
    ) -> Self {
        Self {
            assembly: Assembly::new(picker, lengths, budget),
            web_seeds: WebSeeds::default(),
            progress: Progress::new(now),
            lengths,
            blocks: Vec::new(),
        }
    }

    pub(super) fn picker(&self) -> &Picker {
        self.assembly.picker()
    }

    pub(super) fn picker_mut(&mut self) -> &mut Picker {
        self.assembly.picker_mut()
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    pub(super) fn web_seeds(&self) -> &WebSeeds {
        &self.web_seeds
    }

    pub(super) fn blocks_at_workers(&self) -> u32 {
        self.assembly.blocks_at_workers()
    }

    /// The files were checked. Uses this picker from now on, and counts its owned pieces as
    /// verified.
    pub(super) fn begin(&mut self, picker: Picker) {
        let owned = picker.owned();
        let pieces = self.lengths.all_pieces();
        let good = pieces.filter(|piece| owned.contains(*piece));
        let verified = good.map(|piece| u64::from(self.lengths.length(piece)));
        self.progress.on_checked(verified.sum());
        self.assembly.replace_picker(picker);
        // If the download has waited before, its web seeds get new ids now. So the old ids are
        // forgotten.
        self.web_seeds = WebSeeds::default();
    }

    /// Drops everything that is not verified.
    pub(super) fn stop(&mut self) {
        self.assembly.drop_pending();
    }

    /// A block arrived. `fetches`: whether the download still needs blocks. Returns the buffer if
    /// this block is not needed.
    ///
    /// # Errors
    /// The block was not requested.
    pub(super) fn on_block(
        &mut self,
        incoming: IncomingBlock<'_, B>,
        links: &mut BTreeMap<LinkId, Link>,
        fetches: bool,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> Result<Option<B>, UnrequestedBlock> {
        let IncomingBlock {
            id,
            source,
            range,
            buffer,
        } = incoming;
        let length = range.length();
        self.progress.on_block(length);
        if let Some(source) = source {
            self.web_seeds.on_block(source);
        }
        let mut link = links.get_mut(&id);
        if let Some(link) = &mut link {
            link.on_block(length, now);
        }
        let source = match (source, &link) {
            (Some(source), _) => source.clone(),
            (None, Some(link)) => link.source(),
            // A block of a link that we have just closed.
            (None, None) => return Ok(Some(buffer)),
        };
        let block = PendingBlock {
            buffer,
            length,
            source,
        };
        match self.assembly.on_block(id, range, block, now, fetches) {
            BlockOutcome::Unrequested => Err(UnrequestedBlock),
            BlockOutcome::NotNeeded(buffer) => Ok(Some(buffer)),
            BlockOutcome::Kept { cancel, completed } => {
                if let Some(link) = link {
                    link.stalls = 0;
                }
                self.progress.on_wanted(length, now);
                for other in cancel.into_iter().flatten() {
                    #[cfg(test)]
                    if is_planted(Mutation::CancelLeftOut) {
                        continue;
                    }
                    send_cancels(links, other, [range], effects);
                }
                effects.extend(completed.map(work_on));
                Ok(None)
            }
        }
    }

    /// Requests as many blocks from a link as its window has room for.
    pub(super) fn request(&mut self, id: LinkId, now: Duration, effects: &mut Vec<Effect<B>>) {
        self.assembly.next_blocks(id, now, &mut self.blocks);
        let requests = self.blocks.drain(..).map(OutgoingMessage::Request);
        effects.extend(requests.map(|request| Effect::Send(id, request)));
        effects.extend(self.assembly.take_complete().into_iter().map(work_on));
    }

    /// Begins runs whose blocks are all local.
    pub(super) fn begin_local(&mut self, now: Duration, effects: &mut Vec<Effect<B>>) {
        let complete = self.assembly.begin_local(now).into_iter();
        effects.extend(complete.map(work_on));
    }

    /// Local blocks of this run cannot be read: see [`Core::on_unreadable`](super::Core).
    pub(super) fn on_unreadable(&mut self, run: CompleteRun<B>, fetches: bool) {
        self.assembly.on_unreadable(run, fetches);
    }

    /// Sends requests to the links that have none in flight.
    pub(super) fn request_idle(
        &mut self,
        links: &BTreeMap<LinkId, Link>,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for id in links.keys() {
            if !self.picker().is_fetching(*id) {
                self.request(*id, now, effects);
            }
        }
    }

    /// Sends `interested` to a link that has pieces that we want, unless the remote peer knows this
    /// already.
    pub(super) fn show_interest(
        &self,
        (id, link): (LinkId, &mut Link),
        effects: &mut Vec<Effect<B>>,
    ) {
        if self.picker().is_interesting(id) && !link.sent_interested {
            link.sent_interested = true;
            effects.push(Effect::Send(id, OutgoingMessage::Interested));
        }
    }

    /// Sends `not interested` to links that have no piece that we still want.
    pub(super) fn end_interest(
        &self,
        links: &mut BTreeMap<LinkId, Link>,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, link) in links {
            if link.sent_interested && !self.picker().is_interesting(*id) {
                link.sent_interested = false;
                #[cfg(test)]
                if is_planted(Mutation::InterestNotRenewed) {
                    link.sent_interested = true;
                }
                effects.push(Effect::Send(*id, OutgoingMessage::NotInterested));
            }
        }
    }

    /// Takes the requests away from stalled links, so that other links get them. Closes links that
    /// stall too often in a row.
    pub(super) fn take_from_stalled(
        &mut self,
        links: &mut BTreeMap<LinkId, Link>,
        max_stalls: u32,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, blocks) in self.assembly.picker_mut().take_from_stalled(now) {
            let Some(link) = links.get_mut(&id) else {
                continue;
            };
            link.stalls += 1;
            let is_last = link.stalls >= max_stalls;
            send_cancels(links, id, blocks, effects);
            effects.push(Effect::Stalled(id));
            if is_last {
                effects.push(Effect::Close(id, CloseReason::DeliversNothing));
            }
        }
    }

    /// Takes requests away from links that hold pieces back, and cancels these requests: see
    /// `picker/alone.rs`.
    pub(super) fn take_from_slow(
        &mut self,
        links: &BTreeMap<LinkId, Link>,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, blocks) in self.assembly.picker_mut().take_from_slow(now) {
            send_cancels(links, id, blocks, effects);
        }
    }

    /// Gives up all active pieces if nothing has arrived for long, so that other downloads can use
    /// the buffers. Does nothing while a web seed is in use: its response may take long to reach
    /// a wanted block, and the web seed has its own time limits.
    pub(super) fn abandon_idle(
        &mut self,
        links: &BTreeMap<LinkId, Link>,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        if self.picker().has_active()
            && !self.web_seeds.any_in_use()
            && self.assembly.blocks_at_workers() == 0
            && self.progress.idle(now) > ABANDON_AFTER
            // New requests get `ABANDON_AFTER` too. Otherwise they would be given up at once.
            && self.assembly.active_for(now) > ABANDON_AFTER
        {
            for (id, blocks) in self.assembly.abandon(now) {
                #[cfg(test)]
                if is_planted(Mutation::GivenUpNotCancelled) {
                    continue;
                }
                send_cancels(links, id, blocks, effects);
            }
        }
    }

    pub(super) fn on_run_written(
        &mut self,
        run: BlockRun,
        blocks: &[PendingBlock<B>],
        hashes: &[Sha1],
    ) -> Option<Hasher> {
        self.assembly.on_run_written(run, blocks, hashes)
    }

    pub(super) fn on_earlier_runs_hashed(
        &mut self,
        next: BlockRun,
        hasher: Hasher,
    ) -> Option<Hasher> {
        self.assembly.on_earlier_runs_hashed(next, hasher)
    }

    pub(super) fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<HashedPiece> {
        self.assembly.on_piece_hashed(piece)
    }

    pub(super) fn on_worker_done(&mut self, blocks: u32) {
        self.assembly.on_worker_done(blocks);
    }

    pub(super) fn on_piece_written(
        &mut self,
        piece: PieceIndex,
        sources: &Sources,
        effects: &mut Vec<Effect<B>>,
    ) {
        self.assembly.picker_mut().on_verified(piece);
        let length = self.lengths.length(piece);
        self.progress.on_verified(length, sources);
        self.web_seeds.on_verified(sources);
        #[cfg(test)]
        if is_planted(Mutation::HaveLeftOut) {
            return;
        }
        effects.push(Effect::SendHaves(piece));
    }

    pub(super) fn on_piece_failed(&mut self, piece: PieceIndex, sources: &Sources) -> Verdict {
        let verdict = self.assembly.on_failed(piece);
        if verdict == Verdict::Local {
            return verdict;
        }
        let proven = matches!(verdict, Verdict::Proven(_));
        self.web_seeds.on_piece_failed(sources, proven);
        verdict
    }

    /// These sources are proven to have sent bad blocks. Web seeds among them are not used again.
    pub(super) fn on_proven_liars(&mut self, sources: &Sources) {
        self.web_seeds.on_piece_failed(sources, true);
    }

    pub(super) fn on_web_seed_up(&mut self, id: LinkId, pieces: PieceSet, largest_window: u32) {
        let picker = self.assembly.picker_mut();
        picker.add_web_seed(id, pieces, largest_window);
        self.web_seeds.add(id);
    }

    pub(super) fn on_web_seed_failed(&mut self, id: LinkId, trouble: String) {
        self.web_seeds.on_failure(id, trouble);
    }

    /// Whether some web seed is not failing and has a piece that the download still needs. If it is
    /// down at present, its pieces are not known, and it counts too: it may come up again.
    pub(super) fn has_usable_web_seed(&self) -> bool {
        let picker = self.picker();
        let mut working = self.web_seeds.working();
        working.any(|id| picker.pieces_of(id).is_none() || picker.is_interesting(id))
    }

    pub(super) fn on_web_seed_down(&mut self, id: LinkId) {
        self.assembly.picker_mut().remove_link(id);
        self.web_seeds.set_in_use(id, false);
    }

    /// Appends the blocks to request from a web seed next. Returns `false` if the web seed is no
    /// longer trusted.
    pub(super) fn next_for_web_seed(
        &mut self,
        id: LinkId,
        now: Duration,
        out: &mut Vec<BlockRange>,
        effects: &mut Vec<Effect<B>>,
    ) -> bool {
        if self.web_seeds.trust(id) == WebSeedTrust::Lost {
            return false;
        }
        self.assembly.next_blocks(id, now, out);
        effects.extend(self.assembly.take_complete().into_iter().map(work_on));
        self.web_seeds.set_in_use(id, !out.is_empty());
        true
    }

    /// Panics if an invariant does not hold.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        self.assembly.check();
    }
}

/// The work on a run of which no link has to deliver anything.
fn work_on<B>((run, blocks): CompleteRun<B>) -> Effect<B> {
    match blocks.iter().all(Option::is_some) {
        true => Effect::Hash(run, blocks.into_iter().flatten().collect()),
        false => Effect::ReadAndHash(run, blocks),
    }
}

/// Cancels requests to a source. A web seed gets no cancel: its thread asks `Core::awaits` whether
/// a block is still wanted.
fn send_cancels<B>(
    links: &BTreeMap<LinkId, Link>,
    source: LinkId,
    blocks: impl IntoIterator<Item = BlockRange>,
    effects: &mut Vec<Effect<B>>,
) {
    if links.contains_key(&source) {
        let cancels = blocks.into_iter().map(OutgoingMessage::Cancel);
        effects.extend(cancels.map(|cancel| Effect::Send(source, cancel)));
    }
}
