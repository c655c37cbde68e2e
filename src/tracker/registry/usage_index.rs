//! How much each account uses: a function of the rows, and of the lengths of the info dictionaries
//! that are stored.

use super::{Row, RowId};
use crate::torrent::InfoHash;
use std::collections::HashMap;

/// How much one account uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Shares that it published and that are not withdrawn. Those of ended groups count, because
    /// the tracker keeps them.
    pub shares: u64,
    /// Groups that it created and is still a member of.
    pub groups: u64,
    /// Bytes of the info dictionaries of its shares. A dictionary of several shares counts once.
    pub metadata_bytes: u64,
}

/// What each account uses. It is updated with each row.
#[derive(Debug, Default)]
pub(super) struct UsageIndex {
    /// The accounts that use anything.
    pub(super) accounts: HashMap<RowId, Usage>,
    dictionaries: HashMap<InfoHash, Dictionary>,
}

/// An info dictionary that is stored, or that shares name.
#[derive(Debug, Default)]
struct Dictionary {
    /// Its length; 0 if it is not stored.
    length: u32,
    /// The accounts with shares that name it, and the number of these shares.
    publishers: Vec<(RowId, u32)>,
}

/// What a row makes an account use.
enum Item {
    Group,
    Share(InfoHash),
}

impl UsageIndex {
    /// A row was inserted, changed or removed.
    pub(super) fn update_row(&mut self, before: Option<&Row>, after: Option<&Row>) {
        if let Some((account, item)) = before.and_then(item_of) {
            self.remove(account, item);
        }
        if let Some((account, item)) = after.and_then(item_of) {
            self.add(account, item);
        }
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
                self.clean(info_hash);
            }
        }
        if self.accounts.get(&account) == Some(&Usage::default()) {
            self.accounts.remove(&account);
        }
    }

    /// An info dictionary of this length is stored; 0: none is stored any longer.
    pub(super) fn set_length(&mut self, info_hash: InfoHash, length: u32) {
        let dictionary = self.dictionaries.entry(info_hash).or_default();
        let before = std::mem::replace(&mut dictionary.length, length);
        for (publisher, _) in &dictionary.publishers {
            let usage = self.accounts.entry(*publisher).or_default();
            let others = usage.metadata_bytes.saturating_sub(before.into());
            usage.metadata_bytes = others + u64::from(length);
        }
        self.clean(info_hash);
    }

    fn clean(&mut self, info_hash: InfoHash) {
        let dictionary = self.dictionaries.get(&info_hash);
        if dictionary.is_some_and(|it| it.length == 0 && it.publishers.is_empty()) {
            self.dictionaries.remove(&info_hash);
        }
    }

    /// Whether a share of `account` names the dictionary.
    pub(super) fn is_publisher(&self, account: RowId, info_hash: InfoHash) -> bool {
        let dictionary = self.dictionaries.get(&info_hash);
        let mut publishers = dictionary.into_iter().flat_map(|it| &it.publishers);
        publishers.any(|(publisher, _)| *publisher == account)
    }
}

/// The account that uses something because of this row, and what it uses. The membership of its
/// creator stands for a group: nobody else is accepted by himself.
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
