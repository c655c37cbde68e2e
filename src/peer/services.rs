//! What a transfer uses of the peer beyond its own swarm: trackers, its user, groups, web seeds.

use super::{Account, Announcer, Context, GroupAnnouncer, Groups, WebClient, group::Speaker};
use std::sync::Arc;

/// One of it exists as long as the peer.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) account: Arc<Account>,
    pub(super) groups: Arc<Groups>,
    pub(super) announcer: Announcer,
    pub(super) group_announcer: GroupAnnouncer,
    pub(super) web: WebClient,
}

impl Services {
    /// What makes the announces of groups.
    pub(super) fn speaker(&self, context: &Context) -> Speaker {
        Speaker {
            peer_id: context.identity.peer_id,
            address: context.identity.address,
            account: Arc::clone(&self.account),
            groups: Arc::clone(&self.groups),
        }
    }
}
