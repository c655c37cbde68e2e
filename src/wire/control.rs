//! Messages of the control line between a peer and its tracker: a closed run's.
//!
//! In scope: the messages and their exact encoding. Each is the body of one frame (see `frame`, capped at
//! [`MAX_FRAME`]): one bencoded dictionary in canonical form, its kind under `type`, with exactly the keys of that kind.
//! A [`Request`] carries a number of the peer's choosing which its [`Answer`] repeats; [`Notice::Release`] and
//! [`Notice::End`] come unasked at any time. Info dictionaries travel in parts (see [`InfoPart`]), lists in pages of at
//! most [`MAX_PAGE`] entries.
//!
//! Out of scope: in which order the messages make sense (see `tracker::ClosedRun`), sockets and time.

mod error;
mod fields;
mod limits;
mod line;
mod parts;
#[cfg(test)]
mod tests;

pub use error::ControlError;
pub use limits::{MAX_FRAME, MAX_PAGE};
pub use line::Line;
pub use parts::{InfoPart, InfoParts, MAX_PART, PartError};

use super::compact::compact;
use super::words::words;
use crate::bencode::Item;
use crate::torrent::{FileName, InfoHash};
pub(super) use fields::{Fields, address as read_address, large, line as read_line, parse, parsed};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};

/// The number of a client in a closed run, from 1.
pub type ClientNumber = NonZeroU32;

/// What a peer asks of its tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number that the answer repeats.
    pub id: u32,
    /// What is asked.
    pub ask: Ask,
}

/// The kinds of a [`Request`]. Each is answered by [`Answer::Ok`] unless it says otherwise, or by [`Answer::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The first message on a line: who this is.
    Hello {
        /// Its number.
        client: ClientNumber,
        /// Where it listens for other peers, at the address the line comes from.
        port: NonZeroU16,
    },
    /// Files it owns, as parts of their info dictionaries, which hold their names; a file's parts follow one another.
    Own {
        /// The next parts.
        parts: Vec<InfoPart>,
    },
    /// Files it wants.
    Want {
        /// The next names.
        names: Vec<FileName>,
    },
    /// It has said all it owns and wants, and waits for the release.
    Reported,
    /// A part of the info dictionary of the file of that name; answered by [`Answer::Info`].
    Lookup {
        /// The file.
        name: FileName,
        /// First byte of the part.
        offset: u32,
    },
    /// Who has the file or is fetching it; answered by [`Answer::Owners`].
    Owners {
        /// The file's info-hash.
        info_hash: InfoHash,
    },
    /// A sign of life.
    Ping,
    /// A wanted file is whole and checked.
    Complete {
        /// The file.
        name: FileName,
    },
    /// A wanted file cannot be had.
    Failed {
        /// The file.
        name: FileName,
        /// Why.
        reason: Line,
    },
    /// Every wanted file is complete or failed.
    Finished,
}

/// What a tracker tells a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The answer to one request.
    Answer {
        /// The number of the request.
        id: u32,
        /// The answer.
        answer: Answer,
    },
    /// Everyone has reported: fetching may begin.
    Release,
    /// The run is over: stop sharing and leave.
    End {
        /// What went wrong, a line each; none when every client has finished with all it wanted.
        failures: Vec<Line>,
    },
}

/// Answers to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken note of.
    Ok,
    /// A part of an info dictionary.
    Info {
        /// The part.
        part: InfoPart,
    },
    /// Who has a file.
    Owners {
        /// Where the others listen that live and have it, whole or in part.
        addresses: Vec<SocketAddr>,
        /// How many of them have it whole.
        whole: u32,
    },
    /// It cannot be done.
    Error {
        /// What kind of error.
        kind: ErrorKind,
        /// The error for a person.
        message: Line,
    },
}

/// The closed list of errors in an [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A client of that number has been here already.
    NumberTaken,
    /// All clients the run is for have come.
    RunFull,
    /// The clients have been released; nothing more is reported.
    RunStarted,
    /// No living client has the file.
    NoOwner,
    /// The tracker holds no closed run.
    NoRun,
    /// The request makes no sense at this point.
    OutOfOrder,
    /// More than the tracker keeps.
    TooMuch,
    /// An info dictionary or its parts are wrong.
    BadInfo,
}

