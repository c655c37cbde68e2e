//! The limit on failed log-ins.
//!
//! Failures are counted for each pair of user and address, for each address, and for each user. A
//! count is forgotten 15 minutes after its last failure. From the fifth failure on, the next
//! attempt of that pair or address must wait: first 1 s, then twice as long after each failure, up
//! to 5 minutes. Names that do not exist are counted in the same way.
//!
//! Nobody can lock a user out by failures at another address. Failures at other addresses slow a
//! user down only from the fiftieth on, and by at most 30 s. That is enough against guesses from
//! many addresses. At an address where the user has logged in before, only the user's own failures
//! there count. So neither an attack on the name nor a neighbour behind the same address keeps the
//! user out.
//!
//! An address is an IPv4 address or the first 64 bits of an IPv6 address, because one machine can
//! use all addresses of such a network. At most 10,000 entries of each kind are kept; the oldest
//! ones are dropped first. Out of scope: attempts that are under way (`attempts`).

use crate::base::AddressPrefix;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// The number of failures from which on a pair or an address must wait.
const FAILURES_BEFORE_WAIT: u32 = 5;
/// The number of failures of one user, at all addresses together, from which on the user must wait
/// at every address without an earlier log-in.
const USER_FAILURES_BEFORE_WAIT: u32 = 50;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT_PER_USER: Duration = Duration::from_secs(30);
/// A count is forgotten after this time without a failure.
const FORGET_AFTER: Duration = Duration::from_secs(900);
/// The maximum number of entries of each kind.
const MAX_ENTRIES: usize = 10_000;
/// Number of characters of a user name that are used as a key: the first ones.
const KEY_CHARACTERS: usize = 100;

/// Failed and successful log-ins. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pairs: Counters<(String, AddressPrefix)>,
    addresses: Counters<AddressPrefix>,
    users: Counters<String>,
    /// Pairs that have logged in. They do not expire, but the oldest one is dropped when there are
    /// more than [`MAX_ENTRIES`].
    logged_in: Counters<(String, AddressPrefix)>,
}

impl Throttle {
    /// How many more log-ins as `user` from `address` may fail before the next one must wait. The
    /// result is at least 1.
    ///
    /// # Errors
    /// The time until the next attempt is possible.
    pub(super) fn remaining_failures(
        &self,
        user: &str,
        address: IpAddr,
        now: Duration,
    ) -> Result<u32, Duration> {
        self.check(user, address, now)?;
        let failures = self.pairs.recent_count(&pair(user, address), now);
        Ok(FAILURES_BEFORE_WAIT.saturating_sub(failures).max(1))
    }

    /// The part of a user name that is used as a key.
    pub(super) fn key_name(user: &str) -> String {
        user.chars().take(KEY_CHARACTERS).collect()
    }

