//! Whole clusters simulated: two to five trackers on a network that loses, delays, repeats and reorders messages and is cut
//! in one direction or both, with disks that forget what was not synced or are lost, clocks that are wrong and jump,
//! backups restored, older copies of a disk put back, processes stopped and gone, and operations of every kind meanwhile. After healing all trackers hold
//! the same rows and blobs, every acknowledged write is present or overruled by a rule of the registry's table, and nobody
//! removed is a member again.
//!
//! One seed makes one schedule. A failing one prints itself and is replayed, with all that happens in it, by
//! `PIECEFUL_SEED=N cargo test --lib replication::simulation::schedules -- --nocapture`. The long mode is
//! `PIECEFUL_SCHEDULES=1000000 cargo test --release --lib replication::simulation::schedules`.

mod node;
mod oracle;
mod world;

use std::fmt;
use world::World;

/// What is wrong on purpose in every tracker, to see that the test sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    /// What others tell of ends of memberships is ignored.
    IgnoreEnds,
    /// What is handed to the disk counts as durable.
    TellBeforeCommit,
    /// A push is confirmed and dropped.
    DropPushes,
    /// A tracker that lost its disk goes on under its former origin.
    KeepOrigin,
    /// What is asked for again is made under other ids.
    FreshIds,
    /// A tracker that serves alone goes on under its stored origin.
    WriteOn,
}

/// What went wrong in a schedule.
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs one schedule.
fn run(seed: u64, mutation: Mutation, trace: bool) -> Result<World, Failure> {
    let mut world = World::new(seed, mutation, trace);
    world.suffer()?;
    world.heal()?;
    world.check()?;
    Ok(world)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn schedules() {
    if let Some(seed) = number("PIECEFUL_SEED") {
        if let Err(failure) = run(seed, Mutation::None, true) {
            panic!("schedule {seed}: {failure}");
        }
        return;
    }
    let count = number("PIECEFUL_SCHEDULES").unwrap_or(10_000);
    for seed in 0..count {
        if let Err(failure) = run(seed, Mutation::None, false) {
            panic!(
                "schedule {seed}: {failure}\nreplay: PIECEFUL_SEED={seed} cargo test --lib replication::simulation::schedules -- --nocapture"
            );
        }
    }
}

#[test]
fn each_kind_of_fault_and_outcome_occurs() {
    let mut all = oracle::Counts::default();
    for seed in 0..300 {
        all.add(&run(seed, Mutation::None, false).unwrap().oracle.counts);
    }
    let rare: Vec<_> = all
        .list()
        .into_iter()
        .filter(|(_, count)| *count < 3)
        .collect();
    assert!(rare.is_empty(), "{rare:?} of {:?}", all.list());
}

fn caught(mutation: Mutation, schedules: u64) -> usize {
    let caught = (0..schedules).filter(|seed| run(*seed, mutation, false).is_err());
    caught.count()
}

#[test]
fn trackers_that_ignored_ends_would_be_caught() {
    let caught = caught(Mutation::IgnoreEnds, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn trackers_that_told_before_they_committed_would_be_caught() {
    let caught = caught(Mutation::TellBeforeCommit, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn trackers_that_confirmed_pushes_and_dropped_them_would_be_caught() {
    let caught = caught(Mutation::DropPushes, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn trackers_that_kept_their_origin_without_their_disk_would_be_caught() {
    let caught = caught(Mutation::KeepOrigin, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn trackers_that_wrote_on_with_an_older_copy_would_be_caught() {
    let caught = caught(Mutation::WriteOn, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn trackers_that_made_again_what_was_asked_for_again_would_be_caught() {
    let caught = caught(Mutation::FreshIds, 1_000);
    assert!(caught > 10, "caught in {caught} of 1,000 schedules");
}
