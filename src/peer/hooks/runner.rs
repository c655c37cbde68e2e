//! The hooks of a peer: their state, and what their threads do.
//!
//! Locks: `looking` is held while a thread looks at shares and downloads; it may take the locks of
//! transfers and the other locks of this module. `file` is held over the write of the file. A
//! thread that holds it may take `state`, which is held for a look-up or a change. No lock of a
//! transfer is taken while `file` or `state` is held.

use super::ended::{EndState, report};
use super::event::{PeerFacts, environment, kind_of, name_of};
use super::process::{GivenUp, HookRun};
use super::queue::HookQueue;
use super::{HookKind, HookOptions, HookResult, HookStatus};
use crate::base::escape;
use crate::net::Stop;
use crate::peer::changes::Changes;
use crate::peer::group::{CatalogueNews, CatalogueSubscriber, ShareKey};
use crate::peer::{DownloadState, Membership, SwarmEntry, Transfers, now_ms};
use crate::storage::{
    EndedTransfer, HookFile, NewGroupShare, ReportedEnd, StoredHooks, TransferId, WaitingEvent,
};
use crate::swarm::Phase;
use crate::system::{lock, recover};
use crate::wire::access::GroupId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// The longest wait for an event or for a change before a thread looks again.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// The least time between two looks at all shares and downloads.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The hooks of a peer.
#[derive(Debug)]
pub(crate) struct Hooks {
    options: HookOptions,
    peer: PeerFacts,
    file: Mutex<HookFile>,
    looking: Mutex<()>,
    given_up: GivenUp,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<HookKind, HookQueue>,
    /// Events that wait and whose kind has no hook now. A later start may have one.
    kept: Vec<WaitingEvent>,
    /// The ends whose events wait or were reported. `None` at the first start with a hook for ends,
    /// until [`Hooks::begin`].
    reported: Option<BTreeMap<TransferId, ReportedEnd>>,
    /// What a user has ended, until it has left the map of transfers.
    ended_by_user: BTreeSet<TransferId>,
}

impl Hooks {
    /// The hooks of the peer with this state folder. Reads what earlier starts have reported.
    pub(crate) fn open(options: HookOptions, folder: &Path, address: String, name: String) -> Self {
        let file = HookFile::new(folder);
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let mut state = State::default();
        for kind in options.commands.keys() {
            state.queues.insert(*kind, HookQueue::default());
        }
        let hooks = Self {
            options,
            peer: PeerFacts {
                folder,
                address,
                name,
            },
            file: Mutex::new(file),
            looking: Mutex::default(),
            given_up: GivenUp::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        hooks.load();
        hooks
    }

    /// Reads what earlier starts have found. What belongs to hooks that this start does not have
    /// stays in the file.
    fn load(&self) {
        if self.options.commands.is_empty() {
            return;
        }
        let file = lock(&self.file).clone();
        let stored = file.load().unwrap_or_else(|error| {
            log::warn!("{error}: hooks are run only for what happens from now on");
            None
        });
        let stored = stored.unwrap_or_default();
        let mut state = lock(&self.state);
        let reported = stored.reported;
        state.reported = reported.map(|reported| reported.into_iter().collect());
        for event in stored.waiting {
            match state.queues.get_mut(&kind_of(&event)) {
                Some(queue) => queue.restore(event),
                None => state.kept.push(event),
            }
        }
    }

    /// The kinds of events that have a hook.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = HookKind> {
        self.options.commands.keys().copied()
    }

    /// Whether a kind of event has a hook.
    pub(crate) fn has(&self, kind: HookKind) -> bool {
        self.options.commands.contains_key(&kind)
    }

    /// Whether ends of shares and downloads are reported: if one of them has a hook.
    pub(crate) fn reports_ends(&self) -> bool {
        self.has(HookKind::Complete) || self.has(HookKind::Error)
    }

