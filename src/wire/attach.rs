//! Messages between a running process and a command that is attached to it.
//!
//! In scope: the messages and their exact encoding, which is that of [`crate::wire::control`], each
//! in a frame of at most [`MAX_ATTACH_FRAME`] bytes. The first message of each side carries the
//! version of its sender, and other versions can read that part of it. Out of scope: sockets, and
//! what the lines mean.
//!
//! The client sends [`AttachRequest::Hello`], then lines one by one. The process answers a line
//! with any number of outputs and questions, then with [`AttachReply::Done`]. The client answers
//! each question.

mod reply;
mod request;

pub use reply::{AttachReply, Ending};
pub use request::{AttachRequest, AttachedAnswer, Caller, LineSource};

use super::control::{ControlError, MessageFields, parse};

/// The most bytes of the body of a frame.
pub const MAX_ATTACH_FRAME: u32 = 256 << 10;
/// The most bytes of text in one message: of a line, an answer or a part of the output.
pub const MAX_TEXT: usize = 64 << 10;
/// The most bytes of a path of the caller.
const MAX_PATH: usize = 16 << 10;
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

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            protocol: fields.number("protocol")?,
            program: fields.line("version")?.as_str().to_owned(),
        })
    }
}

/// A text of at most [`MAX_TEXT`] bytes.
fn read_text(fields: &mut MessageFields<'_>, key: &'static str) -> Result<String, ControlError> {
    let text = fields.text(key)?;
    match text.len() <= MAX_TEXT {
        true => Ok(text.to_owned()),
        false => Err(ControlError::WrongValue(key)),
    }
}

/// The fuzz function of attached frames: each message has one encoding.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::frame::fuzz(bytes, MAX_ATTACH_FRAME, |body| {
        let version = AttachVersion::of_first_message(body);
        match AttachRequest::decode(body) {
            Ok(AttachRequest::Hello(caller)) => {
                assert_eq!(version.as_ref(), Ok(&caller.version));
                assert_eq!(AttachRequest::Hello(caller).encode(), body);
            }
            Ok(request) => assert_eq!(request.encode(), body),
            Err(_) => {}
        }
        if let Ok(reply) = AttachReply::decode(body) {
            assert_eq!(reply.encode(), body);
        }
    });
}

#[cfg(test)]
mod tests;
