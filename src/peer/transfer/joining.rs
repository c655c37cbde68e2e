//! The life of a link in a transfer, from the end of the handshake to the end of the link, and the
//! messages between the link and the transfer.

use super::effects::SwarmState;
use super::transfer::Transfer;
use crate::base::AddressPrefix;
use crate::peer::{
    BlockBuffer, EndReason, Link, LinkResources, MessageSink, PeerConnection, UploadSource, link,
};
use crate::storage::Store;
use crate::swarm::{
    LinkId, LinkRefusal, MemberId, ProtocolViolation, ReceivedMessage, RemotePeer, UnrequestedBlock,
};
use crate::torrent::{BlockRange, PieceIndex};
use crate::wire::metadata::MetadataError;
use crate::wire::peer::PeerMessage;
use std::net::SocketAddr;
use std::sync::Arc;

/// Runs a link until it ends, if the core admits it.
pub(crate) fn run_link(transfer: &Arc<Transfer>, connection: PeerConnection) {
    let (address, outgoing, name) = (connection.address, connection.outgoing, transfer.name());
    let link = match admit(transfer, connection) {
        Ok(link) => link,
        Err(refusal) => {
            return log::debug!("{name}: {address}: {refusal}");
        }
    };
    let way = if outgoing { "called" } else { "was called by" };
    let client = link.remote().peer_id.client();
    let source = AddressPrefix::of(address.ip());
    log::info!(source:%; "{name}: {way} {address} ({client})");
    let ended = match send_opening_messages(transfer, &link) {
        Some(journal_position) => {
            link::run(transfer, &link, &transfer.resources(), journal_position)
        }
        None => EndReason::ClosedHere,
    };
    on_link_ended(transfer, &link, &ended);
}

/// Adds the link to the transfer, if the core admits it.
fn admit(transfer: &Transfer, connection: PeerConnection) -> Result<Arc<Link>, LinkRefusal> {
    let id = transfer.context.next_link_id();
    let remote = RemotePeer {
        address: connection.address,
        outgoing: connection.outgoing,
        peer_id: connection.handshake.peer_id,
        fast: connection.handshake.fast,
        extensions: connection.handshake.extensions,
        member: connection
            .member
            .as_ref()
            .map(|member| MemberId(member.account.0)),
    };
    let (stream, member) = (connection.stream, connection.member);
    let (admitted, deferred) = transfer.with_swarm(|SwarmState { core, links, .. }, now| {
        // This check is under the lock. So either it sees that the peer stops, or the thread that
        // stops the peer finds the link in `links` and closes it.
        if transfer.context.stop.is_stopped() {
            return Err(LinkRefusal::NotServed);
        }
        core.on_link_up(id, remote, now)?;
        let allowed = core.link(id).map(|link| link.allowed_fast().to_vec());
        let link = Arc::new(Link::new(
            id,
            stream,
            member,
            remote,
            allowed.unwrap_or_default(),
        ));
        links.insert(id, Arc::clone(&link));
        Ok(link)
    });
    deferred.carry_out(transfer);
    admitted
}

/// Sends the first messages of a link: our pieces (BEP 3), the extension handshake (BEP 10), and
/// allowed-fast pieces (BEP 6). Returns a position in the journal of the owned map: these messages
/// report the pieces before that position, and no pieces after it. `None` if the share is no longer
/// served.
fn send_opening_messages(transfer: &Transfer, link: &Link) -> Option<usize> {
    let (owned, journal_position) = transfer.context.owned.snapshot(transfer.info_hash())?;
    let remote = link.remote();
    link.send(match (remote.fast, owned.is_full(), owned.is_empty()) {
        (true, true, _) => Some(PeerMessage::HaveAll),
        (true, _, true) => Some(PeerMessage::HaveNone),
        (false, _, true) => None,
        _ => Some(PeerMessage::Bitfield(owned.as_bitfield())),
    });
    if remote.extensions {
        let only_uploads = transfer.inspect(|core| core.phase().only_uploads());
        transfer.send_handshake(link, only_uploads);
    }
    let allowed = link.allowed_fast().iter();
    let allowed = allowed.filter(|piece| owned.contains(**piece));
    link.send(allowed.map(|piece| PeerMessage::AllowedFast(piece.number())));
    Some(journal_position)
}

