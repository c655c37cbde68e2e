//! Mutation tests: for each planted fault, a small simulation fails.

use super::plan::Plan;
use super::runner::Simulation;
use crate::swarm::mutation::{Mutation, with_planted};
use std::panic::catch_unwind;

/// The maximum number of simulations that are tried for each fault.
const SEEDS: u64 = 1_000;

/// Panics unless a simulation with the fault fails.
fn assert_caught(mutation: Mutation) {
    let fails = |seed: &u64| {
        let plan = Plan::small(*seed);
        with_planted(mutation, || catch_unwind(|| Simulation::new(&plan).run())).is_err()
    };
    let caught = (0..SEEDS).find(fails);
    let seed = caught.unwrap_or_else(|| panic!("{mutation:?} passes {SEEDS} simulations"));
    println!("{mutation:?} is caught by simulation {seed}");
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
    giving_up_requests_without_a_cancel_is_caught: GivenUpNotCancelled,
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
}
