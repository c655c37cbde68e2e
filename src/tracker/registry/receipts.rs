//! Receipts: a tracker uses them to recognize a write that was already made, here or at another
//! tracker.
//!
//! The rows of a machine serve as receipts of its enrolment and its starts.
//!
//! A peer that receives no answer sends its command again, perhaps to another tracker, with the
//! same write id. A receipt and its write are in the same commit and in the same change, so a
//! tracker that has one of them has the other.

use super::{Machine, Receipt, Refusal, Registry, Row, RowId, Update, millis};
use std::time::Duration;

impl Registry {
    /// The receipt with this id.
    pub fn receipt(&self, id: RowId) -> Option<&Receipt> {
        match self.row(id) {
            Some(Row::Receipt(row)) => Some(row),
            _ => None,
        }
    }

    /// Adds a receipt to `write`, which this tracker must have made at `now` from the present
    /// revision of the registry. The receipt is kept until `expires` (time since 1970).
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if a row has this id: the write was already made.
    pub fn with_receipt(
        &self,
        mut write: Update,
        id: RowId,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.check_not_yet_written(id)?;
        let receipt = self.new_receipt(id, expires, now);
        if let Some(change) = &mut write.change {
            change.rows.insert(id, receipt.clone());
        }
        write.rows.push(receipt);
        Ok(write)
    }

    /// Checks that the write with this receipt id was not made yet.
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if a row has this id: the write was already made.
    pub fn check_not_yet_written(&self, id: RowId) -> Result<(), Refusal> {
        match self.row(id) {
            None => Ok(()),
            Some(_) => Err(Refusal::IdInUse(id)),
        }
    }

    /// Writes the receipt again, as a new write, even if the old receipt is no longer stored. The
    /// new write confirms the earlier one ([`Update::confirms_earlier`]), whichever tracker made
    /// that.
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if a row that is not a receipt has the id.
    pub fn renew_receipt(
        &self,
        id: RowId,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        match self.row(id) {
            None | Some(Row::Receipt(_)) => {}
            Some(_) => return Err(Refusal::IdInUse(id)),
        }
        let receipt = self.new_receipt(id, expires, now);
        let renewed = self.write(self.next_version(now), &[], [receipt])?;
        Ok(Update {
            confirms_earlier: true,
            ..renewed
        })
    }

    /// Writes the row of a machine again, as a new write. It confirms the enrolment and the latest
    /// start, like [`Registry::renew_receipt`] confirms the write of a receipt.
    ///
    /// # Errors
    /// [`Refusal::UnknownMachine`].
    pub fn renew_machine(&self, id: RowId, now: Duration) -> Result<Update, Refusal> {
        let row = self.machine(id).ok_or(Refusal::UnknownMachine)?;
        let version = self.next_version(now);
        let row = Machine {
            created: version,
            ..row.clone()
        };
        let renewed = self.write(version, &[], [Row::Machine(row)])?;
        Ok(Update {
            confirms_earlier: true,
            ..renewed
        })
    }

    fn new_receipt(&self, id: RowId, expires: Duration, now: Duration) -> Row {
        Row::Receipt(Receipt {
            id,
            created: self.next_version(now),
            expires: millis(expires),
        })
    }
}
