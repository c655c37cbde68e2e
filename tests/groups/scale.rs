//! The time to list catalogues with few and with many shares, and to restart a tracker that has
//! them. `benches/README.md` has figures.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, group_request, new_write};
use crate::common::group_info::{group_authority, group_info};
use pieceful::wire::access::{AccessAnswer, AccessRequest, FileEntry};
use pieceful::wire::control::InfoPart;
use std::thread;
use std::time::{Duration, Instant};

/// The number of times that each request is timed.
const ROUNDS: usize = 200;

/// Creates a group and publishes shares in it.
fn fill(user: &mut User, name: &str, shares: usize) {
    user.perform(group_request(&format!("create_group {name}")));
    let authority = group_authority(user, name);
    for number in 0..shares {
        let (share, length) = (format!("share{number:05}"), number + 1);
        // Twenty piece hashes, as in a share of 10 MiB.
        let info = group_info(&share, (20, length), &format!("{name}{share}"), &authority);
        user.perform(AccessRequest::Publish {
            write: new_write(),
            group: name.parse().unwrap(),
            part: InfoPart::of(&info, 0).unwrap(),
            update: false,
            note: None,
        });
    }
}

/// A tracker with groups of 100 shares, and the group `few` of ten shares. The user called `user`
/// owns that group.
fn filled_tracker(groups: usize) -> AccountTracker {
    let tracker = AccountTracker::new();
    let start = Instant::now();
    thread::scope(|scope| {
        for part in 0..8 {
            let mut user = tracker.user(&format!("user{part}"));
            scope.spawn(move || {
                for number in (part..groups).step_by(8) {
                    fill(&mut user, &format!("group{number:03}"), 100);
                }
            });
        }
    });
    fill(&mut tracker.user("user"), "few", 10);
    let shares = groups * 100 + 10;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{shares} shares in {} groups: made in {seconds:.0} s",
        groups + 1
    );
    tracker
}

/// All pages of a catalogue.
fn list(user: &mut User, name: &str) -> Vec<FileEntry> {
    let (mut files, mut after) = (Vec::new(), None);
    loop {
        let group = name.parse().unwrap();
        match user.ask(AccessRequest::ListFiles {
            group,
            versions: false,
            after,
        }) {
            Ok(AccessAnswer::Files { page, .. }) => {
                files.extend(page.entries);
                after = page.next;
            }
            other => panic!("{other:?}"),
        }
        if after.is_none() {
            return files;
        }
    }
}

/// The median time to list a catalogue with this number of shares.
fn median_time_to_list(user: &mut User, name: &str, shares: usize) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(list(user, name).len(), shares);
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    println!(
        "list_files of {shares}: {:.3} ms",
        all[ROUNDS / 2].as_secs_f64() * 1e3
    );
    all[ROUNDS / 2]
}

/// Kills the tracker and starts it again. Returns the time until it has printed its first lines.
fn restart(tracker: AccountTracker) -> (AccountTracker, Duration) {
    let file = tracker.sandbox.path("data/registry.redb");
    let sandbox = tracker.kill();
    let start = Instant::now();
    let tracker = AccountTracker::restart(sandbox);
    let time = start.elapsed();
    println!(
        "restart after kill -9 with {:.1} MiB: {:.2} s",
        file.metadata().unwrap().len() as f64 / f64::from(1 << 20),
        time.as_secs_f64()
    );
    (tracker, time)
}

#[test]
#[ignore = "a measurement"]
fn catalogues_and_restarts_stay_fast_with_many_shares() {
    let log_in = |tracker: &AccountTracker, name: &str| User::log_in(tracker.connect(), name);
    let tracker = filled_tracker(0);
    let few = median_time_to_list(&mut log_in(&tracker, "user"), "few", 10);
    drop(restart(tracker));
    let tracker = filled_tracker(200);
    let many = median_time_to_list(&mut log_in(&tracker, "user"), "few", 10);
    median_time_to_list(&mut log_in(&tracker, "user4"), "group100", 100);
    let (tracker, time) = restart(tracker);
    assert_eq!(list(&mut log_in(&tracker, "user"), "few").len(), 10);
    assert!(many < few * 2, "lists are slower");
    assert!(time < Duration::from_secs(2), "the restart is slow");
}
