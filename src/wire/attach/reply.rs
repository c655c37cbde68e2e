//! What a running process sends to an attached client.

use super::super::words::words;
use super::version::{AttachVersion, MAX_TEXT, read_text};
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, TextLine, parse};

/// A message of the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachReply {
    /// The first message: the client is attached.
    Welcome {
        /// The version of the process.
        version: AttachVersion,
    },
    /// The first message: the client is not attached, for this reason.
    Refused {
        /// The version of the process.
        version: AttachVersion,
        /// The reason.
        reason: TextLine,
    },
    /// Bytes for the client's standard output.
    Output(Vec<u8>),
    /// Bytes for the client's standard error.
    Error(Vec<u8>),
    /// A question to the user. The client sends an answer.
    Ask {
        /// The question.
        question: String,
        /// Whether the answer is not shown while it is typed.
        hidden: bool,
    },
    /// The line is carried out. The first such message: the client may send its first line.
    Done {
        /// Whether it succeeded.
        succeeded: bool,
        /// What ends with it.
        ending: Ending,
    },
    /// A line to show above the prompt.
    Notice(String),
    /// Names that can complete a line. More messages follow while `more` is set.
    Names {
        /// The next names.
        names: Vec<String>,
        /// Whether other names follow.
        more: bool,
    },
    /// The process ends in an orderly way.
    End,
}

/// What ends with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing: the client may send another line.
    Nothing,
    /// The attachment.
    Attachment,
    /// The process.
    Process,
}

words!(Ending { Nothing => "nothing", Attachment => "attachment", Process => "process" });

impl AttachReply {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Welcome { version } => entries.extend(version_entries(version)),
            Self::Refused { version, reason } => {
                entries.extend(version_entries(version));
                entries.push(("reason", reason.as_str().into()));
            }
            Self::Output(bytes) | Self::Error(bytes) => {
                entries.push(("bytes", bytes.as_slice().into()));
            }
            Self::Ask { question, hidden } => {
                entries.push(("question", question.as_str().into()));
                entries.push(("hidden", u32::from(*hidden).into()));
            }
            Self::Done { succeeded, ending } => {
                entries.push(("succeeded", u32::from(*succeeded).into()));
                entries.push(("ending", ending.as_str().into()));
            }
            Self::Notice(text) => entries.push(("text", text.as_str().into())),
            Self::Names { names, more } => {
                let names = names.iter().map(|name| name.as_str().into());
                entries.push(("names", Item::List(names.collect())));
                entries.push(("more", u32::from(*more).into()));
            }
            Self::End => {}
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        let message = match fields.text("type")? {
            "welcome" => Self::Welcome {
                version: AttachVersion::read(&mut fields)?,
            },
            "refused" => Self::Refused {
                version: AttachVersion::read(&mut fields)?,
                reason: fields.line("reason")?,
            },
            "output" => Self::Output(fields.bytes("bytes", MAX_TEXT)?),
            "error" => Self::Error(fields.bytes("bytes", MAX_TEXT)?),
            "ask" => Self::Ask {
                question: read_text(&mut fields, "question")?,
                hidden: fields.flag("hidden")?,
            },
            "done" => Self::Done {
                succeeded: fields.flag("succeeded")?,
                ending: fields.keyword("ending", Ending::parse)?,
            },
            "notice" => Self::Notice(read_text(&mut fields, "text")?),
            "names" => Self::Names {
                names: fields.list("names", read_name)?,
                more: fields.flag("more")?,
            },
            "end" => Self::End,
            other => return Err(ControlError::unknown(other)),
        };
        fields.check_all_read(message.kind())?;
        Ok(message)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Refused { .. } => "refused",
            Self::Output(_) => "output",
            Self::Error(_) => "error",
            Self::Ask { .. } => "ask",
            Self::Done { .. } => "done",
            Self::Notice(_) => "notice",
            Self::Names { .. } => "names",
            Self::End => "end",
        }
    }
}

fn version_entries(version: &AttachVersion) -> [(&'static str, Item<'_>); 2] {
    [
        ("protocol", version.protocol.into()),
        ("version", version.program.as_str().into()),
    ]
}

fn read_name(value: &Value<'_>) -> Result<String, ControlError> {
    let name = value.text().map(str::to_owned);
    name.ok_or(ControlError::WrongValue("names"))
}
