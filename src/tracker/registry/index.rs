//! What follows from the rows, kept current row by row: who holds which name, who is in which group, who owns it, and
//! which rows still bear which write.
//!
//! Everything here is a function of the set of rows, whatever order they came in.

use super::catalogue::Catalogue;
use super::id::{Origin, RowId, Sequence};
use super::name::{GroupName, UserName};
use super::names::Names;
use super::row::{Membership, Row};
use super::secret::CodeHash;
use super::stamp::Stamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) type Rows = BTreeMap<RowId, Row>;

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
    pub(super) writes: BTreeMap<(Origin, Sequence), BTreeSet<RowId>>,
    companies: HashMap<RowId, Company>,
    /// The groups in which an account is a member or has asked to be, by name.
    joined: HashMap<RowId, BTreeSet<(GroupName, RowId)>>,
    /// The groups an account has ever asked to join.
    asked: HashMap<RowId, BTreeSet<RowId>>,
}

/// Who is in a group.
#[derive(Debug, Default)]
pub(super) struct Company {
    pairs: HashMap<RowId, Pair>,
    /// Members by the stamp they were accepted at; the first one owns the group.
    seniority: BTreeSet<(Stamp, RowId)>,
    /// Members and requesters by name, as far as their accounts are known.
    pub(super) members: BTreeSet<(UserName, RowId)>,
    pub(super) requests: BTreeSet<(UserName, RowId)>,
}

/// All rows of one account in one group.
#[derive(Debug, Default)]
struct Pair {
    rows: BTreeSet<RowId>,
    place: Option<Place>,
}

/// What an account is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has asked at that stamp.
    Requested(Stamp),
    /// A member since that stamp.
    Member(Stamp),
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
                let known = self.companies.get(&id);
                let accounts: Vec<RowId> =
                    known.map_or_else(Vec::new, |company| company.pairs.keys().copied().collect());
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
                let company = self.companies.entry(row.group).or_default();
                company
                    .pairs
                    .entry(row.account)
                    .or_default()
                    .rows
                    .insert(id);
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

    /// What an account is to a group.
    pub(super) fn place_of(&self, group: RowId, account: RowId) -> Option<Place> {
        self.company(group)?.pairs.get(&account)?.place
    }

    /// Who has ever been in a group.
    pub(super) fn company(&self, group: RowId) -> Option<&Company> {
        self.companies.get(&group)
    }

    /// Who owns a group: the member of longest standing. Nobody owns a group that has ended.
    pub(super) fn owner(&self, group: RowId) -> Option<RowId> {
        let (_, owner) = self.company(group)?.seniority.first()?;
        Some(*owner)
    }

    /// How many members a group has.
    pub(super) fn members(&self, group: RowId) -> usize {
        self.company(group).map_or(0, |it| it.seniority.len())
    }

    /// The rows of an account in a group, sorted by id.
    pub(super) fn memberships<'a>(
        &'a self,
        rows: &'a Rows,
        group: RowId,
        account: RowId,
    ) -> impl Iterator<Item = &'a Membership> {
        let pair = self.company(group).and_then(|it| it.pairs.get(&account));
        pair.into_iter()
            .flat_map(|pair| &pair.rows)
            .filter_map(|id| membership(rows, id))
    }

    /// All rows of a group.
    pub(super) fn memberships_of_group<'a>(
        &'a self,
        rows: &'a Rows,
        group: RowId,
    ) -> impl Iterator<Item = &'a Membership> {
        let pairs = self
            .company(group)
            .into_iter()
            .flat_map(|it| it.pairs.values());
        pairs
            .flat_map(|pair| &pair.rows)
            .filter_map(|id| membership(rows, id))
    }

    /// The groups in which an account is a member or has asked to be, sorted; among them some that have ended.
    pub(super) fn joined(&self, account: RowId) -> Option<&BTreeSet<(GroupName, RowId)>> {
        self.joined.get(&account)
    }

    /// The groups an account has ever asked to join or made.
    pub(super) fn asked(&self, account: RowId) -> impl Iterator<Item = RowId> {
        self.asked.get(&account).into_iter().flatten().copied()
    }

    fn rename_account(&mut self, id: RowId, before: &UserName) {
        self.accounts.release(before, id);
        for group in self.asked.get(&id).into_iter().flatten() {
            if let Some(company) = self.companies.get_mut(group) {
                company.members.remove(&(before.clone(), id));
                company.requests.remove(&(before.clone(), id));
            }
        }
    }

    /// Works out anew what an account is to a group, and what follows from that.
    fn place(&mut self, rows: &Rows, group: RowId, account: RowId) {
        let Some(company) = self.companies.get_mut(&group) else {
            return;
        };
        let Some(pair) = company.pairs.get_mut(&account) else {
            return;
        };
        let place = place(pair.rows.iter().filter_map(|id| membership(rows, id)));
        if let Some(Place::Member(since)) = pair.place {
            company.seniority.remove(&(since, account));
        }
        if let Some(Place::Member(since)) = place {
            company.seniority.insert((since, account));
        }
        pair.place = place;
        if let Some(Row::Account(row)) = rows.get(&account) {
            let entry = (row.name.value.clone(), account);
            company.members.remove(&entry);
            company.requests.remove(&entry);
            match place {
                Some(Place::Member(_)) => company.members.insert(entry),
                Some(Place::Requested(_)) => company.requests.insert(entry),
                None => false,
            };
        }
        if let Some(Row::Group(row)) = rows.get(&group) {
            let name = &row.name;
            if company.seniority.is_empty() {
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
}

/// What one account's rows in one group come to: an end is final for its row and for every row asked for before it,
/// accepted or not; the first acceptance of those left makes a member.
fn place<'a>(rows: impl Iterator<Item = &'a Membership> + Clone) -> Option<Place> {
    let live = live(rows);
    let accepted = live.clone().filter_map(|row| row.accepted.as_ref());
    let since = accepted.map(|field| field.version.stamp).min();
    let asked = live.map(|row| row.created.stamp).min();
    since.map(Place::Member).or(asked.map(Place::Requested))
}

/// The rows of one account in one group that no end has overtaken.
pub(super) fn live<'a>(
    rows: impl Iterator<Item = &'a Membership> + Clone,
) -> impl Iterator<Item = &'a Membership> + Clone {
    let ends = rows.clone().filter_map(|row| row.ended.as_ref());
    let last_end = ends.map(|field| field.version.stamp).max();
    rows.filter(move |row| {
        row.ended.is_none() && last_end.is_none_or(|end| row.created.stamp > end)
    })
}

fn membership<'a>(rows: &'a Rows, id: &RowId) -> Option<&'a Membership> {
    match rows.get(id) {
        Some(Row::Membership(row)) => Some(row),
        _ => None,
    }
}
