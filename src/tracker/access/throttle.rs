//! The limit on failed log-ins.
//!
//! Failures are counted by pair of user and address, by address, and by user in all; a count is forgotten 15 minutes after
//! its last failure. From the fifth failure on of a pair or an address, its next try must wait: 1 s, then twice as long
//! after each failure, up to 5 minutes. A name that does not exist counts like one that does.
//!
//! A user must not be locked out by somebody elsewhere. So failures from other addresses slow a user down only from
//! the fiftieth on, by 30 s at most: enough against guesses from many addresses. And from an address where
//! the user has logged in before, only their own failures there count: neither a stranger's
//! storm on the name nor a neighbour behind the same address keeps them out.
//!
//! An address is one of IPv4 or the first 64 bits of one of IPv6, which one machine has whole. 10,000 entries of each kind are
//! kept; the ones untouched for longest go first. Out of scope: tries under way (`gate`).

use crate::base::AddressPrefix;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// Failures of a pair or an address from which on it is slowed down.
const FREE_FAILURES: u32 = 5;
/// Failures of a user in all from which on others are slowed down.
const FREE_FAILURES_PER_USER: u32 = 50;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT_PER_USER: Duration = Duration::from_secs(30);
/// After how long without a failure they are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(900);
/// Entries of each kind.
const MAX_ENTRIES: usize = 10_000;
/// Characters of a user's name that count.
const COUNTED_CHARACTERS: usize = 100;

/// Failed log-ins, and who logged in from where. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pairs: Counters<(String, AddressPrefix)>,
    addresses: Counters<AddressPrefix>,
    users: Counters<String>,
    /// Pairs that have logged in; they are not forgotten.
    logged_in: Counters<(String, AddressPrefix)>,
}

impl Throttle {
    /// How many tries of somebody at `address` to log in as `user` may fail from now on before the next has to wait; at
    /// least one.
    ///
    /// # Errors
    /// How long to wait before that one.
    pub(super) fn remaining_failures(
        &self,
        user: &str,
        address: IpAddr,
        now: Duration,
    ) -> Result<u32, Duration> {
        self.check(user, address, now)?;
        let failures = self.pairs.recent(&pair(user, address), now);
        Ok(FREE_FAILURES.saturating_sub(failures).max(1))
    }

    /// What of a user's name counts.
    pub(super) fn counted_name(user: &str) -> String {
        user.chars().take(COUNTED_CHARACTERS).collect()
    }

    fn check(&self, user: &str, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let pair = pair(user, address);
        let mut wait = self.pairs.wait(&pair, FREE_FAILURES, LONGEST_WAIT, now);
        if !self.logged_in.entries.contains_key(&pair) {
            let (user, address) = &pair;
            let by_address = self
                .addresses
                .wait(address, FREE_FAILURES, LONGEST_WAIT, now);
            let by_user = self
                .users
                .wait(user, FREE_FAILURES_PER_USER, LONGEST_WAIT_PER_USER, now);
            wait = wait.max(by_address).max(by_user);
        }
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Counts a wrong password, or a user who does not exist.
    pub(super) fn record_failure(&mut self, user: &str, address: IpAddr, now: Duration) {
        let pair = pair(user, address);
        self.addresses.increment(pair.1, now);
        self.users.increment(pair.0.clone(), now);
        self.pairs.increment(pair, now);
    }

    /// Notes a right password: the pair's failures are forgotten, not the address's, whose user may be guessing at others.
    pub(super) fn record_success(&mut self, user: &str, address: IpAddr, now: Duration) {
        let pair = pair(user, address);
        self.pairs.forget(&pair);
        self.logged_in.increment(pair, now);
    }
}

fn pair(user: &str, address: IpAddr) -> (String, AddressPrefix) {
    (Throttle::counted_name(user), AddressPrefix::of(address))
}

/// Counts by key, the ones touched last.
#[derive(Debug)]
struct Counters<K> {
    entries: HashMap<K, Counter>,
    by_age: BTreeSet<(Duration, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    count: u32,
    last: Duration,
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
            .filter(|counter| now.saturating_sub(counter.last) < FORGET_AFTER)
            .map_or(0, |counter| counter.count);
        if self.entries.len() >= MAX_ENTRIES
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let counter = Counter {
            count: count.saturating_add(1),
            last: now,
        };
        self.by_age.insert((now, key.clone()));
        self.entries.insert(key, counter);
    }

    fn forget(&mut self, key: &K) -> Option<Counter> {
        let (key, counter) = self.entries.remove_entry(key)?;
        self.by_age.remove(&(counter.last, key));
        Some(counter)
    }

    fn recent(&self, key: &K, now: Duration) -> u32 {
        let counter = self.entries.get(key);
        let recent = counter.filter(|counter| now.saturating_sub(counter.last) < FORGET_AFTER);
        recent.map_or(0, |counter| counter.count)
    }

    /// How long `key` must still wait.
    fn wait(&self, key: &K, free: u32, longest: Duration, now: Duration) -> Duration {
        let Some(counter) = self.entries.get(key) else {
            return Duration::ZERO;
        };
        let past = now.saturating_sub(counter.last);
        match counter.count.checked_sub(free) {
            Some(more) if past < FORGET_AFTER => {
                let factor = 2u32.checked_pow(more).unwrap_or(u32::MAX);
                FIRST_WAIT
                    .saturating_mul(factor)
                    .min(longest)
                    .saturating_sub(past)
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
    fn the_fifth_failure_slows_the_pair_and_the_address_and_nobody_else() {
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
    fn the_wait_doubles_to_five_minutes_and_is_forgotten_after_fifteen() {
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
    fn guesses_from_many_addresses_are_slowed_and_do_not_lock_the_user_out() {
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
        // From where the user is known, their own failures count all the same.
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(1));
        assert!(throttle.check("nik", ip("10.0.0.1"), at(1)).is_err());
    }

    #[test]
    fn a_success_clears_the_pair_and_not_the_address() {
        let mut throttle = Throttle::default();
        fail(&mut throttle, 5, "nik", "10.0.0.1", at(0));
        throttle.record_success("nik", ip("10.0.0.1"), at(5));
        assert_eq!(throttle.check("nik", ip("10.0.0.1"), at(0)), Ok(()));
        assert!(throttle.check("mayank", ip("10.0.0.1"), at(0)).is_err());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let mut throttle = Throttle::default();
        for host in 0..5 {
            throttle.record_failure("nik", ip(&format!("2001:db8:0:1::{host}")), at(0));
        }
        let check = |text| throttle.check("nik", ip(text), at(0));
        assert!(check("2001:db8:0:1:ffff::1").is_err());
        assert_eq!(check("2001:db8:0:2::1"), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
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
                .all(|(_, name)| name.len() <= COUNTED_CHARACTERS)
        );
        assert_eq!(throttle.check("first", ip("10.0.0.1"), at(0)), Ok(()));
        assert!(throttle.check("second", ip("10.0.0.2"), at(1)).is_err());
    }
}
