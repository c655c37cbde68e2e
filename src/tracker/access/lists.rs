//! The lists of groups, members and requests, and the decisions of others about a user.

use super::refusals::{from_refusal, refused};
use super::views::{self, PAGE_LENGTH};
use crate::tracker::registry::{self, Cursor, Refusal, Registry, RowId, VersionVector};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, ListPage, SeenDecisions, ShortText,
};

/// A page of the news that `seen` does not cover: decisions and, if `with_requests` is set, also
/// requests to join groups that the account owns.
pub(super) fn news(
    store: &RegistryStore,
    account: RowId,
    seen: &SeenDecisions,
    with_requests: bool,
    after: Option<ShortText>,
) -> Result<AccessAnswer, AccessRefusal> {
    let seen = match seen.as_bytes() {
        [] => VersionVector::new(),
        bytes => VersionVector::decode(bytes).map_err(|error| {
            let message = format!("the list of seen decisions cannot be read: {error}");
            refused(AccessErrorKind::BadRequest, message)
        })?,
    };
    let after: Option<Cursor> = views::parse_cursor(after)?;
    store.read(|registry| {
        let after = after.as_ref();
        let page = match with_requests {
            true => registry.decisions_and_requests(account, &seen, after, PAGE_LENGTH),
            false => registry.decisions(account, &seen, after, PAGE_LENGTH),
        };
        // All decisions that the peer or this tracker knows now. The peer stores the value of the
        // first page, after it has read all pages: see `AccessAnswer::Decisions`.
        let mut covered = seen.clone();
        covered.join(registry.version_vector());
        Ok(AccessAnswer::Decisions {
            page: views::page(page, views::news)?,
            seen: SeenDecisions::new(covered.encode()).unwrap_or_default(),
        })
    })
}

/// The page of a list that follows `after`, or the first page if `after` is `None`.
pub(super) fn list<T, U>(
    store: &RegistryStore,
    after: Option<ShortText>,
    to_entry: fn(T) -> U,
    query: impl FnOnce(&Registry, Option<&Cursor>) -> Result<registry::Page<T>, Refusal>,
) -> Result<ListPage<U>, AccessRefusal> {
    let after: Option<Cursor> = views::parse_cursor(after)?;
    let page = store.read(|registry| query(registry, after.as_ref()));
    views::page(page.map_err(from_refusal)?, to_entry)
}
