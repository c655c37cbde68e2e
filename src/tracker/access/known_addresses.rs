//! For each account, the addresses from which its password or a valid token of it has come since
//! the tracker started.
//!
//! Only somebody who has the password or a token of an account can change the list of its
//! addresses. So nobody else can make the tracker forget them. Each account has a limited number of
//! addresses, so the number of accounts bounds the memory.

use crate::base::AddressPrefix;
use crate::tracker::registry::RowId;
use std::collections::{HashMap, VecDeque};

/// The maximum number of addresses of one account. A further address replaces the one that was
/// added the longest time ago.
const MAX_PER_ACCOUNT: usize = 8;

/// The known addresses of each account. The address that was added last is at the end.
#[derive(Debug, Default)]
pub(super) struct KnownAddresses(HashMap<RowId, VecDeque<AddressPrefix>>);

impl KnownAddresses {
    /// Whether the address is known for one of these accounts.
    pub(super) fn contains(&self, accounts: &[RowId], address: AddressPrefix) -> bool {
        let known = accounts.iter().filter_map(|account| self.0.get(account));
        known.flatten().any(|known| *known == address)
    }

    /// Records that the password or a valid token of the account came from the address.
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
    fn the_addresses_that_were_added_last_are_known_for_each_account() {
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
