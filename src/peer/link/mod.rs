//! A link: one line to one peer in one swarm.
//!
//! A link has two threads of its own with small stacks: one reads (and owns the link from its start to its end), one
//! writes. Neither holds a lock over I/O. What is to be written is left in the [`Outbox`].

mod deadlines;
mod handshake;
mod outbox;
mod reader;
mod stream;
mod writer;

pub use deadlines::Deadlines;
pub(super) use handshake::{accept, call};
pub(super) use outbox::{Outbox, Queued};
pub(super) use reader::Ended;
use stream::LinkStream;

use super::status::LinkStatus;
use super::transfer::Transfer;
use crate::certificate::Member;
use crate::swarm::LinkId;
use crate::torrent::{PieceIndex, PieceSet};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The stack of a link's threads, in bytes.
pub(super) const STACK: usize = 256 << 10;
/// How long a call may take until it is taken, which also bounds how long a stop waits for it.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How many requests of another are kept, as told in the extension handshake.
pub(super) const REQUEST_QUEUE: u32 = 1_000;
/// How many requests are kept of one that does not heed that.
pub(super) const MAX_REQUEST_QUEUE: usize = 2_000;

/// A link that stands.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    stream: LinkStream,
    /// Who the other side is, in a group's swarm.
    pub(super) member: Option<Member>,
    /// The other end of the connection.
    pub(super) address: SocketAddr,
    /// Whether we called.
    pub(super) outgoing: bool,
    pub(super) peer_id: PeerId,
    /// BEP 6 on both sides.
    pub(super) fast: bool,
    /// BEP 10 on both sides.
    pub(super) extensions: bool,
    pub(super) outbox: Outbox,
    /// Pieces that the other side may ask for while choked.
    pub(super) allowed_fast: Vec<PieceIndex>,
    /// Its reading thread waits for its part of a limit.
    paused: AtomicBool,
    pub(super) downloaded: AtomicU64,
    pub(super) uploaded: AtomicU64,
    /// When a block last went either way, or the link began, in milliseconds.
    used: AtomicU64,
    /// When it was made.
    pub(super) since: Duration,
    about: Mutex<About>,
}

/// What the other side tells of itself later.
#[derive(Debug, Default)]
struct About {
    handshake: ExtensionHandshake,
    /// The port of the first handshake, once one has come.
    port: Option<Option<u16>>,
    /// Why we end the link, if we do.
    reason: Option<String>,
}

impl Link {
    /// Ends the link: both threads meet a closed socket. The first reason counts.
    pub(super) fn close(&self, reason: impl Into<String>) {
        self.about().reason.get_or_insert_with(|| reason.into());
        self.outbox.close();
        self.stream.shut();
    }

    /// Whether we do not read on at present, to keep a limit.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// A block went either way.
    fn use_at(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    /// When a block last went either way; at first, when the link began.
    pub(super) fn last_use(&self) -> Duration {
        Duration::from_millis(self.used.load(Ordering::Relaxed))
    }

    /// Why it was ended from here.
    pub(super) fn reason(&self) -> Option<String> {
        self.about().reason.clone()
    }

    /// Where the other side can be called: for a caller, the port it told of.
    pub(super) fn listens_at(&self) -> Option<SocketAddr> {
        if self.outgoing {
            return Some(self.address);
        }
        self.about()
            .port
            .flatten()
            .map(|port| SocketAddr::new(self.address.ip(), port))
    }

    /// The address that stands for the other side in what a person sees.
    pub(super) fn shown_address(&self) -> SocketAddr {
        self.listens_at().unwrap_or(self.address)
    }

    /// Whether a block went over it, either way.
    pub(super) fn moved_anything(&self) -> bool {
        self.downloaded.load(Ordering::Relaxed) + self.uploaded.load(Ordering::Relaxed) > 0
    }

    /// Takes what the other side tells of itself; the port of the first time counts, or it could name any number of them.
    pub(super) fn told(&self, handshake: ExtensionHandshake) {
        let mut about = self.about();
        let first = about.port.is_none();
        if first {
            about.port = Some(handshake.port);
        }
        // A later handshake says what has changed (BEP 10).
        about.handshake.update(handshake);
    }

    /// How many requests the other side keeps, if it said so.
    pub(super) fn request_queue(&self) -> Option<u32> {
        self.about().handshake.request_queue
    }

    /// The number under which the other side takes messages about metadata; 0 or none for not at all.
    pub(super) fn takes_metadata_as(&self) -> Option<u8> {
        self.about().handshake.metadata
    }

    /// The number under which the other side takes messages about contacts; 0 or none for not at all.
    pub(super) fn takes_pex_as(&self) -> Option<u8> {
        self.about().handshake.pex
    }

    /// Whether the other side says that it fetches nothing (BEP 21).
    pub(super) fn only_uploads(&self) -> bool {
        self.about().handshake.upload_only == Some(true)
    }

    pub(super) fn status(&self, transfer: &Transfer, pieces: Option<&PieceSet>) -> LinkStatus {
        let told = self.about().handshake.clone();
        LinkStatus {
            share: transfer.name().to_owned(),
            address: self.shown_address(),
            name: told
                .name
                .or_else(|| self.member.as_ref().map(|member| member.user.clone())),
            client: told.client.unwrap_or_else(|| self.peer_id.client()),
            outgoing: self.outgoing,
            pieces: (
                pieces.map_or(0, PieceSet::count),
                transfer.info().lengths().pieces(),
            ),
            downloaded: self.downloaded.load(Ordering::Relaxed),
            uploaded: self.uploaded.load(Ordering::Relaxed),
        }
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
