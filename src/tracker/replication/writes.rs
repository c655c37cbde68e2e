//! Writes of this tracker that are not acknowledged yet. Each waits until it is durable here, then
//! until another tracker has it.

use super::{Copies, Effect, Effects, Moment, PUSH_WAIT, Serving};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Refusal, Sequence};
use crate::wire::replica::MAX_ENCODED;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a write was not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// This tracker does not serve.
    #[error(transparent)]
    NotServing(Serving),
    /// A rule of the registry forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A row names a blob that is neither stored here nor passed in.
    #[error("the metainfo {0} has not been sent; send it first")]
    NoBlob(InfoHash),
    /// It is too large to send to another tracker.
    #[error("a write of {0} bytes is larger than the limit of {MAX_ENCODED} bytes")]
    TooLarge(usize),
}

/// The writes without an acknowledgement.
#[derive(Debug, Default)]
pub(super) struct PendingWrites(pub(super) BTreeMap<Sequence, PendingWrite>);

#[derive(Debug)]
pub(super) struct PendingWrite {
    /// The number of the commit that makes it durable here.
    commit: u64,
    /// End of the wait for another tracker. Set when the write is durable here.
    deadline: Option<Duration>,
}

impl PendingWrites {
    pub(super) fn add(&mut self, write: Sequence, commit: u64) {
        let deadline = None;
        self.0.insert(write, PendingWrite { commit, deadline });
    }

    /// Starts the wait for another tracker for all writes that are durable here now.
    pub(super) fn on_committed(&mut self, effects: &Effects, now: Moment) {
        for pending in self.0.values_mut() {
            if pending.deadline.is_none() && effects.is_durable(pending.commit) {
                pending.deadline = Some(now.elapsed + PUSH_WAIT);
            }
        }
    }

    /// Another tracker has all writes of this tracker up to `last`.
    pub(super) fn acknowledge_upto(&mut self, last: Sequence, effects: &mut Effects) {
        let later = self.0.split_off(&last.next());
        let copies = Copies::Two;
        for write in std::mem::replace(&mut self.0, later).into_keys() {
            effects.add(Effect::Acknowledge { write, copies });
        }
    }

    /// Acknowledges, with [`Copies::OnlyHere`], the writes whose wait for another tracker is over
    /// at `now`. If `now` is `None`, acknowledges all writes that are durable here.
    pub(super) fn acknowledge_alone(&mut self, now: Option<Moment>, effects: &mut Effects) {
        let copies = Copies::OnlyHere;
        self.0.retain(|&write, pending| {
            let over = pending
                .deadline
                .is_some_and(|deadline| now.is_none_or(|now| now.elapsed >= deadline));
            if over {
                effects.add(Effect::Acknowledge { write, copies });
            }
            !over
        });
    }

    /// The last write whose wait for other trackers is over.
    pub(super) fn overdue(&self, now: Moment) -> Option<Sequence> {
        let mut latest_first = self.0.iter().rev();
        let is_over = |deadline: Duration| now.elapsed >= deadline;
        let overdue = latest_first.find(|(_, pending)| pending.deadline.is_some_and(is_over));
        overdue.map(|(write, _)| *write)
    }

    /// Drops all pending writes, because this tracker has stopped serving. Nobody knows whether
    /// they were done.
    pub(super) fn abandon(&mut self, effects: &mut Effects) {
        for write in std::mem::take(&mut self.0).into_keys() {
            effects.add(Effect::Abandon { write });
        }
    }
}
