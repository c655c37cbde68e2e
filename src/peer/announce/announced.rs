//! What is announced to the trackers of an open swarm: a transfer or a magnet search.

use super::TierPolicy;
use crate::peer::{MagnetSearch, Transfer};
use crate::swarm::Phase;
use crate::torrent::{BLOCK, InfoHash};
use crate::wire::AnnounceEvent;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A download that received data within this time is not starved.
const STARVED_AFTER: Duration = Duration::from_secs(2);

/// The contents of one announce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnnounceContents {
    /// Bytes of blocks sent since the start.
    pub(crate) uploaded: u64,
    /// Bytes of blocks received since the start.
    pub(crate) downloaded: u64,
    /// Bytes that this peer does not have.
    pub(crate) left: u64,
    pub(crate) event: Option<AnnounceEvent>,
}

/// A swarm that this peer announces.
pub(crate) trait Announced: Debug + Send + Sync {
    fn info_hash(&self) -> InfoHash;

    /// The name that a person uses for the swarm.
    fn name(&self) -> &str;

    /// The trackers of the metainfo or magnet link, in tiers (BEP 12). More may be added later.
    fn tiers(&self) -> Vec<Vec<String>>;

    /// Which of these trackers the swarm is announced to.
    fn tier_policy(&self) -> TierPolicy;

    /// When the first announce is due, at `now` or later.
    fn first_announce(&self, now: Instant) -> Instant {
        now
    }

    /// The contents of an announce that is made now. `event` is the event that is due, if any. If
    /// none is due, a partial seed announces `paused` (BEP 21).
    fn contents(&self, event: Option<AnnounceEvent>) -> AnnounceContents;

    /// Whether the transfer downloads and has no peer to request from. For a magnet search: whether
    /// the search still looks for the metadata.
    fn lacks_peers(&self) -> bool;

    /// Whether the transfer downloads and nothing has arrived lately. Always `false` for a magnet
    /// search. `now` is the peer's clock.
    fn is_starved(&self, now: Duration) -> bool;

    /// Adds addresses of peers that a tracker returned or a person named.
    fn add_peers(&self, peers: Vec<SocketAddr>);

    /// Closes all links and forgets the peers known so far.
    fn give_up_peers(&self, reason: &str);
}

impl Announced for Transfer {
    fn info_hash(&self) -> InfoHash {
        self.info_hash()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn tiers(&self) -> Vec<Vec<String>> {
        self.sources().trackers
    }

    fn tier_policy(&self) -> TierPolicy {
        match self.info().private() {
            true => TierPolicy::OneTracker,
            false => TierPolicy::InOrder,
        }
    }

    fn first_announce(&self, now: Instant) -> Instant {
        self.first_announce(now)
    }

    fn contents(&self, event: Option<AnnounceEvent>) -> AnnounceContents {
        let total = self.info().lengths().total();
        let wants_all = self.plan.selection.is_all();
        self.inspect(|core| {
            let phase = core.phase();
            let is_partial_seed = *phase == Phase::Complete && !wants_all;
            let left = total.saturating_sub(core.progress().verified());
            // These events come when the files are checked as a whole and at their place.
            let is_at_place = matches!(
                event,
                Some(AnnounceEvent::Completed | AnnounceEvent::Paused)
            );
            AnnounceContents {
                uploaded: self.uploaded_bytes(),
                downloaded: core.progress().downloaded(),
                left: match phase {
                    Phase::Complete if wants_all => 0,
                    Phase::Finishing if !is_at_place => left.max(1),
                    _ => left,
                },
                event: match event {
                    None | Some(AnnounceEvent::Paused) if is_partial_seed => {
                        Some(AnnounceEvent::Paused)
                    }
                    // Only a partial seed, or a download that is about to become one, announces
                    // `paused`. The first `paused` is sent while the download still finishes.
                    Some(AnnounceEvent::Paused) if *phase != Phase::Finishing => None,
                    event => event,
                },
            }
        })
    }

    fn lacks_peers(&self) -> bool {
        self.inspect(|core| core.phase().fetches() && !core.has_interesting_link())
    }

    fn is_starved(&self, now: Duration) -> bool {
        self.inspect(|core| core.phase().fetches() && core.progress().idle(now) >= STARVED_AFTER)
    }

    fn add_peers(&self, peers: Vec<SocketAddr>) {
        self.add_candidates(peers);
    }

    fn give_up_peers(&self, reason: &str) {
        self.decide(|core, now| core.give_up_peers(reason, now));
    }
}

impl Announced for MagnetSearch {
    fn info_hash(&self) -> InfoHash {
        self.info_hash()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn tiers(&self) -> Vec<Vec<String>> {
        self.tiers().to_vec()
    }

    fn tier_policy(&self) -> TierPolicy {
        TierPolicy::All
    }

    fn contents(&self, event: Option<AnnounceEvent>) -> AnnounceContents {
        AnnounceContents {
            uploaded: 0,
            downloaded: 0,
            // The length is unknown. If `left` were 0, the trackers would take this peer for a
            // seed.
            left: u64::from(BLOCK),
            event,
        }
    }

    fn lacks_peers(&self) -> bool {
        self.is_seeking()
    }

    fn is_starved(&self, _: Duration) -> bool {
        false
    }

    fn add_peers(&self, peers: Vec<SocketAddr>) {
        self.add_candidates(peers);
    }

    fn give_up_peers(&self, _: &str) {
        self.contacts(|contacts| contacts.forget_unbarred());
    }
}
