//! Which entries the audit log has, and which of them are too many.

use super::{Row, RowId, Stamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most entries that are kept. A garbage collection drops those beyond it.
pub const MAX_AUDIT: usize = 100_000;

/// The entries of the audit log by author, in the order of their stamps.
#[derive(Debug, Default)]
pub(super) struct AuditIndex {
    pub(super) by_author: HashMap<RowId, BTreeSet<(Stamp, RowId)>>,
    count: usize,
}

impl AuditIndex {
    /// A row was inserted, changed or removed.
    pub(super) fn update_row(&mut self, before: Option<&Row>, after: Option<&Row>) {
        if let Some(Row::Audit(entry)) = before
            && let Some(entries) = self.by_author.get_mut(&entry.who)
        {
            self.count -= usize::from(entries.remove(&(entry.created.stamp, entry.id)));
            if entries.is_empty() {
                self.by_author.remove(&entry.who);
            }
        }
        if let Some(Row::Audit(entry)) = after {
            let entries = self.by_author.entry(entry.who).or_default();
            self.count += usize::from(entries.insert((entry.created.stamp, entry.id)));
        }
    }

    /// The entries to drop so that at most `limit` are left: the oldest ones of the account that
    /// has the most. `account_of` returns the maker of a machine, and returns an account unchanged.
    /// So nobody gets more entries by more machines.
    pub(super) fn beyond(
        &self,
        limit: usize,
        account_of: impl Fn(RowId) -> RowId,
    ) -> BTreeSet<RowId> {
        let mut beyond = BTreeSet::new();
        let mut authors: BTreeMap<(usize, RowId), _> = BTreeMap::new();
        if self.count > limit {
            let mut accounts: HashMap<RowId, BTreeSet<(Stamp, RowId)>> = HashMap::new();
            for (who, entries) in &self.by_author {
                accounts
                    .entry(account_of(*who))
                    .or_default()
                    .extend(entries);
            }
            let all = accounts.into_iter();
            authors.extend(all.map(|(who, entries)| ((entries.len(), who), entries.into_iter())));
        }
        while self.count - beyond.len() > limit
            && let Some(((count, who), mut entries)) = authors.pop_last()
            && let Some((_, oldest)) = entries.next()
        {
            beyond.insert(oldest);
            authors.insert((count - 1, who), entries);
        }
        beyond
    }
}
