//! When a transfer is announced, and what its trackers may do to it.

use super::transfer::Transfer;
use crate::swarm::Phase;
use crate::wire::Event;

impl Transfer {
    /// Announces it as soon as possible, and from then on.
    pub(crate) fn announce(&self, event: Option<Event>) {
        if let Some(transfer) = self.to_arc() {
            self.trackers.announce(transfer, event);
        }
    }

    /// Its trackers learn that it ends here.
    pub(crate) fn leave(&self) {
        self.trackers.leave(self.info_hash());
    }

    /// The latest trouble with its trackers.
    pub(super) fn tracker_trouble(&self) -> Option<String> {
        match self.plan.listed {
            true => self.trackers.trouble(self.info_hash()),
            false => None,
        }
    }

    /// Whether trackers of an open swarm are to hear of it.
    pub(crate) fn is_to_be_announced(&self) -> bool {
        let is_open = self.plan.listed && self.plan.group.is_none();
        is_open && self.inspect(|core| core.phase().serves())
    }

    /// Its user may have it: if it was withdrawn, it is shared again. Returns whether it was.
    pub(crate) fn restore(&self) -> bool {
        let is_back = self.decide(|core, now| core.restore(now));
        if is_back {
            log::info!("{}: shared again", self.name());
            self.context.changes.notify();
        }
        is_back
    }

    /// Its user may no longer have it, or it is off the catalogue. Returns whether it stays in the
    /// map, so that it can be restored: a complete share does, because the file is its user's.
    pub(crate) fn withdraw(&self, reason: &str) -> bool {
        match self.phase() {
            // These are not announced, and report their own reason.
            Phase::Lost { .. } | Phase::Failed { .. } | Phase::Withdrawn { .. } => return true,
            Phase::Complete => {}
            _ => return false,
        }
        if self.decide(|core, now| core.withdraw(reason, now)) {
            log::warn!("{}: not shared any more: {reason}", self.name());
            self.context.changes.notify();
        }
        true
    }
}
