//! The thread `tick`: it does the timed work of transfers and magnet searches, and calls the
//! addresses that are due. A swarm that waits for an event costs nothing.

use super::{Calls, Services, SwarmEntry, web_seed};
use crate::torrent::InfoHash;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Interval of the timed work. New addresses are called at once.
const TICK: Duration = Duration::from_millis(100);
/// Interval at which the peer looks for more trackers, see [`check_trackers`].
const TRACKER_CHECK: Duration = Duration::from_secs(2);

/// Runs until the peer stops.
pub(super) fn run(services: &Services, calls: &Calls) {
    let context = &services.context;
    let mut schedule = TickSchedule::default();
    let mut last_check = context.now();
    loop {
        let to_tick_now = context.ticks.wait(TICK);
        if context.stop.is_stopped() {
            return;
        }
        let now = context.now();
        if now.saturating_sub(last_check) >= TRACKER_CHECK {
            last_check = now;
            check_trackers(services);
        }
        for info_hash in to_tick_now {
            schedule.set(info_hash, Some(now));
        }
        for info_hash in schedule.take_due(now) {
            if let Some(entry) = services.transfers.entry(info_hash) {
                schedule.set(info_hash, tick(services, calls, &entry));
            }
        }
    }
}

/// Does the timed work of a swarm. Returns the time of its next work. `None` if it waits for an
/// event.
fn tick(services: &Services, calls: &Calls, entry: &SwarmEntry) -> Option<Duration> {
    let (due, next) = match entry {
        SwarmEntry::Search(search) => search.tick(),
        SwarmEntry::Transfer(transfer) => {
            web_seed::start_threads(transfer, &services.web, &transfer.take_web_seeds_due());
            transfer.tick()
        }
    };
    for address in due {
        calls.spawn(entry, address);
    }
    next
}

/// Looks for trackers: TRACKER_INFO may name one for swarms that have none, and a starved download
/// (nothing has arrived lately) may need more of the trackers that its torrent names.
fn check_trackers(services: &Services) {
    let (announcer, now) = (&services.announcer, services.context.now());
    announcer.look_for_trackers();
    for transfer in services.transfers.fetching() {
        if transfer.is_to_be_announced() {
            announcer.extend_if_starved(&*transfer, now);
        }
    }
}

/// The time of the next work of each swarm. A swarm that waits for an event is not listed.
#[derive(Debug, Default)]
pub(super) struct TickSchedule {
    due: HashMap<InfoHash, Duration>,
    queue: BTreeSet<(Duration, InfoHash)>,
}

impl TickSchedule {
    /// Sets the time of the next work of a swarm. `None` if it waits for an event.
    pub(super) fn set(&mut self, info_hash: InfoHash, due: Option<Duration>) {
        let former = match due {
            Some(due) => self.due.insert(info_hash, due),
            None => self.due.remove(&info_hash),
        };
        if let Some(former) = former {
            self.queue.remove(&(former, info_hash));
        }
        self.queue.extend(due.map(|due| (due, info_hash)));
    }

    /// Removes and returns the swarms that are due.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<InfoHash> {
        let is_due = |(due, _): &&(Duration, InfoHash)| *due <= now;
        let due = self.queue.iter().take_while(is_due);
        let due: Vec<InfoHash> = due.map(|(_, info_hash)| *info_hash).collect();
        due.iter().for_each(|info_hash| self.set(*info_hash, None));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_swarms_with_something_to_do_are_due() {
        let [one, other, third] = [1, 2, 3].map(|byte| InfoHash([byte; 20]));
        let at = Duration::from_secs;
        let mut schedule = TickSchedule::default();
        assert_eq!(schedule.take_due(at(9)), []);
        schedule.set(one, Some(at(5)));
        schedule.set(other, Some(at(0)));
        schedule.set(third, Some(at(1)));
        schedule.set(third, None);
        assert_eq!(schedule.take_due(at(4)), [other]);
        assert_eq!(schedule.take_due(at(4)), [], "each swarm is returned once");
        schedule.set(one, Some(at(7)));
        assert_eq!(
            schedule.take_due(at(6)),
            [],
            "the time that was set last counts"
        );
        assert_eq!(schedule.take_due(at(7)), [one]);
        assert!(schedule.due.is_empty() && schedule.queue.is_empty());
    }
}
