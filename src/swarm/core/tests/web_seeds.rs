//! Web seeds: used beside peers, doubted, proven to lie, no longer used.

use super::fixture::*;
use crate::swarm::core::{
    Budget, Effect, OutgoingMessage, Source, SourceStatus, Sources, UnrequestedBlock, Verdict,
    WebSeedTrust,
};
use crate::swarm::{Awaited, LinkId};
use crate::torrent::BlockRange;
use std::collections::BTreeSet;
use std::time::Duration;

const WEB_SEED: LinkId = LinkId(99);
const OTHER: LinkId = LinkId(98);

/// A download with a web seed and at most this many requests to it in flight.
fn with_web_seed(largest_window: u32) -> Swarm {
    let mut swarm = Swarm::fetching();
    add_web_seed(&mut swarm, WEB_SEED, largest_window);
    swarm
}

fn add_web_seed(swarm: &mut Swarm, id: LinkId, largest_window: u32) {
    let all = swarm.all_pieces();
    let (is_used, effects) = swarm.step(|core, _| core.on_web_seed_up(id, all, largest_window));
    assert_eq!((is_used, effects), (true, vec![]));
}

/// The blocks to request next, or `None` if the web seed is not to be used any more.
fn next_requests(swarm: &mut Swarm, id: LinkId) -> Option<Vec<BlockRange>> {
    let mut blocks = Vec::new();
    let (is_used, effects) = swarm.step(|core, now| core.next_for_web_seed(id, now, &mut blocks));
    assert_eq!(effects, []);
    is_used.then_some(blocks)
}

fn deliver_from(swarm: &mut Swarm, id: LinkId, ranges: &[BlockRange]) -> Effects {
    let source = web_source(id);
    let mut all = Vec::new();
    for range in ranges {
        let arrived =
            swarm.step(|core, now| core.on_block(id, Some(&source), *range, range.number(), now));
        assert_eq!(arrived.0, Ok(None));
        all.extend(arrived.1);
    }
    all
}

#[test]
fn requests_to_a_web_seed_are_returned_by_next_for_web_seed_and_not_by_a_tick() {
    let mut swarm = with_web_seed(4);
    assert_eq!(swarm.tick(), []);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    assert_eq!(requested.len(), 4);
    assert_eq!(next_requests(&mut swarm, WEB_SEED), Some(vec![]));
    let effects = deliver_from(&mut swarm, WEB_SEED, &requested);
    assert_eq!(kinds(&effects), ["Hash", "Hash"]);
    let effects = swarm.write(&effects);
    assert_eq!(kinds(&effects), ["SendHaves", "SendHaves"]);
    let sources: Vec<_> = swarm.core.progress().sources().collect();
    assert_eq!(sources, [("http://example.org/", 64 << 10)]);
    assert_eq!(next_requests(&mut swarm, WEB_SEED).unwrap().len(), 4);
}

#[test]
fn a_web_seed_gets_requests_for_its_pieces_only_and_is_no_source_after_they_are_fetched() {
    let mut swarm = Swarm::fetching();
    let some = swarm.pieces(&[1, 3]);
    swarm.step(|core, _| core.on_web_seed_up(WEB_SEED, some, 64));
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let pieces: BTreeSet<u32> = requested
        .iter()
        .map(|block| block.piece().number())
        .collect();
    assert_eq!(pieces, BTreeSet::from([1, 3]));
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    // The web seed fails. It is a source again as soon as a block comes from it.
    swarm.step(|core, _| core.on_web_seed_failed(WEB_SEED, "gone".to_owned()));
    let mut effects = deliver_from(&mut swarm, WEB_SEED, &requested[..1]);
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    effects.extend(deliver_from(&mut swarm, WEB_SEED, &requested[1..]));
    swarm.write(&effects);
    assert_eq!(next_requests(&mut swarm, WEB_SEED), Some(vec![]));
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
}

#[test]
fn a_block_is_awaited_from_a_web_seed_until_it_arrives() {
    let mut swarm = with_web_seed(2);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    assert!(
        requested
            .iter()
            .all(|range| swarm.core.awaits(WEB_SEED, *range))
    );
    deliver_from(&mut swarm, WEB_SEED, &requested[..1]);
    assert!(
        !swarm.core.awaits(WEB_SEED, requested[0]) && swarm.core.awaits(WEB_SEED, requested[1])
    );
    swarm.step(|core, now| core.fail("full", now));
    assert!(!swarm.core.awaits(WEB_SEED, requested[1]));
    assert_eq!(next_requests(&mut swarm, WEB_SEED), None);
}

#[test]
fn the_blocks_of_a_web_seed_that_is_no_longer_used_are_requested_from_others() {
    let mut swarm = with_web_seed(8);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let (peer, requested_from_peer) = swarm.source(1, &[0, 1, 2, 3]);
    assert_eq!((requested.len(), requested_from_peer.len()), (8, 0));
    swarm.step(|core, _| core.on_web_seed_down(WEB_SEED));
    assert_eq!(requests(&swarm.tick(), peer).len(), 8);
    let source = web_source(WEB_SEED);
    let late = swarm.step(|core, now| core.on_block(WEB_SEED, Some(&source), requested[0], 0, now));
    assert_eq!(late, (Err(UnrequestedBlock), vec![]));
}

