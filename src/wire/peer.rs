//! The messages on a link: BEP 3 "peer messages", BEP 6 (fast extension) and BEP 10 (extension
//! protocol).
//!
//! In scope: encoding and decoding, with an exact length check for each message id. Messages with
//! an unknown id are skipped. For a `piece` message, [`decode`] returns only the header, so that
//! the block can be read from the socket directly into its buffer. Out of scope: whether an index
//! exists in the share (see `torrent::Lengths`).

use crate::torrent::{BlockRange, MAX_BLOCK};

/// The largest length prefix that is accepted. A longer message ends the link.
pub const MAX_MESSAGE_LENGTH: u32 = 1 << 20;
/// The largest `extended` message that is read, in bytes.
pub const MAX_EXTENDED: u32 = 64 << 10;
/// Bytes of a `piece` message before its block: length prefix, id, index, begin.
pub const PIECE_HEADER_LENGTH: usize = 13;

/// The message ids.
mod id {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
}

/// A block as named in a message. It is not checked against a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UncheckedBlock {
    /// The number of the piece.
    pub index: u32,
    /// Position of the first byte in the piece.
    pub begin: u32,
    /// Length of the block in bytes.
    pub length: u32,
}

impl From<BlockRange> for UncheckedBlock {
    fn from(block: BlockRange) -> Self {
        Self {
            index: block.piece().number(),
            begin: block.begin(),
            length: block.length(),
        }
    }
}

/// A message. It borrows its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMessage<'a> {
    /// Length prefix 0: keeps the link alive.
    KeepAlive,
    /// The sender will not serve requests.
    Choke,
    /// The sender will serve requests.
    Unchoke,
    /// The sender wants pieces that the receiver has.
    Interested,
    /// The sender wants no piece that the receiver has.
    NotInterested,
    /// The sender now has this piece.
    Have(u32),
    /// The pieces that the sender has. BEP 3 allows it only as the first message.
    Bitfield(&'a [u8]),
    /// Requests a block.
    Request(UncheckedBlock),
    /// Sends a block.
    Piece {
        /// The number of the piece.
        index: u32,
        /// Position of the first byte in the piece.
        begin: u32,
        /// The bytes of the block.
        block: &'a [u8],
    },
    /// Cancels a request.
    Cancel(UncheckedBlock),
    /// BEP 5: the DHT port of the sender. It is ignored.
    Port(u16),
    /// BEP 6: the sender suggests to download this piece.
    Suggest(u32),
    /// BEP 6: the sender has every piece.
    HaveAll,
    /// BEP 6: the sender has no piece.
    HaveNone,
    /// BEP 6: the sender will not serve this request.
    Reject(UncheckedBlock),
    /// BEP 6: the receiver may request this piece even while it is choked.
    AllowedFast(u32),
    /// BEP 10: a message of an extension. Id 0 is the extension handshake.
    Extended {
        /// The id that the receiver chose for the extension in its handshake.
        id: u8,
        /// The payload of the extension.
        payload: &'a [u8],
    },
}

/// What [`decode`] found at the front of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// The message is incomplete. The next call needs at least this number of bytes, counted from
    /// the start of the message.
    Incomplete(usize),
    /// A message, and its length in bytes.
    Message(PeerMessage<'a>, usize),
    /// The header of a `piece` message, of [`PIECE_HEADER_LENGTH`] bytes. The block follows it.
    PieceHeader(UncheckedBlock),
    /// A message with an unknown id. The caller skips this number of bytes.
    Unknown(usize),
}

/// Why a message is not valid. Each error ends the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The length prefix does not fit the message id.
    #[error("message {id} has length {length}")]
    Length {
        /// The message id.
        id: u8,
        /// The length prefix.
        length: u32,
    },
    /// The length prefix is larger than [`MAX_MESSAGE_LENGTH`].
    #[error("a message of {0} bytes is too long")]
    TooLong(u32),
}

