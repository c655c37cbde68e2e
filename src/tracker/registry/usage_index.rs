//! How much each account uses. This follows from the rows, and from the lengths of the stored info
//! dictionaries.

use super::{AccountRows, Row, RowId};
use crate::torrent::InfoHash;
use std::collections::HashMap;

/// How much one account uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Shares that the account published, without the withdrawn ones. Shares of groups that have
    /// ended count too, because the tracker keeps them.
    pub shares: u64,
    /// Groups that the account created, and of which it is still a member.
    pub groups: u64,
    /// Bytes of the info dictionaries of the account's shares. If several of these shares have one
    /// dictionary, it counts once.
    pub metadata_bytes: u64,
}

impl Usage {
    /// Adds what another one uses.
    pub(super) fn add(&mut self, other: &Self) {
        self.shares += other.shares;
        self.groups += other.groups;
        self.metadata_bytes += other.metadata_bytes;
    }
}

/// What each account uses, its logins and its log-outs. The registry updates it with each change of
/// a row.
#[derive(Debug, Default)]
pub(super) struct UsageIndex {
    /// The accounts that use anything.
    pub(super) accounts: HashMap<RowId, Usage>,
    dictionaries: HashMap<InfoHash, Dictionary>,
    /// The log-outs that are kept.
    pub(super) log_outs: AccountRows,
    /// The rows of logins.
    pub(super) logins: AccountRows,
}

/// An info dictionary. It is stored, or there are shares with its info-hash, or both.
#[derive(Debug, Default)]
struct Dictionary {
    /// Its length; 0 if it is not stored.
    length: u32,
    /// The accounts that published shares with its info-hash, and how many each account published.
    publishers: Vec<(RowId, u32)>,
}

/// What an account uses because of one row.
enum Item {
    Group,
    Share(InfoHash),
}

impl UsageIndex {
    /// Updates the index for a row that was inserted, changed or removed. `before` is the old state
    /// of the row, `after` is its new state.
    pub(super) fn update_row(&mut self, before: Option<&Row>, after: Option<&Row>) {
        if let Some((account, item)) = before.and_then(item_of) {
            self.remove(account, item);
        }
        if let Some((account, item)) = after.and_then(item_of) {
            self.add(account, item);
        }
    }

    /// Updates the logins and log-outs for a row that was inserted, changed or removed.
    pub(super) fn update_logins(&mut self, before: Option<&Row>, after: Option<&Row>) {
        let log_out = |row: Option<&Row>| match row {
            Some(Row::Revocation(row)) => Some((row.account, row.id)),
            _ => None,
        };
        self.log_outs.update(log_out(before), log_out(after));
        let login = |row: Option<&Row>| match row {
            Some(Row::Login(row)) => Some((row.account, row.id)),
            _ => None,
        };
        self.logins.update(login(before), login(after));
    }

    fn add(&mut self, account: RowId, item: Item) {
        let usage = self.accounts.entry(account).or_default();
        match item {
            Item::Group => usage.groups += 1,
            Item::Share(info_hash) => {
                usage.shares += 1;
                let dictionary = self.dictionaries.entry(info_hash).or_default();
                let mut publishers = dictionary.publishers.iter_mut();
                match publishers.find(|(publisher, _)| *publisher == account) {
                    Some((_, shares)) => *shares += 1,
                    None => {
                        dictionary.publishers.push((account, 1));
                        usage.metadata_bytes += u64::from(dictionary.length);
                    }
                }
            }
        }
    }

    fn remove(&mut self, account: RowId, item: Item) {
        let usage = self.accounts.entry(account).or_default();
        match item {
            Item::Group => usage.groups = usage.groups.saturating_sub(1),
            Item::Share(info_hash) => {
                usage.shares = usage.shares.saturating_sub(1);
                let dictionary = self.dictionaries.entry(info_hash).or_default();
                let length = u64::from(dictionary.length);
                dictionary.publishers.retain_mut(|(publisher, shares)| {
                    if *publisher != account {
                        return true;
                    }
                    *shares = shares.saturating_sub(1);
                    if *shares == 0 {
                        usage.metadata_bytes = usage.metadata_bytes.saturating_sub(length);
                    }
                    *shares > 0
                });
                self.forget_if_unused(info_hash);
            }
        }
        if self.accounts.get(&account) == Some(&Usage::default()) {
            self.accounts.remove(&account);
        }
    }

    /// Sets the length of an info dictionary that is stored. The length is 0 if the dictionary is
    /// no longer stored.
    pub(super) fn set_length(&mut self, info_hash: InfoHash, length: u32) {
        let dictionary = self.dictionaries.entry(info_hash).or_default();
        let old_length = std::mem::replace(&mut dictionary.length, length);
        for (publisher, _) in &dictionary.publishers {
            let usage = self.accounts.entry(*publisher).or_default();
            let bytes_of_others = usage.metadata_bytes.saturating_sub(old_length.into());
            usage.metadata_bytes = bytes_of_others + u64::from(length);
        }
        self.forget_if_unused(info_hash);
    }

    /// Forgets a dictionary that is not stored and that no share names.
    fn forget_if_unused(&mut self, info_hash: InfoHash) {
        let dictionary = self.dictionaries.get(&info_hash);
        if dictionary.is_some_and(|it| it.length == 0 && it.publishers.is_empty()) {
            self.dictionaries.remove(&info_hash);
        }
    }

    /// Whether `account` published a share with this info-hash. Withdrawn shares do not count.
    pub(super) fn is_publisher(&self, account: RowId, info_hash: InfoHash) -> bool {
        let dictionary = self.dictionaries.get(&info_hash);
        let mut publishers = dictionary.into_iter().flat_map(|it| &it.publishers);
        publishers.any(|(publisher, _)| *publisher == account)
    }
}

/// The account that uses something because of this row, and what the account uses. A group counts
/// for its creator. The row for it is the membership that the creator accepted himself: nobody else
/// accepts himself.
fn item_of(row: &Row) -> Option<(RowId, Item)> {
    match row {
        Row::Membership(row) => {
            let accepted = row.accepted.as_ref()?;
            let is_creator = accepted.value == row.account;
            (is_creator && row.ended.is_none()).then_some((row.account, Item::Group))
        }
        Row::Share(row) if row.withdrawn.is_none() => {
            Some((row.publisher, Item::Share(row.info_hash)))
        }
        _ => None,
    }
}
