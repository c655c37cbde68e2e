//! What a core asks its environment to do.

use super::block::PendingBlock;
use crate::swarm::{BlockRun, LinkId};
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::AnnounceEvent;
use crate::wire::peer::PeerMessage;
use std::fmt;
use std::net::SocketAddr;

/// One action for the environment. Effects are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<B> {
    /// Send this message.
    Send(LinkId, OutgoingMessage),
    /// Send a message of an extension (BEP 10).
    SendExtended {
        /// The link.
        link: LinkId,
        /// The number that the peer has assigned to the extension.
        id: u8,
        /// The payload.
        payload: Vec<u8>,
    },
    /// Send our extension handshake again, to say that we fetch nothing any more (BEP 21).
    SendUploadOnly(LinkId),
    /// Add this piece to the pieces that are served, and send a `have` for it over every link.
    SendHaves(PieceIndex),
    /// Choke the peer, and drop its requests.
    Choke(LinkId),
    /// Unchoke the peer.
    Unchoke(LinkId),
    /// Queue this block, which the peer has requested.
    Serve(LinkId, BlockRange),
    /// The link has stalled, and its requests went to other links. A user may want to know.
    Stalled(LinkId),
    /// End the link.
    Close(LinkId, CloseReason),
    /// Call this address.
    Connect(SocketAddr),
    /// Hash the blocks of this run, and write them.
    Hash(BlockRun, Vec<PendingBlock<B>>),
    /// Read the missing blocks of this run, which are local, and put them in the places that are
    /// `None`. Their source is [`Source::Local`](super::Source::Local). Then hash the blocks, and
    /// write them. If a block cannot be read, give all blocks back to
    /// [`Core::on_unreadable`](super::Core::on_unreadable).
    ReadAndHash(BlockRun, Vec<Option<PendingBlock<B>>>),
    /// Announce the share, with this event.
    Announce(AnnounceEvent),
    /// Serve these pieces from now on. Each later `SendHaves` adds one.
    Offer(PieceSet),
    /// Serve nothing any more.
    Withhold,
    /// Every needed piece is owned: check whole files, and give them their final names.
    Complete,
    /// The transfer has stopped for good, for this reason: leave the swarm at the trackers, and
    /// update the record.
    Failed(String),
}

/// A message about interest or about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingMessage {
    /// We want pieces of the peer.
    Interested,
    /// We want no piece of the peer.
    NotInterested,
    /// We request a block.
    Request(BlockRange),
    /// We cancel a request.
    Cancel(BlockRange),
    /// We will not serve this request (BEP 6).
    Reject(BlockRange),
}

impl From<OutgoingMessage> for PeerMessage<'_> {
    fn from(message: OutgoingMessage) -> Self {
        match message {
            OutgoingMessage::Interested => Self::Interested,
            OutgoingMessage::NotInterested => Self::NotInterested,
            OutgoingMessage::Request(block) => Self::Request(block.into()),
            OutgoingMessage::Cancel(block) => Self::Cancel(block.into()),
            OutgoingMessage::Reject(block) => Self::Reject(block.into()),
        }
    }
}

/// Why a core ends a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both peers are seeds or fetch nothing more.
    NothingToFetch,
    /// The link stalled too often in a row.
    DeliversNothing,
    /// The peer does not read what we send.
    DoesNotRead,
    /// The peer alone sent all blocks of this piece, and the piece does not verify.
    BadPiece(PieceIndex),
    /// The peer sent bad data a while ago.
    Barred,
    /// The same peer has another link.
    Replaced,
    /// All places are taken, and no block moved over this link lately.
    MadeRoom,
    /// The share ends, or the code around the core ends all links of the share.
    Ended(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingToFetch => "neither side fetches anything",
            Self::DeliversNothing => "it delivers nothing",
            Self::DoesNotRead => "it does not read what this peer sends",
            Self::BadPiece(piece) => {
                return write!(f, "piece {} from it does not verify", piece.number());
            }
            Self::Barred => "it sent bad data a while ago",
            Self::Replaced => "another link of the same peer replaces it",
            Self::MadeRoom => "it makes room for another",
            Self::Ended(reason) => reason,
        })
    }
}
