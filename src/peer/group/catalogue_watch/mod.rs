//! Keeps the catalogues of groups current, for those who want to know what is new in them.
//!
//! In scope: when the catalogues of which groups are fetched; what was added and what was withdrawn
//! since the last time, also over a restart. Out of scope: what follows from that. A list that
//! cannot be fetched, a group that has ended and a membership that is lost withdraw nothing.
//!
//! Locks: `state`, for a look-up or a change; `subscribers`, for a look-up or a change.

mod seen;
mod timing;

use super::Groups;
use crate::certificate::Fingerprint;
use crate::net::Stop;
use crate::peer::{Account, AccountError, Membership};
use crate::storage::{SeenCataloguesFile, StoredCatalogue};
use crate::system::lock;
use crate::wire::access::{AccessErrorKind, FileEntry, GroupNumbers};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use seen::{CONFIRM, Difference, SeenCatalogue, ShareKey};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use timing::ListTimer;

/// The longest wait before the thread looks again who is logged in, and which groups are wanted.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// What a catalogue says now, and how it differs from what was seen before.
#[derive(Debug)]
pub(crate) struct CatalogueNews<'a> {
    /// The group, under its present name, and the member.
    pub(crate) membership: &'a Membership,
    /// All shares of the group.
    pub(crate) catalogue: &'a [FileEntry],
    /// The shares that are new. Empty when the catalogue is seen for the first time. A new version
    /// of a share has the same name and another info-hash.
    pub(crate) added: &'a [FileEntry],
    /// The shares that were withdrawn or replaced: name and info-hash.
    pub(crate) withdrawn: &'a [ShareKey],
}

/// Somebody who wants to know what is new in the catalogues of groups.
pub(crate) trait CatalogueSubscriber: Debug + Send + Sync {
    /// Whether the catalogue of this group is wanted.
    fn wants(&self, membership: &Membership) -> bool;

    /// The catalogue was fetched. The same difference may come again after a crash, unless this has
    /// returned before.
    fn on_catalogue(&self, news: &CatalogueNews<'_>);
}

/// Keeps the catalogues that its subscribers want current.
#[derive(Debug)]
pub(crate) struct CatalogueWatch {
    account: Arc<Account>,
    groups: Arc<Groups>,
    file: SeenCataloguesFile,
    subscribers: Mutex<Vec<Arc<dyn CatalogueSubscriber>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whose groups these are.
    user: Option<SubjectLabel>,
    /// The list of the groups.
    list: ListTimer,
    groups: BTreeMap<Label, WatchedGroup>,
}

/// A group of the user.
#[derive(Debug, Default)]
struct WatchedGroup {
    catalogue: ListTimer,
    /// The numbers `added` and `ended` of the last hint.
    numbers: Option<(u64, u64)>,
    /// Its authority. `None` until it is known which group has this name now.
    authority: Option<Fingerprint>,
}

/// The catalogues that were seen, also by earlier starts. A later group of the same name has
/// another authority.
type SeenCatalogues = HashMap<(SubjectLabel, Fingerprint), SeenCatalogue>;

/// What is due.
enum Due {
    /// The list of the groups of this user.
    Groups(SubjectLabel),
    /// A catalogue, if somebody wants it, and the authority of the group if it is known.
    Catalogues(Vec<(Membership, Option<Fingerprint>)>),
    /// Nothing before this time is over.
    Nothing(Duration),
}

impl CatalogueWatch {
    /// Watches nothing yet.
    pub(crate) fn new(account: Arc<Account>, groups: Arc<Groups>, folder: &Path) -> Self {
        Self {
            account,
            groups,
            file: SeenCataloguesFile::new(folder),
            subscribers: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// From now on, this subscriber gets the catalogues that it wants.
    pub(crate) fn subscribe(&self, subscriber: Arc<dyn CatalogueSubscriber>) {
        lock(&self.subscribers).push(subscriber);
        self.wake();
    }

    /// Whether there is a subscriber.
    pub(crate) fn is_needed(&self) -> bool {
        !lock(&self.subscribers).is_empty()
    }

    /// Wakes the thread, so that it sees a stop, a log-in, or a group that is newly wanted.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// A tracker hints that something has changed in a group of this user.
    pub(super) fn on_hint(&self, user: &SubjectLabel, numbers: &GroupNumbers) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.user.as_ref() != Some(user) {
            return;
        }
        let Some(group) = state.groups.get_mut(&numbers.group) else {
            state.list.on_hint(now, fastrand::f64());
            return self.wake();
        };
        let present = Some((numbers.added, numbers.ended));
        let is_changed = std::mem::replace(&mut group.numbers, present) != present;
        // Each tracker hints when it has the change. Another one may have hinted before, and may
        // not be the one that was asked for the list.
        if is_changed || !numbers.has_reports {
            group.catalogue.on_hint(now, fastrand::f64());
            self.wake();
        }
    }

    /// A tracker hints that there is news for the user, perhaps about memberships.
    pub(super) fn on_news(&self) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.list.on_hint(now, fastrand::f64());
        // The user may have left a group and returned to it, or to a later one of its name.
        for group in state.groups.values_mut() {
            group.catalogue.on_hint(now, fastrand::f64());
        }
        drop(state);
        self.wake();
    }

