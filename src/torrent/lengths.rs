//! How the bytes of a share are divided into pieces and blocks; and indices that cannot be wrong.
//!
//! Only a [`Lengths`] makes a [`PieceIndex`] or a [`BlockRange`], and checks it. So no other code
//! checks again. An index belongs to the `Lengths` that made it.

/// The usual length of a block, the unit of a request: 16 KiB (BEP 3, "peer messages").
pub const BLOCK: u32 = 16 << 10;
/// The longest block that a peer may request, in bytes. A longer request ends the connection.
pub const MAX_BLOCK: u32 = 128 << 10;
/// The longest piece that this program accepts, in bytes.
pub const MAX_PIECE_LENGTH: u32 = 1 << 30;
/// The largest number of pieces in a share.
pub const MAX_PIECES: u32 = 1 << 21;

/// The number of a piece, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number as in messages.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The number as an index into tables with one entry for each piece.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes inside one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockRange {
    piece: PieceIndex,
    begin: u32,
    length: u32,
}

impl BlockRange {
    /// The piece.
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Offset of the first byte from the start of the piece.
    pub fn begin(self) -> u32 {
        self.begin
    }

    /// The number of bytes, at least one.
    pub fn length(self) -> u32 {
        self.length
    }

    /// The block of [`BLOCK`] bytes in which the range begins: its number in the piece, from 0.
    pub fn number(self) -> u32 {
        self.begin / BLOCK
    }
}

/// Why numbers do not make a [`Lengths`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthsError {
    /// A piece length of 0, negative, or over [`MAX_PIECE_LENGTH`].
    #[error("piece length {0} is not between 1 and {MAX_PIECE_LENGTH}")]
    PieceLength(i64),
    /// The share has more than [`MAX_PIECES`] pieces.
    #[error("{total} bytes in pieces of {piece_length} are more than {MAX_PIECES} pieces")]
    TooManyPieces {
        /// Length of the share in bytes.
        total: u64,
        /// Length of a piece in bytes.
        piece_length: u32,
    },
}

/// Why a range in a message is not part of the share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// No such piece.
    #[error("no piece {index}: the share has {pieces} pieces, numbered from 0")]
    Piece {
        /// The requested number.
        index: u32,
        /// The number of pieces.
        pieces: u32,
    },
    /// A length of 0 or over [`MAX_BLOCK`].
    #[error("a block of {0} bytes")]
    Length(u32),
    /// The range ends after the end of its piece.
    #[error("bytes {begin}+{length} of a piece of {piece_length}")]
    Outside {
        /// First byte, from the start of the piece.
        begin: u32,
        /// Number of bytes.
        length: u32,
        /// Length of that piece in bytes.
        piece_length: u32,
    },
}

/// The lengths of a share: all bytes, one piece, the number of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    total: u64,
    piece_length: u32,
    pieces: u32,
}

impl Lengths {
    /// The lengths of a share of `total` bytes in pieces of `piece_length` bytes. A share of 0
    /// bytes has no piece.
    ///
    /// # Errors
    /// See [`LengthsError`].
    pub fn new(total: u64, piece_length: i64) -> Result<Self, LengthsError> {
        let bad_length = LengthsError::PieceLength(piece_length);
        let piece_length = u32::try_from(piece_length).map_err(|_| bad_length.clone())?;
        if piece_length == 0 || piece_length > MAX_PIECE_LENGTH {
            return Err(bad_length);
        }
        let pieces = u32::try_from(total.div_ceil(piece_length.into()))
            .ok()
            .filter(|pieces| *pieces <= MAX_PIECES)
            .ok_or(LengthsError::TooManyPieces {
                total,
                piece_length,
            })?;
        Ok(Self {
            total,
            piece_length,
            pieces,
        })
    }

    /// The length of the share in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The length of every piece except the last, which may be shorter.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The number of pieces.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// The piece of that number, if there is one.
    pub fn piece(&self, number: u32) -> Option<PieceIndex> {
        (number < self.pieces).then_some(PieceIndex(number))
    }

