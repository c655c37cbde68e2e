//! Which blocks are requested from which link, and what happens to the blocks that arrive.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{Block, Breach, Effect, Outgoing, Received, Source, Unasked};
use crate::swarm::{RUN_BLOCKS, Run};
use crate::torrent::PieceSet;
use crate::wire::extension::ExtensionHandshake;
use std::time::Duration;

const ALL: &[u32] = &[0, 1, 2, 3];

#[test]
fn one_that_serves_us_is_asked_for_each_missing_block_once() {
    let mut swarm = Swarm::new();
    swarm.begin(&[1]);
    let (id, mut asked) = swarm.source(1, ALL);
    asked.sort();
    let due = [(0, 0), (0, 1), (2, 0), (2, 1), (3, 0), (3, 1)];
    assert_eq!(asked, due.map(|(piece, block)| swarm.block(piece, block)));
    assert_eq!(swarm.tick(), []);
    assert_eq!(swarm.tell(id, Received::Unchoke), []);
}

#[test]
fn one_that_chokes_us_is_asked_for_nothing_but_what_it_allows() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    assert_eq!(swarm.has(id, ALL), [Effect::Send(id, Outgoing::Interested)]);
    assert_eq!(swarm.tick(), []);
    let piece = swarm.piece(2);
    let effects = swarm.tell(id, Received::AllowedFast(piece));
    assert_eq!(
        requests(&effects, id),
        [swarm.block(2, 0), swarm.block(2, 1)]
    );
}

#[test]
fn a_choke_without_bep_6_drops_the_requests_and_one_with_it_rejects_each() {
    for (remote, left) in [(plain(1), 8), (caller(1), 0)] {
        let mut swarm = Swarm::fetching();
        let first = swarm.up_as(remote);
        swarm.has(first, ALL);
        let effects = swarm.tell(first, Received::Unchoke);
        let asked = requests(&effects, first);
        let (second, none) = swarm.source(2, ALL);
        assert_eq!((asked.len(), none.len()), (8, 0));
        swarm.tell(first, Received::Choke);
        let taken = requests(&swarm.tick(), second);
        assert_eq!(taken.len(), left);
        // The first link may still deliver what was requested from it.
        assert!(swarm.arrives(first, asked[0]).0.is_ok());
    }
}

#[test]
fn a_rejected_block_is_asked_of_another_and_the_link_rests() {
    let mut swarm = Swarm::fetching();
    let (first, asked) = swarm.source(1, ALL);
    swarm.source(2, ALL);
    assert_eq!(swarm.tell(first, Received::Reject(asked[3])), []);
    assert_eq!(requests(&swarm.tick(), LinkId(2)), [asked[3]]);
    // A reject without a request changes nothing.
    let never = swarm.block(0, 0);
    let (third, _) = swarm.source(3, &[]);
    assert_eq!(swarm.tell(third, Received::Reject(never)), []);
}

#[test]
fn a_link_that_says_that_it_has_pieces_is_asked_for_them_at_once() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    swarm.tell(id, Received::Unchoke);
    let effects = swarm.tell(id, Received::Have(swarm.lengths.piece(1).unwrap()));
    assert_eq!(kinds(&effects), ["Send", "Send", "Send"]);
    let pieces = swarm.pieces(&[1, 3]);
    let is_first = false;
    let effects = swarm.tell(id, Received::Pieces { pieces, is_first });
    assert_eq!(
        requests(&effects, id),
        [swarm.block(3, 0), swarm.block(3, 1)]
    );
}

#[test]
fn a_later_bitfield_that_takes_a_piece_back_is_a_breach() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    swarm.has(id, &[0, 1]);
    let pieces = swarm.pieces(&[1, 2]);
    let is_first = false;
    let told = swarm.try_tell(id, Received::Pieces { pieces, is_first });
    assert_eq!(told, (Err(Breach::TakenBack), vec![]));
    assert_eq!(
        swarm.core.picker().pieces_of(id),
        Some(&swarm.pieces(&[0, 1]))
    );
}

#[test]
fn a_suggested_piece_comes_first() {
    for number in 0..4 {
        let mut swarm = Swarm::fetching();
        let id = swarm.up(1);
        swarm.has(id, ALL);
        let piece = swarm.piece(number);
        assert_eq!(swarm.tell(id, Received::Suggest(piece)), []);
        let effects = swarm.tell(id, Received::Unchoke);
        assert_eq!(requests(&effects, id)[0], swarm.block(number, 0));
    }
}

/// Has a link deliver everything. Returns the largest number of requests in flight. The window
/// grows by one with each block.
fn most_in_flight(swarm: &mut Swarm, id: LinkId) -> usize {
    let pieces = PieceSet::full(&swarm.lengths);
    let is_first = true;
    swarm.tell(id, Received::Pieces { pieces, is_first });
    let effects = swarm.tell(id, Received::Unchoke);
    let mut asked = requests(&effects, id);
    let mut most = asked.len();
    while let Some(block) = asked.pop() {
        swarm.now += Duration::from_micros(10);
        let effects = swarm.deliver(id, &[block]);
        asked.extend(requests(&effects, id));
        most = most.max(asked.len());
    }
    most
}