    /// Fetches what is due, until the stop. Runs on the thread `catalogues`.
    pub(crate) fn run(&self, stop: &Stop) {
        let mut seen = self.load();
        while !stop.is_stopped() {
            match self.due() {
                Due::Groups(user) => self.fetch_groups(&user),
                Due::Catalogues(groups) => {
                    for (membership, authority) in groups {
                        if stop.is_stopped() {
                            return;
                        }
                        self.fetch(&membership, authority, &mut seen);
                    }
                }
                Due::Nothing(pause) => {
                    let state = lock(&self.state);
                    drop(self.changed.wait_timeout(state, pause.min(LONG_WAIT)));
                }
            }
        }
    }

    fn load(&self) -> SeenCatalogues {
        let stored = self.file.load().unwrap_or_else(|error| {
            log::warn!("{error}: what is in the catalogues of the groups now counts as seen");
            Vec::new()
        });
        let stored = stored.iter();
        let seen = stored.map(|stored| {
            let key = (stored.user.clone(), stored.authority);
            (key, SeenCatalogue::of(stored))
        });
        seen.collect()
    }

    fn store(&self, seen: &SeenCatalogues) {
        let stored = seen
            .iter()
            .map(|((user, authority), catalogue)| StoredCatalogue {
                authority: *authority,
                user: user.clone(),
                shares: catalogue.to_stored(),
            });
        let stored: Vec<_> = stored.collect();
        match self.file.store(&stored) {
            Ok(0) => {}
            Ok(left_out) => log::warn!("a restart will forget the catalogues of {left_out} groups"),
            Err(error) => log::warn!("new shares may be reported again after a restart: {error}"),
        }
    }

    fn due(&self) -> Due {
        let user = self.account.user();
        let has_hints = self.account.is_watching();
        let now = Instant::now();
        let (mut due, mut next) = (Vec::new(), None);
        {
            let mut state = lock(&self.state);
            if state.user != user {
                *state = State {
                    user: user.clone(),
                    ..State::default()
                };
            }
            let Some(user) = user else {
                return Due::Nothing(LONG_WAIT);
            };
            let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
            let list_due = state.list.due(has_hints);
            if is_due(list_due) {
                return Due::Groups(user);
            }
            next = earlier(next, list_due);
            for (group, watched) in &state.groups {
                let at = watched.catalogue.due(has_hints);
                if is_due(at) {
                    let membership = Membership {
                        user: user.clone(),
                        group: group.clone(),
                    };
                    due.push((membership, watched.authority));
                } else {
                    next = earlier(next, at);
                }
            }
        }
        let subscribers = lock(&self.subscribers).clone();
        due.retain(|(membership, _)| subscribers.iter().any(|it| it.wants(membership)));
        match due.is_empty() {
            true => Due::Nothing(next.map_or(LONG_WAIT, |at| at.saturating_duration_since(now))),
            false => Due::Catalogues(due),
        }
    }

    fn fetch_groups(&self, user: &SubjectLabel) {
        lock(&self.state).list.on_begun();
        let listed = self.account.groups();
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.user.as_ref() != Some(user) {
            return;
        }
        match listed {
            Ok(listed) => {
                let mut before = std::mem::take(&mut state.groups);
                let own = listed.into_iter().filter(|group| group.own_role.is_some());
                state.groups = own
                    .map(|group| {
                        let watched = before.remove(&group.name).unwrap_or_default();
                        (group.name, watched)
                    })
                    .collect();
                state.list.on_fetched(now);
                log::debug!("the user is a member of {} groups", state.groups.len());
            }
            Err(error) => {
                log::debug!("cannot fetch the list of groups: {error}");
                state.list.on_failure(now, fastrand::f64());
            }
        }
    }

