//! The private addresses of a peer's machine, and those of other peers in the answer to an
//! announce. Two peers behind one NAT often reach each other only by these.
//!
//! In scope: which addresses are private, how many a message has, and their bytes. Out of scope:
//! who gets them (`crate::tracker::access`), and when they are called (`crate::peer::group`).

use crate::base::Zone;
use crate::bencode::Item;
use crate::wire::CompactAddresses;
use crate::wire::control::{ControlError, MessageFields};
use std::net::{IpAddr, SocketAddr};

/// The most private addresses in an announce. A peer has one listening port, which is that of all
/// of them.
pub const MAX_PRIVATE_ADDRESSES: usize = 4;
/// The most private addresses of other peers in the answer to one announce.
pub const MAX_PRIVATE_IN_ANSWER: usize = 16;

/// The keys of the private addresses over IPv4 and over IPv6, in requests and in answers.
const KEYS: (&str, &str) = ("private", "private6");

/// Whether an address is one that machines behind one NAT reach each other by: RFC 1918 or RFC
/// 4193. The shared addresses of RFC 6598 are not: by section 4 of that document, they are for the
/// network of a provider, where a call would reach machines of other customers. Loopback,
/// link-local, multicast and public addresses are not either, nor those of cloud metadata services.
pub fn is_private(ip: IpAddr) -> bool {
    let is_in_range = match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    is_in_range && Zone::of(ip) == Zone::PrivateNetwork
}

/// The private addresses of a machine: at most [`MAX_PRIVATE_ADDRESSES`], all different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateAddresses(Vec<IpAddr>);

impl PrivateAddresses {
    /// The first private addresses among those of a machine.
    pub fn choose(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut chosen = Vec::new();
        for ip in addresses.into_iter().filter(|ip| is_private(*ip)) {
            if chosen.len() < MAX_PRIVATE_ADDRESSES && !chosen.contains(&ip) {
                chosen.push(ip);
            }
        }
        Self(chosen)
    }

    /// The addresses, without a port.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put(&self, entries: &mut Vec<(&'static str, Item<'_>)>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for ip in &self.0 {
            match ip {
                IpAddr::V4(ip) => v4.extend(ip.octets()),
                IpAddr::V6(ip) => v6.extend(ip.octets()),
            }
        }
        let families = [(KEYS.0, v4), (KEYS.1, v6)].into_iter();
        let present = families.filter(|(_, bytes)| !bytes.is_empty());
        entries.extend(present.map(|(key, bytes)| (key, Item::from(bytes))));
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        let (v4, rest) = read_bytes(fields, KEYS.0)?.as_chunks::<4>();
        let (v6, rest6) = read_bytes(fields, KEYS.1)?.as_chunks::<16>();
        let v4 = v4.iter().map(|octets| IpAddr::from(*octets));
        let all: Vec<_> = v4.chain(v6.iter().map(|it| IpAddr::from(*it))).collect();
        let chosen = Self::choose(all.iter().copied());
        // If some address was left out, it is not private, named twice, or one too many.
        match rest.is_empty() && rest6.is_empty() && chosen.0 == all {
            true => Ok(chosen),
            false => Err(ControlError::WrongValue(KEYS.0)),
        }
    }
}

/// The other peers of a swarm, in the answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPeers {
    /// Where they listen, as the tracker sees it.
    pub addresses: CompactAddresses,
    private: CompactAddresses,
}

impl FoundPeers {
    /// Peers with these addresses. Of `private`, takes the first [`MAX_PRIVATE_IN_ANSWER`] private
    /// addresses.
    pub fn new(addresses: CompactAddresses, private: impl IntoIterator<Item = SocketAddr>) -> Self {
        let private = private.into_iter().filter(|it| is_private(it.ip()));
        Self {
            addresses,
            private: private.take(MAX_PRIVATE_IN_ANSWER).collect(),
        }
    }

    /// The private addresses of peers that the tracker sees at the same public address as the
    /// asking peer.
    pub fn private(&self) -> impl Iterator<Item = SocketAddr> {
        self.private.iter()
    }

    pub(super) fn private_entries(&self) -> impl Iterator<Item = (&str, Item<'_>)> {
        let (v4, v6) = self.private.as_bytes();
        let families = [(KEYS.0, v4), (KEYS.1, v6)].into_iter();
        let present = families.filter(|(_, bytes)| !bytes.is_empty());
        present.map(|(key, bytes)| (key, bytes.into()))
    }

