//! What an attached client sends.

use super::super::words::words;
use super::version::{AttachVersion, MAX_PATH, read_text};
use crate::bencode::Item;
use crate::wire::control::{ControlError, MessageFields, parse};

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachRequest {
    /// The first message: who attaches.
    Hello(Caller),
    /// A line of input to carry out.
    Line {
        /// The client counts its lines from 1.
        number: u32,
        /// Where the line comes from.
        source: LineSource,
        /// The line, without its newline.
        text: String,
    },
    /// A line that is not UTF-8.
    NotText {
        /// As for a line.
        number: u32,
    },
    /// The answer to a question.
    Answer(AttachedAnswer),
    /// The user ends the line of this number early.
    Interrupt {
        /// The number of the line.
        number: u32,
    },
    /// The client has been asked to stop: the running line ends early, and later ones are not
    /// carried out.
    Stop,
    /// Asks for names that can complete a line.
    Names {
        /// What the names are to be of, such as `group`.
        kind: String,
        /// The group that was typed before.
        group: Option<String>,
    },
}

/// The process that attaches, and what its user can see and answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its version.
    pub version: AttachVersion,
    /// Its current folder, as bytes of the system.
    pub folder: Vec<u8>,
    /// What `~/` means at its prompt. `None`: it is not expanded.
    pub home: Option<Vec<u8>>,
    /// Whether results are JSON.
    pub json: bool,
    /// Whether it has a prompt, so that it wants news and completion.
    pub prompt: bool,
    /// Whether its standard input is a terminal.
    pub input_terminal: bool,
    /// Whether its standard error is a terminal.
    pub error_terminal: bool,
    /// Whether its terminal cannot move the cursor.
    pub plain: bool,
    /// The columns of its terminal.
    pub columns: u16,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSource {
    /// Standard input.
    Input,
    /// An argument of the client.
    Argument,
}

words!(LineSource { Input => "input", Argument => "argument" });

/// What a client returns for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachedAnswer {
    /// A line.
    Line(String),
    /// A line that is not UTF-8.
    NotText,
    /// The end of input.
    End,
    /// The user interrupted the question.
    Quit,
    /// The client stops.
    Stopped,
    /// Reading failed, with a message for the user.
    Failed(String),
}

impl AttachedAnswer {
    fn kind(&self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::NotText => "not-text",
            Self::End => "end",
            Self::Quit => "quit",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Line(text) | Self::Failed(text) => Some(text),
            _ => None,
        }
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(match fields.text("answer")? {
            "line" => Self::Line(read_text(fields, "text")?),
            "not-text" => Self::NotText,
            "end" => Self::End,
            "quit" => Self::Quit,
            "stopped" => Self::Stopped,
            "failed" => Self::Failed(read_text(fields, "text")?),
            _ => return Err(ControlError::WrongValue("answer")),
        })
    }
}

impl Caller {
    fn entries(&self) -> Vec<(&'static str, Item<'_>)> {
        let flag = |value: bool| Item::from(u32::from(value));
        let mut entries = vec![
            ("protocol", self.version.protocol.into()),
            ("version", self.version.program.as_str().into()),
            ("folder", self.folder.as_slice().into()),
            ("json", flag(self.json)),
            ("prompt", flag(self.prompt)),
            ("input_terminal", flag(self.input_terminal)),
            ("error_terminal", flag(self.error_terminal)),
            ("plain", flag(self.plain)),
            ("columns", u32::from(self.columns).into()),
        ];
        let home = self.home.as_deref();
        entries.extend(home.map(|home| ("home", home.into())));
        entries
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        let home = fields.optional("home", |value, key| {
            let home = value
                .bytes()
                .filter(|home| (1..=MAX_PATH).contains(&home.len()));
            home.map(<[u8]>::to_vec)
                .ok_or(ControlError::WrongValue(key))
        })?;
        Ok(Self {
            version: AttachVersion::read(fields)?,
            folder: fields.bytes("folder", MAX_PATH)?,
            home,
            json: fields.flag("json")?,
            prompt: fields.flag("prompt")?,
            input_terminal: fields.flag("input_terminal")?,
            error_terminal: fields.flag("error_terminal")?,
            plain: fields.flag("plain")?,
            columns: fields.number("columns")?,
        })
    }
}

impl AttachRequest {
    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(self.kind()))];
        match self {
            Self::Hello(caller) => entries.extend(caller.entries()),
            Self::Line {
                number,
                source,
                text,
            } => entries.extend([
                ("number", Item::from(*number)),
                ("source", source.as_str().into()),
                ("text", text.as_str().into()),
            ]),
            Self::NotText { number } | Self::Interrupt { number } => {
                entries.push(("number", (*number).into()));
            }
            Self::Answer(answer) => {
                entries.push(("answer", answer.kind().into()));
                entries.extend(answer.text().map(|text| ("text", text.into())));
            }
            Self::Stop => {}
            Self::Names { kind, group } => {
                entries.push(("kind", kind.as_str().into()));
                entries.extend(group.as_deref().map(|group| ("group", group.into())));
            }
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
            "hello" => Self::Hello(Caller::read(&mut fields)?),
            "line" => Self::Line {
                number: fields.number("number")?,
                source: fields.keyword("source", LineSource::parse)?,
                text: read_text(&mut fields, "text")?,
            },
            "not-text" => Self::NotText {
                number: fields.number("number")?,
            },
            "answer" => Self::Answer(AttachedAnswer::read(&mut fields)?),
            "interrupt" => Self::Interrupt {
                number: fields.number("number")?,
            },
            "stop" => Self::Stop,
            "names" => Self::Names {
                kind: read_text(&mut fields, "kind")?,
                group: fields.optional("group", |value, key| {
                    let group = value.text().map(str::to_owned);
                    group.ok_or(ControlError::WrongValue(key))
                })?,
            },
            other => return Err(ControlError::unknown(other)),
        };
        fields.check_all_read(message.kind())?;
        Ok(message)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Line { .. } => "line",
            Self::NotText { .. } => "not-text",
            Self::Answer(_) => "answer",
            Self::Interrupt { .. } => "interrupt",
            Self::Stop => "stop",
            Self::Names { .. } => "names",
        }
    }
}
