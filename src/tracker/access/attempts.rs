//! Admits attempts on passwords.
//!
//! In scope: attempts that are under way. Each of them may still fail. For one user at one address,
//! the number of attempts at the same time is limited to the number of failures that are still
//! allowed without a wait. So parallel attempts allow no more guesses than attempts one after the
//! other. An attempt above the limit waits until an attempt of that user at that address ends. The
//! wait is short, because the attempts under way run already. Out of scope: in which order attempts
//! run (`password_turns`), counting failures (`throttle`), and checking passwords (`passwords`).

use super::known_addresses::KnownAddresses;
use super::throttle::Throttle;
use crate::base::AddressPrefix;
use crate::system::{lock, recover};
use crate::tracker::registry::RowId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The maximum time to wait for admission.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Why an attempt was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptRefused {
    /// Too many attempts have failed. The next one is possible after this time.
    TooManyFailures(Duration),
    /// Other attempts of the same user at the same address take too long.
    Busy,
}

/// Counts and admits attempts.
#[derive(Debug)]
pub(super) struct PasswordAttempts {
    state: Mutex<AttemptCounts>,
    attempt_ended: Condvar,
    /// The moment from which the times of `Throttle` are counted.
    epoch: Instant,
    max_wait: Duration,
}

#[derive(Debug, Default)]
struct AttemptCounts {
    throttle: Throttle,
    /// The number of attempts under way for each user at each address.
    by_pair: HashMap<(String, AddressPrefix), u32>,
    known: KnownAddresses,
}

/// An attempt that was admitted. It is under way until this value is dropped.
#[derive(Debug)]
pub(super) struct PasswordAttempt<'a> {
    attempts: &'a PasswordAttempts,
    user: String,
    from: IpAddr,
}

impl PasswordAttempts {
    pub(super) fn new() -> Self {
        Self::with_max_wait(MAX_WAIT)
    }

    fn with_max_wait(max_wait: Duration) -> Self {
        Self {
            state: Mutex::default(),
            attempt_ended: Condvar::new(),
            epoch: Instant::now(),
            max_wait,
        }
    }

    /// Whether one of these accounts was logged in at this address before.
    pub(super) fn is_known(&self, accounts: &[RowId], from: IpAddr) -> bool {
        let address = AddressPrefix::of(from);
        self.state().known.contains(accounts, address)
    }

    /// Records that an account was logged in at this address.
    pub(super) fn add_known(&self, account: RowId, from: IpAddr) {
        self.state().known.add(account, AddressPrefix::of(from));
    }

    /// Begins an attempt on the password of `user`. `accounts` lists the accounts that the name may
    /// mean. Waits up to 10 s while too many other attempts for this user from the same address are
    /// under way.
    ///
    /// # Errors
    /// See [`AttemptRefused`]. A refused attempt does not count as a failure.
    pub(super) fn begin(
        &self,
        user: &str,
        accounts: &[RowId],
        from: IpAddr,
    ) -> Result<PasswordAttempt<'_>, AttemptRefused> {
        let address = AddressPrefix::of(from);
        let pair = (Throttle::key_name(user), address);
        let start = Instant::now();
        let mut state = self.state();
        loop {
            let is_known = state.known.contains(accounts, address);
            let now = self.epoch.elapsed();
            let allowed = state
                .throttle
                .remaining_failures(user, from, is_known, now)
                .map_err(AttemptRefused::TooManyFailures)?;
            let under_way = state.by_pair.get(&pair);
            if under_way.is_none_or(|under_way| *under_way < allowed) {
                break;
            }
            let remaining = self.max_wait.checked_sub(start.elapsed());
            let remaining = remaining
                .filter(|remaining| !remaining.is_zero())
                .ok_or(AttemptRefused::Busy)?;
            let waited = self.attempt_ended.wait_timeout(state, remaining);
            state = recover(waited).0;
        }
        *state.by_pair.entry(pair).or_default() += 1;
        Ok(PasswordAttempt {
            attempts: self,
            user: user.to_owned(),
            from,
        })
    }

    fn state(&self) -> MutexGuard<'_, AttemptCounts> {
        lock(&self.state)
    }
}

