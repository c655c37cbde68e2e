//! Which blocks are requested from which link, and what happens to the blocks that arrive.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{
    Effect, OutgoingMessage, PendingBlock, ProtocolViolation, ReceivedMessage, Source,
    UnrequestedBlock,
};
use crate::swarm::{BlockRun, MAX_RUN_BLOCKS};
use crate::torrent::PieceSet;
use crate::wire::extension::ExtensionHandshake;
use std::time::Duration;

const ALL: &[u32] = &[0, 1, 2, 3];

#[test]
fn each_missing_block_is_requested_once_from_a_peer_that_serves_us() {
    let mut swarm = Swarm::new();
    swarm.begin(&[1]);
    let (id, mut requested) = swarm.source(1, ALL);
    requested.sort();
    let expected = [(0, 0), (0, 1), (2, 0), (2, 1), (3, 0), (3, 1)];
    assert_eq!(
        requested,
        expected.map(|(piece, block)| swarm.block(piece, block))
    );
    assert_eq!(swarm.tick(), []);
    assert_eq!(swarm.receive(id, ReceivedMessage::Unchoke), []);
}

#[test]
fn only_allowed_pieces_are_requested_from_a_peer_that_chokes_us() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    assert_eq!(
        swarm.announce_pieces(id, ALL),
        [Effect::Send(id, OutgoingMessage::Interested)]
    );
    assert_eq!(swarm.tick(), []);
    let piece = swarm.piece(2);
    let effects = swarm.receive(id, ReceivedMessage::AllowedFast(piece));
    assert_eq!(
        requests(&effects, id),
        [swarm.block(2, 0), swarm.block(2, 1)]
    );
}

#[test]
fn a_choke_drops_the_requests_unless_the_peer_supports_bep_6() {
    for (remote, moved_to_second) in [(plain(1), 8), (incoming(1), 0)] {
        let mut swarm = Swarm::fetching();
        let first = swarm.link_up_as(remote);
        swarm.announce_pieces(first, ALL);
        let effects = swarm.receive(first, ReceivedMessage::Unchoke);
        let requested = requests(&effects, first);
        let (second, none) = swarm.source(2, ALL);
        assert_eq!((requested.len(), none.len()), (8, 0));
        swarm.receive(first, ReceivedMessage::Choke);
        let taken = requests(&swarm.tick(), second);
        assert_eq!(taken.len(), moved_to_second);
        // The first link may still deliver what was requested from it.
        assert!(swarm.on_block(first, requested[0]).0.is_ok());
    }
}

#[test]
fn a_rejected_block_is_requested_from_another_link_while_the_first_link_pauses() {
    let mut swarm = Swarm::fetching();
    let (first, requested) = swarm.source(1, ALL);
    swarm.source(2, ALL);
    assert_eq!(
        swarm.receive(first, ReceivedMessage::Reject(requested[3])),
        []
    );
    assert_eq!(requests(&swarm.tick(), LinkId(2)), [requested[3]]);
    // A reject without a request changes nothing.
    let never = swarm.block(0, 0);
    let (third, _) = swarm.source(3, &[]);
    assert_eq!(swarm.receive(third, ReceivedMessage::Reject(never)), []);
}

#[test]
fn announced_pieces_are_requested_at_once() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    swarm.receive(id, ReceivedMessage::Unchoke);
    let effects = swarm.receive(id, ReceivedMessage::Have(swarm.lengths.piece(1).unwrap()));
    assert_eq!(kinds(&effects), ["Send", "Send", "Send"]);
    let pieces = swarm.pieces(&[1, 3]);
    let is_first = false;
    let effects = swarm.receive(id, ReceivedMessage::Pieces { pieces, is_first });
    assert_eq!(
        requests(&effects, id),
        [swarm.block(3, 0), swarm.block(3, 1)]
    );
}

#[test]
fn a_later_bitfield_that_lacks_an_announced_piece_is_a_breach() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    swarm.announce_pieces(id, &[0, 1]);
    let pieces = swarm.pieces(&[1, 2]);
    let is_first = false;
    let result = swarm.try_receive(id, ReceivedMessage::Pieces { pieces, is_first });
    assert_eq!(result, (Err(ProtocolViolation::PiecesTakenBack), vec![]));
    assert_eq!(
        swarm.core.picker().pieces_of(id),
        Some(&swarm.pieces(&[0, 1]))
    );
}

#[test]
fn a_suggested_piece_comes_first() {
    for number in 0..4 {
        let mut swarm = Swarm::fetching();
        let id = swarm.link_up(1);
        swarm.announce_pieces(id, ALL);
        let piece = swarm.piece(number);
        assert_eq!(swarm.receive(id, ReceivedMessage::Suggest(piece)), []);
        let effects = swarm.receive(id, ReceivedMessage::Unchoke);
        assert_eq!(requests(&effects, id)[0], swarm.block(number, 0));
    }
}

/// Makes a link deliver everything. Returns the largest number of requests in flight. The window
/// grows by one with each block.
fn max_in_flight(swarm: &mut Swarm, id: LinkId) -> usize {
    let pieces = PieceSet::full(&swarm.lengths);
    let is_first = true;
    swarm.receive(id, ReceivedMessage::Pieces { pieces, is_first });
    let effects = swarm.receive(id, ReceivedMessage::Unchoke);
    let mut requested = requests(&effects, id);
    let mut most = requested.len();
    while let Some(block) = requested.pop() {
        swarm.now += Duration::from_micros(10);
        let effects = swarm.deliver(id, &[block]);
        requested.extend(requests(&effects, id));
        most = most.max(requested.len());
    }
    most
}

