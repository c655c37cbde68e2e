//! One link to a peer as the core knows it.

use super::block::Source;
use crate::swarm::{PeerExchange, allowed_fast};
use crate::torrent::{BlockRange, InfoHash, Lengths, PieceIndex};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::net::SocketAddr;
use std::time::Duration;

/// A link that stood for so long was no failure.
const PROVED: Duration = Duration::from_secs(60);
/// How many bytes a link gets while it is choked, at most: twice what the allowed pieces can have.
const MAX_ALLOWED: u64 = 8 << 20;

/// The other side of a link, as its handshake and its connection tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether we called.
    pub outgoing: bool,
    /// Its peer id.
    pub peer_id: PeerId,
    /// BEP 6 on both sides.
    pub fast: bool,
    /// BEP 10 on both sides.
    pub extensions: bool,
}

/// What the connection of a link knows and the core does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Bytes of blocks sent since the link began.
    pub sent: u64,
    /// When the last block was sent; zero if none was.
    pub last_sent: Duration,
    /// We do not read, to keep a limit of our own.
    pub paused: bool,
    /// For how long the other side has not taken what it is sent.
    pub unread_for: Duration,
}

/// One link.
#[derive(Debug)]
pub struct Link {
    remote: Remote,
    since: Duration,
    /// What it said of itself.
    handshake: ExtensionHandshake,
    /// The port of its first handshake, once one has come.
    port: Option<Option<u16>>,
    /// Pieces that it may ask for while choked.
    allowed_fast: Vec<PieceIndex>,
    /// Bytes of blocks that were served while it was choked.
    allowed_bytes: u64,
    /// It was told that we are interested.
    pub(super) interested: bool,
    /// How often in a row it let its requests go stale.
    pub(super) stalls: u32,
    pub(super) exchange: PeerExchange,
    /// Bytes of blocks received.
    received: u64,
    last_received: Duration,
    activity: Activity,
}

impl Link {
    pub(super) fn new(
        remote: Remote,
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
            since: now,
            handshake: ExtensionHandshake::default(),
            port: None,
            allowed_fast,
            allowed_bytes: 0,
            interested: false,
            stalls: 0,
            exchange: PeerExchange::default(),
            received: 0,
            last_received: now,
            activity: Activity::default(),
        }
    }

    /// The other side.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// What the other side said of itself (BEP 10).
    pub fn handshake(&self) -> &ExtensionHandshake {
        &self.handshake
    }

    /// Where the other side can be called: for a caller, the port it told of.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        if self.remote.outgoing {
            return Some(self.remote.address);
        }
        let port = self.port.flatten();
        port.map(|port| SocketAddr::new(self.remote.address.ip(), port))
    }

    /// The address that stands for the other side in what a person sees.
    pub fn shown_address(&self) -> SocketAddr {
        self.listens_at().unwrap_or(self.remote.address)
    }

    /// Bytes of blocks received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Pieces that the other side may ask for while it is choked (BEP 6).
    pub fn allowed_fast(&self) -> &[PieceIndex] {
        &self.allowed_fast
    }

    pub(super) fn source(&self) -> Source {
        Source::Peer(self.shown_address())
    }

    /// Whether it says that it fetches nothing (BEP 21).
    pub(super) fn only_uploads(&self) -> bool {
        self.handshake.upload_only == Some(true)
    }

    /// The other side says something of itself. The port of the first time counts, or it could name
    /// any number of them.
    pub(super) fn on_handshake(&mut self, handshake: ExtensionHandshake) {
        self.port.get_or_insert(handshake.port);
        // A later handshake says what has changed (BEP 10).
        self.handshake.update(handshake);
    }

    /// A block came.
    pub(super) fn on_block(&mut self, length: u32, now: Duration) {
        self.received += u64::from(length);
        self.last_received = now;
    }

    /// Takes in what its connection tells.
    pub(super) fn observe(&mut self, activity: Activity) {
        self.activity = activity;
    }

    /// Whether a block that is asked for in spite of a choke may be served; counts it if so.
    /// Whoever owns as many pieces as are allowed, `owned`, has something to trade with, and can
    /// wait (BEP 6).
    pub(super) fn serves_choked(&mut self, block: BlockRange, owned: u32) -> bool {
        let serves = self.allowed_fast.contains(&block.piece())
            && (owned as usize) < self.allowed_fast.len()
            && self.allowed_bytes < MAX_ALLOWED;
        if serves {
            self.allowed_bytes += u64::from(block.length());
        }
        serves
    }

    /// For how long no block went either way; at first, since the link began.
    pub(super) fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_received.max(self.activity.last_sent))
    }

    /// Whether it was of use: it stood for long, or a block went over it.
    pub(super) fn has_proved(&self, now: Duration) -> bool {
        let lived = now.saturating_sub(self.since);
        lived > PROVED || self.received + self.activity.sent > 0
    }
}
