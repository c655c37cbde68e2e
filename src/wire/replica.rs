//! Messages of the line between two trackers of a cluster.
//!
//! In scope: the messages and their exact encoding. Each is the body of one frame (see `frame`, capped at
//! [`MAX_FRAME`]): one bencoded dictionary in canonical form, its kind under `type`, with exactly
//! the keys of that kind. Both ends speak the same messages; the first one each sends is [`Message::Hello`].
//!
//! Version vectors and changes are carried as they are, as [`Encoded`] strings of bytes: whoever keeps a registry reads
//! them. Blobs travel in parts (see [`InfoPart`]).
//!
//! Out of scope: in which order the messages make sense and what follows from them (see `tracker::replication`), TLS,
//! sockets and time.

#[cfg(test)]
mod tests;

use super::control::{self, ControlError, Fields, InfoPart, MAX_FRAME, PartError};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use std::fmt;
use std::num::NonZeroU32;

/// The version of these messages and of their meaning. Trackers of different versions do not replicate.
pub const PROTOCOL: u32 = 1;
/// The most bytes of an [`Encoded`]: it fits into a frame with all that stands around it.
pub const MAX_ENCODED: usize = MAX_FRAME as usize - 1024;

/// The most bytes of a blob in one message: other messages wait for it on a slow line.
pub const BLOB_PART: usize = 128 << 10;

/// The number of a tracker: its place among the addresses of `TRACKER_INFO`, from 1.
pub type TrackerNumber = NonZeroU32;

/// What one tracker tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first message of each end: who this is and what it knows.
    Hello {
        /// The version of the protocol it speaks.
        protocol: u32,
        /// Its number.
        number: TrackerNumber,
        /// Its origin, 128 random bits.
        origin: [u8; 16],
        /// Its version vector, durable.
        versions: Encoded,
        /// Whether it serves clients.
        serving: bool,
    },
    /// A sign of life, with what the sender knows by now; answered by [`Message::Pong`].
    Ping {
        /// Its wall clock, in milliseconds since 1970.
        clock: u64,
        /// Its version vector, durable.
        versions: Encoded,
        /// Whether it serves clients.
        serving: bool,
    },
    /// The answer to a ping.
    Pong {
        /// The clock of that ping.
        echo: u64,
        /// The wall clock of who answers, in milliseconds since 1970.
        clock: u64,
    },
    /// Asks for the next batch of what the sender lacks; answered by [`Message::Changes`].
    Pull {
        /// A number which the answer repeats.
        id: u32,
        /// The version vector of all it has, kept or on its way to be.
        known: Encoded,
    },
    /// One batch of what was asked for.
    Changes {
        /// The number of the pull.
        id: u32,
        /// The change; none if nothing is lacking.
        change: Option<Encoded>,
        /// Whether more is lacking after it.
        more: bool,
    },
    /// A write that the sender has just made durable; answered by [`Message::Pushed`] when it is durable there.
    Push {
        /// Which of its origin's writes it is.
        id: u64,
        /// The change.
        change: Encoded,
    },
    /// All writes that bear the receiver's origin are durable here up to this one.
    Pushed {
        /// The last of them.
        id: u64,
    },
    /// Asks for a part of a blob; answered by [`Message::Blob`] or [`Message::NoBlob`].
    WantBlob {
        /// Which blob.
        info_hash: InfoHash,
        /// First byte of the part.
        offset: u32,
    },
    /// A part of a blob.
    Blob {
        /// Which blob.
        info_hash: InfoHash,
        /// The part.
        part: InfoPart,
    },
    /// That blob is not here.
    NoBlob {
        /// Which blob.
        info_hash: InfoHash,
    },
}

/// A version vector or a change in its own encoding, at most [`MAX_ENCODED`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// Takes the bytes; none if there are too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_ENCODED).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Rows hold hashes of passwords: only their length is shown.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

impl Message {
    /// The answer to [`Message::WantBlob`]: the part of `blob` at `offset`, or that it is not here.
    ///
    /// # Errors
    /// `offset` lies outside the blob, or the blob is larger than blobs may be.
    pub fn blob(info_hash: InfoHash, offset: u32, blob: Option<&[u8]>) -> Result<Self, PartError> {
        Ok(match blob {
            None => Self::NoBlob { info_hash },
            Some(bytes) => Self::Blob {
                info_hash,
                part: InfoPart::of_at_most(bytes, offset, BLOB_PART)?,
            },
        })
    }

