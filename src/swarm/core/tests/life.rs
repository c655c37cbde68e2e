//! What changes when a share begins and ends, apart from its phase.

use super::fixture::*;
use crate::swarm::core::{Budget, CloseReason, Effect, OutgoingMessage, ReceivedMessage};
use crate::swarm::{Candidates, LinkId, PieceOrder};
use crate::wire::AnnounceEvent;
use crate::wire::extension::ExtensionHandshake;
use std::collections::{BTreeMap, HashMap};

fn sources(swarm: &Swarm) -> BTreeMap<&str, u64> {
    swarm.core.progress().sources().collect()
}

#[test]
fn pieces_owned_at_the_start_count_as_verified_and_as_from_disk() {
    let mut swarm = Swarm::new();
    let effects = swarm.begin(&[0, 2]);
    let owned = swarm.pieces(&[0, 2]);
    assert_eq!(
        effects,
        [
            Effect::Offer(owned),
            Effect::Announce(AnnounceEvent::Started)
        ]
    );
    let progress = swarm.core.progress();
    assert_eq!((progress.verified(), progress.fetched()), (64 << 10, 0));
    assert_eq!(sources(&swarm), BTreeMap::from([("disk", 64 << 10)]));
}

#[test]
fn only_needed_pieces_are_fetched() {
    let mut swarm = Swarm::new();
    swarm.begin_for(&[0], &[0, 1]);
    let (id, requested) = swarm.source(1, &[0, 1, 2, 3]);
    assert_eq!(requested, [swarm.block(1, 0), swarm.block(1, 1)]);
    let effects = swarm.deliver(id, &requested);
    let effects = swarm.write(&effects);
    assert_eq!(
        effects,
        [Effect::SendHaves(swarm.piece(1)), Effect::Complete]
    );
}

#[test]
fn the_last_piece_completes_a_download_exactly_once() {
    let mut swarm = Swarm::new();
    swarm.begin(&[0, 1, 2]);
    let (id, requested) = swarm.source(1, &[3]);
    let effects = swarm.deliver(id, &requested);
    assert_eq!(kinds(&effects), ["Hash"]);
    assert_eq!(kinds(&swarm.write(&effects)), ["SendHaves", "Complete"]);
    assert!(swarm.core.phase().only_uploads() && !swarm.core.phase().fetches());
}

#[test]
fn a_finished_download_closes_links_that_fetch_nothing_and_informs_the_others() {
    let mut swarm = Swarm::new();
    swarm.begin(&[0, 1, 2, 3]);
    let seed = swarm.link_up(1);
    swarm.announce_pieces(seed, &[0, 1, 2, 3]);
    swarm.announce_port(seed);
    let uploads = |upload_only| {
        ReceivedMessage::Handshake(ExtensionHandshake {
            upload_only: Some(upload_only),
            ..ExtensionHandshake::default()
        })
    };
    let uploader = swarm.link_up(2);
    swarm.receive(uploader, uploads(true));
    // This peer says that it only uploads, but it is interested in pieces.
    let interested = swarm.link_up(3);
    swarm.receive(interested, uploads(true));
    swarm.receive(interested, ReceivedMessage::Interested);
    let without_extensions = swarm.link_up_as(plain(4));
    let (_, effects) = swarm.step(|core, now| core.on_finished(now));
    let nothing = CloseReason::NothingToFetch;
    assert_eq!(
        closed(&effects),
        [(seed, nothing.clone()), (uploader, nothing)]
    );
    assert!(effects.contains(&Effect::SendUploadOnly(interested)));
    assert!(!effects.contains(&Effect::SendUploadOnly(without_extensions)));
    // The seed is called again after half an hour. By then it may have lost something.
    swarm.link_down(seed);
    swarm.link_down(uploader);
    swarm.wait(1_799);
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(1);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
}

