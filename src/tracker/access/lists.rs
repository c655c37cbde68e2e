//! What an asker may look at: groups, their members and requests, and what others decided.

use super::refusals::{refused, told};
use super::views::{self, PAGE};
use crate::tracker::registry::{self, Cursor, Label, Refusal, Registry, RowId, VersionVector};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{Answer, ErrorKind, Page, Place, Refused, Seen};

pub(super) fn list_groups(
    store: &RegistryStore,
    account: RowId,
    after: Option<&Place>,
) -> Result<Answer, Refused> {
    let groups = |registry: &Registry, after: Option<&Cursor>| {
        Ok(registry.groups(Some(account), after, PAGE))
    };
    list(store, after, groups, views::group).map(Answer::Groups)
}

pub(super) fn list_members(
    store: &RegistryStore,
    account: RowId,
    group: &Label,
    after: Option<&Place>,
) -> Result<Answer, Refused> {
    let members =
        |registry: &Registry, after: Option<&Cursor>| registry.members(account, group, after, PAGE);
    list(store, after, members, views::member).map(Answer::Members)
}

pub(super) fn list_requests(
    store: &RegistryStore,
    account: RowId,
    group: &Label,
    after: Option<&Place>,
) -> Result<Answer, Refused> {
    let requests = |registry: &Registry, after: Option<&Cursor>| {
        registry.requests(account, group, after, PAGE)
    };
    list(store, after, requests, views::request).map(Answer::Requests)
}

pub(super) fn news(
    store: &RegistryStore,
    account: RowId,
    seen: &Seen,
    after: Option<&Place>,
) -> Result<Answer, Refused> {
    let seen = match seen.as_bytes() {
        [] => VersionVector::new(),
        bytes => VersionVector::decode(bytes).map_err(|error| {
            let message = format!("what was seen cannot be read: {error}");
            refused(ErrorKind::BadRequest, &message)
        })?,
    };
    let after = views::cursor(after)?;
    Ok(store.read(|registry| {
        let page = registry.answers(account, &seen, after.as_ref(), PAGE);
        let mut known = seen.clone();
        known.join(registry.version_vector());
        Answer::News {
            page: views::page(page, views::news),
            seen: Seen::new(known.encode()).unwrap_or_default(),
        }
    }))
}

/// The page behind `after`.
fn list<T, U>(
    store: &RegistryStore,
    after: Option<&Place>,
    look: impl FnOnce(&Registry, Option<&Cursor>) -> Result<registry::Page<T>, Refusal>,
    entry: fn(T) -> U,
) -> Result<Page<U>, Refused> {
    let after = views::cursor(after)?;
    let page = store.read(|registry| look(registry, after.as_ref()));
    Ok(views::page(page.map_err(told)?, entry))
}