    pub(super) fn read(
        addresses: CompactAddresses,
        fields: &mut MessageFields<'_>,
    ) -> Result<Self, ControlError> {
        let (v4, v6) = (read_bytes(fields, KEYS.0)?, read_bytes(fields, KEYS.1)?);
        let all = CompactAddresses::read(v4, v6).ok_or(ControlError::WrongValue(KEYS.0))?;
        let peers = Self::new(addresses, all.iter());
        match peers.private == all {
            true => Ok(peers),
            false => Err(ControlError::WrongValue(KEYS.0)),
        }
    }
}

fn read_bytes<'a>(
    fields: &mut MessageFields<'a>,
    key: &'static str,
) -> Result<&'a [u8], ControlError> {
    let bytes = fields.optional(key, |value, key| {
        let bytes = value.bytes().filter(|bytes| !bytes.is_empty());
        bytes.ok_or(ControlError::WrongValue(key))
    });
    bytes.map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::{AccessReplyMessage, AccessRequestMessage};

    #[test]
    fn only_private_unicast_addresses_count_as_private() {
        let private =
            "10.0.0.1 10.255.255.254 172.16.0.1 172.31.9.9 192.168.1.5 fd12:3456::1 fc00::1";
        let others = "8.8.8.8 172.15.0.1 172.32.0.1 192.169.0.1 100.64.0.1 127.0.0.1 127.9.9.9 \
                      169.254.1.1 169.254.169.254 0.0.0.0 255.255.255.255 224.0.0.1 239.255.0.1 \
                      ::1 :: fe80::1 fec0::1 ff02::1 fe00::1 2001:db8::1 ::ffff:10.0.0.1 \
                      64:ff9b::10.0.0.1 2002:a00:1::1 fd00:ec2::254 fd20:ce::254";
        for (text, expected) in [(private, true), (others, false)] {
            for address in text.split_whitespace() {
                assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn a_machine_announces_its_first_four_private_addresses() {
        let all = "127.0.0.1 10.0.0.1 8.8.8.8 10.0.0.1 10.0.0.2 fd00::1 fe80::1 10.0.0.3 10.0.0.4";
        let all = all.split_whitespace().map(|text| text.parse().unwrap());
        let chosen = PrivateAddresses::choose(all);
        let expected = ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3"];
        assert!(chosen.iter().map(|ip| ip.to_string()).eq(expected));
    }

    #[test]
    fn addresses_that_are_not_private_are_refused_where_private_ones_belong() {
        let request = |entries: &[u8]| {
            let mut bytes = b"d2:idi7e7:peer id20:pppppppppppppppppppp4:porti6881e".to_vec();
            bytes.extend(entries);
            bytes.extend(b"8:protocoli5e6:swarms45:hhhhhhhhhhhhhhhhhhhh\0\0\x01\0\0\0\0\0");
            bytes.extend(b"\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\x01");
            bytes.extend(b"5:token3:t\0k4:type8:announcee");
            AccessRequestMessage::decode(&bytes).map(drop)
        };
        assert_eq!(request(b"7:private4:\x0a\0\0\x01"), Ok(()));
        let five = b"7:private20:\x0a\0\0\x01\x0a\0\0\x02\x0a\0\0\x03\x0a\0\0\x04\x0a\0\0\x05";
        let bad: [&[u8]; 6] = [
            b"7:private4:\x08\x08\x08\x08",
            b"7:private4:\x7f\0\0\x01",
            b"7:private8:\x0a\0\0\x01\x0a\0\0\x01",
            b"7:private5:\x0a\0\0\x01\0",
            b"7:private0:",
            five,
        ];
        for entries in bad {
            assert_eq!(request(entries), Err(ControlError::WrongValue("private")));
        }
        let answer = |private: &[u8]| {
            let mut bytes = b"d2:idi7e8:intervali20e8:protocoli5e6:swarmsld7:private6:".to_vec();
            bytes.extend(private);
            bytes.extend(b"ee4:type5:peerse");
            AccessReplyMessage::decode(&bytes).map(drop)
        };
        assert_eq!(answer(b"\x0a\0\0\x01\x01\x02"), Ok(()));
        for private in [b"\x08\x08\x08\x08\x01\x02", b"\x0a\0\0\x01\0\0"] {
            assert_eq!(answer(private), Err(ControlError::WrongValue("private")));
        }
    }
}