#[test]
fn a_complete_share_closes_a_link_as_soon_as_its_peer_fetches_nothing() {
    let mut swarm = Swarm::complete();
    let leech = swarm.link_up(1);
    assert_eq!(swarm.announce_pieces(leech, &[0, 1, 2]), []);
    let effects = swarm.receive(leech, ReceivedMessage::Have(swarm.piece(3)));
    assert_eq!(closed(&effects), [(leech, CloseReason::NothingToFetch)]);
    // A share that still fetches keeps the link to a seed.
    let mut swarm = Swarm::fetching();
    let seed = swarm.link_up(1);
    let effects = swarm.announce_pieces(seed, &[0, 1, 2, 3]);
    assert_eq!(effects, [Effect::Send(seed, OutgoingMessage::Interested)]);
}

#[test]
fn the_end_of_a_download_returns_its_buffers() {
    let ends: [fn(&mut Swarm); 3] = [
        |swarm| drop(swarm.step(|core, now| core.set_aside("more", now))),
        |swarm| drop(swarm.step(|core, now| core.fail("full", now))),
        |swarm| drop(swarm.step(|core, now| core.retire(now))),
    ];
    for end in ends {
        let mut swarm = Swarm::fetching();
        let (id, requested) = swarm.source(1, &[0, 1]);
        assert_eq!((requested.len(), swarm.buffers.reserved()), (4, 4));
        let first = swarm.deliver(id, &requested[..2]);
        assert_eq!(kinds(&first), ["Hash"]);
        end(&mut swarm);
        // Buffers of a worker are returned by the worker.
        assert_eq!(
            (swarm.buffers.reserved(), swarm.core.blocks_at_workers()),
            (2, 2)
        );
        // A block that arrives later is not kept.
        assert_eq!(swarm.on_block(id, requested[2]), (Ok(Some(0)), vec![]));
        let (_, effects) = swarm.step(|core, now| core.on_worker_done(2, now));
        assert_eq!((effects, swarm.buffers.reserved()), (vec![], 0));
    }
}

#[test]
fn a_share_that_begins_again_drops_its_links_and_calls_their_addresses_again() {
    let mut swarm = Swarm::complete();
    let id = swarm.link_up(1);
    swarm.announce_port(id);
    let (_, effects) = swarm.step(|core, now| core.lose("changed", now));
    let reason = CloseReason::Ended("changed".to_owned());
    assert_eq!(effects, [Effect::Withhold, Effect::Close(id, reason)]);
    swarm.step(|core, now| core.regain(now));
    swarm.begin_in_place();
    assert_eq!(swarm.core.links().len(), 0);
    assert_eq!(swarm.link_down(id), []);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
}

#[test]
fn a_sequential_download_requests_pieces_in_order() {
    let mut swarm = Swarm::fetching_with(|config| config.order = PieceOrder::InOrder);
    let (_, requested) = swarm.source(1, &[0, 1, 2, 3]);
    let pieces: Vec<u32> = requested
        .iter()
        .map(|range| range.piece().number())
        .collect();
    assert_eq!(pieces, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn a_successor_continues_with_the_addresses_and_counts_of_its_predecessor() {
    let mut swarm = Swarm::new();
    let mut candidates = Candidates::default();
    candidates.add(address(1));
    let counted = HashMap::from([("10.0.0.9:1".to_owned(), 40 << 10)]);
    let counts = counted.clone();
    swarm.step(|core, _| core.take_over(candidates, counts, 77));
    swarm.begin(&[0, 1]);
    assert_eq!(swarm.core.progress().downloaded(), 77);
    let expected = BTreeMap::from([("10.0.0.9:1", 40 << 10), ("disk", 24 << 10)]);
    assert_eq!(sources(&swarm), expected);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    // If fewer bytes are verified than were counted, the senders are not known.
    let mut swarm = Swarm::new();
    swarm.step(|core, _| core.take_over(Candidates::default(), counted, 77));
    swarm.begin(&[0]);
    assert_eq!(sources(&swarm), BTreeMap::from([("disk", 32 << 10)]));
}

#[test]
fn messages_of_a_link_that_has_ended_change_nothing() {
    let mut swarm = Swarm::fetching();
    let (id, requested) = swarm.source(1, &[0]);
    swarm.link_down(id);
    assert_eq!(swarm.receive(id, ReceivedMessage::Interested), []);
    assert_eq!(swarm.on_block(id, requested[0]), (Ok(Some(0)), vec![]));
    assert_eq!(swarm.link_down(id), []);
    assert_eq!(swarm.link_down(LinkId(77)), []);
}