impl PasswordAttempt<'_> {
    /// Records that the password was wrong or the user does not exist.
    pub(super) fn record_failure(&self) {
        let now = self.attempts.epoch.elapsed();
        let mut state = self.attempts.state();
        state.throttle.record_failure(&self.user, self.from, now);
    }

    /// Records that the password of `account` was right.
    pub(super) fn record_success(&self, account: RowId) {
        let mut state = self.attempts.state();
        state.throttle.record_success(&self.user, self.from);
        state.known.add(account, AddressPrefix::of(self.from));
    }
}

impl Drop for PasswordAttempt<'_> {
    fn drop(&mut self) {
        let pair = (Throttle::key_name(&self.user), AddressPrefix::of(self.from));
        decrement(&mut self.attempts.state().by_pair, &pair);
        self.attempts.attempt_ended.notify_all();
    }
}

/// Decrements a count, and removes it at zero.
fn decrement<K: Eq + std::hash::Hash>(under_way: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = under_way.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            under_way.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const NO_WAIT: Duration = Duration::ZERO;
    const NIK: RowId = RowId([1; 16]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn begin_attempts<'a>(
        attempts: &'a PasswordAttempts,
        count: usize,
        user: &str,
        from: &str,
    ) -> Vec<PasswordAttempt<'a>> {
        let begin = |_| attempts.begin(user, &[], ip(from)).unwrap();
        (0..count).map(begin).collect()
    }

    #[test]
    fn parallel_attempts_are_limited_to_the_number_of_failures_still_allowed() {
        let attempts = PasswordAttempts::with_max_wait(NO_WAIT);
        let first = begin_attempts(&attempts, 5, "nik", "10.0.0.1");
        let more = |user| attempts.begin(user, &[], ip("10.0.0.1")).map(drop);
        assert_eq!(more("nik"), Err(AttemptRefused::Busy));
        assert_eq!(more("mayank"), Ok(()), "another user");
        first.iter().for_each(PasswordAttempt::record_failure);
        drop(first);
        assert!(matches!(
            more("nik"),
            Err(AttemptRefused::TooManyFailures(_))
        ));
    }

    #[test]
    fn failures_reduce_the_number_of_parallel_attempts() {
        let attempts = PasswordAttempts::with_max_wait(NO_WAIT);
        begin_attempts(&attempts, 3, "nik", "10.0.0.1")
            .iter()
            .for_each(PasswordAttempt::record_failure);
        let under_way = begin_attempts(&attempts, 2, "nik", "10.0.0.1");
        let more = || attempts.begin("nik", &[], ip("10.0.0.1")).map(drop);
        assert_eq!(more(), Err(AttemptRefused::Busy));
        under_way[0].record_success(NIK);
        assert_eq!(more(), Ok(()), "a success clears the failures");
        assert!(attempts.is_known(&[NIK], ip("::ffff:10.0.0.1")));
        assert!(!attempts.is_known(&[NIK], ip("10.0.0.2")));
    }

    #[test]
    fn a_waiting_attempt_is_admitted_when_another_ends() {
        let attempts = PasswordAttempts::new();
        let admitted = begin_attempts(&attempts, 5, "nik", "10.0.0.1");
        thread::scope(|scope| {
            let sixth = scope.spawn(|| attempts.begin("nik", &[], ip("10.0.0.1")).map(drop));
            let (right, wrong) = admitted.split_first().unwrap();
            wrong.iter().for_each(PasswordAttempt::record_failure);
            right.record_success(NIK);
            drop(admitted);
            assert_eq!(sixth.join().unwrap(), Ok(()));
        });
    }
}
