//! What is to be done, and what of it waits until commits are durable.
//!
//! Invariant: whatever was held leaves in the order in which it came, and not before all commits that were handed out
//! before it are durable.

use super::report::Report;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Origin, Row, RowId, Sequence, VersionVector};
use crate::wire::replica::Message;
use std::collections::VecDeque;
use std::time::Duration;

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time that never jumps, since an epoch of the caller's choosing.
    pub elapsed: Duration,
    /// What the wall clock says: time since 1970. It may be wrong and may jump.
    pub wall: Duration,
}

impl Moment {
    /// The wall clock in milliseconds since 1970.
    pub(super) fn wall_millis(self) -> u64 {
        u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A line to another tracker, numbered by whoever opens and accepts them: each greater than all before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId(pub u64);

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send this; if the line is gone, nothing.
    Send(LineId, Message),
    /// Read the blob and send the part of it from `offset` on (see [`Message::blob`]); if that cannot be, end the line.
    SendBlob {
        /// To whom.
        line: LineId,
        /// Which blob.
        info_hash: InfoHash,
        /// First byte of the part.
        offset: u32,
    },
    /// End the line. [`Replica::line_down`](super::Replica::line_down) need not be called.
    Close(LineId),
    /// Make this durable, then call [`Replica::committed`](super::Replica::committed).
    Commit(Commit),
    /// Tell the client that its write is done.
    Acknowledge {
        /// Which write.
        write: Sequence,
        /// Where it is durable.
        copies: Copies,
    },
    /// Tell the client that this tracker has stopped serving and what became of its write is not known.
    Abandon {
        /// Which write.
        write: Sequence,
    },
    /// Tell the operator.
    Report(Report),
}

/// What must be on the disk, all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its number: commits are made durable in this order.
    pub number: u64,
    /// Rows, each replacing what is stored under its id.
    pub rows: Vec<Row>,
    /// Rows to be deleted, before the new ones are stored.
    pub forgotten: Vec<RowId>,
    /// The version vector, replacing the stored one.
    pub versions: VersionVector,
    /// The origin, replacing the stored one, if it is new.
    pub origin: Option<Origin>,
    /// Blobs to be deleted, before the new ones are stored.
    pub dropped: Vec<InfoHash>,
    /// Blobs that are new.
    pub blobs: Vec<(InfoHash, Vec<u8>)>,
}

/// Where an acknowledged write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Here and at another tracker.
    Two,
    /// Only here so far: no other tracker is up, or none has answered in time. It goes to them when they are back.
    OnlyHere,
}

/// Effects that are due, and those that are held.
#[derive(Debug, Default)]
pub(super) struct Effects {
    issued: u64,
    durable: u64,
    /// Each with the commit it waits for.
    pub(super) held: VecDeque<(u64, Effect)>,
    pub(super) due: Vec<Effect>,
}

impl Effects {
    /// Adds one that waits for nothing.
    pub(super) fn push(&mut self, effect: Effect) {
        self.due.push(effect);
    }

    pub(super) fn report(&mut self, report: Report) {
        self.push(Effect::Report(report));
    }

    /// Adds one that speaks of the present state: it waits until all commits handed out so far are durable.
    pub(super) fn hold(&mut self, effect: Effect) {
        match self.durable == self.issued {
            true => self.push(effect),
            false => self.held.push_back((self.issued, effect)),
        }
    }

    /// Sends a message that speaks of the present state.
    pub(super) fn send(&mut self, line: LineId, message: Message) {
        self.hold(Effect::Send(line, message));
    }

    /// Hands out a commit; returns its number, which it is given here.
    pub(super) fn commit(&mut self, commit: Commit) -> u64 {
        self.issued += 1;
        let number = self.issued;
        self.push(Effect::Commit(Commit { number, ..commit }));
        number
    }

    /// Whether that commit is durable.
    pub(super) fn is_durable(&self, number: u64) -> bool {
        number <= self.durable
    }

    /// A commit, and all before it, are durable: what waited for them is due.
    pub(super) fn committed(&mut self, number: u64) {
        self.durable = self.durable.max(number.min(self.issued));
        let durable = self.durable;
        let ready = self
            .held
            .partition_point(|(barrier, _)| *barrier <= durable);
        let ready = self.held.drain(..ready).map(|(_, effect)| effect);
        self.due.extend(ready);
    }
}
