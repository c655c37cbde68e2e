//! What is fetched and of whom: requests to links and web seeds, blocks that come, and what becomes
//! of their pieces.

use super::block::{Block, Source, Sources};
use super::download::{Budget, Download, Taken};
use super::effect::{CloseReason, Effect, Outgoing};
use super::link::Link;
use super::message::Unasked;
use super::progress::Progress;
use super::servers::{Servers, Trust};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{LinkId, Picker, Run, Verdict};
use crate::torrent::{BlockRange, Hasher, Lengths, PieceIndex};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// A download into which nothing came for this long lends its buffers to others.
const IDLE: Duration = Duration::from_secs(15);

/// A block that has just come, of the link with this number. A web seed says who it is.
pub(super) struct Incoming<'a, B> {
    pub(super) id: LinkId,
    pub(super) source: Option<&'a Source>,
    pub(super) range: BlockRange,
    pub(super) buffer: B,
}

/// The fetching half of a core.
#[derive(Debug)]
pub(super) struct Fetch<B> {
    download: Download<B>,
    servers: Servers,
    progress: Progress,
    lengths: Lengths,
    /// Reused for the blocks that a link is asked for.
    blocks: Vec<BlockRange>,
}

impl<B: Debug> Fetch<B> {
    /// Nothing has been asked for yet.
    pub(super) fn new(
        picker: Picker,
        lengths: Lengths,
        budget: Box<dyn Budget>,
        now: Duration,
    ) -> Self {
        Self {
            download: Download::new(picker, lengths, budget),
            servers: Servers::default(),
            progress: Progress::new(now),
            lengths,
            blocks: Vec::new(),
        }
    }

    pub(super) fn picker(&self) -> &Picker {
        self.download.picker()
    }

    pub(super) fn picker_mut(&mut self) -> &mut Picker {
        self.download.picker_mut()
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(super) fn with_workers(&self) -> u32 {
        self.download.with_workers()
    }

    /// Goes on with the pieces of another picker.
    pub(super) fn begin(&mut self, picker: Picker) {
        let owned = picker.owned();
        let pieces = self.lengths.all_pieces();
        let good = pieces.filter(|piece| owned.contains(*piece));
        let verified = good.map(|piece| u64::from(self.lengths.length(piece)));
        self.progress.on_checked(verified.sum());
        self.download.begin(picker);
    }

    /// Drops what is half fetched.
    pub(super) fn stop(&mut self) {
        self.download.drop_pending();
    }

    /// A block arrived; `fetches` says whether any is wanted. Returns its buffer if it is not
    /// needed.
    ///
    /// # Errors
    /// When it was not asked for.
    pub(super) fn on_block(
        &mut self,
        incoming: Incoming<'_, B>,
        links: &mut BTreeMap<LinkId, Link>,
        fetches: bool,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> Result<Option<B>, Unasked> {
        let Incoming {
            id,
            source,
            range,
            buffer,
        } = incoming;
        let length = range.length();
        self.progress.on_block(length);
        let mut link = links.get_mut(&id);
        if let Some(link) = &mut link {
            link.on_block(length, now);
        }
        let source = match (source, &link) {
            (Some(source), _) => source.clone(),
            (None, Some(link)) => link.source(),
            // A block of a link that has just been closed from here.
            (None, None) => return Ok(Some(buffer)),
        };
        let block = Block {
            buffer,
            length,
            source,
        };
        match self.download.on_block(id, range, block, now, fetches) {
            Taken::Unasked => Err(Unasked),
            Taken::Spare(buffer) => Ok(Some(buffer)),
            Taken::Kept { cancel, completed } => {
                if let Some(link) = link {
                    link.stalls = 0;
                }
                self.progress.on_wanted(length, now);
                // A web seed takes no messages; it sees that the block is not awaited any more.
                let asked = cancel.into_iter().flatten();
                for other in asked.filter(|other| links.contains_key(other)) {
                    #[cfg(test)]
                    if is_planted(Mutation::CancelLeftOut) {
                        continue;
                    }
                    effects.push(Effect::Send(other, Outgoing::Cancel(range)));
                }
                if let Some((run, blocks)) = completed {
                    effects.push(Effect::Hash(run, blocks));
                }
                Ok(None)
            }
        }
    }

    /// Asks a link for as many blocks as its window has room for.
    pub(super) fn request(&mut self, id: LinkId, now: Duration, effects: &mut Vec<Effect<B>>) {
        self.download.next_blocks(id, now, &mut self.blocks);
        let requests = self.blocks.drain(..).map(Outgoing::Request);
        effects.extend(requests.map(|request| Effect::Send(id, request)));
    }

    /// Asks the links of which nothing is being fetched.
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

    /// Tells a link that it has what we want, if so and if it was not told.
    pub(super) fn show_interest(
        &self,
        (id, link): (LinkId, &mut Link),
        effects: &mut Vec<Effect<B>>,
    ) {
        if self.picker().is_interesting(id) && !link.interested {
            link.interested = true;
            effects.push(Effect::Send(id, Outgoing::Interested));
        }
    }

    /// Tells links whose missing pieces have all come that we want nothing of them.
    pub(super) fn end_interest(
        &self,
        links: &mut BTreeMap<LinkId, Link>,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, link) in links {
            if link.interested && !self.picker().is_interesting(*id) {
                link.interested = false;
                #[cfg(test)]
                if is_planted(Mutation::InterestNotRenewed) {
                    link.interested = true;
                }
                effects.push(Effect::Send(*id, Outgoing::NotInterested));
            }
        }
    }

    /// Takes their requests from links that deliver nothing, so that others are asked. One that
    /// lets them go stale too often in a row is closed.
    pub(super) fn take_from_stalled(
        &mut self,
        links: &mut BTreeMap<LinkId, Link>,
        max_stalls: u32,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, blocks) in self.download.picker_mut().take_from_stalled(now) {
            let Some(link) = links.get_mut(&id) else {
                continue;
            };
            link.stalls += 1;
            let cancels = blocks.into_iter().map(Outgoing::Cancel);
            effects.extend(cancels.map(|cancel| Effect::Send(id, cancel)));
            effects.push(Effect::Stalled(id));
            if link.stalls >= max_stalls {
                effects.push(Effect::Close(id, CloseReason::DeliversNothing));
            }
        }
    }