#[test]
fn no_more_is_asked_for_than_the_other_side_keeps_and_we_allow() {
    for (largest_window, request_queue, most) in [
        (100, Some(3), 3),
        (100, Some(0), 1),
        (5, Some(50), 5),
        (5, None, 5),
    ] {
        let mut swarm = Swarm::fetching_with(|terms| {
            terms.largest_window = largest_window;
            terms.lengths = lengths(20, 2);
        });
        let id = swarm.up(1);
        let handshake = ExtensionHandshake {
            request_queue,
            ..ExtensionHandshake::default()
        };
        swarm.tell(id, Received::Handshake(handshake));
        assert_eq!(most_in_flight(&mut swarm, id), most);
    }
}

#[test]
fn what_does_not_say_how_much_it_keeps_is_taken_to_keep_250() {
    let most = |remote| {
        let mut swarm = Swarm::fetching_with(|terms| {
            terms.largest_window = 1_000;
            terms.lengths = lengths(560, 1);
        });
        let id = swarm.up_as(remote);
        most_in_flight(&mut swarm, id)
    };
    assert_eq!(most(plain(1)), 250);
    assert!(most(caller(1)) > 260);
}

#[test]
fn a_run_whose_blocks_are_all_here_is_hashed_with_its_blocks_in_order() {
    let mut swarm = Swarm::fetching();
    let (id, asked) = swarm.source(1, &[1]);
    assert_eq!(swarm.deliver(id, &asked[1..]), []);
    let effects = swarm.deliver(id, &asked[..1]);
    let piece = swarm.piece(1);
    let run = Run {
        piece,
        number: 0,
        blocks: 2,
    };
    let block = |buffer| Block {
        buffer,
        length: 16 << 10,
        source: Source::Peer(caller(1).address),
    };
    assert_eq!(effects, [Effect::Hash(run, vec![block(0), block(1)])]);
    assert_eq!(
        (
            swarm.core.with_workers(),
            swarm.core.link(id).unwrap().received()
        ),
        (2, 32 << 10)
    );
}

#[test]
fn a_block_is_of_whoever_listens_at_the_address_that_stands_for_the_link() {
    let mut swarm = Swarm::fetching();
    let (id, asked) = swarm.source(1, &[1]);
    swarm.listens(id);
    let effects = swarm.deliver(id, &asked);
    let Effect::Hash(_, blocks) = &effects[0] else {
        panic!("{effects:?}");
    };
    assert!(
        blocks
            .iter()
            .all(|block| block.source == Source::Peer(address(1)))
    );
}

#[test]
fn a_block_that_was_not_asked_for_is_a_breach_and_one_that_is_here_goes_back() {
    let mut swarm = Swarm::fetching();
    let (id, asked) = swarm.source(1, &[1]);
    let other = swarm.block(2, 0);
    assert_eq!(swarm.arrives(id, other), (Err(Unasked), vec![]));
    let (second, _) = swarm.source(2, &[1]);
    swarm.now += Duration::from_millis(200);
    assert_eq!(requests(&swarm.tick(), second), asked);
    swarm.deliver(id, &asked[..1]);
    // The second link had sent the block before it got the cancel.
    assert_eq!(swarm.arrives(second, asked[0]), (Ok(Some(0)), vec![]));
    assert_eq!(swarm.arrives(second, asked[0]), (Err(Unasked), vec![]));
    // Every block counts, wanted or not.
    assert_eq!(swarm.core.progress().downloaded(), 4 * (16 << 10));
}

#[test]
fn in_endgame_the_second_request_is_cancelled_when_a_block_comes() {
    let mut swarm = Swarm::fetching();
    let (first, asked) = swarm.source(1, &[1]);
    let (second, none) = swarm.source(2, &[1]);
    assert_eq!(none, []);
    swarm.now += Duration::from_millis(199);
    assert_eq!(swarm.tick(), []);
    swarm.now += Duration::from_millis(1);
    assert_eq!(requests(&swarm.tick(), second), asked);
    let effects = swarm.deliver(second, &asked[..1]);
    assert_eq!(effects, [Effect::Send(first, Outgoing::Cancel(asked[0]))]);
    let effects = swarm.deliver(first, &asked[1..]);
    assert_eq!(effects[0], Effect::Send(second, Outgoing::Cancel(asked[1])));
}

#[test]
fn without_buffers_nothing_is_begun_until_a_worker_gives_some_back() {
    let mut swarm = Swarm::fetching();
    swarm.buffers.set_total(2);
    let (id, asked) = swarm.source(1, ALL);
    assert_eq!(asked.len(), 2);
    let effects = swarm.deliver(id, &asked);
    assert_eq!(kinds(&effects), ["Hash"]);
    assert_eq!(swarm.tick(), []);
    let (_, effects) = swarm.step(|core, now| core.on_worker_done(2, now));
    assert_eq!(requests(&effects, id).len(), 2);
}

#[test]
fn a_long_piece_is_hashed_run_by_run() {
    let mut swarm = Swarm::fetching_with(|terms| terms.lengths = lengths(1, RUN_BLOCKS + 1));
    let (id, mut asked) = swarm.source(1, &[0]);
    let mut runs = Vec::new();
    while let Some(block) = asked.pop() {
        let effects = swarm.deliver(id, &[block]);
        asked.extend(requests(&effects, id));
        runs.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Hash(run, blocks) => Some((run.number, blocks.len())),
            _ => None,
        }));
    }
    runs.sort();
    assert_eq!(runs, [(0, 32), (1, 1)]);
}
