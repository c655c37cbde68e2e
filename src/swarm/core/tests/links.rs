//! Which links are let in, which make room, and what the end of a link changes.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::core::{
    CloseReason, Effect, LinkActivity, LinkRefusal, OutgoingMessage, ReceivedMessage, RemotePeer,
};
use std::time::Duration;

const NEW: LinkId = LinkId(1_000);

fn refused(swarm: &mut Swarm, remote: RemotePeer) -> LinkRefusal {
    let (admitted, effects) = swarm.try_link_up(NEW, remote);
    assert_eq!(effects, []);
    admitted.unwrap_err()
}

#[test]
fn no_link_is_let_in_while_nothing_is_served() {
    let mut swarm = Swarm::new();
    assert_eq!(refused(&mut swarm, incoming(1)), LinkRefusal::NotServed);
}

#[test]
fn a_barred_peer_is_not_let_in_until_its_time_is_over() {
    let mut swarm = Swarm::fetching();
    let until = swarm.now + Duration::from_secs(600);
    swarm.core.contacts_mut().bar(address(1), until);
    assert_eq!(refused(&mut swarm, outgoing(1)), LinkRefusal::Barred);
    swarm.wait(600);
    assert_eq!(swarm.try_link_up(NEW, outgoing(1)).0, Ok(()));
}

#[test]
fn in_a_private_swarm_a_call_to_a_forgotten_address_is_given_up() {
    let mut swarm = Swarm::fetching_with(|config| config.is_private = true);
    swarm.core.contacts_mut().add(address(1));
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    swarm.step(|core, now| core.give_up_peers("its tracker failed", now));
    assert_eq!(refused(&mut swarm, outgoing(1)), LinkRefusal::GivenUp);
    // A peer that calls us has our address from a tracker.
    assert_eq!(swarm.try_link_up(NEW, incoming(1)).0, Ok(()));
    let mut open = Swarm::fetching();
    assert_eq!(open.try_link_up(NEW, outgoing(1)).0, Ok(()));
}

#[test]
fn when_recent_links_take_all_places_no_other_is_let_in() {
    let mut swarm = Swarm::fetching();
    for number in 1..=4 {
        swarm.link_up(number);
    }
    swarm.wait(4);
    assert_eq!(refused(&mut swarm, incoming(5)), LinkRefusal::Full);
}

#[test]
fn the_least_useful_link_makes_room() {
    let mut swarm = Swarm::fetching();
    let interesting = swarm.link_up(1);
    swarm.announce_pieces(interesting, &[0]);
    let interested = swarm.link_up(2);
    swarm.receive(interested, ReceivedMessage::Interested);
    let idle_longest = swarm.link_up(3);
    swarm.announce_port(idle_longest);
    let idle_shorter = swarm.link_up(4);
    let activity = LinkActivity {
        sent: 1,
        last_sent: swarm.now + Duration::from_secs(2),
        ..LinkActivity::default()
    };
    swarm.activity.insert(idle_shorter, activity);
    swarm.wait(8);
    swarm.tick();
    for (number, gone) in [
        (5, idle_longest),
        (6, idle_shorter),
        (7, interested),
        (8, interesting),
    ] {
        let (admitted, effects) = swarm.try_link_up(LinkId(number), incoming(number as u8));
        assert_eq!(admitted, Ok(()));
        assert_eq!(closed(&effects), [(gone, CloseReason::MadeRoom)]);
        // The link was removed before: its end changes nothing more.
        assert_eq!(swarm.link_down(gone), []);
    }
    assert_eq!(swarm.core.links().len(), 4);
    // Only the address of `idle_longest` is known. It is called again after a while.
    (5..=8).for_each(|number| drop(swarm.link_down(LinkId(number))));
    swarm.wait(59);
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(1);
    assert_eq!(connects(&swarm.tick()), [address(3)]);
}

