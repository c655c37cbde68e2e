//! Encoding of the swarms that outlive a restart.
//!
//! In scope: the format of the file. Out of scope: the file itself, and which peers have expired.
//!
//! Layout: [`MAGIC`]; the wall clock in milliseconds (8 bytes); a SipHash key (16 bytes); each
//! swarm with its peers; SHA-256 of everything before. Numbers are big-endian. The id of a peer is
//! written whole, or as its hash under the SipHash key. This is layout 2.
//!
//! In layout 1 ([`MAGIC_1`]), all ids are whole, so it has no SipHash key. The hash of the `key`
//! that a peer announces has 8 bytes there instead of 4.

use super::announcing::{IdHash, nonzero_key_hash};
use super::swarm::{SavedId, SavedPeer, TimedAddress, Traffic};
use crate::base::SipKey;
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Maximum length of the file in bytes: enough for about the maximum number of peers. Further
/// swarms are left out.
pub(super) const MAX_SAVED: usize = 128 << 20;

/// The start of a file with layout 2.
const MAGIC: &[u8; 18] = b"pieceful swarms 2\n";
/// The start of a file with layout 1. It is read too.
const MAGIC_1: &[u8; 18] = b"pieceful swarms 1\n";

/// Flags of a saved peer.
mod flag {
    pub(super) const SEED: u8 = 1;
    pub(super) const KEY: u8 = 2;
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 8;
    /// The whole id is there, not only its hash.
    pub(super) const WHOLE_ID: u8 = 16;
}

/// All swarms of a tracker at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SavedSwarms {
    /// Time of saving, since the Unix epoch.
    pub(super) wall_clock: Duration,
    /// The SipHash key by which ids are hashed. A file with layout 1 has none.
    pub(super) id_key: Option<SipKey>,
    pub(super) swarms: Vec<SavedSwarm>,
}

/// One swarm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SavedSwarm {
    pub(super) info_hash: InfoHash,
    /// Number of completed downloads.
    pub(super) downloaded: u32,
    /// The swarm counts towards the quota of this address.
    pub(super) founder: IpAddr,
    pub(super) peers: Vec<SavedPeer>,
}

/// Why saved swarms cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Another program or version wrote the file.
    #[error("it does not contain swarms in the format of this version")]
    Foreign,
    /// The file is cut or was changed.
    #[error("it is damaged")]
    Damaged,
}

impl SavedSwarms {
    /// Encodes these swarms. Leaves out the first swarm that would make the file longer than
    /// [`MAX_SAVED`], and all swarms after it.
    pub(super) fn encode(
        wall_clock: Duration,
        id_key: SipKey,
        swarms: impl Iterator<Item = SavedSwarm>,
    ) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let milliseconds = u64::try_from(wall_clock.as_millis()).unwrap_or(u64::MAX);
        out.extend(milliseconds.to_be_bytes());
        out.extend(id_key.to_bytes());
        for swarm in swarms {
            let before = out.len();
            encode_swarm(&swarm, &mut out);
            if out.len() + SHA256_OUTPUT_LEN > MAX_SAVED {
                out.truncate(before);
                break;
            }
        }
        let sum = digest(&SHA256, &out);
        out.extend_from_slice(sum.as_ref());
        out
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SavedError> {
        let layout = match bytes.first_chunk() {
            Some(MAGIC) => Layout::Two,
            Some(MAGIC_1) => Layout::One,
            _ => return Err(SavedError::Foreign),
        };
        let (content, sum) = bytes
            .split_last_chunk::<SHA256_OUTPUT_LEN>()
            .ok_or(SavedError::Damaged)?;
        if digest(&SHA256, content).as_ref() != sum {
            return Err(SavedError::Damaged);
        }
        let content = content.get(MAGIC.len()..).unwrap_or_default();
        read_swarms(Reader(content), layout).ok_or(SavedError::Damaged)
    }
}

/// The layout of a file, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    One,
    Two,
}

