//! Pages of lists that are sorted by name, then id.

use super::super::id::{IdError, RowId};
use super::super::name::{NameError, UserName};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::Bound::{Excluded, Unbounded};
use std::str::FromStr;

/// The most entries of a page, whatever limit is asked for.
pub const MAX_PAGE: usize = 1000;

/// Entries of a list, and where the list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, sorted.
    pub items: Vec<T>,
    /// What to ask for next; none at the end of the list.
    pub next: Option<Cursor>,
}

/// A place in a list: right after an entry, whether it is still there or not. Written `NAME/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    name: String,
    id: RowId,
}

/// Text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// No `/` in it.
    #[error("a place in a list is written NAME/ID")]
    Shape,
    /// What stands before the `/` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What follows the `/` is no id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Cursor {
    /// The key of the entry it stands after.
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
        // Names of users and groups obey one rule.
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

    /// The first entries, at least 1 and at most `limit` and [`MAX_PAGE`], of what `view` makes of sorted keys.
    pub(super) fn of<'a, N: Display + 'a>(
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

/// The entries of a sorted set after a place in it.
pub(super) fn from<'a, N: Ord + FromStr>(
    set: &'a BTreeSet<(N, RowId)>,
    after: Option<&Cursor>,
) -> impl Iterator<Item = (&'a N, RowId)> + use<'a, N> {
    let start = Cursor::key(after).map_or(Unbounded, Excluded);
    set.range((start, Unbounded)).map(|(name, id)| (name, *id))
}