#[test]
fn no_cancel_is_sent_to_a_web_seed() {
    let mut swarm = with_web_seed(8);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let (peer, _) = swarm.source(1, &[0, 1, 2, 3]);
    swarm.wait(1);
    assert_eq!(requests(&swarm.tick(), peer).len(), 8);
    // A web seed gets no message. The thread that reads from it asks `awaits` before each block.
    let effects = swarm.deliver(peer, &requested[..1]);
    assert_eq!(effects, []);
    assert!(!swarm.core.awaits(WEB_SEED, requested[0]));
    let effects = deliver_from(&mut swarm, WEB_SEED, &requested[1..2]);
    assert_eq!(
        effects[0],
        Effect::Send(peer, OutgoingMessage::Cancel(requested[1]))
    );
}

#[test]
fn a_stalled_web_seed_causes_requests_to_a_peer_and_no_other_effect() {
    let mut swarm = with_web_seed(8);
    next_requests(&mut swarm, WEB_SEED);
    let (peer, _) = swarm.source(1, &[0, 1, 2, 3]);
    swarm.wait(6);
    let effects = swarm.tick();
    assert_eq!((requests(&effects, peer).len(), effects.len()), (8, 8));
}

#[test]
fn a_web_seed_does_not_stall_while_we_do_not_read_from_it() {
    let mut swarm = with_web_seed(8);
    next_requests(&mut swarm, WEB_SEED);
    let (peer, _) = swarm.source(1, &[]);
    for _ in 0..10 {
        swarm.wait(3);
        swarm.step(|core, now| core.mark_not_stalled(WEB_SEED, now));
        assert_eq!(swarm.core.progress().idle(swarm.now), Duration::ZERO);
        assert_eq!(requests(&swarm.tick(), peer), []);
    }
    assert_eq!(swarm.buffers.reserved(), 8);
    assert!(next_requests(&mut swarm, WEB_SEED).unwrap().is_empty());
}

#[test]
fn a_web_seed_that_is_the_only_source_of_a_bad_piece_is_never_used_again() {
    let mut swarm = with_web_seed(2);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Full);
    let effects = deliver_from(&mut swarm, WEB_SEED, &requested);
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!(
        (verdicts, effects),
        (vec![Verdict::Proven(WEB_SEED)], vec![])
    );
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Lost);
    assert_eq!(next_requests(&mut swarm, WEB_SEED), None);
    // The web seed comes up again. That changes nothing: its trust stays lost until the download
    // ends.
    swarm.step(|core, _| core.on_web_seed_down(WEB_SEED));
    add_web_seed(&mut swarm, WEB_SEED, 2);
    assert_eq!(next_requests(&mut swarm, WEB_SEED), None);
    assert!(!swarm.core.contacts().has_barred(swarm.now));
}

#[test]
fn a_web_seed_that_sent_part_of_a_bad_piece_is_doubted_until_a_piece_from_it_alone_verifies() {
    let mut swarm = with_web_seed(2);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let piece = requested[0].piece().number();
    let (peer, _) = swarm.source(1, &[piece]);
    swarm.wait(1);
    swarm.tick();
    let mut effects = deliver_from(&mut swarm, WEB_SEED, &requested[..1]);
    effects.extend(swarm.deliver(peer, &requested[1..]));
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!((verdicts, effects), (vec![Verdict::Unclear], vec![]));
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Doubted);
    swarm.link_down(peer);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let effects = deliver_from(&mut swarm, WEB_SEED, &requested);
    swarm.write(&effects);
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Full);
}

#[test]
fn a_good_piece_of_several_sources_does_not_end_doubt() {
    let mut swarm = with_web_seed(2);
    add_web_seed(&mut swarm, OTHER, 2);
    let requested = next_requests(&mut swarm, WEB_SEED).unwrap();
    let (peer, _) = swarm.source(1, &[requested[0].piece().number()]);
    swarm.wait(1);
    swarm.tick();
    let mut effects = deliver_from(&mut swarm, WEB_SEED, &requested[..1]);
    effects.extend(swarm.deliver(peer, &requested[1..]));
    swarm.spoil(&effects);
    swarm.link_down(peer);
    // `OTHER` delivers the next piece. That does not end the doubt about `WEB_SEED`.
    let requested = next_requests(&mut swarm, OTHER).unwrap();
    let effects = deliver_from(&mut swarm, OTHER, &requested);
    swarm.write(&effects);
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Doubted);
    assert_eq!(swarm.core.trust(OTHER), WebSeedTrust::Full);
    // A good piece that came partly from `WEB_SEED` does not end the doubt either. Each round may
    // visit the sources in another order.
    for _ in 0..20 {
        let peer = Source::Peer(address(1), None);
        let sources = Sources::from([(web_source(WEB_SEED), 1), (peer, 1)]);
        let piece = swarm.piece(3);
        swarm.step(|core, now| core.on_piece_written(piece, &sources, now));
    }
    assert_eq!(swarm.core.trust(WEB_SEED), WebSeedTrust::Doubted);
}

#[test]
fn after_a_wait_the_old_web_seeds_are_no_longer_sources() {
    let mut swarm = with_web_seed(4);
    swarm.step(|core, _| core.on_web_seed_down(WEB_SEED));
    // It still counts as a source, because it may come up again.
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    assert!(
        swarm
            .step(|core, now| core.wait_for(Awaited::Room(1), "full", now))
            .0
    );
    assert!(swarm.step(|core, now| core.end_wait(now)).0);
    swarm.begin(&[]);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
    // After a wait, a web seed has another id.
    add_web_seed(&mut swarm, OTHER, 4);
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
}
