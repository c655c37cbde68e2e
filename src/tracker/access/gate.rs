//! Who may try a password now.
//!
//! In scope: the limit on failed tries together with the tries under way. Of these each may turn out a failure, so that of
//! one user from one address only so many are let in at once as may still fail, and of one address few: the others
//! wait their turn. So nobody gains tries by making them all at once, and no address fills the queue of those who
//! hash. Out of scope: counting (`throttle`), and whether a password is right.

use super::throttle::Throttle;
use crate::base::AddressPrefix;
use crate::system::{lock, recover};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many of one address are let in at once. Nothing is lost: no machine hashes many more at a time.
const OF_ADDRESS: u32 = 8;
/// How long somebody waits for a turn at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why somebody may not try now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Too many tries have failed: how long to wait.
    Slow(Duration),
    /// Others from there take too long.
    Busy,
}

/// Lets tries in.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    left: Condvar,
    epoch: Instant,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    throttle: Throttle,
    of_pairs: HashMap<(String, AddressPrefix), u32>,
    of_networks: HashMap<AddressPrefix, u32>,
}

/// One that was let in; it is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Try<'a> {
    gate: &'a Gate,
    /// Whose password it is about; none for an account that is still to be made.
    user: Option<String>,
    from: IpAddr,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        Self {
            state: Mutex::default(),
            left: Condvar::new(),
            epoch: Instant::now(),
            patience,
        }
    }

    /// Lets somebody at that address try the password of `user`, or with none have a new one hashed. Waits while others
    /// from there are under way, for 10 s at most.
    ///
    /// # Errors
    /// See [`Closed`]; such a try is not counted.
    pub(super) fn enter(&self, user: Option<&str>, from: IpAddr) -> Result<Try<'_>, Closed> {
        let network = AddressPrefix::of(from);
        let pair = user.map(|user| (Throttle::counted(user), network));
        let start = Instant::now();
        let mut state = self.state();
        loop {
            let room = match user {
                Some(user) => state.throttle.room(user, from, self.epoch.elapsed()),
                None => Ok(u32::MAX),
            };
            let room = room.map_err(Closed::Slow)?;
            let of_pair = pair.as_ref().and_then(|pair| state.of_pairs.get(pair));
            let of_network = state.of_networks.get(&network);
            if of_pair.is_none_or(|under_way| *under_way < room)
                && of_network.is_none_or(|under_way| *under_way < OF_ADDRESS)
            {
                break;
            }
            let left = self.patience.checked_sub(start.elapsed());
            let left = left.filter(|left| !left.is_zero()).ok_or(Closed::Busy)?;
            let waited = self.left.wait_timeout(state, left);
            state = recover(waited).0;
        }
        if let Some(pair) = pair {
            *state.of_pairs.entry(pair).or_default() += 1;
        }
        *state.of_networks.entry(network).or_default() += 1;
        Ok(Try {
            gate: self,
            user: user.map(str::to_owned),
            from,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Try<'_> {
    /// The password was wrong, or there is no such user.
    pub(super) fn failed(&self) {
        let now = self.gate.epoch.elapsed();
        if let Some(user) = &self.user {
            self.gate.state().throttle.failed(user, self.from, now);
        }
    }

    /// The password was right.
    pub(super) fn succeeded(&self) {
        let now = self.gate.epoch.elapsed();
        if let Some(user) = &self.user {
            self.gate.state().throttle.succeeded(user, self.from, now);
        }
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        let network = AddressPrefix::of(self.from);
        let mut state = self.gate.state();
        if let Some(user) = &self.user {
            leave(&mut state.of_pairs, &(Throttle::counted(user), network));
        }
        leave(&mut state.of_networks, &network);
        drop(state);
        self.gate.left.notify_all();
    }
}

/// One less is under way; what is at none is forgotten.
fn leave<K: Eq + std::hash::Hash>(under_way: &mut HashMap<K, u32>, key: &K) {
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

    const NOW: Duration = Duration::ZERO;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn tries<'a>(gate: &'a Gate, count: usize, user: &str, from: &str) -> Vec<Try<'a>> {
        let enter = |_| gate.enter(Some(user), ip(from)).unwrap();
        (0..count).map(enter).collect()
    }

    #[test]
    fn no_more_are_under_way_than_may_still_fail() {
        let gate = Gate::with_patience(NOW);
        let first = tries(&gate, 5, "nik", "10.0.0.1");
        let more = |user| gate.enter(Some(user), ip("10.0.0.1")).map(drop);
        assert_eq!(more("nik"), Err(Closed::Busy));
        assert_eq!(more("mayank"), Ok(()), "another user");
        first.iter().for_each(Try::failed);
        drop(first);
        assert!(matches!(more("nik"), Err(Closed::Slow(_))));
    }

    #[test]
    fn after_failures_there_is_room_for_the_rest_of_them() {
        let gate = Gate::with_patience(NOW);
        tries(&gate, 3, "nik", "10.0.0.1")
            .iter()
            .for_each(Try::failed);
        let under_way = tries(&gate, 2, "nik", "10.0.0.1");
        let more = || gate.enter(Some("nik"), ip("10.0.0.1")).map(drop);
        assert_eq!(more(), Err(Closed::Busy));
        under_way[0].succeeded();
        assert_eq!(more(), Ok(()), "a right one forgets the failures");
    }

    #[test]
    fn an_address_holds_few_places_and_no_others() {
        let gate = Gate::with_patience(NOW);
        let users: Vec<String> = (0..OF_ADDRESS).map(|user| user.to_string()).collect();
        let enter = |user: Option<&str>, from| gate.enter(user, ip(from));
        let inside: Vec<Try<'_>> = users
            .iter()
            .map(|user| enter(Some(user), "2001:db8::1").unwrap())
            .collect();
        for user in [None, Some("more")] {
            assert_eq!(enter(user, "2001:db8::2").map(drop), Err(Closed::Busy));
            assert_eq!(enter(user, "2001:db8:0:1::1").map(drop), Ok(()));
        }
        drop(inside);
        assert_eq!(enter(None, "2001:db8::2").map(drop), Ok(()));
        let state = gate.state();
        assert!(state.of_pairs.is_empty() && state.of_networks.is_empty());
    }

    #[test]
    fn who_waits_is_let_in_when_another_leaves() {
        let gate = Gate::new();
        let inside = tries(&gate, 5, "nik", "10.0.0.1");
        thread::scope(|scope| {
            let sixth = scope.spawn(|| gate.enter(Some("nik"), ip("10.0.0.1")).map(drop));
            let (right, wrong) = inside.split_first().unwrap();
            wrong.iter().for_each(Try::failed);
            right.succeeded();
            drop(inside);
            assert_eq!(sixth.join().unwrap(), Ok(()));
        });
    }
}
