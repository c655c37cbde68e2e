//! What the operator of a tracker may do. The operator has no account and is not a member of any
//! group.

use super::{
    AuditAction, Done, End, EndReason, Label, Membership, OPERATOR, Refusal, Register, Registry,
    Row, RowId, Share, Update, Version,
};
use std::time::Duration;

/// What a step of [`Registry::remove_account_as_operator`] does, for the audit log: the last one
/// removes the account, the others only withdraw shares of it.
pub fn removal_step(step: &Update, account: RowId) -> Done {
    let is_last = step.rows().iter().any(|row| row.id() == account);
    let action = match is_last {
        true => AuditAction::RemovedUser,
        false => AuditAction::Withdrew,
    };
    (action, Some(account), None)
}

impl Registry {
    /// Removes a share with all its versions, or one version, from the catalogue of a group. If
    /// [`Registry::step_of_withdrawal`] returns a version, removes only some of the versions.
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
        let found = self.found_in(id, group, share)?;
        self.withdrawal(&found, OPERATOR, None, now)
    }

    /// Does one step of ending a group. If the catalogue of the group has shares, the step removes
    /// shares from it. Otherwise the step removes members and rejects requests to join. A step
    /// changes at most `limit` rows. The group has ended when [`Registry::has_shares_or_members`]
    /// returns `false`.
    ///
    /// # Errors
    /// Never.
    pub fn end_group_as_operator(
        &self,
        group: RowId,
        limit: usize,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let (ids, _) = self.index.catalogue.version_page(group, None, limit);
        let shares = ids.into_iter().filter_map(|id| self.share_row(id));
        let withdrawn = |share: &Share| Row::Share(share.withdrawn_by(OPERATOR, version));
        let mut rows: Vec<Row> = shares.map(withdrawn).collect();
        if rows.is_empty() {
            let open = self.open_memberships(group).take(limit);
            rows.extend(open.map(|row| ended(row, version)));
        }
        self.write(version, &[], rows)
    }

    /// One step of the removal of an account: withdraws shares of it and of its machines. The step
    /// that withdraws the last one also removes the account. A step changes at most `limit` rows
    /// and the account.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`].
    pub fn remove_account_as_operator(
        &self,
        account: RowId,
        limit: usize,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let version = self.next_version(now);
        let mut account = self.acting_account(account)?.clone();
        let mut publishers = self.index.machines.made_machines(account.id);
        publishers.push(account.id);
        let publishers = publishers.into_iter();
        let mut shares = publishers.flat_map(|id| self.index.catalogue.of_publisher(id));
        let first = shares.by_ref().take(limit);
        let first = first.filter_map(|id| self.share_row(id));
        let withdrawn = |share: &Share| Row::Share(share.withdrawn_by(OPERATOR, version));
        let mut rows: Vec<Row> = first.map(withdrawn).collect();
        if shares.next().is_none() {
            account.removed = Some(Register::new(version, ()));
            rows.push(Row::Account(account));
        }
        self.write(version, &[], rows)
    }

    /// Whether a group has shares in its catalogue, members, or requests to join.
    pub fn has_shares_or_members(&self, group: RowId) -> bool {
        let (shares, _) = self.index.catalogue.page(group, None, 1);
        !shares.is_empty() || self.open_memberships(group).next().is_some()
    }

    /// The memberships, and the requests to join, that have not ended.
    fn open_memberships(&self, group: RowId) -> impl Iterator<Item = &Membership> {
        let rows = self.memberships_of_group(group);
        rows.filter(|row| row.ended.is_none())
    }
}

/// The membership or request, ended by the operator.
fn ended(row: &Membership, version: Version) -> Row {
    let reason = match row.accepted {
        Some(_) => EndReason::Removed,
        None => EndReason::Rejected,
    };
    let by = OPERATOR;
    Row::Membership(Membership {
        ended: Some(Register::new(version, End { reason, by })),
        ..row.clone()
    })
}
