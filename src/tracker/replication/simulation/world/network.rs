//! Connections between the trackers: how messages are delayed, repeated and lost, how connections
//! are cut, and which tracker calls which.

use super::super::super::ReplicaConnectionId;
use super::super::{Failure, Mutation};
use super::{Event, World};
use crate::tracker::registry::Change;
use crate::tracker::registry::tests::{convergence, share_oracle};
use crate::wire::replica::{Encoded, ReplicaMessage};

impl World {
    pub(super) fn deliver(
        &mut self,
        to: usize,
        connection: ReplicaConnectionId,
        message: ReplicaMessage,
    ) -> Result<(), Failure> {
        let now = self.clock_of(to);
        let Some(replica) = &mut self.nodes[to].replica else {
            return Ok(());
        };
        let mutation = self.mutation;
        let message = match (mutation, message) {
            (
                Mutation::IgnoreMembershipEnds | Mutation::IgnoreEditions,
                ReplicaMessage::Push { id, change },
            ) => ReplicaMessage::Push {
                id,
                change: spoiled(mutation, &change),
            },
            (
                Mutation::IgnoreMembershipEnds | Mutation::IgnoreEditions,
                ReplicaMessage::Changes { id, change, more },
            ) => ReplicaMessage::Changes {
                id,
                change: change.as_ref().map(|change| spoiled(mutation, change)),
                more,
            },
            (Mutation::DropPushes, ReplicaMessage::Push { id, .. }) => {
                return self.transmit(to, connection, ReplicaMessage::Pushed { id });
            }
            (_, message) => message,
        };
        if let ReplicaMessage::Changes { more: true, .. } = &message {
            self.oracle.counts.note("catching up in several batches");
        }
        let effects = replica.on_message(connection, message, now);
        self.perform(to, effects)
    }

    /// Sends a message over a connection, which may delay, repeat or lose it.
    pub(super) fn transmit(
        &mut self,
        from: usize,
        connection: ReplicaConnectionId,
        message: ReplicaMessage,
    ) -> Result<(), Failure> {
        let Some(to) = self.nodes[from].connections.get(&connection).copied() else {
            return Ok(());
        };
        // A decoded message must equal the encoded one. This is checked for some messages only,
        // because it is slow.
        if self.rng.u8(..64) == 0
            && ReplicaMessage::decode(&message.encode()).as_ref() != Ok(&message)
        {
            return Err(Failure(format!(
                "{message:?} changes when it is encoded and decoded"
            )));
        }
        let generation = self.nodes[to].generation;
        if self.blocked[from][to] || self.rng.u8(..100) < self.loss {
            return Ok(());
        }
        let again = !self.faults_ended && self.rng.u8(..32) == 0;
        if again {
            let delay = self.delay();
            self.schedule(
                self.now + delay,
                to,
                generation,
                Event::Message(connection, message.clone()),
            );
        }
        let delay = self.delay();
        self.schedule(
            self.now + delay,
            to,
            generation,
            Event::Message(connection, message),
        );
        Ok(())
    }

    /// The random delay of the next message, in milliseconds.
    pub(super) fn delay(&mut self) -> u64 {
        match self.rng.u8(..16) {
            _ if self.faults_ended => 2,
            0 => self.rng.u64(..4_000),
            1..=3 => self.rng.u64(..200),
            _ => 2,
        }
    }

    /// Every running tracker calls the running trackers with lower numbers to which it has no
    /// connection, unless one direction between the two is blocked.
    pub(super) fn call(&mut self) -> Result<(), Failure> {
        for from in 0..self.nodes.len() {
            for to in 0..from {
                let runs = |at: usize| {
                    let node = &self.nodes[at];
                    node.replica.is_some() && node.starved_until <= self.now
                };
                let is_connected = self.nodes[from]
                    .connections
                    .values()
                    .any(|other| *other == to);
                if is_connected
                    || !runs(from)
                    || !runs(to)
                    || self.blocked[from][to]
                    || self.blocked[to][from]
                {
                    continue;
                }
                self.made_connections += 1;
                let connection = ReplicaConnectionId(self.made_connections);
                for (at, other) in [(from, to), (to, from)] {
                    self.nodes[at].connections.insert(connection, other);
                }
                for at in [from, to] {
                    let before = self.before_event(at);
                    let now = self.clock_of(at);
                    if let Some(replica) = &mut self.nodes[at].replica {
                        let effects = replica.on_connected(connection, now);
                        self.perform(at, effects)?;
                    }
                    self.after_event(at, before)?;
                }
            }
        }
        Ok(())
    }

    /// Cuts the oldest connection of a tracker. Each end keeps the connection until it processes
    /// [`Event::Disconnected`].
    pub(super) fn cut_connection(&mut self, at: usize) {
        let oldest = self.nodes[at].connections.first_key_value();
        if let Some((&connection, &other)) = oldest {
            let generation = self.nodes[at].generation;
            self.schedule(self.now, at, generation, Event::Disconnected(connection));
            self.schedule_disconnect(at, other, connection);
            self.oracle.counts.note("cut connection");
        }
    }

    /// Schedules the time at which the tracker `to` notices that `from` has closed the connection.
    /// While faults happen, `to` may never notice.
    pub(super) fn schedule_disconnect(
        &mut self,
        from: usize,
        to: usize,
        connection: ReplicaConnectionId,
    ) {
        let will_notice = self.faults_ended || (!self.blocked[from][to] && self.rng.u8(..6) != 0);
        if will_notice {
            let (delay, generation) = (self.delay(), self.nodes[to].generation);
            self.schedule(
                self.now + delay,
                to,
                generation,
                Event::Disconnected(connection),
            );
        }
    }
}

/// The change as a tracker with a mutation sees it.
fn spoiled(mutation: Mutation, change: &Encoded) -> Encoded {
    let change = Change::decode(change.as_bytes()).unwrap();
    let change = match mutation {
        Mutation::IgnoreEditions => share_oracle::without_editions(change),
        _ => convergence::without_membership_ends(change),
    };
    Encoded::new(change.encode()).unwrap()
}
