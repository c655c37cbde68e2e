//! Positions in lists of shares.

use super::{IdError, RowId};
use crate::torrent::FileName;
use std::fmt;
use std::str::FromStr;

/// A position in a list of shares: right after a share, or after a version. It may have been
/// withdrawn since, and another tracker may not know it. Written as `SHARE/NAME`, or as
/// `SHARE.NUMBER.VERSION/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareCursor {
    pub(super) name: FileName,
    /// The id of the share.
    pub(super) first: RowId,
    /// In a list of versions: the number and the row of the version.
    pub(super) version: Option<(u32, RowId)>,
}

/// The text is not a cursor of a list of shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareCursorError {
    /// There is no `/`, or no valid file name after it.
    #[error("a position in a list of shares must have the form SHARE/NAME")]
    Shape,
    /// A part before the `/` is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl fmt::Display for ShareCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if let Some((number, id)) = self.version {
            write!(f, ".{number}.{id}")?;
        }
        write!(f, "/{}", self.name.as_str())
    }
}

impl FromStr for ShareCursor {
    type Err = ShareCursorError;

    fn from_str(text: &str) -> Result<Self, ShareCursorError> {
        let (ids, name) = text.split_once('/').ok_or(ShareCursorError::Shape)?;
        let name = FileName::new(name).map_err(|_| ShareCursorError::Shape)?;
        let (first, version) = match ids.split_once('.') {
            None => (ids, None),
            Some((first, version)) => (first, Some(read_version(version)?)),
        };
        let first = first.parse()?;
        Ok(Self {
            name,
            first,
            version,
        })
    }
}

fn read_version(text: &str) -> Result<(u32, RowId), ShareCursorError> {
    let (number, id) = text.split_once('.').ok_or(ShareCursorError::Shape)?;
    let number = number.parse().map_err(|_| ShareCursorError::Shape)?;
    Ok((number, id.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::ShortText;

    #[test]
    fn the_longest_position_can_be_sent() {
        let longest = ShareCursor {
            name: FileName::new(&"x".repeat(255)).unwrap(),
            first: RowId([255; 16]),
            version: Some((u32::MAX, RowId([255; 16]))),
        };
        let sent = ShortText::new(longest.to_string()).unwrap();
        assert_eq!(sent.as_str().parse(), Ok(longest));
    }

    #[test]
    fn a_position_is_written_and_read_back() {
        let share = "04".repeat(16);
        for text in [format!("{share}/f"), format!("{share}.7.{share}/a.7@b")] {
            assert_eq!(text.parse::<ShareCursor>().unwrap().to_string(), text);
        }
        for text in ["", "f", "/f", "04/f", "x.7/f", ".."] {
            assert!(text.parse::<ShareCursor>().is_err(), "{text}");
        }
        for wrong in [
            format!("{share}.7/f"),
            format!("{share}.x.{share}/f"),
            format!("{share}/"),
        ] {
            assert!(wrong.parse::<ShareCursor>().is_err(), "{wrong}");
        }
    }
}
