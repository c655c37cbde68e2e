//! Receipts: what tells a tracker that a write it is asked for was made already, here or at another one.
//!
//! A peer that got no answer asks again, of another tracker, under the same id of the write. A receipt is made with the
//! write itself: in one commit, and in one change to the others. Who has the one has the other.

use super::{Receipt, Refusal, Registry, Row, RowId, Update, millis};
use std::time::Duration;

impl Registry {
    /// The receipt of that id.
    pub fn receipt(&self, id: RowId) -> Option<&Receipt> {
        match self.row(id) {
            Some(Row::Receipt(row)) => Some(row),
            _ => None,
        }
    }

    /// An own write, made at `now` in the present state, together with its receipt, which is kept until `expires` (both since
    /// 1970).
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if the write was made already.
    pub fn receipted(
        &self,
        mut write: Update,
        id: RowId,
        expires: Duration,
        now: Duration,
    ) -> Result<Update, Refusal> {
        self.unmade(id)?;
        let receipt = self.new_receipt(id, expires, now);
        if let Some(change) = &mut write.change {
            change.rows.insert(id, receipt.clone());
        }
        write.rows.push(receipt);
        Ok(write)
    }

    /// Whether the write of that receipt has not been made.
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if it has been.
    pub fn unmade(&self, id: RowId) -> Result<(), Refusal> {
        match self.row(id) {
            None => Ok(()),
            Some(_) => Err(Refusal::IdInUse(id)),
        }
    }

    /// Makes a receipt anew: once others know this write, they know the one that the receipt is of, too.
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if another row has the id.
    pub fn confirm(&self, id: RowId, expires: Duration, now: Duration) -> Result<Update, Refusal> {
        if self.receipt(id).is_none() {
            self.unmade(id)?;
        }
        let receipt = self.new_receipt(id, expires, now);
        self.write(self.next_version(now), &[], [receipt])
    }

    fn new_receipt(&self, id: RowId, expires: Duration, now: Duration) -> Row {
        Row::Receipt(Receipt {
            id,
            created: self.next_version(now),
            expires: millis(expires),
        })
    }
}
