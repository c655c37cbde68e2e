//! Makes a transfer. Starts a share, or a download of a closed run; `download::planned` starts the
//! other new downloads.

use crate::peer::{
    OpenFiles, Peer, PeerError, SwarmEntry, Transfer, TransferPlan, entry_exists_error,
};
use crate::torrent::PieceSet;
use std::sync::Arc;

impl Peer {
    /// Makes a transfer. It is not in the map yet.
    pub(super) fn new_transfer(&self, plan: TransferPlan) -> Result<Arc<Transfer>, PeerError> {
        if self.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        Ok(self.services.new_transfer(plan))
    }

    /// Puts a share, or a download of a closed run, with its open files into the map, calls `save`
    /// to record it, and starts it.
    pub(super) fn start_transfer(
        &self,
        transfer: Arc<Transfer>,
        files: OpenFiles,
        save: impl FnOnce(&Transfer) -> Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        let entry = SwarmEntry::Transfer(Arc::clone(&transfer));
        let entered = self.transfers.enter(entry.clone());
        entered.map_err(|other| entry_exists_error(&other))?;
        let whole = matches!(files, OpenFiles::Whole(_));
        let are_set = transfer.set_files(files);
        debug_assert!(
            are_set,
            "a share, or a download of a closed run, cannot be cancelled"
        );
        let begun = save(&transfer).and_then(|()| {
            if whole {
                transfer.begin(PieceSet::full(transfer.info().lengths()), true);
                return Ok(());
            }
            let known_good = PieceSet::empty(transfer.info().lengths());
            let begun = Arc::clone(&transfer).check_and_begin(known_good, false);
            begun.map_err(PeerError::Thread)
        });
        if begun.is_err() {
            self.transfers.forget(&entry);
        }
        begun
    }
}