fn encode_swarm(swarm: &SavedSwarm, out: &mut Vec<u8>) {
    out.extend(swarm.info_hash.0);
    out.extend(swarm.downloaded.to_be_bytes());
    // IPv4 addresses are written as IPv4-mapped IPv6 addresses.
    let founder = match swarm.founder {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    out.extend(founder.octets());
    let count = u32::try_from(swarm.peers.len()).unwrap_or(u32::MAX);
    out.extend(count.to_be_bytes());
    for peer in &swarm.peers {
        encode_peer(peer, out);
    }
}

fn encode_peer(peer: &SavedPeer, out: &mut Vec<u8>) {
    let [v4, v6] = &peer.addresses;
    let bit = |has: bool, bit: u8| if has { bit } else { 0 };
    out.push(
        bit(peer.is_seed, flag::SEED)
            | bit(matches!(peer.id, SavedId::Whole(_)), flag::WHOLE_ID)
            | bit(peer.key.is_some(), flag::KEY)
            | bit(v4.is_some(), flag::V4)
            | bit(v6.is_some(), flag::V6),
    );
    match peer.id {
        SavedId::Whole(id) => out.extend(id.0),
        SavedId::Hash(IdHash(hash)) => out.extend(hash.to_be_bytes()),
    }
    let Traffic {
        uploaded,
        downloaded,
    } = peer.reported;
    for number in [uploaded, downloaded, peer.recent] {
        out.extend(number.to_be_bytes());
    }
    out.extend(peer.key.iter().flat_map(|key| key.get().to_be_bytes()));
    for timed in peer.addresses.iter().flatten() {
        match timed.address.ip() {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
        out.extend(timed.address.port().to_be_bytes());
        let left = u32::try_from(timed.left.as_millis()).unwrap_or(u32::MAX);
        out.extend(left.to_be_bytes());
    }
}

/// The bytes that are not parsed yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_be_bytes)
    }
}

fn read_swarms(mut reader: Reader<'_>, layout: Layout) -> Option<SavedSwarms> {
    let wall_clock = Duration::from_millis(reader.u64()?);
    let id_key = match layout {
        Layout::One => None,
        Layout::Two => Some(SipKey::from_bytes(reader.bytes()?)),
    };
    let mut swarms = Vec::new();
    while !reader.0.is_empty() {
        swarms.push(read_swarm(&mut reader, layout)?);
    }
    Some(SavedSwarms {
        wall_clock,
        id_key,
        swarms,
    })
}

fn read_swarm(reader: &mut Reader<'_>, layout: Layout) -> Option<SavedSwarm> {
    let info_hash = InfoHash(reader.bytes()?);
    let downloaded = reader.u32()?;
    let founder = IpAddr::from(reader.bytes::<16>()?).to_canonical();
    let count = reader.u32()?;
    let peers: Option<Vec<_>> = (0..count).map(|_| read_peer(reader, layout)).collect();
    Some(SavedSwarm {
        info_hash,
        downloaded,
        founder,
        peers: peers?,
    })
}

fn read_peer(reader: &mut Reader<'_>, layout: Layout) -> Option<SavedPeer> {
    let (id, flags) = match layout {
        Layout::One => (SavedId::Whole(PeerId(reader.bytes()?)), reader.u8()?),
        Layout::Two => {
            let flags = reader.u8()?;
            let id = match flags & flag::WHOLE_ID {
                0 => SavedId::Hash(IdHash(reader.u64()?)),
                _ => SavedId::Whole(PeerId(reader.bytes()?)),
            };
            (id, flags)
        }
    };
    let reported = Traffic {
        uploaded: reader.u64()?,
        downloaded: reader.u64()?,
    };
    let recent = reader.u64()?;
    let key = match (flags & flag::KEY, layout) {
        (0, _) => None,
        // The hash in layout 2 is the start of the one in layout 1.
        (_, Layout::One) => Some(nonzero_key_hash((reader.u64()? >> 32) as u32)),
        (_, Layout::Two) => Some(nonzero_key_hash(reader.u32()?)),
    };
    let v4 = match flags & flag::V4 {
        0 => None,
        _ => Some(read_address(reader.bytes::<4>()?.into(), reader)?),
    };
    let v6 = match flags & flag::V6 {
        0 => None,
        _ => Some(read_address(reader.bytes::<16>()?.into(), reader)?),
    };
    Some(SavedPeer {
        id,
        key,
        is_seed: flags & flag::SEED != 0,
        addresses: [v4, v6],
        reported,
        recent,
    })
}

fn read_address(ip: IpAddr, reader: &mut Reader<'_>) -> Option<TimedAddress> {
    let port = u16::from_be_bytes(reader.bytes()?);
    let left = Duration::from_millis(reader.u32()?.into());
    Some(TimedAddress {
        address: SocketAddr::new(ip, port),
        left,
    })
}

