//! The core: the pure state of one swarm at a peer. It decides which block to request from which
//! link, which peers to serve, which addresses to call, and in which phase the share is.
//!
//! The inputs are functions: a link came up or went down, a message or a block arrived, a run was
//! written, a piece was verified, the clock ticked. Each may append [`Effect`]s. The caller takes
//! them with [`Core::take_effects`] and carries them out in order. Time is the [`Duration`] since
//! an epoch of the caller's choice.
//!
//! Out of scope: sockets, files, certificates, trackers, and buffers (a `B` holds the bytes of a
//! block, and [`Budget`] counts the reserved buffers). A web seed has a [`LinkId`] like a link to a
//! peer. The core sends it no requests, because one HTTP request covers many blocks. Instead, the
//! code that reads the web seed asks the core for the next blocks ([`Core::next_for_web_seed`]).

mod assembly;
mod block;
mod config;
mod effect;
mod evidence;
mod exchange;
mod fetch;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod link;
mod message;
mod peers;
mod phase;
mod progress;
#[cfg(test)]
mod tests;
mod web_seeds;

pub use assembly::Budget;
pub use block::{BlockHash, HashedPiece, MemberId, PendingBlock, Source, Sources, add_sources};
pub use config::{CheckResult, SwarmConfig};
pub use effect::{CloseReason, Effect, OutgoingMessage};
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::fuzz;
pub use link::{Link, LinkActivity, RemotePeer};
pub use message::{ProtocolViolation, ReceivedMessage, UnrequestedBlock};
pub use peers::LinkRefusal;
pub use phase::{Awaited, Phase};
pub use progress::Progress;
pub use web_seeds::WebSeedTrust;

use super::contacts::Contacts;
#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use super::{BlockRun, Candidates, LinkId, Picker, Verdict};
use crate::torrent::{BlockRange, Hasher, PieceIndex, PieceSet, Sha1};
use crate::wire::AnnounceEvent;
use evidence::Evidence;
use fetch::{Fetch, IncomingBlock};
use peers::Peers;
use phase::{Lifecycle, Transition};
use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an address is barred after a bad piece. Not for ever: the peer there may be the only
/// seed, and its disk may be repaired.
const BAR_TIME: Duration = Duration::from_secs(600);

/// Whether a download has a source for what it misses, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// Some source has a piece that the download still needs.
    HasSource,
    /// There are links, but none has a piece that the download still needs.
    NoInterestingLink,
    /// Every known peer is barred for bad data.
    AllPeersBarred,
    /// No peer is known.
    NoPeerKnown,
    /// Peers are known, but none is linked.
    NoLink,
}

/// One swarm at a peer.
#[derive(Debug)]
pub struct Core<B> {
    config: SwarmConfig,
    lifecycle: Lifecycle,
    peers: Peers,
    fetch: Fetch<B>,
    evidence: Evidence,
    effects: Vec<Effect<B>>,
    seed: u64,
}

impl<B: Debug> Core<B> {
    /// A share whose files are being checked. The same `seed` gives the same random choices.
    pub fn new(config: SwarmConfig, budget: Box<dyn Budget>, seed: u64, now: Duration) -> Self {
        let lengths = config.lengths;
        let picker = Picker::new(lengths, PieceSet::empty(&lengths), seed);
        Self {
            lifecycle: Lifecycle::new(now),
            peers: Peers::new(&config, seed),
            fetch: Fetch::new(picker, lengths, budget, now),
            evidence: Evidence::default(),
            effects: Vec::new(),
            config,
            seed,
        }
    }

