//! Why bytes are not read.

use crate::bencode;
use crate::tracker::registry::name::NameError;
use crate::tracker::registry::row::Contradiction;
use crate::tracker::registry::secret::{GroupKeyError, PasswordHashError};

/// Why bytes are no row, change or version vector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not canonical bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// Not the dictionary or list that should be there.
    #[error("{0} has the wrong shape")]
    Shape(&'static str),
    /// A kind of row that this version does not know.
    #[error("unknown kind of row {0:?}: was it written by a newer version?")]
    UnknownKind(String),
    /// A key that must be there is not.
    #[error("a registry row lacks {0:?}")]
    Missing(&'static str),
    /// A key that this kind of row does not have.
    #[error("a key too many in a registry row of kind {0:?}")]
    ExtraKey(&'static str),
    /// A value of another type or outside its range.
    #[error("{0:?} in a registry row has the wrong type or range")]
    WrongValue(&'static str),
    /// Entries that are not in ascending order, or one of them twice.
    #[error("{0:?} is not sorted")]
    Unsorted(&'static str),
    /// A name that breaks the rule for names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A share's name that breaks the rule for file names.
    #[error(transparent)]
    ShareName(#[from] crate::torrent::NameError),
    /// A group's key that cannot be one.
    #[error(transparent)]
    Key(#[from] GroupKeyError),
    /// A password's hash that cannot be one.
    #[error(transparent)]
    Password(#[from] PasswordHashError),
    /// Two rows under one id.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}
