//! Each planted fault is caught: with it, a property fails in some small simulation.

use super::plan::Plan;
use super::world::World;
use crate::swarm::mutation::{Mutation, with};
use std::panic::catch_unwind;

/// The largest number of simulations that are tried.
const SEEDS: u64 = 1_000;

/// Panics unless the fault is caught.
fn is_caught(mutation: Mutation) {
    let fails = |seed: &u64| {
        let plan = Plan::small(*seed);
        with(mutation, || catch_unwind(|| World::new(&plan).run())).is_err()
    };
    let caught = (0..SEEDS).find(fails);
    let seed = caught.unwrap_or_else(|| panic!("{mutation:?} passes {SEEDS} worlds"));
    println!("{mutation:?} is caught by world {seed}");
}

macro_rules! mutations {
    ($($test:ident: $mutation:ident,)*) => {
        $(
            #[test]
            fn $test() {
                is_caught(Mutation::$mutation);
            }
        )*
    };
}

mutations! {
    a_block_asked_twice_outside_endgame_is_caught: AskedTwice,
    a_lost_link_that_keeps_its_blocks_is_caught: LostLinkKeepsBlocks,
    a_cancel_left_out_is_caught: CancelLeftOut,
    a_choke_that_keeps_requests_in_flight_is_caught: ChokeKeepsRequests,
    a_rejected_block_that_is_never_asked_again_is_caught: RejectKeepsBlock,
    a_stalled_link_that_keeps_its_blocks_is_caught: StalledKeepsBlocks,
    giving_up_requests_without_a_cancel_is_caught: GivenUpUntold,
    requests_to_a_link_that_chokes_are_caught: AskedWhileChoked,
    serving_the_choked_is_caught: ChokedServed,
    serving_pieces_that_are_not_here_is_caught: UnownedServed,
    a_choke_left_out_is_caught: ChokeLeftOut,
    a_slot_too_many_is_caught: SlotTooMany,
    interest_that_is_not_told_again_is_caught: InterestNotRenewed,
    a_have_left_out_is_caught: HaveLeftOut,
    buffers_that_are_not_given_back_are_caught: BuffersKept,
    a_failed_piece_that_is_not_fetched_again_is_caught: FailedNotFetched,
    a_liar_that_is_not_barred_is_caught: LiarNotBarred,
    blaming_one_of_several_is_caught: WrongOneBlamed,
    two_links_of_one_peer_are_caught: TwoLinks,
}
