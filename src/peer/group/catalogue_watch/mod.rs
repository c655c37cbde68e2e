//! Keeps the catalogues of groups current, for those who want to know what is new in them.
//!
//! In scope: when the catalogues of which groups are fetched; what was added and what was withdrawn
//! since the last time, also over a restart. Out of scope: what follows from that. A list that
//! cannot be fetched, a group that has ended and a membership that is lost withdraw nothing.
//!
//! Locks: `state`, for a look-up or a change; `subscribers`, for a look-up or a change.

#[cfg(test)]
mod fleet;
mod plan;
mod seen;
mod timing;

use crate::net::Stop;
use crate::peer::{Account, Membership};
use crate::storage::{SeenCataloguesFile, StoredCatalogue};
use crate::system::lock;
use crate::wire::access::{AccessErrorKind, FileEntry, GroupId, GroupNumbers, GroupState};
use crate::wire::machine::SubjectLabel;
use plan::{Due, WatchPlan};
use seen::{CONFIRM, SeenCatalogue, ShareKey};
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

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
    file: SeenCataloguesFile,
    subscribers: Mutex<Vec<Arc<dyn CatalogueSubscriber>>>,
    /// The user, and what is to be fetched for this user. `None` while nobody is logged in.
    state: Mutex<Option<(SubjectLabel, WatchPlan)>>,
    changed: Condvar,
}

/// The catalogues that were seen, also by earlier starts. A later group of the same name has
/// another id.
type SeenCatalogues = HashMap<GroupId, SeenCatalogue>;

/// What the thread does next.
enum Work {
    /// Fetches the list of the groups of this user.
    Groups(SubjectLabel),
    /// Fetches these catalogues.
    Catalogues(Vec<(GroupId, Membership)>),
    /// Waits.
    Wait(Duration),
}

