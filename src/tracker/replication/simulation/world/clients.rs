//! Clients that make requests, and repeat those that got no answer. Some trackers are *starved*:
//! they get no processor for a while, so a request waits.

use super::super::super::{Replica, ReplicaError};
use super::super::node::{blob, named_by};
use super::super::oracle::Promise;
use super::super::{Failure, Mutation};
use super::{Unanswered, World, new_account};
use crate::tracker::registry::tests::convergence::{Command, World as RegistryWorld};
use crate::tracker::registry::tests::share_oracle;
use crate::tracker::registry::{CodeHash, Refusal, Registry, RowId, Sequence, Update};
use fastrand::Rng;
use std::time::Duration;

impl World {
    /// A client requests an operation from a tracker. Sometimes its answer is lost.
    pub(super) fn request_operation(&mut self, at: usize) -> Result<(), Failure> {
        let (id, second_id, wall) = (self.new_id(), self.new_id(), self.clock_of(at).wall);
        let expires = wall + Duration::from_secs(3_600);
        let choice = self.rng.u8(..12);
        let Some(replica) = &self.nodes[at].replica else {
            return Ok(());
        };
        let registry: &Registry = Replica::registry(replica);
        let accounts = registry.accounts(None, 3).items;
        match (choice, accounts.first()) {
            (0, _) => {
                let code = CodeHash(second_id.0.repeat(2).try_into().unwrap());
                return self.write(at, |_, registry| {
                    registry.create_invite(id, code, expires, wall)
                });
            }
            (1, Some((account, _))) => {
                let account = *account;
                return self.write(at, |_, registry| {
                    registry.log_out(account, id, expires, wall)
                });
            }
            _ if accounts.len() < 3 => {
                return self.write(at, |rng, registry| {
                    registry.create_account(new_account(rng, id), wall)
                });
            }
            _ => {}
        }
        let (ids, receipt) = ((id, second_id), self.new_id());
        for _ in 0..4 {
            let Some(replica) = &self.nodes[at].replica else {
                return Ok(());
            };
            let registry: &Registry = Replica::registry(replica);
            let command = RegistryWorld::random_command(&mut self.rng, registry, id);
            if command.run(registry, ids, receipt, wall).is_err() {
                continue;
            }
            if self.nodes[at].starved_until > self.now {
                self.send_to_starved(at, command, ids, receipt);
                return Ok(());
            }
            let written = self.execute_command(at, &command, ids, receipt, |promise| promise)?;
            let is_lost = command.is_repeatable && self.rng.u8(..4) == 0;
            if let Some((write, promise)) = written.filter(|_| is_lost) {
                self.log_step(|| format!("{at} : the answer is lost for write {}", write.number()));
                // The client gets no answer, so nothing is promised yet. If the repeated request
                // finds the receipt of this write, its answer gives this promise.
                self.nodes[at].promises.remove(&write);
                self.oracle.counts.note("answer lost");
                self.unanswered.push(Unanswered {
                    command,
                    ids,
                    receipt,
                    promises: vec![promise],
                    has_unknown_attempt: false,
                });
                if self.rng.bool() {
                    self.crash(at);
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// A client that got no answer repeats its request at the same or another tracker.
    pub(super) fn repeat_request(&mut self, at: usize) -> Result<(), Failure> {
        let index = self.rng.usize(..self.unanswered.len());
        let Unanswered {
            command,
            mut ids,
            receipt,
            mut promises,
            has_unknown_attempt,
        } = self.unanswered.swap_remove(index);
        if self.mutation == Mutation::NewIdsOnRepeat {
            ids = (self.new_id(), self.new_id());
        }
        let Some(replica) = &self.nodes[at].replica else {
            return Ok(());
        };
        let registry: &Registry = Replica::registry(replica);
        let is_done = registry.receipt(receipt).is_some();
        self.oracle.counts.note(match is_done {
            true => "repeated and done before",
            false => "repeated and done anew",
        });
        let is_known = |promise: &&Promise| promise.is_known(registry);
        let earlier = promises.iter().find(is_known).filter(|_| is_done).cloned();
        if is_done && earlier.is_none() && !promises.is_empty() && !has_unknown_attempt {
            return Err(Failure(format!(
                "tracker {at} has a receipt without its write"
            )));
        }
        let expected = |promise: Promise| match earlier {
            Some(earlier) => promise.together_with(earlier),
            None => promise,
        };
        let written = self.execute_command(at, &command, ids, receipt, expected)?;
        let is_lost = self.rng.u8(..3) == 0;
        if let Some((write, promise)) = written.filter(|_| is_lost) {
            self.nodes[at].promises.remove(&write);
            let what = "answer to a repeated request lost";
            self.oracle.counts.note(what);
            if !is_done {
                promises.push(promise);
            }
            self.unanswered.push(Unanswered {
                command,
                ids,
                receipt,
                promises,
                has_unknown_attempt,
            });
        }
        Ok(())
    }

    /// A tracker executes a command of a client. `expected` turns the promise of its write into the
    /// promise that the oracle checks.
    pub(super) fn execute_command(
        &mut self,
        at: usize,
        command: &Command,
        ids: (RowId, RowId),
        receipt: RowId,
        expected: impl FnOnce(Promise) -> Promise,
    ) -> Result<Option<(Sequence, Promise)>, Failure> {
        let wall = self.clock_of(at).wall;
        let mut checked = Ok(());
        let run = |_: &mut Rng, registry: &Registry| {
            let update = command.run(registry, ids, receipt, wall)?;
            checked = command.check_withdrawal(registry, &update);
            Ok(update)
        };
        let written = self.write_unless_starved(at, Some(receipt), run, expected);
        checked.map_err(Failure)?;
        written
    }

    /// The tracker `at` makes a write without a receipt, unless it is starved.
    pub(super) fn write(
        &mut self,
        at: usize,
        operation: impl FnOnce(&mut Rng, &Registry) -> Result<Update, Refusal>,
    ) -> Result<(), Failure> {
        let result = self.write_unless_starved(at, None, operation, |promise| promise);
        result.map(drop)
    }

    /// The tracker `at` makes a write, unless it is starved. `receipt` is the id of the receipt of
    /// the write, if it has one. [`World::execute_command`] explains `expected`. Returns the number
    /// and the promise of the write, or `None` if the tracker made no write.
    pub(super) fn write_unless_starved(
        &mut self,
        at: usize,
        receipt: Option<RowId>,
        operation: impl FnOnce(&mut Rng, &Registry) -> Result<Update, Refusal>,
        expected: impl FnOnce(Promise) -> Promise,
    ) -> Result<Option<(Sequence, Promise)>, Failure> {
        if self.nodes[at].starved_until > self.now {
            return Ok(None);
        }
        let before = self.before_event(at);
        let written = self.write_now(at, receipt, operation, expected)?;
        self.after_event(at, before)?;
        Ok(written)
    }

    fn write_now(
        &mut self,
        at: usize,
        receipt: Option<RowId>,
        operation: impl FnOnce(&mut Rng, &Registry) -> Result<Update, Refusal>,
        expected: impl FnOnce(Promise) -> Promise,
    ) -> Result<Option<(Sequence, Promise)>, Failure> {
        let now = self.clock_of(at);
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else {
            return Ok(None);
        };
        let registry: &Registry = Replica::registry(replica);
        let update = match operation(&mut self.rng, registry) {
            Ok(update) => update,
            Err(refusal) => {
                // The replica notices a pause before it refuses.
                let refused = replica.write(Vec::new(), now, |_, _| Err(refusal));
                debug_assert!(refused.is_err());
                return Ok(None);
            }
        };
        let Some(change) = update.change() else {
            return Err(Failure("a write without a change".to_owned()));
        };
        share_oracle::check_new_versions(registry, change).map_err(Failure)?;
        let Some(promise) = Promise::new(change, registry) else {
            return Err(Failure(format!("a write without a version: {change:?}")));
        };
        let info_hashes = update.rows().iter().filter_map(named_by);
        let blobs = info_hashes.map(|hash| (hash, blob(hash))).collect();
        match replica.write(blobs, now, |_, _| Ok(update)) {
            Ok((write, effects)) => {
                if let Some(receipt) = receipt {
                    let rows = promise.rows.iter();
                    self.oracle.created.note(receipt, promise.version, rows);
                }
                node.promises.insert(write, expected(promise.clone()));
                self.perform(at, effects)?;
                Ok(Some((write, promise)))
            }
            Err(ReplicaError::NotServing(_)) => {
                let what = "write refused while not serving";
                self.oracle.counts.note(what);
                Ok(None)
            }
            Err(error) => Err(Failure(error.to_string())),
        }
    }
}
