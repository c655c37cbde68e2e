//! Peer exchange (BEP 11): which addresses we send to which link, and which received addresses we
//! accept.

use super::link::Link;
use crate::base::Zone;
use crate::swarm::LinkId;
use crate::wire::pex::{FLAG_REACHABLE, FLAG_SEED, MAX_CONTACTS, PexMessage};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A message that is due: the link, the extension number of `ut_pex` at its peer, and the message.
pub(super) type DueMessage = (LinkId, u8, PexMessage);

/// The messages that are due now. `has_all` returns whether the peer of a link has every piece.
pub(super) fn due_messages(
    links: &mut BTreeMap<LinkId, Link>,
    has_all: impl Fn(LinkId) -> bool,
    now: Duration,
) -> Vec<DueMessage> {
    let pex_number = |link: &Link| link.handshake().pex.filter(|id| *id > 0);
    let is_due = |link: &Link| pex_number(link).is_some() && link.exchange.is_due(now);
    if !links.values().any(is_due) {
        return Vec::new();
    }
    let mut flags: HashMap<SocketAddr, u8> = HashMap::new();
    for (id, link) in &*links {
        if let Some(address) = link.listens_at() {
            let is_seed = has_all(*id) || link.only_uploads();
            let seed = if is_seed { FLAG_SEED } else { 0 };
            let is_reachable = link.remote().outgoing;
            let reachable = if is_reachable { FLAG_REACHABLE } else { 0 };
            flags.insert(address, seed | reachable);
        }
    }
    let current: BTreeSet<SocketAddr> = flags.keys().copied().collect();
    let messages = links.iter_mut().filter_map(|(id, link)| {
        let number = pex_number(link)?;
        let receiver = link.listens_at();
        let changes = link
            .exchange
            .next_message(now, &current, receiver, MAX_CONTACTS)?;
        let flags = |address| flags.get(&address).copied().unwrap_or(0);
        let added = changes.added.into_iter();
        let message = PexMessage {
            added: added.map(|address| (address, flags(address))).collect(),
            dropped: changes.dropped,
        };
        Some((*id, number, message))
    });
    messages.collect()
}

/// Whether we accept `address` from a peer at `sender`. A peer on another machine must not make us
/// call a service on this machine. A peer on the Internet must not make us call a service that is
/// not on the Internet, for example one in our private network.
pub(super) fn is_acceptable(address: SocketAddr, sender: IpAddr) -> bool {
    let zone = Zone::of(address.ip());
    match Zone::of(sender) {
        Zone::Internet => zone == Zone::Internet,
        Zone::PrivateNetwork | Zone::LinkLocal | Zone::CloudMetadata => zone != Zone::ThisMachine,
        Zone::ThisMachine => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_of_private_networks_are_refused_from_outside() {
        let acceptable = |address: &str, sender: &str| {
            is_acceptable(address.parse().unwrap(), sender.parse().unwrap())
        };
        assert!(acceptable("127.0.0.2:1", "127.0.0.1"));
        assert!(acceptable("10.0.0.1:1", "192.168.0.1"));
        assert!(acceptable("8.8.8.8:1", "192.0.2.1"));
        assert!(!acceptable("10.0.0.1:1", "192.0.2.1"));
        assert!(!acceptable("[fd00::1]:1", "2001:db8::1"));
        assert!(acceptable("[::1]:1", "::ffff:127.0.0.1"));
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert!(!acceptable(address, "192.0.2.1"), "{address}");
        }
        assert!(!acceptable("[::ffff:127.0.0.1]:1", "2001:db8::1"));
    }
}
