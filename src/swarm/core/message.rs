//! Messages that arrived over a link and were checked against the share; breaches of the protocol.

use crate::swarm::TooOften;
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::PexError;

/// A message from the peer, except blocks and the messages that the link itself answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceivedMessage<'a> {
    /// The peer does not serve our requests.
    Choke,
    /// The peer serves our requests.
    Unchoke,
    /// The peer wants pieces of ours.
    Interested,
    /// The peer wants nothing.
    NotInterested,
    /// The peer owns one more piece.
    Have(PieceIndex),
    /// All pieces that the peer owns.
    Pieces {
        /// The pieces.
        pieces: PieceSet,
        /// Whether only handshakes came before this message. In BEP 3 a bitfield may come only
        /// then. But aria2 also sends a bitfield, or [`Self::HaveAll`], later, instead of many
        /// `have`s.
        is_first: bool,
    },
    /// The peer owns every piece (BEP 6).
    HaveAll,
    /// The peer requests a block.
    Request(BlockRange),
    /// The peer will not send a block (BEP 6).
    Reject(BlockRange),
    /// The peer suggests to request this piece before others (BEP 6).
    Suggest(PieceIndex),
    /// The peer serves requests for this piece even while it chokes us (BEP 6).
    AllowedFast(PieceIndex),
    /// The peer's extension handshake (BEP 10).
    Handshake(ExtensionHandshake),
    /// Addresses of other peers: the payload of a `ut_pex` message (BEP 11).
    PeerExchange(&'a [u8]),
}

/// A breach of the protocol by the peer. It ends the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolViolation {
    /// A later bitfield lacks pieces that were announced before.
    #[error("a later bitfield lacks pieces that were announced before")]
    PiecesTakenBack,
    /// A malformed `ut_pex` message.
    #[error("malformed peer exchange message: {0}")]
    PeerExchange(#[from] PexError),
    /// `ut_pex` messages come far too often.
    #[error("{0}")]
    TooOften(#[from] TooOften),
}

/// A block that was not requested from this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnrequestedBlock;