/// The fuzz function of the parser: the input as it is, and with the right checksum after it. What
/// is written is read back.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let sum = digest(&SHA256, bytes);
    for bytes in [bytes, &[bytes, sum.as_ref()].concat()] {
        let Ok(saved) = SavedSwarms::parse(bytes) else {
            continue;
        };
        let key = saved.id_key.unwrap_or(SipKey::from_bytes([0; 16]));
        let swarms = saved.swarms.iter().cloned();
        let again = SavedSwarms::parse(&SavedSwarms::encode(saved.wall_clock, key, swarms));
        assert_eq!(
            again,
            Ok(SavedSwarms {
                id_key: Some(key),
                ..saved
            })
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole_id(id: u8) -> SavedId {
        SavedId::Whole(PeerId([id; 20]))
    }

    fn timed_address(address: &str, seconds: u64) -> Option<TimedAddress> {
        Some(TimedAddress {
            address: address.parse().unwrap(),
            left: Duration::from_secs(seconds),
        })
    }

    fn saved() -> SavedSwarms {
        let peer = |id: u8, is_seed, key: Option<u32>, addresses| SavedPeer {
            id: whole_id(id),
            key: key.map(nonzero_key_hash),
            is_seed,
            addresses,
            reported: Traffic {
                uploaded: 1 << 40,
                downloaded: 7,
            },
            recent: u64::from(id),
        };
        let v4 = timed_address("10.0.0.1:6881", 50);
        let v6 = timed_address("[2001:db8::1]:1", 900);
        let hashed = SavedPeer {
            id: SavedId::Hash(IdHash(1 << 60 | 5)),
            ..peer(4, false, Some(9), [v4, None])
        };
        let swarm = |info_hash, founder: &str, peers| SavedSwarm {
            info_hash: InfoHash([info_hash; 20]),
            downloaded: 3,
            founder: founder.parse().unwrap(),
            peers,
        };
        SavedSwarms {
            wall_clock: Duration::from_millis(1_790_000_000_123),
            id_key: Some(SipKey::from_bytes([9; 16])),
            swarms: vec![
                swarm(1, "10.0.0.1", vec![peer(1, true, Some(5), [v4, None])]),
                swarm(
                    2,
                    "2001:db8::",
                    vec![
                        peer(2, false, None, [None, v6]),
                        peer(3, false, Some(u32::MAX), [v4, v6]),
                        hashed,
                    ],
                ),
                swarm(3, "10.0.0.2", vec![]),
            ],
        }
    }

    fn encode(saved: &SavedSwarms) -> Vec<u8> {
        let key = saved.id_key.unwrap();
        SavedSwarms::encode(saved.wall_clock, key, saved.swarms.iter().cloned())
    }

    #[test]
    fn saved_swarms_are_parsed_back() {
        let saved = saved();
        assert_eq!(SavedSwarms::parse(&encode(&saved)), Ok(saved.clone()));
        let empty = SavedSwarms {
            swarms: vec![],
            ..saved
        };
        assert_eq!(SavedSwarms::parse(&encode(&empty)), Ok(empty));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_refused() {
        let whole = encode(&saved());
        for cut in 0..whole.len() {
            assert!(SavedSwarms::parse(&whole[..cut]).is_err(), "cut at {cut}");
            let mut changed = whole.clone();
            changed[cut] ^= 0x10;
            assert!(SavedSwarms::parse(&changed).is_err(), "changed at {cut}");
        }
        let long = [whole.as_slice(), b"x"].concat();
        assert_eq!(SavedSwarms::parse(&long), Err(SavedError::Damaged));
        assert_eq!(
            SavedSwarms::parse(b"pieceful swarms 3\n"),
            Err(SavedError::Foreign)
        );
    }

    #[test]
    fn a_file_with_layout_1_is_read() {
        let mut bytes = MAGIC_1.to_vec();
        bytes.extend(1_790_000_000_123u64.to_be_bytes());
        bytes.extend([[1; 20].as_slice(), &[0, 0, 0, 3]].concat());
        bytes.extend(
            std::net::Ipv4Addr::new(10, 0, 0, 1)
                .to_ipv6_mapped()
                .octets(),
        );
        bytes.extend([0, 0, 0, 1]);
        bytes.extend([1; 20]);
        bytes.push(flag::SEED | flag::KEY | flag::V4);
        for number in [1 << 40, 7, 1, 5 << 32 | 77] {
            bytes.extend(u64::to_be_bytes(number));
        }
        bytes.extend([10, 0, 0, 1, 0x1a, 0xe1, 0, 0, 0xc3, 0x50]);
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        let expected = SavedSwarms {
            id_key: None,
            swarms: saved().swarms.into_iter().take(1).collect(),
            ..saved()
        };
        assert_eq!(SavedSwarms::parse(&bytes), Ok(expected));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(content: Vec<u8>, is_layout_2: bool) {
            let magic = if is_layout_2 { MAGIC } else { MAGIC_1 };
            let mut bytes = [magic.as_slice(), &content].concat();
            let _ = SavedSwarms::parse(&bytes);
            let sum = digest(&SHA256, &bytes);
            bytes.extend_from_slice(sum.as_ref());
            let _ = SavedSwarms::parse(&bytes);
        }
    }
}
