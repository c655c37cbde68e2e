//! The thread `tick`: it does the timed work of all transfers and magnet searches, and calls the
//! addresses that are due.

use super::{Calls, Services, SwarmEntry, web_seed};
use std::time::Duration;

/// Interval of the timed work. New addresses are called at once.
const TICK: Duration = Duration::from_millis(100);
/// Interval at which TRACKER_INFO is read for swarms without a tracker, and starved downloads get
/// more trackers.
const TRACKER_CHECK: Duration = Duration::from_secs(2);

/// Runs until the peer stops.
pub(super) fn run(services: &Services, calls: &Calls) {
    let context = &services.context;
    let mut last_check = context.now();
    loop {
        context.ticks.wait(TICK);
        if context.stop.is_stopped() {
            return;
        }
        let is_check_due = context.now().saturating_sub(last_check) >= TRACKER_CHECK;
        if is_check_due {
            last_check = context.now();
        }
        for entry in services.transfers.entries() {
            if is_check_due {
                check_trackers(services, &entry);
            }
            let due = match &entry {
                SwarmEntry::Search(search) => search.next_calls(context.now()),
                SwarmEntry::Transfer(transfer) => {
                    if transfer.take_web_seeds_due() {
                        web_seed::start_threads(transfer, &services.web);
                    }
                    transfer.tick()
                }
            };
            for address in due {
                calls.spawn(&entry, address);
            }
        }
    }
}

/// Looks for trackers: TRACKER_INFO may name one for a swarm that has none, and a starved download
/// may need more of its own.
fn check_trackers(services: &Services, entry: &SwarmEntry) {
    let (announcer, now) = (&services.announcer, services.context.now());
    match entry {
        SwarmEntry::Search(search) if search.is_seeking() => {
            announcer.check_trackers(&**search, now)
        }
        SwarmEntry::Transfer(transfer) if transfer.is_to_be_announced() => {
            announcer.check_trackers(&**transfer, now);
        }
        SwarmEntry::Search(_) | SwarmEntry::Transfer(_) => {}
    }
}
