//! Hints to peers that watch their groups: what has changed, so that they need not ask again and
//! again.
//!
//! In scope: who gets which hint, and how much waits for each connection. Out of scope: sending
//! (`control_connection`), and what a peer does with a hint.
//!
//! What waits for a connection is ids of groups, each with a flag for reports of changed files
//! ([`GroupNumbers::has_reports`]) and perhaps a former name ([`GroupNumbers::former`]), a flag
//! that there is news for the user ([`Hint::has_news`]), and a few addresses of new peers for each
//! of a limited number of swarms. The change numbers of the groups, and whether the user is still a
//! member, are read from the registry when the hint is sent. So what waits is bounded, and a peer
//! that reads slowly gets one later hint instead of many, with the same contents.
//!
//! Locks: `state`, for a look-up or a change. Connections are woken after it is released.

use super::Logins;
use crate::net::ConnectionHandle;
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::tracker::Threads;
use crate::tracker::registry::{Changed, Login, Registry, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{GroupNumbers, Hint, MAX_HINTED, MAX_NEW_PEERS, NewPeers};
use crate::wire::control::MAX_PAGE;
use crate::wire::name::Label;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

/// The longest wait for a change before the thread looks whether it should end.
const LONG_WAIT: Duration = Duration::from_secs(3600);
/// After the thread has woken some connections, it pauses this long for each of them. Meanwhile
/// changes gather. So a burst of changes in a large group takes a small part of one processor.
const PAUSE_PER_CONNECTION: Duration = Duration::from_micros(100);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The most connections that get hints about new peers of one swarm. If even more peers of a swarm
/// know too few others, the swarm is large, and they find others by their announces.
const MAX_LACKING: usize = 50;

/// The connections that watch, and what waits for each of them.
pub(super) struct Hints {
    store: Arc<RegistryStore>,
    logins: Arc<Logins>,
    state: Mutex<State>,
    threads: Threads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct WatchId(u64);

#[derive(Default)]
struct State {
    last_id: u64,
    connections: HashMap<WatchId, Watching>,
    accounts: HashMap<RowId, BTreeSet<WatchId>>,
    /// For each swarm, the connections whose peers lack others (know too few of them), in the order
    /// in which they were added.
    lacking: HashMap<InfoHash, VecDeque<WatchId>>,
}

/// A connection that watches.
struct Watching {
    account: RowId,
    handle: ConnectionHandle,
    /// The changed groups that the next hint will name.
    groups: BTreeMap<RowId, ChangedGroup>,
    /// For each swarm, the addresses of new peers that the next hint will contain.
    swarms: BTreeMap<InfoHash, Vec<SocketAddr>>,
    /// Whether the next hint will say that there is news for the user: see [`Hint::has_news`].
    has_news: bool,
    /// The swarms for which the connection is in [`State::lacking`].
    lacks: BTreeSet<InfoHash>,
}

/// What the next hint will say about a group, except what the tracker reads from the registry when
/// it sends the hint.
#[derive(Clone, Debug, Default)]
struct ChangedGroup {
    /// See [`GroupNumbers::has_reports`].
    has_reports: bool,
    /// See [`GroupNumbers::former`].
    former: Option<Label>,
}

/// The watching of one connection. It ends when this is dropped.
pub(in crate::tracker) struct Watch {
    hints: Arc<Hints>,
    id: WatchId,
    login: Login,
}

/// What waits for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tracker) enum Waiting {
    Nothing,
    Hint(Hint),
    /// The login has ended: the peer must not get any more hints.
    LoginEnded,
}

impl Hints {
    pub(super) fn new(store: Arc<RegistryStore>, logins: Arc<Logins>) -> Self {
        Self {
            store,
            logins,
            state: Mutex::default(),
            threads: Threads::default(),
        }
    }

    /// Starts the thread that passes changes of the registry on. It ends with the registry store.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let hints = Arc::downgrade(self);
        let store = Arc::clone(&self.store);
        let thread = Builder::new().name("hints".to_owned());
        self.threads.start(thread, move || {
            while let Some(changed) = store.wait_for_change(LONG_WAIT) {
                let Some(hints) = hints.upgrade() else { return };
                let woken = u32::try_from(hints.on_changed(&changed)).unwrap_or(u32::MAX);
                drop(hints);
                store.pause(PAUSE_PER_CONNECTION.saturating_mul(woken).min(MAX_PAUSE));
            }
        })
    }

    /// Waits until the thread has ended.
    pub(super) fn wait(&self) {
        self.threads.wait();
    }

    /// From now on, the connection of `handle` gets the hints for this login. Hints about all
    /// groups of the account, at most [`MAX_PAGE`], are ready at once.
    pub(super) fn watch(self: &Arc<Self>, login: Login, handle: ConnectionHandle) -> Watch {
        let groups = self.store.read(|registry| {
            let groups = registry.groups_of(login.account, None, MAX_PAGE).items;
            let groups = groups.into_iter();
            groups
                .map(|group| (group.id, ChangedGroup::default()))
                .collect()
        });
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = WatchId(state.last_id);
        let account = login.account;
        let watching = Watching {
            account,
            handle,
            groups,
            swarms: BTreeMap::new(),
            has_news: true,
            lacks: BTreeSet::new(),
        };
        state.connections.insert(id, watching);
        state.accounts.entry(account).or_default().insert(id);
        drop(state);
        Watch {
            hints: Arc::clone(self),
            id,
            login,
        }
    }

    /// The number of connections that watch.
    pub(super) fn connections(&self) -> usize {
        lock(&self.state).connections.len()
    }

    /// Adds hints about these changes. Returns the number of connections that get one.
    fn on_changed(&self, changed: &Changed) -> usize {
        let mut woken = Vec::new();
        let groups = changed.groups.iter().chain(&changed.reports);
        let groups: BTreeSet<_> = groups.chain(changed.renamed.keys()).collect();
        for group in groups {
            let change = ChangedGroup {
                has_reports: changed.reports.contains(group),
                former: changed.renamed.get(group).cloned(),
            };
            let members = self.store.read(|registry| registry.subject_ids(*group));
            let add = |watching: &mut Watching| watching.add_group(*group, &change);
            lock(&self.state).add(&members, add, &mut woken);
        }
        let accounts: Vec<RowId> = changed.accounts.iter().copied().collect();
        let add = |watching: &mut Watching| !std::mem::replace(&mut watching.has_news, true);
        lock(&self.state).add(&accounts, add, &mut woken);
        woken.iter().for_each(ConnectionHandle::notify);
        woken.len()
    }

    /// A peer at this address has joined a swarm, or has become a seed of it. The peers that lack
    /// others in this swarm get a hint. `from` is the watch of the new peer, which gets none.
    pub(super) fn on_new_peer(
        &self,
        info_hash: InfoHash,
        address: SocketAddr,
        from: Option<&Watch>,
    ) {
        let mut woken = Vec::new();
        let mut state = lock(&self.state);
        let own = from.map(|watch| watch.id);
        let State {
            connections,
            lacking,
            ..
        } = &mut *state;
        let lacking = lacking.get(&info_hash).into_iter().flatten();
        for id in lacking.filter(|id| Some(**id) != own) {
            let Some(watching) = connections.get_mut(id) else {
                continue;
            };
            let has_room = watching.swarms.len() < MAX_HINTED;
            if !has_room && !watching.swarms.contains_key(&info_hash) {
                continue;
            }
            let addresses = watching.swarms.entry(info_hash).or_default();
            if addresses.len() < MAX_NEW_PEERS && !addresses.contains(&address) {
                addresses.push(address);
                woken.push(watching.handle.clone());
            }
        }
        drop(state);
        woken.iter().for_each(ConnectionHandle::notify);
    }

    /// Records whether the peer of this watch lacks other peers in a swarm.
    pub(super) fn set_lacking(&self, watch: &Watch, info_hash: InfoHash, lacks: bool) {
        let mut state = lock(&self.state);
        let Some(watching) = state.connections.get_mut(&watch.id) else {
            return;
        };
        match lacks {
            true if watching.lacks.len() < MAX_HINTED && watching.lacks.insert(info_hash) => {
                let lacking = state.lacking.entry(info_hash).or_default();
                lacking.push_back(watch.id);
                if lacking.len() > MAX_LACKING
                    && let Some(first) = lacking.pop_front()
                    && let Some(first) = state.connections.get_mut(&first)
                {
                    first.lacks.remove(&info_hash);
                }
            }
            false if watching.lacks.remove(&info_hash) => {
                state.remove_lacking(watch.id, info_hash);
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hints").finish_non_exhaustive()
    }
}

impl Watching {
    /// The next hint will name this group. Returns whether this is new.
    fn add_group(&mut self, group: RowId, change: &ChangedGroup) -> bool {
        let Some(known) = self.groups.get_mut(&group) else {
            self.groups.insert(group, change.clone());
            return true;
        };
        let has_new_reports = change.has_reports && !known.has_reports;
        known.has_reports |= change.has_reports;
        // After two renames, the peer still uses the earlier one of the two former names.
        let has_new_former = change.former.is_some() && known.former.is_none();
        known.former = known.former.take().or_else(|| change.former.clone());
        has_new_reports || has_new_former
    }
}

impl State {
    /// Calls `add` for each connection of these accounts. `add` returns whether it added something
    /// that did not wait before. If so, the connection's handle is pushed to `woken`.
    fn add(
        &mut self,
        accounts: &[RowId],
        add: impl Fn(&mut Watching) -> bool,
        woken: &mut Vec<ConnectionHandle>,
    ) {
        for account in accounts {
            for id in self.accounts.get(account).into_iter().flatten() {
                if let Some(watching) = self.connections.get_mut(id)
                    && add(watching)
                {
                    woken.push(watching.handle.clone());
                }
            }
        }
    }

    fn remove_lacking(&mut self, id: WatchId, info_hash: InfoHash) {
        if let Some(lacking) = self.lacking.get_mut(&info_hash) {
            lacking.retain(|other| *other != id);
            if lacking.is_empty() {
                self.lacking.remove(&info_hash);
            }
        }
    }
}

impl Watch {
    /// Whether `login` is the content of the token with which this watch was begun. After the peer
    /// has renewed its token, the content is another one.
    pub(super) fn is_for(&self, login: &Login) -> bool {
        self.login == *login
    }

    /// Takes what waits for the connection, but at most [`MAX_HINTED`] groups. Drops the groups in
    /// which the user is no longer a member.
    pub(in crate::tracker) fn take(&self) -> Waiting {
        if self.hints.logins.check_login(&self.login).is_err() {
            return Waiting::LoginEnded;
        }
        let (groups, swarms, has_news) = {
            let mut state = lock(&self.hints.state);
            let Some(watching) = state.connections.get_mut(&self.id) else {
                return Waiting::Nothing;
            };
            let mut groups = std::mem::take(&mut watching.groups);
            if groups.len() > MAX_HINTED
                && let Some(first) = groups.keys().nth(MAX_HINTED).copied()
            {
                watching.groups = groups.split_off(&first);
            }
            let swarms = std::mem::take(&mut watching.swarms);
            (groups, swarms, std::mem::take(&mut watching.has_news))
        };
        let account = self.login.account;
        let hint = self.hints.store.read(|registry| {
            let numbers = |group| group_numbers(registry, group, account);
            let groups = groups.into_iter().filter_map(numbers).collect();
            let swarms = swarms.into_iter();
            let swarms = swarms.filter(|(it, _)| registry.group_for_swarm(account, *it).is_some());
            let swarms = swarms.map(|(info_hash, addresses)| NewPeers {
                info_hash,
                addresses: addresses.into_iter().collect(),
            });
            Hint {
                groups,
                swarms: swarms.collect(),
                has_news,
            }
        });
        match hint == Hint::default() {
            true => Waiting::Nothing,
            false => Waiting::Hint(hint),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = lock(&self.hints.state);
        let Some(watching) = state.connections.remove(&self.id) else {
            return;
        };
        if let Some(ids) = state.accounts.get_mut(&watching.account) {
            ids.remove(&self.id);
            if ids.is_empty() {
                state.accounts.remove(&watching.account);
            }
        }
        for info_hash in watching.lacks {
            state.remove_lacking(self.id, info_hash);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.id).finish()
    }
}

/// What a hint says about a group, if the account is a member.
fn group_numbers(
    registry: &Registry,
    (group, change): (RowId, ChangedGroup),
    account: RowId,
) -> Option<GroupNumbers> {
    let is_member = registry.role_of(group, account).is_some();
    let numbers = registry.change_numbers(group);
    Some(GroupNumbers {
        group: registry.group_label(group).filter(|_| is_member)?,
        added: numbers.added,
        ended: numbers.ended,
        has_reports: change.has_reports,
        former: change.former,
    })
}
