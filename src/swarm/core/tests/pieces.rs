//! Pieces after their blocks have arrived. A worker hashes and writes each piece. The core
//! announces a good piece and blames the sources of a bad one. The last two tests are about
//! messages.

use super::fixture::*;
use crate::swarm::core::{
    CloseReason, Core, Effect, HashedPiece, LinkRefusal, MemberId, OutgoingMessage, PendingBlock,
    ReceivedMessage, RemotePeer, Source, Sources, Verdict,
};
use crate::swarm::{BlockRun, LinkId, MAX_RUN_BLOCKS};
use crate::torrent::{Hasher, Sha1};
use crate::wire::extension::ExtensionHandshake;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn a_written_piece_is_announced_and_counted_for_its_sources() {
    let mut swarm = Swarm::new();
    swarm.begin(&[0]);
    let (first, requested) = swarm.source(1, &[1]);
    let (second, _) = swarm.source(2, &[1]);
    swarm.wait(1);
    swarm.tick();
    let mut effects = swarm.deliver(first, &requested[..1]);
    effects.extend(swarm.deliver(second, &requested[1..]));
    let effects = swarm.write(&effects);
    assert_eq!(effects, [Effect::SendHaves(swarm.piece(1))]);
    let progress = swarm.core.progress();
    assert_eq!(
        (progress.verified(), progress.fetched()),
        (64 << 10, 32 << 10)
    );
    let sources: BTreeMap<&str, u64> = progress.sources().collect();
    let half = 16 << 10;
    let expected = [
        ("disk", 2 * half),
        ("10.0.0.1:50000", half),
        ("10.0.0.2:50000", half),
    ];
    assert_eq!(sources, BTreeMap::from(expected));
    assert!(swarm.core.owned().contains(swarm.piece(1)));
    assert_eq!(progress.downloaded(), 32 << 10);
    assert!(progress.rate(swarm.now) > 0);
}

/// A bad piece that came from peer 1 alone. We know where this peer listens.
fn bad_piece_from_peer_1() -> (Swarm, LinkId, Effects) {
    let mut swarm = Swarm::fetching();
    swarm.core.contacts_mut().add(address(1));
    let id = swarm.link_up(1);
    swarm.announce_port(id);
    swarm.announce_pieces(id, &[2]);
    let effects = swarm.receive(id, ReceivedMessage::Unchoke);
    let effects = swarm.deliver(id, &requests(&effects, id));
    (swarm, id, effects)
}

#[test]
fn the_only_source_of_a_bad_piece_is_disconnected_and_barred_for_a_while() {
    let (mut swarm, id, effects) = bad_piece_from_peer_1();
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!(verdicts, [Verdict::Proven(id)]);
    let reason = CloseReason::BadPiece(swarm.piece(2));
    assert_eq!(closed(&effects), [(id, reason)]);
    assert_eq!(swarm.core.progress().verified(), 0);
    swarm.link_down(id);
    assert_eq!(
        swarm.try_link_up(id, outgoing(1)).0,
        Err(LinkRefusal::Barred)
    );
    swarm.wait(599);
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(1);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
}

#[test]
fn a_barred_peer_does_not_come_back_by_calling_us() {
    let (mut swarm, id, effects) = bad_piece_from_peer_1();
    swarm.spoil(&effects);
    swarm.link_down(id);
    // The peer calls from another port. We recognize it when it announces its listening port.
    let id = swarm.link_up(1);
    let effects = swarm.announce_port(id);
    assert_eq!(effects, [Effect::Close(id, CloseReason::Barred)]);
    assert!(swarm.core.contacts().is_barred(address(1), swarm.now));
    // The link ends, whatever else the handshake says.
    let mut swarm = Swarm::complete();
    let until = swarm.now + Duration::from_secs(600);
    swarm.core.contacts_mut().bar(address(1), until);
    let id = swarm.link_up(1);
    let handshake = ExtensionHandshake {
        port: Some(address(1).port()),
        upload_only: Some(true),
        ..ExtensionHandshake::default()
    };
    let effects = swarm.receive(id, ReceivedMessage::Handshake(handshake));
    assert_eq!(effects, [Effect::Close(id, CloseReason::Barred)]);
}

#[test]
fn a_peer_is_barred_even_if_its_link_has_ended() {
    let (mut swarm, id, effects) = bad_piece_from_peer_1();
    swarm.link_down(id);
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!((verdicts, effects), (vec![Verdict::Proven(id)], vec![]));
    assert!(swarm.core.contacts().is_barred(address(1), swarm.now));
}

