//! Converts views of the registry to messages.

use super::refusals::{from_refusal, refused};
use crate::tracker::registry::{
    self, GroupView, Label, LoginView, MachineView, MemberView, Refusal, RequestView, Role, RowId,
    TokenView,
};
use crate::tracker::replication::{ClusterStatus, Serving};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, ClusterView, DecisionEntry, GroupEntry, ListPage, LoginEntry,
    MachineEntry, MemberEntry, NamedGroup, ReplicaView, RequestEntry, ShortText, TokenEntry,
    TokenGroup,
};
use crate::wire::machine::SubjectLabel;
use std::fmt::Display;
use std::str::FromStr;

/// The largest number of entries of a list in one message. Even with the longest names, such a
/// message is shorter than a frame may be.
pub(super) const PAGE_LENGTH: usize = 500;

/// Converts a page of the registry to a page of a message.
pub(super) fn page<T, U>(
    page: registry::Page<T>,
    entry: fn(T) -> U,
) -> Result<ListPage<U>, AccessRefusal> {
    Ok(ListPage {
        entries: page.items.into_iter().map(entry).collect(),
        next: cursor_text(page.next.as_ref())?,
    })
}

/// The text of the position where a page ended. Without its text, the list would end there
/// silently: so a position that cannot be sent is a refusal.
pub(super) fn cursor_text(next: Option<&impl Display>) -> Result<Option<ShortText>, AccessRefusal> {
    let text = next.map(|next| {
        let text = ShortText::new(next.to_string());
        text.ok_or_else(|| {
            let message = "the tracker cannot name the next page of this list; tell its operator";
            refused(AccessErrorKind::BadRequest, message)
        })
    });
    text.transpose()
}

/// Parses the position after which a page begins.
pub(super) fn parse_cursor<T: FromStr<Err: Display>>(
    after: Option<ShortText>,
) -> Result<Option<T>, AccessRefusal> {
    let cursor = after.map(|after| after.as_str().parse()).transpose();
    cursor.map_err(|error| refused(AccessErrorKind::BadRequest, error))
}

pub(super) fn group(view: GroupView) -> GroupEntry {
    GroupEntry {
        name: view.label,
        owner: view.owner,
        members: u32::try_from(view.members).unwrap_or(u32::MAX),
        role: view.role,
        own_role: view.own_role,
    }
}

pub(super) fn member(view: MemberView) -> MemberEntry {
    MemberEntry {
        name: view.label,
        since: view.since.wall(),
        role: view.role,
    }
}

pub(super) fn request(view: RequestView) -> RequestEntry {
    RequestEntry {
        name: view.label,
        asked_at: view.at.wall(),
    }
}

/// The state of this tracker, and of its connections to the other trackers.
pub(super) fn cluster(status: &ClusterStatus) -> ClusterView {
    let replicas = status.others.iter().map(|other| ReplicaView {
        number: other.number.get(),
        up: other.is_up(),
        it_lacks: other.it_lacks,
        we_lack: other.we_lack,
        silent_ms: other
            .silent_for
            .map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
    });
    ClusterView {
        number: status.number.get(),
        serving: status.serving == Serving::Yes,
        replicas: replicas.collect(),
    }
}

pub(super) fn news(news: registry::News) -> DecisionEntry {
    DecisionEntry {
        group: news.label,
        outcome: news.outcome,
        user: news.user,
        role: news.role,
        decided_at: news.at.wall(),
    }
}

/// The name of a group, and since when the group has it.
pub(super) fn named(registry: &registry::Registry, group: RowId) -> Option<NamedGroup> {
    let name = registry.group_label(group)?;
    let since = registry.named_at(group)?.wall();
    Some(NamedGroup { name, since })
}

/// The name of an account.
pub(super) fn account_label(store: &RegistryStore, account: RowId) -> Result<Label, AccessRefusal> {
    let label = store.read(|registry| registry.account_label(account));
    label.ok_or_else(|| from_refusal(Refusal::AccountGone))
}

/// The name of an account or a machine.
pub(super) fn subject_label(
    store: &RegistryStore,
    subject: RowId,
) -> Result<SubjectLabel, AccessRefusal> {
    let label = store.read(|registry| registry.subject_label(subject));
    label.ok_or_else(|| from_refusal(Refusal::AccountGone))
}

/// What the log calls an account or a machine: its name, or its id if it is gone.
pub(super) fn log_name(store: &RegistryStore, subject: RowId) -> String {
    subject_label(store, subject).map_or_else(|_| subject.to_string(), |label| label.to_string())
}

pub(super) fn token(view: TokenView) -> TokenEntry {
    TokenEntry {
        label: view.label,
        groups: view.groups.into_iter().map(token_group).collect(),
        state: view.state,
        enrolled: u32::try_from(view.enrolled).unwrap_or(u32::MAX),
        machines: u32::try_from(view.machines).unwrap_or(u32::MAX),
        made_at: view.at.wall(),
        enrols_until: view.enrols_until,
    }
}

pub(super) fn machine(view: MachineView) -> MachineEntry {
    MachineEntry {
        label: view.label,
        token: view.token,
        role: view.role,
        state: view.state,
        enrolled_at: view.at.wall(),
        started_at: view.started.map(|started| started.wall()),
    }
}

pub(super) fn login(view: LoginView) -> LoginEntry {
    LoginEntry {
        id: view.id,
        host: view.begun.host,
        from: view.used.from,
        made_at: view.begun.at,
        used_at: view.used.at,
        is_present: view.is_present,
    }
}

pub(super) fn token_group((group, role): (Label, Role)) -> TokenGroup {
    TokenGroup { group, role }
}
