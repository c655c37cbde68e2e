//! Mutation tests: for each planted fault, a small simulation fails.

use super::plan::{PeerPlan, Plan, Role};
use super::rogue::Misbehaviour;
use super::runner::Simulation;
use crate::swarm::mutation::{Mutation, with_planted};
use crate::torrent::Lengths;
use std::panic::catch_unwind;
use std::time::Duration;

/// The maximum number of simulations that are tried for each fault.
const SEEDS: u64 = 1_000;

/// Panics unless a small simulation with the fault fails.
fn assert_caught(mutation: Mutation) {
    assert_caught_in(mutation, (0..SEEDS).map(Plan::small));
}

/// Panics unless one of these simulations fails with the fault.
fn assert_caught_in(mutation: Mutation, plans: impl Iterator<Item = Plan>) {
    let fails = |plan: &Plan| {
        with_planted(mutation, || catch_unwind(|| Simulation::new(plan).run())).is_err()
    };
    let caught = plans.into_iter().find(fails);
    let plan = caught.unwrap_or_else(|| panic!("{mutation:?} passes all simulations"));
    println!("{mutation:?} is caught by simulation {}", plan.seed);
}

/// Twenty plans with a share of `pieces` pieces of 1 MiB, a downloader and `others`. Each
/// simulation fails if the download takes longer than `bound`. Everything is checked after each
/// event.
fn plans(pieces: u64, others: &[PeerPlan], bound: Duration) -> impl Iterator<Item = Plan> {
    let lengths = Lengths::new(pieces << 20, 1 << 20).unwrap();
    let downloader = PeerPlan::new(Role::Downloader);
    let peers: Vec<PeerPlan> = std::iter::once(&downloader)
        .chain(others)
        .cloned()
        .collect();
    (0..20).map(move |seed| Plan {
        bound,
        checks_each_event: true,
        ..Plan::of(lengths, peers.clone(), seed)
    })
}

fn rogue(misbehaviour: Misbehaviour) -> PeerPlan {
    PeerPlan::new(Role::Rogue(misbehaviour))
}

fn trickling(seconds: u64) -> PeerPlan {
    rogue(Misbehaviour::Trickling(Duration::from_secs(seconds)))
}

#[test]
fn giving_up_requests_without_a_cancel_is_caught() {
    // While one peer chokes for long and the others are silent, the download gives up its pieces.
    let choking = rogue(Misbehaviour::Choking(Duration::from_secs(40)));
    let others = [
        choking,
        rogue(Misbehaviour::Silent),
        rogue(Misbehaviour::Silent),
    ];
    let plans = plans(1, &others, Duration::from_secs(1_800));
    assert_caught_in(Mutation::GivenUpNotCancelled, plans);
}

#[test]
fn a_link_that_holds_a_piece_back_is_caught() {
    let honest = PeerPlan::new(Role::Seed).with_rate(400_000);
    let liar = rogue(Misbehaviour::Lying);
    let others = [honest, trickling(1), trickling(1), liar];
    // The honest seed needs 21 s to send the whole share.
    let bound = Duration::from_secs(35);
    // Without the fault, the simulations pass.
    for plan in plans(8, &others, bound).take(2) {
        Simulation::new(&plan).run();
    }
    assert_caught_in(Mutation::HeldBack, plans(8, &others, bound));
}

macro_rules! mutations {
    ($($test:ident: $mutation:ident,)*) => {
        $(
            #[test]
            fn $test() {
                assert_caught(Mutation::$mutation);
            }
        )*
    };
}

mutations! {
    a_block_requested_twice_outside_endgame_is_caught: RequestedTwice,
    a_lost_link_that_keeps_its_requests_is_caught: LostLinkKeepsRequests,
    a_missing_cancel_is_caught: CancelLeftOut,
    a_choke_that_keeps_requests_in_flight_is_caught: ChokeKeepsRequests,
    a_rejected_block_that_is_never_requested_again_is_caught: RejectKeepsRequest,
    a_stalled_link_that_keeps_its_requests_is_caught: StalledKeepsRequests,
    requests_to_a_link_that_chokes_are_caught: RequestedWhileChoked,
    serving_a_choked_peer_is_caught: ChokedServed,
    serving_pieces_that_are_not_owned_is_caught: UnownedServed,
    a_missing_choke_is_caught: ChokeLeftOut,
    one_slot_too_many_is_caught: OneSlotTooMany,
    interest_that_is_not_sent_again_is_caught: InterestNotRenewed,
    a_missing_have_is_caught: HaveLeftOut,
    buffers_that_are_not_returned_are_caught: BuffersKept,
    a_failed_piece_that_is_not_fetched_again_is_caught: FailedNotFetched,
    a_liar_that_is_not_barred_is_caught: LiarNotBarred,
    blaming_one_of_several_sources_is_caught: OneOfSeveralBlamed,
    two_links_of_one_peer_are_caught: TwoLinks,
    requests_for_local_blocks_are_caught: LocalRequested,
    blame_for_a_piece_with_local_blocks_is_caught: LocalBlamed,
    a_bad_piece_that_keeps_its_local_blocks_is_caught: LocalKept,
    unreadable_blocks_that_are_not_requested_are_caught: UnreadableNotFetched,
    buffers_that_are_returned_too_early_are_caught: UnreadableBuffersReturned,
    a_local_piece_that_is_not_begun_is_caught: LocalNotBegun,
}
