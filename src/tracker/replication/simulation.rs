//! Simulations of whole clusters.
//!
//! Two to five trackers run on a network that loses, delays, repeats and reorders messages and is
//! cut in one or both directions. Disks lose what was not synced, or everything. Clocks are wrong
//! and jump. Backups are restored, older copies of a disk are put back, and processes are starved
//! and crash, while clients request operations of every kind. Logins live for days, are renewed and
//! logged out. Few shares get versions and lose them at several trackers at once. A starved tracker
//! gets no processor for up to half a minute; often all trackers are starved, one after another.
//! When all faults have ended, every tracker must hold the same rows and blobs, every acknowledged
//! write must be present or overruled by the conflict table of the registry, and no removed user
//! may be a member again. At no time may a tracker accept a login that was logged out there.
//!
//! A seed determines a schedule: all faults and requests, and their times. If a schedule fails, its
//! seed is printed. `PIECEFUL_SEED=N cargo test --lib replication::simulation::schedules --
//! --nocapture` replays the schedule and prints each step. The long mode is
//! `PIECEFUL_SCHEDULES=1000000 cargo test --release --lib replication::simulation::schedules`.

mod node;
mod oracle;
mod world;

use std::fmt;
use world::World;

/// A bug that is built into every tracker, to check that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    /// A tracker ignores ends of memberships in the changes of other trackers.
    IgnoreMembershipEnds,
    /// A tracker ignores which versions of shares the rows in the changes of others are.
    IgnoreEditions,
    /// A tracker gives a new version of a share the number after that of the newest version that it
    /// lists, although a withdrawn version may have that number.
    ReuseNumbers,
    /// A tracker withdraws what a name means there, even if the client has seen something else.
    WithdrawAnything,
    /// A commit counts as durable before it is on the disk.
    AcknowledgeBeforeCommit,
    /// A push is confirmed and dropped.
    DropPushes,
    /// A tracker that lost its disk keeps its old origin.
    KeepOriginAfterDiskLoss,
    /// A repeated request creates rows under new ids.
    NewIdsOnRepeat,
    /// A tracker that begins to serve before all others have reported their version vectors keeps
    /// its stored origin, even if its data are an older copy.
    KeepOriginOfOlderCopy,
    /// A tracker does not notice its pauses, so no pause makes it start again.
    NeverRestart,
    /// A tracker takes every pause for a long one, so every pause makes it start again.
    AlwaysRestart,
    /// A tracker keeps a log-out of another tracker only as long as that tracker needs it.
    ForgetLogOuts,
    /// A tracker accepts tokens that were issued in its future.
    AcceptTokensFromTheFuture,
}

/// Why a schedule failed.
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
    world.run_faults()?;
    world.heal()?;
    world.check()?;
    Ok(world)
}

/// Runs one short schedule of logins that are used for days.
fn run_logins(seed: u64, mutation: Mutation) -> Result<World, Failure> {
    let mut world = World::new(seed, mutation, false);
    world.run_logins()?;
    world.heal()?;
    world.check()?;
    Ok(world)
}

/// Runs one short schedule in which few shares of one group get versions and lose them.
fn run_shares(seed: u64, mutation: Mutation) -> Result<World, Failure> {
    let mut world = World::new(seed, mutation, false);
    world.run_shares()?;
    world.heal()?;
    world.check()?;
    Ok(world)
}

fn number_from_env(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn schedules() {
    if let Some(seed) = number_from_env("PIECEFUL_SEED") {
        if let Err(failure) = run(seed, Mutation::None, true) {
            panic!("schedule {seed}: {failure}");
        }
        return;
    }
    let count = number_from_env("PIECEFUL_SCHEDULES").unwrap_or(10_000);
    for seed in 0..count {
        if let Err(failure) = run(seed, Mutation::None, false) {
            panic!(
                "schedule {seed}: {failure}\nreplay: PIECEFUL_SEED={seed} cargo test --lib replication::simulation::schedules -- --nocapture"
            );
        }
    }
}

#[test]
fn schedules_of_logins() {
    for seed in 0..400 {
        if let Err(failure) = run_logins(seed, Mutation::None) {
            panic!("schedule {seed} of logins: {failure}");
        }
    }
}

#[test]
fn schedules_of_shares() {
    for seed in 0..200 {
        if let Err(failure) = run_shares(seed, Mutation::None) {
            panic!("schedule {seed} of shares: {failure}");
        }
    }
}

#[test]
fn each_kind_of_fault_and_outcome_occurs() {
    let mut all = oracle::Counts::default();
    for seed in 0..10 {
        all.add(&run_shares(seed, Mutation::None).unwrap().oracle.counts);
    }
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

fn count_caught(mutation: Mutation, schedules: u64) -> usize {
    let caught = (0..schedules).filter(|seed| run(*seed, mutation, false).is_err());
    caught.count()
}

#[test]
fn the_simulation_detects_ignored_membership_ends() {
    let caught = count_caught(Mutation::IgnoreMembershipEnds, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn the_simulation_detects_ignored_editions_of_shares() {
    let mutation = Mutation::IgnoreEditions;
    let caught = (0..100).filter(|seed| run_shares(*seed, mutation).is_err());
    let caught = caught.count();
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn the_simulation_detects_numbers_of_withdrawn_versions_that_are_used_again() {
    let mutation = Mutation::ReuseNumbers;
    let caught = (0..100).filter(|seed| run_shares(*seed, mutation).is_err());
    let caught = caught.count();
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn the_simulation_detects_withdrawals_of_what_was_not_seen() {
    let mutation = Mutation::WithdrawAnything;
    let caught = (0..500).filter(|seed| run_shares(*seed, mutation).is_err());
    let caught = caught.count();
    assert!(caught > 3, "caught in {caught} of 500 schedules");
}

#[test]
fn the_simulation_detects_acknowledgements_before_commits() {
    let caught = count_caught(Mutation::AcknowledgeBeforeCommit, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn the_simulation_detects_dropped_pushes() {
    let caught = count_caught(Mutation::DropPushes, 100);
    assert!(caught > 10, "caught in {caught} of 100 schedules");
}

#[test]
fn the_simulation_detects_an_origin_kept_after_a_lost_disk() {
    let caught = count_caught(Mutation::KeepOriginAfterDiskLoss, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn the_simulation_detects_writes_on_an_older_copy() {
    let caught = count_caught(Mutation::KeepOriginOfOlderCopy, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn the_simulation_detects_a_tracker_that_serves_old_data_after_a_long_pause() {
    let caught = count_caught(Mutation::NeverRestart, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn the_simulation_detects_a_tracker_that_leaves_service_after_a_short_pause() {
    let caught = count_caught(Mutation::AlwaysRestart, 300);
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn the_simulation_detects_log_outs_that_are_forgotten() {
    let caught = (0..300).filter(|seed| run_logins(*seed, Mutation::ForgetLogOuts).is_err());
    let caught = caught.count();
    assert!(caught > 10, "caught in {caught} of 300 schedules");
}

#[test]
fn the_simulation_detects_tokens_from_the_future_that_are_accepted() {
    let mutation = Mutation::AcceptTokensFromTheFuture;
    let caught = (0..600).filter(|seed| run_logins(*seed, mutation).is_err());
    let caught = caught.count();
    assert!(caught > 3, "caught in {caught} of 600 schedules");
}

#[test]
fn the_simulation_detects_repeated_requests_that_are_done_twice() {
    let caught = count_caught(Mutation::NewIdsOnRepeat, 1_000);
    assert!(caught > 10, "caught in {caught} of 1,000 schedules");
}
