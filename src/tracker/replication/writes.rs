//! Writes of this tracker that wait: until they are durable here, then for another tracker.

use super::{Copies, Effect, Effects, Moment, PUSH_WAIT, Serving};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Refusal, Sequence};
use crate::wire::replica::MAX_ENCODED;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a write was not made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This tracker does not serve.
    #[error(transparent)]
    NotServing(Serving),
    /// A rule of the registry.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A row names a blob that is neither here nor handed in.
    #[error("the metainfo {0} has not been sent; send it first")]
    NoBlob(InfoHash),
    /// It is too large to be told to another tracker.
    #[error("a write of {0} bytes is larger than {MAX_ENCODED}")]
    TooLarge(usize),
}

/// The writes that have not been acknowledged.
#[derive(Debug, Default)]
pub(super) struct Writes(pub(super) BTreeMap<Sequence, Waiting>);

#[derive(Debug)]
pub(super) struct Waiting {
    commit: u64,
    /// Until when another tracker is waited for, once it is durable here.
    deadline: Option<Duration>,
}

impl Writes {
    pub(super) fn add(&mut self, write: Sequence, commit: u64) {
        let deadline = None;
        self.0.insert(write, Waiting { commit, deadline });
    }

    /// Those that have become durable here wait for another tracker from now on.
    pub(super) fn note_durable(&mut self, effects: &Effects, now: Moment) {
        for waiting in self.0.values_mut() {
            if waiting.deadline.is_none() && effects.is_durable(waiting.commit) {
                waiting.deadline = Some(now.elapsed + PUSH_WAIT);
            }
        }
    }

    /// Another tracker has all own writes up to this one.
    pub(super) fn acknowledge_upto(&mut self, last: Sequence, effects: &mut Effects) {
        let later = self.0.split_off(&last.next());
        let copies = Copies::Two;
        for write in std::mem::replace(&mut self.0, later).into_keys() {
            effects.push(Effect::Acknowledge { write, copies });
        }
    }

    /// Acknowledges what is durable here and has waited long enough, or all that is durable here if there is no time given.
    pub(super) fn acknowledge_alone(&mut self, now: Option<Moment>, effects: &mut Effects) {
        let copies = Copies::OnlyHere;
        self.0.retain(|&write, waiting| {
            let over = waiting
                .deadline
                .is_some_and(|deadline| now.is_none_or(|now| now.elapsed >= deadline));
            if over {
                effects.push(Effect::Acknowledge { write, copies });
            }
            !over
        });
    }

    /// The last write that has waited too long for other trackers.
    pub(super) fn overdue(&self, now: Moment) -> Option<Sequence> {
        let mut latest_first = self.0.iter().rev();
        let is_over = |deadline: Duration| now.elapsed >= deadline;
        let overdue = latest_first.find(|(_, waiting)| waiting.deadline.is_some_and(is_over));
        overdue.map(|(write, _)| *write)
    }

    /// What became of them is not known.
    pub(super) fn abandon(&mut self, effects: &mut Effects) {
        for write in std::mem::take(&mut self.0).into_keys() {
            effects.push(Effect::Abandon { write });
        }
    }
}
