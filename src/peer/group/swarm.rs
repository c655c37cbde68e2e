//! A swarm of a group as its announces see it.

use crate::certificate::Fingerprint;
use crate::peer::Announced;

/// A share or download of a group.
pub(crate) trait GroupSwarm: Announced {
    /// The authority whose certificates its links need.
    fn authority(&self) -> Option<Fingerprint>;

    /// Ends its links.
    fn close_links(&self, reason: &str);

    /// Its user may have it: what was suspended goes on.
    fn may_be_shared(&self);

    /// Its user may no longer have it, or it is off the catalogue. Returns whether it stays here, so
    /// that it may come back: what is complete does, as the file is its user's.
    fn may_not_be_shared(&self, reason: &str) -> bool;

    /// Ends it for good.
    fn fail(&self, reason: &str);
}