impl CatalogueWatch {
    /// Watches nothing yet.
    pub(crate) fn new(account: Arc<Account>, folder: &Path) -> Self {
        Self {
            account,
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

    /// A tracker hints at the present change numbers of a group of this user.
    pub(super) fn on_hint(&self, user: &SubjectLabel, numbers: &GroupNumbers) {
        self.change(user, |plan, now| {
            plan.on_hint(numbers, now, fastrand::f64());
        });
        self.wake();
    }

    /// A tracker hints that there is news for the user, perhaps about memberships.
    pub(super) fn on_news(&self, user: &SubjectLabel) {
        self.change(user, |plan, now| plan.on_news(now, fastrand::f64()));
        self.wake();
    }

    /// Fetches what is due, until the stop. Runs on the thread `catalogues`.
    pub(crate) fn run(&self, stop: &Stop) {
        let mut seen = self.load();
        while !stop.is_stopped() {
            match self.next_work() {
                Work::Groups(user) => self.fetch_groups(&user),
                Work::Catalogues(groups) => {
                    for (id, membership) in groups {
                        if stop.is_stopped() {
                            return;
                        }
                        self.fetch(id, &membership, &mut seen, stop);
                    }
                }
                Work::Wait(pause) => {
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
        let seen = stored.map(|stored| (stored.group, SeenCatalogue::of(stored)));
        seen.collect()
    }

    fn store(&self, seen: &SeenCatalogues) {
        let stored = seen.iter().map(|(group, catalogue)| StoredCatalogue {
            group: *group,
            shares: catalogue.to_stored(),
        });
        let stored: Vec<_> = stored.collect();
        match self.file.store(&stored) {
            Ok(0) => {}
            Ok(left_out) => log::warn!("a restart will forget the catalogues of {left_out} groups"),
            Err(error) => log::warn!("new shares may be reported again after a restart: {error}"),
        }
    }

    fn next_work(&self) -> Work {
        let user = self.account.user();
        let has_hints = self.account.is_watching();
        let now = Instant::now();
        let mut state = lock(&self.state);
        let Some(user) = user else {
            *state = None;
            return Work::Wait(LONG_WAIT);
        };
        let plan = match &mut *state {
            Some((of, plan)) if *of == user => plan,
            other => &mut other.insert((user.clone(), WatchPlan::new(now))).1,
        };
        let due = plan.due(now, has_hints, fastrand::f64());
        drop(state);
        let (due, next) = match due {
            Due::Groups => return Work::Groups(user),
            Due::Catalogues(due, next) => (due, next),
        };
        let due = due.into_iter().map(|(id, group)| {
            let user = user.clone();
            (id, Membership { user, group })
        });
        let subscribers = lock(&self.subscribers).clone();
        let wants = |membership: &Membership| subscribers.iter().any(|it| it.wants(membership));
        let due: Vec<_> = due.filter(|(_, membership)| wants(membership)).collect();
        match due.is_empty() {
            true => Work::Wait(next.map_or(LONG_WAIT, |at| at.saturating_duration_since(now))),
            false => Work::Catalogues(due),
        }
    }

    fn fetch_groups(&self, user: &SubjectLabel) {
        self.change(user, |plan, _| plan.on_list_begun());
        let begun = Instant::now();
        let listed = self.account.own_groups();
        self.change(user, |plan, now| match listed {
            Ok(listed) => {
                plan.on_list(listed, begun, now, &mut fastrand::f64);
                log::debug!("the user is a member of {} groups", plan.groups());
            }
            Err(error) => {
                log::debug!("cannot fetch the list of groups: {error}");
                plan.on_list_failed(now, fastrand::f64());
            }
        });
    }

    /// Fetches the catalogue of a group, and passes it to the subscribers.
    fn fetch(&self, id: GroupId, membership: &Membership, seen: &mut SeenCatalogues, stop: &Stop) {
        let user = &membership.user;
        self.change(user, |plan, _| plan.on_begun(id));
        let begun = Instant::now();
        let fetched = self.account.catalogue(&membership.group);
        // After the stop, nothing may be changed any more.
        if stop.is_stopped() {
            return;
        }
        let fetched = match fetched {
            // Another user may have logged in, and may have fetched this list.
            Ok(_) if self.account.user().as_ref() != Some(user) => return,
            fetched => fetched,
        };
        let now = Instant::now();
        match fetched {
            Ok((list, state)) => {
                self.change(user, |plan, _| {
                    plan.on_catalogue(id, &state, (begun, now), fastrand::f64());
                });
                let is_unsure = self.compare(membership, &list, &state, seen);
                if is_unsure {
                    self.change(user, |plan, now| {
                        plan.fetch_again(state.id, now + CONFIRM, fastrand::f64());
                    });
                }
            }
            Err(error) => {
                let group = &membership.group;
                log::info!("cannot fetch the catalogue of the group {group}: {error}");
                let is_over = matches!(
                    error.refusal(),
                    Some(AccessErrorKind::NotAMember | AccessErrorKind::UnknownGroup)
                );
                self.change(user, |plan, now| {
                    plan.on_failed(id, is_over, now, fastrand::f64());
                });
            }
        }
    }

    /// Compares a catalogue with what was seen before, and passes the difference to the
    /// subscribers. Returns whether a share is missing that does not count as withdrawn yet.
    fn compare(
        &self,
        membership: &Membership,
        list: &[FileEntry],
        state: &GroupState,
        seen: &mut SeenCatalogues,
    ) -> bool {
        let known = seen.get_mut(&state.id);
        let difference = known.map(|known| known.compare(list, Instant::now()));
        let is_first = difference.is_none();
        let difference = difference.unwrap_or_default();
        let news = CatalogueNews {
            membership,
            catalogue: list,
            added: &difference.added,
            withdrawn: &difference.withdrawn,
        };
        let subscribers = lock(&self.subscribers).clone();
        let subscribers = subscribers.iter().filter(|it| it.wants(membership));
        subscribers.for_each(|subscriber| subscriber.on_catalogue(&news));
        let catalogue = seen.entry(state.id);
        let catalogue = catalogue.or_insert_with(|| SeenCatalogue::first(list));
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
        difference.is_unsure
    }

    /// Changes the plan of this user, unless another user is logged in now.
    fn change(&self, user: &SubjectLabel, change: impl FnOnce(&mut WatchPlan, Instant)) {
        let mut state = lock(&self.state);
        if let Some((_, plan)) = state.as_mut().filter(|(of, _)| of == user) {
            change(plan, Instant::now());
        }
    }
}
