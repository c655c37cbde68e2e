//! The handshake of 68 bytes that begins a link (BEP 3, "peer protocol").

use super::PeerId;
use crate::torrent::InfoHash;

/// Length of a handshake in bytes.
pub const HANDSHAKE_LENGTH: usize = 68;
/// The first byte of a handshake. It differs from the first byte of TLS, so one port can serve
/// both.
pub const HANDSHAKE_FIRST_BYTE: u8 = 19;

/// The reserved bit of BEP 6: the index of its byte, and its mask.
const FAST: (usize, u8) = (7, 0x04);
/// The reserved bit of BEP 10: the index of its byte, and its mask.
const EXTENSIONS: (usize, u8) = (5, 0x10);

/// The length of the protocol name in one byte, and the name.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The contents of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The id of the sender.
    pub peer_id: PeerId,
    /// Whether the sender supports the fast extension (BEP 6; reserved bit 0x04 of the last byte).
    pub fast: bool,
    /// Whether the sender supports the extension protocol (BEP 10; reserved bit 0x10 of the sixth
    /// byte).
    pub extensions: bool,
}

/// The first bytes of a link are not a handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a BitTorrent handshake; encrypted handshakes are not supported")]
pub struct NotBitTorrent;

impl Handshake {
    /// Reads a handshake.
    ///
    /// # Errors
    /// The protocol name or its length is not that of BEP 3.
    pub fn parse(bytes: &[u8; HANDSHAKE_LENGTH]) -> Result<Self, NotBitTorrent> {
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
    pub fn encode(&self) -> [u8; HANDSHAKE_LENGTH] {
        let mut reserved = [0; 8];
        reserved[FAST.0] |= if self.fast { FAST.1 } else { 0 };
        reserved[EXTENSIONS.0] |= if self.extensions { EXTENSIONS.1 } else { 0 };
        let mut bytes = [0; HANDSHAKE_LENGTH];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }
}

/// The fuzz function of the parser. Reserved bits that we do not know are not kept.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8; HANDSHAKE_LENGTH]) {
    if let Ok(handshake) = Handshake::parse(bytes) {
        assert_eq!(Handshake::parse(&handshake.encode()), Ok(handshake));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_encoded_and_parsed_again() {
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
    fn another_protocol_name_or_length_is_refused() {
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
