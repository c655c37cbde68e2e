//! The trackers of a share, a download or a magnet search, as it knows them itself.

use crate::torrent::InfoHash;
use crate::wire::Event;
use std::fmt::Debug;
use std::sync::Arc;

/// The trackers of swarms `S`: those of open swarms, or those of one group.
///
/// Nothing here waits for a tracker: announces are made by threads of their own.
pub(super) trait Trackers<S>: Debug + Send + Sync {
    /// Announces a swarm as soon as possible, and from then on.
    fn announce(&self, swarm: Arc<S>, event: Option<Event>);

    /// Sends `stopped` to the trackers that know of a swarm, and forgets it.
    fn leave(&self, info_hash: InfoHash);

    /// The latest trouble with the trackers of a swarm; `None` if one of them answers, and before
    /// the first announce.
    fn trouble(&self, info_hash: InfoHash) -> Option<String>;

    /// Why nothing is announced: the user in whose name it would be is not logged in here.
    fn suspended(&self) -> Option<String>;
}
