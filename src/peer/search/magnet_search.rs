//! A magnet link whose metadata is being fetched.

use super::MetadataSources;
use crate::peer::{Context, DownloadState, DownloadStatus, FileChoice, Trackers};
use crate::storage::MagnetRecord;
use crate::swarm::Contacts;
use crate::system::lock;
use crate::torrent::{FileName, InfoHash};
use crate::wire::AnnounceEvent;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a person sees while there is no metadata.
const LOOKING: &str = "looking for the metadata";
/// The maximum number of simultaneous calls for the metadata of one share.
const MAX_CALLS: usize = 8;

/// The search for the metadata of one magnet link.
#[derive(Debug)]
pub(crate) struct MagnetSearch {
    pub(crate) context: Arc<Context>,
    trackers: Arc<dyn Trackers<Self>>,
    pub(crate) record: MagnetRecord,
    pub(crate) choice: FileChoice,
    /// The name in the link, or its info-hash.
    name: FileName,
    /// A magnet link does not order its trackers: they are one tier.
    tiers: Vec<Vec<String>>,
    pub(crate) sources: MetadataSources,
    /// When the download of this search starts, existing files are hashed. This flag ends that
    /// hashing, and no other.
    pub(crate) interrupt: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    contacts: Contacts,
    started: Duration,
    ended: Option<Duration>,
}

/// The phase of a search. `Seeking` changes to `Found`; then a transfer replaces the search. Each
/// of these two phases may change to `Failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Seeking,
    /// The metadata is complete and is being made into a download.
    Found,
    /// The search has failed, for this reason.
    Failed(String),
}

impl MagnetSearch {
    /// Makes a search for the link of the record.
    pub(crate) fn new(
        context: &Arc<Context>,
        trackers: Arc<dyn Trackers<Self>>,
        record: MagnetRecord,
        choice: FileChoice,
    ) -> Self {
        let magnet = &record.magnet;
        let name = magnet.name.as_deref().map(FileName::new);
        let name = name.and_then(Result::ok);
        Self {
            name: name.unwrap_or_else(|| magnet.info_hash.into()),
            tiers: vec![magnet.trackers.clone()],
            context: Arc::clone(context),
            trackers,
            choice,
            sources: MetadataSources::default(),
            interrupt: AtomicBool::new(false),
            state: Mutex::new(State {
                phase: Phase::Seeking,
                contacts: Contacts::new(fastrand::u64(..)),
                started: context.now(),
                ended: None,
            }),
            record,
        }
    }

    pub(crate) fn info_hash(&self) -> InfoHash {
        self.record.magnet.info_hash
    }

    /// The name in its link, or its info-hash.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The trackers of its link, as tiers.
    pub(crate) fn tiers(&self) -> &[Vec<String>] {
        &self.tiers
    }

    /// Announces it as soon as possible, and then regularly.
    pub(crate) fn announce(self: &Arc<Self>, event: AnnounceEvent) {
        self.trackers.announce(Arc::clone(self), Some(event));
    }

    /// Sends `stopped` to its trackers, and ends its announces.
    pub(crate) fn leave_trackers(&self) {
        self.trackers.leave(self.info_hash());
    }

    /// Adds addresses that a tracker returned or a person named. They are called at once.
    pub(crate) fn add_candidates(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.contacts(|contacts| contacts.add_all(addresses));
        self.context.ticks.trigger();
    }

    /// Whether the metadata is still being looked for.
    pub(crate) fn is_seeking(&self) -> bool {
        lock(&self.state).phase == Phase::Seeking
    }

    /// Whether it has failed. Then another attempt may replace it.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Failed(_))
    }

    /// Reads or changes the addresses that it calls.
    pub(crate) fn contacts<R>(&self, act: impl FnOnce(&mut Contacts) -> R) -> R {
        let result = act(&mut lock(&self.state).contacts);
        self.context.ticks.include(self.info_hash());
        result
    }

    /// Handles a clock tick. Returns the addresses to call now, and when the next address is due.
    pub(crate) fn tick(&self) -> (Vec<SocketAddr>, Option<Duration>) {
        let (mut state, now) = (lock(&self.state), self.context.now());
        match state.phase {
            Phase::Seeking => {
                // A search has no core: there are no links to count, and no call becomes one.
                let (links, linked_calls) = (0, 0);
                let contacts = &mut state.contacts;
                let calls = contacts.next_calls((links, linked_calls), MAX_CALLS, now);
                (calls, contacts.next_due())
            }
            Phase::Found | Phase::Failed(_) => Default::default(),
        }
    }

    /// Records that metadata with the right hash has arrived, and ends the links that fetch it.
    /// Returns `false` if it had arrived before, or the search has failed.
    pub(crate) fn accept_metadata(&self) -> bool {
        {
            let mut state = lock(&self.state);
            if state.phase != Phase::Seeking {
                return false;
            }
            state.phase = Phase::Found;
        }
        self.sources.end();
        true
    }

    /// Ends the search, or the start of its download, with an error.
    pub(crate) fn fail(&self, reason: &str) {
        {
            let mut state = lock(&self.state);
            if matches!(state.phase, Phase::Failed(_)) {
                return;
            }
            state.phase = Phase::Failed(reason.to_owned());
            state.ended = Some(self.context.now());
        }
        self.interrupt();
        self.sources.end();
        log::error!("{}: stopped: {reason}", self.name());
        self.trackers.leave(self.info_hash());
        self.context.changes.notify();
    }

    /// Ends the hashing of existing files.
    pub(crate) fn interrupt(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
    }

    /// The status that a person sees.
    pub(crate) fn status(&self) -> DownloadStatus {
        let tracker_trouble = self.trackers.trouble(self.info_hash());
        let state = lock(&self.state);
        let trouble = || match state.contacts.unbarred_count() {
            0 => tracker_trouble,
            _ => state.contacts.last_failure().map(str::to_owned),
        };
        let ended = state.ended.unwrap_or_else(|| self.context.now());
        DownloadStatus {
            info_hash: self.info_hash(),
            name: self.name().to_owned(),
            group: None,
            bytes_done: 0,
            bytes_total: 0,
            elapsed: ended.saturating_sub(state.started),
            rate: 0,
            peers: 0,
            from: Vec::new(),
            path: self.record.destination.clone(),
            trouble: match &state.phase {
                Phase::Seeking => Some(match trouble() {
                    Some(trouble) => format!("{LOOKING}; {trouble}"),
                    None => LOOKING.to_owned(),
                }),
                Phase::Found | Phase::Failed(_) => None,
            },
            state: match &state.phase {
                Phase::Seeking => DownloadState::Downloading,
                Phase::Found => DownloadState::Checking(0),
                Phase::Failed(reason) => DownloadState::Failed(reason.clone()),
            },
        }
    }
}
