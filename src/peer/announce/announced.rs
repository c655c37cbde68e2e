//! What is announced: a share, a download, or a search for the metadata of a magnet link.

use super::Reading;
use crate::torrent::InfoHash;
use crate::wire::Event;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

/// What one announce says of a swarm.
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

    /// What a person calls it.
    fn name(&self) -> &str;

    /// The trackers that it names, in tiers.
    fn tiers(&self) -> &[Vec<String>];

    /// How many of these it is announced to.
    fn reading(&self) -> Reading;

    /// What to say now, where `event` is due. A partial seed says that it is paused (BEP 21).
    fn snapshot(&self, event: Option<Event>) -> Snapshot;

    /// Whether it has no peer to ask for anything.
    fn is_hungry(&self) -> bool;

    /// Whether it downloads and nothing has come lately; `now` is the peer's clock.
    fn starves(&self, now: Duration) -> bool;

    /// Takes peers that a tracker names.
    fn found(&self, peers: Vec<SocketAddr>);

    /// Ends all links and forgets the peers known so far.
    fn give_up_peers(&self, reason: &str);
}
