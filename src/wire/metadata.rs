//! The messages of the extension `ut_metadata`, by which peers exchange the info dictionary of a
//! torrent (BEP 9, "metadata exchange").
//!
//! In scope: the three messages, with bounds, and assembling the metadata pieces of one peer.
//! Pieces of several peers are never mixed, so that it is clear which peer sent metadata with a
//! wrong hash. Out of scope: checking the hash, and the choice of the peers.

use crate::bencode::{self, Item, KeyOrder, Value};
use crate::torrent::MAX_METAINFO;
use std::collections::BTreeMap;

/// Length of a metadata piece in bytes (BEP 9). Only the last piece may be shorter.
pub const METADATA_PIECE_LENGTH: usize = 16 << 10;
/// The maximum number of outstanding requests to one peer.
const MAX_OUTSTANDING: usize = 4;

/// The maximum number of bencode values in a message. BEP 9 defines three keys, each with a number;
/// other clients may add keys.
const MAX_VALUES: usize = 32;

/// A message of the extension `ut_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataMessage<'a> {
    /// Requests the metadata piece with this number.
    Request(u32),
    /// Sends a metadata piece.
    Data {
        /// The number of the piece.
        piece: u32,
        /// `total_size`: length of the whole metadata in bytes.
        total: u32,
        /// The bytes of the piece.
        bytes: &'a [u8],
    },
    /// The sender will not send the piece with this number.
    Reject(u32),
}

