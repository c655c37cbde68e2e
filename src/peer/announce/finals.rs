//! The final announces, when the peer stops: `stopped` for every swarm, to every tracker that lists
//! the swarm, within a time limit.
//!
//! In scope: which thread sends which announce, and how long that may take. Out of scope: sending
//! one announce (`announcer`).

use super::schedule;
use crate::system::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long one announce may take. A tracker that does not answer gets no further announce. All
/// announces together may take this time, extended by [`EACH`] for every announce.
const LIMIT: Duration = Duration::from_secs(3);
/// The time limit for all announces grows by this time with each announce.
const EACH: Duration = Duration::from_millis(1);
/// The longest time limit for all announces, whatever their number.
const MAX_LIMIT: Duration = Duration::from_secs(10);
/// The maximum number of connections to one tracker. A distant tracker answers few announces a
/// second over one connection.
const CONNECTIONS: usize = 16;
/// The number of announces per connection. A tracker with more announces gets more connections.
const PER_CONNECTION: usize = 20;
/// The maximum number of threads.
const THREADS: usize = 64;

/// The final announce of a swarm to the tracker at a URL.
type FinalAnnounce<P> = schedule::FinalAnnounce<String, P>;

/// The announces to one tracker.
#[derive(Debug)]
struct ToTracker<P> {
    waiting: Mutex<Vec<FinalAnnounce<P>>>,
    has_failed: AtomicBool,
}

/// Sends the announces. `send` sends one within the time it is given, and returns whether the
/// tracker answered.
pub(super) fn send_all<P: Send>(
    announces: Vec<FinalAnnounce<P>>,
    send: impl Fn(&FinalAnnounce<P>, Duration) -> bool + Sync,
) {
    let extension = EACH.saturating_mul(u32::try_from(announces.len()).unwrap_or(u32::MAX));
    let deadline = Instant::now() + (LIMIT + extension).min(MAX_LIMIT);
    let trackers = by_tracker(announces);
    let connections = Mutex::new(connections(&trackers).into_iter());
    let work = || {
        let next = || lock(&connections).next();
        while let Some(tracker) = next() {
            tracker.send(deadline, &send);
        }
    };
    let threads = lock(&connections).len().min(THREADS);
    thread::scope(|scope| {
        for _ in 0..threads {
            let thread = thread::Builder::new().name("final-announces".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, work) {
                return log::warn!("some final announces may not be sent: {error}");
            }
        }
    });
}

fn by_tracker<P>(announces: Vec<FinalAnnounce<P>>) -> Vec<ToTracker<P>> {
    let mut trackers: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for announce in announces {
        let tracker = trackers.entry(announce.tracker.clone()).or_default();
        tracker.push(announce);
    }
    let trackers = trackers.into_values().map(|waiting| ToTracker {
        waiting: Mutex::new(waiting),
        has_failed: AtomicBool::new(false),
    });
    trackers.collect()
}

/// The tracker of each connection, in the order in which the connections are opened. Every tracker
/// gets its first connection before any tracker gets a second one.
fn connections<P>(trackers: &[ToTracker<P>]) -> Vec<&ToTracker<P>> {
    // The trackers that get more than `number` connections.
    let trackers_with_more_than = |number: usize| {
        let has_more = move |tracker: &&ToTracker<P>| {
            lock(&tracker.waiting).len().div_ceil(PER_CONNECTION) > number
        };
        trackers.iter().filter(has_more)
    };
    (0..CONNECTIONS).flat_map(trackers_with_more_than).collect()
}

impl<P> ToTracker<P> {
    /// Sends the waiting announces, one after another. Stops at the deadline, or when an announce
    /// to this tracker has no answer, over this connection or another.
    fn send(&self, deadline: Instant, send: impl Fn(&FinalAnnounce<P>, Duration) -> bool) {
        while !self.has_failed.load(Ordering::Relaxed) {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = lock(&self.waiting).pop();
            let Some(announce) = next.filter(|_| !left.is_zero()) else {
                return;
            };
            if !send(&announce, left.min(LIMIT)) {
                self.has_failed.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