    /// Fetches the catalogue of a group, and passes it to the subscribers.
    fn fetch(
        &self,
        membership: &Membership,
        authority: Option<Fingerprint>,
        seen: &mut SeenCatalogues,
    ) {
        self.update(membership, |group| group.catalogue.on_begun());
        let fetched = self.try_fetch(membership, authority, seen);
        let now = Instant::now();
        match fetched {
            Ok(is_unsure) => self.update(membership, |group| {
                group.catalogue.on_fetched(now);
                if is_unsure {
                    group.catalogue.fetch_at(now + CONFIRM);
                }
            }),
            Err(error) => {
                let group = &membership.group;
                log::info!("cannot fetch the catalogue of the group {group}: {error}");
                let is_over = matches!(
                    error.refusal(),
                    Some(AccessErrorKind::NotAMember | AccessErrorKind::UnknownGroup)
                );
                self.update(membership, |group| {
                    group.catalogue.on_failure(now, fastrand::f64());
                    if is_over {
                        group.authority = None;
                    }
                });
                if is_over {
                    lock(&self.state).list.fetch_at(now);
                }
            }
        }
    }

    /// Returns whether a share is missing that does not count as withdrawn yet.
    fn try_fetch(
        &self,
        membership: &Membership,
        authority: Option<Fingerprint>,
        seen: &mut SeenCatalogues,
    ) -> Result<bool, AccountError> {
        let mut authority = match authority {
            Some(authority) => authority,
            None => self.identify(membership)?,
        };
        let list = self.account.files(&membership.group)?;
        if self.account.user().as_ref() != Some(&membership.user) {
            // Another user may have logged in, and may have fetched this list.
            return Err(AccountError::NotLoggedIn);
        }
        let key = |authority| (membership.user.clone(), authority);
        let compare = |seen: &mut SeenCatalogue| seen.compare(&list, Instant::now());
        let mut difference = seen.get_mut(&key(authority)).map(compare);
        let misses = |it: &Difference| it.is_unsure || !it.withdrawn.is_empty();
        if difference.as_ref().is_some_and(misses) {
            // Perhaps the group has ended, and a later one has its name.
            let present = self.identify(membership)?;
            if present != authority {
                difference = seen.get_mut(&key(present)).map(compare);
                authority = present;
            }
        }
        let is_first = difference.is_none();
        let difference = difference.unwrap_or_default();
        let news = CatalogueNews {
            membership,
            catalogue: &list,
            added: &difference.added,
            withdrawn: &difference.withdrawn,
        };
        let subscribers = lock(&self.subscribers).clone();
        let subscribers = subscribers.iter().filter(|it| it.wants(membership));
        subscribers.for_each(|subscriber| subscriber.on_catalogue(&news));
        let catalogue = seen.entry(key(authority));
        let catalogue = catalogue.or_insert_with(|| SeenCatalogue::first(&list));
        catalogue.apply(&difference);
        if is_first || !news.added.is_empty() || !news.withdrawn.is_empty() {
            self.store(seen);
        }
        log::debug!(
            "the catalogue of the group {}: {} shares, {} new, {} withdrawn",
            membership.group,
            news.catalogue.len(),
            news.added.len(),
            news.withdrawn.len()
        );
        Ok(difference.is_unsure)
    }

    /// The authority of the group that has this name now.
    fn identify(&self, membership: &Membership) -> Result<Fingerprint, AccountError> {
        let group = self.groups.of(membership);
        let issued = self.groups.certify(&self.account, &group)?;
        let authority = issued.authority.fingerprint();
        self.update(membership, |group| group.authority = Some(authority));
        Ok(authority)
    }

    fn update(&self, membership: &Membership, change: impl FnOnce(&mut WatchedGroup)) {
        let mut state = lock(&self.state);
        if state.user.as_ref() == Some(&membership.user)
            && let Some(group) = state.groups.get_mut(&membership.group)
        {
            change(group);
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
