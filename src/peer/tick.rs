//! The thread that looks at the clock: transfers do what is due, and new addresses are called.

use super::{Calls, Entry, Services, web_seed};
use std::time::Duration;

/// How often the clock is looked at; new addresses are called at once.
const TICK: Duration = Duration::from_millis(100);
/// How often TRACKER_INFO is read for what has no tracker yet, and downloads that get nothing are
/// looked for.
const TRACKERS: Duration = Duration::from_secs(2);

/// Ticks until the peer stops. Runs on the thread `tick`.
pub(super) fn run(services: &Services, calls: &Calls) {
    let context = &services.context;
    let mut looked = context.now();
    loop {
        context.ticks.wait(TICK);
        if context.stop.is_stopped() {
            return;
        }
        let look = context.now().saturating_sub(looked) >= TRACKERS;
        if look {
            looked = context.now();
        }
        for entry in services.transfers.entries() {
            if look {
                look_at_trackers(services, &entry);
            }
            let due = match &entry {
                Entry::Search(search) => search.next_calls(context.now()),
                Entry::Transfer(transfer) => {
                    if transfer.take_web_seeds_due() {
                        web_seed::ask_all(transfer, &services.web);
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

/// TRACKER_INFO may by now name a tracker for what has none; a download may need more of its own.
fn look_at_trackers(services: &Services, entry: &Entry) {
    let (announcer, now) = (&services.announcer, services.context.now());
    match entry {
        Entry::Search(search) if search.is_seeking() => announcer.look_at(&**search, now),
        Entry::Transfer(transfer) if transfer.is_to_be_announced() => {
            announcer.look_at(&**transfer, now);
        }
        Entry::Search(_) | Entry::Transfer(_) => {}
    }
}
