//! Which peers are served, and what happens to their requests.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{Effect, LinkActivity, OutgoingMessage, ReceivedMessage, RemotePeer};
use crate::swarm::{UploadSlots, allowed_fast};
use crate::torrent::{InfoHash, MAX_BLOCK};

/// A peer that may request nothing while it is choked: over IPv6 there is no allowed-fast set.
fn by_ipv6(number: u8) -> RemotePeer {
    RemotePeer {
        address: ([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)], 50_000).into(),
        ..incoming(number)
    }
}

#[test]
fn an_interested_peer_gets_a_slot_if_one_is_free() {
    let mut swarm = Swarm::complete();
    let [first, second, third] = [1, 2, 3].map(|number| swarm.link_up(number));
    assert_eq!(
        swarm.receive(first, ReceivedMessage::Interested),
        [Effect::Unchoke(first)]
    );
    assert_eq!(
        swarm.receive(second, ReceivedMessage::Interested),
        [Effect::Unchoke(second)]
    );
    assert_eq!(swarm.receive(third, ReceivedMessage::Interested), []);
    // A peer that is no longer interested loses its slot to another one.
    let effects = swarm.receive(first, ReceivedMessage::NotInterested);
    assert_eq!(effects.len(), 2);
    assert!(effects.contains(&Effect::Choke(first)));
    assert!(effects.contains(&Effect::Unchoke(third)));
}

#[test]
fn a_peer_that_waits_gets_a_slot_within_two_minutes() {
    let mut swarm = Swarm::complete();
    let ids = [1, 2, 3].map(|number| swarm.link_up(number));
    for id in ids {
        swarm.receive(id, ReceivedMessage::Interested);
    }
    let mut served = vec![ids[0], ids[1]];
    for _ in 0..120 {
        swarm.wait(1);
        for effect in swarm.tick() {
            match effect {
                Effect::Choke(id) => served.retain(|served| *served != id),
                Effect::Unchoke(id) => served.push(id),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(served.len(), 2);
        if served.contains(&ids[2]) {
            return;
        }
    }
    panic!("the third peer is never served");
}

#[test]
fn a_download_serves_the_peers_that_deliver_most() {
    let mut swarm = Swarm::fetching_with(|config| config.upload_slots = UploadSlots::Fixed(2));
    let (deliverer, requested) = swarm.source(1, &[0, 1, 2, 3]);
    let ids = [swarm.link_up(2), swarm.link_up(3), swarm.link_up(4)];
    swarm.deliver(deliverer, &requested[..1]);
    swarm.wait(11);
    swarm.tick();
    for id in ids.into_iter().chain([deliverer]) {
        swarm.receive(id, ReceivedMessage::Interested);
    }
    swarm.deliver(deliverer, &requested[1..2]);
    swarm.wait(11);
    let effects = swarm.tick();
    assert!(effects.contains(&Effect::Unchoke(deliverer)));
}

#[test]
fn a_peer_with_a_slot_is_served_owned_pieces_and_nothing_else() {
    for remote in [by_ipv6(1), plain(1)] {
        let mut swarm = Swarm::new();
        swarm.begin(&[0]);
        let id = swarm.link_up_as(remote);
        swarm.receive(id, ReceivedMessage::Interested);
        let (owned, other) = (swarm.block(0, 1), swarm.block(1, 0));
        assert_eq!(
            swarm.receive(id, ReceivedMessage::Request(owned)),
            [Effect::Serve(id, owned)]
        );
        // With BEP 6 each request gets its block or a reject.
        let rejected = [Effect::Send(id, OutgoingMessage::Reject(other))];
        let expected = if remote.fast { &rejected[..] } else { &[] };
        assert_eq!(swarm.receive(id, ReceivedMessage::Request(other)), expected);
    }
}

#[test]
fn a_choked_peer_is_not_served() {
    for remote in [by_ipv6(1), plain(1)] {
        let mut swarm = Swarm::complete();
        let id = swarm.link_up_as(remote);
        let block = swarm.block(0, 1);
        let rejected = [Effect::Send(id, OutgoingMessage::Reject(block))];
        let expected = if remote.fast { &rejected[..] } else { &[] };
        assert_eq!(swarm.receive(id, ReceivedMessage::Request(block)), expected);
        swarm.receive(id, ReceivedMessage::Interested);
        assert_eq!(
            swarm.receive(id, ReceivedMessage::Request(block)),
            [Effect::Serve(id, block)]
        );
    }
}

#[test]
fn a_withdrawn_share_is_not_served() {
    let mut swarm = Swarm::complete();
    let id = swarm.link_up(1);
    swarm.receive(id, ReceivedMessage::Interested);
    swarm.step(|core, now| core.withdraw("out", now));
    let block = swarm.block(0, 0);
    let rejected = Effect::Send(id, OutgoingMessage::Reject(block));
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [rejected]
    );
    swarm.step(|core, now| core.restore(now));
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [Effect::Serve(id, block)]
    );
}

