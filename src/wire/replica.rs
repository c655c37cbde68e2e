//! Messages of a replica connection, between two trackers of a cluster.
//!
//! In scope: the messages and their exact encoding. Each message is the body of one frame (see
//! [`crate::wire::frame`]) of at most [`MAX_FRAME`] bytes. It is one bencoded dictionary in
//! canonical form: the key `type` names its kind, and the other keys are exactly those of that
//! kind. Both sides send the same kinds of messages. The first message of each side is
//! [`ReplicaMessage::Hello`].
//!
//! Version vectors and changes are carried as opaque byte strings (see [`Encoded`]), which the
//! registry reads. A blob is the info dictionary of a share, and its name is its info-hash. Blobs
//! travel in parts (see [`InfoPart`]).
//!
//! Out of scope: the order of the messages and what follows from them (see `tracker::replication`),
//! TLS, sockets and time.

/// The fuzz function of replica frames: each message has one encoding.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::frame::fuzz(bytes, MAX_FRAME, |body| {
        match ReplicaMessage::decode(body) {
            // The other fields of this message are not read.
            Ok(ReplicaMessage::OtherHello { .. }) | Err(_) => {}
            Ok(message) => assert_eq!(message.encode(), body),
        }
    });
}

#[cfg(test)]
mod tests;

use super::control::{self, ControlError, InfoPart, MAX_FRAME, MessageFields, PartError};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use std::fmt;
use std::num::NonZeroU32;

/// Version of these messages and their meaning. Trackers of different versions do not replicate.
/// The hello of every version has the keys `type`, `protocol` and `number`.
pub const PROTOCOL: u32 = 4;
/// The most bytes of an [`Encoded`], so that it fits into a frame with the other fields.
pub const MAX_ENCODED: usize = MAX_FRAME as usize - 1024;

/// The most bytes of a blob in one message. It is small because other messages wait behind it on a
/// slow connection.
pub const BLOB_PART: usize = 128 << 10;

/// The number of a tracker: its position among the addresses of `TRACKER_INFO`, from 1.
pub type TrackerNumber = NonZeroU32;

/// A message from one tracker to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaMessage {
    /// The first message of each side: names the sender and the writes that it has. It carries
    /// [`PROTOCOL`].
    Hello {
        /// The number of the sender.
        number: TrackerNumber,
        /// The origin of the sender, 128 random bits.
        origin: [u8; 16],
        /// The version vector of the sender: only durable writes.
        versions: Encoded,
        /// Whether the sender serves clients.
        serving: bool,
    },
    /// The first message of a tracker that speaks another version of the protocol. The receiver
    /// cannot read the other fields of the message.
    OtherHello {
        /// The protocol version of the sender.
        protocol: u32,
        /// The number of the sender.
        number: TrackerNumber,
    },
    /// Keeps the connection alive and reports the writes that the sender has by now. The answer is
    /// [`ReplicaMessage::Pong`].
    Ping {
        /// The wall clock of the sender, in milliseconds since 1970.
        clock: u64,
        /// The version vector of the sender: only durable writes.
        versions: Encoded,
        /// Whether the sender serves clients.
        serving: bool,
    },
    /// The answer to [`ReplicaMessage::Ping`].
    Pong {
        /// The clock from the ping.
        echo: u64,
        /// The wall clock of the sender, in milliseconds since 1970.
        clock: u64,
    },
    /// Requests the next batch of writes that the sender lacks. The answer is
    /// [`ReplicaMessage::Changes`].
    Pull {
        /// A number that the answer repeats.
        id: u32,
        /// The version vector of all writes that the sender has, durable or not.
        known: Encoded,
    },
    /// The answer to [`ReplicaMessage::Pull`]: one batch of writes.
    Changes {
        /// The number from the pull.
        id: u32,
        /// The batch. `None` if the receiver lacks nothing.
        change: Option<Encoded>,
        /// Whether the receiver still lacks writes after this batch.
        more: bool,
    },
    /// A write that the sender has just made durable. The answer is [`ReplicaMessage::Pushed`],
    /// after the receiver has made it durable too.
    Push {
        /// Position of the write in its origin's log.
        id: u64,
        /// The write.
        change: Encoded,
    },
    /// The answer to [`ReplicaMessage::Push`]. The tracker that sends this answer has made durable
    /// all writes of the receiver's origin, up to the write `id`.
    Pushed {
        /// Position of the write in the log of the receiver's origin.
        id: u64,
    },
    /// Requests a part of a blob. The answer is [`ReplicaMessage::Blob`] or
    /// [`ReplicaMessage::NoBlob`].
    WantBlob {
        /// The name of the blob.
        info_hash: InfoHash,
        /// Position of the first byte of the part.
        offset: u32,
    },
    /// The answer to [`ReplicaMessage::WantBlob`]: a part of the blob.
    Blob {
        /// The name of the blob.
        info_hash: InfoHash,
        /// The part.
        part: InfoPart,
    },
    /// The answer to [`ReplicaMessage::WantBlob`] if the sender does not have the blob.
    NoBlob {
        /// The name of the blob.
        info_hash: InfoHash,
    },
}

