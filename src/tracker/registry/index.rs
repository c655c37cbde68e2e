//! What is derived from the rows: holders of names, members and owners of groups, and for each
//! write the rows that still contain it.
//!
//! The index is updated row by row. It is a function of the set of rows, independent of their
//! order, except for the list of what has changed since the last [`Changes::take`].

use super::{
    Account, AuditIndex, Catalogue, Changes, CodeHash, GroupMembers, GroupName, MachineIndex,
    MembershipState, NameClaims, Origin, Row, RowId, Rows, Sequence, Share, Span, UsageIndex,
    UserName, removal,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included};

#[derive(Debug, Default)]
pub(super) struct Index {
    /// The claims of all accounts to their names.
    pub(super) account_names: NameClaims<UserName>,
    /// The claims of groups to their names. A group without members has ended, and has no claim.
    pub(super) group_names: NameClaims<GroupName>,
    pub(super) invites: HashMap<CodeHash, RowId>,
    /// The versions of shares. Those are listed that are not withdrawn and whose publisher, or the
    /// maker of the machine that published them, is not removed; also in groups that have ended.
    pub(super) catalogue: Catalogue,
    /// For each write, the rows that still contain it: those that it created, and those with a
    /// field whose present value is from this write.
    writes: BTreeMap<(Origin, Sequence), BTreeSet<RowId>>,
    /// For each group, its members and the users who have asked to join it.
    pub(super) members: HashMap<RowId, GroupMembers>,
    /// For each account, the groups in which it is a member or has an open request, by name.
    pub(super) current_groups: HashMap<RowId, BTreeSet<(GroupName, RowId)>>,
    /// For each account, the groups that it has ever asked to join or created.
    past_or_current_groups: HashMap<RowId, BTreeSet<RowId>>,
    /// The change numbers of each group, which show a peer whether it missed a hint; and what has
    /// changed since the last [`Changes::take`].
    pub(super) changes: Changes,
    /// The audit log.
    pub(super) audit: AuditIndex,
    /// What each account uses, its logins and its log-outs.
    pub(super) usage: UsageIndex,
    /// Tokens and machines.
    pub(super) machines: MachineIndex,
}

impl Index {
    /// Updates the index for a row that was inserted, changed or removed. `before` is its previous
    /// state.
    pub(super) fn update_row(&mut self, rows: &Rows, id: RowId, before: Option<&Row>) {
        self.remove_from_writes(id, before);
        if let (Some(Row::Invite(row)), None) = (before, rows.get(&id)) {
            self.invites.remove(&row.code);
        }
        self.usage.update_logins(before, rows.get(&id));
        self.audit.update_row(before, rows.get(&id));
        // Only rows of kinds that expire are ever removed.
        let Some(row) = rows.get(&id) else { return };
        self.usage.update_row(before, Some(row));
        for version in row.versions() {
            let write = (version.stamp.origin(), version.sequence);
            self.writes.entry(write).or_default().insert(id);
        }
        match row {
            Row::Account(row) => self.update_account(rows, row, before),
            Row::Group(row) => {
                let members = self.members.get(&id);
                let accounts: Vec<RowId> =
                    members.map_or_else(Vec::new, |members| members.accounts().collect());
                if let Some(Row::Group(before)) = before {
                    let name = &before.name.value;
                    if *name != row.name.value {
                        let former = self.group_names.label(name, id);
                        self.changes.on_renamed(id, former);
                    }
                    self.group_names.release(name, id);
                    for account in &accounts {
                        if let Some(current_groups) = self.current_groups.get_mut(account) {
                            current_groups.remove(&(name.clone(), id));
                        }
                    }
                }
                for account in accounts {
                    self.recompute_membership(rows, id, account);
                }
            }
            Row::Membership(row) => {
                let members = self.members.entry(row.group).or_default();
                members.add_row(row.account, id);
                self.past_or_current_groups
                    .entry(row.account)
                    .or_default()
                    .insert(row.group);
                self.recompute_membership(rows, row.group, row.account);
                self.machines_changed(row.account);
            }
            Row::Invite(row) => {
                self.invites.insert(row.code, id);
            }
            Row::Share(row) => {
                self.catalogue.note_publisher(row);
                let before = match before {
                    Some(Row::Share(before)) => Some(before),
                    _ => None,
                };
                self.list_share(rows, before, row);
            }
            Row::Token(_) | Row::Machine(_) => self.update_machines(rows, before, row),
            Row::Revocation(_) | Row::Receipt(_) | Row::Audit(_) | Row::Login(_) => {}
        }
        // The owners after this change. So a new owner learns that it owns the group.
        let owners = match row {
            Row::Membership(row) => self.members.get(&row.group).map(GroupMembers::owners),
            _ => None,
        };
        let owners = owners.into_iter().flatten();
        self.changes.update_row(before, Some(row), owners);
    }

    /// Lists a version of a share in its catalogue, or removes it: it may be withdrawn, or its
    /// publisher or the publisher's maker removed. `before` is the previous state of its row.
    fn list_share(&mut self, rows: &Rows, before: Option<&Share>, share: &Share) {
        let is_listed = share.withdrawn.is_none() && removal(rows, share.publisher).is_none();
        self.catalogue.update(before, share, is_listed);
    }

