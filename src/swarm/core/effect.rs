//! What a core asks of the world around it.

use super::block::Block;
use crate::swarm::{LinkId, Run};
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::Event;
use crate::wire::peer::Message;
use std::fmt;
use std::net::SocketAddr;

/// One thing to be done. Effects are carried out in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<B> {
    /// Send this message.
    Send(LinkId, Outgoing),
    /// Send a message of an extension (BEP 10).
    SendExtended {
        /// To whom.
        link: LinkId,
        /// The number of the extension at the other side.
        id: u8,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Send our extension handshake again: from now on we fetch nothing (BEP 21).
    SendHandshake(LinkId),
    /// Serve this piece from now on, and send a `have` for it over every link.
    SendHaves(PieceIndex),
    /// Choke the other side, and drop what it asked for.
    Choke(LinkId),
    /// Unchoke the other side.
    Unchoke(LinkId),
    /// Queue this block for the other side.
    Serve(LinkId, BlockRange),
    /// The link let its requests go stale, and others are asked: a person may want to know.
    Stalled(LinkId),
    /// End the link.
    Close(LinkId, CloseReason),
    /// Call this address.
    Connect(SocketAddr),
    /// Hash these blocks, which are all of the run, and write them.
    Hash(Run, Vec<Block<B>>),
    /// Announce the share, with this event.
    Announce(Event),
    /// Serve these pieces from now on, and those that come.
    Offer(PieceSet),
    /// Serve nothing any more.
    Withhold,
    /// Every piece that is needed is owned: check whole files, and give them their final names.
    Complete,
    /// The share or download has stopped for good: leave the trackers, and record it.
    Failed(String),
}

/// A message that takes no memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// We want pieces of theirs.
    Interested,
    /// We want nothing.
    NotInterested,
    /// We ask for a block.
    Request(BlockRange),
    /// We take a request back.
    Cancel(BlockRange),
    /// Their request will not be served (BEP 6).
    Reject(BlockRange),
}

impl From<Outgoing> for Message<'_> {
    fn from(message: Outgoing) -> Self {
        match message {
            Outgoing::Interested => Self::Interested,
            Outgoing::NotInterested => Self::NotInterested,
            Outgoing::Request(block) => Self::Request(block.into()),
            Outgoing::Cancel(block) => Self::Cancel(block.into()),
            Outgoing::Reject(block) => Self::Reject(block.into()),
        }
    }
}

/// Why a core ends a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Two peers that fetch nothing have nothing for each other.
    NothingToFetch,
    /// Its requests went stale too often in a row.
    DeliversNothing,
    /// It takes nothing of what it is sent.
    DoesNotRead,
    /// All of a piece came from it, and the piece does not verify.
    BadPiece(PieceIndex),
    /// It sent bad data a while ago.
    Barred,
    /// The same peer has another link.
    Replaced,
    /// All places are taken, and nothing moved over this link.
    MadeRoom,
    /// The share or download ends, or its owner says so.
    Ended(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingToFetch => "neither side fetches anything",
            Self::DeliversNothing => "it delivers nothing",
            Self::DoesNotRead => "it does not read what it is sent",
            Self::BadPiece(piece) => {
                return write!(f, "piece {} from it does not verify", piece.number());
            }
            Self::Barred => "it sent bad data a while ago",
            Self::Replaced => "another line to the same peer takes its place",
            Self::MadeRoom => "it makes room for another",
            Self::Ended(reason) => reason,
        })
    }
}
