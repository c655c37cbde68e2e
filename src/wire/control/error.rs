//! Why bytes are not a message of a control connection.

use super::limits::MAX_PAGE;
use super::parts::PartError;
use crate::bencode;
use crate::torrent::NameError;

/// Advice to a user when two programs have different versions of the protocol.
pub const SAME_VERSION: &str = "install the same version of pieceful on both machines";

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not canonical bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// Bencode, but not a dictionary.
    #[error("the control message is not a dictionary")]
    NoDictionary,
    /// A kind of message that does not exist, or that this side never receives.
    #[error("unknown kind of control message: {0:?}")]
    UnknownType(String),
    /// A message of another version of the protocol.
    #[error(
        "it speaks version {theirs} of the protocol, and this program version {ours}; {SAME_VERSION}"
    )]
    OtherProtocol {
        /// The version of the sender.
        theirs: u32,
        /// The version of this program.
        ours: u32,
    },
    /// A required key is missing.
    #[error("the control message lacks the key \"{0}\"")]
    Missing(&'static str),
    /// A key that this kind of message does not have.
    #[error("the control message \"{0}\" has an unknown key")]
    ExtraKey(&'static str),
    /// A value of the wrong type or outside its range.
    #[error("the key \"{0}\" of the control message has a value of the wrong type or range")]
    WrongValue(&'static str),
    /// A list longer than [`MAX_PAGE`].
    #[error("a list in the control message has {0} entries; the most is {MAX_PAGE}")]
    LongList(usize),
    /// A file name that is not safe.
    #[error("the file name in the control message is not safe: {0}")]
    Name(#[from] NameError),
    /// A part that does not fit its info dictionary.
    #[error(transparent)]
    Part(#[from] PartError),
}

impl ControlError {
    /// A [`ControlError::UnknownType`] with at most 40 characters of `kind`.
    pub(in crate::wire) fn unknown(kind: &str) -> Self {
        Self::UnknownType(kind.chars().take(40).collect())
    }
}
