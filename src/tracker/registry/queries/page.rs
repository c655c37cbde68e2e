//! Pages of lists that are sorted by name, then id.

use super::super::id::{IdError, RowId};
use super::super::name::{NameError, UserName};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::Bound::{Excluded, Unbounded};
use std::str::FromStr;

/// The maximum number of entries of a page. Higher limits are reduced to it.
pub const MAX_PAGE: usize = 1000;

/// A part of a list, and where to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, sorted.
    pub items: Vec<T>,
    /// The position of the next page; `None` at the end of the list.
    pub next: Option<Cursor>,
}

/// A position in a list: right after an entry, which may have been removed since. Written as
/// `NAME/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    name: String,
    id: RowId,
}

/// The text is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// There is no `/`.
    #[error("a list position must have the form NAME/ID")]
    Shape,
    /// The part before the `/` is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after the `/` is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Cursor {
    /// The key of the entry before the position.
    pub(super) fn key<N: FromStr>(after: Option<&Self>) -> Option<(N, RowId)> {
        after.and_then(|cursor| Some((cursor.name.parse().ok()?, cursor.id)))
    }
}

impl Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (name, id) = text.split_once('/').ok_or(CursorError::Shape)?;
        // Users and groups have the same rule for names.
        let name: UserName = name.parse()?;
        Ok(Self {
            name: name.to_string(),
            id: id.parse()?,
        })
    }
}

impl<T> Page<T> {
    pub(super) fn empty() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }

    /// Builds a page from sorted keys: `view` makes an entry of each key, or skips it. The page has
    /// at most `limit` entries. A limit of 0 counts as 1. A limit greater than [`MAX_PAGE`] counts
    /// as [`MAX_PAGE`].
    pub(in crate::tracker::registry) fn collect<'a, N: Display + 'a>(
        keys: impl Iterator<Item = (&'a N, RowId)>,
        limit: usize,
        mut view: impl FnMut(&'a N, RowId) -> Option<T>,
    ) -> Self {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = Self::empty();
        let mut last = None;
        for (name, id) in keys {
            let Some(item) = view(name, id) else { continue };
            if page.items.len() == limit {
                page.next = last.map(|(name, id): (&N, RowId)| Cursor {
                    name: name.to_string(),
                    id,
                });
                break;
            }
            page.items.push(item);
            last = Some((name, id));
        }
        page
    }
}

/// The entries of a sorted set that come after a cursor.
pub(in crate::tracker::registry) fn entries_after<'a, N: Ord + FromStr>(
    set: &'a BTreeSet<(N, RowId)>,
    after: Option<&Cursor>,
) -> impl Iterator<Item = (&'a N, RowId)> + use<'a, N> {
    let start = Cursor::key(after).map_or(Unbounded, Excluded);
    set.range((start, Unbounded)).map(|(name, id)| (name, *id))
}
