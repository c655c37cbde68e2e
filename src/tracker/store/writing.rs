//! Own writes, before anybody waits for them.

use super::{RegistryStore, WriteError, log_report, moment};
use crate::torrent::Info;
use crate::tracker::registry::{Refusal, Registry, Update};
use crate::tracker::replication::{Copies, ReplicaError, Serving};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A write that is applied and not yet durable.
pub(super) struct BegunWrite {
    /// Gets the number of copies when the write is as durable as it needs to be.
    pub(super) receiver: Receiver<Copies>,
    /// Whether no other tracker is listed.
    pub(super) single: bool,
}

impl RegistryStore {
    /// Applies one operation. Does not wait until the result is durable: for the local disk,
    /// [`RegistryStore::wait_until_durable`] does. Other trackers get it as soon as they can.
    pub(in crate::tracker) fn write_unawaited(
        &self,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(), WriteError> {
        self.begin_write(None, operation).map(drop)
    }

    /// Applies one operation, whose rows may name the info dictionary `info`.
    pub(super) fn begin_write(
        &self,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<BegunWrite, WriteError> {
        let blobs = info.map(|info| (info.info_hash(), info.raw().to_vec()));
        let now = moment(self.shared.epoch);
        let mut state = self.shared.write_state();
        if state.failed {
            return Err(ReplicaError::NotServing(Serving::Failed).into());
        }
        let blobs = blobs.into_iter().collect();
        let (write, effects) = state.replica.write(blobs, now, operation)?;
        let receiver = state.add_waiter(write);
        let reports = self.shared.perform(&mut state, effects);
        self.shared.changes.push(state.replica.take_changed());
        let single = state.replica.is_single();
        drop(state);
        reports.iter().for_each(log_report);
        Ok(BegunWrite { receiver, single })
    }
}
