//! The messages by which peers hand on a torrent's info dictionary (BEP 9, "metadata exchange").
//!
//! In scope: the three messages, bounded, and putting the pieces of one peer together. Pieces of several peers are never mixed:
//! whoever sent what does not have the hash is known. Out of scope: the hash itself, and whom to ask.

use crate::bencode::{self, Item, KeyOrder, Value};
use crate::torrent::MAX_METAINFO;
use std::collections::BTreeMap;

/// The length of every piece of metadata but the last, in bytes.
pub const METADATA_PIECE: usize = 16 << 10;
/// How many pieces are asked of a peer at a time.
const ASKED_AT_A_TIME: usize = 4;

/// How many values a message may hold: it has three numbers, others may have some more.
const MAX_VALUES: usize = 32;

/// One message of the extension `ut_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataMessage<'a> {
    /// Asks for a piece.
    Request(u32),
    /// A piece.
    Data {
        /// Its number.
        piece: u32,
        /// `total_size`: the length of all metadata in bytes.
        total: u32,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The sender will not send this piece.
    Reject(u32),
}

/// Why metadata cannot be taken from a peer. Each ends the line to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not bencode, or bytes behind a message that has none.
    #[error("a bad message: {0}")]
    Bencode(#[from] bencode::Error),
    /// A field that is missing or no number of a piece.
    #[error("a message without a sound {0:?}")]
    Field(&'static str),
    /// Nothing, or more than a metainfo may have.
    #[error("metadata of {0} bytes; 1 to {MAX_METAINFO} can be")]
    Size(u32),
    /// A piece that was not asked for.
    #[error("piece {0} of the metadata, which was not asked for")]
    Unasked(u32),
    /// A piece of another length than it must have.
    #[error("piece {piece} of the metadata with {found} bytes where {expected} are due")]
    Length {
        /// Its number.
        piece: u32,
        /// Bytes that came.
        found: usize,
        /// Bytes that are due.
        expected: usize,
    },
}

/// The numbers of `msg_type`.
mod kind {
    pub(super) const REQUEST: u32 = 0;
    pub(super) const DATA: u32 = 1;
    pub(super) const REJECT: u32 = 2;
}

impl<'a> MetadataMessage<'a> {
    /// Reads a message; `None` for a kind that nobody here knows, which is to be passed over (BEP 9).
    ///
    /// # Errors
    /// See [`MetadataError`].
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, MetadataError> {
        let (value, bytes) = Value::parse_prefix(payload, KeyOrder::Any, MAX_VALUES)?;
        let fields = value.dictionary().ok_or(bencode::Error::Unexpected(0))?;
        let number = |key| {
            let number = fields.value(key).and_then(Value::integer);
            let number = number.and_then(|number| u32::try_from(number).ok());
            number.ok_or(MetadataError::Field(key))
        };
        Ok(match number("msg_type")? {
            kind::REQUEST => Some(Self::Request(number("piece")?)),
            kind::DATA => Some(Self::Data {
                piece: number("piece")?,
                total: number("total_size")?,
                bytes,
            }),
            kind::REJECT => Some(Self::Reject(number("piece")?)),
            _ => None,
        })
    }

    /// The payload of the message.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind: u32, piece: u32, total: Option<u32>| {
            let mut fields = vec![("msg_type", Item::from(kind)), ("piece", piece.into())];
            fields.extend(total.map(|total| ("total_size", total.into())));
            Item::dictionary(fields).encode()
        };
        match *self {
            Self::Request(piece) => head(kind::REQUEST, piece, None),
            Self::Data {
                piece,
                total,
                bytes,
            } => {
                let mut payload = head(kind::DATA, piece, Some(total));
                payload.extend_from_slice(bytes);
                payload
            }
            Self::Reject(piece) => head(kind::REJECT, piece, None),
        }
    }
}

/// Piece `number` of metadata, if it has so many.
pub fn metadata_piece(metadata: &[u8], number: u32) -> Option<&[u8]> {
    metadata.chunks(METADATA_PIECE).nth(number as usize)
}

/// Metadata as it comes from one peer.
#[derive(Debug)]
pub struct Assembly {
    size: u32,
    /// The next piece to ask for.
    next: u32,
    /// Pieces asked for, with their bytes once they are here: memory grows with what came, not with what is said to come.
    pieces: BTreeMap<u32, Option<Vec<u8>>>,
}

impl Assembly {
    /// Metadata of `size` bytes, of which nothing is here.
    ///
    /// # Errors
    /// [`MetadataError::Size`].
    pub fn new(size: u32) -> Result<Self, MetadataError> {
        if size == 0 || size as usize > MAX_METAINFO {
            return Err(MetadataError::Size(size));
        }
        Ok(Self {
            size,
            next: 0,
            pieces: BTreeMap::new(),
        })
    }

    /// How many pieces it has.
    pub fn count(&self) -> u32 {
        self.size.div_ceil(METADATA_PIECE as u32)
    }

    /// The next piece to ask for now; `None` while enough is asked for.
    pub fn ask(&mut self) -> Option<u32> {
        let waiting = self.pieces.values().filter(|piece| piece.is_none());
        if self.next >= self.count() || waiting.count() >= ASKED_AT_A_TIME {
            return None;
        }
        let piece = self.next;
        self.pieces.insert(piece, None);
        self.next += 1;
        Some(piece)
    }

