//! Each test runs simulations of one kind, and checks what is expected of that kind. Peer 0 is the
//! downloader.

use super::network::Network;
use super::plan::{PeerPlan, Plan, Role};
use super::rogue::Misbehaviour;
use super::runner::Simulation;
use crate::swarm::CloseReason;
use crate::torrent::{BLOCK, Lengths};
use std::time::Duration;

const PIECE: i64 = 512 << 10;
/// Bytes a second. A block takes 200 us.
const RATE: u64 = 80_000_000;

/// A simulation with a share of `mib` MiB, one downloader and `others`.
fn simulation(
    mib: u64,
    others: impl IntoIterator<Item = PeerPlan>,
    simulation_seed: u64,
) -> Simulation {
    simulation_of_pieces(PIECE, mib, others, simulation_seed)
}

/// Like [`simulation`], but pieces have `piece_length` bytes.
fn simulation_of_pieces(
    piece_length: i64,
    mib: u64,
    others: impl IntoIterator<Item = PeerPlan>,
    simulation_seed: u64,
) -> Simulation {
    let lengths = Lengths::new(mib << 20, piece_length).unwrap();
    let downloader = PeerPlan::new(Role::Downloader).with_rate(8 * RATE);
    let peers = std::iter::once(downloader).chain(others).collect();
    Simulation::new(&Plan::of(lengths, peers, simulation_seed))
}

fn seed() -> PeerPlan {
    PeerPlan::new(Role::Seed).with_rate(RATE)
}

fn rogue(misbehaviour: Misbehaviour) -> PeerPlan {
    PeerPlan::new(Role::Rogue(misbehaviour)).with_rate(RATE)
}

fn partial(owned_percent: u8, rate: u64) -> PeerPlan {
    let peer = PeerPlan::new(Role::Partial).with_rate(rate);
    PeerPlan {
        owned_percent,
        ..peer
    }
}

#[test]
fn seeds_of_equal_rate_deliver_about_equally_many_blocks() {
    let mut simulation = simulation(64, vec![seed(); 4], 7);
    simulation.run();
    let blocks = (64 << 20) / u64::from(BLOCK);
    for number in 1..=4 {
        let sent = simulation.sent(number) / u64::from(BLOCK);
        let fair = blocks / 5..blocks / 3;
        assert!(fair.contains(&sent), "{number} sent {sent} of {blocks}");
    }
}

#[test]
fn outside_endgame_no_block_is_requested_twice() {
    let others = [
        seed().with_rate(2 * RATE),
        partial(60, RATE / 2),
        partial(30, RATE / 5),
    ];
    let mut simulation = simulation(32, others, 3);
    simulation.run();
    let blocks = (32 << 20) / BLOCK;
    let (requested, again) = simulation.peer(0).checker().requests();
    // The checker has found no repeated request outside endgame. Endgame adds only a few.
    assert!(
        requested <= blocks + again && again < 64,
        "{requested} requests for {blocks} blocks, {again} of them repeated"
    );
}

#[test]
fn a_silent_peer_does_not_delay_the_end() {
    let others = [seed().with_rate(2 * RATE), rogue(Misbehaviour::Silent)];
    let took = simulation(4, others, 5).run();
    assert!(
        took < Duration::from_secs(1),
        "endgame comes before the time-out: {took:?}"
    );
}