    fn update_account(&mut self, rows: &Rows, row: &Account, before: Option<&Row>) {
        if let Some(Row::Account(before)) = before {
            self.release_account_name(row.id, &before.name.value);
        }
        match row.removed {
            None => {
                let name = &row.name;
                self.account_names
                    .claim(&name.value, row.id, name.version.stamp);
            }
            Some(_) => {
                self.list_shares_of(rows, row.id);
                for machine in self.machines.made_machines(row.id) {
                    self.list_shares_of(rows, machine);
                }
                self.machines_changed(row.id);
            }
        }
        let groups: Vec<RowId> = self.past_or_current_groups(row.id).collect();
        for group in groups {
            self.recompute_membership(rows, group, row.id);
        }
    }

    /// Updates what is derived from the rows of tokens and machines, and the change numbers of
    /// their groups.
    fn update_machines(&mut self, rows: &Rows, before: Option<&Row>, row: &Row) {
        let change = self.machines.update_row(rows, before, row);
        if before.is_none() {
            // A share of the machine may have been known before its maker was.
            let machines: Vec<RowId> = match row {
                Row::Token(token) => self.machines.machines_of(token.id).collect(),
                row => vec![row.id()],
            };
            for machine in machines {
                self.list_shares_of(rows, machine);
            }
        }
        let mut subjects = change.subjects;
        if change.number != 0 {
            let members = change.groups.iter().filter_map(|id| self.members.get(id));
            subjects.extend(members.flat_map(GroupMembers::owners));
        }
        self.changes
            .update_machines(&change.groups, change.number, subjects);
    }

    /// The membership of an account has changed, so its machines may have ended or come back.
    fn machines_changed(&mut self, maker: RowId) {
        let machines = self.machines.made_machines(maker);
        self.changes.update_machines(&[], 0, machines);
    }

    fn list_shares_of(&mut self, rows: &Rows, publisher: RowId) {
        let shares: Vec<RowId> = self.catalogue.of_publisher(publisher).collect();
        for id in shares {
            if let Some(Row::Share(share)) = rows.get(&id) {
                self.list_share(rows, Some(share), share);
            }
        }
    }

    /// Removes a row from the lists of the writes that its previous state contained.
    fn remove_from_writes(&mut self, id: RowId, before: Option<&Row>) {
        for version in before.into_iter().flat_map(Row::versions) {
            let write = (version.stamp.origin(), version.sequence);
            if let Some(rows_of_write) = self.writes.get_mut(&write) {
                rows_of_write.remove(&id);
                if rows_of_write.is_empty() {
                    self.writes.remove(&write);
                }
            }
        }
    }

    /// The writes of `origin` in a span, in order, each with the rows that still contain it.
    pub(super) fn writes(
        &self,
        origin: Origin,
        Span { after, upto }: Span,
    ) -> impl Iterator<Item = (Sequence, &BTreeSet<RowId>)> {
        let range = (Excluded((origin, after)), Included((origin, upto)));
        let writes = self.writes.range(range);
        writes.map(|((_, sequence), rows)| (*sequence, rows))
    }

    /// The state of an account in a group.
    pub(super) fn state_of(&self, group: RowId, account: RowId) -> Option<MembershipState> {
        self.members.get(&group)?.state_of(account)
    }

    /// The groups that an account has ever asked to join or created.
    pub(super) fn past_or_current_groups(&self, account: RowId) -> impl Iterator<Item = RowId> {
        self.past_or_current_groups
            .get(&account)
            .into_iter()
            .flatten()
            .copied()
    }

    fn release_account_name(&mut self, id: RowId, before: &UserName) {
        self.account_names.release(before, id);
        for group in self.past_or_current_groups.get(&id).into_iter().flatten() {
            if let Some(members) = self.members.get_mut(group) {
                members.remove_name(before, id);
            }
        }
    }

    /// Computes the state of an account in a group again, and updates what is derived from it.
    fn recompute_membership(&mut self, rows: &Rows, group: RowId, account: RowId) {
        let Some(members) = self.members.get_mut(&group) else {
            return;
        };
        let stamps_of = |members: &GroupMembers| {
            let removal = members.removal_stamp(account);
            [members.readmission_stamp(account), removal]
        };
        let before = stamps_of(members);
        let state = members.recompute(rows, account);
        for (before, after) in before.into_iter().zip(stamps_of(members)) {
            self.changes.update_stamp((group, account), before, after);
        }
        let Some(Row::Group(row)) = rows.get(&group) else {
            return;
        };
        let name = &row.name;
        if members.count() == 0 {
            self.group_names.release(&name.value, group);
        } else {
            self.group_names
                .claim(&name.value, group, name.version.stamp);
        }
        let current_groups = self.current_groups.entry(account).or_default();
        let entry = (name.value.clone(), group);
        if state.is_some() {
            current_groups.insert(entry);
        } else {
            current_groups.remove(&entry);
        }
    }
}
