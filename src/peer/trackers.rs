//! Trackers, and the other versions of a share, as a transfer or magnet search sees them.

use crate::storage::RecordError;
use crate::torrent::InfoHash;
use crate::wire::AnnounceEvent;
use std::fmt::Debug;
use std::sync::Arc;

/// The trackers of open swarms, or those of one group. `S` is the type of what is announced: a
/// transfer or a magnet search.
///
/// No function here waits for a tracker: other threads send the announces.
pub(super) trait Trackers<S>: Debug + Send + Sync {
    /// Announces a swarm as soon as possible, and then regularly.
    fn announce(&self, swarm: Arc<S>, event: Option<AnnounceEvent>);

    /// Sends `stopped` to the trackers that know of a swarm, and forgets it.
    fn leave(&self, info_hash: InfoHash);

    /// The latest trouble with a tracker of a swarm. If some tracker answers, its warning is
    /// preferred to the trouble with a tracker that fails. `None` if there is no trouble, and
    /// before the first announce.
    fn trouble(&self, info_hash: InfoHash) -> Option<String>;

    /// Why the publisher does not serve a swarm, as far as trackers know.
    fn publisher_trouble(&self, _info_hash: InfoHash) -> Option<String> {
        None
    }

    /// Says that another version of the share takes the place of the version `former`, or with
    /// `false` that it does not.
    fn set_place_taken(&self, _former: InfoHash, _is_taken: bool) {}

    /// The version `swarm` has taken its place. Ends the complete version `former` there, and
    /// removes its record. Does nothing if `former` is not at this place, or is a later download.
    ///
    /// # Errors
    /// Its record cannot be removed.
    fn end_version(&self, _former: InfoHash, _swarm: &S) -> Result<(), RecordError> {
        Ok(())
    }

    /// The name of another share or download of this peer that uses the place of this one, if there
    /// is one. Versions that this one supersedes do not count.
    fn other_user_of_place(&self, _swarm: &S) -> Option<String> {
        None
    }

    /// Why nothing is announced, if the user of the transfer is not logged in at this peer.
    fn suspended(&self) -> Option<String>;
}
