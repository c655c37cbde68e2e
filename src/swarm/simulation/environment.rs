//! What all peers of a simulation share.

use super::direction::Direction;
use super::events::Events;
use super::network::{ConnectionNumber, Network, Packet, PeerNumber};
use fastrand::Rng;

/// The clock, the network and the random numbers.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) events: Events,
    pub(super) network: Network,
    pub(super) rng: Rng,
}

impl Environment {
    pub(super) fn call(&mut self, caller: PeerNumber, callee: PeerNumber) {
        self.network.call(caller, callee, &mut self.events);
    }

    pub(super) fn send(&mut self, connection: ConnectionNumber, from: PeerNumber, packet: Packet) {
        self.write(connection, from, |direction| direction.push_message(packet));
    }

    /// Changes the send queue of a peer, and sends what can be sent now.
    pub(super) fn write<R>(
        &mut self,
        connection: ConnectionNumber,
        from: PeerNumber,
        change: impl FnOnce(&mut Direction) -> R,
    ) -> R {
        let events = &mut self.events;
        self.network.write(connection, from, events, change)
    }
}
