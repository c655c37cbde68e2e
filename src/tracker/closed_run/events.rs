//! What goes in and out of a closed run's decisions.

use crate::torrent::FileName;
use crate::wire::control::{Ask, ErrorKind, Line, Notice};

/// A connection, numbered by whoever accepts it; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this.
    Send(ConnectionId, Notice),
    /// Close the connection once what was to be sent has been; nothing more comes of it.
    Close(ConnectionId),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What went wrong, in the order it happened, a line each; none when all clients finished with all they wanted.
    pub failures: Vec<Line>,
}

/// An error to be answered with.
pub(super) type Refused = (ErrorKind, String);

pub(super) fn out_of_order(ask: &Ask) -> Refused {
    let message = format!("{} makes no sense at this point", ask.kind());
    (ErrorKind::OutOfOrder, message)
}

pub(super) fn not_wanted(name: &FileName) -> Refused {
    let message = format!("{name} is not a wanted file still to be fetched");
    (ErrorKind::OutOfOrder, message)
}
