//! A swarm of a group as its announces see it.

use super::Group;
use crate::certificate::Fingerprint;
use crate::torrent::InfoHash;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

/// What an announce says of a swarm, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) left: u64,
}

/// A share or download of a group.
pub(crate) trait GroupSwarm: Debug + Send + Sync {
    /// Another transfer of this peer has another id, also one of the same share.
    fn transfer_id(&self) -> usize;

    fn info_hash(&self) -> InfoHash;

    /// What a person calls it.
    fn name(&self) -> &str;

    fn group(&self) -> &Arc<Group>;

    /// The authority whose certificates its links need.
    fn authority(&self) -> Option<Fingerprint>;

    fn amounts(&self) -> Amounts;

    /// Whether it downloads and has no peer to ask.
    fn is_without_owner(&self) -> bool;

    /// Takes peers that a tracker names.
    fn found(&self, peers: Vec<SocketAddr>);

    /// Ends its links.
    fn close_links(&self, reason: &str);

    /// Its user may have it: what was suspended goes on.
    fn may_be_shared(&self);

    /// Its user may no longer have it, or it is off the catalogue. Returns whether it stays here, so
    /// that it may come back: what is complete does.
    fn may_not_be_shared(&self, reason: &str) -> bool;

    /// Ends it for good.
    fn fail(&self, reason: &str);
}