    fn check(&self, user: &str, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let pair = pair(user, address);
        let mut wait = self
            .pairs
            .remaining_wait(&pair, FAILURES_BEFORE_WAIT, LONGEST_WAIT, now);
        if !self.logged_in.entries.contains_key(&pair) {
            let (user, address) = &pair;
            let by_address =
                self.addresses
                    .remaining_wait(address, FAILURES_BEFORE_WAIT, LONGEST_WAIT, now);
            let by_user = self.users.remaining_wait(
                user,
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
    pub(super) fn record_success(&mut self, user: &str, address: IpAddr, now: Duration) {
        let pair = pair(user, address);
        self.pairs.forget(&pair);
        self.logged_in.increment(pair, now);
    }
}

fn pair(user: &str, address: IpAddr) -> (String, AddressPrefix) {
    (Throttle::key_name(user), AddressPrefix::of(address))
}

/// A count for each key. At most [`MAX_ENTRIES`] counts are kept: the most recently changed ones.
#[derive(Debug)]
struct Counters<K> {
    entries: HashMap<K, Counter>,
    by_age: BTreeSet<(Duration, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    count: u32,
    changed_at: Duration,
}

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            by_age: BTreeSet::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Counters<K> {
    fn increment(&mut self, key: K, now: Duration) {
        let before = self.forget(&key);
        let count = before
            .filter(|counter| now.saturating_sub(counter.changed_at) < FORGET_AFTER)
            .map_or(0, |counter| counter.count);
        if self.entries.len() >= MAX_ENTRIES
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let counter = Counter {
            count: count.saturating_add(1),
            changed_at: now,
        };
        self.by_age.insert((now, key.clone()));
        self.entries.insert(key, counter);
    }

    fn forget(&mut self, key: &K) -> Option<Counter> {
        let (key, counter) = self.entries.remove_entry(key)?;
        self.by_age.remove(&(counter.changed_at, key));
        Some(counter)
    }

    fn recent_count(&self, key: &K, now: Duration) -> u32 {
        let counter = self.entries.get(key);
        let recent =
            counter.filter(|counter| now.saturating_sub(counter.changed_at) < FORGET_AFTER);
        recent.map_or(0, |counter| counter.count)
    }

    /// How long `key` must still wait.
    fn remaining_wait(
        &self,
        key: &K,
        failures_before_wait: u32,
        longest: Duration,
        now: Duration,
    ) -> Duration {
        let Some(counter) = self.entries.get(key) else {
            return Duration::ZERO;
        };
        let elapsed = now.saturating_sub(counter.changed_at);
        match counter.count.checked_sub(failures_before_wait) {
            Some(more) if elapsed < FORGET_AFTER => {
                let factor = 2u32.checked_pow(more).unwrap_or(u32::MAX);
                FIRST_WAIT
                    .saturating_mul(factor)
                    .min(longest)
                    .saturating_sub(elapsed)
            }
            _ => Duration::ZERO,
        }
    }
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
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(0)), Ok(()));
        fail(&mut throttle, 1, "nik", "10.0.0.1", at(0));
        let wait = Err(Duration::from_secs(1));
        for user in ["nik", "mayank", "nobody"] {
            assert_eq!(throttle.check(user, ip("10.0.0.1"), at(0)), wait, "{user}");
            assert_eq!(
                throttle.check(user, ip("10.0.0.2"), at(0)),
                Ok(()),
                "{user}"
            );
        }
        assert_eq!(throttle.check("nik", ip("::ffff:10.0.0.1"), at(0)), wait);
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(1)), Ok(()));
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_failures_are_forgotten_after_fifteen_minutes() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 4, "nik", "10.0.0.1", at(0));
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            fail(&mut throttle, 1, "nik", "10.0.0.1", at(0));
            let wait = throttle.check("nik", ip("10.0.0.1"), at(0));
            assert_eq!(wait, Err(Duration::from_secs(seconds)));
        }
        fail(&mut throttle, 1_000_000, "nik", "10.0.0.1", at(0));
        let wait = throttle.check("nik", ip("10.0.0.1"), at(100));
        assert_eq!(wait, Err(Duration::from_secs(200)));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(300)), Ok(()));
        fail(&mut throttle, 4, "nik", "10.0.0.1", at(900));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(900)), Ok(()));
    }

    #[test]
    fn guesses_from_many_addresses_are_slowed_without_locking_the_user_out() {
        let mut throttle = Throttle::default();
        throttle.record_success("nik", ip("10.0.0.1"), at(0));
        for number in 0..49 {
            throttle.record_failure("nik", ip(&format!("10.1.0.{number}")), at(1));
        }
        assert_eq!(throttle.check("nik", ip("10.2.0.1"), at(1)), Ok(()));
        for number in 0..49 {
            throttle.record_failure("nik", ip(&format!("10.3.0.{number}")), at(1));
        }
        let wait = throttle.check("nik", ip("10.2.0.1"), at(1));
        assert_eq!(wait, Err(Duration::from_secs(30)));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(1)), Ok(()));
        assert_eq!(throttle.check("mayank", ip("10.2.0.1"), at(1)), Ok(()));
        // At an address where the user has logged in, the user's own failures count.
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(1));
        assert!(throttle.check("nik", ip("10.0.0.1"), at(1)).is_err());
    }

    #[test]
    fn a_success_clears_the_pair_but_not_the_address() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(0));
        throttle.record_success("nik", ip("10.0.0.1"), at(5));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(0)), Ok(()));
        assert!(throttle.check("mayank", ip("10.0.0.1"), at(0)).is_err());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let mut throttle = Throttle::default();
        for host in 0..5 {
            throttle.record_failure("nik", ip(&format!("2001:db8:0:1::{host}")), at(0));
        }
        let check = |text| throttle.check("nik", ip(text), at(0));
        assert!(check("2001:db8:0:1:ffff::1").is_err());
        assert_eq!(check("2001:db8:0:2::1"), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_entries_are_dropped_first() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 5, "first", "10.0.0.1", at(0));
        fail(&mut throttle, 5, "second", "10.0.0.2", at(1));
        for number in 0..9999u32 {
            let address = IpAddr::V4(number.into());
            throttle.record_failure(&format!("{number}{}", "x".repeat(5000)), address, at(2));
            throttle.record_success(&number.to_string(), address, at(2));
        }
        let sizes = [
            throttle.pairs.entries.len(),
            throttle.addresses.by_age.len(),
        ];
        assert_eq!(sizes, [MAX_ENTRIES, MAX_ENTRIES]);
        assert!(
            throttle
                .users
                .by_age
                .iter()
                .all(|(_, name)| name.len() <= KEY_CHARACTERS)
        );
        assert_eq!(throttle.check("first", ip("10.0.0.1"), at(0)), Ok(()));
        assert!(throttle.check("second", ip("10.0.0.2"), at(1)).is_err());
    }
}
