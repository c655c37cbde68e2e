//! Admits attempts on passwords.
//!
//! In scope: attempts that are under way. Each of them may still fail. For one user at one address,
//! the number of attempts at the same time is limited to the number of failures that are still
//! allowed without a wait. So parallel attempts allow no more guesses than attempts one after the
//! other. For one address only a few attempts are admitted at a time, so that no address fills the
//! queue of the hashing threads. Attempts above a limit wait for their turn. Out of scope: counting
//! failures (`throttle`), and checking passwords (`passwords`).

use super::throttle::Throttle;
use crate::base::AddressPrefix;
use crate::system::{lock, recover};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The maximum number of attempts under way from one address. A tracker hashes one password on each
/// core at a time, so only a tracker with more cores than this could hash more from that address.
const MAX_PER_ADDRESS: u32 = 8;
/// The maximum time to wait for admission.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Why an attempt was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptRefused {
    /// Too many attempts have failed. The next one is possible after this time.
    TooManyFailures(Duration),
    /// Other attempts from the same address take too long.
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
    /// The number of attempts under way from each address.
    by_address: HashMap<AddressPrefix, u32>,
}

/// An attempt that was admitted. It is under way until this value is dropped.
#[derive(Debug)]
pub(super) struct PasswordAttempt<'a> {
    attempts: &'a PasswordAttempts,
    /// The user whose password is tried; `None` for an account that is being created.
    user: Option<String>,
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

    /// Begins an attempt on the password of `user`. `user` is `None` for an account that is being
    /// created. Waits up to 10 s while too many other attempts from the same address are under
    /// way.
    ///
    /// # Errors
    /// See [`AttemptRefused`]. A refused attempt does not count as a failure.
    pub(super) fn begin(
        &self,
        user: Option<&str>,
        from: IpAddr,
    ) -> Result<PasswordAttempt<'_>, AttemptRefused> {
        let prefix = AddressPrefix::of(from);
        let pair = user.map(|user| (Throttle::key_name(user), prefix));
        let start = Instant::now();
        let mut state = self.state();
        loop {
            let allowed = match user {
                Some(user) => state
                    .throttle
                    .remaining_failures(user, from, self.epoch.elapsed()),
                None => Ok(u32::MAX),
            };
            let allowed = allowed.map_err(AttemptRefused::TooManyFailures)?;
            let of_pair = pair.as_ref().and_then(|pair| state.by_pair.get(pair));
            let of_address = state.by_address.get(&prefix);
            if of_pair.is_none_or(|under_way| *under_way < allowed)
                && of_address.is_none_or(|under_way| *under_way < MAX_PER_ADDRESS)
            {
                break;
            }
            let remaining = self.max_wait.checked_sub(start.elapsed());
            let remaining = remaining
                .filter(|remaining| !remaining.is_zero())
                .ok_or(AttemptRefused::Busy)?;
            let waited = self.attempt_ended.wait_timeout(state, remaining);
            state = recover(waited).0;
        }
        if let Some(pair) = pair {
            *state.by_pair.entry(pair).or_default() += 1;
        }
        *state.by_address.entry(prefix).or_default() += 1;
        Ok(PasswordAttempt {
            attempts: self,
            user: user.map(str::to_owned),
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
        if let Some(user) = &self.user {
            self.attempts
                .state()
                .throttle
                .record_failure(user, self.from, now);
        }
    }

    /// Records that the password was right.
    pub(super) fn record_success(&self) {
        let now = self.attempts.epoch.elapsed();
        if let Some(user) = &self.user {
            self.attempts
                .state()
                .throttle
                .record_success(user, self.from, now);
        }
    }
}

impl Drop for PasswordAttempt<'_> {
    fn drop(&mut self) {
        let prefix = AddressPrefix::of(self.from);
        let mut state = self.attempts.state();
        if let Some(user) = &self.user {
            decrement(&mut state.by_pair, &(Throttle::key_name(user), prefix));
        }
        decrement(&mut state.by_address, &prefix);
        drop(state);
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn begin_attempts<'a>(
        attempts: &'a PasswordAttempts,
        count: usize,
        user: &str,
        from: &str,
    ) -> Vec<PasswordAttempt<'a>> {
        let begin = |_| attempts.begin(Some(user), ip(from)).unwrap();
        (0..count).map(begin).collect()
    }

    #[test]
    fn parallel_attempts_are_limited_to_the_number_of_failures_still_allowed() {
        let attempts = PasswordAttempts::with_max_wait(NO_WAIT);
        let first = begin_attempts(&attempts, 5, "nik", "10.0.0.1");
        let more = |user| attempts.begin(Some(user), ip("10.0.0.1")).map(drop);
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
        let more = || attempts.begin(Some("nik"), ip("10.0.0.1")).map(drop);
        assert_eq!(more(), Err(AttemptRefused::Busy));
        under_way[0].record_success();
        assert_eq!(more(), Ok(()), "a success clears the failures");
    }

    #[test]
    fn an_address_has_a_limited_number_of_attempts_under_way() {
        let attempts = PasswordAttempts::with_max_wait(NO_WAIT);
        let users: Vec<String> = (0..MAX_PER_ADDRESS).map(|user| user.to_string()).collect();
        let begin = |user: Option<&str>, from| attempts.begin(user, ip(from));
        let admitted: Vec<PasswordAttempt<'_>> = users
            .iter()
            .map(|user| begin(Some(user), "2001:db8::1").unwrap())
            .collect();
        for user in [None, Some("more")] {
            assert_eq!(
                begin(user, "2001:db8::2").map(drop),
                Err(AttemptRefused::Busy)
            );
            assert_eq!(begin(user, "2001:db8:0:1::1").map(drop), Ok(()));
        }
        drop(admitted);
        assert_eq!(begin(None, "2001:db8::2").map(drop), Ok(()));
        let state = attempts.state();
        assert!(state.by_pair.is_empty() && state.by_address.is_empty());
    }

    #[test]
    fn a_waiting_attempt_is_admitted_when_another_ends() {
        let attempts = PasswordAttempts::new();
        let admitted = begin_attempts(&attempts, 5, "nik", "10.0.0.1");
        thread::scope(|scope| {
            let sixth = scope.spawn(|| attempts.begin(Some("nik"), ip("10.0.0.1")).map(drop));
            let (right, wrong) = admitted.split_first().unwrap();
            wrong.iter().for_each(PasswordAttempt::record_failure);
            right.record_success();
            drop(admitted);
            assert_eq!(sixth.join().unwrap(), Ok(()));
        });
    }
}
