//! What a mirror asks trackers: which shares were withdrawn.

use super::{Account, AccountError};
use crate::torrent::InfoHash;
use crate::wire::access::{AccessAnswer, AccessRequest, GroupId, MAX_WITHDRAWALS, Withdrawal};
use crate::wire::name::Label;

impl Account {
    /// Those of these versions that members have withdrawn from the group. `id` is the group that
    /// is meant: if another group has the name now, nothing counts as withdrawn.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(crate) fn withdrawals(
        &self,
        id: GroupId,
        group: &Label,
        versions: &[InfoHash],
    ) -> Result<Vec<Withdrawal>, AccountError> {
        let login = self.current_login()?;
        let mut all = Vec::new();
        for versions in versions.chunks(MAX_WITHDRAWALS) {
            let ask = AccessRequest::Withdrawals {
                group: group.clone(),
                shares: versions.to_vec(),
            };
            let AccessAnswer::Withdrawals(answer) = self.ask(&ask, Some(&login))? else {
                return Err(AccountError::OtherAnswer(ask.kind()));
            };
            if answer.group != id {
                return Ok(Vec::new());
            }
            all.extend(answer.withdrawn);
        }
        Ok(all)
    }
}
