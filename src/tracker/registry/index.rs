//! What follows from the rows, kept current row by row: who holds which name, who is in which group, who owns it, and
//! which rows still bear which write.
//!
//! Everything here is a function of the set of rows, whatever order they came in.

use super::{
    Catalogue, CodeHash, GroupMembers, GroupName, Names, Origin, Place, Row, RowId, Rows, Sequence,
    Span, UserName,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included};

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Claims of all accounts.
    pub(super) accounts: Names<UserName>,
    /// Claims of the groups that have members: one that has ended holds no name.
    pub(super) groups: Names<GroupName>,
    pub(super) invites: HashMap<CodeHash, RowId>,
    /// The shares that stand, whether their group does or not.
    pub(super) catalogue: Catalogue,
    /// The rows in which something of that write still stands.
    writes: BTreeMap<(Origin, Sequence), BTreeSet<RowId>>,
    pub(super) members: HashMap<RowId, GroupMembers>,
    /// The groups in which an account is a member or has asked to be, by name.
    pub(super) joined: HashMap<RowId, BTreeSet<(GroupName, RowId)>>,
    /// The groups an account has ever asked to join.
    asked: HashMap<RowId, BTreeSet<RowId>>,
}

impl Index {
    /// Follows a row that is new in `rows` or has changed from `before`.
    pub(super) fn follow(&mut self, rows: &Rows, id: RowId, before: Option<&Row>) {
        for version in before.into_iter().flat_map(Row::versions) {
            let write = (version.stamp.origin(), version.sequence);
            if let Some(bearers) = self.writes.get_mut(&write) {
                bearers.remove(&id);
                if bearers.is_empty() {
                    self.writes.remove(&write);
                }
            }
        }
        if let (Some(Row::Invite(row)), None) = (before, rows.get(&id)) {
            self.invites.remove(&row.code);
        }
        let Some(row) = rows.get(&id) else { return };
        for version in row.versions() {
            let write = (version.stamp.origin(), version.sequence);
            self.writes.entry(write).or_default().insert(id);
        }
        match row {
            Row::Account(row) => {
                if let Some(Row::Account(before)) = before {
                    self.rename_account(id, &before.name.value);
                }
                let name = &row.name;
                self.accounts.claim(&name.value, id, name.version.stamp);
                for group in self.asked.get(&id).cloned().unwrap_or_default() {
                    self.place(rows, group, id);
                }
            }
            Row::Group(_) => {
                let known = self.members.get(&id);
                let accounts: Vec<RowId> =
                    known.map_or_else(Vec::new, |known| known.accounts().collect());
                if let Some(Row::Group(before)) = before {
                    let name = &before.name.value;
                    self.groups.release(name, id);
                    for account in &accounts {
                        if let Some(joined) = self.joined.get_mut(account) {
                            joined.remove(&(name.clone(), id));
                        }
                    }
                }
                for account in accounts {
                    self.place(rows, id, account);
                }
            }
            Row::Membership(row) => {
                let members = self.members.entry(row.group).or_default();
                members.enter(row.account, id);
                self.asked.entry(row.account).or_default().insert(row.group);
                self.place(rows, row.group, row.account);
            }
            Row::Invite(row) => {
                self.invites.insert(row.code, id);
            }
            Row::Share(row) if row.withdrawn.is_none() => self.catalogue.enter(row),
            Row::Share(row) => self.catalogue.leave(row),
            Row::Revocation(_) | Row::Receipt(_) => {}
        }
    }

    /// The writes of `origin` after `after`, up to and with `upto`, in order, each with the rows that still bear it.
    pub(super) fn writes(
        &self,
        origin: Origin,
        Span { after, upto }: Span,
    ) -> impl Iterator<Item = (Sequence, &BTreeSet<RowId>)> {
        let range = (Excluded((origin, after)), Included((origin, upto)));
        let writes = self.writes.range(range);
        writes.map(|((_, sequence), rows)| (*sequence, rows))
    }

    /// What an account is to a group.
    pub(super) fn place_of(&self, group: RowId, account: RowId) -> Option<Place> {
        self.members.get(&group)?.place_of(account)
    }

    /// Who owns a group: the member of longest standing. Nobody owns a group that has ended.
    pub(super) fn owner(&self, group: RowId) -> Option<RowId> {
        self.members.get(&group)?.owner()
    }

    /// The groups an account has ever asked to join or made.
    pub(super) fn asked(&self, account: RowId) -> impl Iterator<Item = RowId> {
        self.asked.get(&account).into_iter().flatten().copied()
    }

    fn rename_account(&mut self, id: RowId, before: &UserName) {
        self.accounts.release(before, id);
        for group in self.asked.get(&id).into_iter().flatten() {
            if let Some(members) = self.members.get_mut(group) {
                members.forget_name(before, id);
            }
        }
    }

    /// Works out anew what an account is to a group, and what follows from that.
    fn place(&mut self, rows: &Rows, group: RowId, account: RowId) {
        let Some(members) = self.members.get_mut(&group) else {
            return;
        };
        let place = members.place(rows, account);
        let Some(Row::Group(row)) = rows.get(&group) else {
            return;
        };
        let name = &row.name;
        if members.count() == 0 {
            self.groups.release(&name.value, group);
        } else {
            self.groups.claim(&name.value, group, name.version.stamp);
        }
        let joined = self.joined.entry(account).or_default();
        let entry = (name.value.clone(), group);
        if place.is_some() {
            joined.insert(entry);
        } else {
            joined.remove(&entry);
        }
    }
}