    /// At the first start with a hook for ends, what has ended before counts as reported. To be
    /// called after the start has restored all transfers, and before [`Hooks::watch`]. `failed`:
    /// whether the record of a transfer says that it has failed.
    pub(crate) fn begin(&self, transfers: &Transfers, failed: impl Fn(&SwarmEntry) -> bool) {
        if !self.reports_ends() || lock(&self.state).reported.is_some() {
            return;
        }
        let ended = transfers.entries().into_iter().filter_map(|entry| {
            let end = match &entry {
                _ if failed(&entry) => ReportedEnd::Failed,
                SwarmEntry::Transfer(transfer) if transfer.plan.was_complete => {
                    let bytes = transfer.plan.selection.bytes();
                    ReportedEnd::Complete { bytes }
                }
                SwarmEntry::Transfer(_) | SwarmEntry::Search(_) => return None,
            };
            Some((id_of(&entry), end))
        });
        let ended = ended.collect();
        lock(&self.state).reported = Some(ended);
        self.store();
    }

    /// A user ends this share or download now, which is no error.
    pub(crate) fn on_ended_by_user(&self, entry: &SwarmEntry) {
        if self.reports_ends() {
            lock(&self.state).ended_by_user.insert(id_of(entry));
        }
    }

    /// This share or download is about to leave the map of transfers. If it has ended, and nobody
    /// has seen this yet, the event waits when this returns.
    pub(crate) fn on_leaving(&self, entry: &SwarmEntry) {
        if !self.reports_ends() || is_of_closed_run(entry) {
            return;
        }
        let _looking = lock(&self.looking);
        if self.look_at(entry) {
            self.store();
            self.changed.notify_all();
        }
    }

    /// Adds new shares of groups. When this returns, they survive a crash. Returns those for which
    /// there is no room now.
    fn on_new_shares(&self, shares: Vec<(ShareKey, NewGroupShare)>) -> Vec<ShareKey> {
        let mut refused = Vec::new();
        let mut state = lock(&self.state);
        let Some(queue) = state.queues.get_mut(&HookKind::Share) else {
            return refused;
        };
        for (key, share) in shares {
            let event = WaitingEvent::New(share);
            // After a crash, a share may be reported again.
            let is_known = queue.events().any(|other| *other == event);
            if !is_known && !queue.add(event) {
                refused.push(key);
            }
        }
        drop(state);
        self.store();
        self.changed.notify_all();
        refused
    }

    /// Looks for ends of shares and downloads after each change, until the stop. Runs on the thread
    /// `hook-events`.
    pub(crate) fn watch(&self, transfers: &Transfers, changes: &Changes, stop: &Stop) {
        loop {
            let change_count = changes.count();
            self.look(transfers);
            if stop.wait(LOOK_PAUSE) {
                return;
            }
            changes.wait(change_count, LONG_WAIT);
        }
    }

    fn look(&self, transfers: &Transfers) {
        let _looking = lock(&self.looking);
        let entries = transfers.entries();
        let mut is_changed = {
            let mut state = lock(&self.state);
            let present: BTreeSet<TransferId> = entries.iter().map(id_of).collect();
            state.ended_by_user.retain(|id| present.contains(id));
            let reported = state.reported.get_or_insert_default();
            let before = reported.len();
            reported.retain(|id, _| present.contains(id));
            reported.len() != before
        };
        for entry in entries.iter().filter(|entry| !is_of_closed_run(entry)) {
            is_changed |= self.look_at(entry);
        }
        if is_changed {
            self.store();
            self.changed.notify_all();
        }
    }

    /// Adds the event that follows from the state of a share or download, if there is one. If there
    /// is no room for it, a later look finds it again. Returns whether anything has changed.
    fn look_at(&self, entry: &SwarmEntry) -> bool {
        let (id, end) = (id_of(entry), state_of(entry));
        let (before, report) = {
            let state = lock(&self.state);
            let end = match state.ended_by_user.contains(&id) {
                true => EndState::Unsettled,
                false => end,
            };
            let before = state.reported.as_ref();
            let before = before.and_then(|reported| reported.get(&id)).copied();
            (before, report(before, end))
        };
        let event = report.event.filter(|(kind, _)| self.has(*kind));
        let event = event.and_then(|(kind, reason)| {
            let event = ended_event(entry, report.reported?, reason);
            Some((kind, event))
        });
        if event.is_none() && report.reported == before {
            return false;
        }
        let mut state = lock(&self.state);
        if let Some((kind, event)) = event {
            // The user may have ended it meanwhile.
            let is_wanted = !state.ended_by_user.contains(&id);
            if !is_wanted || !state.queues.entry(kind).or_default().add(event) {
                return false;
            }
        }
        let reported = state.reported.get_or_insert_default();
        match report.reported {
            Some(end) => reported.insert(id, end),
            None => reported.remove(&id),
        };
        true
    }

