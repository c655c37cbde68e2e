//! Messages of a control connection between a client of a closed run and its tracker.
//!
//! In scope: the messages and their exact encoding. Each message is the body of one frame (see
//! [`crate::wire::frame`]) of at most [`MAX_FRAME`] bytes. It is one bencoded dictionary in
//! canonical form: the key `type` names its kind, and the other keys are exactly those of that
//! kind.
//!
//! A [`RunRequestMessage`] carries a number that the client chooses, and its [`RunAnswer`] repeats
//! the number. The tracker sends [`RunNotice::Release`] and [`RunNotice::End`] at any time, without
//! a request. Info dictionaries travel in parts (see [`InfoPart`]). Lists come in pages of at most
//! [`MAX_PAGE`] entries.
//!
//! The modules [`crate::wire::access`], [`crate::wire::replica`] and [`crate::wire::operator`] use
//! the same encoding, so `MessageFields`, [`ControlError`], [`InfoPart`] and [`TextLine`] are
//! shared.
//!
//! Out of scope: the order of the messages (see `tracker::ClosedRun`), sockets and time.

mod error;
mod fields;
mod limits;
mod line;
mod parts;
/// The fuzz function of control and operator frames: each message has one encoding.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::frame::fuzz(bytes, MAX_FRAME, |body| {
        super::access::fuzz(body);
        if let Ok(message) = RunRequestMessage::decode(body) {
            assert_eq!(message.encode(), body);
        }
        if let Ok(notice) = RunNotice::decode(body) {
            assert_eq!(notice.encode(), body);
        }
        if let Ok(message) = super::operator::OperatorMessage::decode(body) {
            assert_eq!(message.encode(), body);
        }
    });
}

#[cfg(test)]
mod tests;

pub use error::{ControlError, SAME_VERSION};
pub use limits::{MAX_FRAME, MAX_PAGE};
pub use line::TextLine;
pub use parts::{InfoAssembly, InfoPart, MAX_PART, PartError};

use super::compact::compact;
use super::words::words;
use crate::bencode::Item;
use crate::torrent::{FileName, InfoHash};
pub(super) use fields::{MessageFields, parse, read_parsed, read_text_line, read_u63};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};

/// The number of a client in a closed run, from 1.
pub type ClientNumber = NonZeroU32;

/// A request of a client, and the number of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequestMessage {
    /// The number that the answer repeats.
    pub id: u32,
    /// The kind of request and its parameters.
    pub ask: RunRequest,
}

/// The requests of a client, one variant per kind. The answer is [`RunAnswer::Ok`] or
/// [`RunAnswer::Error`], unless the variant names another answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunRequest {
    /// The first message of a connection: names the client.
    Hello {
        /// The number of the client.
        client: ClientNumber,
        /// The port that the client listens on, at the address of this connection.
        port: NonZeroU16,
    },
    /// Files that the client owns: parts of their info dictionaries, which contain the names. The
    /// parts of one file are sent in order.
    Own {
        /// The next parts.
        parts: Vec<InfoPart>,
    },
    /// Files that the client wants.
    Want {
        /// The next names.
        names: Vec<FileName>,
    },
    /// The client has sent all its `Own` and `Want` requests. It waits for the release.
    Reported,
    /// Requests a part of the info dictionary of a file. The answer is [`RunAnswer::Info`].
    Lookup {
        /// The name of the file.
        name: FileName,
        /// First byte of the part.
        offset: u32,
    },
    /// Requests the addresses of the clients that have a file or download it. The answer is
    /// [`RunAnswer::Owners`].
    Owners {
        /// The info-hash of the file.
        info_hash: InfoHash,
    },
    /// Keeps the connection alive.
    Ping,
    /// A wanted file is complete and verified.
    Complete {
        /// The name of the file.
        name: FileName,
    },
    /// A wanted file cannot be downloaded.
    Failed {
        /// The name of the file.
        name: FileName,
        /// The reason, for a person.
        reason: TextLine,
    },
    /// Every wanted file is complete or failed.
    Finished,
}

/// A message of the tracker to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunNotice {
    /// The answer to one request.
    Answer {
        /// The number of the request.
        id: u32,
        /// The answer.
        answer: RunAnswer,
    },
    /// All clients have reported. Downloads may begin.
    Release,
    /// The run is over. The client stops sharing and leaves.
    End {
        /// One line per failure. Empty if every client has completed every file that it wants.
        failures: Vec<TextLine>,
    },
}

/// The answers to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAnswer {
    /// The tracker has accepted the request.
    Ok,
    /// A part of an info dictionary.
    Info {
        /// The part.
        part: InfoPart,
    },
    /// The owners of a file: the other living clients that have it or download it.
    Owners {
        /// Their listening addresses.
        addresses: Vec<SocketAddr>,
        /// The number of owners that have the whole file.
        whole: u32,
    },
    /// The tracker cannot carry out the request.
    Error {
        /// The kind of error.
        kind: RunErrorKind,
        /// The reason, for a person.
        message: TextLine,
    },
}

/// All kinds of error in a [`RunAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunErrorKind {
    /// Another client has used this number already.
    NumberTaken,
    /// All clients of the run have connected already.
    RunFull,
    /// The clients have been released. Reports are no longer accepted.
    RunStarted,
    /// No living client has the file or downloads it.
    NoOwner,
    /// The tracker serves no closed run.
    NoRun,
    /// The request is not valid at this point of the run.
    OutOfOrder,
    /// The report is larger than the tracker accepts.
    TooMuch,
    /// An info dictionary or its parts are wrong.
    BadInfo,
}

