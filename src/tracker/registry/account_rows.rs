//! For each account, the ids of its rows of one kind.

use super::RowId;
use std::collections::{HashMap, HashSet};

/// For each account, the ids of its rows of one kind.
#[derive(Debug, Default)]
pub(super) struct AccountRows(HashMap<RowId, HashSet<RowId>>);

impl AccountRows {
    /// Updates the ids for a row that was inserted, changed or removed. `before` and `after` are
    /// the account and the id of the row, if the row is of this kind.
    pub(super) fn update(&mut self, before: Option<(RowId, RowId)>, after: Option<(RowId, RowId)>) {
        match (before, after) {
            (None, Some((account, id))) => {
                self.0.entry(account).or_default().insert(id);
            }
            (Some((account, id)), None) => {
                if let Some(kept) = self.0.get_mut(&account) {
                    kept.remove(&id);
                    if kept.is_empty() {
                        self.0.remove(&account);
                    }
                }
            }
            _ => {}
        }
    }

    /// The number of rows of an account.
    pub(super) fn count(&self, account: RowId) -> usize {
        self.0.get(&account).map_or(0, HashSet::len)
    }

    /// The accounts that have more than `limit` rows.
    pub(super) fn beyond(&self, limit: usize) -> impl Iterator<Item = RowId> {
        let many = self.0.iter().filter(move |(_, ids)| ids.len() > limit);
        many.map(|(account, _)| *account)
    }

    /// The rows of an account.
    pub(super) fn of(&self, account: RowId) -> impl Iterator<Item = RowId> {
        self.0.get(&account).into_iter().flatten().copied()
    }
}
