//! The 68 bytes that open a line between peers (BEP 3, "peer protocol").

use super::PeerId;
use crate::torrent::InfoHash;

/// The length of a handshake in bytes.
pub const HANDSHAKE: usize = 68;
/// The first byte of a handshake, by which a port tells it from TLS.
pub const FIRST_BYTE: u8 = 19;

/// Where a reserved bit stands: which byte, which bit.
const FAST: (usize, u8) = (7, 0x04);
const EXTENSIONS: (usize, u8) = (5, 0x10);

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Who calls, for which swarm, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// Who.
    pub peer_id: PeerId,
    /// BEP 6: the fast extension (reserved bit 0x04 of the last byte).
    pub fast: bool,
    /// BEP 10: the extension protocol (reserved bit 0x10 of the sixth byte).
    pub extensions: bool,
}

/// What is wrong with the first bytes of a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a BitTorrent handshake; encrypted ones are not understood here")]
pub struct NotBitTorrent;

impl Handshake {
    /// Reads a handshake.
    ///
    /// # Errors
    /// When the protocol's name or its length is another.
    pub fn parse(bytes: &[u8; HANDSHAKE]) -> Result<Self, NotBitTorrent> {
        let (protocol, rest) = bytes.split_first_chunk::<20>().ok_or(NotBitTorrent)?;
        let (reserved, rest) = rest.split_first_chunk::<8>().ok_or(NotBitTorrent)?;
        let (info_hash, rest) = rest.split_first_chunk::<20>().ok_or(NotBitTorrent)?;
        let (peer_id, _) = rest.split_first_chunk::<20>().ok_or(NotBitTorrent)?;
        if protocol != PROTOCOL {
            return Err(NotBitTorrent);
        }
        Ok(Self {
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(*peer_id),
            fast: reserved[FAST.0] & FAST.1 != 0,
            extensions: reserved[EXTENSIONS.0] & EXTENSIONS.1 != 0,
        })
    }

    /// The bytes of the handshake.
    pub fn encode(&self) -> [u8; HANDSHAKE] {
        let mut reserved = [0; 8];
        reserved[FAST.0] |= if self.fast { FAST.1 } else { 0 };
        reserved[EXTENSIONS.0] |= if self.extensions { EXTENSIONS.1 } else { 0 };
        let mut bytes = [0; HANDSHAKE];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_written_and_read() {
        for (fast, extensions) in [(false, false), (true, false), (false, true), (true, true)] {
            let handshake = Handshake {
                info_hash: InfoHash([1; 20]),
                peer_id: PeerId([2; 20]),
                fast,
                extensions,
            };
            let bytes = handshake.encode();
            assert_eq!(Handshake::parse(&bytes), Ok(handshake));
            assert_eq!(
                bytes[..28].iter().filter(|byte| **byte == 0).count(),
                8 - usize::from(fast) - usize::from(extensions)
            );
        }
    }

    #[test]
    fn another_protocol_or_length_of_its_name_is_refused() {
        let good = Handshake {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            fast: true,
            extensions: true,
        };
        for at in 0..20 {
            let mut bytes = good.encode();
            bytes[at] ^= 1;
            assert_eq!(Handshake::parse(&bytes), Err(NotBitTorrent), "byte {at}");
        }
    }
}