    /// Takes a piece; gives all bytes once it was the last.
    ///
    /// # Errors
    /// When it was not asked for or has another length than is due.
    pub fn add(&mut self, piece: u32, bytes: &[u8]) -> Result<Option<Vec<u8>>, MetadataError> {
        let start = piece as usize * METADATA_PIECE;
        let expected = (self.size as usize)
            .saturating_sub(start)
            .min(METADATA_PIECE);
        let slot = self.pieces.get_mut(&piece).filter(|slot| slot.is_none());
        let slot = slot.ok_or(MetadataError::Unasked(piece))?;
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(MetadataError::Length {
                piece,
                found,
                expected,
            });
        }
        *slot = Some(bytes.to_vec());
        let here = self.pieces.values().flatten();
        if here.clone().count() < self.count() as usize {
            return Ok(None);
        }
        Ok(Some(here.flatten().copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each message and its bytes: what is written, what is read, and back.
    const TABLE: &[(MetadataMessage<'static>, &[u8])] = &[
        (MetadataMessage::Request(0), b"d8:msg_typei0e5:piecei0ee"),
        (
            MetadataMessage::Data {
                piece: 3,
                total: 34_256,
                bytes: b"de",
            },
            b"d8:msg_typei1e5:piecei3e10:total_sizei34256eede",
        ),
        (
            MetadataMessage::Reject(u32::MAX),
            b"d8:msg_typei2e5:piecei4294967295ee",
        ),
    ];

    #[test]
    fn messages_are_written_and_read() {
        for (message, bytes) in TABLE {
            assert_eq!(message.encode(), *bytes);
            assert_eq!(MetadataMessage::parse(bytes), Ok(Some(*message)));
        }
        let unknown = MetadataMessage::parse(b"d8:msg_typei3e5:piecei0ee");
        assert_eq!(unknown, Ok(None));
    }

    #[test]
    fn few_values_are_read() {
        let long = [
            &b"d8:msg_typei0e5:piecei0e1:xl"[..],
            &[b'd', b'e'].repeat(30),
            b"ee",
        ]
        .concat();
        let error = MetadataError::Bencode(bencode::Error::TooMany(MAX_VALUES));
        assert_eq!(MetadataMessage::parse(&long), Err(error));
    }

    #[test]
    fn each_bad_message_gets_its_own_error() {
        use MetadataError::{Bencode, Field};
        type Check = fn(&MetadataError) -> bool;
        let table: &[(&[u8], Check)] = &[
            (b"", |error| matches!(error, Bencode(_))),
            (b"le", |error| matches!(error, Bencode(_))),
            (b"d8:msg_typei0e", |error| matches!(error, Bencode(_))),
            (b"de", |error| *error == Field("msg_type")),
            (b"d8:msg_type1:0e", |error| *error == Field("msg_type")),
            (b"d8:msg_typei0ee", |error| *error == Field("piece")),
            (b"d8:msg_typei0e5:piecei-1ee", |error| {
                *error == Field("piece")
            }),
            (b"d8:msg_typei0e5:piecei4294967296ee", |error| {
                *error == Field("piece")
            }),
            (b"d8:msg_typei1e5:piecei0eexx", |error| {
                *error == Field("total_size")
            }),
        ];
        for (bytes, expected) in table {
            let error = MetadataMessage::parse(bytes).unwrap_err();
            assert!(expected(&error), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn pieces_make_the_whole_in_any_order_and_few_are_asked_for_at_a_time() {
        let metadata: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        let mut assembly = Assembly::new(100_000).unwrap();
        let mut asked: Vec<u32> = std::iter::from_fn(|| assembly.ask()).collect();
        assert_eq!(asked, [0, 1, 2, 3]);
        let mut whole = None;
        while let Some(piece) = asked.pop() {
            let bytes = metadata_piece(&metadata, piece).unwrap();
            whole = assembly.add(piece, bytes).unwrap();
            asked.extend(assembly.ask());
        }
        assert!(whole.unwrap() == metadata);
        assert_eq!(metadata_piece(&metadata, 7), None);
    }

    #[test]
    fn what_was_not_asked_for_or_is_of_another_length_is_refused() {
        for size in [0, MAX_METAINFO as u32 + 1, u32::MAX] {
            assert_eq!(Assembly::new(size).err(), Some(MetadataError::Size(size)));
        }
        assert_eq!(Assembly::new(MAX_METAINFO as u32).unwrap().count(), 1_024);
        let mut assembly = Assembly::new(METADATA_PIECE as u32 + 1).unwrap();
        let unasked = |piece| Err(MetadataError::Unasked(piece));
        assert_eq!(assembly.add(0, &[]), unasked(0));
        assert_eq!((assembly.ask(), assembly.ask()), (Some(0), Some(1)));
        assert_eq!(assembly.ask(), None);
        assert_eq!(assembly.add(u32::MAX, &[]), unasked(u32::MAX));
        for (piece, found, expected) in [(0, 5, METADATA_PIECE), (1, 2, 1), (1, 0, 1)] {
            let error = assembly.add(piece, &vec![0; found]).unwrap_err();
            let due = MetadataError::Length {
                piece,
                found,
                expected,
            };
            assert_eq!(error, due);
        }
        assert_eq!(assembly.add(1, b"x"), Ok(None));
        assert_eq!(assembly.add(1, b"x"), unasked(1), "twice");
    }
}
