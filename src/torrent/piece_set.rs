//! Sets of pieces, in the layout of BEP 3's bitfield: the high bit of the first byte is piece 0.

use super::{Lengths, PieceIndex};

/// A set of the pieces of one share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceSet {
    bits: Vec<u8>,
    /// The number of pieces of the share.
    pieces: u32,
    /// The number of pieces in the set.
    count: u32,
}

/// What is wrong with the bitfield in a message (BEP 3, "peer messages").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Too few or too many bytes.
    #[error("a bitfield has {found} bytes instead of {expected}")]
    Length {
        /// The number of bytes that arrived.
        found: usize,
        /// The number of bytes in a bitfield of the share.
        expected: usize,
    },
    /// A spare bit at the end is set.
    #[error("a spare bit of the bitfield is set")]
    SpareBits,
}

impl PieceSet {
    /// The empty set.
    pub fn empty(lengths: &Lengths) -> Self {
        Self {
            bits: vec![0; Self::bytes_for(lengths.pieces())],
            pieces: lengths.pieces(),
            count: 0,
        }
    }

    /// The set of all pieces.
    pub fn full(lengths: &Lengths) -> Self {
        let pieces = lengths.pieces();
        let mut bits = vec![0xff; Self::bytes_for(pieces)];
        let spare_bits = bits.len() * 8 - pieces as usize;
        if let Some(last_byte) = bits.last_mut() {
            *last_byte <<= spare_bits;
        }
        Self {
            bits,
            pieces,
            count: pieces,
        }
    }

    /// Reads the body of a `bitfield` message.
    ///
    /// # Errors
    /// See [`BitfieldError`].
    pub fn from_bitfield(bytes: &[u8], lengths: &Lengths) -> Result<Self, BitfieldError> {
        let expected = Self::bytes_for(lengths.pieces());
        if bytes.len() != expected {
            return Err(BitfieldError::Length {
                found: bytes.len(),
                expected,
            });
        }
        let spare = expected * 8 - lengths.pieces() as usize;
        if bytes
            .last()
            .is_some_and(|last| last.trailing_zeros() < spare as u32)
        {
            return Err(BitfieldError::SpareBits);
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self {
            bits: bytes.to_vec(),
            pieces: lengths.pieces(),
            count,
        })
    }

    /// The body of a `bitfield` message.
    pub fn as_bitfield(&self) -> &[u8] {
        &self.bits
    }

    /// The number of bytes in a bitfield of `pieces` pieces.
    pub fn bytes_for(pieces: u32) -> usize {
        pieces.div_ceil(8) as usize
    }

    /// Whether `piece` is in the set.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.bits
            .get(piece.index() / 8)
            .is_some_and(|byte| byte & Self::bit(piece) != 0)
    }

    /// Adds a piece. Returns whether it was new.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let new = !self.contains(piece);
        if new && let Some(byte) = self.bits.get_mut(piece.index() / 8) {
            *byte |= Self::bit(piece);
            self.count += 1;
        }
        new
    }

    /// Removes a piece. Returns whether it was in the set.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let was_in_set = self.contains(piece);
        if was_in_set && let Some(byte) = self.bits.get_mut(piece.index() / 8) {
            *byte &= !Self::bit(piece);
            self.count -= 1;
        }
        was_in_set
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every piece of the share is in the set.
    pub fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    fn bit(piece: PieceIndex) -> u8 {
        0x80 >> (piece.index() % 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitfield_must_have_the_exact_length_and_its_spare_bits_must_be_0() {
        let lengths = Lengths::new(10, 1).unwrap();
        let table: [(&[u8], Result<u32, BitfieldError>); 5] = [
            (&[0xff, 0xc0], Ok(10)),
            (&[0x80, 0x00], Ok(1)),
            (
                &[0xff],
                Err(BitfieldError::Length {
                    found: 1,
                    expected: 2,
                }),
            ),
            (
                &[0xff, 0xc0, 0],
                Err(BitfieldError::Length {
                    found: 3,
                    expected: 2,
                }),
            ),
            (&[0xff, 0xe0], Err(BitfieldError::SpareBits)),
        ];
        for (bytes, expected) in table {
            assert_eq!(
                PieceSet::from_bitfield(bytes, &lengths).map(|set| set.count()),
                expected,
                "{bytes:?}"
            );
        }
        let none = Lengths::new(0, 1).unwrap();
        assert!(PieceSet::from_bitfield(&[], &none).unwrap().is_full());
    }

    #[test]
    fn insert_and_remove_update_the_count() {
        let lengths = Lengths::new(9, 1).unwrap();
        let mut set = PieceSet::empty(&lengths);
        let last = lengths.piece(8).unwrap();
        assert!(set.insert(last) && !set.insert(last) && set.contains(last));
        assert_eq!((set.count(), set.as_bitfield()), (1, &[0, 0x80][..]));
        assert!(set.remove(last) && !set.remove(last) && set.is_empty());
        assert!(PieceSet::full(&lengths).is_full());
    }

    #[test]
    fn the_full_set_has_each_piece_and_sets_no_spare_bit() {
        for pieces in [0, 1, 7, 8, 9, 16, 17] {
            let lengths = Lengths::new(pieces, 1).unwrap();
            let mut one_by_one = PieceSet::empty(&lengths);
            lengths.all_pieces().for_each(|piece| {
                one_by_one.insert(piece);
            });
            assert_eq!(PieceSet::full(&lengths), one_by_one, "{pieces} pieces");
        }
    }
}
