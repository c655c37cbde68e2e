//! The pieces that a choked peer may still request (BEP 6, "allowed fast set generation").

use crate::torrent::{InfoHash, Lengths, PieceIndex, Sha1};
use std::net::IpAddr;

/// The largest number of pieces in the set.
const MAX_PIECES: u32 = 10;
/// The largest number of bytes in the set. This peer sends these bytes to choked peers, in addition
/// to what it sends to unchoked peers.
const MAX_BYTES: u32 = 4 << 20;

/// The set for the peer at `address`. All addresses of one /24 network get the same set, so that a
/// second address gains nothing. BEP 6 defines the set for IPv4 only; other addresses get an empty
/// one. A choked peer is served only while it owns fewer pieces than its set contains.
pub fn allowed_fast(address: IpAddr, info_hash: InfoHash, lengths: &Lengths) -> Vec<PieceIndex> {
    let IpAddr::V4(address) = address.to_canonical() else {
        return Vec::new();
    };
    let [a, b, c, _] = address.octets();
    let pieces = lengths.pieces();
    let max_pieces = MAX_PIECES.min(MAX_BYTES / lengths.piece_length());
    let count = max_pieces.min(pieces) as usize;
    let mut set = Vec::with_capacity(count);
    let mut bytes = vec![a, b, c, 0];
    bytes.extend(info_hash.0);
    while set.len() < count {
        let Sha1(hash) = Sha1::of(&bytes);
        let (numbers, _) = hash.as_chunks::<4>();
        for number in numbers {
            let index = u32::from_be_bytes(*number) % pieces.max(1);
            if let Some(piece) = lengths.piece(index)
                && set.len() < count
                && !set.contains(&piece)
            {
                set.push(piece);
            }
        }
        bytes = hash.to_vec();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_equals_the_example_in_bep_6() {
        let lengths = Lengths::new(1313 * 16_384, 16_384).unwrap();
        let set = allowed_fast([80, 4, 4, 200].into(), InfoHash([0xaa; 20]), &lengths);
        let numbers: Vec<u32> = set.iter().map(|piece| piece.number()).collect();
        assert_eq!(
            numbers[..9],
            [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]
        );
        assert_eq!(numbers.len(), 10);
    }

    #[test]
    fn if_pieces_are_longer_the_set_has_fewer_of_them() {
        for (length, count) in [(512 << 10, 8), (1 << 20, 4), (4 << 20, 1), (8 << 20, 0)] {
            let lengths = Lengths::new(1 << 30, length).unwrap();
            let set = allowed_fast([127, 0, 0, 1].into(), InfoHash([7; 20]), &lengths);
            assert_eq!(set.len(), count);
        }
    }

    #[test]
    fn the_set_has_all_pieces_of_a_small_share_and_is_empty_for_ipv6() {
        for pieces in [1, 3, 10] {
            let lengths = Lengths::new(pieces * 1_000, 1_000).unwrap();
            let set = allowed_fast([127, 0, 0, 1].into(), InfoHash([7; 20]), &lengths);
            assert_eq!(set.len() as u64, pieces);
        }
        let lengths = Lengths::new(100_000, 1_000).unwrap();
        let six = "2001:db8::1".parse().unwrap();
        assert!(allowed_fast(six, InfoHash([7; 20]), &lengths).is_empty());
        let empty = Lengths::new(0, 16_384);
        assert!(empty.is_ok_and(|empty| {
            allowed_fast([127, 0, 0, 1].into(), InfoHash([7; 20]), &empty).is_empty()
        }));
    }
}