/// Decodes the message at the front of `bytes`. A bitfield may have at most `max_bitfield` bytes
/// (see `PieceSet::bytes_for`). The caller checks its exact length.
///
/// # Errors
/// See [`MessageError`]. The link cannot be used after an error.
pub fn decode(bytes: &[u8], max_bitfield: usize) -> Result<Decoded<'_>, MessageError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(Decoded::Incomplete(4));
    };
    let length = u32::from_be_bytes(*prefix);
    if length == 0 {
        return Ok(Decoded::Message(PeerMessage::KeepAlive, 4));
    }
    if length > MAX_MESSAGE_LENGTH {
        return Err(MessageError::TooLong(length));
    }
    let Some(id) = rest.first().copied() else {
        return Ok(Decoded::Incomplete(5));
    };
    let body_length = length - 1;
    let fits = match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED => body_length == 0,
        id::HAVE_ALL | id::HAVE_NONE => body_length == 0,
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => body_length == 4,
        id::BITFIELD => body_length as usize <= max_bitfield,
        id::REQUEST | id::CANCEL | id::REJECT => body_length == 12,
        id::PIECE => body_length > 8 && body_length - 8 <= MAX_BLOCK,
        id::PORT => body_length == 2,
        id::EXTENDED => (1..MAX_EXTENDED).contains(&body_length),
        _ => return Ok(Decoded::Unknown(4 + length as usize)),
    };
    if !fits {
        return Err(MessageError::Length { id, length });
    }
    let needed = if id == id::PIECE {
        PIECE_HEADER_LENGTH
    } else {
        4 + length as usize
    };
    let Some(body) = bytes.get(5..needed) else {
        return Ok(Decoded::Incomplete(needed));
    };
    let message = match (id, body) {
        (id::CHOKE, _) => PeerMessage::Choke,
        (id::UNCHOKE, _) => PeerMessage::Unchoke,
        (id::INTERESTED, _) => PeerMessage::Interested,
        (id::NOT_INTERESTED, _) => PeerMessage::NotInterested,
        (id::HAVE, _) => PeerMessage::Have(number(body, 0)),
        (id::BITFIELD, _) => PeerMessage::Bitfield(body),
        (id::REQUEST, _) => PeerMessage::Request(unchecked_block(body)),
        (id::PIECE, _) => {
            let (index, begin) = (number(body, 0), number(body, 1));
            return Ok(Decoded::PieceHeader(UncheckedBlock {
                index,
                begin,
                length: body_length - 8,
            }));
        }
        (id::CANCEL, _) => PeerMessage::Cancel(unchecked_block(body)),
        (id::PORT, &[high, low]) => PeerMessage::Port(u16::from_be_bytes([high, low])),
        (id::SUGGEST, _) => PeerMessage::Suggest(number(body, 0)),
        (id::HAVE_ALL, _) => PeerMessage::HaveAll,
        (id::HAVE_NONE, _) => PeerMessage::HaveNone,
        (id::REJECT, _) => PeerMessage::Reject(unchecked_block(body)),
        (id::ALLOWED_FAST, _) => PeerMessage::AllowedFast(number(body, 0)),
        (id::EXTENDED, [id, payload @ ..]) => PeerMessage::Extended { id: *id, payload },
        _ => return Err(MessageError::Length { id, length }),
    };
    Ok(Decoded::Message(message, needed))
}

