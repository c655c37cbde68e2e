//! The limit on failed log-ins.
//!
//! Failures are counted for each pair of user and address, for each address, and for each user. A
//! count is forgotten 15 minutes after its last failure. From the fifth failure on, the next
//! attempt of that pair or address must wait: first 1 s, then twice as long after each failure, up
//! to 5 minutes. Names that do not exist are counted in the same way.
//!
//! Nobody can lock a user out by failures at another address. The count of a user includes the
//! failures at all addresses, but makes the user wait only from the fiftieth failure on, and at
//! most 30 s. That is enough against guesses from many addresses. At an address where the user has
//! logged in before, only the count of this user at this address matters. There, neither guesses
//! from other addresses nor failures of other users at the same address make the user wait.
//!
//! An address is an IPv4 address or the first 64 bits of an IPv6 address, because one machine can
//! use all addresses with the same 64 bits. At most 10,000 counts of each kind are kept. If there
//! are too many counts of pairs or of addresses, the table removes one (see `network_table`). So
//! failures in a few networks, however many, remove only counts of these networks. If there are too
//! many counts of users, the lowest one is removed, and the new count begins with it. So failures
//! for other names, however many, remove no high count. Out of scope: attempts that are under way
//! (`attempts`), and where users logged in before (`known_addresses`).

use super::network_table::{Entry, HasNetwork, NetworkTable};
use crate::base::AddressPrefix;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// A pair or an address with at least this number of failures must wait.
const FAILURES_BEFORE_WAIT: u32 = 5;
/// A user with at least this number of failures, at all addresses together, must wait at every
/// address where the user has not logged in before.
const USER_FAILURES_BEFORE_WAIT: u32 = 50;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT_PER_USER: Duration = Duration::from_secs(30);
/// A count is outdated after this time without a failure. An outdated count is not used any more.
const FORGET_AFTER: Duration = Duration::from_secs(900);
/// The maximum number of counts of each kind.
const MAX_ENTRIES: usize = 10_000;
/// The shortest time between two removals of outdated counts from a full table.
const CLEANING_INTERVAL: Duration = Duration::from_secs(60);
/// Number of characters of a user name that are used as a key: the first ones.
const KEY_CHARACTERS: usize = 100;

/// Failed log-ins. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pairs: Counters<(String, AddressPrefix)>,
    addresses: Counters<AddressPrefix>,
    users: UserCounters,
}

impl Throttle {
    /// How many more log-ins as `user` from `address` may fail before the next one must wait. The
    /// result is at least 1. `is_known`: the user was logged in at this address before.
    ///
    /// # Errors
    /// The time until the next attempt is possible.
    pub(super) fn remaining_failures(
        &self,
        user: &str,
        address: IpAddr,
        is_known: bool,
        now: Duration,
    ) -> Result<u32, Duration> {
        self.check(user, address, is_known, now)?;
        let failures = recent_count(self.pairs.0.get(&pair(user, address)), now);
        Ok(FAILURES_BEFORE_WAIT.saturating_sub(failures).max(1))
    }

    /// The part of a user name that is used as a key.
    pub(super) fn key_name(user: &str) -> String {
        user.chars().take(KEY_CHARACTERS).collect()
    }