#[test]
fn requests_in_flight_are_bounded_by_the_queue_of_the_peer_and_our_limit() {
    for (largest_window, request_queue, most) in [
        (100, Some(3), 3),
        (100, Some(0), 1),
        (5, Some(50), 5),
        (5, None, 5),
    ] {
        let mut swarm = Swarm::fetching_with(|config| {
            config.largest_window = largest_window;
            config.lengths = lengths(20, 2);
        });
        let id = swarm.link_up(1);
        let handshake = ExtensionHandshake {
            request_queue,
            ..ExtensionHandshake::default()
        };
        swarm.receive(id, ReceivedMessage::Handshake(handshake));
        assert_eq!(max_in_flight(&mut swarm, id), most);
    }
}

#[test]
fn at_most_250_requests_are_in_flight_to_a_peer_without_extensions() {
    let most = |remote| {
        let mut swarm = Swarm::fetching_with(|config| {
            config.largest_window = 1_000;
            config.lengths = lengths(560, 1);
        });
        let id = swarm.link_up_as(remote);
        max_in_flight(&mut swarm, id)
    };
    assert_eq!(most(plain(1)), 250);
    assert!(most(incoming(1)) > 260);
}

#[test]
fn a_complete_run_is_hashed_with_its_blocks_in_order() {
    let mut swarm = Swarm::fetching();
    let (id, requested) = swarm.source(1, &[1]);
    assert_eq!(swarm.deliver(id, &requested[1..]), []);
    let effects = swarm.deliver(id, &requested[..1]);
    let piece = swarm.piece(1);
    let run = BlockRun {
        piece,
        number: 0,
        blocks: 2,
    };
    let block = |buffer| PendingBlock {
        buffer,
        length: 16 << 10,
        source: Source::Peer(incoming(1).address, None),
    };
    assert_eq!(effects, [Effect::Hash(run, vec![block(0), block(1)])]);
    assert_eq!(
        (
            swarm.core.blocks_at_workers(),
            swarm.core.link(id).unwrap().received()
        ),
        (2, 32 << 10)
    );
}

#[test]
fn the_source_of_a_block_is_the_listening_address_if_it_is_known() {
    let mut swarm = Swarm::fetching();
    let (id, requested) = swarm.source(1, &[1]);
    swarm.announce_port(id);
    let effects = swarm.deliver(id, &requested);
    let Effect::Hash(_, blocks) = &effects[0] else {
        panic!("{effects:?}");
    };
    assert!(
        blocks
            .iter()
            .all(|block| block.source == Source::Peer(address(1), None))
    );
}

#[test]
fn a_block_without_a_request_is_a_breach_and_the_buffer_of_a_duplicate_is_returned() {
    let mut swarm = Swarm::fetching();
    let (id, requested) = swarm.source(1, &[1]);
    let other = swarm.block(2, 0);
    assert_eq!(swarm.on_block(id, other), (Err(UnrequestedBlock), vec![]));
    let (second, _) = swarm.source(2, &[1]);
    swarm.now += Duration::from_millis(200);
    assert_eq!(requests(&swarm.tick(), second), requested);
    swarm.deliver(id, &requested[..1]);
    // The second link had sent the block before it got the cancel.
    assert_eq!(swarm.on_block(second, requested[0]), (Ok(Some(0)), vec![]));
    assert_eq!(
        swarm.on_block(second, requested[0]),
        (Err(UnrequestedBlock), vec![])
    );
    // Every block counts, wanted or not.
    assert_eq!(swarm.core.progress().downloaded(), 4 * (16 << 10));
}

#[test]
fn in_endgame_the_other_request_is_cancelled_when_a_block_arrives() {
    let mut swarm = Swarm::fetching();
    let (first, requested) = swarm.source(1, &[1]);
    let (second, none) = swarm.source(2, &[1]);
    assert_eq!(none, []);
    swarm.now += Duration::from_millis(199);
    assert_eq!(swarm.tick(), []);
    swarm.now += Duration::from_millis(1);
    assert_eq!(requests(&swarm.tick(), second), requested);
    let effects = swarm.deliver(second, &requested[..1]);
    assert_eq!(
        effects,
        [Effect::Send(first, OutgoingMessage::Cancel(requested[0]))]
    );
    let effects = swarm.deliver(first, &requested[1..]);
    assert_eq!(
        effects[0],
        Effect::Send(second, OutgoingMessage::Cancel(requested[1]))
    );
}

#[test]
fn without_buffers_no_run_is_begun_until_a_worker_returns_some() {
    let mut swarm = Swarm::fetching();
    swarm.buffers.set_total(2);
    let (id, requested) = swarm.source(1, ALL);
    assert_eq!(requested.len(), 2);
    let effects = swarm.deliver(id, &requested);
    assert_eq!(kinds(&effects), ["Hash"]);
    assert_eq!(swarm.tick(), []);
    let (_, effects) = swarm.step(|core, now| core.on_worker_done(2, now));
    assert_eq!(requests(&effects, id).len(), 2);
}

#[test]
fn a_long_piece_is_hashed_run_by_run() {
    let mut swarm = Swarm::fetching_with(|config| config.lengths = lengths(1, MAX_RUN_BLOCKS + 1));
    let (id, mut requested) = swarm.source(1, &[0]);
    let mut runs = Vec::new();
    while let Some(block) = requested.pop() {
        let effects = swarm.deliver(id, &[block]);
        requested.extend(requests(&effects, id));
        runs.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Hash(run, blocks) => Some((run.number, blocks.len())),
            _ => None,
        }));
    }
    runs.sort();
    assert_eq!(runs, [(0, 32), (1, 1)]);
}