/// The `at`-th 32-bit number of a body. The length of the body was checked before.
fn number(body: &[u8], at: usize) -> u32 {
    let (numbers, _) = body.as_chunks::<4>();
    numbers
        .get(at)
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn unchecked_block(body: &[u8]) -> UncheckedBlock {
    UncheckedBlock {
        index: number(body, 0),
        begin: number(body, 1),
        length: number(body, 2),
    }
}

impl PeerMessage<'_> {
    /// Appends the bytes of the message to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match *self {
            Self::KeepAlive => out.extend_from_slice(&[0; 4]),
            Self::Choke => put(out, id::CHOKE, &[], &[]),
            Self::Unchoke => put(out, id::UNCHOKE, &[], &[]),
            Self::Interested => put(out, id::INTERESTED, &[], &[]),
            Self::NotInterested => put(out, id::NOT_INTERESTED, &[], &[]),
            Self::Have(index) => put(out, id::HAVE, &[index], &[]),
            Self::Bitfield(bits) => put(out, id::BITFIELD, &[], bits),
            Self::Request(ask) => put(out, id::REQUEST, &[ask.index, ask.begin, ask.length], &[]),
            Self::Piece {
                index,
                begin,
                block,
            } => put(out, id::PIECE, &[index, begin], block),
            Self::Cancel(ask) => put(out, id::CANCEL, &[ask.index, ask.begin, ask.length], &[]),
            Self::Port(port) => put(out, id::PORT, &[], &port.to_be_bytes()),
            Self::Suggest(index) => put(out, id::SUGGEST, &[index], &[]),
            Self::HaveAll => put(out, id::HAVE_ALL, &[], &[]),
            Self::HaveNone => put(out, id::HAVE_NONE, &[], &[]),
            Self::Reject(ask) => put(out, id::REJECT, &[ask.index, ask.begin, ask.length], &[]),
            Self::AllowedFast(index) => put(out, id::ALLOWED_FAST, &[index], &[]),
            Self::Extended { id, payload } => {
                out.extend_from_slice(&(2 + payload.len() as u32).to_be_bytes());
                out.extend_from_slice(&[id::EXTENDED, id]);
                out.extend_from_slice(payload);
            }
        }
    }
}

