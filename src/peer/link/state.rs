//! What is known of a link, by both of its threads and by its transfer.

use super::{LinkStream, Outbox};
use crate::certificate::Member;
use crate::peer::LinkStatus;
use crate::swarm::LinkId;
use crate::system::lock;
use crate::torrent::{PieceIndex, PieceSet};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(super) stream: LinkStream,
    /// Who the other side is, in a group's swarm.
    pub(crate) member: Option<Member>,
    /// The other end of the connection.
    pub(crate) address: SocketAddr,
    /// Whether we called.
    pub(crate) outgoing: bool,
    pub(crate) peer_id: PeerId,
    /// BEP 6 on both sides.
    pub(crate) fast: bool,
    /// BEP 10 on both sides.
    pub(crate) extensions: bool,
    pub(crate) outbox: Outbox,
    /// Pieces that the other side may ask for while choked.
    pub(crate) allowed_fast: Vec<PieceIndex>,
    pub(crate) traffic: Traffic,
    pub(super) about: Mutex<About>,
}

/// What went over a link.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// When the link was made.
    pub(crate) since: Duration,
    /// Its reading thread waits for its part of a limit.
    pub(crate) paused: AtomicBool,
    /// Bytes of blocks.
    downloaded: AtomicU64,
    uploaded: AtomicU64,
    /// When a block last went either way, or the link began, in milliseconds.
    used: AtomicU64,
}

impl Traffic {
    pub(super) fn since(now: Duration) -> Self {
        let traffic = Self {
            since: now,
            ..Self::default()
        };
        traffic.use_at(now);
        traffic
    }

    /// A block went either way.
    fn use_at(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }
}

/// What the other side tells of itself later.
#[derive(Debug, Default)]
pub(super) struct About {
    handshake: ExtensionHandshake,
    /// The port of the first handshake, once one has come.
    port: Option<Option<u16>>,
    /// Why we end the link, if we do.
    reason: Option<String>,
}

impl Link {
    /// Ends the link: both threads meet a closed socket. The first reason counts.
    pub(crate) fn close(&self, reason: impl Into<String>) {
        lock(&self.about)
            .reason
            .get_or_insert_with(|| reason.into());
        self.outbox.close();
        self.stream.shut();
    }

    /// A block came.
    pub(super) fn received(&self, length: u32, now: Duration) {
        let downloaded = &self.traffic.downloaded;
        downloaded.fetch_add(length.into(), Ordering::Relaxed);
        self.traffic.use_at(now);
    }

    /// A block went out.
    pub(super) fn sent(&self, length: u32, now: Duration) {
        let uploaded = &self.traffic.uploaded;
        uploaded.fetch_add(length.into(), Ordering::Relaxed);
        self.traffic.use_at(now);
    }

    /// Bytes of blocks received so far.
    pub(crate) fn downloaded(&self) -> u64 {
        self.traffic.downloaded.load(Ordering::Relaxed)
    }

    /// Bytes of blocks sent so far.
    pub(crate) fn uploaded(&self) -> u64 {
        self.traffic.uploaded.load(Ordering::Relaxed)
    }

    /// When a block last went either way; at first, when the link began.
    pub(crate) fn last_use(&self) -> Duration {
        Duration::from_millis(self.traffic.used.load(Ordering::Relaxed))
    }

    /// Why it was ended from here.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.about).reason.clone()
    }

    /// Where the other side can be called: for a caller, the port it told of.
    pub(crate) fn listens_at(&self) -> Option<SocketAddr> {
        if self.outgoing {
            return Some(self.address);
        }
        lock(&self.about)
            .port
            .flatten()
            .map(|port| SocketAddr::new(self.address.ip(), port))
    }

    /// The address that stands for the other side in what a person sees.
    pub(crate) fn shown_address(&self) -> SocketAddr {
        self.listens_at().unwrap_or(self.address)
    }

    /// Whether a block went over it, either way.
    pub(crate) fn moved_anything(&self) -> bool {
        self.downloaded() + self.uploaded() > 0
    }

    /// Takes what the other side says of itself. The port of the first time counts, or it could name
    /// any number of them.
    pub(crate) fn on_extended_handshake(&self, handshake: ExtensionHandshake) {
        let mut about = lock(&self.about);
        let first = about.port.is_none();
        if first {
            about.port = Some(handshake.port);
        }
        // A later handshake says what has changed (BEP 10).
        about.handshake.update(handshake);
    }

    /// Something of what the other side says of itself. It takes messages of an extension under the number that it
    /// names; 0 or none for not at all.
    pub(crate) fn told<R>(&self, get: impl FnOnce(&ExtensionHandshake) -> R) -> R {
        get(&lock(&self.about).handshake)
    }

    /// What a person sees of it: a link of the share called `share`, which has `total` pieces, of
    /// which the other side has `pieces`.
    pub(crate) fn status(&self, share: &str, pieces: Option<&PieceSet>, total: u32) -> LinkStatus {
        let told = lock(&self.about).handshake.clone();
        LinkStatus {
            share: share.to_owned(),
            address: self.shown_address(),
            name: told
                .name
                .or_else(|| self.member.as_ref().map(|member| member.user.clone())),
            client: told.client.unwrap_or_else(|| self.peer_id.client()),
            outgoing: self.outgoing,
            pieces: (pieces.map_or(0, PieceSet::count), total),
            downloaded: self.downloaded(),
            uploaded: self.uploaded(),
        }
    }
}
