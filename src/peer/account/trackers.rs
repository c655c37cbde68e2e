//! Requests to the trackers of TRACKER_INFO: which tracker is asked, and which one next.
//!
//! In scope: trying one tracker after the other, returning to the first one when it answers again,
//! reusing an open control connection. Out of scope: what is asked, and whose login it is.
//!
//! The first listed tracker is asked as long as it answers. A request for a catalogue asks the
//! trackers in the order in which the group prefers them. A tracker that fails is asked last for a
//! while: one second at first, then longer each time. A tracker that answers but does not serve is
//! asked last for one second. A request that a tracker received and did not answer goes to the next
//! tracker. A write keeps its [`WriteId`](crate::wire::access::WriteId), so that it is not carried
//! out twice. When all were asked, `attempts` decides whether to ask again.
//!
//! Locks: `known`, for a look-up or a change. A request takes its connection out of `known`, so
//! it does not hold the lock while it waits for the answer.

mod known;
mod tour;
mod watching;

use super::{
    AccountError, Attempts, ConnectionError, NextRound, OpenAttempts, Round, RoundReply,
    connection::{ControlConnection, TimeLimits},
    hint_inbox::HintInbox,
};
use crate::certificate::Fingerprint;
use crate::net::HostNames;
use crate::peer::announce::read_tracker_info;
use crate::peer::{ControlStatus, FirstUse, TrackerState, Trust, TrustError};
use crate::system::lock;
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessReplyMessage, AccessRequest, ClusterView, Token,
};
use crate::wire::{HostPort, TrackerInfo};
use known::KnownTracker;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long looking up the name of a tracker may take.
const LOOK_UP: Duration = Duration::from_secs(2);

