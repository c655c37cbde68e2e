//! The hooks of a peer: their state, and what their threads do.
//!
//! Locks: `file` is held over the write of the file. Whoever holds it may take `state`, which is
//! held for a look-up or a change. No lock of a transfer is taken while one of them is held.

use super::ended::{EndState, report};
use super::event::{EventCause, HookEvent, PeerFacts, ShareFacts};
use super::process::HookRun;
use super::queue::HookQueue;
use super::{HookKind, HookOptions, HookResult, HookStatus};
use crate::base::escape;
use crate::net::Stop;
use crate::peer::changes::Changes;
use crate::peer::group::{CatalogueNews, CatalogueSubscriber};
use crate::peer::{DownloadState, Membership, SwarmEntry, Transfers, now_ms};
use crate::storage::{HookFile, NewGroupShare, ReportedEnd, StoredHooks, TransferId};
use crate::swarm::Phase;
use crate::system::{lock, recover};
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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<HookKind, HookQueue>,
    /// The ends whose hooks have begun or were left out. `None` at the first start with a hook for
    /// ends, until [`Hooks::begin`].
    reported: Option<BTreeMap<TransferId, ReportedEnd>>,
    /// What was decided last about each share and download: the end that is reported when the hooks
    /// of all its events have begun.
    decided: BTreeMap<TransferId, Option<ReportedEnd>>,
    /// What a user has ended, until it has left the map of transfers.
    ended_by_user: BTreeSet<TransferId>,
    /// How many looks at the transfers have begun, and the number of the last one that has ended.
    looks: (u64, u64),
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
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        hooks.load();
        hooks
    }

    fn load(&self) {
        let file = lock(&self.file).clone();
        if self.options.commands.is_empty() {
            // A later start with a hook begins anew.
            if let Err(error) = file.remove() {
                log::warn!("{error}");
            }
            return;
        }
        let stored = file.load().unwrap_or_else(|error| {
            log::warn!("{error}: hooks are run only for what happens from now on");
            None
        });
        let stored = stored.unwrap_or_default();
        let mut state = lock(&self.state);
        if self.reports_ends() {
            let reported = stored.reported;
            state.reported = reported.map(|reported| reported.into_iter().collect());
        }
        if let Some(queue) = state.queues.get_mut(&HookKind::Share) {
            for share in stored.waiting {
                queue.add(HookEvent::of_new_share(share));
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

    /// Adds new shares of groups. When this returns, they survive a crash.
    fn on_new_shares(&self, shares: Vec<NewGroupShare>) {
        let mut left_out = None;
        let mut state = lock(&self.state);
        let Some(queue) = state.queues.get_mut(&HookKind::Share) else {
            return;
        };
        for share in shares {
            let event = HookEvent::of_new_share(share);
            // After a crash, a share may be reported again.
            let is_known = queue.events().any(|other| other.cause == event.cause);
            let name = event.share.name.clone();
            if !is_known && !queue.add(event) {
                left_out = Some(name);
            }
        }
        drop(state);
        if let Some(name) = left_out {
            log_left_out(HookKind::Share, &name);
        }
        self.store();
        self.changed.notify_all();
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
        lock(&self.state).looks.0 += 1;
        let entries = transfers.entries();
        let entries = entries.iter().filter(|entry| !is_of_closed_run(entry));
        let states: Vec<_> = entries
            .map(|entry| (entry, id_of(entry), state_of(entry)))
            .collect();
        let (events, is_changed) = self.decide(&states);
        let mut left_out = Vec::new();
        for (entry, event) in events {
            let event = HookEvent {
                share: facts_of(entry),
                ..event
            };
            let (kind, name) = (event.kind, event.share.name.clone());
            let mut state = lock(&self.state);
            let queue = state.queues.entry(kind).or_default();
            let cause = event.cause.clone();
            if !queue.add(event) {
                state.note_reported(&cause);
                left_out.push((kind, name));
            }
        }
        for (kind, name) in &left_out {
            log_left_out(*kind, name);
        }
        if is_changed || !left_out.is_empty() {
            self.store();
        }
        let mut state = lock(&self.state);
        state.looks.1 = state.looks.0;
        drop(state);
        self.changed.notify_all();
    }

    /// The events that follow from the states, without their facts. Also whether what was reported
    /// has changed.
    fn decide<'a>(
        &self,
        states: &[(&'a SwarmEntry, TransferId, EndState)],
    ) -> (Vec<(&'a SwarmEntry, HookEvent)>, bool) {
        let (mut events, mut is_changed) = (Vec::new(), false);
        let mut state = lock(&self.state);
        let present: BTreeSet<TransferId> = states.iter().map(|(_, id, _)| *id).collect();
        state.ended_by_user.retain(|id| present.contains(id));
        state.decided.retain(|id, _| present.contains(id));
        let mut reported = state.reported.take().unwrap_or_default();
        reported.retain(|id, _| present.contains(id));
        for (entry, id, end) in states {
            let end = match state.ended_by_user.contains(id) {
                true => EndState::Unsettled,
                false => end.clone(),
            };
            let recorded = reported.get(id).copied();
            let before = state.decided.get(id).copied().unwrap_or(recorded);
            let report = report(before, end);
            state.decided.insert(*id, report.reported);
            match report.event.filter(|(kind, _)| self.has(*kind)) {
                // What is reported is recorded when the hook begins.
                Some((kind, reason)) => {
                    let Some(end) = report.reported else { continue };
                    let cause = EventCause::Ended(*id, end);
                    events.push((*entry, bare_event(entry, kind, cause, reason)));
                }
                None if report.reported == before => {}
                None => {
                    is_changed |= report.reported != recorded;
                    match report.reported {
                        Some(end) => reported.insert(*id, end),
                        None => reported.remove(id),
                    };
                }
            }
        }
        state.reported = Some(reported);
        (events, is_changed)
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
    fn next(&self, kind: HookKind, stop: &Stop) -> Option<HookEvent> {
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

    fn run_one(&self, event: &HookEvent, stop: &Stop) -> HookResult {
        let option = event.kind.option();
        let name = &event.share.name;
        let environment = event.environment(&self.peer, std::env::vars_os());
        let on_begun = || {
            let mut state = lock(&self.state);
            state.note_reported(&event.cause);
            if let Some(queue) = state.queues.get_mut(&event.kind) {
                queue.note_begun();
            }
            drop(state);
            self.store();
        };
        let ended = self.options.commands.get(&event.kind).map(|command| {
            let run = HookRun {
                command,
                environment: &environment,
                time: self.options.time,
                stop,
            };
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
            name: name.clone(),
            ended_ms: now_ms(),
            is_success,
            text,
        }
    }

    /// Waits until the hooks of everything that has happened so far have ended. The wait is over at
    /// the stop, and when it has taken as long as one hook may take.
    pub(crate) fn finish(&self, changes: &Changes, stop: &Stop) {
        if self.options.commands.is_empty() {
            return;
        }
        let until = Instant::now().checked_add(self.options.time);
        let begun = lock(&self.state).looks.0;
        while !stop.is_stopped() && until.is_none_or(|until| Instant::now() < until) {
            changes.notify();
            let state = lock(&self.state);
            let has_looked = !self.reports_ends() || state.looks.1 > begun;
            if has_looked && state.queues.values().all(HookQueue::is_idle) {
                return;
            }
            drop(self.changed.wait_timeout(state, LOOK_PAUSE));
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
    fn wants(&self, _: &Membership) -> bool {
        self.has(HookKind::Share)
    }

    fn on_catalogue(&self, news: &CatalogueNews<'_>) {
        let Membership { user, group } = news.membership;
        let shares = news.added.iter().map(|entry| NewGroupShare {
            user: user.clone(),
            group: group.clone(),
            name: entry.name.clone(),
            info_hash: entry.info_hash,
            length: entry.length,
            publisher: entry.publisher.clone(),
        });
        let shares: Vec<_> = shares.collect();
        if !shares.is_empty() {
            self.on_new_shares(shares);
        }
    }
}

impl State {
    /// The hook of this event has begun, or the event was left out.
    fn note_reported(&mut self, cause: &EventCause) {
        if let EventCause::Ended(id, end) = cause {
            self.reported.get_or_insert_default().insert(*id, *end);
        }
    }

    fn to_stored(&self) -> StoredHooks {
        let shares = self.queues.get(&HookKind::Share);
        let shares = shares.into_iter().flat_map(HookQueue::not_begun);
        let waiting = shares.filter_map(|event| match &event.cause {
            EventCause::New(share) => Some((**share).clone()),
            EventCause::Ended(..) => None,
        });
        let reported = self.reported.as_ref();
        StoredHooks {
            waiting: waiting.collect(),
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
            Phase::Failed { reason } => EndState::Failed(reason),
            Phase::Lost { reason } => EndState::Lost(reason),
            Phase::Checking | Phase::Waiting { .. } | Phase::Finishing | Phase::Retired => {
                EndState::Unsettled
            }
        },
    }
}

/// An event whose facts are still to be looked up, because that takes locks of the transfer.
fn bare_event(
    entry: &SwarmEntry,
    kind: HookKind,
    cause: EventCause,
    reason: Option<String>,
) -> HookEvent {
    HookEvent {
        kind,
        cause,
        share: ShareFacts {
            name: entry.name().to_owned(),
            info_hash: entry.info_hash(),
            length: None,
            path: None,
            membership: None,
            publisher: None,
        },
        reason,
    }
}

fn facts_of(entry: &SwarmEntry) -> ShareFacts {
    let path = entry.path();
    let (length, membership) = match entry {
        SwarmEntry::Search(_) => (None, None),
        SwarmEntry::Transfer(transfer) => (
            Some(transfer.plan.selection.bytes()),
            transfer
                .membership()
                .map(|it| (it.user.to_string(), it.group.to_string())),
        ),
    };
    ShareFacts {
        name: entry.name().to_owned(),
        info_hash: entry.info_hash(),
        length,
        path: Some(std::path::absolute(&path).unwrap_or(path)),
        membership,
        publisher: None,
    }
}

fn log_left_out(kind: HookKind, name: &str) {
    log::warn!(
        "--{} for {name}: not run, because too many events wait for this hook",
        kind.option()
    );
}