    /// The body of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Hello {
                protocol,
                number,
                origin,
                versions,
                serving,
            } => entries.extend([
                ("number", number.get().into()),
                ("origin", Item::from(&origin[..])),
                ("protocol", (*protocol).into()),
                ("serving", flag(*serving)),
                ("versions", versions.item()),
            ]),
            Self::Ping {
                clock,
                versions,
                serving,
            } => entries.extend([
                ("clock", (*clock).into()),
                ("serving", flag(*serving)),
                ("versions", versions.item()),
            ]),
            Self::Pong { echo, clock } => {
                entries.extend([("clock", (*clock).into()), ("echo", (*echo).into())])
            }
            Self::Pull { id, known } => {
                entries.extend([("id", (*id).into()), ("known", known.item())])
            }
            Self::Changes { id, change, more } => {
                entries.extend([("id", (*id).into()), ("more", flag(*more))]);
                entries.extend(change.iter().map(|change| ("change", change.item())));
            }
            Self::Push { id, change } => {
                entries.extend([("id", (*id).into()), ("change", change.item())])
            }
            Self::Pushed { id } => entries.push(("id", (*id).into())),
            Self::WantBlob { info_hash, offset } => entries.extend([
                ("info hash", Item::from(&info_hash.0[..])),
                ("offset", (*offset).into()),
            ]),
            Self::Blob { info_hash, part } => {
                entries.push(("info hash", Item::from(&info_hash.0[..])));
                entries.extend(part.entries());
            }
            Self::NoBlob { info_hash } => {
                entries.push(("info hash", Item::from(&info_hash.0[..])));
            }
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = control::parse(body)?;
        let mut fields = Fields::new(&value)?;
        let message = match fields.text("type")? {
            "hello" => Self::Hello {
                protocol: fields.number("protocol")?,
                number: fields.number("number")?,
                origin: fields.array("origin")?,
                versions: fields.with("versions", encoded)?,
                serving: fields.flag("serving")?,
            },
            "ping" => Self::Ping {
                clock: fields.large("clock")?,
                versions: fields.with("versions", encoded)?,
                serving: fields.flag("serving")?,
            },
            "pong" => Self::Pong {
                echo: fields.large("echo")?,
                clock: fields.large("clock")?,
            },
            "pull" => Self::Pull {
                id: fields.number("id")?,
                known: fields.with("known", encoded)?,
            },
            "changes" => Self::Changes {
                id: fields.number("id")?,
                change: fields.optional("change", encoded)?,
                more: fields.flag("more")?,
            },
            "push" => Self::Push {
                id: fields.large("id")?,
                change: fields.with("change", encoded)?,
            },
            "pushed" => Self::Pushed {
                id: fields.large("id")?,
            },
            "want-blob" => Self::WantBlob {
                info_hash: fields.info_hash("info hash")?,
                offset: fields.number("offset")?,
            },
            "blob" => Self::Blob {
                info_hash: fields.info_hash("info hash")?,
                part: fields.info_part()?,
            },
            "no-blob" => Self::NoBlob {
                info_hash: fields.info_hash("info hash")?,
            },
            other => return Err(ControlError::unknown(other)),
        };
        fields.end(message.kind())?;
        Ok(message)
    }

    /// The name of its kind on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Pull { .. } => "pull",
            Self::Changes { .. } => "changes",
            Self::Push { .. } => "push",
            Self::Pushed { .. } => "pushed",
            Self::WantBlob { .. } => "want-blob",
            Self::Blob { .. } => "blob",
            Self::NoBlob { .. } => "no-blob",
        }
    }
}

impl Encoded {
    fn item(&self) -> Item<'_> {
        Item::from(self.0.as_slice())
    }
}

fn flag(flag: bool) -> Item<'static> {
    Item::Integer(flag.into())
}

fn encoded(value: &Value<'_>, key: &'static str) -> Result<Encoded, ControlError> {
    let bytes = value.bytes().map(<[u8]>::to_vec);
    let encoded = bytes.and_then(Encoded::new);
    encoded.ok_or(ControlError::WrongValue(key))
}