    /// Runs the hooks of one kind of event, one after the other, until the stop. Runs on a thread
    /// of its own.
    pub(crate) fn run(&self, kind: HookKind, stop: &Stop) {
        while let Some(event) = self.next(kind, stop) {
            let result = self.run_one(&event, stop);
            let mut state = lock(&self.state);
            if let Some(queue) = state.queues.get_mut(&kind) {
                queue.end(result);
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for the next event of a kind. `None` at the stop.
    fn next(&self, kind: HookKind, stop: &Stop) -> Option<WaitingEvent> {
        let mut state = lock(&self.state);
        loop {
            if stop.is_stopped() {
                return None;
            }
            let event = state.queues.get_mut(&kind).and_then(HookQueue::begin);
            if event.is_some() {
                return event;
            }
            state = recover(self.changed.wait_timeout(state, LONG_WAIT)).0;
        }
    }

    fn run_one(&self, event: &WaitingEvent, stop: &Stop) -> HookResult {
        let kind = kind_of(event);
        let (option, name) = (kind.option(), name_of(event));
        let environment = environment(event, &self.peer, std::env::vars_os());
        let on_begun = || {
            let mut state = lock(&self.state);
            if let Some(queue) = state.queues.get_mut(&kind) {
                queue.note_begun();
            }
            drop(state);
            self.store();
        };
        let ended = self.options.commands.get(&kind).map(|command| {
            let run = HookRun {
                command,
                environment: &environment,
                time: self.options.time,
                stop,
                given_up: &self.given_up,
            };
            self.given_up.reap();
            let ended = run.run(on_begun, |line| log::info!("--{option}: {line}"));
            ended.map_err(|errno| {
                on_begun();
                let cause = crate::system::cause(&io::Error::from(errno));
                format!("cannot start {}: {cause}", escape(&command.program))
            })
        });
        let (is_success, text) = match ended {
            Some(Ok(end)) => (end.is_success(), end.text(self.options.time)),
            Some(Err(why)) => (false, why),
            None => (false, "there is no hook".to_owned()),
        };
        match is_success {
            true => log::info!("--{option} for {name}: {text}"),
            false => log::warn!("--{option} for {name}: {text}"),
        }
        HookResult {
            name: name.to_owned(),
            ended_ms: now_ms(),
            is_success,
            text,
        }
    }

    /// Waits until the hooks that run now have ended and, with `all`, those of everything that has
    /// happened so far. When this has taken as long as one hook may take, no further hook begins.
    /// The wait is over at the stop. Calls `on_wait` with the number of hooks before the wait.
    pub(crate) fn finish(
        &self,
        transfers: &Transfers,
        all: bool,
        stop: &Stop,
        on_wait: impl FnOnce(usize),
    ) {
        if all && self.reports_ends() {
            self.look(transfers);
        }
        let finish = |state: &mut State, none: bool| -> usize {
            let queues = state.queues.values_mut();
            queues.map(|queue| queue.finish(none)).sum()
        };
        let count = finish(&mut lock(&self.state), !all);
        if count == 0 {
            return;
        }
        on_wait(count);
        let until = Instant::now().checked_add(self.options.time);
        let mut state = lock(&self.state);
        while !stop.is_stopped() && !state.queues.values().all(HookQueue::is_finished) {
            if until.is_some_and(|until| Instant::now() >= until) {
                finish(&mut state, true);
            }
            state = recover(self.changed.wait_timeout(state, LOOK_PAUSE)).0;
        }
    }

    /// Wakes the threads, so that they see the stop.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// The hooks, for `status`.
    pub(crate) fn status(&self) -> Vec<HookStatus> {
        let state = lock(&self.state);
        let queues = state.queues.iter();
        queues.map(|(kind, queue)| queue.status(*kind)).collect()
    }

    /// Writes the file. If this fails, a hook may run again after a restart.
    fn store(&self) {
        let file = lock(&self.file);
        let stored = lock(&self.state).to_stored();
        if let Err(error) = file.store(&stored) {
            log::warn!("a hook may run again after a restart: {error}");
        }
    }
}

impl CatalogueSubscriber for Hooks {
    fn is_active(&self) -> bool {
        self.has(HookKind::Share)
    }

    fn wants(&self, _: GroupId, _: &Membership) -> bool {
        self.has(HookKind::Share)
    }

    fn on_catalogue(&self, news: &CatalogueNews<'_>) -> Vec<ShareKey> {
        let Membership { user, group } = news.membership;
        let shares = news.added.iter().map(|entry| {
            let share = NewGroupShare {
                user: user.clone(),
                group: group.clone(),
                name: entry.name.clone(),
                version: entry.version,
                note: entry.note.clone(),
                info_hash: entry.info_hash,
                length: entry.length,
                publisher: entry.publisher.clone(),
            };
            (ShareKey::of(entry), share)
        });
        let shares: Vec<_> = shares.collect();
        match shares.is_empty() {
            true => Vec::new(),
            false => self.on_new_shares(shares),
        }
    }

    fn has_room(&self, membership: &Membership) -> bool {
        let state = lock(&self.state);
        let queue = state.queues.get(&HookKind::Share);
        queue.is_none_or(|queue| queue.has_room(&membership.group))
    }
}

impl State {
    fn to_stored(&self) -> StoredHooks {
        let waiting = self.queues.values().flat_map(HookQueue::not_begun);
        let reported = self.reported.as_ref();
        StoredHooks {
            waiting: self.kept.iter().chain(waiting).cloned().collect(),
            reported: reported
                .map(|reported| reported.iter().map(|(id, end)| (*id, *end)).collect()),
        }
    }
}

fn id_of(entry: &SwarmEntry) -> TransferId {
    TransferId {
        info_hash: entry.info_hash(),
        added_ms: entry.added_ms(),
    }
}

fn is_of_closed_run(entry: &SwarmEntry) -> bool {
    match entry {
        SwarmEntry::Transfer(transfer) => transfer.plan.is_of_closed_run,
        SwarmEntry::Search(_) => false,
    }
}

fn state_of(entry: &SwarmEntry) -> EndState {
    match entry {
        SwarmEntry::Search(search) => match search.status().state {
            DownloadState::Failed(reason) => EndState::Failed(reason),
            _ => EndState::UnderWay,
        },
        SwarmEntry::Transfer(transfer) => match transfer.phase() {
            Phase::Fetching { .. } => EndState::UnderWay,
            Phase::Complete | Phase::Withdrawn { .. } => EndState::Complete {
                is_download: transfer.plan.is_download(),
                bytes: transfer.plan.selection.bytes(),
            },
            Phase::Failed { .. } | Phase::Lost { .. } if transfer.is_place_taken() => {
                EndState::Unsettled
            }
            Phase::Failed { reason } => EndState::Failed(reason),
            Phase::Lost { reason } => EndState::Lost(reason),
            Phase::Checking | Phase::Waiting { .. } | Phase::Finishing | Phase::Retired => {
                EndState::Unsettled
            }
        },
    }
}

/// The event of the end of a share or download.
fn ended_event(entry: &SwarmEntry, end: ReportedEnd, reason: Option<String>) -> WaitingEvent {
    let path = entry.path();
    let (version, length, membership) = match entry {
        SwarmEntry::Search(_) => (None, None, None),
        SwarmEntry::Transfer(transfer) => (
            transfer.version().map(|version| version.number),
            Some(transfer.plan.selection.bytes()),
            transfer
                .membership()
                .map(|it| (it.user.to_string(), it.group.to_string())),
        ),
    };
    WaitingEvent::Ended(EndedTransfer {
        id: id_of(entry),
        end,
        name: entry.name().to_owned(),
        version,
        length,
        path: Some(std::path::absolute(&path).unwrap_or(path)),
        membership,
        reason,
    })
}