    /// Gives up what is half fetched while nothing comes, so that its buffers can serve others. A
    /// web seed that is being read from may take long until it comes to what is wanted; it has
    /// limits of its own.
    pub(super) fn abandon_idle(&mut self, now: Duration, effects: &mut Vec<Effect<B>>) {
        if self.picker().has_active()
            && !self.servers.any_asked()
            && self.download.with_workers() == 0
            && self.progress.idle(now) > IDLE
            // What is asked for after that has as long: it would be given up again at once.
            && self.download.since_restart(now) > IDLE
        {
            for (id, blocks) in self.download.abandon(now) {
                #[cfg(test)]
                if is_planted(Mutation::GivenUpUntold) {
                    continue;
                }
                let cancels = blocks.into_iter().map(Outgoing::Cancel);
                effects.extend(cancels.map(|cancel| Effect::Send(id, cancel)));
            }
        }
    }

    /// A worker has written a run of a piece of several.
    pub(super) fn on_run_written(&mut self, run: Run, blocks: &[Block<B>]) -> Option<Hasher> {
        self.download.on_run_written(run, blocks)
    }

    /// A worker has hashed the runs before `next`.
    pub(super) fn on_run_hashed(&mut self, next: Run, hasher: Hasher) -> Option<Hasher> {
        self.download.on_run_hashed(next, hasher)
    }

    /// A piece of several runs is hashed.
    pub(super) fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<Sources> {
        self.download.on_piece_hashed(piece)
    }

    /// A worker gives back the buffers of so many blocks.
    pub(super) fn on_worker_done(&mut self, blocks: u32) {
        self.download.on_worker_done(blocks);
    }

    /// A piece is verified and written.
    pub(super) fn on_piece_written(
        &mut self,
        piece: PieceIndex,
        sources: &Sources,
        effects: &mut Vec<Effect<B>>,
    ) {
        self.download.picker_mut().on_verified(piece);
        let length = self.lengths.length(piece);
        self.progress.on_verified(length, sources);
        self.servers.on_verified(sources);
        #[cfg(test)]
        if is_planted(Mutation::HaveLeftOut) {
            return;
        }
        effects.push(Effect::SendHaves(piece));
    }

    /// A piece does not verify.
    pub(super) fn on_piece_failed(&mut self, piece: PieceIndex, sources: &Sources) -> Verdict {
        let verdict = self.download.on_failed(piece);
        let proven = matches!(verdict, Verdict::Proven(_));
        self.servers.on_failed(sources, proven);
        verdict
    }

    /// A web seed is asked from now on.
    pub(super) fn on_server_up(&mut self, id: LinkId, largest_window: u32) {
        self.download.picker_mut().add_server(id, largest_window);
        self.servers.add(id);
    }

    /// A web seed is left, at least for a while.
    pub(super) fn on_server_down(&mut self, id: LinkId) {
        self.download.picker_mut().remove_link(id);
        self.servers.set_asked(id, false);
    }

    /// Appends what to ask a web seed for next. Returns `false` once it is not believed.
    pub(super) fn next_for_server(
        &mut self,
        id: LinkId,
        now: Duration,
        out: &mut Vec<BlockRange>,
    ) -> bool {
        if self.servers.trust(id) == Trust::Lost {
            return false;
        }
        self.download.next_blocks(id, now, out);
        self.servers.set_asked(id, !out.is_empty());
        true
    }

    /// Panics if an invariant does not hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.download.check();
    }
}
