//! Why bytes cannot be decoded.

use crate::bencode;
use crate::tracker::registry::name::NameError;
use crate::tracker::registry::row::Contradiction;
use crate::tracker::registry::secret::{GroupKeyError, PasswordHashError};

/// Why bytes cannot be decoded as a row, change or version vector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not canonical bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// The value is not the expected dictionary or list.
    #[error("{0} has the wrong shape")]
    Shape(&'static str),
    /// This version of pieceful does not know the kind of row.
    #[error("the kind of row {0:?} is unknown; a newer version of pieceful may have written it")]
    UnknownKind(String),
    /// A required key is missing.
    #[error("registry data lack the key {0:?}")]
    Missing(&'static str),
    /// The row or change of this kind has a key that is not known.
    #[error("registry data of kind {0:?} have an unknown key")]
    ExtraKey(&'static str),
    /// A value has the wrong type or is out of range.
    #[error("{0:?} in registry data has the wrong type or range")]
    WrongValue(&'static str),
    /// Entries are not in ascending order, or an entry occurs twice.
    #[error("{0:?} in registry data is not sorted or has a duplicate")]
    Unsorted(&'static str),
    /// A name breaks the rule for names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of a share breaks the rule for file names.
    #[error(transparent)]
    ShareName(#[from] crate::torrent::NameError),
    /// The key of a group has an invalid length.
    #[error(transparent)]
    GroupKey(#[from] GroupKeyError),
    /// A password hash has an invalid length.
    #[error(transparent)]
    PasswordHash(#[from] PasswordHashError),
    /// Two different rows have the same id.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}