/// A peer that calls us delivers a bad piece, and then its link ends. Returns the other links that
/// were closed, and why.
fn deliver_bad_piece(swarm: &mut Swarm, remote: RemotePeer) -> Vec<(LinkId, CloseReason)> {
    let id = swarm.link_up_as(remote);
    swarm.announce_pieces(id, &[2]);
    let effects = swarm.receive(id, ReceivedMessage::Unchoke);
    let effects = swarm.deliver(id, &requests(&effects, id));
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!(verdicts, [Verdict::Proven(id)]);
    swarm.link_down(id);
    let others = closed(&effects).into_iter();
    others.filter(|(other, _)| *other != id).collect()
}

#[test]
fn a_member_that_sent_a_bad_piece_is_barred_at_every_address() {
    let mut swarm = Swarm::fetching();
    let peer_of_member = |number, member| RemotePeer {
        member: Some(MemberId([member; 16])),
        ..incoming(number)
    };
    let second_link = swarm.link_up_as(peer_of_member(2, 7));
    let other = swarm.link_up_as(peer_of_member(3, 8));
    let closed = deliver_bad_piece(&mut swarm, peer_of_member(1, 7));
    assert_eq!(closed, [(second_link, CloseReason::Barred)]);
    swarm.link_down(second_link);
    let refused = swarm.try_link_up(LinkId(4), peer_of_member(4, 7)).0;
    assert_eq!(refused, Err(LinkRefusal::Barred));
    swarm.link_down(other);
    assert_eq!(swarm.try_link_up(LinkId(5), peer_of_member(5, 8)).0, Ok(()));
    swarm.wait(600);
    assert_eq!(swarm.try_link_up(LinkId(4), peer_of_member(4, 7)).0, Ok(()));
}

#[test]
fn a_host_whose_three_ports_sent_bad_pieces_is_barred_at_every_port() {
    let mut swarm = Swarm::fetching();
    let from_port = |number: u8, port: u16| RemotePeer {
        address: ([192, 0, 2, 1], port).into(),
        ..incoming(number)
    };
    let silent = swarm.link_up_as(from_port(9, 9));
    for port in [1, 2] {
        assert_eq!(deliver_bad_piece(&mut swarm, from_port(1, port)), []);
    }
    let closed = deliver_bad_piece(&mut swarm, from_port(1, 3));
    assert_eq!(closed, [(silent, CloseReason::Barred)]);
    swarm.link_down(silent);
    let refused = swarm.try_link_up(LinkId(1), from_port(1, 4)).0;
    assert_eq!(refused, Err(LinkRefusal::Barred));
    // The host is not called either.
    swarm.core.contacts_mut().add(([192, 0, 2, 1], 5).into());
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(600);
    assert_eq!(
        connects(&swarm.tick()).len(),
        1 + 3,
        "the new address and the three bad ports are called"
    );
}

#[test]
fn a_bad_piece_from_several_sources_closes_no_link_and_is_fetched_again_from_one_source() {
    let mut swarm = Swarm::fetching();
    let (first, requested) = swarm.source(1, &[2]);
    let (second, _) = swarm.source(2, &[2]);
    swarm.wait(1);
    swarm.tick();
    let mut effects = swarm.deliver(first, &requested[..1]);
    effects.extend(swarm.deliver(second, &requested[1..]));
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!((verdicts, effects), (vec![Verdict::Unclear], vec![]));
    assert!(!swarm.core.contacts().has_barred(swarm.now));
    let effects = swarm.tick();
    let alone = requests(&effects, first);
    assert_eq!((alone.len(), requests(&effects, second).len()), (2, 0));
    // One link alone sends the piece this time, so a bad piece proves which peer sends bad data.
    swarm.wait(1);
    assert_eq!(
        swarm.tick(),
        [],
        "no other link gets the request in endgame"
    );
    let effects = swarm.deliver(first, &alone);
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!(verdicts, [Verdict::Proven(first)]);
    assert_eq!(closed(&effects).len(), 1);
    swarm.link_down(first);
    assert_eq!(requests(&swarm.tick(), second).len(), 2);
}

