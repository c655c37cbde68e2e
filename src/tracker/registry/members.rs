//! Who is in one group: what follows from the membership rows of a group, kept current row by row.

use super::{Membership, Row, RowId, Rows, Stamp, UserName};
use std::collections::{BTreeSet, HashMap};

/// Who is in a group, and who has asked to be.
#[derive(Debug, Default)]
pub(super) struct GroupMembers {
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

impl GroupMembers {
    /// What an account is to the group.
    pub(super) fn place_of(&self, account: RowId) -> Option<Place> {
        self.pairs.get(&account)?.place
    }

    /// The member of longest standing. Nobody owns a group that has ended.
    pub(super) fn owner(&self) -> Option<RowId> {
        self.seniority.first().map(|(_, owner)| *owner)
    }

    /// How many members the group has.
    pub(super) fn count(&self) -> usize {
        self.seniority.len()
    }

    /// All accounts that have ever been in the group or asked to be.
    pub(super) fn accounts(&self) -> impl Iterator<Item = RowId> {
        self.pairs.keys().copied()
    }

    /// The rows of an account, sorted by id.
    pub(super) fn rows_of(&self, account: RowId) -> impl Iterator<Item = &RowId> + Clone {
        self.pairs
            .get(&account)
            .into_iter()
            .flat_map(|pair| &pair.rows)
    }

    /// All rows of the group.
    pub(super) fn all_rows(&self) -> impl Iterator<Item = &RowId> {
        self.pairs.values().flat_map(|pair| &pair.rows)
    }

    /// Notes a row of an account; [`GroupMembers::place`] follows.
    pub(super) fn enter(&mut self, account: RowId, row: RowId) {
        self.pairs.entry(account).or_default().rows.insert(row);
    }

    /// An account gives up a name; [`GroupMembers::place`] follows.
    pub(super) fn forget_name(&mut self, name: &UserName, account: RowId) {
        let entry = (name.clone(), account);
        self.members.remove(&entry);
        self.requests.remove(&entry);
    }

    /// Works out anew what an account is to the group.
    pub(super) fn place(&mut self, rows: &Rows, account: RowId) -> Option<Place> {
        let pair = self.pairs.get_mut(&account)?;
        let place = place(pair.rows.iter().filter_map(|id| membership(rows, id)));
        if let Some(Place::Member(since)) = pair.place {
            self.seniority.remove(&(since, account));
        }
        if let Some(Place::Member(since)) = place {
            self.seniority.insert((since, account));
        }
        pair.place = place;
        if let Some(Row::Account(row)) = rows.get(&account) {
            let entry = (row.name.value.clone(), account);
            self.members.remove(&entry);
            self.requests.remove(&entry);
            match place {
                Some(Place::Member(_)) => self.members.insert(entry),
                Some(Place::Requested(_)) => self.requests.insert(entry),
                None => false,
            };
        }
        place
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

/// The membership of that id.
pub(super) fn membership<'a>(rows: &'a Rows, id: &RowId) -> Option<&'a Membership> {
    match rows.get(id) {
        Some(Row::Membership(row)) => Some(row),
        _ => None,
    }
}