#[test]
fn a_choked_peer_that_owns_few_pieces_may_request_the_allowed_fast_set() {
    let mut swarm = Swarm::with(|config| config.lengths = lengths(100, 2));
    swarm.begin_in_place();
    let id = swarm.link_up(1);
    let allowed = allowed_fast(incoming(1).address.ip(), InfoHash([7; 20]), &swarm.lengths);
    assert_eq!(
        (swarm.core.link(id).unwrap().allowed_fast(), allowed.len()),
        (&*allowed, 10)
    );
    let block = swarm.lengths.block(allowed[0], 1).unwrap();
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [Effect::Serve(id, block)]
    );
    let other = swarm
        .lengths
        .all_pieces()
        .find(|piece| !allowed.contains(piece))
        .unwrap();
    let other = swarm.lengths.block(other, 0).unwrap();
    let rejected = |block| [Effect::Send(id, OutgoingMessage::Reject(block))];
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(other)),
        rejected(other)
    );
    // With 9 pieces the peer may still request the set. With 10 pieces, the size of the set, it may
    // not: it has something to trade with.
    swarm.announce_pieces(id, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [Effect::Serve(id, block)]
    );
    let tenth = swarm.piece(9);
    swarm.receive(id, ReceivedMessage::Have(tenth));
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        rejected(block)
    );
}

#[test]
fn the_bytes_for_a_choked_peer_are_bounded() {
    let mut swarm = Swarm::with(|config| config.lengths = lengths(100, 16));
    swarm.begin_in_place();
    let id = swarm.link_up(1);
    let piece = swarm.core.link(id).unwrap().allowed_fast()[0];
    let block = swarm.lengths.range(piece.number(), 0, MAX_BLOCK).unwrap();
    for _ in 0..(8 << 20) / MAX_BLOCK {
        assert_eq!(
            swarm.receive(id, ReceivedMessage::Request(block)),
            [Effect::Serve(id, block)]
        );
    }
    let rejected = Effect::Send(id, OutgoingMessage::Reject(block));
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [rejected]
    );
    // With a slot it gets what it requests.
    swarm.receive(id, ReceivedMessage::Interested);
    assert_eq!(
        swarm.receive(id, ReceivedMessage::Request(block)),
        [Effect::Serve(id, block)]
    );
}

#[test]
fn a_complete_share_serves_the_peers_that_download_fastest() {
    let mut swarm = Swarm::complete();
    let [first, fast, third] = [1, 2, 3].map(|number| swarm.link_up(number));
    for id in [first, fast, third] {
        swarm.receive(id, ReceivedMessage::Interested);
    }
    let mut choked = Vec::new();
    for elapsed in 1..=120 {
        swarm.wait(1);
        let activity = LinkActivity {
            sent: elapsed << 20,
            last_sent: swarm.now,
            ..LinkActivity::default()
        };
        swarm.activity.insert(fast, activity);
        let effects = swarm.tick();
        let chokes = effects.iter().filter_map(|effect| match effect {
            Effect::Choke(id) => Some(*id),
            _ => None,
        });
        choked.extend(chokes);
    }
    assert!(choked.contains(&first) && !choked.contains(&fast));
}

/// Whether the link loses its slot to others within 90 seconds in which it delivers nothing. `act`
/// runs every second.
fn loses_slot(swarm: &mut Swarm, id: LinkId, mut act: impl FnMut(&mut Swarm, u64)) -> bool {
    for id in [id, swarm.link_up(2), swarm.link_up(3)] {
        swarm.receive(id, ReceivedMessage::Interested);
    }
    let mut is_choked = false;
    for second in 1..=90 {
        swarm.wait(1);
        act(swarm, second);
        is_choked |= swarm.tick().contains(&Effect::Choke(id));
    }
    is_choked
}

/// A download that also reads from a web seed. While a web seed is in use, a download does not give
/// up its active pieces, even if a peer delivers nothing. `max_stalls` is so large that the link to
/// that peer does not end.
fn with_web_seed() -> Swarm {
    let mut swarm = Swarm::fetching_with(|config| config.max_stalls = 1_000);
    let all = swarm.all_pieces();
    swarm.step(|core, _| core.on_web_seed_up(LinkId(99), all, 1));
    let mut blocks = Vec::new();
    swarm.step(|core, now| core.next_for_web_seed(LinkId(99), now, &mut blocks));
    swarm
}

#[test]
fn a_peer_that_owes_us_blocks_for_long_loses_its_slot_unless_we_have_paused_reading() {
    for paused in [false, true] {
        let mut swarm = with_web_seed();
        let (id, _) = swarm.source(1, &[0, 1, 2, 3]);
        let activity = LinkActivity {
            paused,
            ..LinkActivity::default()
        };
        swarm.activity.insert(id, activity);
        assert_eq!(loses_slot(&mut swarm, id, |_, _| {}), !paused);
    }
}

#[test]
fn a_peer_that_chokes_us_owes_nothing() {
    // The peer chokes us now and then.
    let mut swarm = with_web_seed();
    let (id, _) = swarm.source(1, &[0, 1, 2, 3]);
    let has_lost_slot = loses_slot(&mut swarm, id, |swarm, second| {
        if second % 40 == 0 {
            swarm.receive(id, ReceivedMessage::Choke);
            swarm.receive(id, ReceivedMessage::Unchoke);
        }
    });
    assert!(!has_lost_slot);
    // The peer always chokes us, although it allows some pieces.
    let mut swarm = with_web_seed();
    let id = swarm.link_up(1);
    swarm.announce_pieces(id, &[0, 1, 2, 3]);
    for number in 0..4 {
        let piece = swarm.piece(number);
        swarm.receive(id, ReceivedMessage::AllowedFast(piece));
    }
    assert!(swarm.core.picker().is_fetching(id));
    assert!(!loses_slot(&mut swarm, id, |_, _| {}));
}
