//! One link to a peer as the core knows it.

use super::block::{MemberId, Source};
use crate::swarm::{PeerExchange, allowed_fast};
use crate::torrent::{BlockRange, InfoHash, Lengths, PieceIndex};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::net::SocketAddr;
use std::time::Duration;

/// A link that lasted longer than this was useful.
const USEFUL_AFTER: Duration = Duration::from_secs(60);
/// The largest number of bytes served while the peer is choked: twice the length of the pieces in
/// the largest allowed-fast set (see `allowed_fast`).
const MAX_CHOKED_BYTES: u64 = 8 << 20;

/// The remote peer of a link, as the connection and the BEP 3 handshake show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemotePeer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether we called the peer.
    pub outgoing: bool,
    /// The peer's id.
    pub peer_id: PeerId,
    /// Whether both sides support BEP 6.
    pub fast: bool,
    /// Whether both sides support BEP 10.
    pub extensions: bool,
    /// The member that its certificate names; only in a group.
    pub member: Option<MemberId>,
}

/// What the core learns about a link from the code for input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkActivity {
    /// Bytes of blocks sent since the link began.
    pub sent: u64,
    /// When the last block was sent; zero if none was.
    pub last_sent: Duration,
    /// Whether we have paused reading to keep a rate limit.
    pub paused: bool,
    /// For how long the peer has read nothing although data is waiting.
    pub unread_for: Duration,
}

/// One link.
#[derive(Debug)]
pub struct Link {
    remote: RemotePeer,
    began: Duration,
    /// The peer's extension handshakes so far, merged.
    handshake: ExtensionHandshake,
    /// The port in the peer's first extension handshake. The outer `None`: no extension handshake
    /// has arrived. The inner `None`: the first one has no port.
    port: Option<Option<u16>>,
    /// Pieces that the peer may request while choked.
    allowed_fast: Vec<PieceIndex>,
    /// Bytes of blocks served while the peer was choked.
    choked_bytes: u64,
    /// Whether our last message about interest was `interested`.
    pub(super) sent_interested: bool,
    /// How many times in a row the link has stalled.
    pub(super) stalls: u32,
    pub(super) exchange: PeerExchange,
    /// Bytes of blocks received.
    received: u64,
    /// When the last block was received; at first, when the link began.
    last_received: Duration,
    activity: LinkActivity,
}

impl Link {
    pub(super) fn new(
        remote: RemotePeer,
        info_hash: InfoHash,
        lengths: &Lengths,
        now: Duration,
    ) -> Self {
        let allowed_fast = match remote.fast {
            true => allowed_fast(remote.address.ip(), info_hash, lengths),
            false => Vec::new(),
        };
        Self {
            remote,
            began: now,
            handshake: ExtensionHandshake::default(),
            port: None,
            allowed_fast,
            choked_bytes: 0,
            sent_interested: false,
            stalls: 0,
            exchange: PeerExchange::default(),
            received: 0,
            last_received: now,
            activity: LinkActivity::default(),
        }
    }

    /// The remote peer.
    pub fn remote(&self) -> &RemotePeer {
        &self.remote
    }

    /// The peer's extension handshakes so far, merged (BEP 10).
    pub fn handshake(&self) -> &ExtensionHandshake {
        &self.handshake
    }

    /// Where the peer accepts calls. `None` if the peer called us, and its first extension
    /// handshake has not arrived or has no port.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        if self.remote.outgoing {
            return Some(self.remote.address);
        }
        let port = self.port.flatten();
        port.map(|port| SocketAddr::new(self.remote.address.ip(), port))
    }

    /// The address by which a user sees the peer: where it accepts calls, if known.
    pub fn shown_address(&self) -> SocketAddr {
        self.listens_at().unwrap_or(self.remote.address)
    }

    /// Bytes of blocks received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Pieces that the peer may request while it is choked (BEP 6).
    pub fn allowed_fast(&self) -> &[PieceIndex] {
        &self.allowed_fast
    }

    pub(super) fn source(&self) -> Source {
        Source::Peer(self.shown_address(), self.remote.member)
    }

    /// Whether the peer says that it fetches nothing (BEP 21).
    pub(super) fn only_uploads(&self) -> bool {
        self.handshake.upload_only == Some(true)
    }

    /// The peer sent an extension handshake. Only the port of the first one counts. Otherwise a
    /// peer could name any number of ports.
    pub(super) fn on_handshake(&mut self, handshake: ExtensionHandshake) {
        self.port.get_or_insert(handshake.port);
        // A later handshake holds changes only (BEP 10).
        self.handshake.update(handshake);
    }

    pub(super) fn on_block(&mut self, length: u32, now: Duration) {
        self.received += u64::from(length);
        self.last_received = now;
    }

    pub(super) fn observe(&mut self, activity: LinkActivity) {
        self.activity = activity;
    }

    /// Whether a block that a choked peer requests may be served. If so, counts the bytes of the
    /// block. `owned` is the number of pieces that the peer owns. A choked peer is served only
    /// while it owns fewer pieces than its allowed-fast set contains. Otherwise it can trade
    /// (BEP 6).
    pub(super) fn admit_choked_request(&mut self, block: BlockRange, owned: u32) -> bool {
        let is_admitted = self.allowed_fast.contains(&block.piece())
            && (owned as usize) < self.allowed_fast.len()
            && self.choked_bytes < MAX_CHOKED_BYTES;
        if is_admitted {
            self.choked_bytes += u64::from(block.length());
        }
        is_admitted
    }

    /// The time since the last block in either direction; at first, since the link began.
    pub(super) fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_received.max(self.activity.last_sent))
    }

    /// Whether the link was useful: it lasted long, or a block moved over it.
    pub(super) fn was_useful(&self, now: Duration) -> bool {
        let lived = now.saturating_sub(self.began);
        lived > USEFUL_AFTER || self.received + self.activity.sent > 0
    }
}