    fn check(
        &self,
        user: &str,
        address: IpAddr,
        is_known: bool,
        now: Duration,
    ) -> Result<(), Duration> {
        let pair = pair(user, address);
        let of_pair = self.pairs.0.get(&pair);
        let mut wait = remaining_wait(of_pair, FAILURES_BEFORE_WAIT, LONGEST_WAIT, now);
        if !is_known {
            let (user, address) = &pair;
            let of_address = self.addresses.0.get(address);
            let by_address = remaining_wait(of_address, FAILURES_BEFORE_WAIT, LONGEST_WAIT, now);
            let by_user = remaining_wait(
                self.users.counters.get(user),
                USER_FAILURES_BEFORE_WAIT,
                LONGEST_WAIT_PER_USER,
                now,
            );
            wait = wait.max(by_address).max(by_user);
        }
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Counts a wrong password or an unknown user.
    pub(super) fn record_failure(&mut self, user: &str, address: IpAddr, now: Duration) {
        let pair = pair(user, address);
        self.addresses.increment(pair.1, now);
        self.users.increment(pair.0.clone(), now);
        self.pairs.increment(pair, now);
    }

    /// Records a successful log-in. The failures of the pair are forgotten. Those of the address
    /// are kept, because a user at this address may be guessing the passwords of other users.
    pub(super) fn record_success(&mut self, user: &str, address: IpAddr) {
        self.pairs.0.remove(&pair(user, address));
    }
}

fn pair(user: &str, address: IpAddr) -> (String, AddressPrefix) {
    (Throttle::key_name(user), AddressPrefix::of(address))
}

/// A count of failures, and the time of the last one.
type Counter = Entry<u32>;

/// Counts of addresses, or of pairs of user and address.
#[derive(Debug)]
struct Counters<K>(NetworkTable<K, u32>);

impl<K: Clone + Eq + Hash + Ord + HasNetwork> Default for Counters<K> {
    fn default() -> Self {
        Self(NetworkTable::new(MAX_ENTRIES))
    }
}

impl<K: Clone + Eq + Hash + Ord + HasNetwork> Counters<K> {
    fn increment(&mut self, key: K, now: Duration) {
        let count = recent_count(self.0.get(&key), now);
        self.0.set(key, count.saturating_add(1), now);
    }
}

/// A count for each user. If there are too many counts, the lowest one is removed. Of several
/// lowest counts, the oldest one is removed.
#[derive(Debug, Default)]
struct UserCounters {
    counters: HashMap<String, Counter>,
    /// The counts, the times of the last failures, and the users; the lowest count first.
    by_count: BTreeSet<(u32, Duration, String)>,
    /// When outdated counts were last removed.
    cleaned_at: Duration,
}

impl UserCounters {
    fn increment(&mut self, user: String, now: Duration) {
        let before = self.counters.remove(&user);
        if let Some(Entry { value, set_at }) = before {
            self.by_count.remove(&(value, set_at, user.clone()));
        }
        let removed_count = match self.counters.len() >= MAX_ENTRIES {
            true => self.make_room(now),
            false => 0,
        };
        let value = recent_count(before.as_ref(), now).max(removed_count);
        let value = value.saturating_add(1);
        self.by_count.insert((value, now, user.clone()));
        self.counters.insert(user, Entry { value, set_at: now });
    }

