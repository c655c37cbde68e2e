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
use crate::peer::{Account, Membership, now_ms};
use crate::storage::SeenCataloguesFolder;
use crate::system::lock;
use crate::wire::access::{AccessErrorKind, FileEntry, GroupId, GroupNumbers, GroupState};
use crate::wire::machine::SubjectLabel;
use plan::{Due, WatchPlan};
pub(crate) use seen::ShareKey;
use seen::{CONFIRM, SeenCatalogue};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The longest wait before the thread looks again who is logged in, and which groups are wanted.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// The least pause before a subscriber gets the shares again that it could not take.
const OFFER_AGAIN: Duration = Duration::from_secs(10);
/// The pause between two searches for files of groups that the user has left.
const FORGET_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What a catalogue says now, and how it differs from what was seen before.
#[derive(Debug)]
pub(crate) struct CatalogueNews<'a> {
    /// The group. A later group of the same name is another one.
    pub(crate) group: GroupId,
    /// The group, under its present name, and the member.
    pub(crate) membership: &'a Membership,
    /// All shares of the group.
    pub(crate) catalogue: &'a [FileEntry],
    /// The shares that are new. Empty when the catalogue is seen for the first time. A new version
    /// of a share has the same name and another time of publication.
    pub(crate) added: &'a [FileEntry],
    /// The shares that were withdrawn or replaced.
    pub(crate) withdrawn: &'a [ShareKey],
}

/// Somebody who wants to know what is new in the catalogues of groups.
pub(crate) trait CatalogueSubscriber: Debug + Send + Sync {
    /// Whether the catalogue of some group may be wanted now.
    fn is_active(&self) -> bool;

    /// Whether the catalogue of this group is wanted.
    fn wants(&self, group: GroupId, membership: &Membership) -> bool;