#[test]
fn of_two_links_of_one_peer_the_call_of_the_lower_id_stays() {
    // Our id is 100. Each row: the peer's number, whether we called first, whether the first link
    // stays.
    for (number, first_is_ours, stays) in [
        (1, false, true),
        (1, true, false),
        (200, false, false),
        (200, true, true),
    ] {
        let mut swarm = Swarm::fetching();
        let (first, second) = match first_is_ours {
            true => (outgoing(number), incoming(number)),
            false => (incoming(number), outgoing(number)),
        };
        swarm.core.contacts_mut().add(address(number));
        let old = swarm.link_up_as(first);
        let (admitted, effects) = swarm.try_link_up(NEW, second);
        let links: Vec<LinkId> = swarm.core.links().map(|(id, _)| id).collect();
        if stays {
            assert_eq!((admitted, effects), (Err(LinkRefusal::Linked), vec![]));
            assert_eq!(links, [old]);
        } else {
            let replaced = Effect::Close(old, CloseReason::Replaced);
            assert_eq!((admitted, effects), (Ok(()), vec![replaced]));
            assert_eq!(links, [NEW]);
        }
    }
}

#[test]
fn an_idle_link_is_replaced_by_a_new_link_in_the_same_direction() {
    for number in [1, 200] {
        for (remote, other_way) in [
            (incoming(number), outgoing(number)),
            (outgoing(number), incoming(number)),
        ] {
            let mut swarm = Swarm::fetching();
            let old = swarm.link_up_as(remote);
            swarm.wait(10);
            assert_eq!(refused(&mut swarm, remote), LinkRefusal::Linked);
            swarm.now += Duration::from_millis(1);
            // With calls in both directions, the call of the peer with the lower id wins, even if
            // its link has been silent for long.
            let wins_over_other_way = remote.outgoing == (number > 100);
            if wins_over_other_way {
                assert_eq!(refused(&mut swarm, other_way), LinkRefusal::Linked);
            }
            let (admitted, effects) = swarm.try_link_up(NEW, remote);
            let replaced = Effect::Close(old, CloseReason::Replaced);
            assert_eq!((admitted, effects), (Ok(()), vec![replaced]));
        }
    }
}

#[test]
fn the_address_of_a_replaced_link_is_called_again_unless_the_new_link_has_it() {
    let mut swarm = Swarm::fetching();
    let old = swarm.link_up(1);
    swarm.announce_port(old);
    swarm.wait(11);
    assert_eq!(swarm.try_link_up(NEW, incoming(1)).0, Ok(()));
    swarm.link_down(old);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    // It is not called while the peer of the new link listens there.
    let mut swarm = Swarm::fetching();
    let old = swarm.link_up(1);
    swarm.announce_port(old);
    swarm.wait(11);
    assert_eq!(swarm.try_link_up(NEW, incoming(1)).0, Ok(()));
    swarm.link_down(old);
    swarm.announce_port(NEW);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), []);
    // It is also not called while the new link is our call to that address.
    let mut swarm = Swarm::fetching();
    swarm.core.contacts_mut().add(address(200));
    assert_eq!(connects(&swarm.tick()), [address(200)]);
    let old = swarm.link_up(200);
    swarm.announce_port(old);
    assert_eq!(swarm.try_link_up(NEW, outgoing(200)).0, Ok(()));
    swarm.link_down(old);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), []);
}

#[test]
fn a_link_that_ends_frees_its_requests_and_its_slot() {
    let mut swarm = Swarm::fetching_with(|config| config.largest_window = 8);
    let (first, requested) = swarm.source(1, &[0, 1, 2, 3]);
    assert_eq!(requested.len(), 8);
    let (second, none) = swarm.source(2, &[0, 1, 2, 3]);
    assert!(none.is_empty());
    for (id, unchoked) in [(first, true), (second, true), (swarm.link_up(3), false)] {
        let effects = swarm.receive(id, ReceivedMessage::Interested);
        assert_eq!(effects.contains(&Effect::Unchoke(id)), unchoked);
    }
    assert_eq!(swarm.link_down(first), [Effect::Unchoke(LinkId(3))]);
    assert_eq!(requests(&swarm.tick(), second).len(), 8);
}

