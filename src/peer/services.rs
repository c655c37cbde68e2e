//! All services of a peer, made once at its start.

use super::group::{CatalogueWatch, GroupClient, MemberAnnouncer};
use super::{
    Account, Announcer, Context, FileChoice, GroupAnnouncer, Groups, Hooks, MagnetSearch,
    RunningCommands, Trackers, Transfer, TransferPlan, Transfers, WebClient,
};
use crate::storage::MagnetRecord;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The services of one running peer.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) context: Arc<Context>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) account: Arc<Account>,
    pub(super) groups: Arc<Groups>,
    pub(super) announcer: Arc<Announcer>,
    pub(super) group_announcer: Arc<GroupAnnouncer>,
    pub(super) catalogues: Arc<CatalogueWatch>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) web: Arc<WebClient>,
    pub(super) commands: Arc<RunningCommands>,
    /// Whether `verify` runs.
    pub(super) verifies: AtomicBool,
}

impl Services {
    /// Makes a transfer. Does not add it to `transfers`.
    pub(super) fn new_transfer(&self, plan: TransferPlan) -> Arc<Transfer> {
        let trackers: Arc<dyn Trackers<Transfer>> = match &plan.group {
            Some(share) => Arc::new(MemberAnnouncer {
                announcer: Arc::clone(&self.group_announcer),
                account: Arc::clone(&self.account),
                user: share.membership.user.clone(),
                transfers: Arc::downgrade(&self.transfers),
            }),
            None => Arc::clone(&self.announcer) as Arc<dyn Trackers<Transfer>>,
        };
        Transfer::new(&self.context, trackers, plan)
    }

    /// Makes a magnet search. Does not add it to `transfers`.
    pub(super) fn new_search(&self, record: MagnetRecord, choice: FileChoice) -> Arc<MagnetSearch> {
        let trackers = Arc::clone(&self.announcer);
        Arc::new(MagnetSearch::new(&self.context, trackers, record, choice))
    }

    /// Makes the client that sends the announces of groups.
    pub(super) fn group_client(&self) -> GroupClient {
        GroupClient {
            peer_id: self.context.identity.peer_id,
            address: self.context.identity.address,
            account: Arc::clone(&self.account),
            groups: Arc::clone(&self.groups),
            names: Arc::clone(&self.context.group_names),
            transfers: Arc::clone(&self.transfers),
        }
    }
}
