//! The pure state of one swarm at a peer: what is fetched of whom, who is served, whom we call, and
//! where the share is in its life.
//!
//! Inputs are functions: a link came up or went down, a message or a block arrived, a run was written
//! or a piece verified, the clock ticked. Each may append [`Effect`]s, which the caller takes with
//! [`Core::take_effects`] and carries out in their order. Time is handed in as the [`Duration`] since
//! an epoch of the caller's choosing.
//!
//! Out of scope: sockets, files, buffers (`B` holds a block's bytes, [`Budget`] counts them),
//! certificates, trackers. A web seed is a link that has every piece; it asks for its blocks itself
//! ([`Core::next_for_server`]), as HTTP takes a stretch at a time.

mod block;
mod download;
mod effect;
mod exchange;
mod link;
mod message;
mod phase;
mod progress;
mod servers;
mod terms;
#[cfg(test)]
mod tests;

pub use block::{Block, Source, Sources, add_sources};
pub use download::Budget;
pub use effect::{CloseReason, Effect, Outgoing};
pub use link::{Activity, Link, Remote};
pub use message::{Breach, Received, Unasked};
pub use phase::Phase;
pub use progress::Progress;
pub use servers::Trust;
pub use terms::{Checked, Terms};

use super::contacts::{Contacts, MAX_CALLING};
use super::{Candidates, Choker, LinkId, Picker, Run, Seen, Verdict};
use crate::torrent::{BlockRange, Hasher, PieceIndex, PieceSet};
use crate::wire::Event;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::PexMessage;
use download::{Download, Taken};
use phase::{Life, Transition};
use servers::Servers;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

/// Requests kept by a program that does not say how many it keeps (what libtorrent and others
/// assume).
const USUAL_REQUEST_QUEUE: u32 = 250;
/// A link over which no block goes for this long may have to make room for another.
const USELESS: Duration = Duration::from_secs(5);
/// A link over which nothing went for so long gives way to a new one of the same peer.
const LOST: Duration = Duration::from_secs(10);
/// A download into which nothing came for this long lends its buffers to others.
const IDLE: Duration = Duration::from_secs(15);
/// How long one that sent a bad piece is left alone; not for ever, since it may be the only owner and
/// mend its disk.
const BARRED: Duration = Duration::from_secs(600);
/// Fellow seeds have nothing for each other. They call each other again after so long, should one
/// have lost something.
const SEED_AGAIN: Duration = Duration::from_secs(1_800);

/// Why a peer is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// All places are taken.
    #[error("too many links")]
    Full,
    /// The same peer has a link.
    #[error("linked already")]
    Linked,
    /// It sent bad data.
    #[error("barred for bad data")]
    Barred,
    /// Nothing is served in this phase.
    #[error("not served now")]
    NotServed,
    /// It was called at the word of a tracker that has failed since (BEP 27).
    #[error("the tracker that named it has failed")]
    GivenUp,
}

/// Why a download gets nothing, as far as the core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nothing: some source has what is missing.
    Nothing,
    /// There are links, and none has a missing piece.
    Pieces,
    /// Every known peer is barred for bad data.
    SoundPeers,
    /// Nobody is known.
    Peers,
    /// Peers are known, and none is linked.
    Links,
}

/// One swarm at a peer.
#[derive(Debug)]
pub struct Core<B> {
    terms: Terms,
    life: Life,
    links: BTreeMap<LinkId, Link>,
    servers: Servers,
    contacts: Contacts,
    download: Download<B>,
    choker: Choker,
    progress: Progress,
    effects: Vec<Effect<B>>,
    /// Reused for the blocks that a link is asked for.
    blocks: Vec<BlockRange>,
    seed: u64,
}