#[test]
fn a_peer_without_a_listening_port_is_not_called() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    swarm.link_down(id);
    swarm.wait(3_600);
    assert_eq!(connects(&swarm.tick()), []);
    // If the first handshake has no port, the ports of later handshakes are ignored.
    let id = swarm.link_up(1);
    swarm.receive(id, ReceivedMessage::Handshake(Default::default()));
    swarm.announce_port(id);
    assert_eq!(swarm.core.link(id).unwrap().listens_at(), None);
}

#[test]
fn every_link_gets_the_reason_when_all_links_end() {
    let mut swarm = Swarm::fetching();
    let ids = [swarm.link_up(1), swarm.link_up(2)];
    let all = |reason: &str| {
        let reason = CloseReason::Ended(reason.to_owned());
        ids.map(|id| Effect::Close(id, reason.clone()))
    };
    let (_, effects) = swarm.step(|core, _| core.close_links("it is late"));
    assert_eq!(effects, all("it is late"));
    assert_eq!(
        swarm.core.links().len(),
        2,
        "links stay until `on_link_down`"
    );
}

#[test]
fn giving_up_peers_forgets_all_addresses_except_barred_ones() {
    let mut swarm = Swarm::fetching();
    let id = swarm.call(1);
    swarm.core.contacts_mut().add(address(2));
    let until = swarm.now + Duration::from_secs(60);
    swarm.core.contacts_mut().bar(address(3), until);
    let (_, effects) = swarm.step(|core, now| core.give_up_peers("its tracker failed", now));
    let reason = CloseReason::Ended("its tracker failed".to_owned());
    assert_eq!(effects, [Effect::Close(id, reason)]);
    assert_eq!(
        (
            swarm.core.links().len(),
            swarm.core.contacts().unbarred_count()
        ),
        (0, 0)
    );
    assert!(swarm.core.contacts().is_barred(address(3), swarm.now));
}

#[test]
fn interest_is_sent_only_when_it_changes() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    let have = |swarm: &Swarm, piece| ReceivedMessage::Have(swarm.piece(piece));
    let message = have(&swarm, 0);
    let interested = [Effect::Send(id, OutgoingMessage::Interested)];
    assert_eq!(swarm.receive(id, message), interested);
    let message = have(&swarm, 1);
    assert_eq!(swarm.receive(id, message), []);
    let effects = swarm.receive(id, ReceivedMessage::Unchoke);
    let effects = swarm.deliver(id, &requests(&effects, id));
    swarm.write(&effects);
    assert_eq!(
        swarm.tick(),
        [Effect::Send(id, OutgoingMessage::NotInterested)]
    );
    assert_eq!(swarm.tick(), []);
    let message = have(&swarm, 2);
    assert_eq!(swarm.receive(id, message)[..1], interested);
    // Owned pieces are of no interest.
    let other = swarm.link_up(2);
    assert_eq!(swarm.announce_pieces(other, &[0, 1]), []);
}

#[test]
fn each_reason_to_end_a_link_has_its_text() {
    let swarm = Swarm::new();
    for (reason, text) in [
        (CloseReason::NothingToFetch, "neither side fetches anything"),
        (CloseReason::DeliversNothing, "it delivers nothing"),
        (
            CloseReason::DoesNotRead,
            "it does not read what this peer sends",
        ),
        (
            CloseReason::BadPiece(swarm.piece(3)),
            "piece 3 from it does not verify",
        ),
        (CloseReason::Barred, "it sent bad data a while ago"),
        (
            CloseReason::Replaced,
            "another link of the same peer replaces it",
        ),
        (CloseReason::MadeRoom, "it makes room for another"),
        (CloseReason::Ended("it is late".to_owned()), "it is late"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