impl Request {
    /// The body of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![
            ("id", Item::from(self.id)),
            ("type", self.ask.kind().into()),
        ];
        match &self.ask {
            Ask::Hello { client, port } => entries.extend([
                ("client", client.get().into()),
                ("port", u32::from(port.get()).into()),
            ]),
            Ask::Own { parts } => {
                let parts = parts.iter().map(|part| Item::dictionary(part.entries()));
                entries.push(("parts", Item::List(parts.collect())));
            }
            Ask::Want { names } => {
                let names = names.iter().map(|name| name.as_str().into());
                entries.push(("names", Item::List(names.collect())));
            }
            Ask::Lookup { name, offset } => {
                entries.extend([("name", name.as_str().into()), ("offset", (*offset).into())])
            }
            Ask::Owners { info_hash } => {
                entries.push(("info hash", Item::from(&info_hash.0[..])));
            }
            Ask::Complete { name } => entries.push(("name", name.as_str().into())),
            Ask::Failed { name, reason } => entries.extend([
                ("name", name.as_str().into()),
                ("reason", reason.as_str().into()),
            ]),
            Ask::Reported | Ask::Ping | Ask::Finished => {}
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame that came from a peer.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        let mut fields = Fields::new(&value)?;
        let (kind, id) = (fields.text("type")?, fields.number("id")?);
        let ask = match kind {
            "hello" => Ask::Hello {
                client: fields.number("client")?,
                port: fields.port("port")?,
            },
            "own" => Ask::Own {
                parts: fields.list("parts", |item| {
                    let mut part = Fields::new(item)?;
                    let found = part.info_part()?;
                    part.end("own")?;
                    Ok(found)
                })?,
            },
            "want" => Ask::Want {
                names: fields.list("names", |item| {
                    let name = item.text().ok_or(ControlError::WrongValue("names"))?;
                    Ok(FileName::new(name)?)
                })?,
            },
            "reported" => Ask::Reported,
            "lookup" => Ask::Lookup {
                name: fields.name("name")?,
                offset: fields.number("offset")?,
            },
            "owners" => Ask::Owners {
                info_hash: fields.info_hash("info hash")?,
            },
            "ping" => Ask::Ping,
            "complete" => Ask::Complete {
                name: fields.name("name")?,
            },
            "failed" => Ask::Failed {
                name: fields.name("name")?,
                reason: fields.line("reason")?,
            },
            "finished" => Ask::Finished,
            other => return Err(ControlError::unknown(other)),
        };
        fields.end(ask.kind())?;
        Ok(Self { id, ask })
    }
}

impl Ask {
    /// The name of its kind on the wire.
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

impl Notice {
    /// The body of its frame.
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
                    Answer::Ok => {}
                    Answer::Info { part } => entries.extend(part.entries()),
                    Answer::Owners { addresses, whole } => {
                        let addresses = addresses.iter().map(|address| compact(*address));
                        let addresses = addresses.map(Item::from).collect();
                        entries.push(("addresses", Item::List(addresses)));
                        entries.push(("whole", (*whole).into()));
                    }
                    Answer::Error { kind, message } => entries.extend([
                        ("kind", kind.as_str().into()),
                        ("message", message.as_str().into()),
                    ]),
                }
            }
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame that came from a tracker.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        let mut fields = Fields::new(&value)?;
        let kind = fields.text("type")?;
        let mut answer = |answer: fn(&mut Fields<'_>) -> Result<Answer, ControlError>| {
            let id = fields.number("id")?;
            let answer = answer(&mut fields)?;
            Ok::<_, ControlError>(Self::Answer { id, answer })
        };
        let notice = match kind {
            "ok" => answer(|_| Ok(Answer::Ok))?,
            "info" => answer(|fields| {
                let part = fields.info_part()?;
                Ok(Answer::Info { part })
            })?,
            "owners" => answer(|fields| {
                Ok(Answer::Owners {
                    addresses: fields.list("addresses", fields::address)?,
                    whole: fields.number("whole")?,
                })
            })?,
            "error" => answer(|fields| {
                Ok(Answer::Error {
                    kind: fields.word("kind", ErrorKind::parse)?,
                    message: fields.line("message")?,
                })
            })?,
            "release" => Self::Release,
            "end" => Self::End {
                failures: fields.list("failures", |item| fields::line(item, "failures"))?,
            },
            other => return Err(ControlError::unknown(other)),
        };
        fields.end(notice.kind())?;
        Ok(notice)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::End { .. } => "end",
            Self::Answer { answer, .. } => match answer {
                Answer::Ok => "ok",
                Answer::Info { .. } => "info",
                Answer::Owners { .. } => "owners",
                Answer::Error { .. } => "error",
            },
        }
    }
}

words!(ErrorKind {
    NumberTaken => "number-taken",
    RunFull => "run-full",
    RunStarted => "run-started",
    NoOwner => "no-owner",
    NoRun => "no-run",
    OutOfOrder => "out-of-order",
    TooMuch => "too-much",
    BadInfo => "bad-info",
});
