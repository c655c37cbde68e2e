//! What is written to a line between trackers.

use crate::torrent::InfoHash;
use crate::tracker::outbox::Outbox;
use crate::wire::replica::Message;

/// Something to be written to a line between trackers.
#[derive(Debug)]
pub(in crate::tracker) enum Outgoing {
    /// This message.
    Message(Message),
    /// The part of a blob from this byte on, read when its turn comes.
    Blob(InfoHash, u32),
}

/// What is still to be written to one.
pub(in crate::tracker) type LineOutbox = Outbox<Outgoing>;
