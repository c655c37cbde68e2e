//! Why bytes are no message of a control line.

use super::limits::MAX_PAGE;
use super::parts::PartError;
use crate::bencode;
use crate::torrent::NameError;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not canonical bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// Bencode, but no dictionary.
    #[error("a control message is a dictionary")]
    NoDictionary,
    /// No message of this kind goes this way.
    #[error("unknown control message {0:?}")]
    UnknownType(String),
    /// A key that must be there is not.
    #[error("the control message lacks {0:?}")]
    Missing(&'static str),
    /// A key that this kind of message does not have.
    #[error("a key too many in control message {0:?}")]
    ExtraKey(&'static str),
    /// A value of another type or outside its range.
    #[error("{0:?} in the control message has the wrong type or range")]
    WrongValue(&'static str),
    /// A list longer than [`MAX_PAGE`].
    #[error("a list of {0} entries in a control message is longer than {MAX_PAGE}")]
    LongList(usize),
    /// A file name that is unsafe.
    #[error("file name in the control message: {0}")]
    Name(#[from] NameError),
    /// Parts that do not lie in an info dictionary.
    #[error(transparent)]
    Part(#[from] PartError),
}

impl ControlError {
    /// No message of that kind goes this way.
    pub(in crate::wire) fn unknown(kind: &str) -> Self {
        Self::UnknownType(kind.chars().take(40).collect())
    }
}
