//! What `verify` does with a complete share whose files it has found bad.

use super::transfer::Transfer;
use crate::storage::{CheckReport, FileStamp};
use crate::swarm::Phase;

impl Transfer {
    /// Handles bad files of a complete share, which `report` names: the share is no longer served,
    /// also after a restart, until its files have been hashed again and are right.
    pub(crate) fn on_found_bad(&self, report: &CheckReport, reason: &str) {
        // A file may have changed without a new time or length. So the bad files lose the stamps
        // with which they were verified: no file has the new ones.
        let sealed = self.files.sealed().unwrap_or_default();
        let sealed = sealed
            .into_iter()
            .enumerate()
            .map(|(at, stamp)| match report.is_bad_at(at) {
                true => FileStamp::OF_NO_FILE,
                false => stamp,
            });
        let sealed = sealed.collect();
        match self.phase() {
            Phase::Lost { .. } => {
                self.files.set_sealed(Some(sealed));
                if let Some(stamps) = &report.stamps {
                    self.files.on_mismatch(stamps.clone());
                }
                self.decide(|core, now| core.on_still_lost(reason, now));
            }
            Phase::Complete | Phase::Withdrawn { .. } => {
                self.files.set_sealed(Some(sealed));
                self.lose(reason, report.stamps.clone());
            }
            // It was replaced or removed meanwhile.
            _ => return,
        }
        self.update_record();
        self.context.changes.notify();
    }
}