/// Why a metadata message of a peer is not valid. Each error ends the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// A field is missing or not a number in range.
    #[error("the field {0:?} is missing or wrong")]
    Field(&'static str),
    /// The metadata is empty or larger than a metainfo may be.
    #[error("its size is {0} bytes; it must be 1 to {MAX_METAINFO}")]
    Size(u32),
    /// A piece that was not requested.
    #[error("piece {0} was not requested")]
    NotRequested(u32),
    /// A piece of a wrong length.
    #[error("piece {piece} has {found} bytes, not {expected}")]
    Length {
        /// The number of the piece.
        piece: u32,
        /// The number of bytes received.
        found: usize,
        /// The number of bytes that the piece must have.
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
    /// Reads a message. Returns `None` for an unknown `msg_type`, which BEP 9 says to ignore.
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

/// The metadata piece with this number, or `None` if there is no such piece.
pub fn metadata_piece(metadata: &[u8], number: u32) -> Option<&[u8]> {
    metadata.chunks(METADATA_PIECE_LENGTH).nth(number as usize)
}

/// Assembles the metadata pieces of one peer.
#[derive(Debug)]
pub struct MetadataAssembly {
    size: u32,
    /// The next piece to request.
    next: u32,
    /// Requested pieces, with their bytes after they have arrived. Memory grows only with the bytes
    /// that have arrived, not with the announced size.
    pieces: BTreeMap<u32, Option<Vec<u8>>>,
}

impl MetadataAssembly {
    /// Metadata of `size` bytes, of which nothing has arrived.
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

    /// The number of metadata pieces.
    pub fn count(&self) -> u32 {
        self.size.div_ceil(METADATA_PIECE_LENGTH as u32)
    }

    /// Returns the next piece to request, and counts it as requested. `None` if all pieces have
    /// been requested or too many requests are outstanding.
    pub fn next_request(&mut self) -> Option<u32> {
        let outstanding = self.pieces.values().filter(|piece| piece.is_none());
        if self.next >= self.count() || outstanding.count() >= MAX_OUTSTANDING {
            return None;
        }
        let piece = self.next;
        self.pieces.insert(piece, None);
        self.next += 1;
        Some(piece)
    }

    /// Adds a piece. If no piece is missing any more, returns the whole metadata.
    ///
    /// # Errors
    /// [`MetadataError::NotRequested`] and [`MetadataError::Length`].
    pub fn add(&mut self, piece: u32, bytes: &[u8]) -> Result<Option<Vec<u8>>, MetadataError> {
        let start = piece as usize * METADATA_PIECE_LENGTH;
        let expected = (self.size as usize)
            .saturating_sub(start)
            .min(METADATA_PIECE_LENGTH);
        let slot = self.pieces.get_mut(&piece).filter(|slot| slot.is_none());
        let slot = slot.ok_or(MetadataError::NotRequested(piece))?;
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(MetadataError::Length {
                piece,
                found,
                expected,
            });
        }
        *slot = Some(bytes.to_vec());
        let arrived = self.pieces.values().flatten();
        if arrived.clone().count() < self.count() as usize {
            return Ok(None);
        }
        Ok(Some(arrived.flatten().copied().collect()))
    }
}

/// The fuzz function of the parser and of the assembly. The input is a list of payloads of at most
/// 255 bytes, each after its length. All are answers of one peer.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(mut bytes: &[u8]) {
    let mut assembly: Option<MetadataAssembly> = None;
    while let Some((length, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min((*length).into()));
        bytes = rest;
        let Ok(Some(message)) = MetadataMessage::parse(payload) else {
            continue;
        };
        assert_eq!(MetadataMessage::parse(&message.encode()), Ok(Some(message)));
        let MetadataMessage::Data {
            piece,
            total,
            bytes,
        } = message
        else {
            continue;
        };
        if assembly.is_none() {
            assembly = MetadataAssembly::new(total).ok();
        }
        let Some(assembly) = &mut assembly else {
            continue;
        };
        assembly.next_request();
        // A whole piece can be longer than a payload here.
        let whole = [bytes, &[0; METADATA_PIECE_LENGTH]].concat();
        let sizes = [bytes.len(), METADATA_PIECE_LENGTH];
        for part in sizes.into_iter().filter_map(|size| whole.get(..size)) {
            if let Ok(Some(metadata)) = assembly.add(piece, part) {
                assert_eq!(metadata.len(), assembly.size as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of message, and its bytes.
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
    fn each_message_is_encoded_and_parsed_again() {
        for (message, bytes) in TABLE {
            assert_eq!(message.encode(), *bytes);
            assert_eq!(MetadataMessage::parse(bytes), Ok(Some(*message)));
        }
        let unknown = MetadataMessage::parse(b"d8:msg_typei3e5:piecei0ee");
        assert_eq!(unknown, Ok(None));
    }

    #[test]
    fn a_message_with_too_many_values_is_refused() {
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
    fn each_kind_of_bad_message_has_its_own_error() {
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
    fn pieces_may_arrive_in_any_order_and_few_are_requested_at_a_time() {
        let metadata: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        let mut assembly = MetadataAssembly::new(100_000).unwrap();
        let mut requested: Vec<u32> = std::iter::from_fn(|| assembly.next_request()).collect();
        assert_eq!(requested, [0, 1, 2, 3]);
        let mut whole = None;
        while let Some(piece) = requested.pop() {
            let bytes = metadata_piece(&metadata, piece).unwrap();
            whole = assembly.add(piece, bytes).unwrap();
            requested.extend(assembly.next_request());
        }
        assert!(whole.unwrap() == metadata);
        assert_eq!(metadata_piece(&metadata, 7), None);
    }

    #[test]
    fn pieces_that_were_not_requested_or_have_a_wrong_length_are_refused() {
        for size in [0, MAX_METAINFO as u32 + 1, u32::MAX] {
            assert_eq!(
                MetadataAssembly::new(size).err(),
                Some(MetadataError::Size(size))
            );
        }
        assert_eq!(
            MetadataAssembly::new(MAX_METAINFO as u32).unwrap().count(),
            1_024
        );
        let mut assembly = MetadataAssembly::new(METADATA_PIECE_LENGTH as u32 + 1).unwrap();
        let not_requested = |piece| Err(MetadataError::NotRequested(piece));
        assert_eq!(assembly.add(0, &[]), not_requested(0));
        assert_eq!(
            (assembly.next_request(), assembly.next_request()),
            (Some(0), Some(1))
        );
        assert_eq!(assembly.next_request(), None);
        assert_eq!(assembly.add(u32::MAX, &[]), not_requested(u32::MAX));
        for (piece, found, expected) in [(0, 5, METADATA_PIECE_LENGTH), (1, 2, 1), (1, 0, 1)] {
            let error = assembly.add(piece, &vec![0; found]).unwrap_err();
            let length_error = MetadataError::Length {
                piece,
                found,
                expected,
            };
            assert_eq!(error, length_error);
        }
        assert_eq!(assembly.add(1, b"x"), Ok(None));
        assert_eq!(assembly.add(1, b"x"), not_requested(1), "twice");
    }
}
