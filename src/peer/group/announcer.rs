//! Announces to the swarms of groups, over the control line of whoever is logged in.
//!
//! One thread goes through what is due; what is due of one group at a time goes into one request, over a line that stays
//! open. It also fetches certificates in time, and ends links with those who are no members any more.

use super::{Group, now};
use crate::peer::account::AccountError;
use crate::peer::shared::Shared;
use crate::peer::transfer::{Phase, Transfer};
use crate::torrent::{InfoHash, PieceSet};
use crate::wire::Event;
use crate::wire::access::{Announce, AnnounceEvent, Announces, MAX_ANNOUNCES, Peers, Refused};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time between two looks at who is logged in and at the links.
const LOOK: Duration = Duration::from_secs(1);
/// A download that has nobody to ask announces this often.
const HUNGRY: Duration = Duration::from_secs(3);
/// The pause after a failure; it doubles with each, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often it is asked whether what is complete may be shared again that may not be now.
const OUTSIDE: Duration = Duration::from_secs(30);
/// The interval of a peer that listens nowhere, in seconds: it has nothing to announce.
const NOWHERE: u32 = 60;
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a log-out waits until trackers have heard of it.
const REST: Duration = Duration::from_secs(2);

/// What is announced, and when next.
#[derive(Debug, Default)]
pub(in crate::peer) struct GroupAnnouncer {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Schedule {
    tasks: HashMap<InfoHash, Task>,
    ended: bool,
}

#[derive(Debug)]
struct Task {
    transfer: Arc<Transfer>,
    due: Instant,
    event: Option<AnnounceEvent>,
    /// A tracker has heard of it.
    started: bool,
    /// It ends once `stopped` was tried.
    last: bool,
    /// After `stopped`, it is not announced until it is woken.
    resting: bool,
    failures: u32,
    trouble: Option<String>,
}

/// An announce that is due.
#[derive(Debug)]
struct Due {
    transfer: Arc<Transfer>,
    event: Option<AnnounceEvent>,
}

/// What came of an announce.
#[derive(Clone)]
enum Outcome {
    /// Announce again after so long.
    Again(Duration),
    /// Nobody of the group is logged in.
    Suspended(String),
    /// It is not to be shared with this user any more.
    Out(String),
    /// It could not be said.
    Failed(String),
}

impl GroupAnnouncer {
    /// Announces a transfer as soon as possible, and from then on.
    pub(in crate::peer) fn announce(&self, transfer: &Arc<Transfer>, event: Option<Event>) {
        let event = event.and_then(|event| match event {
            Event::Started => Some(AnnounceEvent::Started),
            Event::Completed => Some(AnnounceEvent::Completed),
            Event::Stopped => Some(AnnounceEvent::Stopped),
            Event::Paused => None,
        });
        let mut schedule = self.schedule();
        let task = schedule
            .tasks
            .entry(transfer.info_hash())
            .or_insert_with(|| Task::new(transfer));
        if task.last || !Arc::ptr_eq(&task.transfer, transfer) {
            // The same share, begun anew.
            *task = Task::new(transfer);
        }
        if task.started && !task.resting {
            task.event = event.or(task.event);
        }
        task.due = Instant::now();
        drop(schedule);
        self.changed.notify_all();
    }

    /// Somebody has logged in: what was suspended may go on.
    pub(in crate::peer) fn wake(&self) {
        let now = Instant::now();
        for task in self.schedule().tasks.values_mut() {
            task.due = now;
            if std::mem::take(&mut task.resting) && !task.last {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
            }
        }
        self.changed.notify_all();
    }

