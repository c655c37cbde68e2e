//! What the operator of a tracker may do. The operator has no account, and is no member of a group.

use super::{
    End, EndReason, Label, Membership, Refusal, Register, Registry, Row, RowId, Share, Update,
};
use std::time::Duration;

/// Stands for the operator where a row names the account that made a change. No account has this
/// id.
pub(super) const OPERATOR: RowId = RowId([0; 16]);

impl Registry {
    /// Removes a share from the catalogue of a group.
    ///
    /// # Errors
    /// [`Refusal::UnknownGroup`], [`Refusal::UnknownShare`].
    pub fn withdraw_as_operator(
        &self,
        group: &Label,
        share: &str,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.group_id(group)?;
        let version = self.next_version(now);
        let share = Share {
            withdrawn: Some(Register::new(version, OPERATOR)),
            ..self.share_in(id, group, share)?.clone()
        };
        self.write(version, &[], [Row::Share(share)])
    }

    /// Removes shares from the catalogue of a group: at most `limit` of them.
    ///
    /// # Errors
    /// None of its own.
    pub fn withdraw_all_as_operator(
        &self,
        group: RowId,
        limit: usize,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let (ids, _) = self.index.catalogue.page(group, None, limit);
        let shares = ids.into_iter().filter_map(|id| self.share_row(id));
        let withdrawn = shares.map(|share| {
            Row::Share(Share {
                withdrawn: Some(Register::new(version, OPERATOR)),
                ..share.clone()
            })
        });
        self.write(version, &[], withdrawn)
    }

    /// Removes members from a group, and rejects requests to join it: at most `limit` of both
    /// together. The group has ended when there are no more.
    ///
    /// # Errors
    /// None of its own.
    pub fn remove_members_as_operator(
        &self,
        group: RowId,
        limit: usize,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let live = self.memberships_of_group(group);
        let live = live.filter(|row| row.ended.is_none()).take(limit);
        let ended = live.map(|row| {
            let reason = match row.accepted {
                Some(_) => EndReason::Removed,
                None => EndReason::Rejected,
            };
            let by = OPERATOR;
            Row::Membership(Membership {
                ended: Some(Register::new(version, End { reason, by })),
                ..row.clone()
            })
        });
        self.write(version, &[], ended)
    }

    /// Whether a group has shares in its catalogue, and whether it has members or requests to join.
    pub fn has_shares_and_members(&self, group: RowId) -> (bool, bool) {
        let (shares, _) = self.index.catalogue.page(group, None, 1);
        let mut rows = self.memberships_of_group(group);
        (!shares.is_empty(), rows.any(|row| row.ended.is_none()))
    }
}