#[test]
fn the_good_piece_shows_which_of_several_sources_lied() {
    let mut swarm = Swarm::fetching();
    let (honest, requested) = swarm.source(1, &[2]);
    let (liar, _) = swarm.source(2, &[2]);
    swarm.wait(1);
    swarm.tick();
    let mut effects = swarm.deliver(honest, &requested[..1]);
    effects.extend(swarm.deliver(liar, &requested[1..]));
    assert_eq!(swarm.spoil(&effects).0, [Verdict::Unclear]);
    let [good, bad] = [b"good", b"evil"].map(|bytes| Sha1::of(bytes));
    let piece = swarm.piece(2);
    let [first, second] = [honest, liar].map(|id| {
        let link = swarm.core.link(id).unwrap();
        Source::Peer(link.shown_address(), None)
    });
    let hashes = vec![(good, first), (bad, second.clone())];
    swarm.step(|core, _| core.on_bad_blocks(piece, hashes));
    let effects = swarm.tick();
    let effects = swarm.deliver(honest, &requests(&effects, honest));
    assert_eq!(closed(&swarm.write(&effects)), []);
    let good = [good, good];
    let (liars, effects) = swarm.step(|core, now| core.on_good_blocks(piece, &good, now));
    assert_eq!(liars, [second]);
    assert_eq!(closed(&effects), [(liar, CloseReason::BadPiece(piece))]);
    let address = swarm.core.link(liar).unwrap().shown_address();
    assert!(swarm.core.contacts().is_barred(address, swarm.now));
}

/// A download of one piece of three runs.
fn long_piece() -> (Swarm, [BlockRun; 3]) {
    let swarm = Swarm::fetching_with(|config| config.lengths = lengths(1, 3 * MAX_RUN_BLOCKS));
    let runs = [0, 1, 2].map(|number| BlockRun::numbered(&swarm.lengths, swarm.piece(0), number));
    (swarm, runs)
}

fn blocks_from(peer: u8) -> [PendingBlock<u32>; 1] {
    [PendingBlock {
        buffer: 0,
        length: 100,
        source: Source::Peer(address(peer), None),
    }]
}

/// A worker has written a run that came from peer number `peer`. Returns the hasher if the worker
/// is to hash the run.
fn on_run_written(swarm: &mut Swarm, run: BlockRun, peer: u8) -> Option<Hasher> {
    let blocks = blocks_from(peer);
    swarm
        .step(|core, _| core.on_run_written(run, &blocks, &[]))
        .0
}

#[test]
fn runs_are_hashed_in_order_whatever_the_order_of_writing() {
    let (mut swarm, [first, second, third]) = long_piece();
    assert!(on_run_written(&mut swarm, third, 1).is_none());
    let mut hasher = on_run_written(&mut swarm, first, 2).unwrap();
    hasher.update(b"first");
    // A worker has the hasher, so this run waits on disk.
    assert!(on_run_written(&mut swarm, second, 1).is_none());
    let earlier_runs_hashed = |swarm: &mut Swarm, next, hasher| {
        swarm
            .step(|core, _| core.on_earlier_runs_hashed(next, hasher))
            .0
    };
    let mut hasher = earlier_runs_hashed(&mut swarm, second, hasher).unwrap();
    hasher.update(b"second");
    let mut hasher = earlier_runs_hashed(&mut swarm, third, hasher).unwrap();
    hasher.update(b"third");
    assert_eq!(hasher.finish(), Sha1::of(b"firstsecondthird"));
    let (hashed, effects) = swarm.step(|core, _| core.on_piece_hashed(first.piece));
    let sources = Sources::from([
        (Source::Peer(address(1), None), 200),
        (Source::Peer(address(2), None), 100),
    ]);
    let blocks = Vec::new();
    let expected = HashedPiece { sources, blocks };
    assert_eq!((hashed, effects), (Some(expected), vec![]));
}

#[test]
fn the_hasher_waits_for_a_run_that_is_not_written_yet() {
    let (mut swarm, [first, second, third]) = long_piece();
    let mut hasher = on_run_written(&mut swarm, first, 1).unwrap();
    hasher.update(b"first");
    let back = swarm
        .step(|core, _| core.on_earlier_runs_hashed(second, hasher))
        .0;
    assert!(back.is_none());
    assert!(on_run_written(&mut swarm, third, 1).is_none());
    let mut hasher = on_run_written(&mut swarm, second, 1).unwrap();
    hasher.update(b"second");
    let hasher = swarm
        .step(|core, _| core.on_earlier_runs_hashed(third, hasher))
        .0;
    assert!(hasher.is_some());
}

#[test]
fn a_piece_that_was_given_up_is_not_hashed_further() {
    let (mut swarm, [first, second, _]) = long_piece();
    let hasher = on_run_written(&mut swarm, first, 1).unwrap();
    // The download stops and gives up its active pieces.
    swarm.step(|core, now| core.set_aside("more", now));
    let back = swarm
        .step(|core, _| core.on_earlier_runs_hashed(second, hasher))
        .0;
    assert!(back.is_none());
    assert_eq!(
        swarm.step(|core, _| core.on_piece_hashed(first.piece)).0,
        None
    );
}

