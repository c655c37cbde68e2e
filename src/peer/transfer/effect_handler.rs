//! The effects of a core that are carried out after the transfer's lock is released.

use super::effects::EffectHandler;
use super::transfer::Transfer;
use super::{finishing, hashing};
use crate::base::AddressPrefix;
use crate::peer::{BlockBuffer, Link};
use crate::swarm::{BlockRun, PendingBlock};
use crate::wire::AnnounceEvent;

impl EffectHandler for Transfer {
    fn hash(&self, run: BlockRun, blocks: Vec<PendingBlock<BlockBuffer>>) {
        hashing::submit(self, run, blocks);
    }

    fn read_and_hash(&self, run: BlockRun, blocks: Vec<Option<PendingBlock<BlockBuffer>>>) {
        hashing::submit_reading(self, run, blocks);
    }

    fn send_upload_only(&self, link: &Link) {
        self.send_handshake(link, true);
    }

    fn announce(&self, event: AnnounceEvent) {
        // The transfer may have been stopped in the meantime. Then it has already left its
        // trackers.
        if !self.plan.is_of_closed_run && self.inspect(|core| core.phase().serves()) {
            self.announce_soon(Some(event));
        }
    }

    fn finish(&self) {
        finishing::spawn(self);
    }

    fn on_failed(&self, reason: &str) {
        log::error!("{}: stopped: {reason}", self.name());
        self.leave_swarm();
        self.update_record();
        self.context.changes.notify();
    }

    fn on_stalled(&self, link: &Link) {
        let (name, address) = (self.name(), self.shown_address(link));
        let source = AddressPrefix::of(address.ip());
        log::info!(source:%; "{name}: {address} delivers nothing; its blocks are requested from others");
    }
}