/// Removes a link whose threads have ended.
fn on_link_ended(transfer: &Transfer, link: &Link, ended: &EndReason) {
    let (id, name) = (link.id(), transfer.name());
    let reason = link.reason().unwrap_or_else(|| ended.to_string());
    let (listens_at, deferred) = transfer.with_swarm(|SwarmState { core, links, .. }, now| {
        links.remove(&id);
        let core_link = core.link(id);
        let listens_at = core_link.and_then(|link| link.listens_at());
        core.on_link_down(id, link.activity(now), now);
        listens_at
    });
    deferred.carry_out(transfer);
    let shown_address = listens_at.unwrap_or(link.remote().address);
    let source = AddressPrefix::of(shown_address.ip());
    log::info!(source:%; "{name}: the link with {shown_address} ended: {reason}");
    if let Some(address) = listens_at
        && ended.is_violation()
    {
        log::warn!(source:%; "{name}: {address}: {ended}");
    }
}

impl Transfer {
    fn resources(&self) -> LinkResources {
        LinkResources {
            lengths: *self.info().lengths(),
            link_limits: Arc::clone(&self.context.link_limits),
            buffers: Arc::clone(&self.context.link_limits.buffers),
        }
    }

    /// Reports that the thread that called the address has ended.
    pub(crate) fn on_call_ended(&self, address: SocketAddr) {
        self.decide(|core, now| core.on_call_ended(address, now));
    }

    /// The address of a remote peer in messages to people: where it listens, if that is known.
    pub(super) fn shown_address(&self, link: &Link) -> SocketAddr {
        let address = self.inspect(|core| core.link(link.id()).map(|link| link.shown_address()));
        address.unwrap_or(link.remote().address)
    }
}

impl MessageSink for Transfer {
    fn on_message(
        &self,
        link: LinkId,
        message: ReceivedMessage<'_>,
    ) -> Result<(), ProtocolViolation> {
        let names_peers = matches!(message, ReceivedMessage::PeerExchange(_));
        // Modification times of files are sent in messages of their own. A remote peer asks for the
        // times by giving these messages an id in its extension handshake. Only the first handshake
        // that gives an id is answered with the times.
        let may_ask_for_times =
            matches!(message, ReceivedMessage::Handshake(_)) && self.times_id(link).is_none();
        self.decide(|core, now| core.on_message(link, message, now))?;
        if names_peers && self.plan.exchanges_peers() {
            self.context.ticks.trigger();
        }
        if may_ask_for_times && let Some(id @ 1..) = self.times_id(link) {
            self.send_times(link, id);
        }
        Ok(())
    }

    fn on_metadata(&self, link: LinkId, payload: &[u8]) -> Result<(), MetadataError> {
        self.on_metadata_message(link, payload)
    }

    fn on_modified_times(&self, payload: &[u8]) {
        self.take_times(payload);
    }

    fn on_block(
        &self,
        link: LinkId,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, UnrequestedBlock> {
        self.decide(|core, now| core.on_block(link, None, range, buffer, now))
    }
}

impl UploadSource for Transfer {
    fn haves_since(&self, position: &mut usize) -> Vec<PieceIndex> {
        self.context
            .owned
            .published_since(self.info_hash(), position)
    }

    fn serves(&self, piece: PieceIndex) -> bool {
        self.context.owned.contains(self.info_hash(), piece)
    }

    fn store(&self) -> Option<Arc<Store>> {
        self.files.store()
    }

    fn on_sent(&self, bytes: u32) {
        self.add_uploaded(bytes.into());
    }

    fn on_unservable(&self, reason: &str) {
        self.on_files_unservable(reason);
    }
}
