//! What is announced to the trackers of an open swarm: a share, a download, or a magnet search.

use super::Reading;
use crate::peer::{MagnetSearch, Transfer};
use crate::swarm::Phase;
use crate::torrent::{BLOCK, InfoHash};
use crate::wire::Event;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

/// A download into which something came so lately gets what it needs.
const LATELY: Duration = Duration::from_secs(2);

/// The contents of one announce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// Bytes of blocks sent since the start.
    pub(crate) uploaded: u64,
    /// Bytes of blocks received since the start.
    pub(crate) downloaded: u64,
    /// Bytes that are not here.
    pub(crate) left: u64,
    pub(crate) event: Option<Event>,
}

/// A swarm that this peer announces.
pub(crate) trait Announced: Debug + Send + Sync {
    fn info_hash(&self) -> InfoHash;

    /// The name that a person knows it by.
    fn name(&self) -> &str;

    /// The trackers of its metainfo or magnet link, in tiers (BEP 12).
    fn tiers(&self) -> &[Vec<String>];

    /// To how many of these trackers it is announced.
    fn reading(&self) -> Reading;

    /// The contents of an announce made now, where `event` is due. A partial seed announces `paused` (BEP 21).
    fn snapshot(&self, event: Option<Event>) -> Snapshot;

    /// Whether it has no peer to ask for anything.
    fn is_hungry(&self) -> bool;

    /// Whether it downloads and nothing has arrived lately; `now` is the peer's clock.
    fn starves(&self, now: Duration) -> bool;

    /// Takes addresses of peers that a tracker returned.
    fn found(&self, peers: Vec<SocketAddr>);

    /// Ends all links and forgets the peers known so far.
    fn give_up_peers(&self, reason: &str);
}

impl Announced for Transfer {
    fn info_hash(&self) -> InfoHash {
        self.info_hash()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn tiers(&self) -> &[Vec<String>] {
        self.plan.metainfo.trackers()
    }

    fn reading(&self) -> Reading {
        match self.info().private() {
            true => Reading::One,
            false => Reading::InOrder,
        }
    }

    fn snapshot(&self, event: Option<Event>) -> Snapshot {
        let total = self.info().lengths().total();
        let wants_all = self.plan.selection.is_all();
        self.inspect(|core| {
            let phase = core.phase();
            let is_partial_seed = *phase == Phase::Complete && !wants_all;
            Snapshot {
                uploaded: self.uploaded_bytes(),
                downloaded: core.progress().downloaded(),
                left: match phase {
                    Phase::Complete if wants_all => 0,
                    _ => total.saturating_sub(core.progress().verified()),
                },
                event: match event {
                    None | Some(Event::Paused) if is_partial_seed => Some(Event::Paused),
                    // The first `paused` is sent a moment before the download is a partial seed.
                    Some(Event::Paused) if *phase != Phase::Finishing => None,
                    event => event,
                },
            }
        })
    }

    fn is_hungry(&self) -> bool {
        self.inspect(|core| core.phase().fetches() && !core.has_source())
    }

    fn starves(&self, now: Duration) -> bool {
        self.inspect(|core| core.phase().fetches() && core.progress().idle(now) >= LATELY)
    }

    fn found(&self, peers: Vec<SocketAddr>) {
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

    fn tiers(&self) -> &[Vec<String>] {
        self.tiers()
    }

    fn reading(&self) -> Reading {
        Reading::All
    }

    fn snapshot(&self, event: Option<Event>) -> Snapshot {
        Snapshot {
            uploaded: 0,
            downloaded: 0,
            // The length is not known; a peer without anything left would be taken for a seed.
            left: u64::from(BLOCK),
            event,
        }
    }

    fn is_hungry(&self) -> bool {
        self.is_seeking()
    }

    fn starves(&self, _: Duration) -> bool {
        false
    }

    fn found(&self, peers: Vec<SocketAddr>) {
        self.add_candidates(peers);
    }

    fn give_up_peers(&self, _: &str) {
        self.contacts(|contacts| contacts.give_up());
    }
}