impl RunRequestMessage {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![
            ("id", Item::from(self.id)),
            ("type", self.ask.kind().into()),
        ];
        match &self.ask {
            RunRequest::Hello { client, port } => entries.extend([
                ("client", client.get().into()),
                ("port", u32::from(port.get()).into()),
            ]),
            RunRequest::Own { parts } => {
                let parts = parts.iter().map(|part| Item::dictionary(part.entries()));
                entries.push(("parts", Item::List(parts.collect())));
            }
            RunRequest::Want { names } => {
                let names = names.iter().map(|name| name.as_str().into());
                entries.push(("names", Item::List(names.collect())));
            }
            RunRequest::Lookup { name, offset } => {
                entries.extend([("name", name.as_str().into()), ("offset", (*offset).into())])
            }
            RunRequest::Owners { info_hash } => {
                entries.push(("info hash", Item::from(&info_hash.0[..])));
            }
            RunRequest::Complete { name } => entries.push(("name", name.as_str().into())),
            RunRequest::Failed { name, reason } => entries.extend([
                ("name", name.as_str().into()),
                ("reason", reason.as_str().into()),
            ]),
            RunRequest::Reported | RunRequest::Ping | RunRequest::Finished => {}
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame from a client.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let ask = match kind {
            "hello" => RunRequest::Hello {
                client: fields.number("client")?,
                port: fields.port("port")?,
            },
            "own" => RunRequest::Own {
                parts: fields.list("parts", |item| {
                    let mut part = MessageFields::new(item)?;
                    let found = part.info_part()?;
                    part.check_all_read("own")?;
                    Ok(found)
                })?,
            },
            "want" => RunRequest::Want {
                names: fields.list("names", |item| {
                    let name = item.text().ok_or(ControlError::WrongValue("names"))?;
                    Ok(FileName::new(name)?)
                })?,
            },
            "reported" => RunRequest::Reported,
            "lookup" => RunRequest::Lookup {
                name: fields.name("name")?,
                offset: fields.number("offset")?,
            },
            "owners" => RunRequest::Owners {
                info_hash: fields.info_hash("info hash")?,
            },
            "ping" => RunRequest::Ping,
            "complete" => RunRequest::Complete {
                name: fields.name("name")?,
            },
            "failed" => RunRequest::Failed {
                name: fields.name("name")?,
                reason: fields.line("reason")?,
            },
            "finished" => RunRequest::Finished,
            other => return Err(ControlError::unknown(other)),
        };
        fields.check_all_read(ask.kind())?;
        Ok(Self { id, ask })
    }
}

impl RunRequest {
    /// The name of the kind on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Own { .. } => "own",
            Self::Want { .. } => "want",
            Self::Reported => "reported",
            Self::Lookup { .. } => "lookup",
            Self::Owners { .. } => "owners",
            Self::Ping => "ping",
            Self::Complete { .. } => "complete",
            Self::Failed { .. } => "failed",
            Self::Finished => "finished",
        }
    }
}

impl RunNotice {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Release => {}
            Self::End { failures } => {
                let failures = failures.iter().map(|line| line.as_str().into());
                entries.push(("failures", Item::List(failures.collect())));
            }
            Self::Answer { id, answer } => {
                entries.push(("id", (*id).into()));
                match answer {
                    RunAnswer::Ok => {}
                    RunAnswer::Info { part } => entries.extend(part.entries()),
                    RunAnswer::Owners { addresses, whole } => {
                        let addresses = addresses.iter().map(|address| compact(*address));
                        let addresses = addresses.map(Item::from).collect();
                        entries.push(("addresses", Item::List(addresses)));
                        entries.push(("whole", (*whole).into()));
                    }
                    RunAnswer::Error { kind, message } => entries.extend([
                        ("kind", kind.as_str().into()),
                        ("message", message.as_str().into()),
                    ]),
                }
            }
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame from a tracker.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        let kind = fields.text("type")?;
        type ReadAnswer = fn(&mut MessageFields<'_>) -> Result<RunAnswer, ControlError>;
        let mut decode_answer = |read: ReadAnswer| {
            let id = fields.number("id")?;
            let answer = read(&mut fields)?;
            Ok::<_, ControlError>(Self::Answer { id, answer })
        };
        let notice = match kind {
            "ok" => decode_answer(|_| Ok(RunAnswer::Ok))?,
            "info" => decode_answer(|fields| {
                let part = fields.info_part()?;
                Ok(RunAnswer::Info { part })
            })?,
            "owners" => decode_answer(|fields| {
                Ok(RunAnswer::Owners {
                    addresses: fields.list("addresses", fields::read_address)?,
                    whole: fields.number("whole")?,
                })
            })?,
            "error" => decode_answer(|fields| {
                Ok(RunAnswer::Error {
                    kind: fields.keyword("kind", RunErrorKind::parse)?,
                    message: fields.line("message")?,
                })
            })?,
            "release" => Self::Release,
            "end" => Self::End {
                failures: fields
                    .list("failures", |item| fields::read_text_line(item, "failures"))?,
            },
            other => return Err(ControlError::unknown(other)),
        };
        fields.check_all_read(notice.kind())?;
        Ok(notice)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::End { .. } => "end",
            Self::Answer { answer, .. } => match answer {
                RunAnswer::Ok => "ok",
                RunAnswer::Info { .. } => "info",
                RunAnswer::Owners { .. } => "owners",
                RunAnswer::Error { .. } => "error",
            },
        }
    }
}

words!(RunErrorKind {
    NumberTaken => "number-taken",
    RunFull => "run-full",
    RunStarted => "run-started",
    NoOwner => "no-owner",
    NoRun => "no-run",
    OutOfOrder => "out-of-order",
    TooMuch => "too-much",
    BadInfo => "bad-info",
});
