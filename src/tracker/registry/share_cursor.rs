//! Positions in lists of shares.

use super::{IdError, RowId};
use crate::torrent::FileName;
use std::fmt;
use std::str::FromStr;

/// A position in a list of shares: right after a share, or after a version. It may have been
/// withdrawn since. Written as `ID/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareCursor {
    pub(super) name: FileName,
    /// In a list of shares: the id of the share. In a list of versions: the row of the version.
    pub(super) id: RowId,
}

/// The text is not a cursor of a list of shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareCursorError {
    /// There is no `/`, or no valid file name after it.
    #[error("a position in a list of shares must have the form ID/NAME")]
    Shape,
    /// The part before the `/` is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl fmt::Display for ShareCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.name.as_str())
    }
}

impl FromStr for ShareCursor {
    type Err = ShareCursorError;

    fn from_str(text: &str) -> Result<Self, ShareCursorError> {
        let (id, name) = text.split_once('/').ok_or(ShareCursorError::Shape)?;
        let name = FileName::new(name).map_err(|_| ShareCursorError::Shape)?;
        let id = id.parse()?;
        Ok(Self { name, id })
    }
}