    /// All pieces in order.
    pub fn all_pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// Offset of a piece in bytes from the start of the share.
    pub fn offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// The length of a piece in bytes.
    pub fn length(&self, piece: PieceIndex) -> u32 {
        let left = self.total - self.offset(piece);
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    /// The number of blocks of [`BLOCK`] bytes in a piece. The last one may be shorter.
    pub fn blocks(&self, piece: PieceIndex) -> u32 {
        self.length(piece).div_ceil(BLOCK)
    }

    /// Block `number` of a piece, if the piece has it.
    pub fn block(&self, piece: PieceIndex, number: u32) -> Option<BlockRange> {
        let begin = number.checked_mul(BLOCK)?;
        let left = self
            .length(piece)
            .checked_sub(begin)
            .filter(|left| *left > 0)?;
        Some(BlockRange {
            piece,
            begin,
            length: left.min(BLOCK),
        })
    }

    /// Checks a range from a message.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn range(&self, index: u32, begin: u32, length: u32) -> Result<BlockRange, BlockError> {
        let piece = self.piece(index).ok_or(BlockError::Piece {
            index,
            pieces: self.pieces,
        })?;
        if length == 0 || length > MAX_BLOCK {
            return Err(BlockError::Length(length));
        }
        let piece_length = self.length(piece);
        if begin
            .checked_add(length)
            .is_none_or(|end| end > piece_length)
        {
            return Err(BlockError::Outside {
                begin,
                length,
                piece_length,
            });
        }
        Ok(BlockRange {
            piece,
            begin,
            length,
        })
    }

    /// Offset of a range in bytes from the start of the share.
    pub fn range_offset(&self, range: BlockRange) -> u64 {
        self.offset(range.piece) + u64::from(range.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn impossible_lengths_are_refused() {
        for piece_length in [0, -1, i64::MIN, i64::MAX, i64::from(MAX_PIECE_LENGTH) + 1] {
            assert_eq!(
                Lengths::new(1, piece_length),
                Err(LengthsError::PieceLength(piece_length))
            );
        }
        for (total, piece_length) in [(u64::MAX, 1 << 30), (u64::from(MAX_PIECES) + 1, 1)] {
            assert!(matches!(
                Lengths::new(total, piece_length),
                Err(LengthsError::TooManyPieces { .. })
            ));
        }
        assert_eq!(Lengths::new(0, 16).map(|lengths| lengths.pieces()), Ok(0));
    }

    #[test]
    fn ranges_from_messages_are_checked() {
        let lengths = Lengths::new(100_000, 40_000).unwrap();
        let outside = |begin, length, piece_length| {
            Err(BlockError::Outside {
                begin,
                length,
                piece_length,
            })
        };
        let table = [
            (
                3,
                0,
                1,
                Err(BlockError::Piece {
                    index: 3,
                    pieces: 3,
                }),
            ),
            (
                u32::MAX,
                0,
                1,
                Err(BlockError::Piece {
                    index: u32::MAX,
                    pieces: 3,
                }),
            ),
            (0, 0, 0, Err(BlockError::Length(0))),
            (0, 0, MAX_BLOCK + 1, Err(BlockError::Length(MAX_BLOCK + 1))),
            (0, 39_999, 2, outside(39_999, 2, 40_000)),
            (2, 19_999, 2, outside(19_999, 2, 20_000)),
            (0, u32::MAX, 2, outside(u32::MAX, 2, 40_000)),
            (0, 39_999, 1, Ok(())),
            (2, 0, 20_000, Ok(())),
        ];
        for (index, begin, length, expected) in table {
            assert_eq!(
                lengths.range(index, begin, length).map(|_| ()),
                expected,
                "{index} {begin} {length}"
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_and_blocks_cover_every_byte_once(total in 0u64..500_000, piece_length in 1i64..70_000) {
            prop_assume!(total / (piece_length as u64) < 5_000);
            let lengths = Lengths::new(total, piece_length).unwrap();
            let mut at = 0;
            for piece in lengths.all_pieces() {
                prop_assert_eq!(lengths.offset(piece), at);
                for number in 0..lengths.blocks(piece) {
                    let block = lengths.block(piece, number).unwrap();
                    prop_assert_eq!(block.number(), number);
                    prop_assert_eq!(lengths.range_offset(block), at);
                    prop_assert_eq!(lengths.range(piece.number(), block.begin(), block.length()), Ok(block));
                    at += u64::from(block.length());
                }
                prop_assert_eq!(lengths.block(piece, lengths.blocks(piece)), None);
            }
            prop_assert_eq!(at, total);
        }
    }
}
