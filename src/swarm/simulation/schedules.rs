//! Runs simulations whose plans are drawn from the seed of a random number generator.
//!
//! The seed of a failing simulation is printed.
//! `PIECEFUL_SEED=N cargo test --lib swarm::simulation::schedules` replays it. The long mode is
//! `PIECEFUL_SCHEDULES=1000000 cargo test --release --lib swarm::simulation::schedules`.

use super::plan::{Plan, Role};
use super::runner::Simulation;
use std::time::Duration;

/// Prints the seed when a simulation fails.
struct PrintSeedOnFailure(&'static str, u64);

impl Drop for PrintSeedOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the {} simulation with seed {} fails", self.0, self.1);
        }
    }
}

/// The seeds to run: only the seed in `PIECEFUL_SEED` if it is set. Otherwise the seeds from 0 on:
/// `PIECEFUL_SCHEDULES` is their number, or `default_count` if it is not set.
fn seeds(default_count: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("PIECEFUL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PIECEFUL_SCHEDULES").unwrap_or(default_count),
    }
}

fn run_small_simulations(default_count: u64) {
    for seed in seeds(default_count) {
        let _print = PrintSeedOnFailure("small", seed);
        Simulation::new(&Plan::small(seed)).run();
    }
}

#[test]
fn in_small_simulations_every_peer_becomes_complete() {
    run_small_simulations(200);
}

#[test]
#[ignore = "takes a minute or more"]
fn in_many_small_simulations_every_peer_becomes_complete() {
    run_small_simulations(2_000);
}

/// Runs simulations of two hundred peers. No download starves while others finish: each ends within
/// 2 x (M + A). M is the time that the median download takes. A is the size of the share divided by
/// the rate of one connection of the downloading peer.
fn run_large_simulations(default_count: u64) {
    for seed in seeds(default_count) {
        let _print = PrintSeedOnFailure("large", seed);
        let plan = Plan::large(seed);
        let mut simulation = Simulation::new(&plan);
        let last = simulation.run();
        let ends = simulation.honest().filter_map(|(number, peer)| {
            let is_download = plan.peers[number].role == Role::Downloader;
            let end = peer.complete_at().filter(|_| is_download)?;
            let alone = plan.lengths.total() as f64 / plan.peers[number].rate as f64;
            Some((end, Duration::from_secs_f64(alone)))
        });
        let mut ends: Vec<(Duration, Duration)> = ends.collect();
        ends.sort_unstable();
        let (median, _) = ends[ends.len() / 2];
        let downloads = ends.len();
        println!(
            "seed {seed}: {downloads} downloads, the median one {median:?}, the last {last:?}"
        );
        assert!(downloads >= 140);
        for (end, alone) in ends {
            let limit = 2 * (median + alone);
            assert!(
                end <= limit,
                "a download took {end:?}, more than twice the sum of {median:?} and {alone:?}"
            );
        }
    }
}

#[test]
fn two_hundred_peers_become_complete_and_none_starves() {
    run_large_simulations(1);
}

#[test]
#[ignore = "takes a minute or more"]
fn two_hundred_peers_become_complete_in_many_simulations() {
    run_large_simulations(10);
}