    /// Makes room for a new count. Removes outdated counts. If the table is still full, also
    /// removes the lowest count and returns it; otherwise returns 0. The new count begins with the
    /// returned one. If it began with 0, somebody who fails for many names could keep all counts
    /// low.
    fn make_room(&mut self, now: Duration) -> u32 {
        // This looks at the whole table, so it is done at most once a minute.
        if now.saturating_sub(self.cleaned_at) >= CLEANING_INTERVAL {
            self.cleaned_at = now;
            self.counters.retain(|_, counter| is_recent(counter, now));
            let counters = &self.counters;
            self.by_count
                .retain(|(.., user)| counters.contains_key(user));
        }
        if self.counters.len() >= MAX_ENTRIES
            && let Some((.., lowest_user)) = self.by_count.pop_first()
        {
            return recent_count(self.counters.remove(&lowest_user).as_ref(), now);
        }
        0
    }
}

fn is_recent(counter: &Counter, now: Duration) -> bool {
    now.saturating_sub(counter.set_at) < FORGET_AFTER
}

fn recent_count(counter: Option<&Counter>, now: Duration) -> u32 {
    let recent = counter.filter(|counter| is_recent(counter, now));
    recent.map_or(0, |counter| counter.value)
}

/// How long the next attempt must still wait.
fn remaining_wait(
    counter: Option<&Counter>,
    failures_before_wait: u32,
    longest: Duration,
    now: Duration,
) -> Duration {
    let count = recent_count(counter, now);
    let (Some(more), Some(counter)) = (count.checked_sub(failures_before_wait), counter) else {
        return Duration::ZERO;
    };
    let factor = 2u32.checked_pow(more).unwrap_or(u32::MAX);
    let wait = FIRST_WAIT.saturating_mul(factor).min(longest);
    wait.saturating_sub(now.saturating_sub(counter.set_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &mut Throttle, times: u32, user: &str, address: &str, now: Duration) {
        for _ in 0..times {
            throttle.record_failure(user, ip(address), now);
        }
    }

    #[test]
    fn the_fifth_failure_slows_only_the_pair_and_the_address() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 4, "nik", "10.0.0.1", at(0));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), false, at(0)), Ok(()));
        fail(&mut throttle, 1, "nik", "10.0.0.1", at(0));
        let wait = Err(Duration::from_secs(1));
        for user in ["nik", "mayank", "nobody"] {
            assert_eq!(
                throttle.check(user, ip("10.0.0.1"), false, at(0)),
                wait,
                "{user}"
            );
            assert_eq!(
                throttle.check(user, ip("10.0.0.2"), false, at(0)),
                Ok(()),
                "{user}"
            );
        }
        assert_eq!(
            throttle.check("nik", ip("::ffff:10.0.0.1"), false, at(0)),
            wait
        );
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), false, at(1)), Ok(()));
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_failures_are_forgotten_after_fifteen_minutes() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 4, "nik", "10.0.0.1", at(0));
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            fail(&mut throttle, 1, "nik", "10.0.0.1", at(0));
            let wait = throttle.check("nik", ip("10.0.0.1"), false, at(0));
            assert_eq!(wait, Err(Duration::from_secs(seconds)));
        }
        fail(&mut throttle, 1_000_000, "nik", "10.0.0.1", at(0));
        let wait = throttle.check("nik", ip("10.0.0.1"), false, at(100));
        assert_eq!(wait, Err(Duration::from_secs(200)));
        assert_eq!(
            throttle.check("nik", ip("10.0.0.1"), false, at(300)),
            Ok(())
        );
        fail(&mut throttle, 4, "nik", "10.0.0.1", at(900));
        assert_eq!(
            throttle.check("nik", ip("10.0.0.1"), false, at(900)),
            Ok(())
        );
    }

    #[test]
    fn guesses_from_many_addresses_are_slowed_without_locking_the_user_out() {
        let mut throttle = Throttle::default();
        for number in 0..49 {
            throttle.record_failure("nik", ip(&format!("10.1.0.{number}")), at(1));
        }
        assert_eq!(throttle.check("nik", ip("10.2.0.1"), false, at(1)), Ok(()));
        for number in 0..49 {
            throttle.record_failure("nik", ip(&format!("10.3.0.{number}")), at(1));
        }
        let wait = throttle.check("nik", ip("10.2.0.1"), false, at(1));
        assert_eq!(wait, Err(Duration::from_secs(30)));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), true, at(1)), Ok(()));
        assert_eq!(
            throttle.check("mayank", ip("10.2.0.1"), false, at(1)),
            Ok(())
        );
        // At an address where the user has logged in, failures for this user at this address count.
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(1));
        assert!(throttle.check("nik", ip("10.0.0.1"), true, at(1)).is_err());
    }

    #[test]
    fn a_success_clears_the_pair_but_not_the_address() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(0));
        throttle.record_success("nik", ip("10.0.0.1"));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), true, at(0)), Ok(()));
        assert!(
            throttle
                .check("mayank", ip("10.0.0.1"), false, at(0))
                .is_err()
        );
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let mut throttle = Throttle::default();
        for host in 0..5 {
            throttle.record_failure("nik", ip(&format!("2001:db8:0:1::{host}")), at(0));
        }
        let check = |text| throttle.check("nik", ip(text), false, at(0));
        assert!(check("2001:db8:0:1:ffff::1").is_err());
        assert_eq!(check("2001:db8:0:2::1"), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_failures_elsewhere_remove_no_count_that_makes_somebody_wait() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(0));
        fail(&mut throttle, 55, "uma", "10.0.0.2", at(0));
        // Failures come from 100 networks. Each failure is for a new name and from a new address.
        for number in 0..20_000u32 {
            let address = IpAddr::V4((0x0b00_0000 + ((number % 100) << 16) + number / 100).into());
            let user = format!("{number}{}", "x".repeat(5000));
            throttle.record_failure(&user, address, at(1));
        }
        let sizes = [
            throttle.pairs.0.len(),
            throttle.addresses.0.len(),
            throttle.users.counters.len(),
            throttle.users.by_count.len(),
        ];
        assert_eq!(sizes, [MAX_ENTRIES; 4]);
        let mut names = throttle.users.counters.keys();
        assert!(names.all(|name| name.len() <= KEY_CHARACTERS));
        for user in ["nik", "mayank"] {
            let wait = throttle.check(user, ip("10.0.0.1"), false, at(0));
            assert!(wait.is_err(), "{user}");
        }
        let of_pair = throttle.check("nik", ip("10.0.0.1"), true, at(0));
        assert!(of_pair.is_err());
        assert!(throttle.check("uma", ip("12.0.0.1"), false, at(1)).is_err());
    }

    #[test]
    fn outdated_counts_are_removed_before_lower_counts() {
        let mut throttle = Throttle::default();
        for number in 0..10_000 {
            let user = number.to_string();
            fail(&mut throttle, 2, &user, "10.0.0.1", at(0));
        }
        fail(&mut throttle, 1, "nik", "10.0.0.2", at(901));
        fail(&mut throttle, 1, "uma", "10.0.0.2", at(901));
        assert_eq!(throttle.users.counters.len(), 2);
        assert_eq!(throttle.users.by_count.len(), 2);
    }

    #[test]
    fn guesses_among_failures_for_many_other_names_are_counted() {
        let mut throttle = Throttle::default();
        for number in 0..10_000 {
            let user = number.to_string();
            fail(&mut throttle, 2, &user, "10.0.0.1", at(0));
        }
        // Each failure for a new name removes the lowest count. Each round is from a new network.
        for number in 0..60_u32 {
            let address = IpAddr::V4((0x0b00_0000 + (number << 16)).into());
            throttle.record_failure("nik", address, at(1));
            throttle.record_failure(&format!("new {number}"), address, at(1));
        }
        assert!(throttle.check("nik", ip("12.0.0.1"), false, at(1)).is_err());
    }
}
