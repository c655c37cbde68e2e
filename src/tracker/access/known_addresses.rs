//! The addresses at which each account has shown its password or a valid token since the start.
//!
//! Only somebody with the password or a token of an account changes what is known of it. So nobody
//! can make the tracker forget the addresses of somebody else. The memory is bounded by the number
//! of accounts.

use crate::base::AddressPrefix;
use crate::tracker::registry::RowId;
use std::collections::{HashMap, VecDeque};

/// The most addresses of one account: the last ones.
const MAX_PER_ACCOUNT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct KnownAddresses(HashMap<RowId, VecDeque<AddressPrefix>>);

impl KnownAddresses {
    /// Whether one of these accounts was at the address.
    pub(super) fn contains(&self, accounts: &[RowId], address: AddressPrefix) -> bool {
        let known = accounts.iter().filter_map(|account| self.0.get(account));
        known.flatten().any(|known| *known == address)
    }

    pub(super) fn add(&mut self, account: RowId, address: AddressPrefix) {
        let known = self.0.entry(account).or_default();
        known.retain(|other| *other != address);
        if known.len() >= MAX_PER_ACCOUNT {
            known.pop_front();
        }
        known.push_back(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_addresses_of_each_account_are_known() {
        let mut known = KnownAddresses::default();
        let (nik, uma) = (RowId([1; 16]), RowId([2; 16]));
        let address = |host| AddressPrefix::of([10, 0, 0, host].into());
        known.add(nik, address(0));
        for host in 0..100 {
            known.add(uma, address(host));
        }
        known.add(uma, address(92));
        known.add(uma, address(100));
        assert!(known.contains(&[nik], address(0)) && !known.contains(&[uma], address(0)));
        assert!(known.contains(&[uma], address(92)) && !known.contains(&[uma], address(93)));
        assert!(known.contains(&[nik, uma], address(100)) && !known.contains(&[], address(100)));
        assert_eq!(known.0.get(&uma).map(VecDeque::len), Some(MAX_PER_ACCOUNT));
    }
}