    /// The effects to carry out, in order. The core reuses the list.
    pub fn take_effects(&mut self) -> std::vec::Drain<'_, Effect<B>> {
        self.effects.drain(..)
    }

    // The lifecycle of the share.

    /// The files were checked: serves the owned pieces and fetches the needed ones. Returns `false`
    /// if the phase does not allow it, because the share was stopped meanwhile.
    pub fn begin(&mut self, checked: CheckResult, now: Duration) -> bool {
        let CheckResult {
            owned,
            needed,
            in_place,
        } = checked;
        if !self.lifecycle.change(Transition::Begin { in_place }, now) {
            return false;
        }
        // The core has closed all earlier links, but some may not have ended yet.
        self.peers.remove_all_early(self.fetch.picker_mut(), now);
        // With files in their final place, nothing more is fetched, even if pieces are missing.
        let needed = if in_place { owned.clone() } else { needed };
        let lengths = self.config.lengths;
        let mut picker = Picker::with_needed(lengths, owned.clone(), needed, self.seed);
        picker.set_order(self.config.order);
        self.fetch.begin(picker);
        self.effects.push(Effect::Offer(owned));
        self.effects.push(Effect::Announce(AnnounceEvent::Started));
        self.complete_if_all_owned(now);
        true
    }

    /// The files were checked and have this many verified bytes, but the download cannot begin yet.
    pub fn on_checked(&mut self, verified: u64) {
        self.fetch.progress_mut().on_checked(verified);
    }

    /// The download cannot go on. From now on, it waits for `awaited`. `reason` says why.
    /// Returns whether the phase changed.
    pub fn wait_for(&mut self, awaited: Awaited, reason: &str, now: Duration) -> bool {
        let was_serving = self.phase().serves();
        let wait = Transition::Wait(awaited, reason.to_owned());
        let has_changed = self.lifecycle.change(wait, now);
        if has_changed && was_serving {
            self.stop(reason);
        }
        has_changed
    }

    /// What the download waited for is there: its files are to be checked. Returns whether the
    /// phase changed.
    pub fn end_wait(&mut self, now: Duration) -> bool {
        self.lifecycle.change(Transition::EndWait, now)
    }

    /// The files have their final names: from now on the peer only uploads.
    pub fn on_finished(&mut self, now: Duration) {
        if self.lifecycle.change(Transition::Finished, now) {
            let picker = self.fetch.picker();
            self.peers.on_finished(picker, now, &mut self.effects);
        }
    }

    /// Owned pieces cannot be served, for this reason. A complete share becomes lost. A
    /// download goes on, and its phase records the reason. Returns whether the share became lost.
    pub fn on_unservable(&mut self, reason: &str, now: Duration) -> bool {
        if matches!(self.phase(), Phase::Complete | Phase::Withdrawn { .. }) {
            return self.lose(reason, now);
        }
        let trouble = format!("cannot serve it: {reason}");
        self.lifecycle.change(Transition::Trouble(trouble), now);
        false
    }

    /// The files of a complete share are no longer what was verified. Returns whether the phase
    /// changed.
    pub fn lose(&mut self, reason: &str, now: Duration) -> bool {
        let is_lost = self
            .lifecycle
            .change(Transition::Lose(reason.to_owned()), now);
        if is_lost {
            self.effects.push(Effect::Withhold);
            self.close_links(reason);
        }
        is_lost
    }

    /// A further check found that a lost share is still lost, for this reason. Returns whether the
    /// share was lost before.
    pub fn on_still_lost(&mut self, reason: &str, now: Duration) -> bool {
        let reason = reason.to_owned();
        self.lifecycle.change(Transition::StillLost(reason), now)
    }

    /// A further check found that the files of a lost share are what was verified: the share is
    /// checked and begun again. Returns whether the phase changed.
    pub fn regain(&mut self, now: Duration) -> bool {
        self.lifecycle.change(Transition::Regain, now)
    }

    /// A complete share may no longer be served, for this reason. Returns whether it was served.
    pub fn withdraw(&mut self, reason: &str, now: Duration) -> bool {
        let withdraw = Transition::Withdraw(reason.to_owned());
        let was_served = self.lifecycle.change(withdraw, now);
        if was_served {
            self.effects.push(Effect::Withhold);
            self.close_links(reason);
        }
        was_served
    }

    /// A withdrawn share may be served again. Returns whether it was withdrawn.
    pub fn restore(&mut self, now: Duration) -> bool {
        let is_back = self.lifecycle.change(Transition::Restore, now);
        if is_back {
            let owned = self.owned().clone();
            self.effects.push(Effect::Offer(owned));
        }
        is_back
    }

    /// Stops, so that a download of more files can replace this one. Returns whether the phase
    /// changed.
    pub fn set_aside(&mut self, reason: &str, now: Duration) -> bool {
        let is_aside = self.lifecycle.change(Transition::SetAside, now);
        if is_aside {
            self.stop(reason);
        }
        is_aside
    }

    /// Stops for good, for this reason.
    pub fn fail(&mut self, reason: &str, now: Duration) {
        if self
            .lifecycle
            .change(Transition::Fail(reason.to_owned()), now)
        {
            self.stop(reason);
            self.effects.push(Effect::Failed(reason.to_owned()));
        }
    }

    /// The share leaves the map of transfers.
    pub fn retire(&mut self, now: Duration) {
        let served = self.phase().serves();
        if self.lifecycle.change(Transition::Retire, now) && served {
            self.stop("it is not shared any more");
        }
    }

    /// The share returns to the map of transfers.
    pub fn put_back(&mut self, now: Duration) {
        self.lifecycle.change(Transition::PutBack, now);
    }

    // Links.

    /// Adds a link. When two peers call each other at the same time, both keep the call of the
    /// peer with the lower id. If we called and the link is refused here, the call counts as
    /// failed, unless the same peer has another link.
    ///
    /// # Errors
    /// Why the link is refused.
    pub fn on_link_up(
        &mut self,
        id: LinkId,
        remote: RemotePeer,
        now: Duration,
    ) -> Result<(), LinkRefusal> {
        if !self.phase().serves() {
            self.peers.on_not_served(&remote, now);
            return Err(LinkRefusal::NotServed);
        }
        let (config, picker) = (&self.config, self.fetch.picker_mut());
        let link = (id, remote);
        self.peers
            .on_link_up(link, config, picker, now, &mut self.effects)
    }

    /// A link has ended.
    pub fn on_link_down(&mut self, id: LinkId, activity: LinkActivity, now: Duration) {
        let picker = self.fetch.picker_mut();
        if self.peers.on_link_down(id, activity, picker, now) {
            self.assign_upload_slots(now);
        }
    }

    /// The thread that called the address has ended.
    pub fn on_call_ended(&mut self, address: SocketAddr, now: Duration) {
        self.peers.on_call_ended(address, now);
    }

    /// Acts on a message.
    ///
    /// # Errors
    /// The message breaks the protocol.
    pub fn on_message(
        &mut self,
        id: LinkId,
        message: ReceivedMessage<'_>,
        now: Duration,
    ) -> Result<(), ProtocolViolation> {
        let Some(link) = self.peers.links().get(&id) else {
            return Ok(());
        };
        let supports_bep_6 = link.remote().fast;
        let (serves, fetches) = (self.phase().serves(), self.phase().fetches());
        let picker = self.fetch.picker_mut();
        match message {
            ReceivedMessage::Choke => {
                picker.on_choke(id, !supports_bep_6);
                self.peers.on_choke(id);
            }
            ReceivedMessage::Unchoke => picker.on_unchoke(id),
            ReceivedMessage::Interested | ReceivedMessage::NotInterested => {
                let is_interested = message == ReceivedMessage::Interested;
                self.peers.on_interested(id, is_interested);
                self.assign_upload_slots(now);
                return Ok(());
            }
            ReceivedMessage::Have(piece) => picker.on_have(id, piece),
            ReceivedMessage::Pieces {
                pieces,
                is_first: true,
            } => picker.on_pieces(id, pieces),
            ReceivedMessage::Pieces { pieces, .. } => {
                // If this set lacks a piece that the peer announced before, the picker changes
                // nothing.
                if !picker.on_pieces_again(id, &pieces) {
                    return Err(ProtocolViolation::PiecesTakenBack);
                }
            }
            ReceivedMessage::HaveAll => {
                if !picker.on_have_all(id) {
                    return Ok(());
                }
            }
            ReceivedMessage::Reject(block) => picker.on_reject(id, block),
            ReceivedMessage::AllowedFast(piece) => picker.on_allowed_fast(id, piece),
            ReceivedMessage::Suggest(piece) => {
                picker.on_suggest(id, piece);
                return Ok(());
            }
            ReceivedMessage::Request(block) => {
                let effects = &mut self.effects;
                self.peers.on_request(id, block, picker, serves, effects);
                return Ok(());
            }
            ReceivedMessage::Handshake(handshake) => {
                let (received, effects) = ((id, handshake), &mut self.effects);
                let peers = &mut self.peers;
                if !peers.on_handshake(received, &self.config, picker, now, effects) {
                    return Ok(());
                }
            }
            ReceivedMessage::PeerExchange(payload) if self.config.exchanges_peers => {
                return self.peers.on_peer_exchange(id, payload, fetches, now);
            }
            ReceivedMessage::PeerExchange(_) => return Ok(()),
        }
        self.follow_up(id, now);
        Ok(())
    }

    /// A block arrived. Returns its buffer if the block is not needed. `source` is `Some` for a web
    /// seed only.
    ///
    /// # Errors
    /// The block was not requested.
    pub fn on_block(
        &mut self,
        id: LinkId,
        source: Option<&Source>,
        range: BlockRange,
        buffer: B,
        now: Duration,
    ) -> Result<Option<B>, UnrequestedBlock> {
        let incoming = IncomingBlock {
            id,
            source,
            range,
            buffer,
        };
        let fetches = self.phase().fetches();
        let (links, effects) = (self.peers.links_mut(), &mut self.effects);
        let taken = self.fetch.on_block(incoming, links, fetches, now, effects);
        if taken.is_ok() {
            self.request(id, now);
        }
        taken
    }

    // Workers.

    /// Whether the blocks of pieces that have several runs are to be hashed, because a piece of
    /// this download was bad.
    pub fn wants_block_hashes(&self) -> bool {
        self.evidence.is_wanted()
    }

    /// A worker has written one run of a piece that has several. `hashes` has the hashes of its
    /// blocks, or is empty: see [`Core::wants_block_hashes`]. Returns the hasher if the worker is
    /// to hash the run. Otherwise the run waits on disk for its turn.
    pub fn on_run_written(
        &mut self,
        run: BlockRun,
        blocks: &[PendingBlock<B>],
        hashes: &[Sha1],
    ) -> Option<Hasher> {
        self.fetch.on_run_written(run, blocks, hashes)
    }

    /// A worker has hashed the runs before `next`. Returns the hasher if the worker is to read
    /// `next` back and hash it too.
    pub fn on_earlier_runs_hashed(&mut self, next: BlockRun, hasher: Hasher) -> Option<Hasher> {
        self.fetch.on_earlier_runs_hashed(next, hasher)
    }

    /// The last run of a piece that has several was hashed. Returns what is known of the piece, or
    /// `None` if the piece was given up.
    pub fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<HashedPiece> {
        self.fetch.on_piece_hashed(piece)
    }

    /// A worker returns the buffers of this many blocks.
    pub fn on_worker_done(&mut self, blocks: u32, now: Duration) {
        self.fetch.on_worker_done(blocks);
        // Links that found no buffers do not have to wait for the next tick.
        self.request_idle(now);
    }

    /// A piece is verified and written. All links get a `have`. Returns whether the hashes of its
    /// blocks can show who sent bad blocks of this piece in earlier attempts. If so, the caller
    /// passes the hashes to [`Core::on_good_blocks`].
    pub fn on_piece_written(
        &mut self,
        piece: PieceIndex,
        sources: &Sources,
        now: Duration,
    ) -> bool {
        let effects = &mut self.effects;
        self.fetch.on_piece_written(piece, sources, effects);
        self.peers.contacts_mut().on_verified(sources);
        self.complete_if_all_owned(now);
        self.evidence.has(piece)
    }

    /// A piece is verified. `good` has the hashes of its blocks, in order. Each source that sent a
    /// different block in an earlier attempt is a liar. Bars the liars and returns them.
    pub fn on_good_blocks(
        &mut self,
        piece: PieceIndex,
        good: &[Sha1],
        now: Duration,
    ) -> Vec<Source> {
        let liars = self.evidence.take_liars(piece, good);
        for liar in &liars {
            let links = self.peers.links().iter();
            let own_links = links.filter(|(_, link)| link.source() == *liar);
            let own_links: Vec<LinkId> = own_links.map(|(id, _)| *id).collect();
            let close = |id: &LinkId| Effect::Close(*id, CloseReason::BadPiece(piece));
            self.effects.extend(own_links.iter().map(close));
            let sources = Sources::from([(liar.clone(), 0)]);
            self.fetch.on_proven_liars(&sources);
            let until = now + BAR_TIME;
            self.peers
                .on_proven_liar((&own_links, liar), until, &mut self.effects);
        }
        liars
    }

    /// A piece came from several sources and does not verify. `blocks` has the hash and the
    /// sender of each of its blocks, in order.
    pub fn on_bad_blocks(&mut self, piece: PieceIndex, blocks: Vec<BlockHash>) {
        if self.phase().fetches() {
            self.evidence.add(piece, blocks);
        }
    }

    /// A piece does not verify. Returns who is to blame. If it is proven that one peer is to blame,
    /// its address is barred, even if its link has ended. In a group, the member is barred too. A
    /// host is barred too if several of its ports sent bad data: see `hosts`.
    pub fn on_piece_failed(
        &mut self,
        piece: PieceIndex,
        sources: &Sources,
        now: Duration,
    ) -> Verdict {
        self.evidence.on_bad_piece();
        let verdict = self.fetch.on_piece_failed(piece, sources);
        if let Verdict::Proven(id) = verdict {
            if self.peers.links().contains_key(&id) {
                let reason = CloseReason::BadPiece(piece);
                self.effects.push(Effect::Close(id, reason));
            }
            // All of the piece came from this link, so no other peer is among its sources.
            for source in sources.keys() {
                #[cfg(test)]
                if is_planted(Mutation::LiarNotBarred) {
                    continue;
                }
                let until = now + BAR_TIME;
                let effects = &mut self.effects;
                self.peers.on_proven_liar((&[id], source), until, effects);
            }
        }
        verdict
    }

    // Web seeds.

    /// A web seed with these pieces is used from now on. Returns `false`, and does not use it, if
    /// nothing is fetched any more.
    pub fn on_web_seed_up(&mut self, id: LinkId, pieces: PieceSet, largest_window: u32) -> bool {
        let fetches = self.phase().fetches();
        if fetches {
            self.fetch.on_web_seed_up(id, pieces, largest_window);
        }
        fetches
    }

    /// A web seed is no longer used, at least for a while. Its blocks may be requested from others.
    pub fn on_web_seed_down(&mut self, id: LinkId) {
        self.fetch.on_web_seed_down(id);
    }

    /// A web seed failed, for this reason. It does not count as a source until a block comes from
    /// it.
    pub fn on_web_seed_failed(&mut self, id: LinkId, trouble: String) {
        self.fetch.on_web_seed_failed(id, trouble);
    }

    /// The reason of the latest failure of any web seed.
    pub fn web_seed_trouble(&self) -> Option<&str> {
        self.fetch.web_seeds().trouble()
    }

    /// A web seed has delivered everything that was requested: appends what to request next.
    /// Returns `false` if it is not to be used any more.
    pub fn next_for_web_seed(
        &mut self,
        id: LinkId,
        now: Duration,
        out: &mut Vec<BlockRange>,
    ) -> bool {
        self.phase().fetches() && self.fetch.next_for_web_seed(id, now, out)
    }

    /// Whether a block that was requested from a web seed is still wanted from it.
    pub fn awaits(&self, id: LinkId, range: BlockRange) -> bool {
        self.phase().fetches() && self.picker().awaits(id, range)
    }

    /// A rate limit keeps this peer from reading from a web seed. So the web seed has not stalled.
    pub fn mark_not_stalled(&mut self, id: LinkId, now: Duration) {
        self.fetch.picker_mut().mark_not_stalled(id, now);
        self.fetch.progress_mut().mark_not_stalled(now);
    }

    /// How far a web seed is trusted.
    pub fn trust(&self, id: LinkId) -> WebSeedTrust {
        self.fetch.web_seeds().trust(id)
    }

    // The clock.

    /// Does what is due. `activity` returns the present figures of a link.
    pub fn on_tick(&mut self, now: Duration, activity: impl Fn(LinkId) -> LinkActivity) {
        if !self.phase().serves() {
            return;
        }
        let (config, effects) = (&self.config, &mut self.effects);
        let picker = self.fetch.picker_mut();
        let limit_pauses_reading = self.peers.observe(activity, config, picker, now, effects);
        if limit_pauses_reading {
            self.fetch.progress_mut().mark_not_stalled(now);
        }
        self.assign_upload_slots(now);
        let (config, effects) = (&self.config, &mut self.effects);
        if config.exchanges_peers {
            self.peers
                .send_exchange_messages(self.fetch.picker(), now, effects);
        }
        let links = self.peers.links_mut();
        self.fetch
            .take_from_stalled(links, config.max_stalls, now, effects);
        self.fetch.take_from_slow(links, now, effects);
        self.fetch.end_interest(links, effects);
        self.request_idle(now);
        let links = self.peers.links();
        self.fetch.abandon_idle(links, now, &mut self.effects);
        let fetches = self.phase().fetches();
        let idle = fetches.then(|| self.progress().idle(now));
        self.peers
            .connect(&self.config, idle, now, &mut self.effects);
    }

    /// When [`Core::on_tick`] has something to do next. Zero (now) as long as there are links or
    /// active pieces. Otherwise the time at which an address is to be called. `None`: not before
    /// another event.
    pub fn next_tick(&self) -> Option<Duration> {
        if !self.phase().serves() {
            return None;
        }
        match self.peers.links().is_empty() && !self.picker().has_active() {
            true => self.contacts().next_due(),
            false => Some(Duration::ZERO),
        }
    }

    // Contacts.

    /// The addresses that the swarm calls.
    pub fn contacts(&self) -> &Contacts {
        self.peers.contacts()
    }

    /// Mutable access to the addresses that the swarm calls.
    pub fn contacts_mut(&mut self) -> &mut Contacts {
        self.peers.contacts_mut()
    }

    /// Ends all links. Forgets all known addresses that are not barred.
    pub fn give_up_peers(&mut self, reason: &str, now: Duration) {
        self.contacts_mut().forget_unbarred();
        self.close_links(reason);
        self.peers.remove_all_early(self.fetch.picker_mut(), now);
        self.assign_upload_slots(now);
    }

    /// Ends all links.
    pub fn close_links(&mut self, reason: &str) {
        self.peers.close_all(reason, &mut self.effects);
    }

    /// Takes over the addresses and the counts of the transfer that this one replaces.
    pub fn take_over(
        &mut self,
        candidates: Candidates,
        sources: HashMap<String, u64>,
        downloaded: u64,
    ) {
        self.contacts_mut().take_over(candidates);
        self.fetch.progress_mut().take_over(sources, downloaded);
    }

    // Views.

    /// The phase of the share.
    pub fn phase(&self) -> &Phase {
        self.lifecycle.phase()
    }

    /// From the beginning of the download to its end, or to `now`.
    pub fn elapsed(&self, now: Duration) -> Duration {
        self.lifecycle.elapsed(now)
    }

    /// Verified bytes, their sources, and the rate.
    pub fn progress(&self) -> &Progress {
        self.fetch.progress()
    }

    /// The pieces, and what is fetched from which link.
    pub fn picker(&self) -> &Picker {
        self.fetch.picker()
    }

    /// The pieces that were verified.
    pub fn owned(&self) -> &PieceSet {
        self.picker().owned()
    }

    /// All links to peers, the oldest first.
    pub fn links(&self) -> impl ExactSizeIterator<Item = (LinkId, &Link)> {
        self.peers.links().iter().map(|(id, link)| (*id, link))
    }

    /// One link to a peer.
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.peers.links().get(&id)
    }

    /// The number of blocks that workers have.
    pub fn blocks_at_workers(&self) -> u32 {
        self.fetch.blocks_at_workers()
    }

    /// Whether some link has a piece that the download still needs. Web seeds do not count.
    pub fn has_interesting_link(&self) -> bool {
        let mut links = self.peers.links().keys();
        links.any(|id| self.picker().is_interesting(*id))
    }

    /// Whether the download has a source, and if not, why.
    pub fn source_status(&self, now: Duration) -> SourceStatus {
        let contacts = self.contacts();
        match (self.peers.links().is_empty(), contacts.unbarred_count()) {
            _ if self.fetch.has_usable_web_seed() || self.has_interesting_link() => {
                SourceStatus::HasSource
            }
            (false, _) => SourceStatus::NoInterestingLink,
            (true, 0) if contacts.has_barred(now) => SourceStatus::AllPeersBarred,
            (true, 0) => SourceStatus::NoPeerKnown,
            (true, _) => SourceStatus::NoLink,
        }
    }

    /// Panics if an invariant does not hold.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let peers = self.links().map(|(_, link)| link.remote().peer_id.0);
        let peers: std::collections::BTreeSet<[u8; 20]> = peers.collect();
        assert_eq!(peers.len(), self.links().len(), "a peer has two links");
        for (id, _) in self.links() {
            assert!(self.picker().pieces_of(id).is_some(), "{id:?}");
        }
        if self.phase().fetches() {
            self.fetch.check();
        }
        assert!(self.links().len() <= self.config.max_peers);
    }

    // Helpers.

    /// Ends all serving and fetching.
    fn stop(&mut self, reason: &str) {
        self.effects.push(Effect::Withhold);
        self.fetch.stop();
        self.close_links(reason);
    }

    fn complete_if_all_owned(&mut self, now: Duration) {
        if self.picker().is_complete() && self.lifecycle.change(Transition::AllOwned, now) {
            self.effects.push(Effect::Complete);
        }
    }

    /// A message has changed a link: updates interest and sends requests.
    fn follow_up(&mut self, id: LinkId, now: Duration) {
        let is_complete = *self.phase() == Phase::Complete;
        let (peers, fetch) = (&mut self.peers, &self.fetch);
        let Some(link) = peers.links().get(&id) else {
            return;
        };
        if is_complete && peers.remote_fetches_nothing(id, link, fetch.picker()) {
            if let Some(address) = link.listens_at() {
                // We end the link ourselves, so this is no failure of the address.
                peers.contacts_mut().release(address, now);
            }
            let reason = CloseReason::NothingToFetch;
            return self.effects.push(Effect::Close(id, reason));
        }
        if let Some(link) = peers.links_mut().get_mut(&id) {
            fetch.show_interest((id, link), &mut self.effects);
        }
        self.request(id, now);
    }

    fn request(&mut self, id: LinkId, now: Duration) {
        if self.phase().fetches() && self.peers.links().contains_key(&id) {
            self.fetch.request(id, now, &mut self.effects);
        }
    }

    fn request_idle(&mut self, now: Duration) {
        if self.phase().fetches() {
            let links = self.peers.links();
            self.fetch.request_idle(links, now, &mut self.effects);
        }
    }

    fn assign_upload_slots(&mut self, now: Duration) {
        let only_uploads = self.phase().only_uploads();
        self.peers
            .assign_upload_slots(only_uploads, now, &mut self.effects);
    }
}
