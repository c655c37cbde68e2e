//! The version of attached messages, and their limits.

use crate::wire::control::{ControlError, MessageFields, parse};

/// The most bytes of the body of a frame.
pub const MAX_ATTACH_FRAME: u32 = 256 << 10;
/// The most bytes of text in one message: of a line, an answer or a part of the output.
pub const MAX_TEXT: usize = 64 << 10;
/// The most bytes of a path of the caller.
pub(super) const MAX_PATH: usize = 16 << 10;
/// The version of these messages.
pub const ATTACH_PROTOCOL: u32 = 1;

/// The version of the sender of a first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachVersion {
    /// The version of the messages.
    pub protocol: u32,
    /// The version of the program, for people.
    pub program: String,
}

impl AttachVersion {
    /// The version of this program.
    pub fn ours() -> Self {
        Self {
            protocol: ATTACH_PROTOCOL,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The version in a first message, of this version or of any other one.
    ///
    /// # Errors
    /// The message is not a dictionary, or carries no version.
    pub fn of_first_message(body: &[u8]) -> Result<Self, ControlError> {
        let value = parse(body)?;
        Self::read(&mut MessageFields::new(&value)?)
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            protocol: fields.number("protocol")?,
            program: fields.line("version")?.as_str().to_owned(),
        })
    }
}

/// A text of at most [`MAX_TEXT`] bytes.
pub(super) fn read_text(
    fields: &mut MessageFields<'_>,
    key: &'static str,
) -> Result<String, ControlError> {
    let text = fields.text(key)?;
    match text.len() <= MAX_TEXT {
        true => Ok(text.to_owned()),
        false => Err(ControlError::WrongValue(key)),
    }
}
