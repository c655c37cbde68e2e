//! Commits that are under way, and what waits for them: nothing is told before it is durable.

use super::Effect;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Commits {
    issued: u64,
    durable: u64,
    /// Effects, each with the commit it waits for.
    held: VecDeque<(u64, Effect)>,
}

impl Commits {
    /// The number of the next commit.
    pub(super) fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// Whether that commit is durable.
    pub(super) fn is_durable(&self, number: u64) -> bool {
        number <= self.durable
    }

    /// Holds an effect back until all commits issued so far are durable; gives it back if they are.
    pub(super) fn hold(&mut self, effect: Effect) -> Option<Effect> {
        if self.durable == self.issued {
            return Some(effect);
        }
        self.held.push_back((self.issued, effect));
        None
    }

    /// The effects that waited for this commit or an earlier one, in order.
    pub(super) fn durable(&mut self, number: u64) -> Vec<Effect> {
        self.durable = self.durable.max(number.min(self.issued));
        let ready = self
            .held
            .partition_point(|(barrier, _)| *barrier <= self.durable);
        self.held.drain(..ready).map(|(_, effect)| effect).collect()
    }

    /// Lets go of all that is held.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }
}
