//! What arrives over a link, as it was parsed for the share at hand, and what breaks the protocol.

use crate::swarm::TooOften;
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::PexError;

/// A message of the other side, but for blocks and what the link itself answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Received<'a> {
    /// Our requests are not served.
    Choke,
    /// Our requests are served.
    Unchoke,
    /// It wants pieces of ours.
    Interested,
    /// It wants nothing.
    NotInterested,
    /// It owns one piece more.
    Have(PieceIndex),
    /// All pieces that it owns.
    Pieces {
        /// Which.
        pieces: PieceSet,
        /// Whether none but greetings came before it. BEP 3 has a bitfield only there. But aria2
        /// sends one, or BEP 6's have all, in the place of several `have`s, where that is shorter.
        is_first: bool,
    },
    /// It asks for a block.
    Request(BlockRange),
    /// It will not send a block (BEP 6).
    Reject(BlockRange),
    /// It would like to send this piece before others (BEP 6).
    Suggest(PieceIndex),
    /// It sends this piece even while it chokes us (BEP 6).
    AllowedFast(PieceIndex),
    /// What it says of itself (BEP 10).
    Handshake(ExtensionHandshake),
    /// Whom else it is linked to: the payload of a `ut_pex` message (BEP 11).
    PeerExchange(&'a [u8]),
}

/// The other side broke the protocol: its link ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A bitfield lacks pieces that were announced before.
    #[error("a later bitfield takes back pieces that were told of")]
    TakenBack,
    /// A `ut_pex` message that is none.
    #[error("bad message about contacts: {0}")]
    PeerExchange(#[from] PexError),
    /// `ut_pex` messages come far too often.
    #[error("{0}")]
    TooOften(#[from] TooOften),
}

/// A block came that nobody asked this link for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unasked;
