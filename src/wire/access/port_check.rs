//! The answer to a peer that asks how a tracker sees it: the tracker's clock, the peer's address,
//! and whether the peer's port can be reached. The answer has no secrets, so anyone may ask.

use crate::bencode::Item;
use crate::wire::control::{ControlError, MessageFields};
use std::net::IpAddr;

/// How a tracker sees the peer that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCheck {
    /// The tracker's wall clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// The address from which the peer's connection came.
    pub address: IpAddr,
    /// Whether the tracker could connect to the port at that address.
    pub port: PortState,
}

/// What happened when a tracker tried to connect to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// The tracker connected.
    Open,
    /// The connection was refused: nothing listens there.
    Refused,
    /// No answer came in time, or there is no route.
    Silent,
    /// The tracker did not try, because it had just made too many attempts, for this address or
    /// for all addresses together.
    NotTried,
}

impl PortState {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Open, "open"),
        (Self::Refused, "refused"),
        (Self::Silent, "silent"),
        (Self::NotTried, "not tried"),
    ];

    fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        let name = names.find_map(|(state, name)| (*state == self).then_some(*name));
        name.unwrap_or_default()
    }

    fn named(text: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find_map(|(state, name)| (*name == text).then_some(*state))
    }
}

impl PortCheck {
    pub(super) fn put(&self, entries: &mut Vec<(&'static str, Item<'_>)>) {
        entries.extend([
            ("address", Item::from(self.address.to_string())),
            ("clock", self.clock_ms.into()),
            ("port", self.port.name().into()),
        ]);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            clock_ms: fields.u63("clock")?,
            address: fields.parsed("address")?,
            port: fields.keyword("port", PortState::named)?,
        })
    }
}