/// A function that is called when a cluster is trusted for the first time.
#[derive(Clone)]
pub struct FirstUseNotice(Arc<dyn Fn(FirstUse<'_>) + Send + Sync>);

impl FirstUseNotice {
    /// Wraps the function.
    pub fn new(notify: impl Fn(FirstUse<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }
}

impl fmt::Debug for FirstUseNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstUseNotice")
    }
}

/// The trackers of TRACKER_INFO, and what is known of them.
#[derive(Debug)]
pub(super) struct ClusterTrackers {
    tracker_info: PathBuf,
    /// The state folder, in which the fingerprint of the cluster is stored.
    folder: PathBuf,
    first_use: FirstUseNotice,
    /// The cluster of the machine that this peer belongs to. `None` if the peer is a person's.
    machine_cluster: Option<Fingerprint>,
    known: Mutex<HashMap<HostPort, KnownTracker>>,
    names: HostNames,
    pub(super) inbox: HintInbox,
    /// Whether requests ask for hints. True once the thread that receives hints has started.
    wants_hints: AtomicBool,
}

/// The tracker that a request is asking now.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedTracker(Arc<Mutex<Option<HostPort>>>);

impl AskedTracker {
    fn set(&self, tracker: &HostPort) {
        *lock(&self.0) = Some(tracker.clone());
    }

    /// The address of the tracker. `None` before the first tracker is asked.
    pub(super) fn get(&self) -> Option<String> {
        lock(&self.0).as_ref().map(ToString::to_string)
    }
}

/// Why a request to one tracker has no answer.
pub(super) enum Trouble {
    /// The tracker cannot prove that it belongs to this cluster.
    Untrusted(TrustError),
    /// The tracker was not reached, or sent no usable answer.
    Silent {
        what: String,
        /// Whether the tracker may have received the request.
        sent: bool,
        /// Whether the tracker might have answered within longer time limits.
        may_answer_later: bool,
    },
}

impl ClusterTrackers {
    /// The trackers of the file `tracker_info`. `folder` is the state folder. No connection is
    /// opened yet. With `machine_cluster`, only the trackers of this cluster are trusted.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new(
        tracker_info: PathBuf,
        folder: &Path,
        first_use: FirstUseNotice,
        machine_cluster: Option<Fingerprint>,
    ) -> io::Result<Self> {
        Ok(Self {
            tracker_info,
            folder: folder.to_owned(),
            first_use,
            machine_cluster,
            known: Mutex::default(),
            names: HostNames::default(),
            inbox: HintInbox::new()?,
            wants_hints: AtomicBool::new(false),
        })
    }

    /// Asks the trackers one after the other, until one answers. `open`: the attempts of earlier
    /// requests of the same write that may have been carried out. `asked` is set to the tracker
    /// that is being asked.
    ///
    /// # Errors
    /// When TRACKER_INFO cannot be read, the outcome of a write is unknown, or no tracker answers
    /// ([`AccountError::Untrusted`] if one of them cannot be trusted).
    pub(super) fn ask(
        &self,
        ask: &AccessRequest,
        token: Option<&Token>,
        open: OpenAttempts,
        asked: &AskedTracker,
    ) -> Result<RoundReply, AccountError> {
        let mut attempts = Attempts::begin(ask, open, Instant::now());
        loop {
            let info = match self.info() {
                Ok(info) => info,
                Err(error) => return Err(attempts.error_for(error)),
            };
            let mut round = Round::new(info.addresses.len());
            let is_only = info.addresses.len() == 1;
            let trust = self.trust(&info);
            let order = match ask.group_with_peer_counts() {
                // Only the trackers that a group prefers receive its announces and can count peers.
                Some(group) => self.in_preferred_order(group, &info),
                None => self.in_order(&info),
            };
            for tracker in order {
                let Some(limits) = attempts.limits(is_only, Instant::now()) else {
                    break;
                };
                asked.set(tracker);
                match self.ask_at(tracker, &trust, ask, token, limits) {
                    Ok(reply) if attempts.on_reply(tracker, &reply) => {
                        // The reply is final.
                        return Ok(RoundReply {
                            open: attempts.into_open(),
                            ..RoundReply::of(reply)
                        });
                    }
                    Ok(reply) => round.on_refusal(reply),
                    Err(Trouble::Untrusted(error)) => round.on_untrusted(error),
                    Err(Trouble::Silent {
                        what,
                        sent,
                        may_answer_later,
                    }) => {
                        if sent {
                            attempts.on_unanswered(tracker);
                        }
                        round.on_silence(what, may_answer_later);
                    }
                }
            }
            match attempts.next_round(&round, Instant::now()) {
                NextRound::After(pause) => thread::sleep(pause),
                NextRound::Never => {
                    return attempts.end(round, self.machine_cluster.is_some());
                }
            }
        }
    }

    /// Asks all listed trackers for their state at the same time, with short time limits. The
    /// result has the order of TRACKER_INFO.
    pub(super) fn status(&self) -> Vec<ControlStatus> {
        let Ok(info) = self.info() else {
            return Vec::new();
        };
        let views: Vec<Result<ClusterView, Trouble>> = thread::scope(|scope| {
            let threads: Vec<_> = info
                .addresses
                .iter()
                .map(|tracker| {
                    let thread = thread::Builder::new().name("status".into());
                    thread.spawn_scoped(scope, || self.probe(tracker, &info))
                })
                .collect();
            let silent = || Trouble::silent("it could not be asked".to_owned());
            let views = threads.into_iter().map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(silent())),
                Err(_) => Err(silent()),
            });
            views.collect()
        });
        // The number of writes that tracker `number` lacks. It is unknown if a tracker A answered
        // and has had no report from tracker `number`: A may have writes that no other tracker
        // knows, and nothing shows whether tracker `number` has them.
        let lag = |number| {
            let answered = views.iter().flatten();
            let lags: Option<Vec<u64>> = answered.map(|view| view.lag(number)).collect();
            lags?.into_iter().max()
        };
        let trackers = info.addresses.iter().zip(&views).zip(1..);
        trackers
            .map(|((tracker, view), number)| {
                let (state, trouble) = match view {
                    Ok(view) if view.serving => (TrackerState::Serving, None),
                    Ok(_) => (TrackerState::NotServing, None),
                    Err(Trouble::Untrusted(error)) => {
                        (TrackerState::Untrusted, Some(error.to_string()))
                    }
                    Err(Trouble::Silent { what, .. }) => {
                        (TrackerState::Unreachable, Some(what.clone()))
                    }
                };
                ControlStatus {
                    tracker: tracker.to_string(),
                    state,
                    lag: lag(number),
                    trouble,
                }
            })
            .collect()
    }

    /// Asks a tracker for its view of the cluster, with short time limits.
    fn probe(&self, tracker: &HostPort, info: &TrackerInfo) -> Result<ClusterView, Trouble> {
        let reply = self.ask_at(
            tracker,
            &self.trust(info),
            &AccessRequest::Cluster,
            None,
            TimeLimits::PROBE,
        )?;
        match reply.result {
            Ok(AccessAnswer::Cluster(view)) => Ok(view),
            Ok(_) => Err(Trouble::silent("it answered another question".to_owned())),
            Err(refused) => Err(Trouble::silent(refused.to_string())),
        }
    }

    pub(super) fn trust(&self, info: &TrackerInfo) -> Trust<'_> {
        let pinned = self.machine_cluster.or(info.fingerprint);
        Trust::new(pinned, &self.folder, &*self.first_use.0)
    }

    /// Asks one tracker, over an open connection if there is one.
    pub(super) fn ask_at(
        &self,
        tracker: &HostPort,
        trust: &Trust<'_>,
        ask: &AccessRequest,
        token: Option<&Token>,
        limits: TimeLimits,
    ) -> Result<AccessReplyMessage, Trouble> {
        if let Some(reply) = self.reply_while_full(tracker) {
            return Ok(reply);
        }
        let mut sent_before = false;
        let give_up = |error: ConnectionError, sent| {
            self.on_failed(tracker);
            let what = format!("the tracker at {tracker}: {error}");
            let may_answer_later = true;
            Err(Trouble::Silent {
                what,
                sent,
                may_answer_later,
            })
        };
        let idle = {
            let mut known = lock(&self.known);
            known.get_mut(tracker).and_then(KnownTracker::take_idle)
        };
        if let Some(mut connection) = idle.filter(ControlConnection::is_usable) {
            connection.wants_hints = self.wants_hints();
            // Without this short probe, a request to a machine that is gone would wait for as long
            // as an answer may take.
            if limits.is_worth_a_probe()
                && let Err(error) = connection.ask(
                    &AccessRequest::Cluster,
                    None,
                    limits.step_limit(TimeLimits::PROBE.answer()),
                )
                && error.is_time_out()
            {
                return give_up(error, false);
            }
            match connection.ask(ask, token, limits.answer()) {
                Ok(reply) => return Ok(self.on_answered(tracker, connection, reply)),
                // A tracker that is silent on an open connection would be silent on a new one.
                Err(error) if error.is_time_out() => return give_up(error, true),
                Err(error) => {
                    log::debug!("the open connection to {tracker} broke: {error}");
                    sent_before = error.request_may_have_been_executed();
                }
            }
        }
        let result = self.ask_anew(tracker, trust, ask, token, limits);
        result
            .map_err(|mut trouble| {
                self.on_failed(tracker);
                if let Trouble::Silent { sent, .. } = &mut trouble {
                    *sent |= sent_before;
                }
                trouble
            })
            .map(|(connection, reply)| self.on_answered(tracker, connection, reply))
    }

    /// Asks one tracker over a new connection.
    fn ask_anew(
        &self,
        tracker: &HostPort,
        trust: &Trust<'_>,
        ask: &AccessRequest,
        token: Option<&Token>,
        limits: TimeLimits,
    ) -> Result<(ControlConnection, AccessReplyMessage), Trouble> {
        let found = self.names.addresses(tracker, limits.step_limit(LOOK_UP));
        let found = found.map_err(|error| Trouble::silent(format!("{tracker}: {error}")))?;
        let mut trouble = Trouble::silent(format!("{tracker} has no address"));
        for address in found {
            let mut connection = match ControlConnection::open(trust, address, limits) {
                Ok(connection) => connection,
                Err(error) if error.is_transient() => {
                    trouble = Trouble::Silent {
                        what: error.to_string(),
                        sent: false,
                        may_answer_later: is_time_out(&error),
                    };
                    continue;
                }
                Err(error) => return Err(Trouble::Untrusted(error)),
            };
            connection.wants_hints = self.wants_hints();
            match connection.ask(ask, token, limits.answer()) {
                Ok(reply) => return Ok((connection, reply)),
                Err(error) => {
                    let what = format!("the tracker at {address}: {error}");
                    let may_answer_later = error.is_time_out();
                    let sent = error.request_may_have_been_executed();
                    return Err(Trouble::Silent {
                        what,
                        sent,
                        may_answer_later,
                    });
                }
            }
        }
        Err(trouble)
    }

    /// The listed trackers; those that failed lately come last.
    pub(super) fn in_order<'a>(&self, info: &'a TrackerInfo) -> Vec<&'a HostPort> {
        let mut order: Vec<&HostPort> = info.addresses.iter().collect();
        order.sort_by_cached_key(|tracker| self.is_avoided(tracker));
        order
    }

    /// The refusal of a tracker that has no place for a connection, until it may be asked again.
    fn reply_while_full(&self, tracker: &HostPort) -> Option<AccessReplyMessage> {
        lock(&self.known).get(tracker)?.reply_while_full()
    }

    fn is_avoided(&self, tracker: &HostPort) -> bool {
        let known = lock(&self.known);
        known.get(tracker).is_some_and(KnownTracker::is_avoided)
    }

    fn on_answered(
        &self,
        tracker: &HostPort,
        mut connection: ControlConnection,
        reply: AccessReplyMessage,
    ) -> AccessReplyMessage {
        let hints = connection.take_hints();
        let mut all = lock(&self.known);
        let known = all.entry(tracker.clone()).or_default();
        if let Err(refused) = &reply.result
            && refused.kind == AccessErrorKind::Full
        {
            known.on_full(&reply, refused.retry_seconds);
            drop(all);
            // The tracker closes the connection.
            drop(connection);
            return reply;
        }
        if matches!(&reply.result, Err(refused) if refused.kind.refuses_all_requests()) {
            known.on_unserved();
        } else if known.on_served() {
            log::info!("the tracker at {tracker} answers again");
        }
        let surplus = known.keep(connection);
        drop(all);
        // Closing a connection writes to its socket.
        drop(surplus);
        self.inbox.add(hints);
        reply
    }

    fn on_failed(&self, tracker: &HostPort) {
        let mut all = lock(&self.known);
        let (idle, was_watched) = all.entry(tracker.clone()).or_default().on_failed();
        drop(all);
        drop(idle);
        if was_watched {
            self.inbox.wake();
        }
    }

    /// The fingerprint of the cluster: that of the machine, the one that TRACKER_INFO pins, or the
    /// one that was stored at the first use.
    ///
    /// # Errors
    /// TRACKER_INFO or the stored fingerprint cannot be read. [`AccountError::NoFinalAnswer`] if no
    /// tracker has answered yet.
    pub(super) fn cluster(&self) -> Result<Fingerprint, AccountError> {
        let expected = self.trust(&self.info()?).expected();
        let expected = expected.map_err(AccountError::Untrusted)?;
        expected.ok_or_else(|| {
            AccountError::NoFinalAnswer("the fingerprint of the cluster is not known".to_owned())
        })
    }

    /// Reads TRACKER_INFO, which may be written or changed while the peer runs.
    pub(super) fn info(&self) -> Result<TrackerInfo, AccountError> {
        let info = read_tracker_info(&self.tracker_info);
        let info = info.map_err(|error| AccountError::TrackerInfo(error.to_string()))?;
        match (self.machine_cluster, info.fingerprint) {
            (Some(cluster), Some(pinned)) if pinned != cluster => {
                Err(AccountError::OtherCluster { cluster, pinned })
            }
            _ => Ok(info),
        }
    }
}

impl Trouble {
    fn silent(what: String) -> Self {
        Self::Silent {
            what,
            sent: false,
            may_answer_later: false,
        }
    }
}

fn is_time_out(error: &TrustError) -> bool {
    match error {
        TrustError::Connect { source, .. } => source.kind() == io::ErrorKind::TimedOut,
        TrustError::Tls { source, .. } => match &**source {
            crate::net::TlsError::Handshake(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        },
        _ => false,
    }
}
