//! Publishers who update and withdraw shares of a group at all trackers, while trackers are cut off
//! and crash, and answers are lost.

use super::super::super::Replica;
use super::super::Failure;
use super::{Unanswered, World};
use crate::tracker::registry::tests::convergence::Command;
use crate::tracker::registry::tests::share_oracle;
use crate::tracker::registry::{
    GroupKey, Label, NewAccount, NewGroup, PasswordHash, Refusal, Registry,
};

/// Milliseconds in which all trackers serve, and have each write.
const SETTLE_MILLIS: u64 = 3_000;

impl World {
    /// Runs the part of a short simulation in which clients write to few shares of one group.
    pub(in super::super) fn run_shares(&mut self) -> Result<(), Failure> {
        self.pass(SETTLE_MILLIS)?;
        self.make_group()?;
        self.pass(SETTLE_MILLIS)?;
        for _ in 0..self.rng.u8(10..40) {
            let at = self.rng.usize(..self.nodes.len());
            match self.rng.u8(..24) {
                0 => self.crash(at),
                1 => self.cut_connection(at),
                2 | 3 => {
                    let to = self.rng.usize(..self.nodes.len());
                    let is_cut = self.rng.bool();
                    (self.blocked[at][to], self.blocked[to][at]) = (is_cut, is_cut);
                }
                4..=6 if !self.unanswered.is_empty() => self.repeat_request(at)?,
                _ => self.write_share(at)?,
            }
            let pause = *self.rng.choice(&[10, 100, 2_500]).unwrap_or(&10);
            self.pass(pause)?;
        }
        Ok(())
    }

    /// Makes a group with two members who may publish, at the first tracker.
    fn make_group(&mut self) -> Result<(), Failure> {
        let wall = self.clock_of(0).wall;
        let lab: Label = "lab".parse().unwrap();
        let mut accounts = Vec::new();
        for name in ["ann", "bob"] {
            let id = self.new_id();
            let new = NewAccount {
                id,
                name: name.parse().unwrap(),
                password: PasswordHash::new("hash").unwrap(),
            };
            self.write(0, |_, registry| registry.create_account(new, wall))?;
            accounts.push(id);
        }
        let (id, membership, request) = (self.new_id(), self.new_id(), self.new_id());
        let (owner, member) = (accounts[0], accounts[1]);
        let new = NewGroup {
            id,
            membership,
            name: "lab".parse().unwrap(),
            key: GroupKey::new("key").unwrap(),
        };
        self.write(0, |_, registry| registry.create_group(owner, new, wall))?;
        self.write(0, |_, registry| {
            registry.request_membership(member, &lab, request, wall)
        })?;
        self.write(0, |_, registry| {
            let label = registry.account_label(member).ok_or(Refusal::AccountGone)?;
            registry.accept(owner, &lab, &label, wall)
        })
    }

    /// A member who has asked one tracker for its shares publishes or withdraws at a tracker.
    /// Sometimes the answer is lost.
    fn write_share(&mut self, at: usize) -> Result<(), Failure> {
        let asked = self.rng.usize(..self.nodes.len());
        let Some(replica) = &self.nodes[asked].replica else {
            return Ok(());
        };
        let registry: &Registry = Replica::registry(replica);
        let command = share_oracle::command_in_a_group(&mut self.rng, registry);
        let Some(command) = command.map(Command::about_shares) else {
            return Ok(());
        };
        let (ids, receipt) = ((self.new_id(), self.new_id()), self.new_id());
        let written = self.execute_command(at, &command, ids, receipt, |promise| promise)?;
        let is_lost = self.rng.u8(..3) == 0;
        if let Some((write, promise)) = written.filter(|_| is_lost) {
            self.nodes[at].promises.remove(&write);
            self.oracle.counts.note("answer lost");
            self.unanswered.push(Unanswered {
                command,
                ids,
                receipt,
                promises: vec![promise],
                has_unknown_attempt: false,
            });
        }
        Ok(())
    }
}
