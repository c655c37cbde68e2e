//! Limits how many accounts one address, and one network, may create within a day.
//!
//! An account that is created with an invite code is not counted. Each tracker counts only the
//! accounts that it creates itself, and only since its start.

use super::network_table::{Entry, NetworkTable};
use crate::base::{AddressNetwork, AddressPrefix};
use crate::system::lock;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A count begins with its first account. It is forgotten this long after that account.
const DAY: Duration = Duration::from_secs(86_400);
/// The limit of a network is the limit of an address times this number. Networks need a limit of
/// their own, because one subscriber may have many IPv6 addresses.
const NETWORK_FACTOR: u32 = 10;
/// The maximum number of addresses that have a count, and of networks that have a count.
const MAX_ENTRIES: usize = 10_000;

/// The number of new accounts of each address and of each network.
#[derive(Debug)]
pub(super) struct NewAccounts {
    /// The maximum number of accounts that one address may create within a day.
    limit: u32,
    epoch: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    addresses: NetworkTable<AddressPrefix, DayCount>,
    networks: NetworkTable<AddressNetwork, DayCount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct DayCount {
    /// When the first account was counted.
    began: Duration,
    count: u32,
}

/// The address or its network has created the maximum number of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "your address or network may create at most {0} accounts a day; try again tomorrow, or ask the \
     tracker's operator for an invite code"
)]
pub(super) struct TooManyAccounts(u32);

impl NewAccounts {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            epoch: Instant::now(),
            counts: Mutex::new(Counts {
                addresses: NetworkTable::new(MAX_ENTRIES),
                networks: NetworkTable::new(MAX_ENTRIES),
            }),
        }
    }

    /// Counts an account that is about to be created by a request from this address.
    ///
    /// # Errors
    /// See [`TooManyAccounts`]. Then the account is not counted.
    pub(super) fn count(&self, from: IpAddr) -> Result<(), TooManyAccounts> {
        self.count_at(from, self.epoch.elapsed())
    }

    fn count_at(&self, from: IpAddr, now: Duration) -> Result<(), TooManyAccounts> {
        let address = AddressPrefix::of(from);
        let network_limit = self.limit.saturating_mul(NETWORK_FACTOR);
        let mut counts = lock(&self.counts);
        let of_address = plus_one(counts.addresses.get(&address), now);
        let of_network = plus_one(counts.networks.get(&address.network()), now);
        for (of_day, limit) in [(of_address, self.limit), (of_network, network_limit)] {
            if of_day.count > limit {
                return Err(TooManyAccounts(limit));
            }
        }
        counts.addresses.set(address, of_address, now);
        counts.networks.set(address.network(), of_network, now);
        Ok(())
    }

    /// Undoes [`NewAccounts::count`] for an account that was not created after all.
    pub(super) fn uncount(&self, from: IpAddr) {
        let address = AddressPrefix::of(from);
        let mut counts = lock(&self.counts);
        if let Some(Entry { value, set_at }) = counts.addresses.remove(&address) {
            counts.addresses.set(address, value.minus_one(), set_at);
        }
        if let Some(Entry { value, set_at }) = counts.networks.remove(&address.network()) {
            let network = address.network();
            counts.networks.set(network, value.minus_one(), set_at);
        }
    }
}

impl DayCount {
    fn minus_one(self) -> Self {
        Self {
            count: self.count.saturating_sub(1),
            ..self
        }
    }
}

/// The count after one more account. It begins again if a day has passed since it began.
fn plus_one(before: Option<&Entry<DayCount>>, now: Duration) -> DayCount {
    let current = before.filter(|it| now.saturating_sub(it.value.began) < DAY);
    let DayCount { began, count } = current.map_or(
        DayCount {
            began: now,
            count: 0,
        },
        |it| it.value,
    );
    DayCount {
        began,
        count: count.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_and_a_network_make_a_limited_number_of_accounts_a_day() {
        let accounts = NewAccounts::new(2);
        let count = |from: &str, now| accounts.count_at(ip(from), now);
        let day = |days: u32| DAY * days;
        for _ in 0..2 {
            assert_eq!(count("10.0.0.1", day(0)), Ok(()));
        }
        assert_eq!(count("10.0.0.1", day(0)), Err(TooManyAccounts(2)));
        assert_eq!(count("10.0.0.2", day(0)), Ok(()), "another address");
        accounts.uncount(ip("10.0.0.1"));
        assert_eq!(count("10.0.0.1", day(0)), Ok(()), "one was not created");
        let before_next_day = day(1) - Duration::from_secs(1);
        assert_eq!(count("10.0.0.1", before_next_day), Err(TooManyAccounts(2)));
        assert_eq!(count("10.0.0.1", day(1)), Ok(()), "the next day");
        // Twenty accounts of one IPv6 network, each from another address.
        let address = |number: u16| format!("2001:db8:{number:x}::1");
        for number in 0..20 {
            assert_eq!(count(&address(number), day(1)), Ok(()));
        }
        assert_eq!(count(&address(20), day(1)), Err(TooManyAccounts(20)));
        assert_eq!(count("2001:db9::1", day(1)), Ok(()), "another network");
    }
}