    /// Has a tracker told that what is shared and downloaded in these groups stops, while that may still be said in its
    /// user's name; waits for that, but not for long. None of it is announced until [`GroupAnnouncer::wake`].
    pub(in crate::peer) fn rest(&self, whose: impl Fn(&Group) -> bool) {
        let mut schedule = self.schedule();
        let until = Instant::now() + REST;
        for task in schedule.tasks.values_mut() {
            let is_whose = task.transfer.group.as_deref().is_some_and(&whose);
            if is_whose && !task.last {
                task.resting = true;
                task.due = Instant::now();
                task.event = task.started.then_some(AnnounceEvent::Stopped);
            }
        }
        self.changed.notify_all();
        while schedule.tasks.values().any(Task::is_stopping) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                log::info!("trackers were not told in time that sharing stops");
                return;
            }
            let waited = self.changed.wait_timeout(schedule, left);
            schedule = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has a tracker told that a transfer ends here, if one has heard of it, and forgets it.
    pub(in crate::peer) fn leave(&self, info_hash: InfoHash) {
        let mut schedule = self.schedule();
        let now = Instant::now();
        schedule.tasks.retain(|hash, task| {
            if *hash == info_hash {
                task.last = true;
                task.event = Some(AnnounceEvent::Stopped);
                task.due = now;
            }
            *hash != info_hash || task.started
        });
        drop(schedule);
        self.changed.notify_all();
    }

    /// Whether it is announced.
    pub(in crate::peer) fn announces(&self, info_hash: InfoHash) -> bool {
        let schedule = self.schedule();
        schedule
            .tasks
            .get(&info_hash)
            .is_some_and(|task| !task.last)
    }

    /// The latest trouble with it, if there is one.
    pub(in crate::peer) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        self.schedule().tasks.get(&info_hash)?.trouble.clone()
    }

    /// Tells that everything ends here, without waiting for longer than a moment. Nothing is announced after that.
    pub(in crate::peer) fn farewell(&self, shared: &Arc<Shared>) {
        let tasks = {
            let mut schedule = self.schedule();
            schedule.ended = true;
            std::mem::take(&mut schedule.tasks)
        };
        self.changed.notify_all();
        let started = tasks.into_values().filter(|task| task.started);
        let mut started: Vec<Due> = started
            .map(|task| Due {
                transfer: task.transfer,
                event: Some(AnnounceEvent::Stopped),
            })
            .collect();
        if started.is_empty() {
            return;
        }
        started.sort_by_key(|due| {
            due.transfer
                .authority
                .map(|authority| authority.to_string())
        });
        let (done, finished) = crossbeam::channel::bounded::<()>(0);
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("farewell".to_owned())
            .spawn(move || {
                let done = done;
                let groups = started.chunk_by(|one, next| one.is_with(&next.transfer));
                for batch in groups.flat_map(|group| group.chunks(MAX_ANNOUNCES)) {
                    if say(&shared, batch, drop).is_err() {
                        break;
                    }
                }
                drop(done);
            });
        match spawned {
            // One that waits for a tracker which does not answer holds nothing, and must not hold up the end.
            Ok(_) => drop(finished.recv_timeout(FAREWELL)),
            Err(error) => log::warn!("trackers are not told of the end: {error}"),
        }
    }

    /// Works on what is due until the peer stops. Runs on the thread `group-announce`.
    pub(in crate::peer) fn run(&self, shared: &Arc<Shared>) {
        let mut looked = Instant::now();
        while let Some(due) = self.next_due() {
            if looked.elapsed() >= LOOK {
                look_at_links(shared);
                looked = Instant::now();
            }
            for (due, outcome) in due.iter().zip(attempt(shared, &due)) {
                self.settle(shared, due, outcome);
            }
        }
    }