    /// The catalogue was fetched. Returns the new shares that the subscriber cannot take now: all
    /// subscribers get these shares again later, also after a restart. The same difference may come
    /// again after a crash, unless this has returned before.
    fn on_catalogue(&self, news: &CatalogueNews<'_>) -> Vec<ShareKey>;

    /// Whether the subscriber can take a good part of the new shares of this group that it could
    /// not take before. While it cannot, an unchanged catalogue is not fetched again.
    fn has_room(&self, _: &Membership) -> bool {
        true
    }
}

/// Why a catalogue is to be fetched again, although it may not have changed.
enum Again {
    /// A share is missing that does not count as withdrawn yet.
    Confirm,
    /// A subscriber could not take all new shares.
    Room,
}

/// Keeps the catalogues that its subscribers want current.
#[derive(Debug)]
pub(crate) struct CatalogueWatch {
    account: Arc<Account>,
    folder: SeenCataloguesFolder,
    subscribers: Mutex<Vec<Arc<dyn CatalogueSubscriber>>>,
    /// The user, and what is to be fetched for this user. `None` while nobody is logged in.
    state: Mutex<Option<(SubjectLabel, WatchPlan)>>,
    changed: Condvar,
    /// Whether the thread was started.
    is_started: AtomicBool,
}

/// The catalogues that were seen. A later group of the same name has another id.
#[derive(Debug, Default)]
struct SeenCatalogues {
    /// Those that this start has seen.
    loaded: HashMap<GroupId, SeenCatalogue>,
    /// When files of groups that the user has left were searched last.
    forgot_at: Option<Instant>,
}

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
            folder: SeenCataloguesFolder::new(folder),
            subscribers: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            is_started: AtomicBool::new(false),
        }
    }

    /// From now on, this subscriber gets the catalogues that it wants.
    pub(crate) fn subscribe(&self, subscriber: Arc<dyn CatalogueSubscriber>) {
        lock(&self.subscribers).push(subscriber);
        self.wake();
    }

    /// Whether a subscriber may want a catalogue now.
    pub(crate) fn is_needed(&self) -> bool {
        lock(&self.subscribers).iter().any(|it| it.is_active())
    }

    /// Returns `true` to the one caller that has to start the thread that calls
    /// [`CatalogueWatch::run`].
    pub(crate) fn is_to_be_started(&self) -> bool {
        !self.is_started.swap(true, Ordering::SeqCst)
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
        let mut seen = SeenCatalogues::default();
        while !stop.is_stopped() {
            match self.next_work() {
                Work::Groups(user) => self.fetch_groups(&user, &mut seen, stop),
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

    fn next_work(&self) -> Work {
        let user = self.account.user().filter(|_| self.is_needed());
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
        let (due, next) = match due {
            Due::Groups => return Work::Groups(user),
            Due::Catalogues(due, next) => (due, next),
        };
        let due = due.into_iter().map(|(id, group)| {
            let user = user.clone();
            (plan.only_waits_for_room(id), id, Membership { user, group })
        });
        let due: Vec<_> = due.collect();
        drop(state);
        let subscribers = lock(&self.subscribers).clone();
        let is_useful = |id: GroupId, membership: &Membership, needs_room: bool| {
            let mut wanting = subscribers.iter().filter(|it| it.wants(id, membership));
            wanting.any(|it| !needs_room || it.has_room(membership))
        };
        let due = due.into_iter().filter_map(|(needs_room, id, membership)| {
            is_useful(id, &membership, needs_room).then_some((id, membership))
        });
        let due: Vec<_> = due.collect();
        match due.is_empty() {
            true => Work::Wait(next.map_or(LONG_WAIT, |at| at.saturating_duration_since(now))),
            false => Work::Catalogues(due),
        }
    }

    fn fetch_groups(&self, user: &SubjectLabel, seen: &mut SeenCatalogues, stop: &Stop) {
        self.change(user, |plan, _| plan.on_list_begun());
        let begun = Instant::now();
        let listed = self.account.own_groups();
        if stop.is_stopped() {
            return;
        }
        if let Ok(listed) = &listed {
            let listed = listed.iter().map(|group| group.state.id).collect();
            self.forget_former(seen, &listed);
        }
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
            Ok((list, states)) => {
                let state = states.first;
                self.change(user, |plan, _| match states.are_equal {
                    true => plan.on_catalogue(id, &state, (begun, now), fastrand::f64()),
                    false => plan.on_mixed(id, (begun, now), fastrand::f64()),
                });
                let again = self.compare(membership, &list, &state, seen);
                self.change(user, |plan, now| match again {
                    Some(Again::Confirm) => {
                        plan.fetch_again(state.id, now + CONFIRM, fastrand::f64());
                    }
                    Some(Again::Room) => {
                        plan.wait_for_room(state.id, now + OFFER_AGAIN, fastrand::f64());
                    }
                    None => {}
                });
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
    /// subscribers. Returns why the catalogue is to be fetched again, although it may not have
    /// changed.
    fn compare(
        &self,
        membership: &Membership,
        list: &[FileEntry],
        state: &GroupState,
        seen: &mut SeenCatalogues,
    ) -> Option<Again> {
        let known = self.seen(seen, state.id);
        let now_ms = now_ms();
        let difference = known.map(|known| known.compare(list, Instant::now(), now_ms));
        let is_first = difference.is_none();
        let mut difference = difference.unwrap_or_default();
        let news = CatalogueNews {
            group: state.id,
            membership,
            catalogue: list,
            added: &difference.added,
            withdrawn: &difference.withdrawn,
        };
        // For the log, after the catalogue was stored.
        let summary = format!(
            "{} shares, {} new, {} withdrawn",
            news.catalogue.len(),
            news.added.len(),
            news.withdrawn.len()
        );
        let subscribers = lock(&self.subscribers).clone();
        let subscribers = subscribers
            .iter()
            .filter(|it| it.wants(state.id, membership));
        let refused = subscribers.flat_map(|subscriber| subscriber.on_catalogue(&news));
        let refused: HashSet<ShareKey> = refused.collect();
        difference
            .added
            .retain(|entry| !refused.contains(&ShareKey::of(entry)));
        let catalogue = seen.loaded.entry(state.id);
        let catalogue = catalogue.or_insert_with(|| SeenCatalogue::first(list));
        catalogue.apply(&difference, now_ms);
        if is_first || !difference.added.is_empty() || !difference.withdrawn.is_empty() {
            let stored = self.folder.store(state.id, &catalogue.to_stored());
            if let Err(error) = stored {
                log::warn!("new shares may be reported again after a restart: {error}");
            }
        }
        let group = &membership.group;
        log::debug!("the catalogue of the group {group}: {summary}");
        match (difference.is_unsure, refused.is_empty()) {
            (false, true) => None,
            (true, _) => Some(Again::Confirm),
            (false, false) => Some(Again::Room),
        }
    }

    /// What was seen of a group, also by earlier starts. `None` if it is seen for the first time.
    fn seen<'a>(
        &self,
        seen: &'a mut SeenCatalogues,
        group: GroupId,
    ) -> Option<&'a mut SeenCatalogue> {
        match seen.loaded.entry(group) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => {
                let stored = self.folder.load(group).unwrap_or_else(|error| {
                    log::warn!("{error}: what is in the catalogue of the group now counts as seen");
                    None
                });
                Some(place.insert(SeenCatalogue::of(stored?)))
            }
        }
    }

    /// Once a day, forgets groups that were in no list for some weeks.
    fn forget_former(&self, seen: &mut SeenCatalogues, listed: &BTreeSet<GroupId>) {
        seen.loaded.retain(|group, _| listed.contains(group));
        let is_recent = |at: Instant| at.elapsed() < FORGET_PAUSE;
        if seen.forgot_at.is_some_and(is_recent) {
            return;
        }
        seen.forgot_at = Some(Instant::now());
        if let Err(error) = self.folder.forget(listed, SystemTime::now()) {
            log::warn!("{error}");
        }
    }

    /// Changes the plan of this user, unless another user is logged in now.
    fn change(&self, user: &SubjectLabel, change: impl FnOnce(&mut WatchPlan, Instant)) {
        let mut state = lock(&self.state);
        if let Some((_, plan)) = state.as_mut().filter(|(of, _)| of == user) {
            change(plan, Instant::now());
        }
    }
}
