//! Simulations in which the downloader, peer 0, has an older version of the share.

use super::local::LocalPlan;
use super::network::Network;
use super::plan::{PeerPlan, Plan, Role};
use super::rogue::Misbehaviour;
use super::runner::Simulation;
use crate::swarm::CloseReason;
use crate::torrent::Lengths;
use std::time::Duration;

/// Bytes a second. A block takes 200 us.
const RATE: u64 = 80_000_000;
/// Pieces of one run, and of three.
const PIECE_LENGTHS: [i64; 2] = [512 << 10, 3 << 19];

/// Half of the pieces have local blocks, all of them right.
const GOOD: LocalPlan = LocalPlan {
    percent: 50,
    whole_percent: 50,
    wrong_percent: 0,
    unreadable_percent: 0,
};

fn lengths(piece_length: i64) -> Lengths {
    Lengths::new(32 << 20, piece_length).unwrap()
}

/// A simulation of a share of 32 MiB. Everything is checked after each event.
fn simulation(
    local: LocalPlan,
    piece_length: i64,
    others: &[PeerPlan],
    simulation_seed: u64,
) -> Simulation {
    let lengths = lengths(piece_length);
    let downloader = PeerPlan {
        local,
        ..PeerPlan::new(Role::Downloader).with_rate(8 * RATE)
    };
    let peers = std::iter::once(&downloader).chain(others);
    Simulation::new(&Plan {
        checks_each_event: true,
        bound: Duration::from_secs(600),
        ..Plan::of(lengths, peers.cloned().collect(), simulation_seed)
    })
}

fn seed() -> PeerPlan {
    PeerPlan::new(Role::Seed).with_rate(RATE)
}

/// The number of blocks of the share, and of those that are local at the downloader.
fn block_counts(simulation: &Simulation, piece_length: i64) -> (u32, u32) {
    let (downloader, lengths) = (simulation.peer(0), lengths(piece_length));
    let pieces = lengths.all_pieces();
    let blocks = pieces.flat_map(|piece| {
        let numbers = 0..lengths.blocks(piece);
        numbers.filter_map(move |number| lengths.block(piece, number))
    });
    let is_local = blocks.map(|block| downloader.old_files().blocks.contains(block));
    let is_local: Vec<bool> = is_local.collect();
    let local = is_local.iter().filter(|is_local| **is_local).count();
    (is_local.len() as u32, local as u32)
}

#[test]
fn each_block_that_is_not_local_is_requested_and_no_other() {
    for piece_length in PIECE_LENGTHS {
        let mut simulation = simulation(GOOD, piece_length, &[seed(), seed()], 1);
        simulation.run();
        let (blocks, local) = block_counts(&simulation, piece_length);
        let (requested, again) = simulation.peer(0).checker().requests();
        assert!(local > blocks / 4 && local < blocks, "{local} of {blocks}");
        assert_eq!(requested, blocks - local + again);
        assert!(again < 64, "{again} repeated requests");
    }
}

#[test]
fn without_any_other_peer_a_share_whose_blocks_are_all_local_becomes_complete() {
    let all = LocalPlan {
        percent: 100,
        whole_percent: 100,
        ..GOOD
    };
    for piece_length in PIECE_LENGTHS {
        let took = simulation(all, piece_length, &[], 1).run();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn old_files_that_are_wrong_or_cannot_be_read_cost_each_piece_one_attempt() {
    let old = LocalPlan {
        percent: 100,
        wrong_percent: 60,
        unreadable_percent: 40,
        ..GOOD
    };
    for piece_length in PIECE_LENGTHS {
        for simulation_seed in 0..3 {
            let mut simulation = simulation(old, piece_length, &[seed(), seed()], simulation_seed);
            let took = simulation.run();
            let (blocks, local) = block_counts(&simulation, piece_length);
            let downloader = simulation.peer(0);
            let (requested, again) = downloader.checker().requests();
            // Without local blocks, a seed sends its half of the share in 0.21 s.
            assert!(took < Duration::from_secs(2), "{took:?}");
            assert!(requested - again <= blocks + blocks - local, "{requested}");
            let reasons = downloader.checker().close_reasons();
            let is_blame = |reason: &&CloseReason| matches!(reason, CloseReason::BadPiece(_));
            assert_eq!(reasons.iter().find(is_blame), None);
        }
    }
}

#[test]
fn a_liar_is_found_although_old_files_are_wrong_and_a_disk_fails() {
    let old = LocalPlan {
        percent: 70,
        wrong_percent: 30,
        unreadable_percent: 30,
        ..GOOD
    };
    let liar = PeerPlan::new(Role::Rogue(Misbehaviour::Lying)).with_rate(RATE);
    for piece_length in PIECE_LENGTHS {
        for simulation_seed in 0..5 {
            let others = [seed(), liar.clone(), seed()];
            let mut simulation = simulation(old, piece_length, &others, simulation_seed);
            let end = simulation.run();
            assert!(end < Duration::from_secs(10), "{end:?}");
            let contacts = simulation.peer(0).core().contacts();
            let barred = (0..4).filter(|number| contacts.is_barred(Network::address(*number), end));
            assert_eq!(barred.collect::<Vec<_>>(), [2]);
        }
    }
}