/// An encoded version vector or change of the registry, at most [`MAX_ENCODED`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// Returns `None` if there are more than [`MAX_ENCODED`] bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_ENCODED).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Shows only the length, because rows contain password hashes.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

impl ReplicaMessage {
    /// The answer to [`ReplicaMessage::WantBlob`]: the part of `blob` at `offset`, or
    /// [`ReplicaMessage::NoBlob`] if there is no blob.
    ///
    /// # Errors
    /// `offset` is outside the blob, or the blob is too large.
    pub fn blob(info_hash: InfoHash, offset: u32, blob: Option<&[u8]>) -> Result<Self, PartError> {
        Ok(match blob {
            None => Self::NoBlob { info_hash },
            Some(bytes) => Self::Blob {
                info_hash,
                part: InfoPart::of_at_most(bytes, offset, BLOB_PART)?,
            },
        })
    }

    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Hello {
                number,
                origin,
                versions,
                serving,
            } => entries.extend([
                ("number", number.get().into()),
                ("origin", Item::from(&origin[..])),
                ("protocol", PROTOCOL.into()),
                ("serving", flag(*serving)),
                ("versions", versions.item()),
            ]),
            Self::OtherHello { protocol, number } => entries.extend([
                ("number", number.get().into()),
                ("protocol", (*protocol).into()),
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
        let mut fields = MessageFields::new(&value)?;
        let message = match fields.text("type")? {
            "hello" => match fields.check_protocol(PROTOCOL) {
                Err(ControlError::OtherProtocol { theirs, .. }) => {
                    return Ok(Self::OtherHello {
                        protocol: theirs,
                        number: fields.number("number")?,
                    });
                }
                checked => {
                    checked?;
                    Self::read_hello(&mut fields)?
                }
            },
            "ping" => Self::Ping {
                clock: fields.u63("clock")?,
                versions: fields.read_by("versions", encoded)?,
                serving: fields.flag("serving")?,
            },
            "pong" => Self::Pong {
                echo: fields.u63("echo")?,
                clock: fields.u63("clock")?,
            },
            "pull" => Self::Pull {
                id: fields.number("id")?,
                known: fields.read_by("known", encoded)?,
            },
            "changes" => Self::Changes {
                id: fields.number("id")?,
                change: fields.optional("change", encoded)?,
                more: fields.flag("more")?,
            },
            "push" => Self::Push {
                id: fields.u63("id")?,
                change: fields.read_by("change", encoded)?,
            },
            "pushed" => Self::Pushed {
                id: fields.u63("id")?,
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
        fields.check_all_read(message.kind())?;
        Ok(message)
    }

    fn read_hello(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self::Hello {
            number: fields.number("number")?,
            origin: fields.array("origin")?,
            versions: fields.read_by("versions", encoded)?,
            serving: fields.flag("serving")?,
        })
    }

    /// The name of the kind on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } | Self::OtherHello { .. } => "hello",
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
