//! The lists of groups, members and requests, and the decisions of others.

use super::refusals::{from_refusal, refused};
use super::views::{self, PAGE_LENGTH};
use crate::tracker::registry::{self, Cursor, Refusal, Registry, RowId, VersionVector};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{Answer, ErrorKind, Page, Place, Refused, Seen};

pub(super) fn news(
    store: &RegistryStore,
    account: RowId,
    seen: &Seen,
    after: Option<Place>,
) -> Result<Answer, Refused> {
    let seen = match seen.as_bytes() {
        [] => VersionVector::new(),
        bytes => VersionVector::decode(bytes).map_err(|error| {
            let message = format!("the list of seen decisions cannot be read: {error}");
            refused(ErrorKind::BadRequest, message)
        })?,
    };
    let after: Option<Cursor> = views::parse_cursor(after)?;
    Ok(store.read(|registry| {
        let page = registry.decisions(account, &seen, after.as_ref(), PAGE_LENGTH);
        let mut known = seen.clone();
        known.join(registry.version_vector());
        Answer::News {
            page: views::page(page, views::news),
            seen: Seen::new(known.encode()).unwrap_or_default(),
        }
    }))
}

/// The page behind `after`.
pub(super) fn list<T, U>(
    store: &RegistryStore,
    after: Option<Place>,
    entry: fn(T) -> U,
    query: impl FnOnce(&Registry, Option<&Cursor>) -> Result<registry::Page<T>, Refusal>,
) -> Result<Page<U>, Refused> {
    let after: Option<Cursor> = views::parse_cursor(after)?;
    let page = store.read(|registry| query(registry, after.as_ref()));
    Ok(views::page(page.map_err(from_refusal)?, entry))
}
