//! Peers that name each other over their links (BEP 11), in open swarms that are not private (BEP 27).
//!
//! In scope: who is told of whom, what of the news of others is believed. How often, and how much, is `swarm`'s matter.

use super::{Phase, State, Transfer};
use crate::peer::{Ended, Link};
use crate::torrent::PieceSet;
use crate::wire::peer::Message;
use crate::wire::pex::{FLAG_REACHABLE, FLAG_SEED, MAX_CONTACTS, PexMessage};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

impl Transfer {
    /// Whether peers of this share may name each other.
    pub(crate) fn allows_pex(&self) -> bool {
        let info = self.info();
        let open = self.listed && self.group.is_none() && info.ssl_cert().is_none();
        open && !info.private()
    }

    /// The other side of a link names others.
    pub(crate) fn on_pex(&self, link: &Link, payload: &[u8]) -> Result<(), Ended> {
        if !self.allows_pex() {
            return Ok(());
        }
        {
            let mut state = self.state();
            let gossip = state.gossip.entry(link.id).or_default();
            // What comes too soon is not even read.
            if !gossip.hear(self.context.now())? || state.phase != Phase::Active {
                return Ok(());
            }
        }
        let message = PexMessage::parse(payload)?;
        let mut state = self.state();
        let added = message.added.into_iter().map(|(address, _)| address);
        for address in added.filter(|address| is_believable(*address, link.address.ip())) {
            state.contacts.candidates.add_hearsay(address);
        }
        drop(state);
        self.context.ticks.now();
        Ok(())
    }
}

impl State {
    /// Tells links of the others, as far as it is time.
    pub(crate) fn tell_contacts(&mut self, now: Duration) {
        let Self {
            links,
            gossip,
            picker,
            ..
        } = self;
        let due = links.values().filter_map(|link| {
            let id = link.told(|told| told.pex).filter(|id| *id > 0)?;
            let is_due = gossip.entry(link.id).or_default().is_due(now);
            is_due.then_some((link, id))
        });
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            return;
        }
        let mut flags: HashMap<SocketAddr, u8> = HashMap::new();
        for link in links.values() {
            if let Some(address) = link.listens_at() {
                let full = picker.pieces_of(link.id).is_some_and(PieceSet::is_full);
                let seed = full || link.told(|told| told.upload_only == Some(true));
                let seed = if seed { FLAG_SEED } else { 0 };
                let reachable = if link.outgoing { FLAG_REACHABLE } else { 0 };
                flags.insert(address, seed | reachable);
            }
        }
        let current: BTreeSet<SocketAddr> = flags.keys().copied().collect();
        for (link, id) in due {
            let gossip = gossip.entry(link.id).or_default();
            let news = gossip.tell(now, &current, link.listens_at(), MAX_CONTACTS);
            let Some(news) = news else { continue };
            let added = news.added.into_iter();
            let flags = |address| flags.get(&address).copied().unwrap_or(0);
            let message = PexMessage {
                added: added.map(|address| (address, flags(address))).collect(),
                dropped: news.dropped,
            };
            let payload = message.encode();
            let payload = payload.as_slice();
            link.outbox.send([Message::Extended { id, payload }]);
        }
    }
}

/// Whoever is elsewhere knows nobody on this machine, and is not to have us call what listens on it.
fn is_believable(address: SocketAddr, teller: IpAddr) -> bool {
    let (ip, teller) = (address.ip().to_canonical(), teller.to_canonical());
    !ip.is_loopback() || teller.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elsewhere_has_us_call_this_machine() {
        let believable = |address: &str, teller: &str| {
            is_believable(address.parse().unwrap(), teller.parse().unwrap())
        };
        assert!(believable("127.0.0.2:1", "127.0.0.1"));
        assert!(believable("10.0.0.1:1", "192.0.2.1"));
        assert!(believable("[::1]:1", "::ffff:127.0.0.1"));
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert!(!believable(address, "192.0.2.1"), "{address}");
        }
        assert!(!believable("[::ffff:127.0.0.1]:1", "2001:db8::1"));
    }
}
