//! The peers of a swarm: their links, the addresses we call, and the peers we serve.

use super::block::Source;
use super::config::SwarmConfig;
use super::effect::{CloseReason, Effect, OutgoingMessage};
use super::exchange;
use super::link::{Link, LinkActivity, RemotePeer};
use super::message::ProtocolViolation;
use crate::base::AddressPrefix;
use crate::swarm::contacts::{Contacts, MAX_CALLS};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{Choker, LinkId, PeerTraffic, Picker};
use crate::torrent::{BlockRange, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::PexMessage;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The number of requests that we assume a peer queues, if it does not announce a number (`reqq`,
/// BEP 10). libtorrent and others assume the same.
const USUAL_REQUEST_QUEUE: u32 = 250;
/// A link over which no block moves for this long may have to make room for a new link.
const USELESS_AFTER: Duration = Duration::from_secs(5);
/// A link may also have to make room for a new link if it has missed this many deadlines in a row:
/// see `picker/alone.rs`.
const MAX_MISSED_DEADLINES: u32 = 3;
/// A link that has been idle this long is replaced when the same peer connects again in the same
/// direction.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// Pause before two seeds call each other again. By then one of them may have lost pieces.
const SEED_CALL_AFTER: Duration = Duration::from_secs(1_800);

/// Why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// All places are taken.
    #[error("too many links")]
    Full,
    /// The same peer has a link.
    #[error("linked already")]
    Linked,
    /// The peer sent bad data.
    #[error("barred for bad data")]
    Barred,
    /// Nothing is served in this phase.
    #[error("not served now")]
    NotServed,
    /// We called the address because a tracker named it, but meanwhile that tracker has failed
    /// (BEP 27).
    #[error("the tracker that named it has failed")]
    GivenUp,
}

/// The peers of one swarm.
#[derive(Debug)]
pub(super) struct Peers {
    links: BTreeMap<LinkId, Link>,
    contacts: Contacts,
    choker: Choker,
}

impl Peers {
    /// No peer is known yet.
    pub(super) fn new(config: &SwarmConfig, seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            contacts: Contacts::new(seed),
            choker: Choker::new(config.upload_slots, seed),
        }
    }

    pub(super) fn links(&self) -> &BTreeMap<LinkId, Link> {
        &self.links
    }

    pub(super) fn links_mut(&mut self) -> &mut BTreeMap<LinkId, Link> {
        &mut self.links
    }

    pub(super) fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    pub(super) fn contacts_mut(&mut self) -> &mut Contacts {
        &mut self.contacts
    }

    /// Lets a link in: see [`Core::on_link_up`](super::Core::on_link_up).
    ///
    /// # Errors
    /// Why the link is refused.
    pub(super) fn on_link_up<B>(
        &mut self,
        (id, remote): (LinkId, RemotePeer),
        config: &SwarmConfig,
        picker: &mut Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> Result<(), LinkRefusal> {
        let admitted = self.admit(&remote, config, picker, now, effects);
        match admitted {
            Err(LinkRefusal::Linked) if remote.outgoing => {
                self.contacts.release(remote.address, now)
            }
            Err(_) if remote.outgoing => self.contacts.on_failed(remote.address, now),
            Err(_) => {}
            Ok(()) => {
                if remote.outgoing {
                    self.contacts.on_linked(remote.address);
                }
                let window = match remote.extensions {
                    true => config.largest_window,
                    false => config.largest_window.min(USUAL_REQUEST_QUEUE),
                };
                picker.add_link(id, window);
                self.choker.add(id);
                let link = Link::new(remote, config.info_hash, &config.lengths, now);
                self.links.insert(id, link);
            }
        }
        admitted
    }

    /// A link came up while nothing is served. If we called, the call has failed.
    pub(super) fn on_not_served(&mut self, remote: &RemotePeer, now: Duration) {
        if remote.outgoing {
            self.contacts.on_failed(remote.address, now);
        }
    }

    fn admit<B>(
        &mut self,
        remote: &RemotePeer,
        config: &SwarmConfig,
        picker: &mut Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> Result<(), LinkRefusal> {
        let address = remote.address;
        if self.contacts.is_barred(address, now)
            || remote
                .member
                .is_some_and(|member| self.contacts.is_member_barred(member, now))
        {
            return Err(LinkRefusal::Barred);
        }
        if remote.outgoing && config.is_private && !self.contacts.is_known_and_unbarred(address) {
            return Err(LinkRefusal::GivenUp);
        }
        let mut others = self.links.iter();
        let other = others.find(|(_, link)| link.remote().peer_id == remote.peer_id);
        #[cfg(test)]
        let other = other.filter(|_| !is_planted(Mutation::TwoLinks));
        let Some((other_id, other_link)) = other.map(|(id, link)| (*id, link)) else {
            let is_full = self.links.len() >= config.max_peers;
            return match is_full && !self.make_room(picker, now, effects) {
                true => Err(LinkRefusal::Full),
                false => Ok(()),
            };
        };
        // Of two calls in different directions, the call of the peer with the lower id is kept.
        let is_preferred = |outgoing| outgoing == (config.own_id.0 < remote.peer_id.0);
        let other_outgoing = other_link.remote().outgoing;
        // If both links have the same direction, the older link is kept, unless it has been idle
        // for long: then the peer probably connects again because it has lost the older link.
        let is_lost = other_outgoing == remote.outgoing && other_link.idle(now) > LOST_AFTER;
        if !is_lost && (is_preferred(other_outgoing) || !is_preferred(remote.outgoing)) {
            return Err(LinkRefusal::Linked);
        }
        self.remove_early(other_id, picker, now);
        effects.push(Effect::Close(other_id, CloseReason::Replaced));
        Ok(())
    }

    /// A link has ended. Returns whether it was known.
    pub(super) fn on_link_down(
        &mut self,
        id: LinkId,
        activity: LinkActivity,
        picker: &mut Picker,
        now: Duration,
    ) -> bool {
        let Some(mut link) = self.remove(id, picker) else {
            return false;
        };
        link.observe(activity);
        if let Some(address) = link.listens_at() {
            // An address that was useful is called again soon. Other addresses wait longer each
            // time.
            if link.was_useful(now) {
                self.contacts.on_useful(address);
            }
            self.contacts.on_failed(address, now);
        }
        true
    }

    fn remove(&mut self, id: LinkId, picker: &mut Picker) -> Option<Link> {
        picker.remove_link(id);
        self.choker.remove(id);
        self.links.remove(&id)
    }

    /// Removes a link before it has ended, for reasons of our own. Its address may be called again
    /// after a while. Nothing else releases the address: when the link ends later, the core no
    /// longer knows it.
    fn remove_early(&mut self, id: LinkId, picker: &mut Picker, now: Duration) {
        let link = self.remove(id, picker);
        if let Some(address) = link.and_then(|link| link.listens_at()) {
            self.contacts.release(address, now);
        }
    }

    /// Removes all links before they have ended.
    pub(super) fn remove_all_early(&mut self, picker: &mut Picker, now: Duration) {
        while let Some((id, _)) = self.links.first_key_value() {
            self.remove_early(*id, picker, now);
        }
    }

    /// Ends all links.
    pub(super) fn close_all<B>(&self, reason: &str, effects: &mut Vec<Effect<B>>) {
        let close = |id: &LinkId| {
            let reason = CloseReason::Ended(reason.to_owned());
            Effect::Close(*id, reason)
        };
        effects.extend(self.links.keys().map(close));
    }

    /// All places are taken: closes a link over which no block has moved for a while, or that has
    /// missed [`MAX_MISSED_DEADLINES`] deadlines in a row. Prefers a link whose peer has nothing
    /// that we want, then a link without verified blocks, then a link whose peer wants nothing,
    /// then the link that has been idle for longest. Returns whether it has closed a link.
    fn make_room<B>(
        &mut self,
        picker: &mut Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> bool {
        let useless = self.links.iter();
        let useless = useless.filter(|(id, link)| {
            link.idle(now) >= USELESS_AFTER || picker.missed_deadlines(**id) >= MAX_MISSED_DEADLINES
        });
        let chosen = useless.min_by_key(|(id, link)| {
            (
                picker.is_interesting(**id),
                picker.has_verified_blocks(**id),
                self.choker.is_interested(**id),
                Reverse(link.idle(now)),
            )
        });
        let Some(id) = chosen.map(|(id, _)| *id) else {
            return false;
        };
        self.remove_early(id, picker, now);
        effects.push(Effect::Close(id, CloseReason::MadeRoom));
        true
    }

    /// `source` is proven to have sent bad blocks. Bars it until `until`. If its member or its host
    /// is barred too, closes the other links of that member or host. The caller closes `own_links`,
    /// the links of the source itself.
    pub(super) fn on_proven_liar<B>(
        &mut self,
        (own_links, source): (&[LinkId], &Source),
        until: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        let Source::Peer(address, member) = source else {
            return;
        };
        let is_host_barred = self.contacts.on_proven_liar(*address, *member, until);
        let host = AddressPrefix::of(address.ip());
        let others = self.links.iter().filter(|(id, _)| !own_links.contains(id));
        let barred = others.filter(|(_, link)| {
            let remote = link.remote();
            member.is_some() && remote.member == *member
                || is_host_barred && AddressPrefix::of(remote.address.ip()) == host
        });
        effects.extend(barred.map(|(id, _)| Effect::Close(*id, CloseReason::Barred)));
    }

    /// The peer sent an extension handshake. Returns whether the link goes on.
    pub(super) fn on_handshake<B>(
        &mut self,
        (id, handshake): (LinkId, ExtensionHandshake),
        config: &SwarmConfig,
        picker: &mut Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        link.on_handshake(handshake);
        let queue = link.handshake().request_queue;
        let queue = queue.unwrap_or(USUAL_REQUEST_QUEUE);
        if let Some(address) = link.listens_at() {
            if self.contacts.is_barred(address, now) {
                effects.push(Effect::Close(id, CloseReason::Barred));
                return false;
            }
            self.contacts.add(address);
            self.contacts.on_linked(address);
        }
        picker.limit_window(id, queue.clamp(1, config.largest_window));
        true
    }

    /// The peer sent addresses of other peers. If we fetch, we keep them, to call them later.
    ///
    /// # Errors
    /// The messages come too often, or the message is malformed.
    pub(super) fn on_peer_exchange(
        &mut self,
        id: LinkId,
        payload: &[u8],
        we_fetch: bool,
        now: Duration,
    ) -> Result<(), ProtocolViolation> {
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        // A message that comes too soon is not parsed.
        if !link.exchange.on_message(now)? || !we_fetch {
            return Ok(());
        }
        let sender = link.remote().address.ip();
        for (address, _) in PexMessage::parse(payload)?.added {
            if exchange::is_acceptable(address, sender) {
                self.contacts.add_from_peer(address);
            }
        }
        Ok(())
    }

    pub(super) fn on_call_ended(&mut self, address: SocketAddr, now: Duration) {
        let mut links = self.links.values();
        let is_linked = links.any(|link| link.listens_at() == Some(address));
        self.contacts.on_call_ended(address, is_linked, now);
    }

    pub(super) fn on_choke(&mut self, id: LinkId) {
        self.choker.on_choke(id);
    }

    pub(super) fn on_interested(&mut self, id: LinkId, is_interested: bool) {
        self.choker.on_interested(id, is_interested);
    }

    /// The peer requests a block. We serve it if we own the piece, and if the peer is unchoked or
    /// may request the piece while choked. Otherwise, with BEP 6 the request is rejected. Without
    /// BEP 6 there is no answer: a choked peer knows that its requests are dropped (BEP 3).
    pub(super) fn on_request<B>(
        &mut self,
        id: LinkId,
        block: BlockRange,
        picker: &Picker,
        we_serve: bool,
        effects: &mut Vec<Effect<B>>,
    ) {
        let is_available = we_serve && picker.owned().contains(block.piece());
        #[cfg(test)]
        let is_available = is_available || is_planted(Mutation::UnownedServed);
        let peer_piece_count = picker.pieces_of(id).map_or(0, PieceSet::count);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let is_served = self.choker.is_served(id);
        #[cfg(test)]
        let is_served = is_served || is_planted(Mutation::ChokedServed);
        if is_available && (is_served || link.admit_choked_request(block, peer_piece_count)) {
            effects.push(Effect::Serve(id, block));
        } else if link.remote().fast {
            effects.push(Effect::Send(id, OutgoingMessage::Reject(block)));
        }
    }

    /// Whether the peer has every piece, or says that it only uploads (BEP 21) and is not
    /// interested.
    pub(super) fn remote_fetches_nothing(&self, id: LinkId, link: &Link, picker: &Picker) -> bool {
        let pieces = picker.pieces_of(id);
        pieces.is_some_and(PieceSet::is_full)
            || link.only_uploads() && !self.choker.is_interested(id)
    }

    /// From now on we only upload: ends links to peers that fetch nothing, and informs every peer
    /// that supports extensions (BEP 21).
    pub(super) fn on_finished<B>(
        &mut self,
        picker: &Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for (id, link) in &self.links {
            if self.remote_fetches_nothing(*id, link, picker) {
                if let Some(address) = link.listens_at() {
                    self.contacts
                        .release_with_pause_until(address, now + SEED_CALL_AFTER);
                }
                effects.push(Effect::Close(*id, CloseReason::NothingToFetch));
            }
        }
        let links = self.links.iter();
        let informed = links.filter(|(_, link)| link.remote().extensions);
        effects.extend(informed.map(|(id, _)| Effect::SendUploadOnly(*id)));
    }

    /// Records the traffic of every link, and closes each link whose peer does not read. Returns
    /// whether a rate limit stops us from reading from some link now.
    pub(super) fn observe<B>(
        &mut self,
        activity: impl Fn(LinkId) -> LinkActivity,
        config: &SwarmConfig,
        picker: &mut Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) -> bool {
        let mut any_paused = false;
        for (id, link) in &mut self.links {
            let activity = activity(*id);
            link.observe(activity);
            any_paused |= activity.paused;
            if activity.paused {
                // The link does not stall while we do not read.
                picker.mark_not_stalled(*id, now);
            }
            let traffic = PeerTraffic {
                received: link.received(),
                sent: activity.sent,
                owes_blocks: !activity.paused && !picker.is_choked(*id) && picker.is_fetching(*id),
            };
            self.choker.observe(*id, now, traffic);
            if activity.unread_for > config.max_unread {
                effects.push(Effect::Close(*id, CloseReason::DoesNotRead));
            }
        }
        any_paused
    }

    /// Chokes and unchokes the links for which a change of the upload slots is due.
    pub(super) fn assign_upload_slots<B>(
        &mut self,
        we_only_upload: bool,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        for change in self.choker.decide(now, we_only_upload) {
            #[cfg(test)]
            if change.choked && is_planted(Mutation::ChokeLeftOut) {
                continue;
            }
            effects.push(match change.choked {
                true => Effect::Choke(change.link),
                false => Effect::Unchoke(change.link),
            });
        }
    }

    /// Sends the peer exchange messages that are due.
    pub(super) fn send_exchange_messages<B>(
        &mut self,
        picker: &Picker,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        let has_all = |id| picker.pieces_of(id).is_some_and(PieceSet::is_full);
        for (link, id, message) in exchange::due_messages(&mut self.links, has_all, now) {
            let payload = message.encode();
            effects.push(Effect::SendExtended { link, id, payload });
        }
    }

    /// Calls the addresses that are due, up to the number of free places. A download that has been
    /// idle for [`USELESS_AFTER`] also calls when all places are taken: one of its links will make
    /// room. `idle` is the time that `Progress::idle` returns, or `None` if we do not fetch.
    pub(super) fn connect<B>(
        &mut self,
        config: &SwarmConfig,
        idle: Option<Duration>,
        now: Duration,
        effects: &mut Vec<Effect<B>>,
    ) {
        let starves = idle.is_some_and(|idle| idle >= USELESS_AFTER);
        let places = config.max_peers + if starves { MAX_CALLS } else { 0 };
        let links = self.links.values();
        // A call that became a link counts as a call until its thread ends. It takes one place, not
        // two.
        let linked_calls = links.filter(|link| self.contacts.has_call(link.remote().address));
        let counts = (self.links.len(), linked_calls.count());
        let calls = self.contacts.next_calls(counts, places, now);
        effects.extend(calls.into_iter().map(Effect::Connect));
    }
}