#[test]
fn peers_that_choke_again_and_again_do_not_stall_a_download() {
    for supports_bep_6 in [false, true] {
        let pause = Duration::from_secs(2);
        let choking = PeerPlan {
            supports_bep_6,
            ..rogue(Misbehaviour::Choking(pause))
        };
        let took = simulation(4, vec![choking; 2], 5).run();
        // Each of the two peers sends about 128 blocks, and pauses after every eight blocks.
        assert!(took < 16 * pause + Duration::from_secs(1), "{took:?}");
    }
    let choking = rogue(Misbehaviour::Choking(Duration::from_secs(3_600)));
    let took = simulation(4, [seed(), choking], 5).run();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_liar_among_honest_peers_is_found_and_no_other_is_blamed() {
    let others = [
        seed(),
        rogue(Misbehaviour::Lying),
        seed().with_rate(RATE * 2 / 3),
    ];
    let mut simulation = simulation(8, others, 11);
    let end = simulation.run();
    let contacts = simulation.peer(0).core().contacts();
    let barred = (0..4).filter(|number| contacts.is_barred(Network::address(*number), end));
    assert_eq!(barred.collect::<Vec<_>>(), [2]);
    let reasons = simulation.peer(0).checker().close_reasons();
    let proofs = reasons
        .iter()
        .filter(|reason| matches!(reason, CloseReason::BadPiece(_)));
    assert_eq!(proofs.count(), 1, "{reasons:?}");
}

#[test]
fn a_peer_that_never_reads_and_a_peer_that_delivers_nothing_lose_their_links() {
    // The seed needs half a minute for all pieces.
    let slow = PeerPlan::new(Role::Seed).with_rate(256 << 10);
    let others = [
        slow,
        rogue(Misbehaviour::Greedy),
        rogue(Misbehaviour::Silent),
    ];
    let mut simulation = simulation(8, others, 2);
    simulation.run();
    let reasons = simulation.peer(0).checker().close_reasons();
    assert!(reasons.contains(&CloseReason::DoesNotRead), "{reasons:?}");
    assert!(
        reasons.contains(&CloseReason::DeliversNothing),
        "{reasons:?}"
    );
}

#[test]
fn a_piece_requested_from_a_silent_link_alone_is_fetched_over_another_link() {
    let silent = rogue(Misbehaviour::Silent);
    // A piece that failed is fetched again from one link alone, perhaps from a silent one.
    for simulation_seed in 0..10 {
        let far = Duration::from_millis(30);
        let others = [
            PeerPlan {
                delay: far,
                ..seed()
            },
            PeerPlan {
                delay: far,
                ..rogue(Misbehaviour::Lying)
            },
            silent.clone(),
            silent.clone(),
        ];
        let took = simulation(2, others, simulation_seed).run();
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

/// This number of liars. There are three kinds: the first kind answers requests immediately, the
/// second kind sends one block every 5.9 s, and the third kind calls again from a new port when its
/// link has ended.
fn liars(count: usize) -> Vec<PeerPlan> {
    let trickling = Misbehaviour::Trickling(Duration::from_millis(5_900));
    let kinds = [Misbehaviour::Lying, trickling, Misbehaviour::LyingCaller];
    let kinds = kinds.into_iter().cycle().take(count);
    kinds.map(rogue).collect()
}

#[test]
fn thirty_liars_do_not_double_the_time_of_a_download_from_an_honest_seed() {
    let honest = || seed().with_rate(4_000_000);
    for piece_length in [256 << 10, PIECE, 4 << 20] {
        let without_liars = simulation_of_pieces(piece_length, 40, [honest()], 0).run();
        for simulation_seed in 0..5 {
            let others = std::iter::once(honest()).chain(liars(30));
            let took = simulation_of_pieces(piece_length, 40, others, simulation_seed).run();
            let result =
                format!("{took:?} instead of {without_liars:?}, pieces of {piece_length} bytes");
            println!("{result}");
            assert!(took < 2 * without_liars, "{result}");
        }
    }
}

#[test]
fn a_piece_that_arrives_too_slowly_over_one_link_is_fetched_over_another_link() {
    for simulation_seed in 0..10 {
        let others = [
            seed(),
            rogue(Misbehaviour::Trickling(Duration::from_secs(4))),
            rogue(Misbehaviour::Trickling(Duration::from_secs(5))),
        ];
        let took = simulation(2, others, simulation_seed).run();
        assert!(took < Duration::from_secs(40), "{took:?}");
    }
}

#[test]
fn the_host_of_a_liar_that_calls_from_new_ports_is_barred() {
    for simulation_seed in 0..10 {
        let others = [
            seed().with_rate(4_000_000),
            rogue(Misbehaviour::LyingCaller),
        ];
        let mut simulation = simulation(40, others, simulation_seed);
        let end = simulation.run();
        let contacts = simulation.peer(0).core().contacts();
        assert!(contacts.is_barred(Network::address(2), end));
        assert!(!contacts.is_barred(Network::address(1), end));
        let sent = simulation.sent(2);
        // The host is barred after three bad pieces. The liar also sends blocks of other pieces
        // that are requested meanwhile.
        assert!(sent < 12 << 20, "{sent} bad bytes");
    }
}