    /// What is due of one group, as much as one request takes; nothing for now, or `None` at the end.
    fn next_due(&self) -> Option<Vec<Due>> {
        let mut schedule = self.schedule();
        let begun = Instant::now();
        loop {
            if schedule.ended {
                return None;
            }
            let now = Instant::now();
            let awake = || schedule.tasks.values().filter(|task| !task.rests());
            let next = awake().min_by_key(|task| task.due);
            match next {
                Some(first) if first.due <= now => {
                    // Not what was due first alone: it goes in any case.
                    let first = first.as_due();
                    let others = awake().filter(|task| {
                        task.due <= now
                            && first.is_with(&task.transfer)
                            && !Arc::ptr_eq(&task.transfer, &first.transfer)
                    });
                    let mut due: Vec<Due> =
                        others.take(MAX_ANNOUNCES - 1).map(Task::as_due).collect();
                    due.push(first);
                    return Some(due);
                }
                _ if now.duration_since(begun) >= LOOK => return Some(Vec::new()),
                _ => {}
            }
            let pause = next.map_or(LOOK, |task| task.due.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(schedule, pause.min(LOOK));
            schedule = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn settle(&self, shared: &Arc<Shared>, due: &Due, outcome: Outcome) {
        let (transfer, event) = (&due.transfer, due.event);
        // What becomes of the transfer takes its own locks.
        let stays = match &outcome {
            Outcome::Out(reason) => transfer.goes_out(shared, reason),
            _ => true,
        };
        let mut schedule = self.schedule();
        let task = schedule.tasks.get_mut(&transfer.info_hash());
        let Some(task) = task.filter(|task| Arc::ptr_eq(&task.transfer, transfer)) else {
            return;
        };
        if task.last && event == Some(AnnounceEvent::Stopped) {
            schedule.tasks.remove(&transfer.info_hash());
            return;
        }
        if task.resting {
            if event == Some(AnnounceEvent::Stopped) {
                // Said or not, it is not tried again: whoever waits goes on then.
                task.event = None;
                self.changed.notify_all();
            } else if matches!(outcome, Outcome::Again(_)) {
                // What was under way has made it known once more.
                task.event = Some(AnnounceEvent::Stopped);
            }
            return;
        }
        let now = Instant::now();
        let trouble = match outcome {
            Outcome::Again(pause) => {
                task.started = true;
                task.failures = 0;
                // What came up while this one was under way is still to be told.
                if task.event == event {
                    task.event = None;
                    task.due = now + pause;
                }
                None
            }
            Outcome::Suspended(trouble) => {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
                task.due = now + LOOK;
                Some(trouble)
            }
            Outcome::Failed(trouble) => {
                task.failures = task.failures.saturating_add(1);
                let pause = RETRY.0 * (1 << (task.failures - 1).min(8));
                task.due = now + pause.min(RETRY.1);
                Some(trouble)
            }
            Outcome::Out(_) if stays => {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
                task.due = now + OUTSIDE;
                return;
            }
            Outcome::Out(reason) => {
                schedule.tasks.remove(&transfer.info_hash());
                drop(schedule);
                return transfer.fail(shared, &reason);
            }
        };
        if trouble.is_some() && trouble != task.trouble {
            let told = trouble.as_deref().unwrap_or_default();
            log::warn!("{}: {told}", transfer.name());
        }
        task.trouble = trouble;
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn new(transfer: &Arc<Transfer>) -> Self {
        Self {
            transfer: Arc::clone(transfer),
            due: Instant::now(),
            event: Some(AnnounceEvent::Started),
            started: false,
            last: false,
            resting: false,
            failures: 0,
            trouble: None,
        }
    }

    fn as_due(&self) -> Due {
        Due {
            transfer: Arc::clone(&self.transfer),
            event: self.event,
        }
    }

    /// Whether somebody waits until `stopped` was tried.
    fn is_stopping(&self) -> bool {
        self.resting && self.event == Some(AnnounceEvent::Stopped)
    }

    /// Whether it is not announced now.
    fn rests(&self) -> bool {
        self.resting && self.event.is_none()
    }
}

impl Due {
    fn stops(&self) -> bool {
        self.event == Some(AnnounceEvent::Stopped)
    }

    /// Whether one request may announce both: they are of one group, as one user is in it.
    fn is_with(&self, other: &Transfer) -> bool {
        let group = |transfer: &Transfer| transfer.group.as_ref().map(Arc::as_ptr);
        group(&self.transfer) == group(other) && self.transfer.authority == other.authority
    }
}

/// Says it, with a certificate at hand, and takes in what the answer tells. What is due is of one group.
fn attempt(shared: &Shared, due: &[Due]) -> Vec<Outcome> {
    let all = |outcome: Outcome| vec![outcome; due.len()];
    let Some(first) = due.first() else {
        return Vec::new();
    };
    let Some(group) = &first.transfer.group else {
        return all(Outcome::Failed("it is of no group".to_owned()));
    };
    if shared.account.user().as_ref() != Some(&group.user) {
        group.suspend();
        for due in due {
            due.transfer.close_links("its user is not logged in");
        }
        let user = &group.user;
        let trouble = format!("suspended until {user} is logged in here");
        return all(Outcome::Suspended(trouble));
    }
    let authority = first.transfer.authority;
    let goes_on = due.iter().any(|due| !due.stops());
    if goes_on
        && group.needs_certificate()
        && let Err(error) = shared.groups.certify(&shared.account, group)
    {
        return all(failed(group, &error));
    }
    let (mut interval, mut barred) = (u32::MAX, Vec::new());
    let mut heard: Vec<Heard> = due.iter().map(|_| Heard::default()).collect();
    let said = say(shared, due, |peers| {
        if peers.swarms.iter().any(Result::is_ok) {
            interval = interval.min(peers.interval.max(1));
        }
        barred.extend(peers.barred);
        let certified = group.tls(authority).is_some();
        for ((due, heard), swarm) in due.iter().zip(&mut heard).zip(peers.swarms) {
            match swarm {
                Err(refused) => heard.refused = Some(refused),
                // What one tracker knows is of use before the next has answered.
                Ok(addresses) if certified && !due.stops() => {
                    heard.taken = true;
                    due.transfer.add_candidates(shared, addresses);
                }
                Ok(addresses) => {
                    heard.taken = true;
                    heard.addresses.extend(addresses);
                }
            }
        }
    });
    let trouble = match said {
        Ok(trouble) => trouble,
        Err(error) => return all(failed(group, &error)),
    };
    // The group of the share is the asker's, but the certificate is of another one: that of an earlier group of that name.
    let goes_on = due.iter().zip(&heard);
    let mut goes_on = goes_on.filter(|(due, heard)| heard.taken && !due.stops());
    let uncertified = if goes_on.next().is_some() && group.tls(authority).is_none() {
        match shared.groups.certify(&shared.account, group) {
            Err(error) => Some(failed(group, &error)),
            Ok(_) if group.tls(authority).is_none() => Some(Outcome::Failed(format!(
                "{} is another group now than the one that has this share",
                group.label
            ))),
            Ok(_) => None,
        }
    } else {
        None
    };
    if heard.iter().any(|heard| heard.taken) {
        group.bar(&barred);
    }
    let pause = Duration::from_secs(interval.into());
    let outcomes = due.iter().zip(heard).map(|(due, heard)| {
        match (heard.taken, heard.refused, &trouble, &uncertified) {
            (true, _, _, Some(outcome)) if !due.stops() => outcome.clone(),
            (true, ..) if due.stops() => Outcome::Again(pause),
            (true, ..) => {
                due.transfer.comes_back(shared);
                due.transfer.add_candidates(shared, heard.addresses);
                Outcome::Again(if due.transfer.is_without_owner() {
                    pause.min(HUNGRY)
                } else {
                    pause
                })
            }
            // A tracker that does not answer may know better.
            (_, Some(refused), Some(trouble), _) => {
                Outcome::Failed(format!("{refused}; {trouble}"))
            }
            (_, Some(refused), None, _) => failed(group, &AccountError::Refused(refused)),
            (false, None, ..) => Outcome::Failed(trouble.clone().unwrap_or_default()),
        }
    });
    outcomes.collect()
}

/// What trackers said to one announce.
#[derive(Default)]
struct Heard {
    /// One of them took it.
    taken: bool,
    /// Who else is in the swarm, as long as there is nothing to show to them.
    addresses: Vec<SocketAddr>,
    refused: Option<Refused>,
}

fn failed(group: &Group, error: &AccountError) -> Outcome {
    match error.kind() {
        // One share may be off the catalogue while others of the group are on it.
        "not-in-catalogue" => {
            group.doubt();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        "not-a-member" | "unknown-group" => {
            group.suspend();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        "not-logged-in" | "session-ended" | "account-gone" => {
            group.suspend();
            Outcome::Suspended(format!("suspended until {} is logged in here", group.user))
        }
        _ => Outcome::Failed(error.to_string()),
    }
}

/// Tells all trackers, of announces of one group; `found` takes in what each answers. Gives back why some did not, if so.
fn say(
    shared: &Shared,
    due: &[Due],
    mut found: impl FnMut(Peers),
) -> Result<Option<String>, AccountError> {
    let swarms = due.iter().map(|due| Announce {
        info_hash: due.transfer.info_hash(),
        uploaded: due.transfer.uploaded_bytes(),
        downloaded: due.transfer.downloaded_bytes(),
        left: due.transfer.bytes_left(),
        event: due.event,
    });
    let announces = NonZeroU16::new(shared.address.port())
        .and_then(|port| Announces::new(shared.peer_id, port, swarms.collect()));
    match announces {
        Some(announces) => shared.account.announce(announces, found),
        None => {
            found(Peers {
                swarms: due.iter().map(|_| Ok(Vec::new())).collect(),
                interval: NOWHERE,
                barred: Vec::new(),
            });
            Ok(None)
        }
    }
}

/// Ends links whose other side is no member any more, or whose certificate has ended.
fn look_at_links(shared: &Shared) {
    let now = now();
    for transfer in shared.transfers() {
        let Some(group) = &transfer.group else {
            continue;
        };
        let links: Vec<_> = transfer.state().links.values().cloned().collect();
        for link in links {
            let Some(member) = &link.member else { continue };
            if group.is_barred(&member.user) {
                link.close(format!("{} is no member any more", member.user));
            } else if member.validity.not_after.since_1970() <= now {
                link.close(format!("the certificate of {} has ended", member.user));
            }
        }
    }
}

impl Transfer {
    /// A download that has nobody to ask.
    fn is_without_owner(&self) -> bool {
        let state = self.state();
        let asks = |id| state.picker.is_interesting(id);
        state.phase == Phase::Active && !state.links.keys().any(|id| asks(*id))
    }

    /// Its user may not have it any more, or it is off the catalogue. Says whether it stays here, to come back: what is
    /// complete does, as the file is its user's.
    fn goes_out(&self, shared: &Shared, reason: &str) -> bool {
        {
            let mut state = self.state();
            match state.phase {
                Phase::Complete if state.out => return true,
                Phase::Complete => state.out = true,
                // These are not announced, and say why themselves.
                Phase::Lost(_) | Phase::Failed(_) => return true,
                _ => return false,
            }
        }
        shared.owned.remove(self.info_hash());
        self.close_links(reason);
        self.set_trouble(format!("not shared any more: {reason}"));
        shared.notify_change();
        true
    }

    /// Its user may have it: if it was complete and could not be shared, it is from now on. Says whether that is so.
    pub(super) fn comes_back(self: &Arc<Self>, shared: &Shared) -> bool {
        let current = shared.transfer(self.info_hash());
        if !current.is_some_and(|current| Arc::ptr_eq(&current, self)) {
            return false;
        }
        {
            let mut state = self.state();
            if !std::mem::take(&mut state.out) {
                return false;
            }
            state.trouble = None;
            if state.phase != Phase::Complete {
                return false;
            }
            let whole = PieceSet::full(self.info().lengths());
            shared.owned.insert(Arc::clone(self), whole);
        }
        log::info!("{}: shared again", self.name());
        shared.notify_change();
        true
    }
}
