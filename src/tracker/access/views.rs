//! What the registry shows, as the wire has it.

use super::refusals::{refused, told};
use crate::tracker::registry::{self, GroupView, Label, MemberView, Refusal, RequestView, RowId};
use crate::tracker::replication::{ClusterStatus, Serving};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    ClusterView, ErrorKind, GroupEntry, MemberEntry, NewsEntry, Page, Place, Refused, RequestEntry,
    TwinView,
};
use std::fmt::Display;
use std::str::FromStr;

/// How many entries of a list are sent at a time: a page of the longest names is a small part of a frame.
pub(super) const PAGE: usize = 500;

/// A page as it is sent.
pub(super) fn page<T, U>(page: registry::Page<T>, entry: fn(T) -> U) -> Page<U> {
    Page {
        entries: page.items.into_iter().map(entry).collect(),
        next: page.next.and_then(|next| Place::new(next.to_string())),
    }
}

/// Where a page is to begin.
pub(super) fn place<T: FromStr<Err: Display>>(after: Option<Place>) -> Result<Option<T>, Refused> {
    let place = after.map(|after| after.as_str().parse()).transpose();
    place.map_err(|error| refused(ErrorKind::BadRequest, error))
}

pub(super) fn group(view: GroupView) -> GroupEntry {
    GroupEntry {
        name: view.label,
        owner: view.owner,
        members: u32::try_from(view.members).unwrap_or(u32::MAX),
        standing: view.standing,
    }
}

pub(super) fn member(view: MemberView) -> MemberEntry {
    MemberEntry {
        name: view.label,
        since: view.since.wall(),
        owner: view.owner,
    }
}

pub(super) fn request(view: RequestView) -> RequestEntry {
    RequestEntry {
        name: view.label,
        at: view.at.wall(),
    }
}

/// How the tracker stands with the others.
pub(super) fn cluster(status: &ClusterStatus) -> ClusterView {
    let twins = status.others.iter().map(|other| TwinView {
        number: other.number.get(),
        up: other.is_up(),
        it_lacks: other.it_lacks,
        we_lack: other.we_lack,
        silent: other
            .last_contact
            .map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
    });
    ClusterView {
        number: status.number.get(),
        serving: status.serving == Serving::Yes,
        twins: twins.collect(),
    }
}

pub(super) fn news(answer: registry::Answer) -> NewsEntry {
    NewsEntry {
        group: answer.label,
        outcome: answer.outcome,
        at: answer.at.wall(),
    }
}

/// How an account is named.
pub(super) fn name_of(store: &RegistryStore, account: RowId) -> Result<Label, Refused> {
    let label = store.read(|registry| registry.account_label(account));
    label.ok_or_else(|| told(Refusal::AccountGone))
}

/// How the log names an account.
pub(super) fn shown(store: &RegistryStore, account: RowId) -> String {
    name_of(store, account).map_or_else(|_| account.to_string(), |label| label.to_string())
}