/// The runs of a long piece are written and hashed. Run `n` came from peer number `peers[n]`, and
/// each of its blocks has the hash `hashes[n]`.
fn hash_long_piece(
    swarm: &mut Swarm,
    runs: [BlockRun; 3],
    peers: [u8; 3],
    hashes: [Sha1; 3],
) -> HashedPiece {
    assert!(swarm.core.wants_block_hashes());
    let mut hasher = None;
    for ((run, peer), hash) in runs.into_iter().zip(peers).zip(hashes) {
        let blocks = blocks_from(peer);
        let written = |core: &mut Core<u32>| core.on_run_written(run, &blocks, &[hash]);
        hasher = match hasher {
            None => swarm.step(|core, _| written(core)).0,
            Some(hasher) => {
                let back = swarm.step(|core, _| core.on_earlier_runs_hashed(run, hasher));
                assert!(back.0.is_none());
                swarm.step(|core, _| written(core)).0
            }
        };
        assert!(hasher.is_some());
    }
    let hashed = swarm.step(|core, _| core.on_piece_hashed(runs[0].piece)).0;
    hashed.unwrap()
}

#[test]
fn after_a_bad_piece_a_long_piece_too_shows_which_of_its_sources_lied() {
    let (mut swarm, runs) = long_piece();
    let piece = runs[0].piece;
    let [honest, liar] = [1, 2].map(|peer| Source::Peer(address(peer), None));
    let sources = Sources::from([(honest.clone(), 200), (liar.clone(), 100)]);
    assert!(!swarm.core.wants_block_hashes());
    swarm.step(|core, now| core.on_piece_failed(piece, &sources, now));
    let [good, bad] = [b"good", b"evil"].map(|bytes| Sha1::of(bytes));
    let hashed = hash_long_piece(&mut swarm, runs, [1, 2, 1], [good, bad, good]);
    assert_eq!(hashed.sources, sources);
    swarm.step(|core, now| core.on_piece_failed(piece, &sources, now));
    swarm.step(|core, _| core.on_bad_blocks(piece, hashed.blocks));
    let hashed = hash_long_piece(&mut swarm, runs, [1, 1, 1], [good; 3]);
    let good: Vec<Sha1> = hashed.blocks.into_iter().map(|(hash, _)| hash).collect();
    let liars = swarm.step(|core, now| core.on_good_blocks(piece, &good, now));
    assert_eq!(liars.0, [liar]);
}

#[test]
fn a_long_bad_piece_is_hashed_again_from_its_first_run() {
    let (mut swarm, runs) = long_piece();
    let (id, requested) = swarm.source(1, &[0]);
    let mut missing = requested;
    while let Some(block) = missing.pop() {
        let effects = swarm.deliver(id, &[block]);
        missing.extend(requests(&effects, id));
    }
    assert!(on_run_written(&mut swarm, runs[0], 1).is_some());
    for run in runs {
        swarm.step(|core, now| core.on_worker_done(run.blocks, now));
    }
    let sources = Sources::from([(Source::Peer(address(1), None), 300)]);
    swarm.step(|core, now| core.on_piece_failed(runs[0].piece, &sources, now));
    assert!(on_run_written(&mut swarm, runs[0], 1).is_some());
}

#[test]
fn each_outgoing_message_becomes_the_same_message_of_the_protocol() {
    use crate::wire::peer::PeerMessage;
    let swarm = Swarm::new();
    let block = swarm.block(1, 1);
    for (message, expected) in [
        (OutgoingMessage::Interested, PeerMessage::Interested),
        (OutgoingMessage::NotInterested, PeerMessage::NotInterested),
        (
            OutgoingMessage::Request(block),
            PeerMessage::Request(block.into()),
        ),
        (
            OutgoingMessage::Cancel(block),
            PeerMessage::Cancel(block.into()),
        ),
        (
            OutgoingMessage::Reject(block),
            PeerMessage::Reject(block.into()),
        ),
    ] {
        assert_eq!(PeerMessage::from(message), expected);
    }
}

#[test]
fn a_later_handshake_changes_only_what_it_names() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    let first = ExtensionHandshake {
        client: Some("x 1".to_owned()),
        upload_only: Some(false),
        ..ExtensionHandshake::default()
    };
    swarm.receive(id, ReceivedMessage::Handshake(first));
    let later = ExtensionHandshake {
        upload_only: Some(true),
        ..ExtensionHandshake::default()
    };
    swarm.receive(id, ReceivedMessage::Handshake(later));
    let handshake = swarm.core.link(id).unwrap().handshake();
    assert_eq!(
        (handshake.client.as_deref(), handshake.upload_only),
        (Some("x 1"), Some(true))
    );
}