impl<B: Debug> Core<B> {
    /// A share whose files are being checked. Equal seeds give equal choices.
    pub fn new(terms: Terms, budget: Box<dyn Budget>, seed: u64, now: Duration) -> Self {
        let lengths = terms.lengths;
        let picker = Picker::new(lengths, PieceSet::empty(&lengths), seed);
        Self {
            life: Life::new(now),
            links: BTreeMap::new(),
            servers: Servers::default(),
            contacts: Contacts::new(seed),
            download: Download::new(picker, lengths, budget),
            choker: Choker::new(terms.upload_slots, seed),
            progress: Progress::new(now),
            effects: Vec::new(),
            blocks: Vec::new(),
            terms,
            seed,
        }
    }

    /// What is to be done, in order; the core keeps the memory.
    pub fn take_effects(&mut self) -> std::vec::Drain<'_, Effect<B>> {
        self.effects.drain(..)
    }

    // The life of the share.

    /// The files were checked: serves what is owned, and fetches what is needed.
    pub fn begin(&mut self, checked: Checked, now: Duration) {
        let Checked {
            owned,
            needed,
            is_whole,
        } = checked;
        if !self.life.change(Transition::Begin { is_whole }, now) {
            return;
        }
        // Links of before are closed, but may not have come to their end.
        while let Some((id, _)) = self.links.first_key_value() {
            self.let_go(*id, now);
        }
        let lengths = self.terms.lengths;
        let good = lengths.all_pieces().filter(|piece| owned.contains(*piece));
        let verified = good.map(|piece| u64::from(lengths.length(piece))).sum();
        self.progress.on_checked(verified);
        // One that is in its place fetches nothing more, whatever it lacks.
        let needed = if is_whole { owned.clone() } else { needed };
        let mut picker = Picker::of(lengths, owned.clone(), needed, self.seed);
        if self.terms.in_order {
            picker.go_in_order();
        }
        self.download.begin(picker);
        self.effects.push(Effect::Offer(owned));
        self.effects.push(Effect::Announce(Event::Started));
        self.look_whether_all_is_here(now);
    }

    /// The files have their final names: from now on it only uploads.
    pub fn on_finished(&mut self, now: Duration) {
        if !self.life.change(Transition::Finished, now) {
            return;
        }
        for (id, link) in &self.links {
            if self.fetches_nothing(*id, link) {
                if let Some(address) = link.listens_at() {
                    self.contacts.release_until(address, now + SEED_AGAIN);
                }
                let reason = CloseReason::NothingToFetch;
                self.effects.push(Effect::Close(*id, reason));
            }
        }
        let told = self
            .links
            .iter()
            .filter(|(_, link)| link.remote().extensions);
        let told = told.map(|(id, _)| Effect::SendHandshake(*id));
        self.effects.extend(told);
    }

    /// Owned pieces cannot be served for this reason: what is complete is lost. Returns whether it is
    /// lost by this.
    pub fn on_unservable(&mut self, reason: &str, now: Duration) -> bool {
        if matches!(self.phase(), Phase::Complete | Phase::Withdrawn { .. }) {
            return self.lose(reason, now);
        }
        let trouble = format!("cannot serve it: {reason}");
        self.life.change(Transition::Trouble(trouble), now);
        false
    }

    /// The files of a share that was complete are not what was verified. Returns whether that is new.
    pub fn lose(&mut self, reason: &str, now: Duration) -> bool {
        let is_lost = self.life.change(Transition::Lose(reason.to_owned()), now);
        if is_lost {
            self.effects.push(Effect::Withhold);
            self.close_links(reason);
        }
        is_lost
    }

    /// Another look at the files of a lost share found this. Returns whether it is lost still.
    pub fn on_still_lost(&mut self, reason: &str, now: Duration) -> bool {
        let reason = reason.to_owned();
        self.life.change(Transition::StillLost(reason), now)
    }

    /// The files of a lost share are what was verified: it is about to begin again. Returns whether
    /// it may.
    pub fn regain(&mut self, now: Duration) -> bool {
        self.life.change(Transition::Regain, now)
    }

    /// What is complete may no longer be served, for this reason. Returns whether it was served.
    pub fn withdraw(&mut self, reason: &str, now: Duration) -> bool {
        let shown = format!("not shared any more: {reason}");
        let was_served = self.life.change(Transition::Withdraw(shown), now);
        if was_served {
            self.effects.push(Effect::Withhold);
            self.close_links(reason);
        }
        was_served
    }

    /// What was withdrawn may be served again. Returns whether it was withdrawn.
    pub fn restore(&mut self, now: Duration) -> bool {
        let is_back = self.life.change(Transition::Restore, now);
        if is_back {
            let owned = self.owned().clone();
            self.effects.push(Effect::Offer(owned));
        }
        is_back
    }

    /// Stops, so that a download of more files can take its place. Returns whether it did.
    pub fn set_aside(&mut self, reason: &str, now: Duration) -> bool {
        let is_aside = self.life.change(Transition::SetAside, now);
        if is_aside {
            self.stop(reason);
        }
        is_aside
    }

    /// Stops for good, for this reason.
    pub fn fail(&mut self, reason: &str, now: Duration) {
        if self.life.change(Transition::Fail(reason.to_owned()), now) {
            self.stop(reason);
            self.effects.push(Effect::Failed(reason.to_owned()));
        }
    }

    /// It leaves the map of transfers, and does not come back by itself.
    pub fn retire(&mut self, now: Duration) {
        let served = self.phase().serves();
        if self.life.change(Transition::Retire, now) && served {
            self.stop("it is not shared any more");
        }
    }

    /// It is put into the map of transfers, perhaps again.
    pub fn put_back(&mut self, now: Duration) {
        self.life.change(Transition::PutBack, now);
    }

    // Links.

    /// Lets a link in. Two peers that call each other at once keep the call of the one with the lower
    /// id, on both sides. A call of ours that is not let in has failed, unless the same peer has a
    /// link.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn on_link_up(&mut self, id: LinkId, remote: Remote, now: Duration) -> Result<(), Refusal> {
        let admitted = self.admit(id, remote, now);
        match admitted {
            Err(Refusal::Linked) if remote.outgoing => self.contacts.release(remote.address, now),
            Err(_) if remote.outgoing => self.contacts.on_failed(remote.address, now),
            _ => {}
        }
        admitted
    }

    fn admit(&mut self, id: LinkId, remote: Remote, now: Duration) -> Result<(), Refusal> {
        let address = remote.address;
        if !self.phase().serves() {
            return Err(Refusal::NotServed);
        }
        if self.contacts.is_barred(address, now) {
            return Err(Refusal::Barred);
        }
        if remote.outgoing && self.terms.is_private && !self.contacts.has(address) {
            return Err(Refusal::GivenUp);
        }
        let mut others = self.links.iter();
        let other = others.find(|(_, link)| link.remote().peer_id == remote.peer_id);
        if let Some((other, link)) = other.map(|(id, link)| (*id, link)) {
            let is_due = |outgoing| outgoing == (self.terms.own_id.0 < remote.peer_id.0);
            let way = link.remote().outgoing;
            // One that calls again by the same way has lost its former connection, though we may not
            // have noticed.
            let is_lost = way == remote.outgoing && link.idle(now) > LOST;
            if !is_lost && (is_due(way) || !is_due(remote.outgoing)) {
                return Err(Refusal::Linked);
            }
            self.let_go(other, now);
            self.effects
                .push(Effect::Close(other, CloseReason::Replaced));
        } else if self.links.len() >= self.terms.max_peers && !self.make_room(now) {
            return Err(Refusal::Full);
        }
        if remote.outgoing {
            self.contacts.on_linked(address);
        }
        let window = match remote.extensions {
            true => self.terms.largest_window,
            false => self.terms.largest_window.min(USUAL_REQUEST_QUEUE),
        };
        self.download.picker_mut().add_link(id, window);
        self.choker.add(id);
        let (info_hash, lengths) = (self.terms.info_hash, &self.terms.lengths);
        let link = Link::new(remote, info_hash, lengths, now);
        self.links.insert(id, link);
        Ok(())
    }

    /// A link has ended.
    pub fn on_link_down(&mut self, id: LinkId, activity: Activity, now: Duration) {
        let Some(mut link) = self.remove(id) else {
            return;
        };
        self.serve(now);
        link.observe(activity);
        if let Some(address) = link.listens_at() {
            // One that was of use and goes is called again soon; one that never was, later each time.
            if link.has_proved(now) {
                self.contacts.on_proved(address);
            }
            self.contacts.on_failed(address, now);
        }
    }

    /// The thread that called the address has ended.
    pub fn on_call_ended(&mut self, address: SocketAddr, now: Duration) {
        let mut links = self.links.values();
        let is_linked = links.any(|link| link.listens_at() == Some(address));
        self.contacts.on_call_ended(address, is_linked, now);
    }

    /// Acts on a message.
    ///
    /// # Errors
    /// When it breaks the protocol.
    pub fn on_message(
        &mut self,
        id: LinkId,
        message: Received<'_>,
        now: Duration,
    ) -> Result<(), Breach> {
        let Some(link) = self.links.get(&id) else {
            return Ok(());
        };
        let is_fast = link.remote().fast;
        let picker = self.download.picker_mut();
        match message {
            Received::Choke => {
                picker.on_choke(id, !is_fast);
                self.choker.on_choke(id);
            }
            Received::Unchoke => picker.on_unchoke(id),
            Received::Interested | Received::NotInterested => {
                self.choker
                    .on_interested(id, message == Received::Interested);
                self.serve(now);
                return Ok(());
            }
            Received::Have(piece) => picker.on_have(id, piece),
            Received::Pieces {
                pieces,
                is_first: true,
            } => picker.on_pieces(id, pieces),
            Received::Pieces { pieces, .. } => {
                // If something is taken back, nothing changes.
                if !picker.on_pieces_again(id, &pieces) {
                    return Err(Breach::TakenBack);
                }
            }
            Received::Reject(block) => picker.on_reject(id, block),
            Received::AllowedFast(piece) => picker.on_allowed_fast(id, piece),
            Received::Suggest(piece) => {
                picker.on_suggest(id, piece);
                return Ok(());
            }
            Received::Request(block) => {
                self.on_request(id, block);
                return Ok(());
            }
            Received::Handshake(handshake) => {
                if !self.on_handshake(id, handshake, now) {
                    return Ok(());
                }
            }
            Received::PeerExchange(payload) => return self.on_peer_exchange(id, payload, now),
        }
        self.follow_up(id, now);
        Ok(())
    }

    /// A block arrived. Returns its buffer if it is not needed.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn on_block(
        &mut self,
        id: LinkId,
        source: Option<&Source>,
        range: BlockRange,
        buffer: B,
        now: Duration,
    ) -> Result<Option<B>, Unasked> {
        let length = range.length();
        self.progress.on_block(length);
        let mut link = self.links.get_mut(&id);
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
        let fetches = self.life.phase().fetches();
        let spare = match self.download.on_block(id, range, block, now, fetches) {
            Taken::Unasked => return Err(Unasked),
            Taken::Spare(buffer) => Some(buffer),
            Taken::Kept { cancel, completed } => {
                if let Some(link) = link {
                    link.stalls = 0;
                }
                self.progress.on_wanted(length, now);
                // A web seed takes no messages; it sees that the block is not awaited any more.
                if let Some(other) = cancel.filter(|other| self.links.contains_key(other)) {
                    let cancel = Outgoing::Cancel(range);
                    self.effects.push(Effect::Send(other, cancel));
                }
                if let Some((run, blocks)) = completed {
                    self.effects.push(Effect::Hash(run, blocks));
                }
                None
            }
        };
        self.request(id, now);
        Ok(spare)
    }

    // Workers.

    /// A worker has written a run of a piece of several. Returns the hasher if the worker is to hash
    /// the run; otherwise the run waits on disk for its turn.
    pub fn on_run_written(&mut self, run: Run, blocks: &[Block<B>]) -> Option<Hasher> {
        self.download.on_run_written(run, blocks)
    }

    /// A worker has hashed the runs before `next`. Returns the hasher if it is to read that one back
    /// and to go on with it.
    pub fn on_run_hashed(&mut self, next: Run, hasher: Hasher) -> Option<Hasher> {
        self.download.on_run_hashed(next, hasher)
    }

    /// A piece of several runs is hashed. Returns who delivered it; none if it was given up.
    pub fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<Sources> {
        self.download.on_piece_hashed(piece)
    }

    /// A worker gives back the buffers of so many blocks.
    pub fn on_worker_done(&mut self, blocks: u32, now: Duration) {
        self.download.on_worker_done(blocks);
        // Links that found no buffers need not wait for the next tick.
        self.request_idle(now);
    }

    /// A piece is verified and written: all links hear of it.
    pub fn on_piece_written(&mut self, piece: PieceIndex, sources: &Sources, now: Duration) {
        self.download.picker_mut().on_verified(piece);
        let length = self.terms.lengths.length(piece);
        self.progress.on_verified(length, sources);
        self.servers.on_verified(sources);
        self.effects.push(Effect::SendHaves(piece));
        self.look_whether_all_is_here(now);
    }

    /// A piece does not verify. Returns who is to blame.
    pub fn on_piece_failed(
        &mut self,
        piece: PieceIndex,
        sources: &Sources,
        now: Duration,
    ) -> Verdict {
        let verdict = self.download.on_failed(piece);
        let proven = matches!(verdict, Verdict::Proven(_));
        self.servers.on_failed(sources, proven);
        if let Verdict::Proven(id) = verdict {
            // The link may have ended since; its address is known all the same.
            for source in sources.keys() {
                if let Source::Peer(address) = source {
                    self.contacts.bar(*address, now + BARRED);
                }
            }
            if self.links.contains_key(&id) {
                let reason = CloseReason::BadPiece(piece);
                self.effects.push(Effect::Close(id, reason));
            }
        }
        verdict
    }

    // Web seeds.

    /// A web seed is asked from now on. Returns `false` once nothing is fetched any more.
    pub fn on_server_up(&mut self, id: LinkId, largest_window: u32) -> bool {
        let fetches = self.phase().fetches();
        if fetches {
            self.download.picker_mut().add_server(id, largest_window);
            self.servers.add(id);
        }
        fetches
    }

    /// A web seed is left, at least for a while. What it was asked for is free for others.
    pub fn on_server_down(&mut self, id: LinkId) {
        self.download.picker_mut().remove_link(id);
        self.servers.set_asked(id, false);
    }

    /// A web seed has delivered all it was asked for: appends what to ask for next. Returns `false`
    /// once it is not asked any more.
    pub fn next_for_server(
        &mut self,
        id: LinkId,
        now: Duration,
        out: &mut Vec<BlockRange>,
    ) -> bool {
        if !self.phase().fetches() || self.servers.trust(id) == Trust::Lost {
            return false;
        }
        self.download.next_blocks(id, now, out);
        self.servers.set_asked(id, !out.is_empty());
        true
    }

    /// Whether a block that a web seed was asked for is still wanted of it.
    pub fn awaits(&self, id: LinkId, range: BlockRange) -> bool {
        self.phase().fetches() && self.download.picker().awaits(id, range)
    }

    /// A web seed is not read from, to keep a limit of our own: it is not late.
    pub fn excuse(&mut self, id: LinkId, now: Duration) {
        self.download.picker_mut().excuse(id, now);
        self.progress.excuse(now);
    }

    /// Whether a web seed is believed.
    pub fn trust(&self, id: LinkId) -> Trust {
        self.servers.trust(id)
    }

    // The clock.

    /// Does what is due. `activity` tells what the connection of a link knows.
    pub fn on_tick(&mut self, now: Duration, activity: impl Fn(LinkId) -> Activity) {
        if !self.phase().serves() {
            return;
        }
        self.observe(now, activity);
        self.serve(now);
        if self.terms.exchanges_peers {
            self.exchange_peers(now);
        }
        self.take_from_stalled(now);
        self.end_interest();
        self.request_idle(now);
        // A web seed that is being read from may take long until it comes to what is wanted; it has
        // limits of its own.
        if self.download.picker().has_active()
            && !self.servers.any_asked()
            && self.download.with_workers() == 0
            && self.progress.idle(now) > IDLE
        {
            self.download.abandon();
        }
        self.connect(now);
    }

    // Contacts.

    /// Whom the swarm calls.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Whom the swarm calls, to be changed.
    pub fn contacts_mut(&mut self) -> &mut Contacts {
        &mut self.contacts
    }

    /// Ends all links, and forgets the peers known so far.
    pub fn give_up_peers(&mut self, reason: &str, now: Duration) {
        self.contacts.give_up();
        self.close_links(reason);
        while let Some((id, _)) = self.links.first_key_value() {
            self.let_go(*id, now);
        }
        self.serve(now);
    }

    /// Ends all links.
    pub fn close_links(&mut self, reason: &str) {
        let close = |id: &LinkId| {
            let reason = CloseReason::Ended(reason.to_owned());
            Effect::Close(*id, reason)
        };
        self.effects.extend(self.links.keys().map(close));
    }

    /// Goes on in the place of another: with its peers, and with what it counted.
    pub fn take_over(
        &mut self,
        candidates: Candidates,
        sources: HashMap<String, u64>,
        downloaded: u64,
    ) {
        self.contacts.take_over(candidates);
        self.progress.take_over(sources, downloaded);
    }

    // What others see.

    /// Where the share is in its life.
    pub fn phase(&self) -> &Phase {
        self.life.phase()
    }

    /// From the beginning of the download to its end, or to `now`.
    pub fn elapsed(&self, now: Duration) -> Duration {
        self.life.elapsed(now)
    }

    /// How far the share is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Which pieces are owned, and of which link what is fetched.
    pub fn picker(&self) -> &Picker {
        self.download.picker()
    }

    /// The pieces that were verified.
    pub fn owned(&self) -> &PieceSet {
        self.download.picker().owned()
    }

    /// All links to peers, the oldest first.
    pub fn links(&self) -> impl ExactSizeIterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }

    /// One link to a peer.
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    /// Blocks that are with workers.
    pub fn with_workers(&self) -> u32 {
        self.download.with_workers()
    }

    /// Whether some link has a piece that is missing here.
    pub fn has_source(&self) -> bool {
        let picker = self.download.picker();
        self.links.keys().any(|id| picker.is_interesting(*id))
    }

    /// What a download lacks.
    pub fn lack(&self, now: Duration) -> Lack {
        match (self.links.is_empty(), self.contacts.known()) {
            _ if !self.servers.is_empty() || self.has_source() => Lack::Nothing,
            (false, _) => Lack::Pieces,
            (true, 0) if self.contacts.has_barred(now) => Lack::SoundPeers,
            (true, 0) => Lack::Peers,
            (true, _) => Lack::Links,
        }
    }

    /// Panics if an invariant does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        for id in self.links.keys() {
            assert!(self.picker().pieces_of(*id).is_some(), "{id:?}");
        }
        if self.phase().fetches() {
            self.download.check();
        }
        assert!(self.links.len() <= self.terms.max_peers);
    }

    // Steps of the above.

    /// Serves and fetches nothing any more.
    fn stop(&mut self, reason: &str) {
        self.effects.push(Effect::Withhold);
        self.download.drop_pending();
        self.close_links(reason);
    }

    fn look_whether_all_is_here(&mut self, now: Duration) {
        if self.picker().is_complete() && self.life.change(Transition::AllHere, now) {
            self.effects.push(Effect::Complete);
        }
    }

    /// Whether the other side has everything, or says that it only uploads (BEP 21).
    fn fetches_nothing(&self, id: LinkId, link: &Link) -> bool {
        let pieces = self.picker().pieces_of(id);
        pieces.is_some_and(PieceSet::is_full)
            || link.only_uploads() && !self.choker.is_interested(id)
    }

    fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.download.picker_mut().remove_link(id);
        self.choker.remove(id);
        self.links.remove(&id)
    }

    /// Removes a link before it has come to its end, for reasons of our own: its address may be called
    /// again after a while. Nothing else frees the address, as the end of the link changes nothing then.
    fn let_go(&mut self, id: LinkId, now: Duration) {
        let link = self.remove(id);
        if let Some(address) = link.and_then(|link| link.listens_at()) {
            self.contacts.release(address, now);
        }
    }

    /// When all places are taken, one over which no block went for a while is for another; first one
    /// that has nothing we want and wants nothing, and of those the one that was of no use for longest.
    fn make_room(&mut self, now: Duration) -> bool {
        let useless = self.links.iter();
        let useless = useless.filter(|(_, link)| link.idle(now) >= USELESS);
        let chosen = useless.min_by_key(|(id, link)| {
            (
                self.picker().is_interesting(**id),
                self.choker.is_interested(**id),
                std::cmp::Reverse(link.idle(now)),
            )
        });
        let Some(id) = chosen.map(|(id, _)| *id) else {
            return false;
        };
        self.let_go(id, now);
        self.effects.push(Effect::Close(id, CloseReason::MadeRoom));
        true
    }

    /// The other side told of itself. Returns whether its link goes on.
    fn on_handshake(&mut self, id: LinkId, handshake: ExtensionHandshake, now: Duration) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        link.on_handshake(handshake);
        let queue = link.handshake().request_queue;
        let queue = queue.unwrap_or(USUAL_REQUEST_QUEUE);
        let window = queue.clamp(1, self.terms.largest_window);
        if let Some(address) = link.listens_at() {
            if self.contacts.is_barred(address, now) {
                self.effects.push(Effect::Close(id, CloseReason::Barred));
                return false;
            }
            self.contacts.add(address);
            self.contacts.on_linked(address);
        }
        self.download.picker_mut().limit_window(id, window);
        true
    }

    fn on_peer_exchange(
        &mut self,
        id: LinkId,
        payload: &[u8],
        now: Duration,
    ) -> Result<(), Breach> {
        let fetches = self.phase().fetches();
        let Some(link) = self
            .links
            .get_mut(&id)
            .filter(|_| self.terms.exchanges_peers)
        else {
            return Ok(());
        };
        // What comes too soon is not even read.
        if !link.exchange.hear(now)? || !fetches {
            return Ok(());
        }
        let teller = link.remote().address.ip();
        let added = PexMessage::parse(payload)?.added.into_iter();
        for (address, _) in added {
            if exchange::is_believable(address, teller) {
                self.contacts.add_hearsay(address);
            }
        }
        Ok(())
    }

    /// The other side asks for a block: it is served, if the other side is unchoked or may ask all the
    /// same. BEP 6: each request gets its block or a reject. Without it nothing tells of it; who is
    /// choked knows (BEP 3).
    fn on_request(&mut self, id: LinkId, block: BlockRange) {
        let is_owned = self.phase().serves() && self.owned().contains(block.piece());
        let picker = self.download.picker();
        let theirs = picker.pieces_of(id).map_or(0, PieceSet::count);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if is_owned && (self.choker.is_served(id) || link.serves_choked(block, theirs)) {
            self.effects.push(Effect::Serve(id, block));
        } else if link.remote().fast {
            self.effects.push(Effect::Send(id, Outgoing::Reject(block)));
        }
    }

    /// Interest and requests after whatever a link told.
    fn follow_up(&mut self, id: LinkId, now: Duration) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if *self.phase() == Phase::Complete && self.fetches_nothing(id, link) {
            if let Some(address) = link.listens_at() {
                self.contacts.release(address, now);
            }
            let reason = CloseReason::NothingToFetch;
            return self.effects.push(Effect::Close(id, reason));
        }
        if self.picker().is_interesting(id)
            && let Some(link) = self.links.get_mut(&id).filter(|link| !link.interested)
        {
            link.interested = true;
            self.effects.push(Effect::Send(id, Outgoing::Interested));
        }
        self.request(id, now);
    }

    /// Asks a link for as many blocks as its window has room for.
    fn request(&mut self, id: LinkId, now: Duration) {
        if !self.phase().fetches() || !self.links.contains_key(&id) {
            return;
        }
        let mut blocks = std::mem::take(&mut self.blocks);
        self.download.next_blocks(id, now, &mut blocks);
        let requests = blocks.drain(..).map(Outgoing::Request);
        self.effects
            .extend(requests.map(|request| Effect::Send(id, request)));
        self.blocks = blocks;
    }

    /// Asks the links of which nothing is being fetched.
    fn request_idle(&mut self, now: Duration) {
        if !self.phase().fetches() {
            return;
        }
        let mut next = self.links.first_key_value().map(|(id, _)| *id);
        while let Some(id) = next {
            if !self.picker().is_fetching(id) {
                self.request(id, now);
            }
            let mut later = self.links.range((Bound::Excluded(id), Bound::Unbounded));
            next = later.next().map(|(id, _)| *id);
        }
    }

    /// Takes in what every link moved lately.
    fn observe(&mut self, now: Duration, activity: impl Fn(LinkId) -> Activity) {
        for (id, link) in &mut self.links {
            let activity = activity(*id);
            link.observe(activity);
            let picker = self.download.picker_mut();
            if activity.paused {
                // What we do not read on purpose is late by no fault of theirs.
                picker.excuse(*id, now);
                self.progress.excuse(now);
            }
            let owes = !activity.paused && !picker.is_choked(*id) && picker.is_fetching(*id);
            let seen = Seen {
                gave: link.received(),
                took: activity.sent,
                owes,
            };
            self.choker.observe(*id, now, seen);
            if activity.unread_for > self.terms.max_unread {
                let reason = CloseReason::DoesNotRead;
                self.effects.push(Effect::Close(*id, reason));
            }
        }
    }

    /// Gives out upload slots as they are due.
    fn serve(&mut self, now: Duration) {
        let only_uploads = self.phase().only_uploads();
        for change in self.choker.decide(now, only_uploads) {
            self.effects.push(match change.choked {
                true => Effect::Choke(change.link),
                false => Effect::Unchoke(change.link),
            });
        }
    }

    fn exchange_peers(&mut self, now: Duration) {
        let picker = self.download.picker();
        let has_all = |id| picker.pieces_of(id).is_some_and(PieceSet::is_full);
        for (link, id, message) in exchange::due(&mut self.links, has_all, now) {
            let payload = message.encode();
            self.effects
                .push(Effect::SendExtended { link, id, payload });
        }
    }

    /// Takes their requests from links that deliver nothing, so that others are asked.
    fn take_from_stalled(&mut self, now: Duration) {
        for (id, blocks) in self.download.picker_mut().take_from_stalled(now) {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            link.stalls += 1;
            let stalls = link.stalls;
            let cancels = blocks.into_iter().map(Outgoing::Cancel);
            self.effects
                .extend(cancels.map(|cancel| Effect::Send(id, cancel)));
            self.effects.push(Effect::Stalled(id));
            if stalls >= self.terms.max_stalls {
                let reason = CloseReason::DeliversNothing;
                self.effects.push(Effect::Close(id, reason));
            }
        }
    }

    /// Links whose missing pieces have all come hear that we want nothing of them.
    fn end_interest(&mut self) {
        let picker = self.download.picker();
        for (id, link) in &mut self.links {
            if link.interested && !picker.is_interesting(*id) {
                link.interested = false;
                self.effects
                    .push(Effect::Send(*id, Outgoing::NotInterested));
            }
        }
    }

    /// Calls those who are due, as far as there are places. A download into which nothing comes calls
    /// others though all its places are taken: one will make room.
    fn connect(&mut self, now: Duration) {
        let starves = self.phase().fetches() && self.progress.idle(now) >= USELESS;
        let places = self.terms.max_peers + if starves { MAX_CALLING } else { 0 };
        let links = self.links.values();
        let linked = links.filter(|link| self.contacts.is_called(link.remote().address));
        let taken = (self.links.len(), linked.count());
        let calls = self.contacts.next_calls(taken, places, now);
        self.effects.extend(calls.into_iter().map(Effect::Connect));
    }
}