/// The header of a `piece` message. The block is sent after it.
pub fn piece_header(ask: UncheckedBlock) -> [u8; PIECE_HEADER_LENGTH] {
    let mut header = [0; PIECE_HEADER_LENGTH];
    header[4] = id::PIECE;
    let numbers = [(0, 9 + ask.length), (5, ask.index), (9, ask.begin)];
    for (at, number) in numbers {
        header[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    header
}

fn put(out: &mut Vec<u8>, id: u8, numbers: &[u32], bytes: &[u8]) {
    let length = 1 + 4 * numbers.len() + bytes.len();
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.push(id);
    numbers
        .iter()
        .for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    out.extend_from_slice(bytes);
}

/// The fuzz function of the decoder. A stream may be cut anywhere: with fewer bytes, a message is
/// incomplete, and its beginning never decodes as something else.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(mut bytes: &[u8]) {
    const MAX_BITFIELD: usize = 32;
    while let Ok(decoded) = decode(bytes, MAX_BITFIELD) {
        let taken = match decoded {
            Decoded::Incomplete(needed) => {
                assert!(needed > bytes.len());
                return;
            }
            Decoded::Message(message, length) => {
                let mut encoded = Vec::new();
                message.encode_into(&mut encoded);
                assert_eq!(Some(&*encoded), bytes.get(..length));
                length
            }
            Decoded::PieceHeader(block) => {
                assert_eq!(
                    Some(&piece_header(block)[..]),
                    bytes.get(..PIECE_HEADER_LENGTH)
                );
                PIECE_HEADER_LENGTH + block.length as usize
            }
            Decoded::Unknown(length) => length,
        };
        let header = matches!(decoded, Decoded::PieceHeader(_) | Decoded::Unknown(_));
        let needed = if header { 5 } else { taken };
        for cut in (0..needed.min(64)).chain([needed.saturating_sub(1)]) {
            match decode(bytes.get(..cut).unwrap_or_default(), MAX_BITFIELD) {
                Ok(Decoded::Incomplete(needed)) => assert!(needed > cut && needed <= taken),
                other => panic!("{cut} bytes decode as {other:?}, all as {decoded:?}"),
            }
        }
        bytes = bytes.get(taken..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASK: UncheckedBlock = UncheckedBlock {
        index: 1,
        begin: 0x4000,
        length: 2,
    };

    /// Each kind of message, and its bytes.
    const TABLE: &[(PeerMessage<'static>, &[u8])] = &[
        (PeerMessage::KeepAlive, &[0, 0, 0, 0]),
        (PeerMessage::Choke, &[0, 0, 0, 1, 0]),
        (PeerMessage::Unchoke, &[0, 0, 0, 1, 1]),
        (PeerMessage::Interested, &[0, 0, 0, 1, 2]),
        (PeerMessage::NotInterested, &[0, 0, 0, 1, 3]),
        (PeerMessage::Have(0x01020304), &[0, 0, 0, 5, 4, 1, 2, 3, 4]),
        (PeerMessage::Bitfield(&[]), &[0, 0, 0, 1, 5]),
        (PeerMessage::Bitfield(&[0xf0, 1]), &[0, 0, 0, 3, 5, 0xf0, 1]),
        (
            PeerMessage::Request(ASK),
            &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2],
        ),
        (
            PeerMessage::Piece {
                index: 1,
                begin: 0x4000,
                block: &[8, 9],
            },
            &[0, 0, 0, 11, 7, 0, 0, 0, 1, 0, 0, 0x40, 0, 8, 9],
        ),
        (
            PeerMessage::Cancel(ASK),
            &[0, 0, 0, 13, 8, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2],
        ),
        (PeerMessage::Port(6881), &[0, 0, 0, 3, 9, 0x1a, 0xe1]),
        (PeerMessage::Suggest(7), &[0, 0, 0, 5, 13, 0, 0, 0, 7]),
        (PeerMessage::HaveAll, &[0, 0, 0, 1, 14]),
        (PeerMessage::HaveNone, &[0, 0, 0, 1, 15]),
        (
            PeerMessage::Reject(ASK),
            &[0, 0, 0, 13, 16, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2],
        ),
        (PeerMessage::AllowedFast(7), &[0, 0, 0, 5, 17, 0, 0, 0, 7]),
        (
            PeerMessage::Extended {
                id: 0,
                payload: b"de",
            },
            &[0, 0, 0, 4, 20, 0, b'd', b'e'],
        ),
        (
            PeerMessage::Extended {
                id: 3,
                payload: b"",
            },
            &[0, 0, 0, 2, 20, 3],
        ),
    ];

    /// Decodes all complete messages, as a link does. Returns the remaining bytes.
    fn read_all<'a>(mut bytes: &'a [u8], out: &mut Vec<PeerMessage<'a>>) -> &'a [u8] {
        loop {
            match decode(bytes, 8).unwrap() {
                Decoded::Incomplete(needed) => {
                    assert!(needed > bytes.len());
                    return bytes;
                }
                Decoded::Message(message, taken) => {
                    out.push(message);
                    bytes = &bytes[taken..];
                }
                Decoded::PieceHeader(ask) => {
                    let end = PIECE_HEADER_LENGTH + ask.length as usize;
                    let Some(block) = bytes.get(PIECE_HEADER_LENGTH..end) else {
                        return bytes;
                    };
                    out.push(PeerMessage::Piece {
                        index: ask.index,
                        begin: ask.begin,
                        block,
                    });
                    bytes = &bytes[end..];
                }
                Decoded::Unknown(taken) => bytes = &bytes[taken..],
            }
        }
    }

    #[test]
    fn each_message_is_encoded_and_decoded_again() {
        for (message, bytes) in TABLE {
            let mut encoded = Vec::new();
            message.encode_into(&mut encoded);
            assert_eq!(encoded, *bytes, "{message:?}");
            let mut read = Vec::new();
            assert!(read_all(bytes, &mut read).is_empty());
            assert_eq!(read, [*message]);
        }
        assert_eq!(
            piece_header(ASK)[..],
            [0, 0, 0, 11, 7, 0, 0, 0, 1, 0, 0, 0x40, 0]
        );
    }

    #[test]
    fn messages_of_a_wrong_length_are_errors() {
        let table: &[(&[u8], MessageError)] = &[
            (&[0xff, 0xff, 0xff, 0xff], MessageError::TooLong(u32::MAX)),
            (&[0x80, 0, 0, 0, 5], MessageError::TooLong(1 << 31)),
            (
                &[0, 0x10, 0, 1, 7],
                MessageError::TooLong(MAX_MESSAGE_LENGTH + 1),
            ),
            (
                &[0, 0, 0, 2, 0, 0],
                MessageError::Length { id: 0, length: 2 },
            ),
            (&[0, 0, 0, 2, 3], MessageError::Length { id: 3, length: 2 }),
            (&[0, 0, 0, 4, 4], MessageError::Length { id: 4, length: 4 }),
            (&[0, 0, 0, 6, 4], MessageError::Length { id: 4, length: 6 }),
            (
                &[0, 0, 0, 10, 5],
                MessageError::Length { id: 5, length: 10 },
            ),
            (
                &[0, 0, 0, 12, 6],
                MessageError::Length { id: 6, length: 12 },
            ),
            (&[0, 0, 0, 1, 7], MessageError::Length { id: 7, length: 1 }),
            (&[0, 0, 0, 9, 7], MessageError::Length { id: 7, length: 9 }),
            (
                &[0, 2, 0, 10, 7],
                MessageError::Length {
                    id: 7,
                    length: (128 << 10) + 10,
                },
            ),
            (
                &[0, 0, 0, 14, 8],
                MessageError::Length { id: 8, length: 14 },
            ),
            (&[0, 0, 0, 1, 9], MessageError::Length { id: 9, length: 1 }),
            (
                &[0, 0, 0, 1, 13],
                MessageError::Length { id: 13, length: 1 },
            ),
            (
                &[0, 0, 0, 5, 14],
                MessageError::Length { id: 14, length: 5 },
            ),
            (
                &[0, 0, 0, 2, 15],
                MessageError::Length { id: 15, length: 2 },
            ),
            (
                &[0, 0, 0, 1, 16],
                MessageError::Length { id: 16, length: 1 },
            ),
            (
                &[0, 0, 0, 6, 17],
                MessageError::Length { id: 17, length: 6 },
            ),
            (
                &[0, 0, 0, 1, 20],
                MessageError::Length { id: 20, length: 1 },
            ),
            (
                &[0, 1, 0, 1, 20],
                MessageError::Length {
                    id: 20,
                    length: 0x10001,
                },
            ),
        ];
        for (bytes, error) in table {
            assert_eq!(decode(bytes, 8).as_ref(), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn messages_with_unknown_ids_are_skipped() {
        let bytes = [0, 0, 0, 3, 99, 1, 2, 0, 0, 0, 1, 1];
        let mut read = Vec::new();
        assert!(read_all(&bytes, &mut read).is_empty());
        assert_eq!(read, [PeerMessage::Unchoke]);
    }

    proptest! {
        #[test]
        fn messages_are_decoded_wherever_the_bytes_are_cut(
            order in prop::collection::vec(0..TABLE.len(), 1..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let expected: Vec<PeerMessage<'_>> = order.iter().map(|at| TABLE[*at].0).collect();
            let bytes: Vec<u8> = order.iter().flat_map(|at| TABLE[*at].1).copied().collect();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            ends.extend([0, bytes.len()]);
            ends.sort_unstable();
            let mut start = 0;
            let mut read = Vec::new();
            for end in ends {
                let before = bytes[start..end].len();
                let remaining = read_all(&bytes[start..end], &mut read).len();
                start += before - remaining;
            }
            prop_assert_eq!(start, bytes.len());
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_cut_message_is_incomplete(at in 0..TABLE.len(), cut in any::<prop::sample::Index>()) {
            let bytes = TABLE[at].1;
            let mut read = Vec::new();
            let part = &bytes[..cut.index(bytes.len())];
            prop_assert_eq!(read_all(part, &mut read), part);
            prop_assert!(read.is_empty());
        }

        #[test]
        fn decoding_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes, 8);
        }
    }
}
